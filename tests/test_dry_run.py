"""``--dry-run``: a real dataset, the checks of the command, and not a byte written."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_hub
import json_page
import pytest
import sung
from typer.testing import CliRunner, Result

from stemclean import layouts, manifest, outputs
from stemclean.audio.unchanged import Unchanged
from stemclean.check import check, plan_check
from stemclean.cli import app
from stemclean.corrupt import corrupt, plan_corrupt
from stemclean.data.journal import Journal
from stemclean.errors import ConfigError, OutputError
from stemclean.export import export, plan_export
from stemclean.f0 import find_f0, plan_f0
from stemclean.layouts import base
from stemclean.manifest import Stem, Verdict
from stemclean.merge import merge, plan_merge
from stemclean.models import addresses
from stemclean.plans import measured
from stemclean.pseudo_label import plan_pseudo_label, pseudo_label
from stemclean.refine import plan_refine
from stemclean.report_page import plan_report, report
from stemclean.running import Running
from stemclean.separate import SeparateConfig, plan_separate, separate
from stemclean.trim import TrimConfig, plan_trim, trim

COMMANDS = {
    "check": "check {stems} -o {new}/checked.json",
    "corrupt": "corrupt {stems} {new}/planted",
    "export, a list": "export {stems} --to zfturbo {new}/set",
    "export, songs": "export {stems} --to track_folders {new}/set",
    "refine": "refine {stems} -o {new}/refined.json",
    "refine --self": "refine {stems} -o {new}/refined.json --self",
    "train-classifier": "train-classifier {stems} -o {new}/w.safetensors",
    "train-joint": "train-joint {stems} -o {new}/w.safetensors",
    "train-separator": "train-separator {stems} -o {new}/w.safetensors",
    "train-tracker": "train-tracker {stems} -o {new}/w.safetensors",
    "trim": "trim {stems} {new}/trimmed",
    "trim, regions": "trim {stems} {new}/trimmed --regions-only",
}
"""Each with its output in a folder that does not exist."""


def run(command: str, **places: Path) -> Result:
    words = [word.format(**places) for word in shlex.split(command)]
    return CliRunner().invoke(app, words, prog_name="stemclean")


def tree(folder: Path) -> dict[str, Any]:
    """All paths with their contents and times of change."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def place(tmp_path: Path, make_dataset: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that a run may write to, the caches included."""
    make_dataset(tmp_path / "stems", tracks=2, seconds=3.0)
    for song in (tmp_path / "stems").iterdir():
        (song / "f0.csv").write_text("time,f0_hz\n" + "".join(f"{i / 100:.2f},220\n" for i in range(300)))
    for name, folder in (("XDG_CACHE_HOME", "cache"), ("TMPDIR", "tmp"), ("HF_HOME", "hub")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
class TestEveryCommand:
    def test_it_names_hours_and_disk_and_writes_nothing(self, command: str, place: Path) -> None:
        before = tree(place)
        result = run(command + " --dry-run", stems=place / "stems", new=place / "new")
        assert result.exit_code == 0, result.output
        assert "8 stems, 2 tracks" in result.stdout
        assert "hours: 0.01" in result.stdout  # 8 stems of 3 s
        assert "about" in next(line for line in result.stdout.splitlines() if line.startswith("disk"))
        assert tree(place) == before

    def test_its_object_is_documented(self, command: str, place: Path) -> None:
        result = run(command + " --dry-run --json --quiet", stems=place / "stems", new=place / "new")
        report = json.loads(result.stdout)
        assert (report["dry_run"], report["command"]) == (True, command.split(maxsplit=1)[0])
        assert (report["reads"]["seconds"], report["failures"]) == (24.0, [])
        trains = command.startswith("train") or "--self" in command
        assert (report["estimated_seconds"] is None) is trains
        assert (report["figures"].get("steps", 0) > 0) is trains
        assert json_page.disagreements("COMMAND --dry-run", report) == []

    def test_a_wrong_input_is_refused(self, command: str, place: Path) -> None:
        result = run(command + " --dry-run", stems=place / "no stems", new=place / "new")
        assert result.exit_code == 2
        assert "no such file or folder" in result.stderr

    def test_an_output_below_a_file_is_refused(self, command: str, place: Path) -> None:
        (place / "new").write_text("a file")
        assert run(command + " --dry-run", stems=place / "stems", new=place / "new").exit_code == 2

    def test_a_file_that_is_no_audio_ends_it_with_the_code_of_the_command(self, command: str, place: Path) -> None:
        (place / "stems" / "song 1" / "bass DI.wav").write_text("no sound")
        result = run(command + " --dry-run", stems=place / "stems", new=place / "new")
        assert result.exit_code == 3
        assert "bass DI.wav: not_audio" in result.stderr


class TestPlans:
    def test_a_trim_has_about_the_size_that_was_planned(self, place: Path) -> None:
        plan = plan_trim(place / "stems", place / "trimmed", TrimConfig(), quiet=True)
        trim(place / "stems", place / "trimmed", quiet=True)
        written = list((place / "trimmed").rglob("*.flac"))
        assert plan.products[1].num_files == len(written) == 8
        size = sum(path.stat().st_size for path in written)
        assert plan.products[1].num_bytes == pytest.approx(size, rel=0.05)  # the same audio, all of it measured

    def test_a_corruption_has_the_faults_that_were_planned(self, place: Path) -> None:
        plan = plan_corrupt(place / "stems", place / "planted", quiet=True)
        truth = corrupt(place / "stems", place / "planted", quiet=True)
        planned = {kind: number for kind, number in plan.figures["faults"].items() if number}
        assert planned == {"mislabel": 2, "bleed": 2}
        assert truth.summary["faults"] == {"bleed": 2, "none": 4, "swapped": 2}

    def test_an_export_in_place_writes_no_audio(self, place: Path, make_dataset: Any) -> None:
        stems = make_dataset(place / "at 44.1 kHz", tracks=1, seconds=1.0, rate=44100)
        plan = plan_export(stems, base.writer("zfturbo"), place / "set", quiet=True)
        assert [product.path.name for product in plan.products] == ["export.json"]

    def test_an_export_at_another_rate_writes_every_stem(self, place: Path) -> None:
        target = base.writer("zfturbo", {"chunk_size": 32000})
        plan = plan_export(place / "stems", target, place / "set", sample_rate=32000, quiet=True)
        report = export(place / "stems", target, place / "set", sample_rate=32000, quiet=True)
        audio = [path for path in report.files if path.suffix == ".flac"]
        assert plan.products[1].num_files == len(audio) == 8
        assert plan.products[1].num_bytes == pytest.approx(sum(path.stat().st_size for path in audio), rel=0.05)

    def test_a_destination_of_another_run_is_refused(self, place: Path) -> None:
        (place / "trimmed").mkdir()
        (place / "trimmed" / "notes.txt").write_text("mine")
        with pytest.raises(ConfigError, match="not empty"):
            plan_trim(place / "stems", place / "trimmed", quiet=True)


class TestMeasured:
    def test_the_speed_is_that_of_the_work(self) -> None:
        speed = measured([1.0, 2.0, 3.0], float, lambda seconds: 10 * seconds, quiet=True)
        assert speed is not None
        assert (speed.num_measured, speed.bytes_per_second) == (3, 10.0)

    def test_nothing_has_no_speed(self) -> None:
        assert measured([], float, float, quiet=True) is None


class TestCheckWritable:
    def test_an_output_that_is_being_written_is_refused(self, tmp_path: Path) -> None:
        with outputs.only_writer(tmp_path / "out.json"), pytest.raises(ConfigError, match="another run is writing it"):
            outputs.check_writable(tmp_path / "out.json")
        outputs.check_writable(tmp_path / "out.json")

    def test_a_folder_below_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError):
            outputs.check_writable(tmp_path / "file" / "folder" / "out.json")


