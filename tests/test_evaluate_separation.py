"""Estimates compared with references on disk: pairing, failures, output files, and exit codes."""

from __future__ import annotations

import csv
import importlib
import json
import re
import shlex
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import json_page
import numpy as np
import pytest
import soundfile
from museval_reference import museval
from scipy import signal
from synthetic_stems import LIKE
from typer.testing import CliRunner, Result

from stemclean import manifest
from stemclean.cli import app
from stemclean.errors import ConfigError, SkipReason
from stemclean.evaluate_separation import classes, evaluate_separation
from stemclean.evaluating.pairing import REASONS
from stemclean.evaluating.results import track_file
from stemclean.manifest import Source
from stemclean.metrics import separation
from stemclean.outputs import only_writer

RATE = 8000
QUICK = ["sdr", "sdx-sdr", "si-sdr"]
"""What needs no filters."""


def run(command: str) -> Result:
    return CliRunner().invoke(app, shlex.split(command), prog_name="stemclean", env={"NO_COLOR": "1"})


def read(path: Path) -> np.ndarray:
    """Shape: (channel, time)."""
    return soundfile.read(path, dtype="float64", always_2d=True)[0].T


def write(path: Path, sound: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound.T, rate, subtype="FLOAT" if path.suffix == ".wav" else "PCM_24")


@pytest.fixture
def references(tmp_path: Path, make_dataset: Callable[..., Path]) -> Path:
    """Two songs of two and a half seconds, with mixtures beside the stems."""
    folder = make_dataset(tmp_path / "reference", seconds=2.5, rate=RATE)
    for song in folder.iterdir():
        write(song / "mixture.wav", sum(read(stem) for stem in sorted(song.iterdir())))
    return folder


@pytest.fixture
def estimates(tmp_path: Path, references: Path) -> Path:
    """Each stem with some of the song's other stems, and a little noise."""
    rng = np.random.default_rng(0)
    for song in references.iterdir():
        mixture = read(song / "mixture.wav")
        for label in LIKE:
            stem = read(song / f"{label}.wav")
            estimate = stem + 0.1 * (mixture - stem) + 0.01 * rng.standard_normal(stem.shape)
            write(tmp_path / "estimate" / song.name / f"{label}.wav", estimate)
    return tmp_path / "estimate"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def reasons(report: dict[str, Any]) -> set[str]:
    codes = {failure["reason"] for failure in report["failures"]}
    assert codes <= {*REASONS, *SkipReason}
    return codes


def pairs(references: Path, estimates: Path, song: str = "song 1") -> tuple[np.ndarray, np.ndarray]:
    both = [np.stack([read(folder / song / f"{label}.wav") for label in LIKE]) for folder in (references, estimates)]
    return both[0], both[1]


