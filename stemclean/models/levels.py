"""Calibration of levels: a straight line from predicted to true levels of bleed (ours).

The line is fitted on the bleed of held-out tracks, detected or not. A network that is unsure of a level predicts one
near the middle, and one that does not detect the bleed predicts a very low one; the line corrects both on average. It
minimises the absolute error, because that is the metric for levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

__all__ = ["LevelCalibration", "fit_levels"]

MIN_LEVELS = 10
"""Smallest number of bleeds to fit a line to."""
LOWEST_DB = -30.0
"""Predicted levels below the loudest class are clipped here: lower ones mean that the network detected nothing."""
LEAST_SPREAD_DB = 3.0
"""Smallest range of predicted levels to fit a line to."""
STEEPEST = 2.0


@dataclass(frozen=True)
class LevelCalibration:
    """The calibrated level of a class below the loudest class: ``slope * predicted + intercept`` dB, at most 0.

    Args:
        slope: Slope, >= 0; 1 with an intercept of 0 is the identity.
        intercept: Intercept in dB.
        lowest_db: Predicted levels are clipped to this minimum.
    """

    slope: float = 1.0
    intercept: float = 0.0
    lowest_db: float = -math.inf

    def __call__(self, levels_db: np.ndarray) -> np.ndarray:
        """Return calibrated levels. The total power stays the same, and NaN stays NaN.

        Shape:
            ``(..., label)`` in dB relative to the whole -> the same.
        """
        below = levels_db - levels_db.max(-1, keepdims=True)
        mapped = self.slope * np.maximum(below, self.lowest_db) + self.intercept
        mapped = np.where(below < 0, np.minimum(mapped, 0.0), below)
        return np.asarray(mapped + _sum_db(levels_db) - _sum_db(mapped))

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> LevelCalibration:
        """Return the calibration of a card; the identity if it has none."""
        return cls(**card.get("level_calibration", {}))

    def to_card(self) -> dict[str, float]:
        """Return the calibration in the format of the card."""
        line = {"slope": round(self.slope, 4), "intercept": round(self.intercept, 3)}
        return line if math.isinf(self.lowest_db) else line | {"lowest_db": self.lowest_db}


def fit_levels(predicted: np.ndarray, true: np.ndarray) -> LevelCalibration:
    """Fit the straight line with the smallest absolute error.

    Bleed that is predicted louder than the stem was confused with it, and is ignored.

    Args:
        predicted: Predicted levels of bleed relative to the stem, in dB. Shape: (bleed,)
        true: True levels. Shape: (bleed,)

    Returns:
        The calibration; the identity if there are fewer than 10 levels, or if they hardly differ.
    """
    used = predicted <= 0
    predicted, true = np.maximum(predicted[used], LOWEST_DB), true[used]
    count = len(predicted)
    if count < MIN_LEVELS or np.ptp(predicted) < LEAST_SPREAD_DB:
        return LevelCalibration()
    line = np.stack([predicted, np.ones(count)], axis=1)
    best = (
        scipy.optimize.linprog(  # slope, intercept, and for each bleed the distance of the line below it and above it
            np.r_[0.0, 0.0, np.ones(2 * count)],
            A_eq=scipy.sparse.hstack([line, scipy.sparse.eye(count), -scipy.sparse.eye(count)]),
            b_eq=true,
            bounds=[(0, STEEPEST), (None, None), *[(0, None)] * (2 * count)],
        )
    )
    return LevelCalibration(float(best.x[0]), float(best.x[1]), LOWEST_DB) if best.success else LevelCalibration()


def _sum_db(levels_db: np.ndarray) -> np.ndarray:
    """Return the level of the summed power: ``(..., label)`` dB -> ``(..., 1)`` dB."""
    return np.asarray(10 * np.log10(np.sum(10 ** (levels_db / 10), -1, keepdims=True)))
