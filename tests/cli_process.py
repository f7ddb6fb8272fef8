"""The command line in separate processes, forked from one that has imported it, so that each starts at once.

What such a process writes below its folder are numbered moments: before each of them, it can be killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

WAIT_SECONDS = 120
"""For what happens within a second on an idle machine."""
CHANGES = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"})
"""Events of Python's audit that change a file, or may."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["cli_process", "stemclean.train_classifier", "stemclean.train_separator",
                                 "stemclean.refine", "stemclean.cli", "timm"])  # fmt: skip


@dataclass
class Run:
    """A command under way, in a session of its own.

    Args:
        process: it.
        place: its working directory, which holds ``out``, ``cache`` and what it prints.
    """

    process: ForkServerProcess
    place: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def ended(self) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        self.process.join(WAIT_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"it does not end; it said:\n{self.stderr}")
        return self.process.exitcode

    @property
    def stderr(self) -> str:
        """What it said so far."""
        return (self.place / "stderr").read_text(encoding="utf-8")

    @property
    def moments(self) -> int:
        """How many it had, once it has ended by itself."""
        number: int = json.loads((self.place / "moments").read_text(encoding="utf-8"))
        return number

    def workers(self) -> list[int]:
        """The other processes of its session that live."""
        return [pid for pid in session(self.pid) if pid != self.pid]


def run(words: Sequence[str], folder: Path, *, kill_at: int | None = None, more: str = "") -> Run:
    """Start a command.

    Args:
        words: the arguments of ``stemclean``.
        folder: working directory.
        kill_at: the moment before which the process kills itself.
        more: Python code that runs before the command.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stderr").write_bytes(b"")
    process = _context.Process(target=_command, args=([*map(str, words)], str(folder), kill_at, more))
    process.start()
    return Run(process, folder)


def session(leader: int) -> list[int]:
    """The processes of a session that live."""
    pids = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit():
                state, _, _, session_id = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session_id) == leader and state != "Z":
                    pids.append(int(entry.name))
    return pids


def left_of(runs: Sequence[Run]) -> list[int]:
    """Processes of runs that do not end by themselves after these have; they are killed."""
    until = time.monotonic() + WAIT_SECONDS
    while (left := [pid for one in runs for pid in session(one.pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def _command(words: list[str], folder: str, kill_at: int | None, more: str) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ |= {"XDG_CACHE_HOME": f"{folder}/cache", "TMPDIR": f"{folder}/tmp"}
    Path("tmp").mkdir(exist_ok=True)
    for number, name in enumerate(("stdout", "stderr"), 1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
    import torch

    torch.set_num_threads(1)
    exec(more, {})
    moments = _Moments(folder, kill_at)
    sys.addaudithook(moments)
    sys.argv = ["stemclean", *words]
    try:
        from stemclean.__main__ import main

        main()
    finally:
        Path(folder, "moments").write_text(str(moments.number), encoding="utf-8")


class _Moments:
    """Counts what a process changes below its folder, and may kill it before one of these changes."""

    def __init__(self, folder: str, kill_at: int | None) -> None:
        self.places = tuple(f"{folder}/{name}/" for name in ("out", "cache", "tmp"))
        self.kill_at, self.number, self.owner = kill_at, 0, os.getpid()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or os.getpid() != self.owner or not self._is_ours(event, arguments):
            return
        if self.number == self.kill_at:
            os.kill(self.owner, signal.SIGKILL)
        self.number += 1

    def _is_ours(self, event: str, arguments: tuple[Any, ...]) -> bool:
        path, mode = arguments[0], arguments[1] if len(arguments) > 1 else None
        if not isinstance(path, str | os.PathLike) or (event == "open" and mode in {"r", "rb", None}):
            return False
        return os.path.abspath(path).startswith(self.places)  # noqa: PTH100 - Path would make events of its own