class TestFigures:
    def test_figures_of_files_equal_those_of_arrays(self, references: Path, estimates: Path, out: Path) -> None:
        report = evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True)
        songs = [
            separation.evaluate(*pairs(references, estimates, f"song {n}"), RATE, list(LIKE), QUICK) for n in (1, 2)
        ]
        for key, scores in report["scores"].items():
            for label in (*LIKE, "average"):
                # Two songs: median and mean are the same. Documents hold five decimals.
                assert scores[label] == pytest.approx(np.mean([song[f"{key}/{label}"] for song in songs]), abs=1e-5)
        assert report["tracks"][0]["scores"]["si_sdr_db"]["bass"] == pytest.approx(songs[0]["si_sdr_db/bass"], abs=1e-5)
        assert (report["num_tracks"], report["failures"]) == (2, [])

    def test_medians_and_means_are_reported(self, tmp_path: Path, out: Path) -> None:
        """Three songs of one class whose SDR is 0, 6 and 30 dB."""
        sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 2 * RATE))
        for song, factor in (("a", 2.0), ("b", 1.5), ("c", 1.0 + 10**-1.5)):
            write(tmp_path / "reference" / song / "bass.wav", sound)
            write(tmp_path / "estimate" / song / "bass.wav", factor * sound)
        scores = evaluate_separation(tmp_path / "reference", tmp_path / "estimate", out, metrics=QUICK[:2], quiet=True)
        # Single precision on disk: 1e-7 of the sound, against an error that is 30 dB below it.
        assert scores["scores"]["bsseval_v4_sdr_db"]["bass"] == pytest.approx(20 * np.log10(2), abs=1e-4)
        assert scores["scores"]["sdx23_sdr_db"]["bass"] == pytest.approx((0 + 20 * np.log10(2) + 30) / 3, abs=1e-4)

    def test_the_number_of_workers_does_not_change_the_result(
        self, references: Path, estimates: Path, tmp_path: Path
    ) -> None:
        written = []
        for workers in (1, 4):
            folder = tmp_path / str(workers)
            evaluate_separation(references, estimates, folder, metrics=QUICK, workers=workers, quiet=True)
            written.append({path.name: path.read_bytes() for path in folder.rglob("*.json")})
        assert len(written[0]) == 3
        assert written[0] == written[1]

    def test_all_metrics_are_written(self, references: Path, estimates: Path, out: Path) -> None:
        report = evaluate_separation(
            references, estimates, out, profile=classes("bass,drums"), metrics=["sdr", "isr", "sir", "sar"], quiet=True
        )
        reference, estimate = (sound[[1, 0]] for sound in pairs(references, estimates))  # LIKE begins with drums, bass
        expected = separation.bss_eval(reference.astype(np.float32), estimate.astype(np.float32), RATE)
        for name, values in zip(("sdr", "isr", "sir", "sar"), expected, strict=True):
            scores = report["tracks"][0]["scores"][f"bsseval_v4_{name}_db"]
            medians = separation.over_frames(values)
            # The same numbers through files of single precision; five decimals.
            assert [scores["bass"], scores["drums"]] == pytest.approx(medians.tolist(), abs=1e-4)


