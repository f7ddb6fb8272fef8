"""Pitch metrics equal mir_eval's, songs are paired by name, and a bad song does not stop the others."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import json_page
import mir_eval
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stemclean import layouts, manifest
from stemclean.audio.f0 import F0Track
from stemclean.cli import app
from stemclean.errors import ConfigError
from stemclean.evaluate_pitch import evaluate_pitch
from stemclean.layouts import f0_labels
from stemclean.manifest import F0
from stemclean.metrics import pitch
from stemclean.outputs import only_writer

IN_TMP = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
SAME = 1e-9
"""What the arithmetic of times written with nine decimals may cost; the sums themselves are mir_eval's."""

THEIRS = {
    "raw_pitch_accuracy": "Raw Pitch Accuracy",
    "raw_chroma_accuracy": "Raw Chroma Accuracy",
    "overall_accuracy": "Overall Accuracy",
    "voicing_recall": "Voicing Recall",
    "voicing_false_alarm": "Voicing False Alarm",
}


def sung(seed: int, hop: float = 0.01, start: float = 0.0, seconds: float = 3.0) -> F0Track:
    """Phrases with glides and vibrato, pauses between; from 170 Hz, so that an octave lower is still read as Hz."""
    rng = np.random.default_rng(seed)
    time = start + np.arange(round(seconds / hop)) * hop
    cents = 5800 + 900 * np.sin(time + rng.uniform(0, 6)) + 40 * np.sin(2 * np.pi * 5.5 * time)
    f0_hz = 10 * 2 ** (cents / 1200) * ((time + rng.uniform(0, 1)) % 1.1 < 0.8)
    return F0Track.of(f0_hz, hop, start)


def noisy_estimate(true: F0Track, seed: int, hop: float, start: float) -> F0Track:
    """An imperfect estimate: some cents off, octaves and whole phrases wrong, guesses in unvoiced frames."""
    rng = np.random.default_rng(seed)
    track = true.resampled(hop, start)
    f0_hz = track.f0_hz * 2 ** (rng.normal(0, 35, track.num_frames) / 1200) * rng.choice([0.5, 1, 1, 1, 2, 1.3])
    f0_hz = np.where(rng.random(track.num_frames) < 0.1, 0, f0_hz)
    f0_hz = np.where((f0_hz == 0) & (rng.random(track.num_frames) < 0.3), rng.uniform(100, 500), f0_hz)
    voicing = np.where(f0_hz > 0, np.round(rng.random(track.num_frames)), 0.0)
    return F0Track(f0_hz, voicing, hop, start)


def of_mir_eval(reference: Path, estimate: Path) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sides = [mir_eval.io.load_time_series(str(path)) for path in (reference, estimate)]
        return dict(mir_eval.melody.evaluate(*sides[0], *sides[1]))


grids = st.sampled_from([(0.01, 0.0), (0.02, 0.02), (256 / 44100, 0.0), (0.032, 0.016), (0.005, 0.0)])


