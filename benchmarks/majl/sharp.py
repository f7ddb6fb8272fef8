"""DWHS with weights that differ more, to test whether its effect is limited by weights that are too similar."""

from __future__ import annotations

import torch
from torch import Tensor

from stemclean.training import weighting
from stemclean.training.weighting import HardSamples, SampleLosses

NAME = "dwhs-sharp"


class SharpHardSamples(HardSamples):
    """Hardness in units in which examples of a batch differ.

    The gap is in units of the batch's mean gap (of a tenth of its mean loss, if that is more), and the reference, in
    units of its mean, counts by its square.
    """

    least_gap = 0.1

    def hardness(self, losses: SampleLosses, reference: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`~stemclean.training.weighting.HardSamples`."""
        gap = (losses.pitch - reference).clamp_min(0)
        unit = torch.maximum(_mean(gap, trust), self.least_gap * _mean(losses.pitch, trust))
        return gap / unit, (reference / _mean(reference, trust)).square()


def register() -> None:
    """Let trainings ask for it by its name."""
    weighting.WEIGHTINGS[NAME] = SharpHardSamples


def _mean(values: Tensor, trust: Tensor) -> Tensor:
    return ((values * trust).sum() / trust.sum().clamp_min(weighting.EPSILON)).clamp_min(weighting.EPSILON)
