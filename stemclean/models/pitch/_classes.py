"""The 360 pitch classes of CREPE (Kim et al. 2018), also used by RMVPE and DJCM."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["CENTS_OFFSET", "CENTS_STEP", "NUM_CLASSES", "PRIOR_LOGIT", "class_cents"]

NUM_CLASSES = 360
CENTS_STEP = 20.0
CENTS_OFFSET = 1997.3794084376191
"""Lowest class in cents above 10 Hz: 31.7 Hz, 104 cents below C1 (32.7 Hz); the highest class is 2.0 kHz."""
PRIOR_LOGIT = -4.0
"""Initial logits of a new tracker (ours): with 0, each class would have a probability of one half."""


def class_cents() -> Tensor:
    """Return the centres of the classes in cents above 10 Hz.

    Shape:
        ``(360,)`` float64, in steps of 20.
    """
    return CENTS_OFFSET + CENTS_STEP * torch.arange(NUM_CLASSES, dtype=torch.float64)
