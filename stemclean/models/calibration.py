"""Scores that mean what they say: of held-out stems scored 0.9, nine in ten hold the class.

A stem's windows are pooled twice: their mean, which is the paper's score, and the mean of their highest quarter, which
hears what sounds only now and then (Koo et al. 2023 use the mean alone; the second is ours). A logistic map per class
(Platt 1999), fitted on held-out tracks and stored in the weights' card, makes one probability of both. It rises with
either, so more evidence never lowers a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

__all__ = ["Calibration", "chance_of_card", "fit", "pool"]

CLIP = 1e-4
"""Scores are kept this far from 0 and 1, so that their logits exist."""
LEAST_CHANCE = 1e-3
"""A chance is kept this far from 0 and 1: where every class is in every example, scores would say nothing."""
HIGH_SHARE = 0.25
"""Share of the windows that the second pooling takes, the highest of each class."""


def pool(windows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Scores of a stem from those of its windows.

    Args:
        windows: ``(window, label)``, in [0, 1].
        weights: ``(window,)``, 0 for windows that have no say.

    Shape:
        ``(2, label)``: the weighted mean, and the mean of the highest quarter of the windows with a say; zeros where
        there are none.
    """
    heard = windows[weights > 0]
    if not len(heard):
        return np.zeros((2, windows.shape[1]))
    highest = np.sort(heard, axis=0)[-max(1, round(HIGH_SHARE * len(heard))) :]
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
        """Calibrated scores; NaN stays NaN.

        Shape:
            ``(2, ..., label)``, as :func:`pool` gives it -> ``(..., label)``.
        """
        mean, high = logit(np.clip(pooled, CLIP, 1 - CLIP))
        return np.asarray(expit(self.slope * mean + self.high_slope * high + self.intercept))

    def of_windows(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores of single windows or moments, whose mean and highest quarter are the same."""
        return self(np.stack([scores, scores]))

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Calibration:
        """The calibration of a card; where it has none, the mean as it is."""
        labels = card["spec"]["labels"]
        plain = {"slope": 1.0, "high_slope": 0.0, "intercept": 0.0}
        stored = [(card.get("calibration") or {}).get(label, plain) for label in labels]
        return cls(*(np.array([values[name] for values in stored]) for name in plain))

    def to_card(self, labels: Sequence[str]) -> dict[str, dict[str, float]]:
        """As the card stores it."""
        columns = {"slope": self.slope, "high_slope": self.high_slope, "intercept": self.intercept}
        return {
            label: {name: round(float(values[index]), 5) for name, values in columns.items()}
            for index, label in enumerate(labels)
        }


def fit(pooled: np.ndarray, truth: np.ndarray, *, prior: float = 1.0) -> Calibration:
    """Maximum-likelihood maps with Platt's softened targets and a weak pull towards the identity.

    Args:
        pooled: ``(2, stem, label)`` scores in [0, 1], as :func:`pool` gives them.
        truth: ``(stem, label)`` of bool.
        prior: weight of the pull, in stems; keeps slopes finite where the classes are perfectly separable.
    """
    columns = [_fit_one(pooled[:, :, k], truth[:, k], prior) for k in range(truth.shape[1])]
    return Calibration(*np.array(columns).T)


def _fit_one(scores: np.ndarray, truth: np.ndarray, prior: float) -> np.ndarray:
    mean, high = logit(np.clip(scores, CLIP, 1 - CLIP))
    positives, negatives = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def cost(parameters: np.ndarray) -> float:
        slope, high_slope, intercept = parameters
        z = slope * mean + high_slope * high + intercept
        pull = np.log(slope + high_slope + 1e-3) ** 2 + 0.1 * intercept**2
        return float(np.sum(np.logaddexp(0, z) - target * z) + prior * pull)

    best = minimize(cost, np.array([0.5, 0.5, 0.0]), method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)])
    return np.asarray(best.x)


def chance_of_card(card: Mapping[str, Any]) -> float:
    """Chance of a class in what a classifier's scores were calibrated on, or else trained on; in (0, 1).

    The calibration's excerpts are of a class drawn first, some with a second stem of a class drawn alike; without a
    calibration it is the chance at which classes were mixed.
    """
    recipe = card.get("recipe") or {}
    if card.get("calibration"):
        share = 1 / len(card["spec"]["labels"])
        bleed = float(recipe.get("calibration", {}).get("bleed_chance", 0.4))
        chance = share + bleed * share * (1 - share)
    else:
        chance = float(recipe.get("mixing", {}).get("chance", 0.5))
    return min(max(chance, LEAST_CHANCE), 1 - LEAST_CHANCE)
