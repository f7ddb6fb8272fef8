"""Half-labelled songs are completed, with a confidence that separates right from wrong estimates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import json_page
import numpy as np
import pytest
import soundfile
import sung
from typer.testing import CliRunner

from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.cli import app
from stemclean.data.aligned import aligned_tracks, whole_songs
from stemclean.data.pool import StemPool
from stemclean.errors import ConfigError, WeightsError
from stemclean.labels import KARAOKE
from stemclean.layouts import f0_labels
from stemclean.metrics import pitch
from stemclean.pseudo_label import pseudo_label
from stemclean.refining.sidecars import Sidecars
from stemclean.report import describe_completed
from stemclean.running import Running

QUIET = Running(quiet=True)

WELL = 0.9
"""Of all frames; see test_find_f0."""


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """``saved(kind)``: weights, in a folder of their own."""
    sung.register(monkeypatch)
    (tmp_path / "weights").mkdir()
    return lambda kind: sung.save_weights(tmp_path / "weights", kind)


@pytest.fixture
def songs(tmp_path):
    """``full``: stems and f0; ``stems``: no f0; ``f0``, ``wrong``: a mixture and f0, of ``wrong`` another song's."""
    data = tmp_path / "data"
    tracks = {name: sung.melody(3.0, seed) for seed, name in enumerate(("full", "stems", "f0", "wrong"))}
    for name in ("full", "stems"):
        sung.put_voice(data / name / "vocals.wav", tracks[name])
        soundfile.write(data / name / "accompaniment.wav", sung.band(3.0), sung.RATE)
    for name in ("f0", "wrong"):
        sung.put_mixture(data / name / "mixture.wav", tracks[name], 16000)
    f0_labels.write(tracks["full"], data / "full" / "f0.pv", "mir1k")
    f0_labels.write(tracks["f0"], data / "f0" / "f0.csv")
    f0_labels.write(sung.melody(3.0, 77), data / "wrong" / "f0.csv")
    return data, tracks


def by_id(data):
    return {stem.id: stem for stem in data.stems}


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


