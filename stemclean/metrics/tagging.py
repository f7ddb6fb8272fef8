"""Evaluate multi-label predictions, and the detection of wrong stems.

Conventions
    *Labels* are Boolean arrays ``(item, class)``, true if the class is present. An item may have several classes or
    none. *Detection* uses one Boolean per item: ``wrong`` (the ground truth) and ``flagged`` (the prediction). A
    *score* ranks items; high values mean wrong.

    An undefined value (a division by zero: the precision of a class that was never predicted, the recall of a class
    that never occurs, the ROC AUC of a single class) is ``None``, never NaN and never 1. An average is taken over the
    values that are defined; it is ``None`` if there are none.

The definitions are those of scikit-learn (``precision_recall_fscore_support`` and ``average_precision_score`` with
``zero_division=nan``, ``roc_auc_score``); the tests compare this module with it on random data. We differ in one point:
scikit-learn returns 0 for the average precision of a ranking without positives; here it is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

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
        ValueError: wrong type or rank, or different shapes.
    """
    for name, array in (("truth", truth), ("estimate", estimate)):
        if array.dtype != np.bool_ or array.ndim != 2:
            raise ValueError(f"{name} must be a Boolean array (item, class), not {array.dtype} {array.shape}")
    if truth.shape != estimate.shape:
        raise ValueError(f"truth {truth.shape} and estimate {estimate.shape} differ in shape")


def validate_detection(wrong: Mask, prediction: NDArray[np.generic]) -> None:
    """Check a ground truth ``(item,)`` and flags or finite scores ``(item,)``.

    Raises:
        ValueError: wrong type, rank or length, or a score that is not finite.
    """
    if wrong.dtype != np.bool_ or wrong.ndim != 1:
        raise ValueError(f"wrong must be a Boolean array (item,), not {wrong.dtype} {wrong.shape}")
    if prediction.shape != wrong.shape:
        raise ValueError(f"truth {wrong.shape} and estimate {prediction.shape} differ in shape")
    if prediction.dtype.kind == "f" and not np.isfinite(prediction).all():
        raise ValueError("a score is not finite")


def accuracy(truth: Mask, estimate: Mask) -> list[Value]:
    """Return the share of correct decisions (present or absent), one value per class, in [0, 1].

    The accuracy that Koo et al. (2023, arXiv 2307.12576, section 4) report is the mean of these values.

    >>> accuracy(np.array([[True, False], [True, True]]), np.array([[True, True], [True, True]]))
    [1.0, 0.5]
    """
    return _ratios((truth == estimate).sum(0), np.full(truth.shape[1], len(truth)))


def exact_match(truth: Mask, estimate: Mask) -> Value:
    """Return the share of items whose set of classes is exactly right, in [0, 1]."""
    return _ratio(int((truth == estimate).all(1).sum()), len(truth))


def precision(truth: Mask, estimate: Mask) -> list[Value]:
    """Return the share of predicted items that have the class, one value per class, in [0, 1]."""
    return _ratios((truth & estimate).sum(0), estimate.sum(0))


def recall(truth: Mask, estimate: Mask) -> list[Value]:
    """Return the share of items with the class that are predicted, one value per class, in [0, 1]."""
    return _ratios((truth & estimate).sum(0), truth.sum(0))


def f1(truth: Mask, estimate: Mask) -> list[Value]:
    """Return the harmonic mean of precision and recall, ``2 tp / (2 tp + fp + fn)``, one value per class, in [0, 1]."""
    return _ratios(2 * (truth & estimate).sum(0), truth.sum(0) + estimate.sum(0))


def mean(values: Iterable[Value]) -> Value:
    """Return the mean of the values that are defined (macro average over classes).

    >>> mean([1.0, None, 0.5]), mean([None])
    (0.75, None)
    """
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def average_precision(wrong: Mask, score: NDArray[np.floating]) -> Value:
    """Return the area under the precision-recall curve of a ranking, as a sum of steps without interpolation.

    ``sum_n (R_n - R_{n-1}) P_n`` over the distinct scores, in descending order. Items with equal scores are counted
    together, so that their order does not matter. In [0, 1]; a random ranking gives the share of positives.
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
    """Return the probability that a wrong item ranks above a right one, in [0, 1]; ties count half (Mann-Whitney U)."""
    num_positives = int(wrong.sum())
    num_negatives = len(wrong) - num_positives
    if num_positives == 0 or num_negatives == 0:
        return None
    rank_sum = float(scipy.stats.rankdata(score)[wrong].sum())
    return (rank_sum - num_positives * (num_positives + 1) / 2) / (num_positives * num_negatives)


def evaluate(truth: Mask, estimate: Mask, labels: Sequence[str]) -> dict[str, Value]:
    """Compute all label metrics: ``METRIC/CLASS``, and ``METRIC/average`` over the classes.

    Args:
        truth, estimate: true and predicted labels.
        labels: names of the classes, in the order of the columns.

    Shape:
        truth, estimate: ``(item, class)``, Boolean.

    Raises:
        ValueError: see :func:`validate`; or the number of names differs from the number of columns.
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
    """Compute precision, recall and F1 of the flags, and average precision and ROC AUC of the ranking by ``score``.

    Shape:
        wrong, flagged: ``(item,)``, Boolean; score: ``(item,)``, finite; high values mean wrong.

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
