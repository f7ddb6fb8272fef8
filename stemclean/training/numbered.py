"""Batches of numbered examples: step k of a run always has the same examples, whichever process makes them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from stemclean.training.ahead import made_ahead
from stemclean.training.processes import share

__all__ = ["batches"]

Batch = tuple[Tensor, ...]
Stack = Callable[[Sequence[int]], Batch]


def batches(
    stack: Stack, batch_size: int, *, rank: int, processes: int, start_step: int, workers: int, group: int = 1
) -> Iterator[Batch]:
    """Yield batches without end, from a step on.

    Args:
        stack: Returns the examples with the given numbers as one batch.
        batch_size: Examples per step, over all processes.
        rank: Index of this process.
        processes: Number of processes that share a step.
        start_step: First step.
        workers: Number of worker processes that make batches in advance; 0: this process makes them.
        group: Number of consecutive steps that one worker makes together, so that their examples can share work.

    Raises:
        StemcleanError: A worker process was killed.
    """
    groups = _Groups(stack, batch_size, rank, processes, start_step, group)
    first = start_step // group
    made = made_ahead(groups.batches, first, workers) if workers else map(groups.batches, itertools.count(first))
    try:
        for batches_of_steps in made:
            yield from batches_of_steps
    finally:
        getattr(made, "close", lambda: None)()  # ends its workers


class _Groups:
    """Groups of consecutive steps; those before the first step are left out."""

    def __init__(self, stack: Stack, batch_size: int, rank: int, processes: int, start_step: int, group: int) -> None:
        self.stack, self.batch_size, self.share = stack, batch_size, share(batch_size, rank, processes)
        self.start_step, self.group = start_step, group

    def batches(self, number: int) -> list[Batch]:
        """Return the batches of a group."""
        steps = range(max(self.start_step, number * self.group), (number + 1) * self.group)
        firsts = [step * self.batch_size for step in steps]
        return [self.stack(range(first + self.share.start, first + self.share.stop)) for first in firsts]
