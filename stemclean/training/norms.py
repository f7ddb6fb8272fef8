"""Batch norms of averaged weights, and batch norms across processes.

The running statistics of batch norms fit the current weights only. Averaged weights need statistics of their own
(Izmailov et al. 2018, arXiv 1803.05407, section 3.2); with the old ones they perform worse than any weights averaged.

If several processes share a batch, its statistics are computed over the whole batch, on any device.
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
"""Number of batches over which the statistics are averaged."""

Batch = tuple[Tensor, ...]


def measure_norms(model: nn.Module, batches: Callable[[], Iterator[Batch]], forward: Callable[[Batch], object]) -> None:
    """Set the running statistics of a model's batch norms to those of some batches.

    Other layers are in evaluation mode, without dropout, and the whole model is in evaluation mode afterwards.

    Args:
        model: The model. Without batch norms nothing is done.
        batches: Returns an iterator over the batches, always the same ones, so that a resumed run gets equal results.
        forward: Runs the model on a batch.
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
    iterator = batches()
    try:
        with torch.no_grad():
            for batch in islice(iterator, BATCHES):
                forward(batch)
    finally:
        getattr(iterator, "close", lambda: None)()  # ends its workers
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return all batch norms of a model."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def share_norms(model: nn.Module) -> None:
    """Compute the statistics of a model's batch norms over all processes; its parameters and buffers stay."""
    for norm in batch_norms(model):
        norm.__class__ = SharedNorm


class SharedNorm(_BatchNorm):
    """A batch norm over the examples of all processes, of any number each; torch's ``SyncBatchNorm`` needs GPUs."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Accept any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise a batch: ``(batch, channel, ...)`` -> the same shape."""
        if not self.training:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            features = input.float()
            dims = [dim for dim in range(features.ndim) if dim != 1]
            shape = [1, -1, *[1] * (features.ndim - 2)]
            count = add_up_with_gradient(features.new_tensor(features.numel() / features.shape[1]))
            mean = add_up_with_gradient(features.sum(dims)) / count
            centred = features - mean.view(shape)
            variance = add_up_with_gradient(centred.square().sum(dims)) / count
            self._update_running(mean.detach(), variance.detach() * count / (count - 1).clamp_min(1))
            normed = centred * (variance + self.eps).rsqrt().view(shape)
            if self.affine:
                normed = normed * self.weight.view(shape) + self.bias.view(shape)
        return normed.to(input.dtype)

    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked or 1) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)