QUIET = Running(quiet=True, workers=1)


@pytest.fixture
def flagged(place: Path) -> Path:
    """A manifest of the stems, of which three were found to be wrong."""
    data, _ = layouts.load(place / "stems", quiet=True)
    verdict = Verdict(action="relabel", reason="other_class_found", label_quality=0.1)
    stems = [stem.model_copy(update={"verdict": verdict} if n < 3 else {}) for n, stem in enumerate(data.stems)]
    root = manifest.relative_root(place / "stems", place / "refined.json")
    return manifest.write(data.with_stems(stems, root=root), place / "refined.json")


class TestReport:
    @pytest.mark.parametrize("assets", [False, True])
    def test_the_page_has_about_the_size_that_was_planned(self, flagged: Path, place: Path, assets: bool) -> None:
        before = tree(place)
        plan = plan_report(flagged, place / "new" / "page.html", assets=assets, running=QUIET)
        assert tree(place) == before
        assert plan.figures == {"listed": 8, "with_pictures": 3}
        report(flagged, place / "new" / "page.html", assets=assets, running=QUIET)
        media = list((place / "new" / "page_assets").glob("*")) if assets else []
        assert sum(product.num_files or 0 for product in plan.products) == 1 + len(media)
        page = (place / "new" / "page.html").stat().st_size
        assert plan.products[0].num_bytes == pytest.approx(page, abs=100_000)  # script and style are not counted
        if assets:
            assert plan.products[1].num_bytes == pytest.approx(sum(path.stat().st_size for path in media), rel=0.05)


