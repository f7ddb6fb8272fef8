"""What every format that is written must hold, and every format that is read gives back what was written.

A new format is tested the moment its file exists. Figures of one format stand in its own tests.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
from export_dataset import HZ, LABELS, RATE, SECONDS, Dataset, run, snapshot, tone
from typer.testing import CliRunner

from stemclean import layouts
from stemclean.audio import files
from stemclean.cli import app
from stemclean.errors import ConfigError, SkipReason
from stemclean.export import ExportReport
from stemclean.exporting.selection import REASONS
from stemclean.layouts import base
from stemclean.manifest import Manifest, Region
from stemclean.verdicts import VerdictReason

WRITERS = [name for name, layout in base.layouts().items() if isinstance(layout, base.Writer)]


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    for label in LABELS:
        dataset.add(f"kept/{label}.wav", [label])
        dataset.add(f"fine/{label}.flac", [label], subtype="PCM_24")
        dataset.add(f"checked/{label}.wav", [label], split="validation")
        dataset.add(f"tested/{label}.wav", [label], split="test", verdict=("keep", "held_out"))
    dataset.add("renamed/drums_1.wav", ["bass"], tone(71), verdict=("relabel", "other_class_found"))
    dataset.add("mixed/drums_2.wav", ["bass", "drums"], verdict=("mixed", "unclaimed_class_present"))
    dataset.add("dropped/vocals_1.wav", [], verdict=("drop", "no_class"))
    dataset.add("dropped/vocals_2.wav", ["vocals"], np.zeros((2, 4000), np.float32), verdict=("drop", "silent"))
    dataset.add("rates/vocals.wav", ["vocals"], tone(440, rate=3 * RATE), 3 * RATE)
    dataset.add("rates/bass.wav", ["bass"], tone(64, channels=1))
    dataset.add("loud/other.wav", ["other"], tone(900, peak=1.5, channels=1), subtype="FLOAT")
    dataset.add("loud/drums.wav", ["drums"], tone(1400, peak=0.5))
    dataset.add("twice/other_1.wav", ["other"], tone(650))
    dataset.add("twice/other_2.wav", ["other"], tone(650))
    dataset.add("torn/bass.wav", ["bass"], tone(66)).write_bytes(b"RIFF")
    return dataset


def audio(report: ExportReport) -> Iterator[Path]:
    """The written audio; that of archives is unpacked into a hidden folder beside them."""
    for path in report.files:
        if path.suffix in (".wav", ".flac"):
            yield path
        elif path.suffix == ".tar":
            with tarfile.open(path) as archive:
                archive.extractall(path.parent / ".unpacked", filter="data")
                names = sorted(name for name in archive.getnames() if name.endswith((".wav", ".flac")))
            yield from (path.parent / ".unpacked" / name for name in names)


def read_here(report: ExportReport) -> bool:
    """Whether one of our readers can read the list, or the folder."""
    assert report.output is not None
    metadata = any(path.name == "metadata.jsonl" for path in report.files)
    return report.output.suffix == ".csv" or (report.output.is_dir() and not metadata)


def read_back(report: ExportReport) -> tuple[Manifest, Path]:
    assert report.output is not None
    return layouts.load(report.output, quiet=True)


def choices(layout: type[base.Format], setting: str) -> list[Any]:
    """The values of a setting, its default first."""
    field = layout.model_fields[setting]
    values = [False, True] if field.annotation is bool else list(get_args(field.annotation))
    return sorted(values, key=lambda value: value != field.default)


@pytest.mark.parametrize("name", WRITERS)
class TestWriters:
    def test_the_source_is_left_alone_and_every_file_is_outside_of_it(
        self, name: str, data: Dataset, tmp_path: Path
    ) -> None:
        refined = data.write()
        before = snapshot(data.folder), refined.read_bytes()
        report = run(refined, name, tmp_path / "out")
        assert (snapshot(data.folder), refined.read_bytes()) == before
        assert report.files
        assert all(path.is_file() and path.is_relative_to(tmp_path / "out") for path in report.files)
        found = {path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name[0] != "."}
        assert {path.name for path in found - set(report.files)} <= {"export.json", "song.json"}

    def test_all_written_audio_has_the_rate_and_two_channels(self, name: str, data: Dataset, tmp_path: Path) -> None:
        written = list(audio(run(data.write(), name, tmp_path / "out")))
        assert len(written) >= 4
        for path in written:
            info = soundfile.info(path)
            assert (info.samplerate, info.channels) == (RATE, 2)
            assert info.frames == SECONDS * RATE

    def test_no_sound_is_clipped(self, name: str, data: Dataset, tmp_path: Path) -> None:
        report = run(data.write(), name, tmp_path / "out")
        assert list(report.turned_down) == ["loud"]
        for path in audio(report):
            assert np.abs(files.read(path)).max() <= 1.0
        gain = 10 ** (report.turned_down["loud"] / 20)
        loud = [path for path in audio(report) if "loud" in path.as_posix()]
        for label, hz, peak in (("other", 900, 1.5), ("drums", 1400, 0.5)):
            (path,) = (path for path in loud if path.name.startswith(label))
            np.testing.assert_allclose(files.read(path), gain * tone(hz, peak=peak), atol=4 / 32768)

    def test_hours_add_up(self, name: str, data: Dataset, tmp_path: Path) -> None:
        report = run(data.write(), name, tmp_path / "out")
        for label, hours in report.classes.items():
            seconds = sum(stem.duration for stem in data.stems if label in (stem.labels or stem.claimed))
            assert hours.kept + hours.lost == pytest.approx(seconds / 3600, abs=2e-6)
            assert sum(hours.why.values()) == pytest.approx(hours.lost, abs=2e-6)
            assert set(hours.why) <= {*REASONS, *VerdictReason, *SkipReason}  # which the documentation explains
        assert report.outside == 0
        assert report.classes["bass"].won == {"drums": pytest.approx(SECONDS / 3600, abs=1e-6)}

    def test_what_should_not_be_trained_on_is_left_out_for_its_reason(
        self, name: str, data: Dataset, tmp_path: Path
    ) -> None:
        report = run(data.write(), name, tmp_path / "out")
        reasons = {label: set(hours.why) - {"held_out"} for label, hours in report.classes.items()}
        assert reasons == {
            "vocals": {"no_class", "silent"},
            "bass": {"several_classes", "changed_since_scan"},
            "drums": {"several_classes"},
            "other": {"duplicate_in_song"},
        }
        assert [(skip.path, skip.reason) for skip in report.skipped] == [("torn/bass.wav", "changed_since_scan")]

    def test_a_coarser_class_takes_what_fits_it_alone(self, name: str, data: Dataset, tmp_path: Path) -> None:
        data.add("mixed/vocals_3.wav", ["vocals", "bass"], verdict=("mixed", "unclaimed_class_present"))
        report = run(data.write(), name, tmp_path / "out", classes=("vocals", "accompaniment"))
        assert list(report.classes) == ["vocals", "accompaniment"]
        assert report.classes["accompaniment"].why["several_classes"] == pytest.approx(SECONDS / 3600, abs=1e-6)
        assert report.classes["vocals"].why["several_classes"] == pytest.approx(SECONDS / 3600, abs=1e-6)
        kept = {label: hours.kept for label, hours in run(data.write(), name, tmp_path / "plain").classes.items()}
        mixed = SECONDS / 3600  # bass and drums, which no single class may hold
        assert report.classes["accompaniment"].kept == pytest.approx(
            kept["bass"] + kept["drums"] + kept["other"] + mixed, abs=4e-6
        )

    def test_classes_that_nobody_asked_for_are_counted_apart(self, name: str, data: Dataset, tmp_path: Path) -> None:
        report = run(data.write(), name, tmp_path / "out", classes={"drums": ["drums"], "bass": ["bass"]})
        assert list(report.classes) == ["drums", "bass"]
        total = sum(stem.duration for stem in data.stems if {"vocals", "other"} & {*(stem.labels or stem.claimed)})
        assert report.outside == pytest.approx(total / 3600, abs=2e-6)
        assert not any("vocals" in path.name or "other" in path.name for path in audio(report))

    def test_half_of_a_half_clean_stem_is_kept(self, name: str, data: Dataset, tmp_path: Path) -> None:
        half = [Region(start=0, end=1, labels=["drums"]), Region(start=1, end=2, labels=["bass", "drums"])]
        data.add("half/drums_4.wav", ["bass", "drums"], tone(1300), regions=half, verdict=("mixed", "bleed"))
        data.add("held/drums.wav", ["drums"], tone(1350), regions=half, split="test")
        whole = run(data.write(), name, tmp_path / "whole")
        report = run(data.write(), name, tmp_path / "out", cut=True)
        one = 1 / 3600
        assert report.classes["drums"].kept == pytest.approx(whole.classes["drums"].kept + one, abs=2e-6)
        assert report.classes["bass"].kept == pytest.approx(whole.classes["bass"].kept, abs=2e-6)
        for label in ("bass", "drums"):
            lost = whole.classes[label].why["several_classes"] - one
            assert report.classes[label].why["several_classes"] == pytest.approx(lost, abs=2e-6)
        if base.layouts()[name].segments:  # type: ignore[union-attr]
            assert report.num_audio == whole.num_audio  # nothing is cut
            assert run(data.write(), name, tmp_path / "out", cut=True) == report
            return
        (path,) = (path for path in audio(report) if "half" in path.parts and path.name.startswith("drums"))
        sound, faded = files.read(path), round(0.02 * RATE)
        np.testing.assert_allclose(sound[:, : RATE - faded], tone(1300)[:, : RATE - faded], atol=2 / 32768)
        assert np.abs(sound[:, RATE - 4 : RATE]).max() < 0.1  # it fades out
        assert sound[:, RATE:].any() is np.False_
        held = {path.name for path in audio(report) if "held" in path.parts}
        assert held == {path.name for path in audio(whole) if "held" in path.parts}  # whole, in its own place
        assert run(data.write(), name, tmp_path / "out", cut=True) == report

    def test_stems_below_the_quality_are_left_out_but_for_held_out_ones(
        self, name: str, data: Dataset, tmp_path: Path
    ) -> None:
        before = run(data.write(), name, tmp_path / "all")
        unsure = {"kept/vocals": 0.2, "kept/bass": None, "tested/drums": 0.1}
        for place, stem in enumerate(data.stems):
            if stem.id in unsure:
                assert stem.verdict is not None
                verdict = stem.verdict.model_copy(update={"label_quality": unsure[stem.id]})
                data.stems[place] = stem.model_copy(update={"verdict": verdict})
        report = run(data.write(), name, tmp_path / "out", min_quality=0.3)
        lost = pytest.approx(SECONDS / 3600, abs=1e-6)
        assert report.classes["vocals"].why["low_quality"] == lost
        assert report.classes["bass"].why["not_judged"] == lost
        assert report.classes["drums"] == before.classes["drums"]
        assert report.classes["vocals"].kept == pytest.approx(before.classes["vocals"].kept - SECONDS / 3600, abs=2e-6)

    def test_both_formats_of_audio_hold_the_same_sound(self, name: str, data: Dataset, tmp_path: Path) -> None:
        layout = base.layouts()[name]
        assert isinstance(layout, base.Writer)
        if len(layout.audio_formats) == 1:
            with pytest.raises(ConfigError, match=f"--format: {name} is written as wav alone"):
                run(data.write(), name, tmp_path / "out", audio_format="flac")
            assert not (tmp_path / "out").exists()
            return
        heard: dict[str, dict[str, np.ndarray]] = {}
        for audio_format in ("flac", "wav"):
            report = run(data.write(), name, tmp_path / audio_format, audio_format=audio_format)
            assert {path.suffix for path in audio(report)} == {f".{audio_format}"}
            relative = ((path.relative_to(tmp_path / audio_format).as_posix(), path) for path in audio(report))
            named = ((re.sub(r"(\.[0-9a-f]{8})?\.\w+$", "", name), path) for name, path in relative)
            heard[audio_format] = {name: files.read(path) for name, path in named}
        assert heard["flac"].keys() == heard["wav"].keys()
        for path, sound in heard["flac"].items():
            # libsndfile scales by 32767 in a WAV and by 32768 in a FLAC: one step of 16 bits
            np.testing.assert_allclose(sound, heard["wav"][path], rtol=0, atol=1.01 / 32768)

    @pytest.mark.parametrize("link", ["symlink", "hardlink", "copy"])
    def test_originals_can_be_linked_or_copied(self, name: str, link: str, data: Dataset, tmp_path: Path) -> None:
        layout = base.layouts()[name]
        assert isinstance(layout, base.Writer)
        if not layout.in_place:
            with pytest.raises(ConfigError, match=f"--link: {name} writes all audio anew"):
                run(data.write(), name, tmp_path / "out", link=link)
            assert not (tmp_path / "out").exists()
            return
        source = snapshot(data.folder)
        plain = run(data.write(), name, tmp_path / "plain")
        report = run(data.write(), name, tmp_path / "out", link=link)
        assert report.classes == plain.classes
        assert report.num_audio > plain.num_audio
        (path,) = (path for path in audio(report) if path.as_posix().count("kept/vocals"))
        original = data.folder / "kept" / "vocals.wav"
        assert path.read_bytes() == original.read_bytes()
        assert (path.is_symlink(), path.samefile(original)) == (link == "symlink", link != "copy")
        found, folder = read_back(report) if read_here(report) else (None, Path())
        inside = [folder / stem.path for stem in found.stems] if found else list(audio(report))
        assert inside and all((tmp_path / "out").resolve() in path.absolute().parents for path in inside)
        before = {path: path.lstat().st_mtime_ns for path in audio(report)}
        assert run(data.write(), name, tmp_path / "out", link=link) == report
        assert {path: path.lstat().st_mtime_ns for path in audio(report)} == before
        assert snapshot(data.folder) == source

    def test_a_second_run_rewrites_nothing_and_says_the_same(self, name: str, data: Dataset, tmp_path: Path) -> None:
        refined = data.write()
        first = run(refined, name, tmp_path / "out")
        before = snapshot(tmp_path / "out")
        assert run(refined, name, tmp_path / "out") == first
        after = snapshot(tmp_path / "out")
        assert {path: content for path, (content, _) in after.items()} == {
            path: content for path, (content, _) in before.items()
        }
        for path in first.files:
            relative = path.relative_to(tmp_path / "out").as_posix()
            if path.suffix in (".wav", ".flac", ".tar"):
                assert after[relative] == before[relative]

    def test_datasets_of_two_shapes_do_not_share_a_folder(self, name: str, data: Dataset, tmp_path: Path) -> None:
        layout = base.layouts()[name]
        assert isinstance(layout, base.Format)
        for setting in layout.shape:
            first, *others = choices(type(layout), setting)
            run(data.write(), name, tmp_path / setting, **{setting: first})
            before = snapshot(tmp_path / setting)
            for other in others:
                with pytest.raises(ConfigError, match=f"was written with {setting} {first}, not {other}") as caught:
                    run(data.write(), name, tmp_path / setting, **{setting: other})
                assert caught.value.hint == "give a new folder"
            assert snapshot(tmp_path / setting) == before

    def test_what_a_name_says_is_missing_is_no_stem(self, name: str, data: Dataset, tmp_path: Path) -> None:
        songs = tmp_path / "songs"
        for label in LABELS:
            files.write(songs / "song" / f"{label}.wav", tone(HZ[label]), RATE)
        for negated in ("no_vocals", "song without drums", "instrumental"):
            files.write(songs / "song" / f"{negated}.wav", tone(300 + len(negated)), RATE)
        report = run(songs, name, tmp_path / "out")
        assert {label: hours.kept for label, hours in report.classes.items()} == dict.fromkeys(
            LABELS, pytest.approx(SECONDS / 3600, abs=1e-6)
        )
        assert {skip.path for skip in report.skipped} == {
            "song/no_vocals.wav", "song/song without drums.wav", "song/instrumental.wav",
        }  # fmt: skip
        assert report.unjudged == report.stems == 4

    def test_our_readers_find_the_same_classes_tracks_and_splits(
        self, name: str, data: Dataset, tmp_path: Path
    ) -> None:
        report = run(data.write(), name, tmp_path / "out")
        if not read_here(report):
            return  # the reader of its own, in tests/consumers
        found, folder = read_back(report)
        found = found.with_stems([stem for stem in found.stems if files.read(folder / stem.path).any()])  # no padding
        for label, hours in report.classes.items():
            seconds = sum(stem.duration for stem in found.stems if stem.claimed == [label])
            assert seconds / 3600 == pytest.approx(hours.kept, abs=1e-5)
        for stem in found.stems:
            info = soundfile.info(folder / stem.path)
            assert (info.samplerate, info.channels) == (RATE, 2)
        held_out = base.layouts()[name].held_out  # type: ignore[union-attr]
        if not held_out:
            return
        same = {"validation": "train"} if name == "bsrnn" else {}  # its lists tell them apart
        label_of = {(stem.track, same.get(stem.split or "", stem.split) or "train"): stem for stem in data.stems}
        assert {(stem.track, stem.split or "train") for stem in found.stems} == {
            key for key in label_of if key[0] not in ("mixed", "dropped", "torn")
        }


def test_the_help_names_every_format() -> None:
    text = " ".join(CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "300"}).stdout.split())
    assert [name for name in WRITERS if name not in text] == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_says_what_it_is(name: str) -> None:
    layout = base.layouts()[name]
    assert isinstance(layout, base.Writer)
    assert layout.reader and isinstance(layout.held_out, bool)
    assert layout.sample_rate is None or layout.sample_rate > 0
