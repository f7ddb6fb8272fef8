"""What is exported is read back: the same stems under the same class, song and split, with the same sound.

Hypothesis makes the datasets: awkward names, several stems of a class, several classes in a stem, splits and verdicts.
What belongs into an export is asked of its :class:`~stemclean.exporting.selection.Selection`, which has its own tests.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import soundfile
from export_dataset import LABELS, RATE
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.export import ExportReport, export
from stemclean.exporting.selection import Selection
from stemclean.exporting.targets import Targets
from stemclean.layouts import base
from stemclean.manifest import Created, Manifest, Stem, Verdict

LONG = "/".join(["\u00e9" * 100] * 2)
"""A title whose parts make a name that is too long for a file."""

ZFTURBO = {"validation": True, "chunk_size": 100, "min_mean_abs": 0}
"""Settings for sounds shorter than a chunk."""

FORMATS: dict[str, dict[str, Any]] = {
    name: {"type": 3, **ZFTURBO} if name == "zfturbo" else {}
    for name, layout in base.layouts().items()
    if isinstance(layout, base.Writer)
}
"""Format -> its settings."""

OTHERS = [
    *(("openunmix", {"dataset": kind}) for kind in ("trackfolder_var", "aligned", "sourcefolder")),
    *(("zfturbo", {"type": kind, **ZFTURBO}) for kind in (1, 2, 4, 5, 6, 7)),
    ("musdb", {"validation_in_train": True}),
    ("track_folders", {"mixture": False}),
    ("webdataset", {"regions": True}),
]  # fmt: skip
"""Kinds of a dataset that a format can also write."""

TARGETS: list[dict[str, list[str]] | tuple[str, ...] | None] = [
    None, ("vocals", "drums"), {"vocals": ["vocals"], "other": ["bass", "drums", "other"]},
]  # fmt: skip
"""Target classes, all named so that they are read back."""

SUBTYPES = {"wav": ("PCM_16", "PCM_24", "FLOAT"), "flac": ("PCM_16", "PCM_24")}

WORDS = ["01", "9 to 5", "Drums of War", "bass", "vocals", "no vocals", "Lead Vox 2", "mixture", "train", "Ünïcødé",
         "u\u0308ber", "\u65e5\u672c", "\U0001f3b8", "It's \"live\"", "a.b.c", "v1.", "100% [x]", "#1; a,b", "{x}|?*",
         "a\\b", "con", "-o", "$HOME", "take 2 (bass+drums)", "\u00e9" * 60]  # fmt: skip
"""Parts of names that have a meaning for somebody who reads them."""

names = st.lists(
    st.sampled_from(WORDS) | st.text("aB7_ .'-,\u00e4\u00df", min_size=1, max_size=6), min_size=1, max_size=3
).map("".join)
file_names = names.filter(lambda name: name.strip(". ") and name == name.strip() and name[0] != ".")


@dataclass(frozen=True)
class Recording:
    """A stem of a drawn dataset, before it is written."""

    track: str
    stem: str
    split: str | None
    claimed: str
    labels: tuple[str, ...]
    action: str
    quality: float | None
    ending: str
    subtype: str
    channels: int
    num_samples: int


@st.composite
def datasets(draw: st.DrawFn) -> list[Recording]:
    """One to three songs with one to three stems each; a training song of all classes comes first."""
    tracks = draw(st.lists(st.tuples(names_of_tracks(), splits()), min_size=0, max_size=2, unique_by=lambda it: it[0]))
    first = draw(names_of_tracks().filter(lambda name: name not in dict(tracks)))
    stems = [draw(recordings(first, None, label)) for label in LABELS]
    for track, split in tracks:
        stems += [draw(recordings(track, split)) for _ in range(draw(st.integers(1, 3)))]
    return stems


def names_of_tracks() -> st.SearchStrategy[str]:
    return st.lists(file_names, min_size=1, max_size=2).map("/".join)


def splits() -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, "train", "validation", "test"])


@st.composite
def recordings(draw: st.DrawFn, track: str, split: str | None, label: str | None = None) -> Recording:
    """A stem of a song. With a label, it holds that class alone and is kept."""
    several = st.lists(st.sampled_from(LABELS), min_size=1, max_size=3, unique=True).map(sorted)
    labels = [label] if label else draw(st.just([draw(st.sampled_from(LABELS))]) | several)
    claimed = draw(st.sampled_from(LABELS))
    action = "mixed" if len(labels) > 1 else "keep" if labels == [claimed] else "relabel"
    ending = draw(st.sampled_from(sorted(SUBTYPES)))
    quality = 1.0
    if not label:
        action, quality = draw(st.sampled_from([action, action, "drop"])), draw(st.sampled_from([None, 0.2, 0.9]))
    return Recording(
        track, draw(file_names), split, claimed, tuple(labels), action, quality, ending,
        draw(st.sampled_from(SUBTYPES[ending])), draw(st.integers(1, 2)),
        draw(st.integers(round(0.05 * RATE), round(0.2 * RATE))),
    )  # fmt: skip


def write(recordings: Sequence[Recording], folder: Path) -> Path:
    """Write the stems, each of noise that no other has, and their manifest."""
    noise = np.random.default_rng(0)
    stems: list[Stem] = []
    for number, drawn in enumerate(recordings):
        path = Path(drawn.track) / f"{drawn.stem}.{drawn.ending}"
        while any(stem.path == path.as_posix() or stem.id == path.with_suffix("").as_posix() for stem in stems):
            path = path.with_stem(f"{path.stem} {number}")
        sound = noise.uniform(-0.5, 0.5, (drawn.channels, drawn.num_samples)).astype(np.float32)
        file = files.write(folder / "stems" / path, sound, RATE, subtype=drawn.subtype)
        verdict = Verdict(action=drawn.action, reason="as_claimed", label_quality=drawn.quality)
        stems.append(
            Stem(
                id=path.with_suffix("").as_posix(), track=drawn.track, path=path.as_posix(),
                sha256=manifest.file_sha256(file), sample_rate=RATE, channels=drawn.channels,
                num_samples=drawn.num_samples, split=drawn.split, claimed=[drawn.claimed], labels=list(drawn.labels),
                verdict=verdict,
            )
        )  # fmt: skip
    data = Manifest(created=Created(by="test", command="refine"), labels=LABELS, root="stems", stems=stems)
    return manifest.write(data, folder / "refined.json")


@dataclass(frozen=True)
class Sound:
    """A sound of a class in a song and a split, which was exported, or was read back. Shape: (channel, time)."""

    track: str
    label: str
    split: str
    sound: np.ndarray

    def is_like(self, other: Sound) -> bool:
        """Whether it has the class, the split and the sound of another, to four steps of 16 bits."""
        if (self.label, self.split, self.sound.shape) != (other.label, other.split, other.sound.shape):
            return False
        return np.allclose(self.sound, other.sound, rtol=0, atol=4 / 32768)  # a gain is reported to 0.001 dB


def selected(refined: Path, report: ExportReport, asked: dict[str, Any], *, held_out: bool) -> list[Sound]:
    """Every stem that the selection takes, as it should be written."""
    data = manifest.read(refined)
    targets = Targets.of(asked["classes"], data.labels)
    selection = Selection(data, targets, held_out=held_out, min_quality=asked["min_quality"])
    found = []
    for item in selection.items:
        gain = 10 ** (report.turned_down.get(item.stem.track, 0.0) / 20)
        channels = 2 if asked["sample_rate"] else None
        sound = files.read(refined.parent / "stems" / item.stem.path, channels=channels) * np.float32(gain)
        found.append(Sound(item.stem.track, item.target, item.stem.split or "train", sound))
    return found


def mixed(stems: Sequence[Sound]) -> list[Sound]:
    """The sums of the stems of a class in a song; all files of a song have the length of its longest stem."""
    found: list[Sound] = []
    for (track, split, label), of_class in grouped(padded(stems), lambda stem: (*song_of(stem), stem.label)):
        found.append(Sound(track, label, split, np.sum([stem.sound for stem in of_class], axis=0)))
    return found


def padded(stems: Sequence[Sound]) -> list[Sound]:
    """The stems, each with the length of the longest in its song."""
    longest = {song: max(stem.sound.shape[1] for stem in found) for song, found in grouped(stems, song_of)}

    def pad(stem: Sound) -> Sound:
        missing = longest[song_of(stem)] - stem.sound.shape[1]
        return replace(stem, sound=np.pad(stem.sound, ((0, 0), (0, missing))))

    return [pad(stem) for stem in stems]


def complete(stems: Sequence[Sound]) -> list[Sound]:
    """The stems without those of training songs that lack a class."""
    classes = {stem.label for stem in stems}
    whole = {song for song, found in grouped(stems, song_of) if {stem.label for stem in found} == classes}
    return [stem for stem in stems if song_of(stem) in whole or stem.split != "train"]


def song_of(stem: Sound) -> tuple[str, str]:
    return stem.track, stem.split


def grouped(stems: Sequence[Sound], key: Callable[[Sound], Any]) -> list[tuple[Any, list[Sound]]]:
    return [(name, list(group)) for name, group in itertools.groupby(sorted(stems, key=key), key=key)]


def read_here(output: Path) -> Iterator[Sound]:
    """What our reader finds in a list or a folder."""
    data, folder = layouts.load(output, quiet=True)
    assert {skip.reason for skip in data.skipped} <= {"mixture", "class_unknown"}, data.skipped
    for stem in data.stems:
        yield Sound(stem.track, *stem.claimed, stem.split or "train", files.read(folder / stem.path))


def rows(path: Path) -> list[dict[str, Any]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_lhotse(output: Path) -> Iterator[Sound]:
    for path in output.glob("stemclean_cuts_*.jsonl.gz"):
        for row in rows(path):
            known = row["custom"]
            (source,) = row["recording"]["sources"]
            yield Sound(known["track"], known["label"], known["split"], files.read(source["source"]))


def read_nemo(output: Path) -> Iterator[Sound]:
    for path in output.glob("*_manifest.json"):
        for row in rows(path):
            assert path.name == f"{row['split']}_manifest.json" and row["offset"] == 0
            yield Sound(row["track"], row["label"], row["split"], files.read(row["audio_filepath"]))


def read_audiocraft(output: Path) -> Iterator[Sound]:
    for path in output.glob("*/data.jsonl.gz"):
        for row in rows(path):
            assert path.parent.name == row["split"]
            yield Sound(row["track"], row["label"], row["split"], files.read(row["path"]))


def read_hf(output: Path) -> Iterator[Sound]:
    for path in output.glob("*/metadata.jsonl"):
        for row in rows(path):
            yield Sound(row["track"], row["label"], path.parent.name, files.read(path.parent / row["file_name"]))


def read_webdataset(output: Path) -> Iterator[Sound]:
    for path in output.glob("*.tar"):
        with tarfile.open(path) as archive:
            members = [(member.name, archive.extractfile(member)) for member in archive.getmembers()]
            for (audio, sound), (described, text) in zip(members[::2], members[1::2], strict=True):
                assert audio.partition(".")[0] == described.partition(".")[0]  # they are one sample
                assert sound is not None and text is not None
                row = json.loads(text.read())
                wave, _ = soundfile.read(io.BytesIO(sound.read()), dtype="float32", always_2d=True)
                assert path.name.startswith(f"{row['split']}-")
                yield Sound(row["track"], row["label"], row["split"], wave.T)


READERS = {
    "lhotse": read_lhotse, "nemo": read_nemo, "audiocraft": read_audiocraft, "hf": read_hf,
    "webdataset": read_webdataset,
}  # fmt: skip
"""Readers of the formats that stemclean does not read."""


def is_unsorted(options: dict[str, Any]) -> bool:
    """Whether a format puts the stems of all songs together."""
    return options.get("type") in (2, 3) or options.get("dataset") == "sourcefolder"


def read_zfturbo(report: ExportReport, output: Path) -> Iterator[Sound]:
    """What is found where the trainer looks for it; it is told which part is which."""
    parts = {"train": report.extra["next"]["--data_path"], "validation": output / "valid", "test": output / "test"}
    for split, part in parts.items():
        if Path(part).exists():
            yield from (replace(stem, split=split) for stem in read_here(Path(part)))


def read_back(name: str, report: ExportReport, output: Path) -> list[Sound]:
    """Everything that was written, but for the silence in the place of a missing class."""
    if name == "zfturbo":
        found = read_zfturbo(report, output)
    else:
        assert report.output is not None
        found = READERS[name](output) if name in READERS else read_here(report.output)
    return [stem for stem in found if stem.sound.any()]


def expected(name: str, options: dict[str, Any], stems: Sequence[Sound]) -> list[Sound]:
    """What should be written: a file for each stem, or for each class of a song."""
    if name == "bsrnn" or options.get("validation_in_train"):  # lists tell training and validation songs apart
        stems = [replace(stem, split="train") if stem.split == "validation" else stem for stem in stems]
    if name in READERS or name == "csv" or options.get("dataset") == "sourcefolder":
        return list(stems)
    if name == "moisesdb":
        return padded(stems)
    if name == "zfturbo" and is_unsorted(options):
        return [*(stem for stem in stems if stem.split == "train"), *mixed([s for s in stems if s.split != "train"])]
    if options.get("type") == 5:
        stems = complete(stems)
    return mixed(stems)


def compare(expected: Sequence[Sound], found: Sequence[Sound]) -> dict[str, set[str]]:
    """Check that the same sounds were found, and return the songs that the stems of each song were found in."""
    wanted, got = ([(stem.label, stem.split) for stem in stems] for stems in (expected, found))
    assert sorted(got) == sorted(wanted)
    songs: dict[str, set[str]] = {}
    for stem in expected:
        (same,) = (other for other in found if other.is_like(stem))
        songs.setdefault(stem.track, set()).add(same.track)
    return songs


def check(name: str, options: dict[str, Any], drawn: Sequence[Recording], **asked: Any) -> None:
    """Export a dataset and read it back."""
    layout = base.writer(name, options)
    asked = {"sample_rate": RATE, "min_quality": None, **asked}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        refined = write(drawn, folder)
        report = export(refined, layout, folder / "out", quiet=True, **asked)
        assert not report.skipped
        stems = selected(refined, report, asked, held_out=layout.held_out)
        songs = compare(expected(name, options, stems), read_back(name, report, folder / "out"))
    if is_unsorted(options):
        return
    assert all(len(found) == 1 for found in songs.values())
    assert len({*itertools.chain(*songs.values())}) == len(songs)
    for track, (found,) in songs.items():
        if name in READERS or name == "csv":
            assert found == track
        elif len(track) < 100 and re.fullmatch(r"\w+( \w+)*(/\w+( \w+)*)*", track):
            assert found == (track if name == "track_folders" else track.replace("/", " - "))


def drawn_options(data: st.DataObject, layout: base.Writer) -> dict[str, Any]:
    """Options of ``export`` that every format has."""
    return {
        "classes": data.draw(st.sampled_from(TARGETS)),
        "min_quality": data.draw(st.sampled_from([None, 0.5])),
        "sample_rate": RATE if layout.sample_rate else data.draw(st.sampled_from([None, RATE])),
        "audio_format": data.draw(st.sampled_from([None, *layout.audio_formats])),
        "link": data.draw(st.sampled_from([None, "symlink", "hardlink", "copy"])) if layout.in_place else None,
    }


# A failing example is small enough to be read; making it smaller takes minutes.
examples = settings(deadline=None, derandomize=True, database=None, phases=[Phase.generate])


@pytest.mark.parametrize("name", FORMATS)
@settings(examples, max_examples=8)
@given(drawn=datasets(), data=st.data())
def test_every_format_is_read_back(name: str, drawn: list[Recording], data: st.DataObject) -> None:
    options = FORMATS[name]
    check(name, options, drawn, **drawn_options(data, base.writer(name, options)))


@pytest.mark.parametrize(("name", "options"), OTHERS, ids=map(str, OTHERS))
@settings(examples, max_examples=3)
@given(drawn=datasets(), data=st.data())
def test_the_other_kinds_of_a_format_are_read_back(
    name: str, options: dict[str, Any], drawn: list[Recording], data: st.DataObject
) -> None:
    check(name, options, drawn, **drawn_options(data, base.writer(name, options)))


@pytest.mark.parametrize("title", ["mixture", "No Vocals", "Lead Vox 2", "Album/Drums", LONG])
@pytest.mark.parametrize(
    ("name", "options"),
    [("track_folders", {}), ("moisesdb", {}), *OTHERS[2:5], OTHERS[8]],
    ids=str,
)
def test_the_title_of_a_song_does_not_decide(name: str, options: dict[str, Any], title: str) -> None:
    drawn = [
        Recording(title, stem, None, "bass", (label,), "relabel", None, "wav", "PCM_16", 2, 800 + number)
        for number, (stem, label) in enumerate([("Lead Vox", "drums"), ("\u00e9" * 125, "vocals")])
    ]
    check(name, options, drawn, classes=("vocals", "drums"))
