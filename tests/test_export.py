"""The export really loads: a restatement of the trainer's reader draws from it, and fails on what we guard against."""

from __future__ import annotations

import csv
import errno
import functools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from stemclean import manifest
from stemclean.audio import files
from stemclean.cli import app
from stemclean.errors import ConfigError
from stemclean.export import export
from stemclean.exporting import converting
from stemclean.layouts import base, zfturbo
from stemclean.manifest import Created, Manifest, Stem, Verdict

RATE = 8000  # of the export in these tests: light, and other than every default
CHUNK = 2 * RATE
LABELS = ["vocals", "bass", "drums", "other"]
HZ = {"vocals": 440.0, "bass": 60.0, "drums": 1500.0, "other": 900.0}


class EndlessError(Exception):
    """The trainer would still be drawing."""


class Trainer:
    """What Music-Source-Separation-Training does with dataset type 3, see stemclean/layouts/zfturbo.py."""

    def __init__(self, lists: list[Path], instruments: list[str], min_mean_abs: float = 0.001) -> None:
        self.instruments, self.min_mean_abs = instruments, min_mean_abs
        self.random = random.Random(0)
        self.rows: dict[str, list[tuple[str, int]]] = {}
        for path in lists:
            with open(path, encoding="utf-8", newline="") as file:
                table = list(csv.DictReader(file))
            for instrument in instruments:  # each list replaces the one before
                paths = [row["path"] for row in table if row["instrum"] == instrument]
                self.rows[instrument] = [(p, soundfile.info(p).frames) for p in paths if Path(p).is_file()]

    def source(self, instrument: str) -> np.ndarray:
        for _ in range(500):  # the trainer has no such limit
            path, length = self.random.choice(self.rows[instrument])
            if length >= CHUNK:
                start = self.random.randrange(length - CHUNK + 1)
                sound = soundfile.read(path, dtype="float32", start=start, frames=CHUNK)[0]
            else:
                sound = soundfile.read(path, dtype="float32")[0]
                sound = np.concatenate([sound, np.zeros((CHUNK - length, *sound.shape[1:]), np.float32)])
            sound = sound[:, None].T if sound.ndim == 1 else sound.T  # (time, channel) -> (channel, time)
            if np.abs(sound).mean() >= self.min_mean_abs:
                return sound
        raise EndlessError(instrument)

    def example(self) -> np.ndarray:
        """Shape: (stem, channel, time)."""
        return np.stack([self.source(instrument) for instrument in self.instruments])


def tone(hz: float, seconds: float = 6.0, rate: int = RATE, peak: float = 0.3, channels: int = 2) -> np.ndarray:
    wave = peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave, (channels, 1)).astype(np.float32)


def pitch(sound: np.ndarray) -> float:
    """Strongest frequency of a chunk at the rate that the trainer believes in."""
    return float(np.argmax(np.abs(np.fft.rfft(sound[0])))) * RATE / sound.shape[1]


