"""Batch norms: of averaged weights, and of batches that several processes share.

The running statistics of batch norms belong to the weights of the moment. A mean of weights needs its own, measured
anew (Izmailov et al. 2018, arXiv 1803.05407, section 3.2); with the old ones it is worse than any of the weights.

Where several processes share a batch, its statistics are those of the whole batch, on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stemclean.training.processes import add_up_with_gradient

__all__ = ["SharedNorm", "batch_norms", "measure_norms", "share_norms"]

BATCHES = 24
"""Which the statistics are taken over, alike."""

Batch = tuple[Tensor, ...]


def measure_norms(model: nn.Module, batches: Callable[[], Iterator[Batch]], hear: Callable[[Batch], object]) -> None:
    """Set the statistics of a model's batch norms to those of some batches; a model without any is left alone.

    All else is as in inference, so nothing is dropped. The model is left in evaluation mode.

    Args:
        batches: gives them, the same ones each time, so that a run that was broken off comes to the same.
        hear: gives one to the model.
    """
    norms = [norm for norm in batch_norms(model) if norm.track_running_stats]
    model.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
        norm.train()
    given = batches()
    try:
        with torch.no_grad():
            for batch in islice(given, BATCHES):
                hear(batch)
    finally:
        getattr(given, "close", lambda: None)()  # its workers end
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """All batch norms of a model."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def share_norms(model: nn.Module) -> None:
    """Let a model's batch norms take their statistics over the examples of all processes; its tensors are the same."""
    for norm in batch_norms(model):
        norm.__class__ = SharedNorm


class SharedNorm(_BatchNorm):
    """A batch norm over the examples of all processes, whatever their shares; torch's own needs GPUs."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Any number of dimensions will do."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``(batch, channel, ...)`` -> the same."""
        if not self.training:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            heard = input.float()
            others = [dim for dim in range(heard.ndim) if dim != 1]
            shape = [1, -1, *[1] * (heard.ndim - 2)]
            count = add_up_with_gradient(heard.new_tensor(heard.numel() / heard.shape[1]))
            mean = add_up_with_gradient(heard.sum(others)) / count
            centred = heard - mean.view(shape)
            variance = add_up_with_gradient(centred.square().sum(others)) / count
            self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp_min(1))
            normed = centred * (variance + self.eps).rsqrt().view(shape)
            if self.affine:
                normed = normed * self.weight.view(shape) + self.bias.view(shape)
        return normed.to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked or 1) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)