class TestMuseval:
    def test_museval_reads_our_documents(self, references: Path, estimates: Path, out: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            silent = read(references / "song 1" / "bass.wav")
            silent[:, :RATE] = 0.0  # a frame without any value
            write(references / "song 1" / "bass.wav", silent)
            report = evaluate_separation(
                references,
                estimates,
                out,
                profile=classes("bass,drums"),
                metrics=["sdr", "isr", "sir", "sar"],
                quiet=True,
            )
            schema = json.loads((Path(museval().__file__).parent / "musdb.schema.json").read_text(encoding="utf-8"))
            document = json.loads((out / "test" / "song 1.json").read_text(encoding="utf-8"))
            importlib.import_module("jsonschema").validate(document, schema)
            store = museval().EvalStore()
            store.add_eval_dir(out)
            medians = store.agg_frames_tracks_scores()
        assert [frame["metrics"] == {} for frame in document["targets"][0]["frames"]] == [True, False]
        for name in ("SDR", "ISR", "SIR", "SAR"):
            for label in ("bass", "drums"):
                ours = report["scores"][f"bsseval_v4_{name.lower()}_db"][label]
                assert medians[label, name] == pytest.approx(ours, abs=1e-5)  # the median of rounded values


class TestWhatIsListed:
    def test_missing_and_extra_songs_are_listed(self, references: Path, estimates: Path, out: Path) -> None:
        whole = evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True)
        (estimates / "song 1" / "bass.wav").unlink()
        (references / "song 2" / "drums.wav").unlink()
        shutil.copytree(estimates / "song 1", estimates / "song 9")
        shutil.copytree(references / "song 1", references / "song 8")
        report = evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True)
        listed = {(failure["reason"], failure["path"]) for failure in report["failures"]}
        assert listed == {
            ("missing_estimate", "song 1/bass"),
            ("extra_estimate", (estimates / "song 2" / "drums.wav").as_posix()),
            ("missing_track", "song 8"),
            ("extra_track", "song 9"),
        }
        for before, after in zip(whole["tracks"], report["tracks"], strict=True):
            for key in ("sdx23_sdr_db", "si_sdr_db"):
                assert after["scores"][key].items() <= before["scores"][key].items()  # the rest is intact

    def test_a_file_that_fails_midway_skips_its_class(self, references: Path, estimates: Path, out: Path) -> None:
        path = estimates / "song 1" / "bass.wav"
        broken = read(path)
        broken[:, -1] = np.nan
        write(path, broken)
        report = evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True)
        assert [(failure["path"], failure["reason"]) for failure in report["failures"]] == [
            (path.as_posix(), "non_finite")
        ]
        assert report["tracks"][0]["classes"] == ["vocals", "drums", "other"]
        assert report["tracks"][1]["classes"] == ["vocals", "bass", "drums", "other"]

    def test_a_side_without_usable_files_gives_the_reason(
        self, references: Path, estimates: Path, out: Path, tmp_path: Path
    ) -> None:
        lost = tmp_path / "lost" / "song 1"
        write(lost / "take 1.wav", read(estimates / "song 1" / "bass.wav"))
        write(lost / "no_vocals.wav", read(estimates / "song 1" / "bass.wav"))
        ran = run(f"eval separation '{references}' '{lost.parent}' -o '{out}'")
        assert ran.exit_code == 2
        assert "take 1.wav: class_unknown" in ran.output
        with pytest.raises(ConfigError, match="no file in it can be used") as caught:
            evaluate_separation(references, lost.parent, out, metrics=QUICK, quiet=True)
        assert 'take 1.wav: class_unknown ("take 1" names no class' in caught.value.hint
        assert "no_vocals.wav: mixture" in caught.value.hint
        assert "matched to these classes: vocals, bass, drums, other" in caught.value.hint

    def test_hints_name_the_requested_classes(self, references: Path, estimates: Path, out: Path) -> None:
        for song in ("song 1", "song 2"):
            for folder in (references, estimates):
                write(folder / song / "accompaniment.wav", read(estimates / song / "bass.wav"))
        write(estimates / "song 1" / "take 1.wav", read(estimates / "song 1" / "bass.wav"))
        ran = run(f"eval separation '{references}' '{estimates}' --classes karaoke --metrics sdr -o '{out}'")
        assert ran.exit_code == 3
        assert "put one of vocals, accompaniment into its name" in ran.output

    def test_an_unreadable_song_is_listed(self, references: Path, estimates: Path, out: Path) -> None:
        for path in (references / "song 1").glob("*.wav"):
            path.write_bytes(path.read_bytes()[:1000])
        report = evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True)
        assert [track["track"] for track in report["tracks"]] == ["song 2"]
        assert reasons(report) == {"truncated", "extra_track"}

    def test_rates_and_channels_that_differ(self, references: Path, estimates: Path, out: Path) -> None:
        write(estimates / "song 1" / "bass.wav", read(estimates / "song 1" / "bass.wav"), 2 * RATE)
        write(estimates / "song 1" / "drums.wav", np.ones((3, RATE)))
        write(estimates / "song 1" / "other.wav", read(estimates / "song 1" / "other.wav").mean(axis=0, keepdims=True))
        report = evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True)
        assert reasons(report) == {"sample_rate_differs", "channels_differ"}
        assert report["tracks"][0]["classes"] == ["vocals", "other"]  # mono is copied to both channels

    def test_lengths_that_differ(self, references: Path, estimates: Path, out: Path) -> None:
        whole = evaluate_separation(references, estimates, out, metrics=["sdr"], quiet=True)["tracks"][0]
        path = estimates / "song 1" / "bass.wav"
        write(path, np.concatenate([read(path), np.ones((2, 99))], axis=1))
        write(estimates / "song 1" / "drums.wav", read(estimates / "song 1" / "drums.wav")[:, : 2 * RATE + 1])
        report = evaluate_separation(references, estimates, out, metrics=["sdr"], quiet=True)
        track = report["tracks"][0]
        assert track["lengths"] == {"bass": 20099, "drums": 16001}
        assert (track["num_samples"], track["num_frames"]) == (20000, 2)
        assert track["scores"] == whole["scores"]  # what was added or lost lies after the last whole frame
        assert report["failures"] == []

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_a_table_being_written_by_another_run_is_refused(
        self, references: Path, estimates: Path, out: Path, tmp_path: Path, kind: str
    ) -> None:
        if kind == "parquet":
            pytest.importorskip("pyarrow")
        table = tmp_path / f"table.{kind}"
        with only_writer(table), pytest.raises(ConfigError, match=f"table.{kind}: another run is writing it"):
            evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True, **{kind: table})
        assert not table.exists() and not (out / "summary.json").exists()
        evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True, **{kind: table})
        assert table.exists()

    def test_silent_stems_are_listed(self, references: Path, estimates: Path, out: Path) -> None:
        write(references / "song 1" / "bass.wav", np.zeros((2, 20000)))
        write(estimates / "song 2" / "drums.wav", np.zeros((2, 20000)))
        result = run(f"eval separation {references} {estimates} -o {out} --metrics sdr,sdx-sdr --json")
        report = json.loads(result.stdout)
        assert result.exit_code == 0
        assert json_page.disagreements("eval separation", report) == []
        assert report["tracks"][0]["silent_references"] == ["bass"]
        assert report["tracks"][1]["silent_estimates"] == ["drums"]
        assert report["tracks"][0]["scores"]["bsseval_v4_sdr_db"]["bass"] is None
        assert report["tracks"][0]["scores"]["bsseval_v4_sdr_db"]["vocals"] is not None
        assert report["tracks"][1]["scores"]["sdx23_sdr_db"]["drums"] == 0.0
        assert "song 1: the reference of bass is silent" in result.stderr
        assert "song 2: the estimate of drums is silent" in result.stderr

    def test_references_empty_in_a_band_are_listed(self, tmp_path: Path, out: Path) -> None:
        """As of a lossy file: half of the spectrum holds nothing at all."""
        rng = np.random.default_rng(0)
        low_pass = signal.cheby2(12, 120, 0.5, output="sos")
        for label in ("vocals", "drums"):
            stem = signal.sosfiltfilt(low_pass, 0.1 * rng.standard_normal((2, 20000)), axis=1)
            write(tmp_path / "reference" / "song" / f"{label}.wav", stem)
            write(tmp_path / "estimate" / "song" / f"{label}.wav", stem + 0.01 * rng.standard_normal(stem.shape))
        command = f"eval separation {tmp_path / 'reference'} {tmp_path / 'estimate'} -o {out}"
        result = run(f"{command} --metrics sdr,sir,sir-reg --json")
        report = json.loads(result.stdout)
        assert result.exit_code == 0
        assert json_page.disagreements("eval separation", report) == []
        assert report["not_determined"] == {"bsseval_v4_sir_db": {"vocals": 1, "drums": 1}}
        assert report["tracks"][0]["not_determined"] == {"bsseval_v4_sir_db": ["vocals", "drums"]}
        assert report["scores"]["bsseval_v4_sir_db"] == {"vocals": None, "drums": None, "average": None}
        pair = [
            np.stack([read(tmp_path / side / "song" / f"{label}.wav") for label in ("vocals", "drums")])
            for side in ("reference", "estimate")
        ]
        by_array = separation.evaluate(*pair, RATE, ["vocals", "drums"], ["sir-reg"])
        for label, value in report["scores"]["bsseval_v4_regularised_sir_db"].items():
            assert value == pytest.approx(by_array[f"bsseval_v4_regularised_sir_db/{label}"], abs=1e-5)
        assert report["scores"]["bsseval_v4_sdr_db"]["average"] > 10
        frames = json.loads((out / report["tracks"][0]["file"]).read_text(encoding="utf-8"))["targets"][0]["frames"]
        assert all(set(frame["metrics"]) == {"SDR"} for frame in frames)  # museval's stores read NaN for the rest
        shown = run(f"{command} --metrics sdr,sir")
        assert re.search(r"SIR, BSSEval v4 +n/d +n/d +n/d", shown.stdout)
        assert "sir: not determined (n/d) in 1 song" in shown.stderr
        assert "use --metrics sir-reg" in shown.stderr

    def test_trimmed_and_multi_class_estimates_are_listed(self, references: Path, estimates: Path, out: Path) -> None:
        from stemclean import layouts

        data, folder = layouts.load(estimates, quiet=True)
        source = Source(path="x.wav", sample_rate=RATE, num_samples=40000)
        stems = [s.model_copy(update={"source": source}) if s.id == "song 1/bass" else s for s in data.stems]
        two = [s.model_copy(update={"labels": ["drums", "other"]}) if s.id == "song 2/drums" else s for s in stems]
        listed = manifest.write(data.with_stems(two, root=folder.as_posix()), estimates.parent / "estimate.json")
        report = evaluate_separation(references, listed, out, metrics=["sdr"], quiet=True)
        assert reasons(report) == {"trimmed", "several_classes", "missing_estimate"}
        assert report["tracks"][0]["classes"] == ["vocals", "drums", "other"]
        assert report["tracks"][1]["classes"] == ["vocals", "bass"]


