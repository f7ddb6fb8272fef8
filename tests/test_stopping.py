"""Ctrl-C, kill and a closed terminal end a run cleanly, with their own exit code, at any time."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stemclean.stopping import HINT, Stopped, exit_code

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no signals of POSIX here")

CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated"), signal.SIGHUP: (129, "hung up")}
OURS = (sys.executable, "-m", "stemclean")
SLOW = (
    "import sys, time; from stemclean import stopping; stopping.install()\n"
    "from stemclean import __main__, trim\n"
    "from stemclean.data.cutting import Cutter\n"
    "cut = Cutter.cut\n"
    "def slowly(self, *stem):\n"
    "    if self._written: print('cutting', flush=True); time.sleep(60)\n"
    "    return cut(self, *stem)\n"
    "Cutter.cut = slowly; sys.argv[0] = 'stemclean'; __main__.main()"
)


@pytest.fixture
def stems(tmp_path: Path, make_dataset: Callable[..., Path]) -> Path:
    return make_dataset(tmp_path / "stems", tracks=1, seconds=0.5, labels=["bass", "drums"])


def started(*command: str | Path) -> subprocess.Popen[str]:
    """Start a run with default signal handlers, even if the tests run in the background or under nohup."""
    return subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear,  # noqa: PLW1509  no threads here
    )


def _hear() -> None:
    for signum in CODES:
        signal.signal(signum, signal.SIG_DFL)


def error_in(stderr: str) -> str:
    """Return what was written after the remark on the layout of the stems, if it came to that."""
    remark, newline, rest = stderr.partition("\n")
    return rest if newline and remark.startswith("reading ") else stderr


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("signum", CODES)
def test_a_stopped_run_ends_cleanly_and_resumes(tmp_path: Path, stems: Path, signum: signal.Signals) -> None:
    out = tmp_path / "out"
    run = started(sys.executable, "-c", SLOW, "trim", stems, out)
    assert run.stdout is not None
    assert run.stdout.readline() == "cutting\n"
    run.send_signal(signum)
    _, stderr = run.communicate()
    code, word = CODES[signum]
    assert (run.returncode, error_in(stderr)) == (code, f"error: {word}\n  {HINT}\n")
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == [
        "bass.flac",
        "manifest.json.partial.jsonl",
    ]
    written = (out / "song 1" / "bass.flac").stat().st_mtime_ns
    subprocess.run([*OURS, "trim", stems, out], check=True, capture_output=True)
    assert (out / "song 1" / "bass.flac").stat().st_mtime_ns == written
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == [
        "bass.flac",
        "drums.flac",
        "manifest.json",
    ]


def test_a_second_signal_ends_the_run_at_once() -> None:
    program = (
        "import time; from stemclean import stopping; stopping.install()\n"
        "with stopping.tidily():\n"
        "    try: print('in', flush=True); time.sleep(60)\n"
        "    finally: print('cleaning', flush=True); time.sleep(60)"
    )
    run = started(sys.executable, "-c", program)
    assert run.stdout is not None
    for line in ("in\n", "cleaning\n"):
        assert run.stdout.readline() == line
        run.send_signal(signal.SIGINT)
    run.communicate()
    assert run.returncode == -signal.SIGINT


@pytest.mark.parametrize("module", ["typer", "stemclean.layouts", "torch", "timm"])
def test_a_signal_while_loading_ends_the_run_at_once(tmp_path: Path, stems: Path, module: str) -> None:
    program = (
        "import signal, sys\n"
        "class Meanwhile:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: signal.raise_signal(signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Meanwhile()); sys.argv[0] = 'stemclean'\n"
        "from stemclean.__main__ import main; main()"
    )
    run = started(sys.executable, "-c", program, "refine", stems, "-o", tmp_path / "new" / "r.json")
    _, stderr = run.communicate()
    assert (run.returncode, error_in(stderr).strip()) == (143, f"error: terminated\n  {HINT}")
    assert [path.name for path in tmp_path.iterdir()] == ["stems"]


def test_ignored_signals_stay_ignored() -> None:
    program = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from stemclean import stopping; stopping.install(); signal.raise_signal(signal.SIGHUP)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_forked_worker_ends_silently() -> None:
    program = (
        "import os, signal, time; from stemclean import stopping; stopping.install()\n"
        "up, here = os.pipe(); worker = os.fork()\n"
        "if not worker: os.write(here, b'!'); time.sleep(60)\n"
        "os.read(up, 1); os.kill(worker, signal.SIGTERM); print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == (f"{-signal.SIGTERM}\n", "")


def test_errors_caused_by_a_signal_are_not_reported(tmp_path: Path) -> None:
    program = (
        "import signal, sys; from stemclean import stopping; stopping.install()\n"
        "from stemclean import layouts; from stemclean.cli import main\n"
        "def check(path, **_):\n"
        "    with stopping.tidily():\n"
        "        try: signal.raise_signal(signal.SIGTERM)\n"
        "        except KeyboardInterrupt: raise RuntimeError('a worker was killed') from None\n"
        "layouts.check = check; sys.argv = ['stemclean', 'trim', 'a', 'b']; main()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (143, f"error: terminated\n  {HINT}\n")


def test_the_exit_code_is_that_of_the_signal() -> None:
    assert [exit_code(Stopped(signum)) for signum in CODES] == [130, 143, 129]
    assert exit_code(KeyboardInterrupt()) == 130


AROUND_A_FORK = (
    "import os, signal, sys\n"
    "from stemclean import stopping\n"
    "stopping.install()\n"
    "os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
    "try:\n"
    "    with stopping.tidily():\n"
    "        with stopping.blocked():\n"
    "            if os.fork() == 0:\n"
    "                stopping.unblock()\n"
    "                os._exit(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))\n"
    "        print('the signal was lost')\n"
    "except stopping.Stopped as stopped:\n"
    "    sys.exit(stopping.exit_code(stopped) if os.wait()[1] == 0 else 'the worker stayed deaf to signals')\n"
)


def test_a_signal_that_arrives_around_a_fork_is_not_lost() -> None:
    """Python drops an exception that a handler raises in a callback around a fork, so the signal has to wait."""
    result = subprocess.run([sys.executable, "-c", AROUND_A_FORK], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (143, "", "")
