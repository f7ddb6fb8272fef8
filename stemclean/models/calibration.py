"""Scores that mean what they say: of the stems scored 0.9, nine in ten hold the class.

Platt's logistic map (1999) per class, from the logit of a stem's mean score to the logit of a probability, fitted on
held-out tracks and stored in the weights' card. It is monotone, so it changes thresholds and never a ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

__all__ = ["Calibration", "fit"]

CLIP = 1e-4
"""Scores are kept this far from 0 and 1, so that their logits exist."""


@dataclass(frozen=True)
class Calibration:
    """``score -> expit(slope * logit(score) + intercept)`` per class.

    Args:
        slope, intercept: ``(label,)``; slopes are > 0.
    """

    slope: np.ndarray
    intercept: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores; NaN stays NaN.

        Shape:
            ``(..., label)`` -> ``(..., label)``.
        """
        return np.asarray(expit(self.slope * logit(np.clip(scores, CLIP, 1 - CLIP)) + self.intercept))

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Calibration:
        """The calibration of a card; the identity where it has none."""
        labels = card["spec"]["labels"]
        stored = card.get("calibration") or {}
        pairs = [stored.get(label, {"slope": 1.0, "intercept": 0.0}) for label in labels]
        return cls(np.array([p["slope"] for p in pairs]), np.array([p["intercept"] for p in pairs]))

    def to_card(self, labels: Sequence[str]) -> dict[str, dict[str, float]]:
        """As the card stores it."""
        return {
            label: {"slope": round(float(a), 5), "intercept": round(float(b), 5)}
            for label, a, b in zip(labels, self.slope, self.intercept, strict=True)
        }


def fit(scores: np.ndarray, truth: np.ndarray, *, prior: float = 1.0) -> Calibration:
    """Maximum-likelihood maps with Platt's softened targets and a weak pull towards the identity.

    Args:
        scores: ``(stem, label)`` mean scores in [0, 1].
        truth: ``(stem, label)`` of bool.
        prior: weight of the pull, in stems; keeps slopes finite where the classes are perfectly separable.
    """
    slopes, intercepts = zip(*(_fit_one(scores[:, k], truth[:, k], prior) for k in range(scores.shape[1])), strict=True)
    return Calibration(np.array(slopes), np.array(intercepts))


def _fit_one(scores: np.ndarray, truth: np.ndarray, prior: float) -> tuple[float, float]:
    x = logit(np.clip(scores, CLIP, 1 - CLIP))
    positives, negatives = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def cost(parameters: np.ndarray) -> float:
        z = np.exp(parameters[0]) * x + parameters[1]
        return float(np.sum(np.logaddexp(0, z) - target * z) + prior * (parameters[0] ** 2 + 0.1 * parameters[1] ** 2))

    best = minimize(cost, np.zeros(2), method="L-BFGS-B").x
    return float(np.exp(best[0])), float(best[1])
