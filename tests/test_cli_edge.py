"""The command line and the system: closed pipes, terminals, missing folders, paths to copy."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import soundfile
import typer
from typer.testing import CliRunner

from stemclean.cli import _shared, app
from stemclean.data import pool_cache
from stemclean.errors import ConfigError, visible
from stemclean.progress import waiting

OURS = (sys.executable, "-m", "stemclean")


@pytest.fixture
def one_song(tmp_path: Path, make_dataset: Callable[..., Path]) -> Path:
    return make_dataset(tmp_path / "stems", tracks=1, seconds=0.5, labels=["bass", "drums"])


@pytest.fixture
def closed() -> int:
    """A pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


class TestClosedPipes:
    @pytest.mark.parametrize("words", ["--help", "--version", "trim --help"])
    def test_help_into_a_closed_pipe_exits_quietly(self, closed: int, words: str) -> None:
        result = subprocess.run([*OURS, *words.split()], stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
        assert (result.returncode, result.stderr) == (_shared.CLOSED_PIPE, "")

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_a_finished_run_into_a_closed_pipe_exits_quietly(
        self, closed: int, tmp_path: Path, one_song: Path, options: list[str]
    ) -> None:
        command = [*OURS, "trim", str(one_song), str(tmp_path / "out"), *options]
        result = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
        read = f"reading {one_song} as track_folders\n"
        assert (result.returncode, result.stderr) == (_shared.CLOSED_PIPE, read)
        assert (tmp_path / "out" / "manifest.json").is_file()

    @pytest.mark.parametrize("words", ["trim nothing out", "nonsense"])
    def test_a_closed_stderr_does_not_crash(self, closed: int, words: str) -> None:
        result = subprocess.run([*OURS, *words.split()], stdout=subprocess.PIPE, stderr=closed, text=True, check=False)
        assert (result.returncode, result.stdout) == (_shared.CLOSED_PIPE, "")

    def test_a_broken_pipe_elsewhere_is_reported(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        program = (
            "import sys; from stemclean import layouts; from stemclean.cli import main\n"
            "def broken(path, **options): raise BrokenPipeError(32, 'Broken pipe')\n"
            "layouts.check = broken; sys.argv = ['stemclean', 'trim', 'a', 'b']; main()"
        )
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert result.returncode == _shared.BUG
        assert result.stderr.startswith("error: BrokenPipeError")


class TestCodePages:
    """Windows gives a pipe its code page, which lacks most letters of the world."""

    @pytest.fixture
    def song(self, tmp_path: Path, make_dataset: Callable[..., Path]) -> Path:
        folder = make_dataset(tmp_path / "stems", tracks=1, seconds=0.5, labels=["bass"])
        (folder / "song 1").rename(folder / "歌")
        (folder / "歌" / "drums.wav").write_text("no sound")
        return folder

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
        return subprocess.run(
            [*OURS, *map(str, words)], capture_output=True, encoding="cp1252", env=environment, check=False
        )

    def test_json_is_valid_in_any_encoding(self, tmp_path: Path, song: Path) -> None:
        result = self.run("trim", song, tmp_path / "out", "--json")
        assert result.returncode == _shared.FAILED_INPUTS
        assert [failure["path"] for failure in json.loads(result.stdout)["failures"]] == ["歌/drums.wav"]
        assert r"  \u6b4c/drums.wav: not_audio" in result.stderr

    def test_a_table_replaces_unencodable_characters(self, tmp_path: Path, song: Path) -> None:
        result = self.run("trim", song, tmp_path / "歌")
        assert result.returncode == _shared.FAILED_INPUTS
        assert result.stdout.startswith("Trimmed")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestWaiting:
    def test_a_terminal_shows_and_clears_the_loading_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = _Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        with waiting("reading a {song} …"):
            during = terminal.getvalue()
        assert during.strip() == "reading a {song} …"
        assert terminal.getvalue().rsplit("\r", 2)[-2].strip() == ""  # blanks over the line, then back to its start

    @pytest.mark.parametrize(("stream", "quiet"), [(_Terminal, True), (io.StringIO, False)])
    def test_no_loading_message_without_a_terminal(
        self, monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], quiet: bool
    ) -> None:
        shown = stream()
        monkeypatch.setattr(sys, "stderr", shown)
        with waiting("loading …", quiet=quiet):
            pass
        assert shown.getvalue() == ""

    def test_a_missing_dataset_clears_the_loading_message(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no such file or folder"), _shared.reading(tmp_path / "nothing"):
            pytest.fail("the verb was imported")


class TestBeforeTorch:
    """Loading torch takes seconds; what can be refused without it is."""

    REFUSALS: ClassVar[dict[str, str]] = {
        "refine nothing": "no such file or folder: nothing",
        "refine empty": "empty: no audio files",
        "refine stems --threshold 1 --claimed-threshold 1": (
            'threshold is 1.0; it must be a number above 0 and below 1, one for each class, or "adaptive"'
        ),
        "refine stems -o refined.txt": "refined.txt: the extension of a manifest is .json, .jsonl or .jsonl.gz",
        "refine stems --weights bundled:nothing": 'no weights named "nothing"',
        "refine stems --weights file:nothing.safetensors": "nothing.safetensors: no such weights file",
        "refine nothing --self": "no such file or folder: nothing",
        "refine stems --self -o refined.txt": "refined.txt: the extension of a manifest is .json, .jsonl or .jsonl.gz",
        "train-classifier nothing -o w.safetensors": "no such file or folder: nothing",
        "train-classifier stems -o w.pt": "w.pt: weights are safetensors files",
    }

    def test_invalid_arguments_are_refused_before_torch_is_imported(self, tmp_path: Path, one_song: Path) -> None:
        (tmp_path / "empty").mkdir()
        program = (
            "import json, sys; from typer.testing import CliRunner; from stemclean.cli import app\n"
            "def outcome(command):\n"
            "    result = CliRunner().invoke(app, command.split(), prog_name='stemclean')\n"
            "    return result.exit_code, result.stderr.splitlines()[0], 'torch' in sys.modules\n"
            f"print(json.dumps({{command: outcome(command) for command in {list(self.REFUSALS)!r}}}))"
        )
        result = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        expected = {command: [2, f"error: {message}", False] for command, message in self.REFUSALS.items()}
        assert json.loads(result.stdout) == expected


class TestPaths:
    def test_a_command_can_be_pasted_into_a_shell(self) -> None:
        path = Path("it's/my stems (final).json")
        assert shlex.split(_shared.typed("refine", path, "-o", "out.json")) == [
            "stemclean", "refine", str(path), "-o", "out.json",
        ]  # fmt: skip

    @pytest.mark.parametrize("output", ["refined.json", "results/refined.json", "results/deep/refined.json"])
    def test_printed_stem_paths_open_from_the_working_directory(
        self, tmp_path: Path, one_song: Path, monkeypatch: pytest.MonkeyPatch, output: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        root = os.path.relpath(one_song, Path(output).parent)
        assert _shared.place(Path(output), root, "song 1/bass.wav") == "stems/song 1/bass.wav"

    def test_the_shorter_path_is_printed(self, tmp_path: Path, one_song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "a" / "b" / "c" / "d")
        up = "/".join([".."] * 40)  # more than any way down
        shown = _shared.place(Path("refined.json"), f"{up}{one_song}", "song 1/bass.wav")
        assert shown == str(one_song / "song 1" / "bass.wav")

    def test_paths_from_a_linked_folder_open(
        self, tmp_path: Path, one_song: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "disk" / "results").mkdir(parents=True)
        (tmp_path / "here" / "deep").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "here")
        Path("linked").symlink_to(tmp_path / "disk" / "results", target_is_directory=True)
        shown = _shared.place(Path("linked/refined.json"), "../../stems", "song 1/bass.wav")
        assert Path(shown).samefile(one_song / "song 1" / "bass.wav")


HOSTILE = "a\x1b[31mb\n\u202ec\u200bd\x07[bold]e[/bold]"
SHOWN = r"a\x1b[31mb\n\u202ec\u200bd\x07[bold]e[/bold]"


class TestHostileNames:
    """A file may be called anything; what is shown of it is text."""

    def test_tables_errors_and_lists_escape_control_characters(self, capsys: pytest.CaptureFixture[str]) -> None:
        shown = _shared.table(f"title {HOSTILE}", f"column {HOSTILE}")
        shown.add_row(f"cell {HOSTILE}")
        _shared.data({}, [shown, "two\nlines"], as_json=False)
        _shared._complain(f"error {HOSTILE}", "first\nsecond")
        with pytest.raises(typer.Exit):
            _shared.report_failures([{"path": HOSTILE, "reason": "empty", "detail": HOSTILE}])
        out, err = capsys.readouterr()
        lines = [line.strip() for line in (out + err).splitlines()]
        for line in (f"title {SHOWN}", f"column {SHOWN}", f"cell {SHOWN}", "two", "lines", f"error: error {SHOWN}"):
            assert line in lines
        assert [*lines][-3:] == ["second", "skipped 1 file that could not be used", f"{SHOWN}: empty ({SHOWN})"]

    def test_json_keeps_names_unchanged(self, capsys: pytest.CaptureFixture[str]) -> None:
        _shared.data({"path": HOSTILE}, as_json=True)
        assert json.loads(capsys.readouterr().out) == {"path": HOSTILE}

    @pytest.mark.parametrize("name", ["/tmp/歌　1.wav", "Ève – ça.wav", "no\N{NO-BREAK SPACE}break"])
    def test_printable_unicode_is_not_escaped(self, name: str) -> None:
        assert visible(name) == name

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
    @pytest.mark.parametrize("verb", ["trim", "corrupt", "export"])
    def test_warnings_cannot_forge_a_line(self, tmp_path: Path, make_dataset: Callable[..., Path], verb: str) -> None:
        """Neither the name of a song nor that of the output."""
        song = tmp_path / "stems" / "song\nerror: forged"
        made = make_dataset(tmp_path / "made", tracks=1, seconds=1.0, labels=["drums"])
        song.mkdir(parents=True)
        sound, rate = soundfile.read(made / "song 1" / "drums.wav")
        soundfile.write(song / "drums.wav", 4 * sound, rate, subtype="FLOAT")  # trim says that it is turned down
        out = tmp_path / "out\nerror: forged"
        command = [verb, str(tmp_path / "stems"), str(out)]
        command += {"export": ["--to", "zfturbo", "--allow-empty"], "trim": [], "corrupt": []}[verb]
        result = CliRunner().invoke(app, command, prog_name="stemclean", env={"NO_COLOR": "1"})
        assert result.exit_code in (0, 3), result.stderr
        assert not any(line.lstrip().startswith("error: forged") for line in result.stderr.splitlines())
        assert r"out\nerror: forged" in result.stderr

    def test_file_names_cannot_forge_a_line(self, tmp_path: Path, one_song: Path) -> None:
        (one_song / "song 1" / "bass\nerror: forged\x1b[2J.wav").write_text("no sound")
        command = [*OURS, "trim", str(one_song), str(tmp_path / "out")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == _shared.FAILED_INPUTS
        stderr = result.stdout + result.stderr
        assert r"bass\nerror: forged\x1b[2J.wav" in stderr
        assert "\x1b" not in stderr
        assert not any(line.startswith("error") for line in stderr.splitlines())


class TestStreams:
    """What is closed or full is no bug of ours."""

    def run(self, shell: str, **paths: Path) -> subprocess.CompletedProcess[str]:
        words = {name: shlex.quote(str(path)) for name, path in paths.items()}
        command = f"{shlex.join(OURS)} {shell.format(**words)}"
        return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    @pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-", "2>/dev/full"])
    def test_closed_streams_do_not_stop_the_work(self, tmp_path: Path, one_song: Path, closed: str) -> None:
        if "full" in closed and not Path("/dev/full").exists():
            pytest.skip("no /dev/full here")
        result = self.run(f"trim {{stems}} {{out}} {closed}", stems=one_song, out=tmp_path / "out")
        assert result.returncode == 0
        assert (tmp_path / "out" / "manifest.json").is_file()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_data_that_cannot_be_written_is_an_error(self, tmp_path: Path, one_song: Path) -> None:
        result = self.run("trim {stems} {out} --json -q > /dev/full", stems=one_song, out=tmp_path / "out")
        assert (result.returncode, result.stderr.splitlines()[0]) == (2, "error: stdout: the disk is full")

    def test_a_full_disk_without_a_file_name_is_not_a_bug(self, capsys: pytest.CaptureFixture[str]) -> None:
        """As that of shared memory, or of a file that has no name any more."""
        assert _shared._explain(OSError(errno.ENOSPC, "No space left on device")) == _shared.USAGE
        stderr = capsys.readouterr().err
        assert stderr.startswith(
            "error: temporary files (TMPDIR) or shared memory (/dev/shm): the disk is full\n  make"
        )

    def test_a_missing_temporary_folder_is_reported(self, tmp_path: Path) -> None:
        """torch asks for one as it builds some models; a system that is read-only has none."""
        program = (
            "import sys, tempfile\n"
            "from stemclean.cli import _shared\n"
            "from stemclean.models import registry\n"
            "from stemclean.models.contract import ModelSpec\n"
            "def none(): raise FileNotFoundError(2, 'No usable temporary directory found in []')\n"
            "tempfile._get_default_tempdir, tempfile.tempdir = none, None\n"
            "try: registry.build('pitch', 'crepe', ModelSpec(8000, 1, ('vocals',), 4000), {'hop': 80, 'capacity': 1})\n"
            "except OSError as error: sys.exit(_shared._explain(error))"
        )
        own = {name: value for name, value in os.environ.items() if not name.startswith(("TORCH", "TRITON"))}
        result = subprocess.run([sys.executable, "-c", program], env=own, capture_output=True, text=True, check=False)
        expected = "error: no folder for temporary files is writable\n  set TMPDIR to a writable folder\n"
        assert (result.returncode, result.stderr) == (2, expected)

    def test_a_missing_home_folder_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nowhere() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", nowhere)
        with pytest.raises(ConfigError, match="no home folder") as caught:
            pool_cache.cache_folder()
        assert "XDG_CACHE_HOME" in caught.value.hint
