"""Levels that mean what they say, as far as they can: a straight line from told to planted levels of bleeds.

Only classes that were found are told, so the line is fitted on bleeds that were found, of held-out tracks. A network
that is unsure of a level says one near the middle, and the line puts that right on average. Ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LevelCalibration", "fit_levels"]

MIN_LEVELS = 10
"""Bleeds that a line is fitted to at least."""


@dataclass(frozen=True)
class LevelCalibration:
    """How far below the loudest class the others are: ``slope * told + intercept`` dB, never above 0.

    Args:
        slope: >= 0; 1 with an intercept of 0 leaves levels as they are.
        intercept: in dB.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, levels_db: np.ndarray) -> np.ndarray:
        """Calibrated levels; the shares of the power add up to what they did, and NaN stays NaN.

        Shape:
            ``(..., label)`` dB relative to the whole -> the same.
        """
        below = levels_db - levels_db.max(-1, keepdims=True)
        mapped = np.where(below < 0, np.minimum(self.slope * below + self.intercept, 0.0), below)
        return np.asarray(mapped + _sum_db(levels_db) - _sum_db(mapped))

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> LevelCalibration:
        """The calibration of a card; where it has none, levels as they are."""
        return cls(**card.get("level_calibration", {}))

    def to_card(self) -> dict[str, float]:
        """As the card stores it."""
        return {"slope": round(self.slope, 4), "intercept": round(self.intercept, 3)}


def fit_levels(told: np.ndarray, planted: np.ndarray) -> LevelCalibration:
    """The straight line with the least squared error; levels as they are where there are fewer than ten.

    Args:
        told, planted: levels of bleeds relative to what they bled into, in dB, ``(bleed,)``.
    """
    if len(told) < MIN_LEVELS:
        return LevelCalibration()
    spread = float(np.var(told))
    slope = float(np.clip(np.cov(told, planted, bias=True)[0, 1] / spread, 0.0, 2.0)) if spread > 0 else 1.0
    return LevelCalibration(slope, float(planted.mean() - slope * told.mean()))


def _sum_db(levels_db: np.ndarray) -> np.ndarray:
    """Level of the sum of powers: ``(..., label)`` dB -> ``(..., 1)`` dB."""
    return np.asarray(10 * np.log10(np.sum(10 ** (levels_db / 10), -1, keepdims=True)))
