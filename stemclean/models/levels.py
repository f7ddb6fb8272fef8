"""Levels that mean what they say, as far as they can: a straight line from told to planted levels of bleeds.

The line is fitted on bleeds of held-out tracks, found or not. A network that is unsure of a level says one near the
middle, and one that does not hear the bleed says next to nothing; the line puts that right on average. It has the least
absolute error, as that is what levels are measured by. Ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

__all__ = ["LevelCalibration", "fit_levels"]

MIN_LEVELS = 10
"""Bleeds that a line is fitted to at least."""
LOWEST_DB = -30.0
"""A class told further below the loudest than this counts as this far below: the network did not hear it at all."""
LEAST_SPREAD_DB = 3.0
"""Told levels that differ by less tell nothing."""
STEEPEST = 2.0


@dataclass(frozen=True)
class LevelCalibration:
    """How far below the loudest class the others are: ``slope * told + intercept`` dB, never above 0.

    Args:
        slope: >= 0; 1 with an intercept of 0 leaves levels as they are.
        intercept: in dB.
        lowest_db: what is told as softer counts as this.
    """

    slope: float = 1.0
    intercept: float = 0.0
    lowest_db: float = -math.inf

    def __call__(self, levels_db: np.ndarray) -> np.ndarray:
        """Calibrated levels; the shares of the power add up to what they did, and NaN stays NaN.

        Shape:
            ``(..., label)`` dB relative to the whole -> the same.
        """
        below = levels_db - levels_db.max(-1, keepdims=True)
        mapped = self.slope * np.maximum(below, self.lowest_db) + self.intercept
        mapped = np.where(below < 0, np.minimum(mapped, 0.0), below)
        return np.asarray(mapped + _sum_db(levels_db) - _sum_db(mapped))

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> LevelCalibration:
        """The calibration of a card; where it has none, levels as they are."""
        return cls(**card.get("level_calibration", {}))

    def to_card(self) -> dict[str, float]:
        """As the card stores it."""
        line = {"slope": round(self.slope, 4), "intercept": round(self.intercept, 3)}
        return line if math.isinf(self.lowest_db) else line | {"lowest_db": self.lowest_db}


def fit_levels(told: np.ndarray, planted: np.ndarray) -> LevelCalibration:
    """The straight line with the least absolute error; levels as they are where there are fewer than ten, or all alike.

    A bleed that is told louder than what it bleeds into was taken for it, and says nothing of the line.

    Args:
        told, planted: levels of bleeds relative to what they bled into, in dB, ``(bleed,)``.
    """
    used = told <= 0
    told, planted = np.maximum(told[used], LOWEST_DB), planted[used]
    count = len(told)
    if count < MIN_LEVELS or np.ptp(told) < LEAST_SPREAD_DB:
        return LevelCalibration()
    line = np.stack([told, np.ones(count)], axis=1)
    best = linprog(  # slope, intercept, and for each bleed how far the line is below it and above it
        np.r_[0.0, 0.0, np.ones(2 * count)],
        A_eq=sparse.hstack([line, sparse.eye(count), -sparse.eye(count)]),
        b_eq=planted,
        bounds=[(0, STEEPEST), (None, None), *[(0, None)] * (2 * count)],
    )
    return LevelCalibration(float(best.x[0]), float(best.x[1]), LOWEST_DB) if best.success else LevelCalibration()


def _sum_db(levels_db: np.ndarray) -> np.ndarray:
    """Level of the sum of powers: ``(..., label)`` dB -> ``(..., 1)`` dB."""
    return np.asarray(10 * np.log10(np.sum(10 ** (levels_db / 10), -1, keepdims=True)))
