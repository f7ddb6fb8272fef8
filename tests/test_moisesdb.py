"""What MoisesDB's own package finds in an export: ``moisesdb/dataset.py`` and ``moisesdb/track.py``, restated.

The package is not on PyPI; see https://github.com/moises-ai/moises-db.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_dataset import LABELS, RATE, Dataset, run, tone

from stemclean import layouts
from stemclean.audio import files
from stemclean.manifest import Crosstalk, Region, Span


class Song:
    """A song with the sums and the bleed that the package gives out."""

    def __init__(self, folder: Path) -> None:
        document = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        self.name = document["song"]
        self.bleed: dict[str, dict[str, bool]] = {}
        self.paths: dict[str, dict[str, list[Path]]] = {}
        for stem in document["stems"]:
            name = stem["stemName"]
            assert name not in self.paths  # the package loses the bleed of a second one
            self.bleed[name] = {track["id"]: track.get("has_bleed", False) for track in stem["tracks"]}
            self.paths[name] = {track["trackType"]: [] for track in stem["tracks"]}
            for track in stem["tracks"]:
                self.paths[name][track["trackType"]].append(folder / name / f"{track['id']}.{track['extension']}")

    def mixture(self, stem: str) -> np.ndarray:
        """The files of a class, cut to the shortest and summed."""
        sounds = [files.read(path) for paths in self.paths[stem].values() for path in paths]
        return sum(sound[:, : min(sound.shape[1] for sound in sounds)] for sound in sounds)


def songs(data_path: Path) -> dict[str, dict[str, Song]]:
    """Provider -> id -> song; every entry of the folder is a provider, files too."""
    return {
        provider.name: {folder.parent.name: Song(folder.parent) for folder in sorted(provider.glob("*/data.json"))}
        for provider in sorted(data_path.iterdir())
    }


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    for label in LABELS:
        dataset.add(f"artist/song/{label}.wav", [label])
    dataset.add("artist/song/drums_2.wav", ["drums"], tone(1700, seconds=1.0), extra={"track_type": "snare drum"})
    dataset.add("held/vocals.wav", ["vocals"], split="test")
    return dataset


def test_songs_are_found_with_their_splits_and_sums(data: Dataset, tmp_path: Path) -> None:
    report = run(data.write(), "moisesdb", tmp_path / "out")
    found = songs(tmp_path / "out")
    assert {provider: list(named) for provider, named in found.items() if named} == {
        "train": ["artist - song"], "test": ["held"],
    }  # fmt: skip
    song = found["train"]["artist - song"]
    assert {name: list(types) for name, types in song.paths.items()} == {
        "vocals": ["vocals"], "bass": ["bass"], "drums": ["drums", "snare drum"], "other": ["other"],
    }  # fmt: skip
    expected = tone(1500 + 7 * 2)
    expected[:, :RATE] += tone(1700, seconds=1.0)
    np.testing.assert_allclose(song.mixture("drums"), expected, atol=3 / 32768)  # two roundings to 16 bits
    assert report.extra == {
        "num_songs": {"test": 1, "train": 1}, "num_bleed": {"vocals": 0, "bass": 0, "drums": 0, "other": 0},
    }  # fmt: skip
    assert run(data.write(), "moisesdb", tmp_path / "out") == report


def test_bleed_is_declared_if_it_was_measured_or_found(data: Dataset, tmp_path: Path) -> None:
    spans = [Span(start=0.0, end=0.5, level_db=-24)]
    quiet = Crosstalk(stem="artist/song/drums", label="drums", level_db=-30, delay=0.0, spans=spans)
    changes: dict[str, Any] = {
        "vocals": {"crosstalk": [quiet]},
        "bass": {"found": ["bass", "drums"]},
        "drums": {"found": ["drums"], "crosstalk": [], "extra": {"has_bleed": True}},  # measured, it has none
        "other": {"verdict": None, "extra": {"has_bleed": True}},
    }
    for place, stem in enumerate(data.stems[:4]):
        data.stems[place] = stem.model_copy(update=changes[stem.claimed[0]])
    report = run(data.write(), "moisesdb", tmp_path / "out")
    song = songs(tmp_path / "out")["train"]["artist - song"]
    assert song.bleed == {
        "vocals": {"vocals": True}, "bass": {"bass": True}, "drums": {"drums": False, "drums_2": False},
        "other": {"other": True},
    }  # fmt: skip
    assert report.extra["num_bleed"] == {"vocals": 1, "bass": 1, "drums": 0, "other": 1}
    read, _ = layouts.load(tmp_path / "out", quiet=True)
    assert {stem.id: stem.extra["has_bleed"] for stem in read.stems if stem.split != "test"} == {
        f"train/artist - song/{label}/{name}": has for label, named in song.bleed.items() for name, has in named.items()
    }
    coarse = run(data.write(), "moisesdb", tmp_path / "coarse", classes=("vocals", "accompaniment"))
    assert coarse.extra["num_bleed"] == {"vocals": 1, "accompaniment": 1}  # drums in a bass are accompaniment, too


def test_bleed_that_was_cut_out_is_not_declared(data: Dataset, tmp_path: Path) -> None:
    regions = [Region(start=0, end=0.6, labels=["vocals", "drums"]), Region(start=0.6, end=2, labels=["vocals"])]
    heard = Crosstalk(
        stem="artist/song/drums", label="drums", level_db=-5, delay=0.0, spans=[Span(start=0.0, end=0.6, level_db=-5)]
    )
    labels = ["vocals", "drums"]
    changes = {"labels": labels, "found": labels, "regions": regions, "crosstalk": [heard]}
    data.stems[0] = data.stems[0].model_copy(update=changes)
    report = run(data.write(), "moisesdb", tmp_path / "out", cut=True)
    assert report.extra["num_bleed"]["vocals"] == 0
    sound = songs(tmp_path / "out")["train"]["artist - song"].mixture("vocals")
    cut = round(0.6 * RATE)
    assert not sound[:, :cut].any()
    np.testing.assert_allclose(sound[:, cut + 100 :], tone(440)[:, cut + 100 :], atol=2 / 32768)


def test_stems_of_the_same_name_have_files_of_their_own(tmp_path: Path) -> None:
    data = Dataset(tmp_path / "stems")
    for folder in ("one", "two"):
        data.add(f"{folder}/vocals.wav", ["vocals"])
        data.stems[-1] = data.stems[-1].model_copy(update={"track": "song"})
    run(data.write(), "moisesdb", tmp_path / "out")
    (song,) = songs(tmp_path / "out")["train"].values()
    (paths,) = song.paths["vocals"].values()
    assert len({path.name.casefold() for path in paths}) == 2 and all(path.is_file() for path in paths)
