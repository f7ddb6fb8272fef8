"""Processes that make things ahead of who needs them.

Each has a connection to itself and shares nothing with the others: one that is killed, by the system for want of memory
say, leaves no lock behind that somebody waits for, nor half a message, and is noticed at once. When the process that
needs them is gone, however that happened, their connections end, and so do they.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from typing import Any, TypeVar

import torch
import torch.multiprocessing  # what tensors are sent with

from stemclean.errors import StemcleanError

__all__ = ["made_ahead"]

T = TypeVar("T")
AHEAD = 2
"""Things that each process is asked for before one is needed."""
ENDS_SECONDS = 5.0
"""Within which a process has ended that is not needed any more, before it is ended."""

_ours: set[Connection] = set()
"""This process's ends of the connections to its own; nobody else may hold them, or they would never end."""


def made_ahead(make: Callable[[int], T], start: int, processes: int) -> Generator[T, None, None]:
    """What ``make`` says of ``start``, ``start + 1`` and so on, without end, each made in one of some processes.

    Args:
        make: of numbers; what it gives can be pickled, and tensors are shared.

    Raises:
        StemcleanError: one of the processes was killed.
    """
    numbers = itertools.count(start)
    makers: list[_Maker] = []
    try:
        for _ in range(processes):
            makers.append(_Maker(make))
        for _ in range(AHEAD):
            for maker in makers:
                maker.ask(next(numbers))
        for maker in itertools.cycle(makers):
            made = maker.get()
            maker.ask(next(numbers))
            yield made
    finally:
        for maker in makers:
            maker.dismiss()
        for maker in makers:
            maker.end()


class _Maker:
    """One of the processes.

    Args:
        make: what it does.
    """

    def __init__(self, make: Callable[[int], Any]) -> None:
        context: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else None)
        self.here, there = context.Pipe()
        _ours.add(self.here)
        self.process = context.Process(target=_serve, args=(make, there), daemon=True)
        with _later(signal.SIGINT):  # a process takes over what is put off, so that Ctrl-C is for who asks
            self.process.start()
        there.close()

    def ask(self, number: int) -> None:
        """Have one more thing made."""
        with suppress(OSError):  # it is gone: said where its next thing is needed
            self.here.send(number)

    def get(self) -> Any:
        """The next of the things that were asked for.

        Raises:
            StemcleanError: the process was killed.
        """
        try:
            connection.wait([self.here, self.process.sentinel])
            well, made = self.here.recv()
        except (EOFError, OSError) as error:  # also where it sent what cannot be fetched from it any more
            hint = "was the memory full? run the same command again to go on, perhaps with fewer --workers"
            raise StemcleanError("a process that mixes ahead was killed", hint) from error
        if not well:
            raise made
        return made

    def dismiss(self) -> None:
        """It need not make more."""
        _ours.discard(self.here)
        self.here.close()

    def end(self) -> None:
        """Wait until it has ended, or end it."""
        self.process.join(ENDS_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


@contextmanager
def _later(signum: int) -> Iterator[None]:
    """Put a signal off until the block has run, where that is known."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signum})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(make: Callable[[int], Any], there: Connection) -> None:
    """Make what is asked for, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in _ours:
        end.close()
    torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        while True:
            number = there.recv()
            try:
                told = (True, make(number))
            except Exception as error:  # noqa: BLE001 - it is raised where it is needed
                told = (False, _sendable(error))
            there.send(told)


def _sendable(error: Exception) -> Any:
    """An error as another process can raise it, with where it came from."""
    told: Any = ExceptionWithTraceback(error, error.__traceback__)
    try:
        pickle.loads(pickle.dumps(told))  # noqa: S301 - it is our own
    except Exception:  # noqa: BLE001 - errors may hold anything
        told = RuntimeError("".join(traceback.format_exception(error)))
    return told