class Dataset:
    """Files below a folder and the refined manifest that lists them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.stems = folder / "stems", []

    def add(self, path: str, sound: np.ndarray, labels: list[str], rate: int = RATE, **fields: Any) -> None:
        where = self.folder / path
        where.parent.mkdir(parents=True, exist_ok=True)
        if where.suffix in (".mp3", ".ogg"):
            soundfile.write(where, sound.T, rate)
        else:
            files.write(where, sound, rate, subtype=fields.pop("subtype", None))
        action, reason = fields.pop("verdict", ("keep", "as_claimed"))
        self.stems.append(
            Stem(
                id=path.rpartition(".")[0], track="song", path=path, sha256=manifest.file_sha256(where),
                sample_rate=rate, channels=len(sound), num_samples=sound.shape[1],
                claimed=[where.stem.split("_")[0]], labels=labels,
                verdict=Verdict(action=action, reason=reason, label_quality=0.5), **fields,
            )
        )  # fmt: skip

    def write(self) -> Path:
        data = Manifest(created=Created(by="test", command="refine"), labels=LABELS, root="stems", stems=self.stems)
        return manifest.write(data, self.folder.parent / "refined.json")


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """One good stem a class."""
    dataset = Dataset(tmp_path)
    for label, hz in HZ.items():
        dataset.add(f"song/{label}.flac", tone(hz), [label])
    return dataset


def rows(folder: Path) -> list[tuple[str, Path]]:
    with open(folder / "zfturbo.csv", encoding="utf-8", newline="") as file:
        return [(row["instrum"], Path(row["path"])) for row in csv.DictReader(file)]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


OPTIONS = {"sample_rate": RATE, "quiet": True, "chunk_size": CHUNK}


def test_what_reads_right_stays_where_it_is(data: Dataset, tmp_path: Path) -> None:
    data.add("song/bass_2.ogg", tone(60), ["bass"])
    report = export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS)
    assert {path for _, path in rows(tmp_path / "out")} == {data.folder / stem.path for stem in data.stems}
    assert report.files == [tmp_path / "out" / "zfturbo.csv"]
    assert Trainer(report.files, LABELS).example().shape == (4, 2, CHUNK)


@pytest.mark.parametrize(
    ("path", "rate", "channels"),
    [
        ("song/other.wav", RATE, 1),
        ("song/other.wav", 3 * RATE, 2),
        ("song/other.flac", 11025, 1),
        ("song/other.wav", RATE, 6),
        ("song/other.mp3", RATE, 2),
    ],
)
def test_what_would_be_read_wrong_is_written_beside_the_list(
    path: str, rate: int, channels: int, tmp_path: Path
) -> None:
    data = Dataset(tmp_path)
    data.add(path, tone(900, rate=rate, channels=channels), ["other"], rate)
    before = snapshot(data.folder)
    report = export(data.write(), "zfturbo", tmp_path / "out", allow_empty=True, **OPTIONS)
    assert snapshot(data.folder) == before
    [(_, written)] = rows(tmp_path / "out")
    assert written.is_relative_to(tmp_path / "out" / "audio")
    assert soundfile.info(written).subtype in ("PCM_16", "PCM_24")
    chunk = Trainer(report.files[:1], ["other"]).source("other")
    assert chunk.shape == (2, CHUNK)
    assert pitch(chunk) == pytest.approx(900, abs=1.0)  # bins are 0.5 Hz wide


def test_the_restated_trainer_has_the_traps_that_are_guarded_against(data: Dataset, tmp_path: Path) -> None:
    data.add("bad/mono.wav", tone(900, channels=1), ["other"])
    data.add("bad/rate.wav", tone(900, rate=3 * RATE, seconds=8.0), ["other"], 3 * RATE)
    data.add("bad/quiet.wav", tone(900, peak=0.001), ["other"])

    def listing(name: str, *labelled: tuple[str, str]) -> Path:
        lines = ["instrum,path", *(f"{label},{data.folder / path}" for label, path in labelled)]
        (tmp_path / name).write_text("\n".join(lines))
        return tmp_path / name

    good = ("bass", "song/bass.flac")
    with pytest.raises(ValueError, match="same shape"):
        Trainer([listing("a.csv", good, ("other", "bad/mono.wav"))], ["bass", "other"]).example()
    assert pitch(Trainer([listing("b.csv", ("other", "bad/rate.wav"))], ["other"]).source("other")) == 300
    with pytest.raises(EndlessError):
        Trainer([listing("c.csv", ("other", "bad/quiet.wav"))], ["other"]).source("other")
    with pytest.raises(IndexError):
        Trainer([listing("d.csv", good)], ["bass", "other"]).example()
    with pytest.raises(IndexError):
        Trainer([listing("e.csv", ("other", "song/other.flac")), listing("f.csv", good)], ["bass", "other"]).example()


def test_a_stem_goes_to_a_class_only_if_its_labels_are_exactly_that_class(data: Dataset, tmp_path: Path) -> None:
    data.add("x/drums_1.wav", tone(60), ["bass"], verdict=("relabel", "other_class_found"))
    data.add("x/drums_2.wav", tone(62), ["bass", "drums"], verdict=("mixed", "unclaimed_class_present"))
    data.add("x/drums_3.wav", tone(63), [], verdict=("drop", "no_class"))
    data.add("x/drums_4.wav", tone(64), ["drums"], verdict=("drop", "silent"))
    data.add("x/drums_5.wav", tone(65), ["drums"], split="test")
    data.add("x/drums_6.wav", tone(60, peak=0.001), ["drums"])
    report = export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS)
    assert [(label, path.name) for label, path in rows(tmp_path / "out")] == [
        *((label, f"{label}.flac") for label in LABELS),
        ("bass", "drums_1.wav"),
    ]
    six = pytest.approx(6 / 3600, abs=1e-6)
    assert report.classes["drums"].kept == six
    assert report.classes["drums"].why == {
        "held_out": six, "no_class": six, "several_classes": six, "silent": six, "too_quiet": six,
    }  # fmt: skip
    assert report.classes["drums"].lost == pytest.approx(30 / 3600, abs=1e-6)
    assert report.classes["bass"].kept == pytest.approx(12 / 3600, abs=1e-6)
    assert report.classes["bass"].why == {"several_classes": six}
    assert report.extra["num_stems"] == {"vocals": 1, "bass": 2, "drums": 1, "other": 1}
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False)) == report.to_dict()


def test_an_empty_class_is_refused_by_name_before_anything_is_written(data: Dataset, tmp_path: Path) -> None:
    data.stems = [stem for stem in data.stems if stem.labels not in (["bass"], ["drums"])]
    data.add("song/bass.wav", tone(60, peak=0.001), ["bass"])
    refined = data.write()
    with pytest.raises(ConfigError, match="no stem is left for: bass, drums") as caught:
        export(refined, "zfturbo", tmp_path / "out", **OPTIONS)
    for line in ("bass: 0:00:06 too_quiet", "drums: no stem of it in the manifest", "--allow-empty"):
        assert line in caught.value.hint
    assert not (tmp_path / "out").exists()
    report = export(refined, "zfturbo", tmp_path / "out", allow_empty=True, **OPTIONS)
    usable = report.extra["next"]["training.instruments"]
    assert usable == ["vocals", "other"]
    assert Trainer(report.files, usable).example().shape == (2, 2, CHUNK)


@pytest.mark.parametrize(
    ("sound", "found"),
    [
        (tone(900, seconds=0.2, peak=0.3), True),  # padded: 0.19 * 0.1 is loud enough
        (tone(900, seconds=0.2, peak=0.01), False),  # loud for a moment, too quiet as a chunk
        (np.concatenate([tone(900, 60.0, peak=0.0), tone(900, 1.0)], axis=1), True),  # one loud second at the end
    ],
)
def test_a_stem_counts_as_the_trainer_will_draw_it(sound: np.ndarray, found: bool, tmp_path: Path) -> None:
    data = Dataset(tmp_path)
    data.add("song/other.wav", sound, ["other"])
    data.add("song/bass.wav", tone(60), ["bass"])
    report = export(data.write(), "zfturbo", tmp_path / "out", allow_empty=True, **OPTIONS)
    assert (report.extra["num_stems"]["other"] == 1) is found
    if found:
        assert Trainer(report.files, ["other"]).source("other").shape == (2, CHUNK)


def test_exporting_twice_writes_nothing_new_and_other_audio_gets_another_name(data: Dataset, tmp_path: Path) -> None:
    data.add("song/bass_2.wav", tone(60, channels=1), ["bass"])
    first = export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS)
    before = {path: path.stat().st_mtime_ns for path in first.files[1:]}
    bytes_before = snapshot(tmp_path / "out")
    assert export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS) == first
    assert {path: path.stat().st_mtime_ns for path in first.files[1:]} == before
    assert snapshot(tmp_path / "out") == bytes_before
    data.stems.pop()
    data.add("song/bass_2.wav", tone(60, seconds=3.0, channels=1), ["bass"])
    assert export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS).files[1] != first.files[1]


def test_what_passes_full_scale_is_turned_down_not_clipped(tmp_path: Path) -> None:
    data = Dataset(tmp_path)
    data.add("song/other.wav", tone(900, peak=1.5, channels=1), ["other"], subtype="FLOAT")
    export(data.write(), "zfturbo", tmp_path / "out", allow_empty=True, **OPTIONS)
    sound = files.read(rows(tmp_path / "out")[0][1])
    np.testing.assert_allclose(sound, tone(900, peak=1 - 2**-15), atol=1e-6)


def test_a_song_is_turned_down_as_a_whole(tmp_path: Path) -> None:
    """Those of its stems that the trainer could have read where they lie, too; other songs are left alone."""
    data = Dataset(tmp_path)
    data.add("song/other.wav", tone(900, peak=2.0, channels=1), ["other"], subtype="FLOAT")
    data.add("song/bass.wav", tone(60, peak=0.5), ["bass"])
    data.add("song/vocals.wav", tone(440, peak=0.5, rate=2 * RATE), ["vocals"], 2 * RATE)
    data.add("calm/drums.wav", tone(1500, peak=0.5), ["drums"])
    data.stems[-1] = data.stems[-1].model_copy(update={"track": "calm"})
    data.add("float/bass.wav", tone(60, peak=1.5), ["bass"], subtype="FLOAT")  # is read as it is
    data.stems[-1] = data.stems[-1].model_copy(update={"track": "float"})
    report = export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS)
    assert report.turned_down == {"song": -6.021}
    assert json.loads(json.dumps(report.to_dict()))["turned_down"] == {"song": -6.021}
    heard = {label: files.read(path) for label, path in rows(tmp_path / "out") if path.parent.name == "song"}
    gain = (1 - 2**-15) / 2
    for label, peak in (("other", 2.0), ("bass", 0.5), ("vocals", 0.5)):
        wanted = gain * tone(HZ[label], peak=peak)
        inside = slice(400, -400)  # soxr's filter rings where a tone begins
        np.testing.assert_allclose(heard[label][:, inside], wanted[:, inside], atol=2e-4)
    left = {path for _, path in rows(tmp_path / "out") if path.is_relative_to(data.folder)}
    assert left == {data.folder / "calm" / "drums.wav", data.folder / "float" / "bass.wav"}
    assert export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS) == report
    words = [
        "export",
        data.write(),
        "--to",
        "zfturbo",
        tmp_path / "out",
        "--sample-rate",
        RATE,
        "--set",
        "chunk_size=9",
    ]
    told = CliRunner().invoke(app, list(map(str, words)))
    assert (told.exit_code, "turned down to avoid clipping: song (-6.021 dB)" in told.stderr) == (0, True)


@pytest.mark.parametrize("ending", [".ogg", ".mp3"])
def test_a_lossy_file_that_overshoots_is_not_clipped(ending: str, tmp_path: Path) -> None:
    loud = np.clip(4 * np.random.default_rng(0).standard_normal((1, 3 * 16000)), -1, 1).astype(np.float32)
    data = Dataset(tmp_path)
    data.add(f"song/drums{ending}", loud, ["drums"], 16000)
    data.add("song/bass.wav", tone(60, peak=0.5), ["bass"])
    decoded = files.read(data.folder / "song" / f"drums{ending}", sample_rate=RATE, channels=2)
    assert np.abs(decoded).max() > 1.1
    report = export(data.write(), "zfturbo", tmp_path / "out", allow_empty=True, **OPTIONS)
    heard = {label: files.read(path) for label, path in rows(tmp_path / "out")}
    gain = (1 - 2**-15) / np.abs(decoded).max()
    np.testing.assert_allclose(heard["drums"], gain * decoded, atol=2 / 32768)
    np.testing.assert_allclose(heard["bass"], gain * tone(60, peak=0.5), atol=2 / 32768)
    assert report.turned_down == {"song": round(20 * np.log10(gain), 3)}


@pytest.mark.parametrize("fate", ["gone", "broken"])
@pytest.mark.parametrize("name", ["bass_2.flac", "bass_3.wav"])  # the one is named where it lies, the other written
def test_a_file_that_breaks_after_it_was_heard_costs_its_stem(
    fate: str, name: str, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.add("song/bass_2.flac", tone(70), ["bass"])
    data.add("song/bass_3.wav", tone(60, channels=1), ["bass"])
    path, refined = data.folder / "song" / name, data.write()
    gains = converting.song_gains

    def then_broken(*args: Any) -> Any:
        path.unlink() if fate == "gone" else path.write_text("no wave")
        return gains(*args)

    monkeypatch.setattr(converting, "song_gains", then_broken)
    report = export(refined, "zfturbo", tmp_path / "out", **OPTIONS)
    assert [(skip.path, skip.reason) for skip in report.skipped] == [
        (f"song/{name}", "not_found" if fate == "gone" else "changed_while_reading")
    ]
    assert report.extra["num_stems"] == {"vocals": 1, "bass": 2, "drums": 1, "other": 1}
    assert (report.classes["bass"].kept, list(report.classes["bass"].why)) == (
        pytest.approx(12 / 3600, abs=1e-6),
        [report.skipped[0].reason],
    )
    assert len(rows(tmp_path / "out")) == 5
    assert Trainer(report.files[:1], LABELS).example().shape == (4, 2, CHUNK)


def test_a_class_whose_only_file_breaks_after_it_was_heard_is_refused(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refined = data.write()

    def then_gone(*_: Any) -> dict[str, float]:
        (data.folder / "song" / "drums.flac").unlink()
        return {}

    monkeypatch.setattr(converting, "song_gains", then_gone)
    with pytest.raises(ConfigError, match="no stem is left for: drums") as caught:
        export(refined, "zfturbo", tmp_path / "out", **OPTIONS)
    assert "drums: 0:00:06 not_found" in caught.value.hint


def test_a_file_that_was_overwritten_after_it_was_judged_is_listed_and_the_rest_goes_on(
    data: Dataset, tmp_path: Path
) -> None:
    data.add("song/bass_2.wav", tone(60), ["bass"])
    (data.folder / "song" / "bass_2.wav").write_text("no wave")
    report = export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS)
    assert [(skip.path, skip.reason) for skip in report.skipped] == [("song/bass_2.wav", "changed_since_scan")]
    assert list(report.classes["bass"].why) == ["changed_since_scan"]


def test_paths_survive_any_letter_and_any_working_directory(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.add('Ella, "live" ü/other_日.wav', tone(900), ["other"])
    data.add("song/bass_2.wav", tone(60, channels=1), ["bass"])
    data.write()
    monkeypatch.chdir(tmp_path)
    report = export("refined.json", "zfturbo", "out", **OPTIONS)
    monkeypatch.chdir("/")
    found = Trainer([tmp_path / report.files[0]], LABELS).rows
    assert {label: len(paths) for label, paths in found.items()} == {"vocals": 1, "bass": 2, "drums": 1, "other": 2}
    assert all(path.is_absolute() for _, path in rows(tmp_path / "out"))


def test_what_nobody_judged_is_counted(data: Dataset, tmp_path: Path) -> None:
    data.write()
    assert export(tmp_path / "refined.json", "zfturbo", tmp_path / "out", **OPTIONS).unjudged == 0
    report = export(data.folder, "zfturbo", tmp_path / "claims", **OPTIONS)
    assert (report.stems, report.unjudged) == (4, 4)
    assert json.loads(json.dumps(report.to_dict()))["unjudged"] == 4


def test_what_the_scan_of_a_folder_cannot_use_is_told(data: Dataset, tmp_path: Path) -> None:
    (data.folder / "song" / "bass 2.wav").write_text("no wave")
    files.write(data.folder / "song" / "mixture.wav", tone(440), RATE)
    report = export(data.folder, "zfturbo", tmp_path / "out", **OPTIONS)
    assert {(skip.path, skip.reason, skip.by) for skip in report.skipped} == {
        ("song/bass 2.wav", "not_audio", None),
        ("song/mixture.wav", "mixture", None),
    }


@pytest.mark.parametrize(("rate", "refused"), [(383_999, True), (384_000, False), (44_101, False)])
def test_sample_rates_that_flac_does_not_support_are_refused(tmp_path: Path, rate: int, refused: bool) -> None:
    make = functools.partial(converting.Converter, tmp_path / "in", tmp_path / "out", rate)
    assert make(audio_format="wav").sample_rate == rate
    if refused:
        with pytest.raises(ConfigError, match=f"FLAC does not support {rate} Hz"):
            make()
    else:
        assert make().audio_format == "flac"


def test_a_link_that_the_system_refuses_names_the_way_out(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", str(target))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with pytest.raises(ConfigError, match=r"--link hardlink: .*vocals\.flac cannot be linked") as caught:
        export(data.write(), "zfturbo", tmp_path / "out", link="hardlink", **OPTIONS)
    assert caught.value.hint == "use --link copy"
    assert not list(tmp_path.rglob("*.tmp"))
    assert export(data.write(), "zfturbo", tmp_path / "out", link="copy", **OPTIONS).num_audio == 4


class TestDestination:
    """New, empty, or its own from before: nothing else is written into."""

    def test_a_folder_with_something_in_it_is_refused_and_left_alone(self, data: Dataset, tmp_path: Path) -> None:
        (tmp_path / "out" / "audio").mkdir(parents=True)
        (tmp_path / "out" / "letter.txt").write_text("dear")
        with pytest.raises(ConfigError, match=r"is not empty: it holds audio and 1 more\n") as caught:
            export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS)
        assert caught.value.hint == "give a new folder"
        assert snapshot(tmp_path / "out") == {"letter.txt": b"dear"}

    def test_an_empty_folder_will_do(self, data: Dataset, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / ".DS_Store").write_bytes(b"")
        assert len(rows(export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS).files[0].parent)) == 4

    def test_a_file_is_no_folder(self, data: Dataset, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("dear")
        with pytest.raises(ConfigError, match="is a file"):
            export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS)

    def test_an_export_of_another_dataset_is_refused(
        self, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data.write().rename(tmp_path / "mine.json")
        monkeypatch.chdir(tmp_path)
        export("mine.json", "zfturbo", "out", **OPTIONS)
        before = snapshot(tmp_path / "out")
        data.write().rename(tmp_path / "hers.json")
        with pytest.raises(ConfigError, match=r"^out holds the output of export for mine\.json, not for hers\.json\n"):
            export("hers.json", "zfturbo", "out", **OPTIONS)
        assert snapshot(tmp_path / "out") == before

    def test_an_interrupted_export_goes_on(
        self, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data.add("song/bass_2.wav", tone(60, channels=1), ["bass"])
        data.add("song/bass_3.wav", tone(70, channels=1), ["bass"])
        refined = data.write()
        export(refined, "zfturbo", tmp_path / "whole", **OPTIONS)
        create = files.create

        def killed(path: Path, *rest: Any, **more: Any) -> Any:
            if path.name.startswith("bass_3"):
                raise KeyboardInterrupt
            return create(path, *rest, **more)

        with monkeypatch.context() as patch:
            patch.setattr(files, "create", killed)
            with pytest.raises(KeyboardInterrupt):
                export(refined, "zfturbo", tmp_path / "out", **OPTIONS)
        assert not (tmp_path / "out" / "zfturbo.csv").exists()
        report = export(refined, "zfturbo", tmp_path / "out", **OPTIONS)
        assert [path.name for path in report.files[1:]] == [
            path.name for path in sorted((tmp_path / "whole").rglob("*.flac"))
        ]

    def test_other_settings_of_the_same_export_will_do(self, data: Dataset, tmp_path: Path) -> None:
        export(data.write(), "zfturbo", tmp_path / "out", **OPTIONS)
        again = export(data.write(), "zfturbo", tmp_path / "out", **{**OPTIONS, "sample_rate": 2 * RATE})
        assert all(soundfile.info(path).samplerate == 2 * RATE for _, path in rows(tmp_path / "out"))
        record = json.loads((tmp_path / "out" / "export.json").read_text())
        assert (record["command"], record["config"]["to"], record["config"]["sample_rate"]) == (
            "export", "zfturbo", 2 * RATE,
        )  # fmt: skip
        assert tmp_path / "out" / "export.json" not in again.files


def test_the_source_is_never_written_to(data: Dataset) -> None:
    refined = data.write()
    for destination in (data.folder, data.folder / "out"):
        with pytest.raises(ConfigError, match="is inside the source"):
            export(refined, "zfturbo", destination, **OPTIONS)


def test_unknown_layouts_and_options_are_refused_with_the_known_ones(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='no layout named "zfturb"') as caught:
        export(data.write(), "zfturb", tmp_path / "out")
    assert "zfturbo" in caught.value.hint
    with pytest.raises(ConfigError, match='no setting named "alow_empty"') as caught:
        export(data.write(), "zfturbo", tmp_path / "out", alow_empty=True)
    assert "allow_empty" in caught.value.hint
    assert base.writer("zfturbo") == zfturbo.ZFTurbo()  # options of one export do not stay