class TestPairing:
    def test_parts_of_a_reference_are_summed(self, references: Path, estimates: Path, out: Path) -> None:
        whole = evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True)
        path = references / "song 1" / "vocals.wav"
        part = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 12345))
        rest = read(path)
        rest[:, :12345] -= part
        write(path.with_name("Lead Vox.wav"), part)
        write(path.with_name("Backing Vox.wav"), rest)
        path.unlink()
        report = evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True)
        assert report["failures"] == []
        for key, values in whole["tracks"][0]["scores"].items():
            # Parts in single precision add up to the whole within 1e-7.
            assert report["tracks"][0]["scores"][key] == pytest.approx(values, abs=1e-3)

    def test_the_exact_name_is_preferred_and_nothing_is_guessed(
        self, references: Path, estimates: Path, out: Path
    ) -> None:
        whole = evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True)
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 20000))
        write(estimates / "song 1" / "backing vocals.wav", noise)
        write(estimates / "song 1" / "no_vocals.wav", noise)  # a mixture of the others, which is no failure
        for name in ("kick.wav", "snare.wav"):
            write(estimates / "song 2" / name, noise[:, :: -1 if name == "snare.wav" else 1])
        (estimates / "song 2" / "drums.wav").unlink()
        report = evaluate_separation(references, estimates, out, metrics=QUICK, quiet=True)
        assert report["tracks"][0]["scores"] == whole["tracks"][0]["scores"]
        assert report["tracks"][1]["classes"] == ["vocals", "bass", "other"]
        assert reasons(report) == {"extra_file", "several_files", "missing_estimate"}

    def test_songs_in_another_folder(self, references: Path, estimates: Path, tmp_path: Path, out: Path) -> None:
        shutil.copytree(references, tmp_path / "musdb" / "test")
        report = evaluate_separation(tmp_path / "musdb", estimates, out, metrics=["sdr"], quiet=True)
        assert [track["track"] for track in report["tracks"]] == ["test/song 1", "test/song 2"]
        assert (out / "test" / "song 1.json").is_file()

    def test_two_folders_of_one_song_are_refused(self, references: Path, estimates: Path, out: Path) -> None:
        report = evaluate_separation(references / "song 1", estimates / "song 2", out, metrics=["sdr"], quiet=True)
        assert (report["num_tracks"], report["failures"]) == (1, [])

    def test_classes_of_any_profile_are_scored(self, references: Path, estimates: Path, out: Path) -> None:
        for folder in (references, estimates):
            (folder / "song 1" / "other.wav").rename(folder / "song 1" / "guitar.wav")
        result = run(
            f"eval separation {references} {estimates} -o {out} --metrics sdr --classes guitar,vocals --json -q"
        )
        report = json.loads(result.stdout)
        assert list(report["scores"]["bsseval_v4_sdr_db"]) == ["average", "guitar", "vocals"]
        assert [track["classes"] for track in report["tracks"]] == [["guitar", "vocals"], ["vocals"]]
        assert (result.exit_code, report["failures"]) == (0, [])  # drums and bass were not asked for

    @pytest.mark.parametrize(
        ("track", "file"), [("a/../b", "test/a/b.json"), ("/etc/x", "test/etc/x.json"), ("..", "test/track.json")]
    )
    def test_documents_stay_in_their_folder(self, track: str, file: str) -> None:
        assert track_file(track, set()) == file

    def test_documents_do_not_overwrite_each_other(self) -> None:
        taken: set[str] = set()
        assert [track_file(name, taken) for name in ("Song", "test/Song", "song")] == [
            "test/Song.json",
            "test/Song (2).json",
            "test/song (3).json",
        ]


