"""Worker processes that prepare items in advance.

Each worker has its own connection to the parent and shares nothing with the other workers. If a worker is killed, for
example because memory ran out, it leaves no lock held, and the parent notices at once. If the parent ends for any
reason, its connections close and the workers exit. Tensors are sent through the connection as well: shared memory
would need room in ``/dev/shm``, and sockets in a folder whose path is short.
"""

from __future__ import annotations

import io
import itertools
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Generator
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from stemclean import stopping
from stemclean.errors import StemcleanError

__all__ = ["made_ahead"]

T = TypeVar("T")
AHEAD = 2
"""Number of items requested from each worker in advance."""
ENDS_SECONDS = 5.0
"""Seconds that a dismissed worker has to exit before it is killed."""

_parent_ends: set[Connection] = set()
"""The parent's ends of the connections. Workers close their copies, or the connections would never end."""


def made_ahead(make: Callable[[int], T], start: int, processes: int) -> Generator[T, None, None]:
    """Yield ``make(start)``, ``make(start + 1)`` and so on without end, computed by worker processes.

    Args:
        make: Called with each number. Its result must be picklable; its tensors must be on the CPU.
        start: First number.
        processes: Number of workers.

    Raises:
        StemcleanError: A worker was killed.
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
    """A worker process, as the parent sees it.

    Args:
        make: The function that the worker calls with each number.
    """

    def __init__(self, make: Callable[[int], Any]) -> None:
        context: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else None)
        self.parent_end, worker_end = context.Pipe()
        _parent_ends.add(self.parent_end)
        self.process = context.Process(target=_serve, args=(make, worker_end), daemon=True)
        with stopping.blocked():
            self.process.start()
        worker_end.close()

    def ask(self, number: int) -> None:
        """Request one more item."""
        with suppress(OSError):  # the worker is gone; get() reports it
            self.parent_end.send(number)

    def get(self) -> Any:
        """Return the next requested item.

        Raises:
            StemcleanError: The worker was killed.
        """
        try:
            connection.wait([self.parent_end, self.process.sentinel])
            succeeded, result = pickle.loads(self.parent_end.recv_bytes())  # noqa: S301 - our own worker wrote it
        except (EOFError, OSError) as error:
            hint = "did memory run out? run the same command again to resume, perhaps with fewer --workers"
            raise StemcleanError("a worker process was killed", hint) from error
        if not succeeded:
            raise result
        return result

    def dismiss(self) -> None:
        """Tell the worker to exit."""
        _parent_ends.discard(self.parent_end)
        self.parent_end.close()

    def end(self) -> None:
        """Wait for the worker to exit; kill it after :data:`ENDS_SECONDS`."""
        self.process.join(ENDS_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def _serve(make: Callable[[int], Any], worker_end: Connection) -> None:
    """Answer requests until the parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent decides
    stopping.unblock()
    for end in _parent_ends:
        end.close()
    torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        while True:
            number = worker_end.recv()
            try:
                message = (True, make(number))
            except Exception as error:  # noqa: BLE001 - the parent raises it
                message = (False, _picklable(error))
            worker_end.send_bytes(_pickled(message))


class _Pickler(pickle.Pickler):
    """Pickles tensors by their values."""

    def reducer_override(self, obj: Any) -> Any:
        """Reduce a tensor to an array and the order of its axes in memory, which decides how it is computed with."""
        if not isinstance(obj, Tensor):
            return NotImplemented
        axes = sorted(range(obj.ndim), key=obj.stride, reverse=True)
        return _tensor, (obj.detach().permute(axes).contiguous().numpy(), axes)


def _pickled(message: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(message)
    return buffer.getvalue()


def _tensor(values: np.ndarray, axes: list[int]) -> Tensor:
    """Return the tensor that :class:`_Pickler` reduced."""
    return torch.from_numpy(values).permute([axes.index(axis) for axis in range(len(axes))])


def _picklable(error: Exception) -> Any:
    """Return an error that the parent can raise, with its traceback."""
    wrapped: Any = ExceptionWithTraceback(error, error.__traceback__)
    try:
        pickle.loads(pickle.dumps(wrapped))  # noqa: S301 - pickled on the same line
    except Exception:  # noqa: BLE001 - errors may hold anything
        wrapped = RuntimeError("".join(traceback.format_exception(error)))
    return wrapped
