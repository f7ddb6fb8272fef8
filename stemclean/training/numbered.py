"""Batches of numbered examples: step k of a run always has the same ones, whoever makes them and in which process."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from stemclean.errors import StemcleanError
from stemclean.training.processes import share

__all__ = ["batches"]

Batch = tuple[Tensor, ...]
Stack = Callable[[Sequence[int]], Batch]


def batches(
    stack: Stack, batch_size: int, *, rank: int, processes: int, start_step: int, workers: int, group: int = 1
) -> Iterator[Batch]:
    """Endless batches from one step on.

    Args:
        stack: examples by their numbers, as one batch.
        batch_size: examples a step, over all processes.
        rank, processes: which process this is, of how many that share a step.
        start_step: the first step.
        workers: processes that make batches ahead; 0: this one makes them.
        group: steps in a row that one worker makes, where its examples have work in common.

    Raises:
        StemcleanError: a process that works ahead was killed.
    """
    context = "fork" if workers and hasattr(os, "fork") else None
    loader = DataLoader(
        _Groups(stack, batch_size, rank, processes, start_step, group),
        batch_size=None,
        sampler=_From(start_step // group),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_one_thread,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context=context,
    )
    for batches_of_steps in _loaded(loader):
        yield from batches_of_steps


def _loaded(loader: DataLoader[list[Batch]]) -> Iterator[list[Batch]]:
    """What comes from a loader, whose workers may be killed.

    torch installs a signal handler that raises wherever the program happens to be when a worker dies. Here the handler
    that was there before is put back; that a worker is gone is then told where its next batch is asked for, at most
    five seconds later.

    Raises:
        StemcleanError: a process that works ahead was killed.
    """
    there = hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD) if there else None
    iterator = iter(loader)
    if before is not None:
        signal.signal(signal.SIGCHLD, before)
    try:
        yield from iterator
    except (RuntimeError, OSError, EOFError) as error:
        if not loader.num_workers or not _of_a_dead_worker(error):
            raise
        hint = "was the memory full? run the same command again to go on, perhaps with fewer --workers"
        raise StemcleanError("a process that mixes ahead was killed", hint) from error


def _of_a_dead_worker(error: Exception) -> bool:
    """Whether a worker is gone: torch found it so, or what it had sent cannot be fetched from it any more.

    An error of the worker's own work says that it was caught there.
    """
    if "Caught" in str(error):
        return False
    return isinstance(error, ConnectionError | FileNotFoundError | EOFError) or "DataLoader worker" in str(error)


class _Groups(Dataset[list[Batch]]):
    """The batches of some steps in a row, those before the first step left out."""

    def __init__(self, stack: Stack, batch_size: int, rank: int, processes: int, start_step: int, group: int) -> None:
        self.stack, self.batch_size, self.share = stack, batch_size, share(batch_size, rank, processes)
        self.start_step, self.group = start_step, group

    def __getitem__(self, number: int) -> list[Batch]:
        steps = range(max(self.start_step, number * self.group), (number + 1) * self.group)
        firsts = [step * self.batch_size for step in steps]
        return [self.stack(range(first + self.share.start, first + self.share.stop)) for first in firsts]


class _From(Sampler[int]):
    """Numbers from one on, without end."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.start)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
