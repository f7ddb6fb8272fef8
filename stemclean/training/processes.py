"""The processes that train one model together, and what they tell one another.

``torchrun`` and ``accelerate launch`` start them: one a GPU, or some on CPUs. The examples of a step are shared out,
and all that is computed over a batch (sums of losses, gradients, statistics of batch norms, quantiles) is computed over
the examples of all processes, so that several of them learn what one learns. Alone, a process has nothing to tell, and
every function here gives back what it was given.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor, distributed, nn
from torch.autograd import Function

from stemclean.errors import ConfigError

__all__ = [
    "add_gradients",
    "add_up",
    "add_up_with_gradient",
    "everyones",
    "of_the_first",
    "on_cpus",
    "parts",
    "share",
    "together",
]


def on_cpus() -> bool:
    """Whether several processes train on CPUs, of which Accelerate takes no notice unless it is told."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available()


def together() -> PartialState:
    """This process among the others, to which it is connected from the first call to the end of the program."""
    fresh = not PartialState._shared_state  # noqa: SLF001 - the one place that says whether there is a state
    state = PartialState(cpu=on_cpus())
    if fresh and state.num_processes > 1:
        atexit.register(state.destroy_process_group)
    return state


def share(batch_size: int, rank: int, processes: int) -> range:
    """Which of the examples of a step are a process's; all are somebody's, and the shares differ by one at most.

    >>> [share(8, rank, 3) for rank in range(3)]
    [range(0, 2), range(2, 5), range(5, 8)]

    Raises:
        ConfigError: fewer examples than processes.
    """
    if batch_size < processes:
        raise ConfigError(
            f"loop.batch_size is {batch_size}, which leaves some of {processes} processes without an example",
            f"give {processes} at least, or start fewer processes",
        )
    return range(batch_size * rank // processes, batch_size * (rank + 1) // processes)


def add_up(figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each of some figures, summed over the processes; without gradients.

    Shape:
        ``()`` each.
    """
    told = {name: figure.detach() for name, figure in figures.items()}
    if together().num_processes == 1 or not told:
        return told
    summed = torch.stack([figure.float() for figure in told.values()])
    distributed.all_reduce(summed)
    return dict(zip(told, summed, strict=True))


def add_up_with_gradient(tensor: Tensor) -> Tensor:
    """A tensor summed over the processes, each of which goes on with the sum; their gradients are summed as well."""
    if together().num_processes == 1:
        return tensor
    apply: Any = _Sum.apply  # typed in some versions of torch
    summed: Tensor = apply(tensor)
    return summed


class _Sum(Function):
    @staticmethod
    def forward(_: Any, tensor: Tensor) -> Tensor:
        summed = tensor.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].clone()
        distributed.all_reduce(summed)
        return summed


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sum the gradients of all processes; a parameter that no gradient reaches anywhere keeps none."""
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    if together().num_processes == 1 or not learned:
        return
    reached = torch.tensor([float(p.grad is not None) for p in learned], device=learned[0].device)
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in learned]
    summed = torch.cat([reached, *(grad.flatten().float() for grad in grads)])
    distributed.all_reduce(summed)
    reached, *each = summed.split([len(learned), *(p.numel() for p in learned)])
    for parameter, gradient, somewhere in zip(learned, each, reached.tolist(), strict=True):
        parameter.grad = gradient.view_as(parameter).to(parameter.dtype) if somewhere else None


def everyones(rows: Tensor) -> tuple[Tensor, slice]:
    """The rows of all processes, in order, and which of them are this one's; without gradients.

    Shape:
        ``(row, ...)``, as many rows as a process has -> ``(all rows, ...)``.
    """
    state = together()
    rows = rows.detach()
    if state.num_processes == 1:
        return rows, slice(0, len(rows))
    counts = torch.zeros(state.num_processes, dtype=torch.long, device=rows.device)
    counts[state.process_index] = len(rows)
    distributed.all_reduce(counts)
    start = int(counts[: state.process_index].sum())
    mine = slice(start, start + len(rows))
    whole = rows.new_zeros((int(counts.sum()), *rows.shape[1:]))
    whole[mine] = rows
    distributed.all_reduce(whole)  # every row is one process's, and zero elsewhere; NaN and infinity stay what they are
    return whole, mine


def of_the_first(told: Any) -> Any:
    """What the first process says, in all of them; of things that can be pickled."""
    if together().num_processes == 1:
        return told
    (first,) = broadcast_object_list([told])
    return first


def parts(batch: Sequence[Tensor], size: int) -> list[tuple[Tensor, ...]]:
    """A batch in parts of ``size`` examples, the last one of what is left; 0: as it is.

    >>> [len(part[0]) for part in parts((torch.zeros(5, 2),), 2)]
    [2, 2, 1]
    """
    if not size:
        return [tuple(batch)]
    return list(zip(*(tensor.split(size) for tensor in batch), strict=True))