class TestMirEval:
    @IN_TMP
    @given(first=grids, second=grids, seed=st.integers(0, 10_000))
    def test_figures_equal_mir_eval(
        self, tmp_path: Path, first: tuple[float, float], second: tuple[float, float], seed: int
    ) -> None:
        true = sung(seed, *first)
        paths = tmp_path / "ref.txt", tmp_path / "est.txt"
        f0_labels.write(true, paths[0], "mir_eval")
        f0_labels.write(noisy_estimate(true, seed, *second), paths[1], "mir_eval")
        (track,) = evaluate_pitch(*paths, quiet=True)["tracks"]
        theirs = of_mir_eval(*paths)
        for key, name in THEIRS.items():
            assert track["scores"][key] == pytest.approx(theirs[name], abs=SAME), key

    def test_figures_match_hand_computed_cases(self) -> None:
        """Ten frames, the first six voiced: two right, one an octave off, one a fifth off, one missed with the right
        guess, one missed without; of the four unvoiced one is held for voiced."""
        true = F0Track.of(np.array([220.0] * 6 + [0.0] * 4), 0.01)
        estimate = F0Track(
            np.array([220.0, 223.0, 440.0, 330.0, 220.0, 0, 0, 0, 110.0, 0]),
            np.array([1.0, 1, 1, 1, 0, 0, 0, 0, 1, 0]),
            0.01,
        )
        scores = pitch.evaluate(true, estimate)
        assert scores["raw_pitch_accuracy"] == pytest.approx(3 / 6)
        assert scores["raw_chroma_accuracy"] == pytest.approx(4 / 6)
        assert scores["voicing_recall"] == pytest.approx(4 / 6)
        assert scores["voicing_false_alarm"] == pytest.approx(1 / 4)
        assert scores["overall_accuracy"] == pytest.approx((2 + 3) / 10)

    def test_figures_with_a_zero_denominator_are_null(self) -> None:
        silence, voice = F0Track.of(np.zeros(50), 0.01), F0Track.of(np.full(50, 200.0), 0.01)
        of_silence = pitch.evaluate(silence, voice)
        assert [key for key, value in of_silence.items() if value is None] == [
            "raw_pitch_accuracy",
            "raw_chroma_accuracy",
            "voicing_recall",
        ]
        assert (of_silence["overall_accuracy"], of_silence["voicing_false_alarm"]) == (0.0, 1.0)
        of_voice = pitch.evaluate(voice, silence)
        assert of_voice["voicing_false_alarm"] is None and of_voice["raw_pitch_accuracy"] == 0.0
        nothing = F0Track.of(np.zeros(0), 0.01)
        assert set(pitch.evaluate(nothing, voice).values()) == {None}
        assert pitch.evaluate(voice, nothing) == of_voice  # where nothing was found, nothing was: it counts
        mean = pitch.mean([of_silence, of_voice])
        assert mean["raw_pitch_accuracy"] == 0.0 and mean["voicing_false_alarm"] == 1.0
        assert set(pitch.mean([]).values()) == {None}

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 10_000), octaves=st.integers(-2, 2))
    def test_octave_errors_change_pitch_but_not_chroma(self, seed: int, octaves: int) -> None:
        true = sung(seed)
        moved = F0Track(true.f0_hz * 2.0**octaves, true.voicing, true.hop, true.start)
        scores = pitch.evaluate(true, moved)
        assert scores["raw_chroma_accuracy"] == scores["voicing_recall"] == 1.0
        assert scores["raw_pitch_accuracy"] == (1.0 if octaves == 0 else 0.0)


@pytest.fixture
def songs(tmp_path: Path) -> tuple[Path, Path]:
    """Three songs with labels of MIR-1K's kind, and estimates in our own."""
    true, estimated = tmp_path / "true", tmp_path / "found"
    for number in range(3):
        label = sung(number, 0.02, 0.02)
        f0_labels.write(label, true / f"song {number}" / "f0.pv", "mir1k")
        f0_labels.write(noisy_estimate(label, number, 0.01, 0.0), estimated / f"song {number}.f0.csv")
        time = np.arange(round(3.1 * 8000)) / 8000
        tone = 0.3 * np.sin(2 * np.pi * np.cumsum(np.interp(time, label.times, label.f0_hz)) / 8000)
        soundfile.write(true / f"song {number}" / "vocals.wav", tone, 8000)
    return true, estimated


