"""How much each example of a batch counts in joint training, for separation and for pitch apart.

A weighting is one class with ``weights(losses)``, registered in :data:`WEIGHTINGS` by its name or, of another package,
as an entry point of the group ``stemclean.weightings`` (the class itself; it is made with the number of steps of one
pass over the songs). Weights carry no gradient.

Every weighting begins with the confidences: an example whose label is half trusted counts half, one without a label not
at all (soft weights; MAJL, Wei et al. 2025, arXiv 2501.03689, has them too, with a definition that is not available to
us). Then the weights of each task are brought to a mean of 1 over the batch, so that rare labels weigh no less than
frequent ones.
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
    """The losses of a batch, and how far its labels are trusted; every part is ``(batch,)`` and has no gradient.

    A batch is all that a step hears, over all processes.

    Args:
        separation: of the estimates.
        pitch: of the tracker on the separated voice.
        reference: of the tracker on the reference voice, or the pseudo one; NaN where there is none; None where the
            weighting needs none.
        separation_trust, pitch_trust: in [0, 1]; 0: there is no label, and the loss means nothing.
    """

    separation: Tensor
    pitch: Tensor
    reference: Tensor | None
    separation_trust: Tensor
    pitch_trust: Tensor


class Weighting(Protocol):
    """Weights of the examples of a batch."""

    needs_reference: bool
    """Whether the pitch loss on the reference voice must be known, which costs a third of the tracker's time."""

    def weights(self, losses: SampleLosses) -> tuple[Tensor, Tensor]:
        """Weights of separation and of pitch, ``(batch,)`` each."""

    def state_dict(self) -> dict[str, Any]:
        """What a run that was broken off must know again: plain numbers and lists."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where a run was."""


class Uniform:
    """Confidences alone: every trusted label counts alike."""

    needs_reference = False

    def __init__(self, period: int = 1) -> None:
        self.period = period

    def weights(self, losses: SampleLosses) -> tuple[Tensor, Tensor]:
        """See :class:`Weighting`; the mean of each task's weights is 1."""
        return _of_mean_one(losses.separation_trust), _of_mean_one(losses.pitch_trust)

    def state_dict(self) -> dict[str, Any]:
        """There is none."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is none."""


class DynamicAverage(Uniform):
    """Dynamic weight average (Liu, Johns, Davison 2019, equation 7): the task that falls more slowly weighs more.

    With r the ratio of a task's mean loss in the last pass over the songs to that in the pass before,
    ``weight = 2 exp(r / T) / sum of exp(r / T)``, T = 2. In the first two passes both weigh 1. The mean over both tasks
    is 1, not the mean of each.

    Args:
        period: steps of one pass.
    """

    temperature = 2.0

    def __init__(self, period: int = 1) -> None:
        super().__init__(max(1, period))
        self._passes: list[list[float]] = []  # mean losses of the last two
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
        """Means of the last passes, and of the one that goes on."""
        return {"passes": self._passes, "sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :class:`Weighting`."""
        self._passes, self._sums, self._steps = state["passes"], state["sums"], state["steps"]


class HardSamples(Uniform):
    """Dynamic weights on hard samples, DWHS. The name is MAJL's; the definition is ours, as the paper's is not known.

    An example's pitch loss on the separated voice, l, is compared with that on the reference voice, r, in units of the
    batch's mean l (over the examples whose pitch is known, by their trust):

    * what separation adds, ``gap = max(0, l - r)``: where it is large, separation is what fails, and the weight of
      separation grows to ``1 + gap``;
    * what is there without separation, ``r``: where it is large, pitch is what fails, and the weight of pitch grows to
      ``1 + r``;
    * both, at most 4 times, are believed as far as both labels are trusted: ``1 + trust * trust * min(gap, 3)``;
    * low trust takes both weights down, as it does in every weighting.

    Where there is no reference voice, or no f0, nothing is compared, and the confidences alone count.
    """

    needs_reference = True
    most = 3.0

    def weights(self, losses: SampleLosses) -> tuple[Tensor, Tensor]:
        """See :class:`Weighting`; the mean of each task's weights is 1."""
        if losses.reference is None:
            raise ValueError("dwhs compares with the pitch loss on the reference")
        reference = losses.reference.nan_to_num(0.0)
        trust = losses.separation_trust * losses.pitch_trust * ~losses.reference.isnan()
        gap, hard = self.hardness(losses, reference, trust)
        return (
            _of_mean_one(losses.separation_trust * (1 + trust * gap.clamp_max(self.most))),
            _of_mean_one(losses.pitch_trust * (1 + trust * hard.clamp_max(self.most))),
        )

    def hardness(self, losses: SampleLosses, reference: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
        """How hard each example is to separate and to track; ``trust`` is that of what can be compared at all."""
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
    """All weightings, sorted."""
    return sorted({*WEIGHTINGS, *(point.name for point in entry_points(group=GROUP))})


def build(name: str, period: int) -> Weighting:
    """A weighting by name.

    Args:
        period: steps of one pass over the songs.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in WEIGHTINGS:
        return WEIGHTINGS[name](period)
    for point in entry_points(group=GROUP):
        if point.name == name:
            made: Weighting = point.load()(period)
            return made
    raise ConfigError(f'no weighting named "{name}"', f"known: {', '.join(names())}")


def _of_mean_one(weights: Tensor) -> Tensor:
    """The same in other units; zeros where all are zero."""
    return weights / weights.mean().clamp_min(EPSILON) if bool(weights.any()) else weights