class TestSeparate:
    @pytest.fixture
    def weights(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        sung.register(monkeypatch)
        for number, seconds in enumerate((3.0, 25.0)):
            sung.put_mixture(place / "songs" / f"{number}.wav", sung.melody(seconds), 16000)
        (place / "weights").mkdir()
        return sung.save_weights(place / "weights", "separators")

    @pytest.mark.parametrize("format_", ["wav", "flac"])
    def test_the_estimates_have_the_size_that_was_planned(self, place: Path, weights: Path, format_: str) -> None:
        before, config = tree(place), SeparateConfig(format=format_)
        plan = plan_separate(place / "songs", place / "out", weights_uri=weights, config=config, quiet=True)
        assert tree(place) == before
        assert (plan.num_stems, plan.noun, plan.seconds) == (2, "recording", pytest.approx(28.0, abs=0.1))
        separate(place / "songs", place / "out", weights_uri=weights, config=config, quiet=True)
        written = list((place / "out").rglob(f"*.{format_}"))
        assert plan.products[1].num_files == len(written) == 4
        size = sum(path.stat().st_size for path in written)
        # The speed is measured on the first 20 s; FLAC depends on the sound.
        assert plan.products[1].num_bytes == pytest.approx(size, rel=0.001 if format_ == "wav" else 0.15)

    def test_songs_of_an_earlier_run_take_no_time(self, place: Path, weights: Path) -> None:
        separate(place / "songs", place / "out", weights_uri=weights, quiet=True)
        sung.put_mixture(place / "songs" / "1.wav", sung.melody(4.0, seed=5), 16000)
        before = tree(place / "out")
        plan = plan_separate(place / "songs", place / "out", weights_uri=weights, quiet=True)
        assert plan.finished_seconds == pytest.approx(3.0, abs=0.1)  # the other song has changed
        assert plan.speed is not None
        assert plan.run_seconds == pytest.approx(4.0 / plan.speed.times_real_time, rel=0.05)
        assert tree(place / "out") == before

    def test_the_command_prints_it(self, place: Path, weights: Path) -> None:
        words = f"separate {place / 'songs'} -o {place / 'new'} --weights {weights} --dry-run"
        result = run(words)
        assert result.exit_code == 0, result.output
        assert "2 recordings" in result.stdout
        assert "tracks" not in result.stdout
        assert json_page.disagreements("COMMAND --dry-run", json.loads(run(words + " --json -q").stdout)) == []


class TestF0:
    @pytest.fixture
    def weights(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        sung.register(monkeypatch)
        for number, seconds in enumerate((2.0, 50.0)):
            sung.put_voice(place / "voices" / f"{number}.wav", sung.melody(seconds))
        (place / "weights").mkdir()
        return sung.save_weights(place / "weights", "pitch")

    def test_the_files_have_about_the_size_that_was_planned(self, place: Path, weights: Path) -> None:
        before = tree(place)
        plan = plan_f0([place / "voices"], place / "out", weights_uri=weights, quiet=True)
        assert tree(place) == before
        find_f0([place / "voices"], place / "out", weights_uri=weights, quiet=True)
        written = list((place / "out").rglob("*.csv"))
        assert plan.products[0].num_files == len(written) == 2
        assert plan.products[0].num_bytes == pytest.approx(sum(path.stat().st_size for path in written), rel=0.3)
        again = plan_f0([place / "voices"], place / "out", weights_uri=weights, quiet=True)
        assert again.finished_seconds == again.seconds
        assert again.run_seconds == 0

    def test_the_command_prints_it(self, place: Path, weights: Path) -> None:
        words = f"f0 {place / 'voices'} -o {place / 'new'} --weights {weights} --dry-run"
        assert "2 recordings" in run(words).stdout
        assert json_page.disagreements("COMMAND --dry-run", json.loads(run(words + " --json -q").stdout)) == []


class TestPseudoLabel:
    @pytest.fixture
    def songs(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A voice without an f0, and a voice with one."""
        sung.register(monkeypatch)
        for number in (1, 2):
            sung.put_voice(place / "songs" / f"song {number}" / "vocals.wav", sung.melody(4.0, seed=number), 8000, 2)
        times = "".join(f"{i / 100:.2f},220\n" for i in range(400))
        (place / "songs" / "song 2" / "f0.csv").write_text("time,f0_hz\n" + times)
        (place / "weights").mkdir()
        return place / "songs"

    def test_it_counts_what_is_missing(self, place: Path, songs: Path) -> None:
        tracker, before = sung.save_weights(place / "weights", "pitch"), None
        before = tree(place)
        plan = plan_pseudo_label(songs, place / "out.json", weights_uri=str(tracker), running=QUIET)
        assert tree(place) == before
        assert plan.figures == {"voices_without_f0": 1, "mixtures_without_voice": 0}
        completed = pseudo_label(songs, place / "out.json", weights_uri=str(tracker), running=QUIET)
        assert completed.summary["pseudo_f0"]["stems"] == 1
        files = list((place / "out.f0").rglob("*.csv"))
        assert (plan.products[1].path, plan.products[1].num_files) == (place / "out.f0", len(files))
        assert plan.products[1].num_bytes == pytest.approx(files[0].stat().st_size, rel=0.3)
        assert plan.speed is not None
        assert plan.run_seconds == pytest.approx(4.0 / plan.speed.times_real_time, rel=0.05)

    def test_the_command_prints_it(self, place: Path, songs: Path) -> None:
        tracker = sung.save_weights(place / "weights", "pitch")
        words = f"pseudo-label {songs} -o {place / 'new' / 'x.json'} --weights {tracker} --dry-run"
        assert "voices without f0" in run(words).stdout
        assert json_page.disagreements("COMMAND --dry-run", json.loads(run(words + " --json -q").stdout)) == []


class TestMerge:
    @pytest.fixture
    def parts(self, place: Path, flagged: Path) -> list[Path]:
        data = manifest.read(flagged)
        return [
            manifest.write(data.with_stems(data.stems[start : start + 5]), place / f"part{start}.jsonl")
            for start in (0, 3)
        ]

    def test_it_has_the_size_that_was_planned(self, place: Path, parts: list[Path]) -> None:
        before = tree(place)
        plan = plan_merge(parts, place / "whole.jsonl", running=QUIET)
        assert tree(place) == before
        assert (plan.num_stems, plan.figures) == (8, {"manifests": 2, "repeated": 2})
        done = merge(parts, place / "whole.jsonl", running=QUIET)
        assert (done["stems"], done["repeated"], done["seconds"]) == (8, 2, plan.seconds)
        assert plan.products[0].num_bytes == pytest.approx((place / "whole.jsonl").stat().st_size, abs=1000)  # header

    def test_manifests_that_contradict_each_other_are_refused(self, place: Path, parts: list[Path]) -> None:
        data = manifest.read(parts[1])
        manifest.write(data.with_stems([stem.model_copy(update={"peak_dbfs": -1.0}) for stem in data.stems]), parts[1])
        with pytest.raises(ConfigError, match="with different content"):
            plan_merge(parts, place / "whole.jsonl", running=QUIET)

    def test_the_command_prints_it(self, place: Path, parts: list[Path]) -> None:
        words = f"merge {parts[0]} {parts[1]} -o {place / 'whole.json'} --dry-run"
        assert "8 stems, 2 tracks" in run(words).stdout
        assert json_page.disagreements("COMMAND --dry-run", json.loads(run(words + " --json -q").stdout)) == []


class TestInterrupted:
    """What an interrupted run has finished takes no time."""

    def journal(self, place: Path, command: str) -> list[Stem]:
        """Leave the journal of a run that was interrupted after three stems; they."""
        from stemclean import check as checking

        data, folder = layouts.load(place / "stems", quiet=True)
        journal = Journal(place / f"{command}.json", checking.SETTINGS)
        for stem in data.stems[:3]:
            journal.put(stem, checking._measured_or_skipped(stem, folder, Unchanged()))
        journal.__exit__(KeyboardInterrupt, None, None)
        return data.stems[:3]

    def test_of_check(self, place: Path) -> None:
        self.journal(place, "check")
        before = tree(place)
        plan = plan_check(place / "stems", place / "check.json", running=QUIET)
        assert tree(place) == before
        assert plan.finished_seconds == 9.0
        assert plan.speed is not None
        assert plan.run_seconds == pytest.approx(15.0 / plan.speed.times_real_time)
        assert plan_check(place / "stems", place / "check.json", running=Running(resume=False)).finished_seconds == 0
        shown = run("check {stems} -o {new}/check.json --dry-run", stems=place / "stems", new=place)
        assert "0:09, by an earlier run" in shown.stdout

    def test_a_file_that_has_changed_counts_again(self, place: Path, make_dataset: Any) -> None:
        stems = self.journal(place, "check")
        make_dataset(place / "other", tracks=1, seconds=2.0)
        (place / "other" / "song 1" / "bass.wav").replace(place / "stems" / stems[0].path)
        assert plan_check(place / "stems", place / "check.json", running=QUIET).finished_seconds == 6.0

    def test_damaged_lines_stay_where_they_are(self, place: Path) -> None:
        self.journal(place, "check")
        journal = place / "check.json.partial.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join([lines[0].replace(b"bass", b"basz"), *lines[1:]]))
        before = tree(place)
        assert plan_check(place / "stems", place / "check.json", running=QUIET).finished_seconds == 6.0
        assert tree(place) == before
        check(place / "stems", place / "check.json", running=QUIET)
        assert (place / "check.json.partial.jsonl.damaged").exists()

    def test_of_refine(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run that fails after its fifth stem."""
        from stemclean.refine import refine
        from stemclean.refining import listening

        real, calls = listening._judged_or_skipped, iter(range(100))

        def failing(*arguments: Any) -> Any:
            if next(calls) >= 5:
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(listening, "_judged_or_skipped", failing)
        with pytest.raises(KeyboardInterrupt):
            refine(place / "stems", place / "r.json", running=QUIET)
        monkeypatch.undo()
        before = tree(place)
        plan = plan_refine(place / "stems", place / "r.json", running=QUIET)
        assert plan.finished_seconds == 15.0
        assert tree(place) == before

    def test_of_trim(self, place: Path) -> None:
        trim(place / "stems", place / "trimmed", quiet=True)
        before = tree(place)
        plan = plan_trim(place / "stems", place / "trimmed", quiet=True)
        assert plan.finished_seconds == plan.seconds == 24.0
        assert tree(place) == before


class TestHub:
    """Weights of the hub are not downloaded; each command runs in a process that knows no other hub."""

    @pytest.fixture
    def served(self, place: Path) -> Any:
        path, _ = addresses.resolve(addresses.DEFAULT_CLASSIFIER)
        with fake_hub.serving() as server:
            server.add("org/good", model__safetensors=path.read_bytes())
            yield server

    def ran(self, server: Any, place: Path, command: str) -> tuple[int, str, str]:
        (place / "home").mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "stemclean", *shlex.split(command)],
            env=fake_hub.environment(server.endpoint, place / "home"),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def test_the_size_is_told_and_nothing_is_fetched(self, served: Any, place: Path) -> None:
        size = addresses.resolve(addresses.DEFAULT_CLASSIFIER)[0].stat().st_size
        (place / "home").mkdir()
        before = tree(place)
        code, text, error = self.ran(served, place, "models download hub:org/good --dry-run --json")
        planned = json.loads(text)
        assert (code, planned["cached"], planned["bytes"]) == (0, False, size), error
        assert json_page.disagreements("models download --dry-run", planned) == []
        code, text, error = self.ran(
            served, place, f"refine {place / 'stems'} -o {place / 'r.json'} --weights hub:org/good --dry-run --json"
        )
        plan = json.loads(text)
        assert (code, plan["estimated_seconds"]) == (0, None), error
        assert "hub:org/good is not cached" in plan["unknown_because"]
        assert plan["writes"][1]["bytes"] == size
        assert tree(place) == before
        assert not any(asked.startswith("GET") for asked in served.asked)
        code, _, error = self.ran(served, place, "models download hub:org/none --dry-run")
        assert code == 2
        assert "no such repository" in error

    def test_cached_weights_are_used(self, served: Any, place: Path) -> None:
        assert self.ran(served, place, "models download hub:org/good")[0] == 0
        before = tree(place)
        code, text, _ = self.ran(served, place, "models download hub:org/good --dry-run --json")
        assert (code, json.loads(text)["cached"]) == (0, True)
        code, text, error = self.ran(
            served, place, f"refine {place / 'stems'} -o {place / 'r.json'} --weights hub:org/good --dry-run --json"
        )
        assert code == 0, error
        assert json.loads(text)["estimated_seconds"] > 0
        assert tree(place) == before
