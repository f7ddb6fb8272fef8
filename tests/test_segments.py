"""Segment-based metrics compared with the authors' program, and borders of known spans."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemclean.metrics import segments

LABELS = ["vocals", "bass", "drums", "other"]
GOLDEN = json.loads((Path(__file__).parent / "golden" / "segments.json").read_text())
"""Written by ``golden/segments.py``."""

_spans = st.lists(st.tuples(st.floats(0, 30), st.floats(0.01, 8)).map(lambda s: (s[0], s[0] + s[1])), max_size=5)


def golden_masks() -> tuple[np.ndarray, np.ndarray]:
    masks = [
        [segments.activity(recording[side], LABELS, recording["duration"]) for recording in GOLDEN["recordings"]]
        for side in ("truth", "estimate")
    ]
    return np.concatenate(masks[0]), np.concatenate(masks[1])


def test_class_scores_equal_sed_eval() -> None:
    truth, estimate = golden_masks()
    report = segments.evaluate(truth, estimate, np.zeros_like(truth), LABELS)
    for label in LABELS:
        for metric, name in (("f1", "f_measure"), ("precision", "precision"), ("recall", "recall")):
            assert report[f"{metric}/{label}"] == pytest.approx(GOLDEN["class_wise"][label][name])  # the same ratios
    assert report["f1/average"] == pytest.approx(GOLDEN["average"]["f_measure"])
    assert report["f1/unclaimed"] is None


def test_pooled_scores_equal_sed_eval() -> None:
    truth, estimate = golden_masks()
    report = segments.evaluate(truth, estimate, np.ones_like(truth), LABELS)
    for metric, name in (("f1", "f_measure"), ("precision", "precision"), ("recall", "recall")):
        assert report[f"{metric}/unclaimed"] == pytest.approx(GOLDEN["overall"][name])


def test_claimed_classes_are_not_counted_as_unclaimed() -> None:
    truth = np.array([[True, True], [True, False]])
    estimate = np.array([[True, False], [True, True]])
    report = segments.evaluate(truth, estimate, np.array([[False, True], [False, True]]), ["bass", "drums"])
    assert (report["f1/bass"], report["f1/unclaimed"]) == (1.0, 0.0)


@settings(deadline=None)  # a busy machine is no error
@given(_spans, st.floats(0.5, 30))
def test_a_segment_is_active_where_a_span_reaches_into_it(spans: list[tuple[float, float]], duration: float) -> None:
    (active,) = segments.activity({"bass": spans}, ["bass"], duration).T
    assert len(active) == int(np.ceil(duration))
    for index, there in enumerate(active):
        assert there == any(start < index + 1 and end > index for start, end in spans)


@settings(deadline=None)  # a busy machine is no error
@given(_spans, st.floats(0, 3))
def test_bridging_fills_only_pauses(spans: list[tuple[float, float]], gap: float) -> None:
    joined = segments.bridged(spans, gap)
    assert all(any(a <= start and end <= b for a, b in joined) for start, end in spans)
    assert all(after[0] - before[1] >= gap for before, after in itertools.pairwise(joined))
    edges = {edge for span in spans for edge in span}
    assert {edge for span in joined for edge in span} <= edges
    assert segments.bridged(joined, gap) == joined


def test_borders_are_those_of_the_span_that_overlaps_most() -> None:
    truth = [(10.0, 20.0), (30.0, 40.0), (50.0, 51.0)]
    estimate = [(8.0, 11.0), (12.0, 19.0), (28.5, 45.0), (51.0, 52.0)]
    assert segments.border_errors(truth, estimate) == [(2.0, -1.0), (-1.5, 5.0), None]
    assert segments.border_errors(truth[:1], []) == [None]