class TestCompleting:
    def test_missing_halves_are_completed(self, tmp_path, saved, songs):
        data, tracks = songs
        before = bytes_of(data)
        output = tmp_path / "stage1.json"
        result = pseudo_label(data, output, weights_uri=saved("cascades"), running=QUIET)
        assert bytes_of(data) == before
        assert manifest.read(output).root == "." and result.skipped == []
        stems = by_id(manifest.read(output))
        assert sorted(stems) == [
            "f0/mixture",
            "f0/mixture.vocals",
            "full/accompaniment",
            "full/vocals",
            "stems/accompaniment",
            "stems/vocals",
            "wrong/mixture",
            "wrong/mixture.vocals",
        ]
        annotated = stems["full/vocals"].f0
        assert annotated.annotated and annotated.path == "data/full/f0.pv"
        pseudo_f0 = stems["stems/vocals"].f0
        assert (pseudo_f0.path, pseudo_f0.format) == ("stage1.f0/stems/vocals.f0.csv", "stemclean")
        assert pseudo_f0.by == "file:cascades.safetensors" and not pseudo_f0.annotated
        assert pseudo_f0.sha256 == manifest.file_sha256(tmp_path / pseudo_f0.path)
        f0 = f0_labels.read(tmp_path / pseudo_f0.path)
        assert pitch.evaluate(tracks["stems"], f0)["overall_accuracy"] > WELL
        assert pseudo_f0.confidence == pytest.approx(f0.confidence.mean(), abs=1e-4)
        assert result.summary["annotated"] == 3
        assert result.summary["pseudo_f0"] == {"stems": 1, "seconds": 3.0, "confidence": pseudo_f0.confidence}
        assert result.summary["pseudo_vocals"]["stems"] == 2
        assert result.summary["left"] == result.summary["unsung"] == 0

    def test_estimated_voices_have_confidences(self, tmp_path, saved, songs):
        """The separator gives the right channel as it is; 1e-5 is what 24 bits and gains in single precision cost."""
        data = songs[0]
        stems = by_id(pseudo_label(data, tmp_path / "out.json", weights_uri=saved("cascades"), running=QUIET))
        right, wrong = stems["f0/mixture.vocals"], stems["wrong/mixture.vocals"]
        assert right.claimed == right.labels == ["vocals"] and right.track == "f0"
        assert right.path == "out.vocals/f0/mixture.vocals.flac" and right.f0 is None
        assert (right.sample_rate, right.channels, right.num_samples) == (sung.RATE, 2, 24000)
        estimate, rate = soundfile.read(tmp_path / right.path)
        truth = files.read(data / "f0" / "mixture.wav", sample_rate=sung.RATE)[1]
        assert rate == sung.RATE
        assert np.abs(estimate - truth[:, None]).max() < 1e-5
        assert right.estimated.confidence > WELL
        assert wrong.estimated.confidence < 0.3

    @pytest.mark.parametrize("ending", ["wav", "ogg"])
    def test_a_voice_beyond_full_scale_is_written_as_float(self, tmp_path, saved, ending):
        """Turned down, it would be no part of its mixture; a lossy mixture decodes beyond full scale by itself."""
        track, path = sung.melody(3.0), tmp_path / "data" / "song" / f"mixture.{ending}"
        path.parent.mkdir(parents=True)
        voice = sung.voice(track, level=1.5 if ending == "wav" else 30.0)  # of the latter, a square wave
        both = np.stack([sung.band(3.0), voice if ending == "wav" else np.clip(voice, -1, 1)], 1)
        soundfile.write(path, both, sung.RATE, subtype="FLOAT" if ending == "wav" else None)
        f0_labels.write(track, path.with_name("f0.csv"))
        mixture = files.read(path)
        assert np.abs(mixture[1]).max() > 1.05
        result = pseudo_label(path.parents[1], tmp_path / "out.json", weights_uri=saved("cascades"), running=QUIET)
        (stem,) = (stem for stem in result.stems if stem.estimated)
        assert [issue.code for issue in stem.issues] == ["kept_in_float"]
        assert stem.path == "out.vocals/song/mixture.vocals.wav"
        assert soundfile.info(tmp_path / stem.path).subtype == "FLOAT"
        assert np.abs(files.read(tmp_path / stem.path) - mixture[1]).max() < 1e-5
        assert describe_completed(result)["kept_in_float"] == [stem.path]
        words = ["pseudo-label", path.parents[1], "-o", tmp_path / "out.json", "--weights", saved("cascades")]
        result = CliRunner().invoke(app, list(map(str, words)))
        assert f"written in float, since they exceed full scale: {stem.path}" in result.stderr

    def test_wrong_frames_get_lower_confidence(self, tmp_path, saved, songs):
        """A voice under noise for a second: the tracker is less sure there (0.80 to 0.99 in the mean)."""
        data, tracks = songs
        clean = sung.voice(tracks["stems"])
        noisy = clean.copy()
        noisy[8000:16000] += 0.08 * np.random.default_rng(0).standard_normal(8000)
        soundfile.write(data / "stems" / "vocals.wav", noisy, sung.RATE)
        stems = by_id(pseudo_label(data, tmp_path / "out.json", weights_uri=saved("pitch"), running=QUIET))
        f0 = f0_labels.read(tmp_path / stems["stems/vocals"].f0.path)
        loud = (f0.times > 1.05) & (f0.times < 1.95)
        assert f0.confidence[loud].mean() < f0.confidence[~loud].mean() - 0.1

    def test_a_voice_next_to_an_annotated_one_gets_no_f0(self, tmp_path, saved, songs):
        """Two voices with an f0 each would leave the song without one."""
        data, tracks = songs
        (data / "full" / "vocals.wav").rename(data / "full" / "lead_vocals.wav")
        (data / "full" / "f0.pv").rename(data / "full" / "lead_vocals.pv")
        sung.put_voice(data / "full" / "backing_vocals.wav", tracks["stems"])
        result = pseudo_label(data, tmp_path / "out.json", weights_uri=saved("pitch"), running=QUIET)
        stems = by_id(result)
        assert stems["full/lead_vocals"].f0.annotated and stems["full/backing_vocals"].f0 is None
        assert result.summary["pseudo_f0"]["stems"] == 1

    def test_a_tracker_alone_leaves_mixtures_unchanged(self, tmp_path, saved, songs):
        result = pseudo_label(songs[0], tmp_path / "out.json", weights_uri=saved("pitch"), running=QUIET)
        assert not any(stem.estimated for stem in result.stems)
        assert result.summary["left"] == 2 and result.summary["pseudo_f0"]["stems"] == 1
        assert not (tmp_path / "out.vocals").exists()

    def test_held_out_and_complete_songs_are_unchanged(self, tmp_path, saved, songs):
        source = layouts.scan(songs[0], profile=KARAOKE, quiet=True)
        splits = {"stems/vocals": "validation", "f0/mixture": "test"}
        held = [stem.model_copy(update={"split": splits.get(stem.id)}) for stem in source.stems]
        path = manifest.write(source.with_stems(held, root="data"), tmp_path / "held.json")
        result = pseudo_label(path, tmp_path / "out.json", weights_uri=saved("cascades"), running=QUIET)
        assert by_id(result)["stems/vocals"].f0 is None
        assert [stem.id for stem in result.stems if stem.estimated] == ["wrong/mixture.vocals"]

    def test_a_second_run_replaces_only_its_own_estimates(self, tmp_path, saved, songs):
        first = pseudo_label(songs[0], tmp_path / "one.json", weights_uri=saved("cascades"), running=QUIET)
        shutil.copy(tmp_path / "weights" / "cascades.safetensors", tmp_path / "weights" / "new.safetensors")
        new = tmp_path / "weights" / "new.safetensors"
        second = pseudo_label(tmp_path / "one.json", tmp_path / "two.json", weights_uri=new, running=QUIET)
        assert sorted(by_id(second)) == sorted(by_id(first))
        assert by_id(second)["full/vocals"].f0 == by_id(first)["full/vocals"].f0
        assert by_id(second)["stems/vocals"].f0.path == "two.f0/stems/vocals.f0.csv"
        assert by_id(second)["f0/mixture.vocals"].estimated.by == "file:new.safetensors"

    def test_the_second_stage_trains_on_the_estimates(self, tmp_path, saved, songs):
        result = pseudo_label(songs[0], tmp_path / "out.json", weights_uri=saved("cascades"), running=QUIET)
        data = whole_songs(result)
        pool = StemPool.build(data, tmp_path, sample_rate=sung.RATE, channels=1, cache=tmp_path / "pool", quiet=True)
        tracks = {track.name: track for track in aligned_tracks(data, tmp_path, pool, sung.LABELS, "vocals")}
        kinds = {name: track.kind for name, track in tracks.items()}
        assert kinds == {"full": "full", "stems": "pseudo", "f0": "pseudo", "wrong": "pseudo"}
        assert tracks["wrong"].trust < 0.3 < WELL < tracks["f0"].trust
        assert tracks["f0"].f0.confidence is None and tracks["stems"].f0.confidence is not None


