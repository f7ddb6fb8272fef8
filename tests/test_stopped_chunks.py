"""``merge`` and ``validate`` with several processes, stopped by a signal, killed, or left without a worker."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cli_process
import pytest
from test_merge import LABELS, dataset, song

from stemclean import manifest
from stemclean.stopping import HINT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SONGS = 1000
IN_PROCESSES = "from stemclean import manifest_chunks as m; m.LARGE = 0; m.SIZE = 10"
COMMANDS = {"merge": ["merge", "a.jsonl", "b.jsonl", "-o", "out/m.jsonl"], "validate": ["validate", "a.jsonl"]}


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Two manifests, large enough that nobody is through with them when the processes have started."""
    stems = {name: [stem for i in range(SONGS) for stem in song(f"{name}{i:04}")] for name in "ab"}
    folder = tmp_path_factory.mktemp("manifests")
    for name, some in stems.items():
        manifest.write(dataset(some), folder / f"{name}.jsonl")

    def linked(place: Path) -> Path:
        (place / "out").mkdir(parents=True)
        for name in stems:
            os.link(folder / f"{name}.jsonl", place / f"{name}.jsonl")
        return place

    return linked


def under_way(words: list[str], folder: Path) -> cli_process.Run:
    """A run whose processes have started."""
    run = cli_process.run(words, folder, more=IN_PROCESSES)
    until = time.monotonic() + cli_process.WAIT_SECONDS
    while len(run.workers()) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    return run


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_signal_leaves_no_process_and_no_file(verb: str, write: Callable[[Path], Path], tmp_path: Path) -> None:
    run = under_way(COMMANDS[verb], write(tmp_path))
    os.kill(run.pid, signal.SIGTERM)
    assert run.ended() == 143
    assert f"error: terminated\n  {HINT}\n" in run.stderr and cli_process.left_of([run]) == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("wait", [0.0, 0.3])
def test_ctrl_c_while_the_processes_start_is_silent(
    verb: str, wait: float, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    """A terminal sends it to all processes, also to one that has just begun to import."""
    run = cli_process.run(COMMANDS[verb], write(tmp_path), more=IN_PROCESSES)
    until = time.monotonic() + cli_process.WAIT_SECONDS
    while not any(b"spawn_main" in command_of(pid) for pid in run.workers()) and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(wait)
    os.killpg(run.pid, signal.SIGINT)
    assert run.ended() == 130
    assert cli_process.left_of([run]) == []
    assert run.stderr.strip() == f"error: interrupted\n  {HINT}"


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_killed_merge_is_done_by_the_next_one(write: Callable[[Path], Path], tmp_path: Path) -> None:
    run = under_way(COMMANDS["merge"], write(tmp_path))
    os.kill(run.pid, signal.SIGKILL)
    assert run.ended() == -signal.SIGKILL and cli_process.left_of([run]) == []
    assert not (tmp_path / "out" / "m.jsonl").exists()
    again = cli_process.run(COMMANDS["merge"], tmp_path, more=IN_PROCESSES)
    assert again.ended() == 0, again.stderr
    assert len(manifest.read(tmp_path / "out" / "m.jsonl").stems) == 2 * SONGS * len(LABELS)


def test_a_worker_that_is_killed_ends_the_run_with_a_message(write: Callable[[Path], Path], tmp_path: Path) -> None:
    run = under_way(COMMANDS["merge"], write(tmp_path))
    os.kill(max(run.workers()), signal.SIGKILL)
    assert run.ended() == 2
    assert "error: a worker process was killed\n" in run.stderr and cli_process.left_of([run]) == []
