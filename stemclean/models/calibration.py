"""Calibration of scores: of the held-out stems with score 0.9, nine in ten hold the class.

The windows of a stem are pooled in two ways: by their mean, which is the paper's score (Koo et al. 2023), and by the
mean of their highest quarter, which responds to classes that sound only now and then (ours). A logistic map per class
(Platt 1999), fitted on held-out tracks and stored in the card of the weights, turns both into one probability. It
increases with either, so that more evidence never lowers a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

__all__ = ["Calibration", "chance_of_card", "fit", "pool"]

CLIP = 1e-4
"""Scores are clipped this far from 0 and 1, so that their logits are finite."""
LEAST_CHANCE = 1e-3
"""A prior is clipped this far from 0 and 1: if every example held every class, scores would be uninformative."""
HIGH_SHARE = 0.25
"""Share of the windows in the second pooling, the highest of each class."""


def pool(windows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pool the scores of a stem's windows.

    Args:
        windows: Scores of the windows, in [0, 1]. Shape: (window, label)
        weights: Weights of the windows; windows of weight 0 are ignored. Shape: (window,)

    Returns:
        The weighted mean, and the mean of the highest quarter of the windows; zeros if all weights are 0.
        Shape: (2, label)
    """
    used = windows[weights > 0]
    if not len(used):
        return np.zeros((2, windows.shape[1]))
    highest = np.sort(used, axis=0)[-max(1, round(HIGH_SHARE * len(used))) :]
    return np.stack([weights @ windows / weights.sum(), highest.mean(0)])


@dataclass(frozen=True)
class Calibration:
    """``expit(slope * logit(mean) + high_slope * logit(high) + intercept)`` per class.

    Args:
        slope, high_slope, intercept: ``(label,)``; slopes are >= 0.
    """

    slope: np.ndarray
    high_slope: np.ndarray
    intercept: np.ndarray

    def __call__(self, pooled: np.ndarray) -> np.ndarray:
        """Return calibrated scores; NaN stays NaN.

        Shape:
            ``(2, ..., label)``, as returned by :func:`pool` -> ``(..., label)``.
        """
        mean, high = scipy.special.logit(np.clip(pooled, CLIP, 1 - CLIP))
        return np.asarray(scipy.special.expit(self.slope * mean + self.high_slope * high + self.intercept))

    def of_windows(self, scores: np.ndarray) -> np.ndarray:
        """Return calibrated scores of single windows or points in time, whose two pooled scores are equal."""
        return self(np.stack([scores, scores]))

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Calibration:
        """Return the calibration of a card; without one, the scores are the mean."""
        labels = card["spec"]["labels"]
        plain = {"slope": 1.0, "high_slope": 0.0, "intercept": 0.0}
        stored = [(card.get("calibration") or {}).get(label, plain) for label in labels]
        return cls(*(np.array([values[name] for values in stored]) for name in plain))

    def to_card(self, labels: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return the calibration in the format of the card."""
        columns = {"slope": self.slope, "high_slope": self.high_slope, "intercept": self.intercept}
        return {
            label: {name: round(float(values[index]), 5) for name, values in columns.items()}
            for index, label in enumerate(labels)
        }


def fit(pooled: np.ndarray, truth: np.ndarray, *, prior: float = 1.0) -> Calibration:
    """Fit maximum-likelihood maps, with Platt's smoothed targets and a weak prior towards the identity.

    Args:
        pooled: Scores in [0, 1], as returned by :func:`pool`. Shape: (2, stem, label)
        truth: Whether each stem holds each class. Shape: (stem, label)
        prior: Weight of the prior, in stems. It keeps slopes finite if a class is perfectly separable.
    """
    columns = [_fit_one(pooled[:, :, k], truth[:, k], prior) for k in range(truth.shape[1])]
    return Calibration(*np.array(columns).T)


def _fit_one(scores: np.ndarray, truth: np.ndarray, prior: float) -> np.ndarray:
    mean, high = scipy.special.logit(np.clip(scores, CLIP, 1 - CLIP))
    positives, negatives = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def cost(parameters: np.ndarray) -> float:
        slope, high_slope, intercept = parameters
        z = slope * mean + high_slope * high + intercept
        pull = np.log(slope + high_slope + 1e-3) ** 2 + 0.1 * intercept**2
        return float(np.sum(np.logaddexp(0, z) - target * z) + prior * pull)

    best = scipy.optimize.minimize(
        cost, np.array([0.5, 0.5, 0.0]), method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)]
    )
    return np.asarray(best.x)


def chance_of_card(card: Mapping[str, Any]) -> float:
    """Return the prior of a class in the calibration excerpts, in (0, 1).

    Each excerpt holds a class drawn uniformly, and some hold a second stem of a class drawn in the same way. Without a
    calibration, it is the chance of a class in the training mixtures.
    """
    recipe = card.get("recipe") or {}
    if card.get("calibration"):
        share = 1 / len(card["spec"]["labels"])
        bleed = float(recipe.get("calibration", {}).get("bleed_chance", 0.4))
        chance = share + bleed * share * (1 - share)
    else:
        chance = float(recipe.get("mixing", {}).get("chance", 0.5))
    return min(max(chance, LEAST_CHANCE), 1 - LEAST_CHANCE)
