"""Trainings with workers, stopped by a signal or by a killed worker: they end with a message and can resume."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import aligned_songs
import cli_process
import pytest
import torch
from test_killed_trainings import SMALL, words_of
from test_two_processes import SEPARATOR

from stemclean.stopping import HINT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SETTINGS = {"train-classifier": SMALL, "train-separator": SEPARATOR}
WORKERS = 2
LONG = ["loop.batch_size=4", "validation_examples=4", "loop.examples=4000000", "loop.validations=500000"]
"""A validation and a checkpoint every other step, until somebody stops it."""


def command(verb: str, *settings: str) -> list[str]:
    return words_of([verb, "songs", "-o", "out/w.safetensors", f"--workers={WORKERS}", *SETTINGS[verb], *settings])


def under_way(verb: str, folder: Path) -> cli_process.Run:
    """A run that has written a checkpoint."""
    aligned_songs.write(folder / "songs", ("only_stems",) * 6, {0: "validation", 1: "validation"})
    run = cli_process.run(command(verb, *LONG), folder)
    until = time.monotonic() + cli_process.WAIT_SECONDS
    while not list(folder.glob("out/w.*.checkpoint")) and time.monotonic() < until:
        time.sleep(0.02)
    return run


def workers(run: cli_process.Run) -> list[int]:
    """The processes that mix ahead: forks of the run. A validation has some for itself, which are younger."""
    line, pids = Path(f"/proc/{run.pid}/cmdline").read_bytes(), []
    for pid in run.workers():
        with suppress(FileNotFoundError):  # one of a validation, which is over
            pids += [pid] * (Path(f"/proc/{pid}/cmdline").read_bytes() == line)
    return sorted(pids)[:WORKERS]


def goes_on(verb: str, folder: Path) -> None:
    """From where its checkpoint is, four steps more, to its end."""
    (checkpoint,) = folder.glob("out/w.*.checkpoint")
    state = torch.load(checkpoint, weights_only=True)
    more = [*LONG, f"loop.examples={4 * (state['step'] + 4)}", "loop.validations=1"]
    again = cli_process.run(command(verb, *more), folder)
    assert again.ended() == 0, again.stderr
    history = json.loads((folder / "out" / "w.json").read_text())["history"]
    assert len(history) == len(state["history"]) + 1 and history[-1]["step"] == state["step"] + 4
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["w.json", "w.safetensors"]
    assert cli_process.left_of([again]) == []


@pytest.mark.parametrize(
    ("verb", "signum", "everybody", "code", "word"),
    [
        ("train-separator", signal.SIGTERM, False, 143, "terminated"),
        ("train-classifier", signal.SIGHUP, True, 129, "hung up"),  # a terminal that is closed tells all of them
        ("train-separator", signal.SIGINT, True, 130, "interrupted"),
    ],
)
def test_a_signal_ends_training_and_its_workers(
    verb: str, signum: signal.Signals, everybody: bool, code: int, word: str, tmp_path: Path
) -> None:
    run = under_way(verb, tmp_path)
    assert len(workers(run)) == WORKERS, run.stderr
    (os.killpg if everybody else os.kill)(run.pid, signum)
    assert run.ended() == code
    assert run.stderr.endswith(f"error: {word}\n  {HINT}\n") and "Traceback" not in run.stderr
    assert cli_process.left_of([run]) == []
    goes_on(verb, tmp_path)


@pytest.mark.parametrize("verb", SETTINGS)
def test_a_killed_worker_ends_training_with_a_message(verb: str, tmp_path: Path) -> None:
    run = under_way(verb, tmp_path)
    os.kill(workers(run)[0], signal.SIGKILL)
    assert run.ended() == 2
    assert "error: a worker process was killed\n" in run.stderr
    assert "run the same command again to resume" in run.stderr and "Traceback" not in run.stderr
    assert cli_process.left_of([run]) == []
    goes_on(verb, tmp_path)
