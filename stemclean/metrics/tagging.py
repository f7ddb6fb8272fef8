"""How right a set of labels is, and how well wrong stems are found.

Conventions
    *Labels* are Boolean arrays ``(item, class)``: true where the class is present. An item may hold
    several classes or none. *Detection* is one Boolean an item: ``wrong`` (the truth) and ``flagged``
    (the claim that it is wrong). A *score* ranks items; high = surely wrong.

    A value that its definition leaves open (a division by zero: the precision of a class that was
    never predicted, the recall of one that never occurs, the ROC AUC of a single class) is ``None``, never NaN
    and never a flattering 1. An average is taken over the values that exist, ``None`` if there is none.

Definitions are those of scikit-learn (``precision_recall_fscore_support`` and ``average_precision_score`` with
``zero_division=nan``, ``roc_auc_score``), and the tests hold this module to them on random data. Where
we differ: scikit-learn calls the average precision of a ranking without positives 0, here it is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = [
    "accuracy",
    "average_precision",
    "evaluate",
    "evaluate_detection",
    "exact_match",
    "f1",
    "mean",
    "precision",
    "recall",
    "roc_auc",
    "validate",
    "validate_detection",
]

Mask = NDArray[np.bool_]
Value = float | None


def validate(truth: Mask, estimate: Mask) -> None:
    """Check a pair of label arrays.

    Shape:
        truth, estimate: ``(item, class)``, both Boolean.

    Raises:
        ValueError: another type, another rank, or shapes that differ.
    """
    for name, array in (("truth", truth), ("estimate", estimate)):
        if array.dtype != np.bool_ or array.ndim != 2:
            raise ValueError(f"{name}: a Boolean array (item, class) is wanted, not {array.dtype} {array.shape}")
    if truth.shape != estimate.shape:
        raise ValueError(f"truth {truth.shape} and estimate {estimate.shape} differ in shape")


def validate_detection(wrong: Mask, other: NDArray[np.generic]) -> None:
    """Check a truth ``(item,)`` against flags or finite scores ``(item,)``.

    Raises:
        ValueError: another type, rank or length; a score that is not finite.
    """
    if wrong.dtype != np.bool_ or wrong.ndim != 1:
        raise ValueError(f"wrong: a Boolean array (item,) is wanted, not {wrong.dtype} {wrong.shape}")
    if other.shape != wrong.shape:
        raise ValueError(f"truth {wrong.shape} and estimate {other.shape} differ in shape")
    if other.dtype.kind == "f" and not np.isfinite(other).all():
        raise ValueError("a score is not finite")


def accuracy(truth: Mask, estimate: Mask) -> list[Value]:
    """Share of right decisions (present or absent), one value a class, in [0, 1].

    The accuracy that Koo et al. (2023, arXiv 2307.12576, section 4) report is the mean of these.

    >>> accuracy(np.array([[True, False], [True, True]]), np.array([[True, True], [True, True]]))
    [1.0, 0.5]
    """
    return _ratios((truth == estimate).sum(0), np.full(truth.shape[1], len(truth)))


def exact_match(truth: Mask, estimate: Mask) -> Value:
    """Share of items whose set of classes is exactly right, in [0, 1]; what decides where an item may be used."""
    return _ratio(int((truth == estimate).all(1).sum()), len(truth))


def precision(truth: Mask, estimate: Mask) -> list[Value]:
    """Of the items said to hold a class, the share that do; one value a class, in [0, 1]."""
    return _ratios((truth & estimate).sum(0), estimate.sum(0))


def recall(truth: Mask, estimate: Mask) -> list[Value]:
    """Of the items that hold a class, the share said to; one value a class, in [0, 1]."""
    return _ratios((truth & estimate).sum(0), truth.sum(0))


def f1(truth: Mask, estimate: Mask) -> list[Value]:
    """Harmonic mean of precision and recall, ``2 tp / (2 tp + fp + fn)``; one value a class, in [0, 1]."""
    return _ratios(2 * (truth & estimate).sum(0), truth.sum(0) + estimate.sum(0))


def mean(values: Iterable[Value]) -> Value:
    """Average of the values that exist (macro average over classes).

    >>> mean([1.0, None, 0.5]), mean([None])
    (0.75, None)
    """
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def average_precision(wrong: Mask, score: NDArray[np.floating]) -> Value:
    """Area under the precision-recall curve of a ranking, as a sum of steps (no interpolation).

    ``sum_n (R_n - R_{n-1}) P_n`` over the distinct scores, from the highest down: equal scores enter together,
    so that their order decides nothing. In [0, 1]; a ranking by chance gives the share of positives.
    """
    num_positives = int(wrong.sum())
    if num_positives == 0:
        return None
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(wrong[order])
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    precisions = hits[last_of_tie] / (last_of_tie + 1)
    recalls = hits[last_of_tie] / num_positives
    return float(np.sum(np.diff(recalls, prepend=0.0) * precisions))


def roc_auc(wrong: Mask, score: NDArray[np.floating]) -> Value:
    """Chance that a wrong item ranks above a right one, ties counting half (Mann-Whitney U), in [0, 1]."""
    num_positives = int(wrong.sum())
    num_negatives = len(wrong) - num_positives
    if num_positives == 0 or num_negatives == 0:
        return None
    rank_sum = float(rankdata(score)[wrong].sum())
    return (rank_sum - num_positives * (num_positives + 1) / 2) / (num_positives * num_negatives)


def evaluate(truth: Mask, estimate: Mask, labels: Sequence[str]) -> dict[str, Value]:
    """Every label metric under ``METRIC/CLASS`` and, averaged over the classes, ``METRIC/average``.

    Args:
        labels: names of the classes, in the order of the columns.

    Shape:
        truth, estimate: ``(item, class)``, Boolean.

    Raises:
        ValueError: see :func:`validate`; or as many names as there are columns are not given.
    """
    validate(truth, estimate)
    if len(labels) != truth.shape[1]:
        raise ValueError(f"{len(labels)} names for {truth.shape[1]} classes")
    report: dict[str, Value] = {"exact_match": exact_match(truth, estimate)}
    for metric in (accuracy, precision, recall, f1):
        values = metric(truth, estimate)
        report |= {f"{metric.__name__}/{label}": value for label, value in zip(labels, values, strict=True)}
        report[f"{metric.__name__}/average"] = mean(values)
    return report


def evaluate_detection(wrong: Mask, flagged: Mask, score: NDArray[np.floating]) -> dict[str, Value]:
    """Precision, recall and F1 of the flags; average precision and ROC AUC of the ranking by ``score``.

    Shape:
        wrong, flagged: ``(item,)``, Boolean; score: ``(item,)``, finite, high = surely wrong.

    Raises:
        ValueError: see :func:`validate_detection`.
    """
    validate_detection(wrong, flagged)
    validate_detection(wrong, score)
    column = (wrong[:, None], flagged[:, None])  # (item,) -> (item, 1)
    return {
        "precision": precision(*column)[0],
        "recall": recall(*column)[0],
        "f1": f1(*column)[0],
        "average_precision": average_precision(wrong, score),
        "roc_auc": roc_auc(wrong, score),
    }


def _ratio(numerator: int, denominator: int) -> Value:
    return numerator / denominator if denominator else None


def _ratios(numerators: NDArray[np.integer], denominators: NDArray[np.integer]) -> list[Value]:
    return [_ratio(int(n), int(d)) for n, d in zip(numerators, denominators, strict=True)]