class TestRunning:
    def test_repeated_runs_give_the_same_bytes(self, tmp_path, saved, songs):
        uri = saved("cascades")
        runs = []
        for _ in range(2):
            pseudo_label(songs[0], tmp_path / "out" / "out.json", weights_uri=uri, running=QUIET)
            runs.append(bytes_of(tmp_path / "out"))
            shutil.rmtree(tmp_path / "out")
        assert len(runs[0]) == 4
        assert runs[0] == runs[1]

    def test_a_killed_run_resumes(self, tmp_path, saved, songs, monkeypatch):
        from stemclean.refining import half_labelled

        uri = saved("cascades")
        pseudo_label(songs[0], tmp_path / "whole.json", weights_uri=uri, running=QUIET)
        real, calls = half_labelled.pseudo_vocals, []

        def dies(*args, **ways):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return real(*args, **ways)

        monkeypatch.setattr(half_labelled, "pseudo_vocals", dies)
        with pytest.raises(KeyboardInterrupt):
            pseudo_label(songs[0], tmp_path / "out.json", weights_uri=uri, running=QUIET)
        assert not (tmp_path / "out.json").exists()
        pseudo_label(songs[0], tmp_path / "out.json", weights_uri=uri, running=QUIET)
        assert len(calls) == 3  # f0, wrong (killed), wrong
        text = (tmp_path / "out.json").read_text().replace("out.", "whole.")
        assert text == (tmp_path / "whole.json").read_text()
        assert not list(tmp_path.glob("*.partial.jsonl"))

    def test_one_bad_file_does_not_stop_the_others(self, tmp_path, saved, songs):
        data = songs[0]
        source = manifest.write(
            layouts.scan(data, profile=KARAOKE, quiet=True).model_copy(update={"root": "data"}), tmp_path / "in.json"
        )
        (data / "stems" / "vocals.wav").write_bytes(b"no sound")
        (data / "f0" / "f0.csv").write_text("la la la")
        result = pseudo_label(source, tmp_path / "out.json", weights_uri=saved("cascades"), running=QUIET)
        assert {skip.path: skip.reason for skip in result.skipped} == {
            "data/stems/vocals.wav": "changed_since_scan",
            "data/f0/f0.csv": "f0_unreadable",
        }
        assert sorted(by_id(result)) == [
            "full/accompaniment",
            "full/vocals",
            "stems/accompaniment",
            "wrong/mixture",
            "wrong/mixture.vocals",
        ]

    def test_invalid_arguments_are_refused(self, tmp_path, saved, songs):
        with pytest.raises(ConfigError, match="is inside the source"):
            pseudo_label(songs[0], songs[0] / "out.json", weights_uri=saved("pitch"), running=QUIET)
        with pytest.raises(WeightsError, match="weights of a separator; those of a pitch tracker are needed"):
            pseudo_label(songs[0], tmp_path / "out.json", weights_uri=saved("separators"), running=QUIET)
        with pytest.raises(ConfigError, match="no such file or folder"):
            pseudo_label(tmp_path / "nowhere", tmp_path / "out.json", weights_uri=saved("pitch"), running=QUIET)


