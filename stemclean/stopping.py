"""Handle signals that stop the program: Ctrl-C, ``kill``, or a terminal that is closed.

After the first signal, a run cleans up and stops; the second signal ends it at once. Before a run writes anything,
there is nothing to clean up, and the first signal ends it at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["HINT", "Stopped", "blocked", "exit_code", "install", "received", "tidily", "unblock"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
HINT = "finished work is kept; run the same command again to continue"
_MESSAGES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopped(KeyboardInterrupt):
    """Raised when a signal stops the program; code that handles Ctrl-C handles it too.

    Args:
        signum: the signal.
    """

    def __init__(self, signum: int = signal.SIGINT) -> None:
        super().__init__(signum)
        self.signum = signum

    def __str__(self) -> str:
        return _MESSAGES.get(signal.Signals(self.signum), "hung up")


class _State:
    """State of this process; processes forked from it do not use it."""

    owner: int | None = None
    received: Stopped | None = None
    at_work = 0
    holding = 0
    held: int | None = None


_state = _State()


def install() -> None:
    """Install the signal handlers; call this only in a program. Ignored signals (``nohup``) stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        return
    _state.owner = os.getpid()
    for signum in SIGNALS:
        if signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(signum, _stop)


def received() -> Stopped | None:
    """Return the signal that stopped this process, or None. After a signal, errors of workers are expected."""
    return _state.received if _state.owner == os.getpid() else None


@contextmanager
def blocked() -> Iterator[None]:
    """Hold back signals while the ``with`` block runs; they arrive at its end.

    The start of a process needs this: Python drops exceptions that are raised in the callbacks around a fork, and a
    process that was spawned but has not got its task yet would complain. The new process inherits the blocked signals
    and must call :func:`unblock`.
    """
    here = threading.current_thread() is threading.main_thread()
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS) if masks else set()
    _state.holding += here
    try:
        yield
    finally:
        _state.holding -= here
        held = _state.held
        if here and held is not None and not _state.holding:
            _state.held = None
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if here and held is not None and not _state.holding:
            _stop(held, None)


def unblock() -> None:
    """Let signals arrive again in a process that was started while they were :func:`blocked`."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def exit_code(error: KeyboardInterrupt) -> int:
    """Return the conventional exit code, 128 plus the signal number: 130, 143 or 129."""
    return 128 + (error.signum if isinstance(error, Stopped) else signal.SIGINT)


@contextmanager
def tidily() -> Iterator[None]:
    """While the block runs, raise signals as :class:`Stopped` in the main thread, so that it can clean up."""
    _state.at_work += 1
    try:
        yield
    finally:
        _state.at_work -= 1


def _stop(signum: int, _: FrameType | None) -> None:
    if os.getpid() != _state.owner:  # a worker process ends silently
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
        return
    if _state.holding:  # a thread that does not block signals has received it
        _state.held = signum
        return
    for handled in SIGNALS:
        if signal.getsignal(handled) is _stop:
            signal.signal(handled, signal.SIG_DFL)
    _state.received = Stopped(signum)
    if _state.at_work:
        raise _state.received
    with suppress(OSError):
        os.write(2, f"\nerror: {_state.received}\n  {HINT}\n".encode())
    os._exit(exit_code(_state.received))
