"""The verb f0: voices are tracked alone and in mixtures, at any length and rate, and finished files are skipped."""

from __future__ import annotations

import json
from pathlib import Path

import json_page
import numpy as np
import pytest
import soundfile
import sung
from typer.testing import CliRunner

from stemclean.audio.f0 import F0Track
from stemclean.cli import app
from stemclean.errors import ConfigError, WeightsError
from stemclean.evaluate_pitch import evaluate_pitch
from stemclean.f0 import F0Config, find_f0
from stemclean.layouts import f0_labels
from stemclean.metrics import pitch

WELL = 0.9
"""Of all frames. Phrases begin and end within the tracker's window of 64 ms, and glides go on in it."""


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """``saved(kind)``: weights, in a folder of their own."""
    sung.register(monkeypatch)
    (tmp_path / "weights").mkdir()
    return lambda kind: sung.save_weights(tmp_path / "weights", kind)


def accuracy(true: F0Track, path: Path) -> float:
    overall = pitch.evaluate(true, f0_labels.read(path))["overall_accuracy"]
    assert overall is not None
    return overall


class TestFinding:
    @pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (11025, 1)])
    def test_a_voice_at_any_sample_rate_is_tracked(self, tmp_path, saved, rate, channels):
        true = sung.melody(4.0)
        path = sung.put_voice(tmp_path / "take.wav", true, rate, channels)
        result = find_f0([path], tmp_path / "take.f0.csv", weights_uri=saved("pitch"), quiet=True)
        assert accuracy(true, tmp_path / "take.f0.csv") > WELL
        track = f0_labels.read(tmp_path / "take.f0.csv")
        assert (track.hop, track.start, track.num_frames) == (0.01, 0.0, 401)
        assert track.confidence is not None
        assert result["config"] == {"format": "stemclean", "threshold": 0.5, "vocals": False}
        entry = result["songs"]["take"]
        assert (entry["file"], entry["num_frames"], entry["hop"]) == ("take.f0.csv", 401, 0.01)
        assert entry["num_voiced"] == track.voiced.sum()
        assert entry["confidence"] == pytest.approx(track.confidence.mean(), abs=1e-4)

    def test_a_voice_in_a_mixture_is_separated_first(self, tmp_path, saved):
        true = sung.melody(4.0, seed=1)
        path = sung.put_mixture(tmp_path / "song.wav", true, 16000)
        find_f0([path], tmp_path / "a.csv", weights_uri=saved("cascades"), quiet=True)
        assert accuracy(true, tmp_path / "a.csv") > WELL

    def test_a_cascade_uses_only_its_tracker_for_solo_voices(self, tmp_path, saved):
        true = sung.melody(3.0, seed=2)
        path = sung.put_voice(tmp_path / "voice.wav", true)
        find_f0([path], tmp_path / "a.csv", weights_uri=saved("cascades"), config=F0Config(vocals=True), quiet=True)
        find_f0([path], tmp_path / "b.csv", weights_uri=saved("pitch"), quiet=True)
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()

    def test_long_sounds_are_processed_in_pieces(self, tmp_path, saved):
        """Twenty-five seconds in windows of ten: no seams, and no input longer than a window."""
        true = sung.melody(25.0, seed=3)
        path = sung.put_voice(tmp_path / "long.wav", true)
        find_f0([path], tmp_path / "a.csv", weights_uri=saved("pitch"), quiet=True)
        assert accuracy(true, tmp_path / "a.csv") > WELL
        assert len(sung.LENGTHS) > 2 and max(sung.LENGTHS) <= 12 * sung.RATE

    def test_loudness_does_not_change_the_f0(self, tmp_path, saved):
        true = sung.melody(3.0)
        for name, level in (("loud", 0.5), ("quiet", 0.01)):
            soundfile.write(tmp_path / f"{name}.wav", sung.voice(true, level=level), sung.RATE, subtype="FLOAT")
            find_f0([tmp_path / f"{name}.wav"], tmp_path / f"{name}.csv", weights_uri=saved("pitch"), quiet=True)
        loud, quiet = (f0_labels.read(tmp_path / f"{name}.csv") for name in ("loud", "quiet"))
        assert np.abs(loud.f0_hz - quiet.f0_hz).max() < 0.1  # loudness is measured to hundredths of a dB

    def test_the_threshold_decides_what_is_voiced(self, tmp_path, saved):
        path = sung.put_voice(tmp_path / "voice.wav", sung.melody(3.0))
        voiced = []
        for threshold in (0.01, 0.995, 1.0):
            find_f0(
                [path], tmp_path / "a.csv", weights_uri=saved("pitch"), config=F0Config(threshold=threshold), quiet=True
            )
            voiced.append(f0_labels.read(tmp_path / "a.csv").voiced.sum())
        assert 301 >= voiced[0] > voiced[1] > voiced[2] == 0

    @pytest.mark.parametrize("name", list(f0_labels.formats()))
    def test_every_format_is_written(self, tmp_path, saved, name):
        true = sung.melody(3.0)
        path = sung.put_voice(tmp_path / "in" / "take.wav", true)
        result = find_f0(
            [tmp_path / "in"], tmp_path / "out", weights_uri=saved("pitch"), config=F0Config(format=name), quiet=True
        )
        file = tmp_path / "out" / result["songs"]["take"]["file"]
        assert f0_labels.sniff(file, beside=f0_labels.Beside(3.0)) == name
        assert evaluate_pitch(tmp_path / "out", tmp_path / "out", quiet=True)["num_tracks"] == 1
        assert path.exists()


