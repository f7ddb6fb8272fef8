"""How a program is stopped from outside: Ctrl-C, ``kill``, a terminal that is closed.

The first signal lets a run put its things in order, the second one ends it at once. Before anything is written there
is nothing to put in order, and the first one ends it at once, too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["HINT", "Stopped", "exit_code", "install", "received", "tidily"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
HINT = "what is finished stays; run the same command again to go on"
_SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopped(KeyboardInterrupt):
    """Somebody wants the program to end. What knows of Ctrl-C knows of this.

    Args:
        signum: the signal.
    """

    def __init__(self, signum: int = signal.SIGINT) -> None:
        super().__init__(signum)
        self.signum = signum

    def __str__(self) -> str:
        return _SAID.get(signal.Signals(self.signum), "hung up")


class _State:
    """Of this process, not of those that are forked from it."""

    owner: int | None = None
    received: Stopped | None = None
    at_work = 0


_state = _State()


def install() -> None:
    """Take the signals from now on; only a program may, never a library. Ignored ones (``nohup``) stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        return
    _state.owner = os.getpid()
    for signum in SIGNALS:
        if signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(signum, _stop)


def received() -> Stopped | None:
    """What has stopped this process; None: nothing has. Its workers' errors are then no faults."""
    return _state.received if _state.owner == os.getpid() else None


def exit_code(error: KeyboardInterrupt) -> int:
    """128 and the signal's number, as of other programs: 130, 143 or 129."""
    return 128 + (error.signum if isinstance(error, Stopped) else signal.SIGINT)


@contextmanager
def tidily() -> Iterator[None]:
    """While the block runs, a signal is raised as :class:`Stopped` in the main thread, so that it can clean up."""
    _state.at_work += 1
    try:
        yield
    finally:
        _state.at_work -= 1


def _stop(signum: int, _: FrameType | None) -> None:
    if os.getpid() != _state.owner:  # a worker: its own end is nobody's news
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
        return
    for each in SIGNALS:
        if signal.getsignal(each) is _stop:
            signal.signal(each, signal.SIG_DFL)
    _state.received = Stopped(signum)
    if _state.at_work:
        raise _state.received
    with suppress(OSError):
        os.write(2, f"\nerror: {_state.received}\n  {HINT}\n".encode())
    os._exit(exit_code(_state.received))
