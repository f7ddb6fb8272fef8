"""Every verdict on a constructed stem, and regions that neither flicker nor leave the active parts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemclean.manifest import VERDICT_REASONS
from stemclean.verdicts import borderline, found_labels, label_quality, labelled_regions, verdict

LABELS = ["vocals", "bass", "drums", "other"]


@pytest.mark.parametrize(
    ("claimed", "found", "action", "reason"),
    [
        (["drums"], ["drums"], "keep", "as_claimed"),
        (["drums"], ["bass"], "relabel", "other_class_found"),
        (["drums"], ["vocals", "drums"], "mixed", "unclaimed_class_present"),
        (["drums"], ["vocals", "bass"], "mixed", "claimed_class_absent"),
        (["drums"], [], "drop", "no_class"),
        (["bass", "other"], ["bass", "other"], "keep", "as_claimed"),
        (["bass", "other"], ["bass"], "relabel", "other_class_found"),
    ],
)
def test_verdict(claimed, found, action, reason):
    decided = verdict(claimed, found, 0.5)
    assert (decided.action, decided.reason) == (action, reason)
    assert decided.reason in VERDICT_REASONS


def test_the_claim_counts_as_evidence_and_the_papers_rule_does_without():
    scores = {"vocals": 0.92, "bass": 0.1, "drums": 0.7, "other": 0.8}
    assert found_labels(scores, ["drums"], 0.9, 0.5) == ["vocals", "drums"]
    assert found_labels(scores, ["drums"], 0.9, 0.9) == ["vocals"]


def test_quality_is_the_worst_class():
    scores = {"vocals": 0.3, "bass": 0.1, "drums": 0.95, "other": 0.0}
    assert label_quality(scores, ["drums"]) == pytest.approx(0.7)
    assert label_quality(scores, ["vocals"]) == pytest.approx(0.05)


def test_regions_follow_a_class_that_comes_and_goes():
    scores = np.zeros((12, 4))
    scores[:, 2] = 0.99
    scores[3:6, 0] = [0.6, 0.95, 0.6]  # reaches back and forth by hysteresis
    scores[9, 0] = 0.6  # never reaches the threshold
    regions = labelled_regions(scores, LABELS, [(0.0, 12.0)], 1.0, on=0.9, off=0.5)
    assert [(r.start, r.end, r.labels) for r in regions] == [
        (0.0, 3.0, ["drums"]),
        (3.0, 6.0, ["vocals", "drums"]),
        (6.0, 12.0, ["drums"]),
    ]


def test_regions_hold_only_classes_found_in_the_stem():
    scores = np.full((4, 4), 0.95)
    (region,) = labelled_regions(scores, LABELS, [(0.5, 3.5)], 1.0, on=0.9, off=0.5, found=["bass"])
    assert (region.start, region.end, region.labels) == (0.5, 3.5, ["bass"])


def test_a_claimed_class_needs_less_to_be_placed():
    scores = np.full((4, 4), [0.7, 0.0, 0.7, 0.0])
    on = {"vocals": 0.9, "bass": 0.9, "drums": 0.5, "other": 0.9}  # it claims drums
    (region,) = labelled_regions(scores, LABELS, [(0.0, 4.0)], 1.0, on=on, off=0.5, found=["drums"])
    assert region.labels == ["drums"]


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=30),
    st.lists(st.floats(0, 20), min_size=2, max_size=8, unique=True),
)
def test_regions_tile_the_active_parts(scores, cuts):
    cuts = sorted(round(cut, 3) for cut in cuts)
    duration = 0.7 * len(scores)
    active = [(a, min(b, duration)) for a, b in zip(cuts[::2], cuts[1::2], strict=False) if a < min(b, duration) - 1e-3]
    regions = labelled_regions(np.array(scores), ["x", "y"], active, 0.7, on=0.9, off=0.5)
    assert sum(r.end - r.start for r in regions) == pytest.approx(sum(b - a for a, b in active), abs=1e-4)
    for before, after in itertools.pairwise(regions):
        assert before.end <= after.start + 1e-9


def test_borderline_is_measured_in_logits_and_per_class():
    limits = {"vocals": 0.9, "drums": 0.3}
    assert borderline(np.array([0.95, 0.9]), limits, 1.0)  # 0.75 logits above 0.9
    assert not borderline(np.array([0.99, 0.9]), limits, 1.0)
    assert not borderline(np.array([0.3, 0.9]), limits, 1.0)  # 0.3 is the other class's limit
    assert borderline(np.array([0.0, 0.5]), limits, 1.0)