class TestFolders:
    def test_the_kind_of_weights_selects_vocals_or_mixtures(self, tmp_path, saved):
        tracks = {"one": sung.melody(2.0, 1), "two": sung.melody(2.0, 2)}
        for name, true in tracks.items():
            sung.put_voice(tmp_path / "in" / name / "vocals.wav", true)
            sung.put_mixture(tmp_path / "in" / name / "mixture.wav", true)
            f0_labels.write(true, tmp_path / "in" / name / "f0.csv")
        sung.put_mixture(tmp_path / "in" / "three.wav", sung.melody(2.0, 3))
        for kind in ("pitch", "cascades"):
            result = find_f0([tmp_path / "in"], tmp_path / kind, weights_uri=saved(kind), quiet=True)
            assert sorted(result["songs"]) == ["one", "three", "two"]
            report = evaluate_pitch(tmp_path / "in", tmp_path / kind, quiet=True)
            assert [track["track"] for track in report["tracks"]] == ["one", "two"]
            assert report["scores"]["overall_accuracy"] > WELL

    def test_finished_files_are_skipped(self, tmp_path, saved):
        for name in ("a", "b"):
            sung.put_voice(tmp_path / "in" / f"{name}.wav", sung.melody(1.0, ord(name)))
        ways = {"weights_uri": saved("pitch"), "quiet": True}
        first = find_f0([tmp_path / "in"], tmp_path / "out", **ways)
        before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert sorted(before) == ["a.f0.csv", "b.f0.csv", "followed.json"]
        sung.LENGTHS.clear()
        again = find_f0([tmp_path / "in"], tmp_path / "out", **ways)
        assert sung.LENGTHS == [] and again["songs"] == first["songs"]
        (tmp_path / "out" / "a.f0.csv").unlink()
        find_f0([tmp_path / "in"], tmp_path / "out", **ways)
        assert len(sung.LENGTHS) == 1
        find_f0([tmp_path / "in"], tmp_path / "out", resume=False, **ways)
        assert len(sung.LENGTHS) == 3
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before

    def test_foreign_files_are_not_overwritten(self, tmp_path, saved):
        true = sung.melody(1.0)
        sung.put_voice(tmp_path / "in" / "a.wav", true)
        f0_labels.write(true, tmp_path / "out" / "a.f0.csv")
        with pytest.raises(ConfigError, match="is there already and no earlier run wrote it"):
            find_f0([tmp_path / "in"], tmp_path / "out", weights_uri=saved("pitch"), quiet=True)
        for output in (tmp_path / "in", tmp_path / "in" / "deeper"):
            with pytest.raises(ConfigError, match="is inside the source"):
                find_f0([tmp_path / "in"], output, weights_uri=saved("pitch"), quiet=True)

    def test_sounds_and_annotations_are_never_overwritten(self, tmp_path, saved):
        true = sung.melody(1.0)
        path = sung.put_voice(tmp_path / "vocals.wav", true)
        f0_labels.write(true, tmp_path / "f0.pv", "mir1k")
        f0_labels.write(true, tmp_path / "f0.csv")
        before = {file: file.read_bytes() for file in (path, tmp_path / "f0.pv", tmp_path / "f0.csv")}
        for output in ("vocals.wav", "new.ogg", "f0.pv", "f0.csv"):
            with pytest.raises(ConfigError, match=r"has the name of an audio file|already exists"):
                find_f0([path], tmp_path / output, weights_uri=saved("pitch"), quiet=True)
        assert {file: file.read_bytes() for file in before} == before
        for _ in range(2):  # an estimate may be made anew
            find_f0([path], tmp_path / "new.f0.csv", weights_uri=saved("pitch"), quiet=True)

    def test_one_bad_file_does_not_stop_the_others(self, tmp_path, saved):
        sung.put_voice(tmp_path / "in" / "a.wav", sung.melody(1.0))
        (tmp_path / "in" / "b.wav").write_bytes(b"no sound")
        soundfile.write(tmp_path / "in" / "c.wav", np.zeros((0, 1)), 8000)
        result = find_f0([tmp_path / "in"], tmp_path / "out", weights_uri=saved("pitch"), quiet=True)
        assert list(result["songs"]) == ["a"]
        assert {Path(skip["path"]).name: skip["reason"] for skip in result["skipped"]} == {
            "b.wav": "not_audio",
            "c.wav": "empty",
        }

    def test_invalid_arguments_are_refused(self, tmp_path, saved):
        path = sung.put_voice(tmp_path / "in" / "a.wav", sung.melody(1.0))
        other = sung.put_voice(tmp_path / "other" / "a.wav", sung.melody(1.0))
        with pytest.raises(WeightsError, match="weights of a separator; those of a pitch tracker are needed"):
            find_f0([path], tmp_path / "a.csv", weights_uri=saved("separators"))
        with pytest.raises(ConfigError, match="no such file or folder"):
            find_f0([tmp_path / "nowhere"], tmp_path / "a.csv", weights_uri=saved("pitch"))
        with pytest.raises(ConfigError, match="would both be written as a"):
            find_f0([path, other], tmp_path / "out", weights_uri=saved("pitch"), quiet=True)
        (tmp_path / "a.csv").write_text("")
        sung.put_voice(tmp_path / "in" / "b.wav", sung.melody(1.0))
        with pytest.raises(ConfigError, match="is a file, but must be a folder"):
            find_f0([tmp_path / "in"], tmp_path / "a.csv", weights_uri=saved("pitch"), quiet=True)
        (tmp_path / "empty").mkdir()
        with pytest.raises(ConfigError, match="no audio file"):
            find_f0([tmp_path / "empty"], tmp_path / "out", weights_uri=saved("pitch"), quiet=True)
        for changes in ({"format": "mp3"}, {"threshold": 1.5}):
            with pytest.raises(ConfigError):
                F0Config(**changes)


