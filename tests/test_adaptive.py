"""Thresholds that maximise F1, compared with scikit-learn, and the sample from which they are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from stemclean import verdicts
from stemclean.errors import ConfigError
from stemclean.manifest import Stem, Verdict
from stemclean.refining.adaptive import STEMS_PER_CLASS, best_threshold, sample
from stemclean.refining.config import RefineConfig


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 50)), min_size=2, max_size=40))
def test_no_other_threshold_has_a_higher_f1(drawn):
    truth, scores = np.array([t for t, _ in drawn]), np.array([s for _, s in drawn]) / 50
    assume(truth.any() and not truth.all())
    threshold, reached = best_threshold(truth, scores)
    precision, recall, _ = precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    assert reached == pytest.approx(f1.max(), abs=1e-4)  # stored rounded
    predicted = scores > threshold
    assert 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()) == pytest.approx(reached, abs=1e-4)


def test_ties_take_the_lowest_threshold():
    truth = np.array([True, True, False, True, False])
    scores = np.array([0.9, 0.8, 0.5, 0.4, 0.1])  # F1 above 0.65 is 4/5, above 0.25 it is 6/7
    assert best_threshold(truth, scores) == (0.25, pytest.approx(6 / 7, abs=1e-4))
    truth, scores = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1])  # 4/5 above 0.4
    assert best_threshold(truth, scores)[0] == 0.4
    tie = np.array([True, False, False, True, False]), np.array([0.9, 0.8, 0.7, 0.5, 0.1])  # 2/3 above .85 and .3
    assert best_threshold(*tie) == (0.3, pytest.approx(2 / 3, abs=1e-4))


def test_a_class_of_one_kind_keeps_the_papers_threshold():
    scores = np.array([0.2, 0.7])
    assert best_threshold(np.array([False, False]), scores) == (0.9, None)
    assert best_threshold(np.array([True, True]), scores) == (0.9, None)


def test_a_claim_never_asks_for_more_than_its_own_threshold():
    config = RefineConfig(threshold={"bass": 0.2, "drums": 0.6}, claimed_threshold=0.3)
    assert config.limits(["bass", "drums"], ["bass"]) == {"bass": 0.2, "drums": 0.6}
    assert config.limits(["bass", "drums"], ["drums"]) == {"bass": 0.2, "drums": 0.3}
    scores = {"bass": 0.25, "drums": 0.5}
    assert verdicts.found_labels(scores, ["drums"], config.threshold, 0.3) == ["bass", "drums"]


def test_invalid_thresholds_are_refused():
    with pytest.raises(ConfigError, match=r"threshold is \{bass = 1.0\}; it must be a number above 0 and below 1, one"):
        RefineConfig(threshold={"bass": 1.0})
    with pytest.raises(ConfigError, match=r'threshold is "clever"; .* or "adaptive"'):
        RefineConfig(threshold="clever")
    with pytest.raises(ValueError, match="resolved before stems are judged"):
        RefineConfig(threshold="adaptive").limits(["bass"], [])


def test_the_sample_is_bounded_per_class_and_always_the_same():
    def stem(number, label, **more):
        fields = {"track": "t", "path": f"{number}.wav", "sample_rate": 8000, "channels": 1, "num_samples": 8000}
        return Stem(**{"id": f"{number}", **fields, "claimed": [label], "labels": [label], **more})

    stems = [stem(n, "drums") for n in range(150)] + [stem(n + 150, "bass") for n in range(20)]
    chosen = sample(stems)
    assert sum(item.labels == ["drums"] for item in chosen) == STEMS_PER_CLASS
    assert sum(item.labels == ["bass"] for item in chosen) == 20
    assert sample(stems[::-1]) == chosen
    left_out = [
        stem(1, "drums", split="test"),
        stem(2, "drums", labels=[]),
        stem(3, "drums", verdict=Verdict(action="drop", reason="silent", label_quality=0.0)),
    ]
    assert sample(left_out) == []
