"""Programs that may crash, hang or exhaust memory, watched from outside."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["Ended", "Started", "alive", "cpu_seconds", "end_session", "ended", "run", "start", "worker_cases"]

Record = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
HANGS_SECONDS = 180.0
"""Longest silence of a worker; generous, because the machine may be busy."""
NOTICES_SECONDS = 30.0
"""Time within which a worker notices that its parent was killed: PyTorch's workers check every 5 s."""


def worker_cases(seed: int, first: int, last: int, work: Path) -> Iterator[Record]:
    """Return the outcomes of cases in :mod:`benchmarks.robustness.worker`; a crash of the worker is an outcome."""
    while first < last:
        words = [sys.executable, "-m", "benchmarks.robustness.worker", *map(str, (seed, first, last, work))]
        process = subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert process.stdout
        under_way: int | None = None
        why = ""
        for line in _lines(process.stdout, HANGS_SECONDS):
            if line is None:
                why = "hang"
                break
            document = json.loads(line)
            if "failures" in document:
                under_way, first = None, document["case"] + 1
                yield document
            else:
                under_way = document["case"]
        end_session(process.pid)
        code = process.wait()
        process.stdout.close()
        if first < last:
            if under_way is None:
                raise RuntimeError(f"the worker ended with {code} before case {first}: {' '.join(words)}")
            yield {
                "case": under_way,
                "exit_code": code,
                "failures": [why or "crash"],
                "kind": "",
                "way": "",
                "faults": [],
            }
            first = under_way + 1


def _lines(pipe: IO[bytes], seconds: float) -> Iterator[bytes | None]:
    """Lines as they come; None, and no more, after so long without one."""
    waiting = b""
    while True:
        ready, _, _ = select.select([pipe], [], [], seconds)
        if not ready:
            yield None
            return
        more = os.read(pipe.fileno(), 1 << 16)
        if not more:
            return
        *whole, waiting = (waiting + more).split(b"\n")
        yield from whole


@dataclass
class Ended:
    """How a command ended.

    Args:
        exit_code: of the process; negative: the signal that ended it.
        stdout, stderr: what it printed.
        seconds: of wall-clock time.
        cpu_seconds: of processor time, with its own processes.
        memory_mb: the largest resident set among it and its own processes.
        hung: it was ended, since it did not end by itself.
        orphans: processes that were left when it had ended.
    """

    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    cpu_seconds: float
    memory_mb: int
    hung: bool
    orphans: int


@dataclass
class Started:
    """A running command, in its own session."""

    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    began: float


def start(words: Sequence[str], cwd: Path, environment: dict[str, str], wrapped: Sequence[str] = ()) -> Started:
    """Start ``stemclean`` with some words; ``wrapped``: in a command that runs what stands behind it."""
    stdout, stderr = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed in ended()
    process = subprocess.Popen(
        [*wrapped, sys.executable, "-m", "stemclean", *words],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        start_new_session=True,
    )
    return Started(process, stdout, stderr, time.monotonic())


def ended(started: Started, limit_seconds: float) -> Ended:
    """Wait until a command has ended, or end it."""
    pid, hung = started.process.pid, False
    while True:
        got, status, usage = os.wait4(pid, os.WNOHANG)
        if got:
            break
        if time.monotonic() - started.began > limit_seconds:
            hung = True
            end_session(pid)
        time.sleep(0.01)
    started.process.returncode = os.waitstatus_to_exitcode(status)
    orphans = _orphans(pid)
    end_session(pid)
    texts = []
    for file in (started.stdout, started.stderr):
        file.seek(0)
        texts.append(file.read().decode("utf-8", "replace"))
        file.close()
    return Ended(
        started.process.returncode, texts[0], texts[1], time.monotonic() - started.began,
        usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10, hung, orphans,
    )  # fmt: skip


def run(
    words: Sequence[str],
    cwd: Path,
    environment: dict[str, str],
    limit_seconds: float,
    wrapped: Sequence[str] = (),
) -> Ended:
    """Run ``stemclean`` with some words to its end."""
    return ended(start(words, cwd, environment, wrapped), limit_seconds)


def _orphans(session: int) -> int:
    """Return how many processes of a session remain after a delay."""
    until = time.monotonic() + NOTICES_SECONDS
    while (left := alive(session)) and time.monotonic() < until:
        time.sleep(0.05)
    return len(left)


def alive(session: int) -> list[int]:
    """Return the processes of a session."""
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(of) == session and state != "Z":
                    processes.append(int(entry.name))
    return processes


def cpu_seconds(session: int) -> float:
    """Processor time that the processes of a session have used, and those of theirs that have ended."""
    ticks = 0
    for pid in alive(session):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def end_session(session: int) -> None:
    """Kill what is left of a session that was started here, and wait until it is gone."""
    until = time.monotonic() + NOTICES_SECONDS
    while (left := alive(session)) and time.monotonic() < until:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
