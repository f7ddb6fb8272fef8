"""Weights of the examples of a batch in joint training, separate for separation and for pitch.

A weighting is a class with a method ``weights(losses)``. It is registered by name in :data:`WEIGHTINGS`, or by another
package as an entry point of the group ``stemclean.weightings`` (the class itself; it is called with the number of steps
per epoch). Weights have no gradient.

Every weighting starts from the confidences: an example whose label is half trusted has half the weight, one without a
label has none (soft weights, as in MAJL, Wei et al. 2025, arXiv 2501.03689; its definition is not available to us). The
weights of each task are then scaled to a mean of 1 over the batch, so that a task with few labels counts as much as one
with many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

import torch
from torch import Tensor

from stemclean.errors import ConfigError

__all__ = ["WEIGHTINGS", "DynamicAverage", "HardSamples", "SampleLosses", "Uniform", "Weighting", "build", "names"]

EPSILON = 1e-8


@dataclass(frozen=True)
class SampleLosses:
    """The losses of a step's batch, over all processes, and the trust in its labels.

    All tensors are ``(batch,)`` and have no gradient.

    Args:
        separation: Separation losses.
        pitch: Pitch losses on the separated voice.
        reference: Pitch losses on the reference voice (annotated or estimated), NaN where there is none; None if the
            weighting does not need them.
        separation_trust, pitch_trust: Trust in the labels, in [0, 1]. At 0 there is no label and the loss is
            meaningless.
    """

    separation: Tensor
    pitch: Tensor
    reference: Tensor | None
    separation_trust: Tensor
    pitch_trust: Tensor


class Weighting(Protocol):
    """Computes the weights of the examples of a batch."""

    needs_reference: bool
    """Whether it needs the pitch loss on the reference voice, which costs a third of the tracker's time."""

    def weights(self, losses: SampleLosses) -> tuple[Tensor, Tensor]:
        """Return the weights of the separation losses and of the pitch losses, ``(batch,)`` each."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save in checkpoints, of plain numbers and lists."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""


class Uniform:
    """Weights by confidence only: all fully trusted labels have the same weight.

    Args:
        period: Not used.
    """

    needs_reference = False

    def __init__(self, period: int = 1) -> None:
        self.period = period

    def weights(self, losses: SampleLosses) -> tuple[Tensor, Tensor]:
        """See :class:`Weighting`; the mean of each task's weights is 1."""
        return _normalised(losses.separation_trust), _normalised(losses.pitch_trust)

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: there is no state."""


class DynamicAverage(Uniform):
    """Dynamic weight average (Liu, Johns, Davison 2019, equation 7): the task whose loss falls more slowly weighs more.

    With r the ratio of a task's mean loss in the last epoch to that in the epoch before,
    ``weight = 2 exp(r / T) / sum of exp(r / T)``, T = 2. In the first two epochs both weights are 1. The mean of the
    two tasks' weights is 1, not the mean of each.

    Args:
        period: Steps per epoch.
    """

    temperature = 2.0

    def __init__(self, period: int = 1) -> None:
        super().__init__(max(1, period))
        self._passes: list[list[float]] = []  # mean losses of the last two epochs
        self._sums, self._steps = [0.0, 0.0], 0

    def weights(self, losses: SampleLosses) -> tuple[Tensor, Tensor]:
        """See :class:`Weighting`."""
        plain = super().weights(losses)
        tasks = self._tasks()
        self._note([float((w * loss).mean()) for w, loss in zip(plain, (losses.separation, losses.pitch), strict=True)])
        return plain[0] * tasks[0], plain[1] * tasks[1]

    def _tasks(self) -> list[float]:
        if len(self._passes) < 2:
            return [1.0, 1.0]
        ratios = torch.tensor([last / max(before, EPSILON) for before, last in zip(*self._passes, strict=True)])
        shares: list[float] = (2 * torch.softmax(ratios.double() / self.temperature, 0)).tolist()
        return shares

    def _note(self, means: list[float]) -> None:
        self._sums = [total + mean for total, mean in zip(self._sums, means, strict=True)]
        self._steps += 1
        if self._steps == self.period:
            self._passes = [*self._passes[-1:], [total / self._steps for total in self._sums]]
            self._sums, self._steps = [0.0, 0.0], 0

    def state_dict(self) -> dict[str, Any]:
        """Return the mean losses of the last epochs, and the sums of the current one."""
        return {"passes": self._passes, "sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :class:`Weighting`."""
        self._passes, self._sums, self._steps = state["passes"], state["sums"], state["steps"]


class HardSamples(Uniform):
    """Dynamic weights on hard samples (DWHS). The name is MAJL's; the definition is ours, as theirs is not available.

    An example's pitch loss on the separated voice, l, is compared with that on the reference voice, r. Both are in
    units of the batch's mean l (over the examples with a known pitch, weighted by trust):

    * ``gap = max(0, l - r)`` is the loss that separation adds. If it is large, separation fails, and the weight of
      separation grows to ``1 + gap``.
    * ``r`` is the loss without separation. If it is large, the tracker fails, and the weight of pitch grows to
      ``1 + r``.
    * Both are limited to a factor of 4 and scaled by the trust in both labels: ``1 + trust * trust * min(gap, 3)``.
    * Low trust lowers both weights, as in every weighting.

    Without a reference voice or an f0 there is nothing to compare, and the weights depend on the confidences only.
    """

    needs_reference = True
    most = 3.0

    def weights(self, losses: SampleLosses) -> tuple[Tensor, Tensor]:
        """See :class:`Weighting`; the mean of each task's weights is 1."""
        if losses.reference is None:
            raise ValueError("dwhs needs the pitch losses on the reference voice")
        reference = losses.reference.nan_to_num(0.0)
        trust = losses.separation_trust * losses.pitch_trust * ~losses.reference.isnan()
        gap, hard = self.hardness(losses, reference, trust)
        return (
            _normalised(losses.separation_trust * (1 + trust * gap.clamp_max(self.most))),
            _normalised(losses.pitch_trust * (1 + trust * hard.clamp_max(self.most))),
        )

    def hardness(self, losses: SampleLosses, reference: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
        """Return how hard each example is to separate and to track (gap and r, see the class).

        ``trust`` is 0 where there is nothing to compare.
        """
        unit = (losses.pitch * losses.pitch_trust).sum() / losses.pitch_trust.sum().clamp_min(EPSILON)
        unit = unit.clamp_min(EPSILON)
        return (losses.pitch - reference).clamp_min(0) / unit, reference / unit


WEIGHTINGS: dict[str, Callable[[int], Weighting]] = {
    "uniform": Uniform,
    "dwa": DynamicAverage,
    "dwhs": HardSamples,
}
GROUP = "stemclean.weightings"


def names() -> list[str]:
    """Return the names of all weightings, sorted."""
    return sorted({*WEIGHTINGS, *(point.name for point in entry_points(group=GROUP))})


def build(name: str, period: int) -> Weighting:
    """Build a weighting by name.

    Args:
        name: Name of the weighting.
        period: Steps per epoch.

    Raises:
        ConfigError: There is no weighting of that name.
    """
    if name in WEIGHTINGS:
        return WEIGHTINGS[name](period)
    for point in entry_points(group=GROUP):
        if point.name == name:
            made: Weighting = point.load()(period)
            return made
    raise ConfigError(f'no weighting named "{name}"', f"known: {', '.join(names())}")


def _normalised(weights: Tensor) -> Tensor:
    """Scale weights to a mean of 1; all zeros stay zeros."""
    return weights / weights.mean().clamp_min(EPSILON) if bool(weights.any()) else weights
