"""``--dry-run``: a real dataset, the checks of the command, and not a byte written."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import json_page
import pytest
from typer.testing import CliRunner, Result

from stemclean import outputs
from stemclean.cli import app
from stemclean.corrupt import corrupt, plan_corrupt
from stemclean.errors import ConfigError, OutputError
from stemclean.export import export, plan_export
from stemclean.layouts import base
from stemclean.plans import measured
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
