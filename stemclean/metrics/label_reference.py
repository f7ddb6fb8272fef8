"""Explain the beliefs about the stems of a dataset as a mixture of those about stems whose classes are known.

The belief about a claim (:mod:`stemclean.metrics.label_beliefs`) is a point in a plane: (wrong, bleed), each in [0, 1].
For each class, the mean points of known stems that are right, that have bleed and that are wrong are three *corners*.
The mean over the stems of a dataset lies between the corners, and its position gives the three shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemclean.metrics.label_beliefs import beliefs

__all__ = ["Reference", "answers_of", "corners_of", "mixtures", "pooled", "shifted", "without_bleed"]

Floats = NDArray[np.floating]

POOL = 8.0
"""Weight, in stems, of the average over all classes in the corners of each class; a class has about twenty stems."""


@dataclass(frozen=True)
class Reference:
    """Scores of stems whose classes are known, with and without bleed.

    Args:
        scores: calibrated probabilities, ``(stem, label)``.
        main: index of the class of each stem, ``(stem,)``.
        bleed: index of the class that bleeds into it, or -1, ``(stem,)``.
        track: track of each stem, ``(stem,)``.
    """

    scores: Floats
    main: NDArray[np.integer]
    bleed: NDArray[np.integer]
    track: NDArray[np.generic]

    def __len__(self) -> int:
        """Return the number of stems."""
        return len(self.scores)


def answers_of(reference: Reference, chance: float) -> Floats:
    """Return the belief about each known stem if it claimed each class: ``(label, stem, (wrong, bleed))``."""
    num_labels = reference.scores.shape[1]
    result = np.empty((num_labels, len(reference), 2))
    for label in range(num_labels if len(reference) else 0):
        claimed = np.zeros(reference.scores.shape, bool)
        claimed[:, label] = True
        believed = beliefs(reference.scores, claimed, chance)
        result[label, believed.stem] = np.stack([believed.wrong, believed.bleed], axis=1)
    return result


def corners_of(answers: Floats, reference: Reference, weights: Floats) -> tuple[Floats, Floats]:
    """Return the mean belief (wrong, bleed) about right stems, stems with bleed and wrong stems of each class.

    Among wrong stems, all other classes have the same weight.

    Args:
        answers: see :func:`answers_of`.
        reference: the known stems.
        weights: weights of the stems, ``(stem,)``.

    Returns:
        (the means, ``(label, 3, 2)``, 0 if there is no such stem; the numbers of stems, ``(label, 3)``)
    """
    num_labels = len(answers)
    means, sizes = np.zeros((num_labels, 3, 2)), np.zeros((num_labels, 3))
    for label in range(num_labels):
        is_class = reference.main == label
        for corner, chosen in enumerate(
            (
                is_class & (reference.bleed < 0),
                is_class & (reference.bleed >= 0),
                ~is_class & (reference.bleed != label),
            )
        ):
            share = weights * chosen
            for actual in range(num_labels) if corner == 2 else ():
                members = reference.main == actual
                share[members] /= max(float(share[members].sum()), 1e-12)
            if share.sum() > 0:
                means[label, corner] = share @ answers[label] / share.sum()
                sizes[label, corner] = chosen.sum()
    return means, sizes


def pooled(means: Floats, sizes: Floats) -> Floats:
    """Return the corners, shrunk towards the mean of all classes for classes with few known stems."""
    totals = sizes.sum(0)[:, None]
    ideal = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # corners of a perfect classifier
    average = np.where(totals > 0, np.einsum("lco,lc->co", means, sizes) / np.maximum(totals, 1), ideal)
    return np.asarray((means * sizes[:, :, None] + POOL * average) / (sizes[:, :, None] + POOL))


def shifted(corners: Floats, means: Floats, sizes: Floats) -> Floats:
    """Shift the corners of all classes by the same vectors, towards the beliefs about known stems of the dataset.

    Args:
        corners: the corners.
        means, sizes: mean beliefs about these stems, and their numbers, see :func:`corners_of`.
    """
    offset = np.einsum("lco,lc->co", means - corners, sizes) / (sizes.sum(0)[:, None] + POOL)
    return np.asarray(np.clip(corners + offset, 0.0, 1.0))


def mixtures(total: Floats, corners: Floats) -> Floats:
    """Return the shares of right stems, stems with bleed and wrong stems that explain the beliefs, ``(label, 3)``.

    Args:
        total: sums over the claims of each class; the first features are their number and the sums of the beliefs wrong
            and bleed, ``(label, feature)``.
        corners: the corners, ``(label, 3, 2)``.
    """
    means = total[:, 1:3] / np.maximum(total[:, :1], 1e-12)  # (label, (wrong, bleed))
    return np.array([_shares(mean, triangle) for mean, triangle in zip(means, corners, strict=True)])


def without_bleed(total: Floats, corners: Floats) -> Floats:
    """Return the shares as :func:`mixtures` does, for stems known to have no bleed: they are right or wrong."""
    believed = total[:, 1] / np.maximum(total[:, 0], 1e-12)
    right, wrong = corners[:, 0, 0], corners[:, 2, 0]
    share = np.clip((believed - right) / np.maximum(wrong - right, 1e-12), 0.0, 1.0)
    return np.stack([1 - share, np.zeros_like(share), share], axis=1)


def _shares(mean: Floats, corners: Floats) -> Floats:
    """Return the mixture of three corners that is nearest to a mean, ``(3,)``: not negative, with sum 1.

    Shape:
        mean: ``(2,)``; corners: ``(3, 2)``.
    """
    best, smallest = np.array([1.0, 0.0, 0.0]), np.inf
    for used in ([0, 1, 2], [0, 1], [0, 2], [1, 2], [0], [1], [2]):
        base, others = corners[used[0]], used[1:]
        edges = (corners[others] - base).T  # (2, other corners)
        solved = np.linalg.lstsq(edges, mean - base, rcond=None)[0] if others else np.zeros(0)
        if (solved < 0).any() or solved.sum() > 1:
            continue
        distance = float(np.sum((base + edges @ solved - mean) ** 2)) if others else float(np.sum((base - mean) ** 2))
        if distance < smallest - 1e-12:
            best, smallest = np.zeros(3), distance
            best[others] = solved
            best[used[0]] = 1 - solved.sum()
    return best