class TestCommand:
    def test_json_is_one_object_and_text_is_a_table(self, tmp_path, saved):
        uri = saved("pitch")
        sung.put_voice(tmp_path / "in" / "a.wav", sung.melody(1.0))
        (tmp_path / "in" / "b.wav").write_bytes(b"no sound")

        def run(*words):
            return CliRunner().invoke(app, ["f0", *map(str, words)])

        result = run(tmp_path / "in", "-o", tmp_path / "out", "--weights", uri, "--json", "-q")
        assert result.exit_code == 3, result.stderr
        assert json_page.disagreements("f0", json.loads(result.stdout)) == []
        result = run(tmp_path / "in" / "a.wav", "-o", tmp_path / "a.f0.csv", "--weights", uri)
        assert result.exit_code == 0 and "Estimated f0" in result.stdout and "0:01" in result.stdout
        assert f"wrote {tmp_path / 'a.f0.csv'}" in result.stderr
        result = run(tmp_path / "in" / "b.wav", "-o", tmp_path / "b.f0.csv", "--weights", uri)
        assert result.exit_code == 3 and "wrote" not in result.stderr
        result = run(tmp_path / "in" / "a.wav", "-o", tmp_path / "a.csv", "--weights", tmp_path / "none.safetensors")
        assert result.exit_code == 2 and "none.safetensors" in result.stderr
