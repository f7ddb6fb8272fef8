"""Label metrics compared with scikit-learn, and their edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as outside

from stemclean.metrics import tagging

LABELS = ["vocals", "bass", "drums", "other"]
EXACT = pytest.approx  # same sums of a few hundred terms, another order: 1e-6 relative is 10 digits of slack


def random_labels(seed: int, num_items: int = 120, density: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.random((num_items, len(LABELS))) < density
    return truth, truth ^ (random.random(truth.shape) < 0.2)


def same(ours: float | None, theirs: float) -> bool:
    return np.isnan(theirs) if ours is None else ours == EXACT(theirs)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("density", [0.0, 0.03, 0.4, 1.0])
def test_label_metrics_equal_scikit_learn(seed: int, density: float) -> None:
    truth, estimate = random_labels(seed, density=density)
    report = tagging.evaluate(truth, estimate, LABELS)
    precision, recall, f1, _ = outside.precision_recall_fscore_support(truth, estimate, zero_division=np.nan)
    for index, label in enumerate(LABELS):
        assert report[f"accuracy/{label}"] == EXACT(outside.accuracy_score(truth[:, index], estimate[:, index]))
        assert same(report[f"precision/{label}"], precision[index])
        assert same(report[f"recall/{label}"], recall[index])
        assert same(report[f"f1/{label}"], f1[index])
    assert report["exact_match"] == EXACT(outside.accuracy_score(truth, estimate))
    assert report["f1/average"] == EXACT(outside.f1_score(truth, estimate, average="macro", zero_division=np.nan))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("num_levels", [2, 7, 10_000])  # few levels: many ties
def test_ranking_metrics_equal_scikit_learn(seed: int, num_levels: int) -> None:
    random = np.random.default_rng(seed)
    wrong = random.random(90) < 0.3
    score = np.round((wrong * 0.3 + random.random(90)) * num_levels) / num_levels
    assert tagging.average_precision(wrong, score) == EXACT(outside.average_precision_score(wrong, score))
    assert tagging.roc_auc(wrong, score) == EXACT(outside.roc_auc_score(wrong, score))


def test_a_perfect_ranking_scores_one_and_the_reverse_zero() -> None:
    wrong = np.array([True, True, False, False, False])
    score = np.array([0.9, 0.8, 0.3, 0.2, 0.1])
    assert tagging.average_precision(wrong, score) == 1.0
    assert tagging.roc_auc(wrong, score) == 1.0
    assert tagging.roc_auc(wrong, -score) == 0.0


def test_undefined_metrics_are_none() -> None:
    nobody = np.zeros((3, 1), dtype=bool)
    report = tagging.evaluate(nobody, nobody, ["bass"])
    assert report == {
        "exact_match": 1.0,
        "accuracy/bass": 1.0, "accuracy/average": 1.0,
        "precision/bass": None, "precision/average": None,
        "recall/bass": None, "recall/average": None,
        "f1/bass": None, "f1/average": None,
    }  # fmt: skip
    detection = tagging.evaluate_detection(nobody[:, 0], nobody[:, 0], np.zeros(3))
    assert set(detection.values()) == {None}
    assert tagging.evaluate(np.zeros((0, 1), bool), np.zeros((0, 1), bool), ["bass"])["accuracy/bass"] is None


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10.0))
def test_ranking_metrics_depend_only_on_the_order(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    wrong = random.random(30) < 0.5
    score = random.integers(0, 8, 30) / 8
    assert tagging.average_precision(wrong, score) == tagging.average_precision(wrong, score * scale)
    assert tagging.roc_auc(wrong, score) == tagging.roc_auc(wrong, score * scale)


@pytest.mark.parametrize(
    ("truth", "estimate", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2), bool), "Boolean array"),
        (np.zeros(2, bool), np.zeros(2, bool), "Boolean array"),
        (np.zeros((2, 2), bool), np.zeros((3, 2), bool), "differ in shape"),
    ],
)
def test_other_shapes_and_types_are_refused(truth: np.ndarray, estimate: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tagging.evaluate(truth, estimate, ["a", "b"])


def test_a_score_that_is_not_finite_is_refused() -> None:
    wrong = np.array([True, False])
    with pytest.raises(ValueError, match="not finite"):
        tagging.evaluate_detection(wrong, wrong, np.array([np.nan, 0.0]))