class TestRefused:
    def test_sides_without_a_common_song_are_refused(self, references: Path, estimates: Path, out: Path) -> None:
        for number in (1, 2):
            (estimates / f"song {number}").rename(estimates / f"no {number}")
        with pytest.raises(ConfigError, match='named like "song 1" in the references and "no 1" in the estimates'):
            evaluate_separation(references, estimates, out, quiet=True)
        assert not out.exists()

    def test_folders_of_classes(self, references: Path, tmp_path: Path, out: Path) -> None:
        for path in references.rglob("*.wav"):
            write(tmp_path / "classes" / path.stem / f"{path.parent.name}.wav", read(path))
        with pytest.raises(ConfigError, match="which files belong to one song"):
            evaluate_separation(tmp_path / "classes", tmp_path / "classes", out, quiet=True)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("--metrics sdr,nsdr", 'no metric named "nsdr"'),
            ("--metrics ,", "no metric is named"),
            ("--classes ,", "no classes"),
        ],
    )
    def test_invalid_options_are_refused(self, references: Path, estimates: Path, options: str, message: str) -> None:
        result = run(f"eval separation {references} {estimates} {options}")
        assert result.exit_code == 2
        assert message in result.stderr

    def test_a_file_in_place_of_the_folder_is_refused(self, references: Path, estimates: Path, out: Path) -> None:
        out.write_text("")
        with pytest.raises(ConfigError, match="this is a file"):
            evaluate_separation(references, estimates, out, quiet=True)

    def test_missing_pyarrow_is_reported_before_any_work(
        self, references: Path, estimates: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nothing(name: str) -> None:
            raise ImportError(name)

        monkeypatch.setattr(importlib, "import_module", nothing)
        with pytest.raises(ConfigError, match=r"pip install \"stemclean\[parquet\]\""):
            evaluate_separation(references, estimates, out, parquet=out / "x.parquet", quiet=True)
        assert not out.exists()


def test_every_reason_is_documented() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE)).items() >= REASONS.items()