class TestPairing:
    def test_folders_are_paired_by_song(self, songs: tuple[Path, Path]) -> None:
        report = evaluate_pitch(*songs, quiet=True)
        assert [track["track"] for track in report["tracks"]] == ["song 0", "song 1", "song 2"]
        assert report["num_tracks"] == 3 and report["failures"] == []
        for key, value in report["scores"].items():
            assert value == pytest.approx(np.mean([track["scores"][key] for track in report["tracks"]]), abs=1e-9)

    @pytest.mark.parametrize(
        "name", ["song 0/f0.csv", "song 0/vocals.f0.csv", "song 0/vox_pitch.csv", "x/song 0.f0.csv"]
    )
    def test_equivalent_names_are_paired(self, songs: tuple[Path, Path], tmp_path: Path, name: str) -> None:
        f0_labels.write(sung(0), tmp_path / "other" / name)
        (track,) = evaluate_pitch(songs[0], tmp_path / "other", quiet=True)["tracks"]
        assert track["track"] == "song 0"

    def test_plain_names_are_paired_if_unambiguous(self, songs: tuple[Path, Path], tmp_path: Path) -> None:
        for number in range(3):
            f0_labels.write(sung(number), tmp_path / "plain" / f"song {number}.txt", "mir_eval")
        assert evaluate_pitch(songs[0], tmp_path / "plain", quiet=True)["num_tracks"] == 3

    def test_manifests_name_the_f0_of_their_stems(self, songs: tuple[Path, Path], tmp_path: Path) -> None:
        true = layouts.scan(songs[0], quiet=True)
        reference = manifest.write(true.model_copy(update={"root": "true"}), tmp_path / "true.json")
        guesses = [
            F0(path=f"found/song {number}.f0.csv", format="stemclean", by="file:x", confidence=0.5)
            for number in range(2)
        ]
        stems = [
            stem.model_copy(update={"f0": f0, "path": f"true/{stem.path}"})
            for stem, f0 in zip(true.stems, guesses, strict=False)
        ]
        kept = true.stems[2].model_copy(update={"path": "true/" + true.stems[2].path})
        estimate = manifest.write(true.with_stems([*stems, kept], root="."), tmp_path / "found.json")
        report = evaluate_pitch(reference, estimate, quiet=True)
        assert [track["track"] for track in report["tracks"]] == ["song 0", "song 1"]  # the third came with the data
        assert [f["reason"] for f in report["failures"]] == ["missing_track"]
        by_folder = evaluate_pitch(*songs, quiet=True)
        assert [track["scores"] for track in report["tracks"]] == [t["scores"] for t in by_folder["tracks"][:2]]

    def test_single_files_are_named_after_themselves_or_their_folder(self, songs: tuple[Path, Path]) -> None:
        estimate = songs[1] / "song 0.f0.csv"
        assert evaluate_pitch(songs[0] / "song 0" / "f0.pv", estimate)["tracks"][0]["track"] == "song 0"
        assert evaluate_pitch(estimate, estimate)["tracks"][0]["track"] == "song 0.f0"

    def test_notes_are_not_a_manifest(self, tmp_path: Path) -> None:
        for name in ("a.json", "b.json"):
            (tmp_path / name).write_text('{"1": [[0.0, 1.0, 60], [1.2, 2.0, 64]]}')
        assert evaluate_pitch(tmp_path / "a.json", tmp_path / "b.json")["scores"]["overall_accuracy"] == 1.0

    def test_notes_files_of_many_songs_are_paired_by_song(self, tmp_path: Path) -> None:
        both = json.dumps({"17": [[0.0, 1.0, 60]], "18": [[0.0, 0.5, 64], [0.7, 1.0, 65]]})
        for side in ("true", "found"):
            for song in ("17", "18"):
                (tmp_path / side / "set" / song).mkdir(parents=True)
                (tmp_path / side / "set" / song / "notes.json").write_text(both)
        report = evaluate_pitch(tmp_path / "true", tmp_path / "found", quiet=True)
        assert [track["num_frames"] for track in report["tracks"]] == [100, 100]
        assert [track["num_voiced"] for track in report["tracks"]] == [100, 80]
        assert report["failures"] == [] and report["scores"]["overall_accuracy"] == 1.0

    def test_the_sound_of_one_side_determines_the_format_of_the_other(self, tmp_path: Path) -> None:
        """Eighteen seconds are 900 lines of MIR-1K, and 28.8 s of iKala, whose clips last 30."""
        label = sung(0, 0.02, 0.02, seconds=18.0)
        for side in ("true", "found"):
            f0_labels.write(label, tmp_path / side / "song" / "f0.pv", "mir1k")
        soundfile.write(tmp_path / "true" / "song" / "vocals.wav", np.full(18 * 8000, 0.1), 8000)
        report = evaluate_pitch(tmp_path / "true", tmp_path / "found", quiet=True)
        assert report["scores"]["raw_pitch_accuracy"] == 1.0
        true = layouts.scan(tmp_path / "true", quiet=True)
        reference = manifest.write(true.model_copy(update={"root": "true"}), tmp_path / "true.json")
        by_manifest = evaluate_pitch(reference, tmp_path / "found", quiet=True)
        assert by_manifest["scores"]["raw_pitch_accuracy"] == 1.0

    def test_inputs_are_not_overwritten(self, songs: tuple[Path, Path]) -> None:
        for path in (songs[0] / "song 0" / "f0.pv", songs[1] / "song 1.f0.csv", songs[0] / "song 2" / "vocals.wav"):
            before = path.read_bytes()
            with pytest.raises(ConfigError, match="is an input"):
                evaluate_pitch(*songs, csv=path, quiet=True)
            assert path.read_bytes() == before

    def test_missing_and_broken_songs_are_listed(self, songs: tuple[Path, Path]) -> None:
        (songs[1] / "song 0.f0.csv").write_text("la la la")
        (songs[1] / "song 1.f0.csv").rename(songs[1] / "song 9.f0.csv")
        report = evaluate_pitch(*songs, quiet=True)
        assert [track["track"] for track in report["tracks"]] == ["song 2"]
        assert {(Path(f["path"]).name, f["reason"]) for f in report["failures"]} == {
            ("song 0.f0.csv", "f0_unreadable"),
            ("song 1", "missing_track"),
            ("song 9", "extra_track"),
        }

    def test_invalid_arguments_are_refused(self, songs: tuple[Path, Path], tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no such file or folder"):
            evaluate_pitch(songs[0], tmp_path / "nowhere")
        (tmp_path / "empty").mkdir()
        with pytest.raises(ConfigError, match="no f0 in it"):
            evaluate_pitch(songs[0], tmp_path / "empty")
        for number in (7, 8):
            f0_labels.write(sung(number), tmp_path / "strange" / f"{number}.f0.csv")
        with pytest.raises(ConfigError, match="no song has both"):
            evaluate_pitch(songs[0], tmp_path / "strange")
        (tmp_path / "bad.txt").write_text("60 61\n62\n")
        with pytest.raises(ConfigError, match="no song could be evaluated"):
            evaluate_pitch(songs[1] / "song 0.f0.csv", tmp_path / "bad.txt")


class TestPicture:
    @pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
    def test_the_worst_song_is_plotted_over_its_spectrogram(
        self, songs: tuple[Path, Path], tmp_path: Path, ending: str
    ) -> None:
        pytest.importorskip("matplotlib")
        report = evaluate_pitch(*songs, plot=tmp_path / f"a.{ending}", quiet=True)
        worst = min(report["tracks"], key=lambda track: track["scores"]["overall_accuracy"])["track"]
        assert report["plot"] == {
            "file": str(tmp_path / f"a.{ending}"),
            "track": worst,
            "audio": str(songs[0] / worst / "vocals.wav"),
        }
        assert (tmp_path / f"a.{ending}").stat().st_size > 10_000

    def test_both_f0_curves_match_the_spectrogram(self, songs: tuple[Path, Path], tmp_path: Path) -> None:
        """The tone that follows the reference is the darkest row of every column."""
        pytest.importorskip("matplotlib")
        from stemclean.audio.semitones import semitone_levels

        label = f0_labels.read(songs[0] / "song 0" / "f0.pv")
        levels, seconds = semitone_levels(songs[0] / "song 0" / "vocals.wav", 0, 30.0, 84.0)
        assert seconds == pytest.approx(3.1)
        midi = 69 + 12 * np.log2(np.maximum(label.f0_hz, 1) / 440)
        for frame in np.flatnonzero(label.voiced)[10:-10:7]:
            if not label.voiced[frame - 5 : frame + 6].all():
                continue
            column = levels[:, int(label.times[frame] / seconds * levels.shape[1])]
            assert abs(30 + np.argmax(column) / 4 - midi[frame]) < 1.5  # half a bin of 7.8 Hz at 65 Hz is a semitone

    def test_plot_song_and_sound_can_be_chosen(self, songs: tuple[Path, Path], tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        sound = songs[0] / "song 0" / "vocals.wav"
        report = evaluate_pitch(*songs, plot=tmp_path / "a.png", track="song 1", audio=sound, quiet=True)
        assert report["plot"]["track"] == "song 1" and report["plot"]["audio"] == str(sound)
        bare = evaluate_pitch(songs[1], songs[1], plot=tmp_path / "b.png", quiet=True)
        assert bare["plot"]["audio"] is None
        again = tmp_path / "c.png"
        evaluate_pitch(songs[1], songs[1], plot=again, quiet=True)
        assert again.read_bytes() == (tmp_path / "b.png").read_bytes()

    def test_an_unreadable_sound_omits_the_spectrogram(self, songs: tuple[Path, Path], tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        (tmp_path / "song.wav").write_text("no wave")
        words = ["--plot", tmp_path / "a.png", "--audio", tmp_path / "song.wav", "--json"]
        result = CliRunner().invoke(app, ["eval", "pitch", *map(str, [*songs, *words])])
        assert result.exit_code == 3
        report = json.loads(result.stdout)
        assert report["plot"]["audio"] is None and (tmp_path / "a.png").stat().st_size > 10_000
        assert [(Path(f["path"]).name, f["reason"]) for f in report["failures"]] == [("song.wav", "not_audio")]
        assert "no spectrogram: there is no readable audio file" in result.stderr

    def test_outputs_being_written_by_another_run_are_refused(self, songs: tuple[Path, Path], tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        for output in ({"csv": tmp_path / "a.csv"}, {"plot": tmp_path / "a.png"}):
            with only_writer(*output.values()), pytest.raises(ConfigError, match="another run is writing it"):
                evaluate_pitch(*songs, quiet=True, **output)
        evaluate_pitch(*songs, csv=tmp_path / "a.csv", plot=tmp_path / "a.png", quiet=True)
        assert not list(tmp_path.rglob("*.lock"))

    def test_an_impossible_plot_is_refused_at_once(
        self, songs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ConfigError, match=r"must end in \.png"):
            evaluate_pitch(*songs, plot=tmp_path / "a.jpg")
        with pytest.raises(ConfigError, match="need --plot"):
            evaluate_pitch(*songs, track="song 1")
        with pytest.raises(ConfigError, match='no song named "song 7"'):
            evaluate_pitch(*songs, plot=tmp_path / "a.png", track="song 7", quiet=True)
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ConfigError, match="matplotlib, which is not installed") as caught:
            evaluate_pitch(*songs, plot=tmp_path / "a.png")
        assert "stemclean[plots]" in caught.value.hint


Ask = Callable[..., Any]


class TestCommand:
    @pytest.fixture
    def run(self) -> Ask:
        return lambda *words: CliRunner().invoke(app, ["eval", "pitch", *map(str, words)])

    def test_text_output_shows_tables(self, songs: tuple[Path, Path], run: Ask) -> None:
        result = run(*songs)
        assert result.exit_code == 0, result.stderr
        assert "Pitch (3 songs)" in result.stdout
        assert all(word in result.stdout for word in ("RPA", "RCA", "OA", "VR", "VFA", "song 2", "mean"))

    def test_json_output_is_one_object(self, songs: tuple[Path, Path], run: Ask, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        (songs[1] / "song 0.f0.csv").unlink()
        result = run(*songs, "--json", "--quiet", "--csv", tmp_path / "a.csv", "--plot", tmp_path / "a.png")
        assert result.exit_code == 3
        report = json.loads(result.stdout)
        assert json_page.disagreements("eval pitch", report) == []
        lines = (tmp_path / "a.csv").read_text().splitlines()
        assert lines[0] == "track," + ",".join(pitch.METRICS)
        assert [line.split(",")[0] for line in lines[1:]] == ["song 1", "song 2"]

    def test_songs_without_voiced_frames_are_reported(self, run: Ask, tmp_path: Path) -> None:
        f0_labels.write(F0Track.of(np.zeros(50), 0.01), tmp_path / "a.csv")
        f0_labels.write(sung(0), tmp_path / "b.csv")
        result = run(tmp_path / "a.csv", tmp_path / "b.csv")
        assert result.exit_code == 0
        assert "1 reference has no voiced frame" in result.stderr
        assert "–" in result.stdout


def test_real_clips_agree_with_mir_eval(tmp_path: Path, mir1k: Path) -> None:
    for number, clip in enumerate(sorted(mir1k.iterdir())[::60]):
        true = f0_labels.read(clip / "f0.pv")
        f0_labels.write(true, tmp_path / "ref.txt", "mir_eval")
        f0_labels.write(noisy_estimate(true, number, 0.01, 0.0), tmp_path / "est.txt", "mir_eval")
        (track,) = evaluate_pitch(clip / "f0.pv", tmp_path / "est.txt", quiet=True)["tracks"]
        theirs = of_mir_eval(tmp_path / "ref.txt", tmp_path / "est.txt")
        for key, name in THEIRS.items():
            assert track["scores"][key] == pytest.approx(theirs[name], abs=SAME), (clip.name, key)
