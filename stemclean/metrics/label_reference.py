"""What a classifier makes of stems whose classes are known, and what mixture of such stems explains others.

What is believed of a claim (:mod:`stemclean.metrics.label_beliefs`) is a point in a plane, (wrong, bleed), in [0, 1]
each. On known stems that are right, that bleed and that hold something else, the means of these points are three
*corners*, class by class; the mean over stems of a dataset lies between them, and where it lies tells their shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemclean.metrics.label_beliefs import beliefs

__all__ = ["Reference", "answers_of", "corners_of", "mixtures", "pooled", "shifted", "without_bleed"]

Floats = NDArray[np.floating]

POOL = 8.0
"""Stems for which the average of all classes stands in the reference of each: a class has some twenty."""


@dataclass(frozen=True)
class Reference:
    """Scores of stems whose classes are known: what the classifier says of stems that are right, and of bleed.

    Args:
        scores: ``(stem, label)``.
        main: index of the class that a stem is of, ``(stem,)``.
        bleed: index of the class that bleeds into it, -1 where none does, ``(stem,)``.
        track: the song that the stem is of, ``(stem,)``.
    """

    scores: Floats
    main: NDArray[np.integer]
    bleed: NDArray[np.integer]
    track: NDArray[np.generic]

    def __len__(self) -> int:
        """How many stems."""
        return len(self.scores)


def answers_of(reference: Reference, chance: float) -> Floats:
    """What is believed of each known stem if it claims each class: ``(label, stem, (wrong, bleed))``."""
    num_labels = reference.scores.shape[1]
    result = np.empty((num_labels, len(reference), 2))
    for label in range(num_labels if len(reference) else 0):
        claimed = np.zeros(reference.scores.shape, bool)
        claimed[:, label] = True
        what = beliefs(reference.scores, claimed, chance)
        result[label, what.stem] = np.stack([what.wrong, what.bleed], axis=1)
    return result


def corners_of(answers: Floats, reference: Reference, weights: Floats) -> tuple[Floats, Floats]:
    """Mean belief in (wrong, bleed) about stems that are right, that bleed, that are wrong: ``(label, 3, 2)``.

    Wrong ones are of every other class in equal parts.

    Args:
        answers: see :func:`answers_of`.
        weights: of the stems, ``(stem,)``.

    Returns:
        The means, 0 where no such stem is known, and how many are, ``(label, 3)``.
    """
    num_labels = len(answers)
    means, sizes = np.zeros((num_labels, 3, 2)), np.zeros((num_labels, 3))
    for label in range(num_labels):
        own = reference.main == label
        for corner, chosen in enumerate(
            (own & (reference.bleed < 0), own & (reference.bleed >= 0), ~own & (reference.bleed != label))
        ):
            share = weights * chosen
            for other in range(num_labels) if corner == 2 else ():
                of_it = reference.main == other
                share[of_it] /= max(float(share[of_it].sum()), 1e-12)
            if share.sum() > 0:
                means[label, corner] = share @ answers[label] / share.sum()
                sizes[label, corner] = chosen.sum()
    return means, sizes


def pooled(means: Floats, sizes: Floats) -> Floats:
    """Corners; where a class has few known stems, the mean of all classes stands in."""
    known = sizes.sum(0)[:, None]
    ideal = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # of a classifier that is always right
    average = np.where(known > 0, np.einsum("lco,lc->co", means, sizes) / np.maximum(known, 1), ideal)
    return np.asarray((means * sizes[:, :, None] + POOL * average) / (sizes[:, :, None] + POOL))


def shifted(corners: Floats, means: Floats, sizes: Floats) -> Floats:
    """Corners moved for all classes alike by what is believed of the dataset's own stems of which it is known.

    Args:
        means, sizes: of these stems, see :func:`corners_of`.
    """
    away = np.einsum("lco,lc->co", means - corners, sizes) / (sizes.sum(0)[:, None] + POOL)
    return np.asarray(np.clip(corners + away, 0.0, 1.0))


def mixtures(total: Floats, corners: Floats) -> Floats:
    """Shares that are right, bleed, are wrong, ``(label, 3)``, by what was believed of the claims of each class.

    Args:
        total: over the claims of each class, their number and the sums of what is believed, wrong and bleed, first:
            ``(label, feature)``.
        corners: ``(label, 3, 2)``.
    """
    means = total[:, 1:3] / np.maximum(total[:, :1], 1e-12)  # (label, (wrong, bleed))
    return np.array([_shares(mean, triangle) for mean, triangle in zip(means, corners, strict=True)])


def without_bleed(total: Floats, corners: Floats) -> Floats:
    """As :func:`mixtures`, of stems that are known to hold no bleed: they are right or wrong."""
    believed = total[:, 1] / np.maximum(total[:, 0], 1e-12)
    right, wrong = corners[:, 0, 0], corners[:, 2, 0]
    share = np.clip((believed - right) / np.maximum(wrong - right, 1e-12), 0.0, 1.0)
    return np.stack([1 - share, np.zeros_like(share), share], axis=1)


def _shares(mean: Floats, corners: Floats) -> Floats:
    """The mixture of three corners that comes nearest to a mean, ``(3,)``: not negative, sum 1.

    Shape:
        mean: ``(2,)``; corners: ``(3, 2)``.
    """
    best, smallest = np.array([1.0, 0.0, 0.0]), np.inf
    for used in ([0, 1, 2], [0, 1], [0, 2], [1, 2], [0], [1], [2]):
        base, rest = corners[used[0]], used[1:]
        away = (corners[rest] - base).T  # (2, other corners)
        solved = np.linalg.lstsq(away, mean - base, rcond=None)[0] if rest else np.zeros(0)
        if (solved < 0).any() or solved.sum() > 1:
            continue
        distance = float(np.sum((base + away @ solved - mean) ** 2)) if rest else float(np.sum((base - mean) ** 2))
        if distance < smallest - 1e-12:
            best, smallest = np.zeros(3), distance
            best[rest] = solved
            best[used[0]] = 1 - solved.sum()
    return best