class TestCommand:
    def test_tables_csv_and_exit_code(self, references: Path, estimates: Path, out: Path) -> None:
        (estimates / "song 2" / "bass.wav").unlink()
        result = run(f"eval separation {references} {estimates} -o {out} --metrics sdr,sdx-sdr --csv {out}.csv")
        assert result.exit_code == 3
        assert "song 2/bass: missing_estimate" in result.stderr
        lines = [line.split() for line in result.stdout.splitlines()]
        assert lines[0] == ["Separation,", "dB", "(2", "songs)"]
        assert lines[1] == ["metric", "vocals", "bass", "drums", "other", "average"]
        summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        shown = summary["scores"]["bsseval_v4_sdr_db"]
        assert lines[3] == ["SDR,", "BSSEval", "v4", *(f"{shown[label]:.2f}" for label in lines[1][1:])]
        with Path(f"{out}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["track"], row["class"]) for row in rows][-1] == ("song 2", "other")
        assert len(rows) == 7
        assert float(rows[0]["sdx23_sdr_db"]) == summary["tracks"][0]["scores"]["sdx23_sdr_db"]["vocals"]

    def test_parquet_output(self, references: Path, estimates: Path, out: Path) -> None:
        parquet = pytest.importorskip("pyarrow.parquet")
        write(references / "song 1" / "bass.wav", np.zeros((2, 20000)))
        evaluate_separation(references, estimates, out, metrics=["sdr"], parquet=out / "x.parquet", quiet=True)
        table = parquet.read_table(out / "x.parquet")
        assert table.column_names == ["track", "class", "bsseval_v4_sdr_db"]
        assert table.column("bsseval_v4_sdr_db").null_count == 1
        assert table.num_rows == 8

    def test_the_object_is_documented(self, references: Path, estimates: Path, out: Path) -> None:
        (estimates / "song 2" / "bass.wav").unlink()
        result = run(f"eval separation {references} {estimates} -o {out} --metrics sdr,si-sdr --json -q")
        report = json.loads(result.stdout)
        assert json_page.undocumented("eval separation", report) == []
        assert json_page.missing("eval separation", report) == []