class TestSidecars:
    def test_the_root_holds_the_data_and_the_files(self, tmp_path):
        (tmp_path / "a" / "data").mkdir(parents=True)
        sidecars = Sidecars(tmp_path / "a" / "runs" / "x.jsonl.gz", tmp_path / "a" / "data")
        assert sidecars.root == tmp_path / "a"
        assert sidecars.folder("f0") == tmp_path / "a" / "runs" / "x.f0"
        assert sidecars.named(sidecars.place("f0", "song/vocals#1", ".csv")) == "runs/x.f0/song/vocals#1.csv"

    def test_hostile_ids_stay_within_the_folder(self, tmp_path):
        sidecars = Sidecars(tmp_path / "x.json", tmp_path / "data")
        places = [sidecars.place("f0", name, ".csv") for name in ("../../a", "/etc/a", "a:b", "a*b", "a_b", "..")]
        assert len(set(places)) == len(places)
        for path in places:
            assert path.resolve().is_relative_to(tmp_path / "x.f0")

    def test_paths_are_relative_to_the_root(self, tmp_path, songs):
        data = layouts.scan(songs[0], profile=KARAOKE, quiet=True)
        moved = Sidecars(tmp_path / "x.json", songs[0]).moved(data)
        for stem in moved.stems:
            assert (tmp_path / stem.path).is_file()
            assert stem.f0 is None or (tmp_path / stem.f0.path).is_file()
        assert [stem.id for stem in moved.stems] == [stem.id for stem in data.stems]

    def test_weights_without_a_common_class_are_refused(self):
        with pytest.raises(ConfigError, match="have no common parent folder"):
            Sidecars(Path("/elsewhere/x.json"), Path("/data/songs"))


class TestCommand:
    def run(self, *words):
        return CliRunner().invoke(app, ["pseudo-label", *map(str, words)])

    def test_json_is_one_object_and_text_has_tables(self, tmp_path, saved, songs):
        uri = saved("cascades")
        (songs[0] / "full" / "f0.pv").write_text("la la la")
        result = self.run(songs[0], "-o", tmp_path / "a.json", "--weights", uri, "--json", "-q")
        assert result.exit_code == 3, result.stderr
        report = json.loads(result.stdout)
        assert json_page.disagreements("pseudo-label", report) == []
        assert report["pseudo"][0] == {
            "id": "wrong/mixture.vocals",
            "kind": "vocals",
            "path": "a.vocals/wrong/mixture.vocals.flac",
            "confidence": report["pseudo"][0]["confidence"],
        }
        (songs[0] / "full" / "f0.pv").unlink()
        result = self.run(songs[0], "-o", tmp_path / "b.json", "--weights", uri)
        assert result.exit_code == 0, result.stderr
        assert "Pseudo labels" in result.stdout and "Lowest confidence" in result.stdout
        soundfile.write(songs[0] / "stems" / "vocals.wav", np.zeros(8000), sung.RATE)
        result = self.run(songs[0], "-o", tmp_path / "c.json", "--weights", saved("pitch"))
        assert "the tracker found no voiced frame in 1 of 2 voices" in result.stderr
        assert "2 mixtures with an f0 were not separated" in result.stderr

    def test_the_threshold_reaches_the_verb(self, tmp_path, saved, songs):
        result = self.run(songs[0], "-o", tmp_path / "a.json", "--weights", saved("pitch"), "--threshold=0.3", "-q")
        assert result.exit_code == 0, result.stderr
        created = manifest.read(tmp_path / "a.json").created
        assert (created.command, created.config) == ("pseudo-label", {"threshold": 0.3})

    @pytest.mark.parametrize("words", [["--self"], ["--folds", "3"], ["--claimed-threshold", "0.9"], ["--set", "a=1"]])
    def test_options_of_refine_are_unknown(self, tmp_path, saved, songs, words):
        result = self.run(songs[0], "-o", tmp_path / "a.json", "--weights", saved("pitch"), *words)
        assert result.exit_code == 2 and f"No such option: {words[0]}" in result.stderr

    def test_a_missing_device_is_refused(self, tmp_path, saved, songs):
        result = self.run(songs[0], "-o", tmp_path / "a.json", "--weights", saved("pitch"), "--device=cudaa")
        assert result.exit_code == 2 and 'this machine has no device "cudaa"' in result.stderr
