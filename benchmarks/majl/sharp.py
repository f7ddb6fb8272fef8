"""DWHS with weights that differ more, to see whether it pays for having too little to say."""

from __future__ import annotations

import torch
from torch import Tensor

from stemclean.training import weighting
from stemclean.training.weighting import HardSamples, SampleLosses

NAME = "dwhs-sharp"


class SharpHardSamples(HardSamples):
    """Hardness in units in which examples of a batch differ.

    On trained models the gap is small beside the loss, and the references of a batch are much alike: by our definition
    weights then differ by a tenth. Here the gap is in units of the batch's mean gap (of a tenth of its mean loss, if
    that is more), and the reference, in units of its mean, counts by its square.
    """

    least_gap = 0.1

    def weights(self, losses: SampleLosses) -> tuple[Tensor, Tensor]:
        """See :class:`~stemclean.training.weighting.Weighting`; the mean of each task's weights is 1."""
        if losses.reference is None:
            raise ValueError("dwhs compares with the pitch loss on the reference")
        reference = losses.reference.nan_to_num(0.0)
        trust = losses.separation_trust * losses.pitch_trust * ~losses.reference.isnan()
        gap = (losses.pitch - reference).clamp_min(0)
        unit = torch.maximum(_mean(gap, trust), self.least_gap * _mean(losses.pitch, trust))
        hard = (reference / _mean(reference, trust)).square()
        separation = losses.separation_trust * (1 + trust * (gap / unit).clamp_max(self.most))
        pitch = losses.pitch_trust * (1 + trust * hard.clamp_max(self.most))
        return _of_mean_one(separation), _of_mean_one(pitch)


def register() -> None:
    """Let trainings ask for it by its name."""
    weighting.WEIGHTINGS[NAME] = SharpHardSamples


def _mean(values: Tensor, trust: Tensor) -> Tensor:
    return ((values * trust).sum() / trust.sum().clamp_min(weighting.EPSILON)).clamp_min(weighting.EPSILON)


def _of_mean_one(weights: Tensor) -> Tensor:
    return weights / weights.mean().clamp_min(weighting.EPSILON)
