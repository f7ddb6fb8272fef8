"""Batches of numbered examples: step k of a run always has the same ones, whoever makes them and in which process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from stemclean.training.ahead import made_ahead
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
    groups = _Groups(stack, batch_size, rank, processes, start_step, group)
    first = start_step // group
    made = made_ahead(groups.of, first, workers) if workers else map(groups.of, itertools.count(first))
    pins = torch.cuda.is_available()
    try:
        for batches_of_steps in made:
            for batch in batches_of_steps:
                yield tuple(part.pin_memory() for part in batch) if pins else batch
    finally:
        getattr(made, "close", lambda: None)()  # its processes end


class _Groups:
    """The batches of some steps in a row, those before the first step left out."""

    def __init__(self, stack: Stack, batch_size: int, rank: int, processes: int, start_step: int, group: int) -> None:
        self.stack, self.batch_size, self.share = stack, batch_size, share(batch_size, rank, processes)
        self.start_step, self.group = start_step, group

    def of(self, number: int) -> list[Batch]:
        """Those of a group."""
        steps = range(max(self.start_step, number * self.group), (number + 1) * self.group)
        firsts = [step * self.batch_size for step in steps]
        return [self.stack(range(first + self.share.start, first + self.share.stop)) for first in firsts]
