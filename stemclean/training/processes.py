"""Distributed training: share the examples of a step among processes, and reduce over them.

``torchrun`` and ``accelerate launch`` start the processes: one per GPU, or several on CPUs. Whatever is computed over a
batch (sums of losses, gradients, statistics of batch norms, quantiles) is computed over the examples of all processes,
so that several processes learn what one would. With a single process, the functions return their input.
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
from stemclean.models import devices

__all__ = [
    "add_gradients",
    "add_up",
    "add_up_with_gradient",
    "everyones",
    "from_first",
    "on_cpus",
    "parts",
    "place",
    "share",
    "together",
]


def on_cpus() -> bool:
    """Return whether several processes train on CPUs, which Accelerate does not detect by itself."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available()


def place(device: str | None) -> torch.device:
    """Return the device that this process trains on.

    Args:
        device: Its name; None: a GPU if there is one. Several processes take a GPU each, so only the kind of
            device can be given.

    Raises:
        ConfigError: There is no such device, or several processes would share it.
    """
    if device is None:
        free: torch.device = together().device
        return free
    wanted = devices.chosen(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return wanted
    if ":" in device:
        raise ConfigError(
            f"several processes cannot share the device {device}", f"each takes one of its own: give {wanted.type}"
        )
    mine: torch.device = together(cpu=wanted.type == "cpu").device
    if mine.type != wanted.type:
        raise ConfigError(
            f"the processes are already connected on {mine.type}, not on {device}", "give the same device"
        )
    return mine


def together(*, cpu: bool = False) -> PartialState:
    """Return Accelerate's state of this process.

    The first call connects it to the other processes, until the end of the program; with ``cpu``, to train on CPUs.
    """
    fresh = not PartialState._shared_state  # noqa: SLF001 - there is no public way to ask
    state = PartialState(cpu=cpu or on_cpus())
    if fresh and state.num_processes > 1:
        atexit.register(state.destroy_process_group)
    return state


def share(batch_size: int, rank: int, processes: int) -> range:
    """Return which examples of a step belong to a process. The shares differ in size by at most one.

    >>> [share(8, rank, 3) for rank in range(3)]
    [range(0, 2), range(2, 5), range(5, 8)]

    Raises:
        ConfigError: There are fewer examples than processes.
    """
    if batch_size < processes:
        raise ConfigError(
            f"loop.batch_size is {batch_size}, too small for {processes} processes",
            f"set it to at least {processes}, or start fewer processes",
        )
    return range(batch_size * rank // processes, batch_size * (rank + 1) // processes)


def add_up(figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return every figure summed over the processes, without gradients.

    Shape:
        ``()`` each.
    """
    detached = {name: figure.detach() for name, figure in figures.items()}
    if together().num_processes == 1 or not detached:
        return detached
    summed = torch.stack([figure.float() for figure in detached.values()])
    distributed.all_reduce(summed)
    return dict(zip(detached, summed, strict=True))


def add_up_with_gradient(tensor: Tensor) -> Tensor:
    """Return a tensor summed over the processes; the backward pass sums the gradients of all processes, too."""
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
    """Sum the gradients over the processes; a parameter without a gradient in any process keeps none."""
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    if together().num_processes == 1 or not learned:
        return
    reached = torch.tensor([float(p.grad is not None) for p in learned], device=learned[0].device)
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in learned]
    summed = torch.cat([reached, *(grad.flatten().float() for grad in grads)])
    distributed.all_reduce(summed)
    reached, *gradients = summed.split([len(learned), *(p.numel() for p in learned)])
    for parameter, gradient, is_reached in zip(learned, gradients, reached.tolist(), strict=True):
        parameter.grad = gradient.view_as(parameter).to(parameter.dtype) if is_reached else None


def everyones(rows: Tensor) -> tuple[Tensor, slice]:
    """Gather the rows of all processes, in order, without gradients.

    Returns:
        All rows, and the slice of those of this process.

    Shape:
        ``(row, ...)``, of any number of rows per process -> ``(all rows, ...)``.
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
    gathered = rows.new_zeros((int(counts.sum()), *rows.shape[1:]))
    gathered[mine] = rows
    distributed.all_reduce(gathered)  # a row is zero in all processes but one, so NaN and infinity survive the sum
    return gathered, mine


def from_first(value: Any) -> Any:
    """Return the first process's value in all processes; it must be picklable."""
    if together().num_processes == 1:
        return value
    (first,) = broadcast_object_list([value])
    return first


def parts(batch: Sequence[Tensor], size: int) -> list[tuple[Tensor, ...]]:
    """Split a batch into parts of ``size`` examples; the last may be smaller. 0: do not split.

    >>> [len(part[0]) for part in parts((torch.zeros(5, 2),), 2)]
    [2, 2, 1]
    """
    if not size:
        return [tuple(batch)]
    return list(zip(*(tensor.split(size) for tensor in batch), strict=True))
