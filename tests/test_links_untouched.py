"""Files that an export or a trim shares with the source are never rewritten in place, whatever is written next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_dataset import HZ, LABELS, RATE, SETTINGS, Dataset, tone

from stemclean.errors import ConfigError
from stemclean.export import export
from stemclean.layouts import base
from stemclean.trim import TrimConfig, trim

LINKED = [
    (name, options)
    for name, options in [
        *((name, {}) for name in base.layouts()),
        ("zfturbo", {"type": 2}),
        ("openunmix", {"dataset": "sourcefolder"}),
    ]
    if isinstance(base.layouts()[name], base.Writer) and base.writer(name, options).in_place
]
"""Formats that put originals into the destination as links."""


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    for label in LABELS:
        sound = np.concatenate([tone(HZ[label]), np.zeros((2, RATE), np.float32), tone(HZ[label])], axis=1)
        dataset.add(f"song/{label}.wav", [label], sound)
        dataset.add(f"other/{label}.flac", [label])
    return dataset


def state(folder: Path) -> dict[str, tuple[bytes, int, int, str]]:
    """Path -> content, inode, time of the last change, and where a link points to."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            path.lstat().st_ino,
            path.lstat().st_mtime_ns,
            str(path.readlink()) if path.is_symlink() else "",
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shared(folder: Path, source: Path) -> list[Path]:
    """Files in a folder that are files of the source."""
    inodes = {path.stat().st_ino for path in source.rglob("*") if path.is_file()}
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_ino in inodes]


def changed(data: Dataset) -> Iterator[Path]:
    """Manifests of the same stems with other labels, and with fewer of them."""
    stems = list(data.stems)
    data.stems = [stem.model_copy(update={"labels": [LABELS[number % 4]]}) for number, stem in enumerate(stems)]
    yield data.write()
    data.stems = stems[:5]
    yield data.write()
    data.stems = stems


@pytest.mark.parametrize("link", ["hardlink", "symlink"])
@pytest.mark.parametrize(("name", "options"), LINKED, ids=str)
def test_no_export_rewrites_what_an_earlier_one_linked(
    name: str, options: dict[str, Any], link: str, data: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refined = data.write()
    settings = {**SETTINGS.get(name, {}), **options, "quiet": True}
    layout_formats = base.writer(name, options).audio_formats
    export(refined, name, out, sample_rate=RATE, link=link, **settings)  # type: ignore[arg-type]
    before, links = state(data.folder), shared(out, data.folder)
    assert len(links) >= 4
    others: list[dict[str, Any]] = [
        {"sample_rate": RATE},
        {"sample_rate": RATE // 2, "link": link},
        {"sample_rate": RATE, "link": "copy"},
        {"sample_rate": RATE, "link": "symlink" if link == "hardlink" else "hardlink"},
        {"sample_rate": RATE, "link": link, "cut": True},
        {"sample_rate": RATE, "link": link, "min_quality": 0.4},
        *({"sample_rate": RATE // 2, "audio_format": audio_format} for audio_format in layout_formats),
    ]
    for asked in others:
        with suppress(ConfigError):  # some formats refuse a folder with other files
            export(refined, name, out, **asked, **settings)
        assert state(data.folder) == before
    for manifest in changed(data):
        with suppress(ConfigError):
            export(manifest, name, out, sample_rate=RATE, link=link, **settings)  # type: ignore[arg-type]
        assert state(data.folder) == before
    assert {path for path in links if path.exists()} == set(links) & set(shared(out, data.folder))


@pytest.mark.parametrize("link", ["hardlink", "symlink"])
def test_a_trim_does_not_rewrite_the_source_through_links(link: str, data: Dataset, tmp_path: Path) -> None:
    """The folder holds files of an earlier trim that somebody replaced by links to the source."""
    out = tmp_path / "trimmed"
    refined = data.write()
    trim(refined, out, quiet=True)
    written = sorted(path for path in out.rglob("*") if path.suffix in (".wav", ".flac"))
    assert len(written) == len(data.stems)
    for path, stem in zip(written, sorted(data.stems, key=lambda stem: stem.path), strict=True):
        path.unlink()
        getattr(path, f"{link}_to")((data.folder / stem.path).resolve())
    before = state(data.folder)
    assert len(shared(out, data.folder)) == len(data.stems)
    for config in (TrimConfig(), TrimConfig(pad=0.3), TrimConfig(detector="peak", fade=0.0)):
        with suppress(ConfigError):
            trim(refined, out, config, quiet=True)
        assert state(data.folder) == before
