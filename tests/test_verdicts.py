"""Every verdict on a constructed stem."""

from __future__ import annotations

import numpy as np
import pytest

from stemclean.manifest import VERDICT_REASONS
from stemclean.verdicts import borderline, found_labels, label_quality, louder_by, tolerated, verdict

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


def test_quality_is_low_where_the_claim_is_missing_and_where_another_class_is_there():
    right = {"vocals": 0.1, "bass": 0.1, "drums": 0.95, "other": 0.05}
    bleed = right | {"vocals": 0.9}
    assert label_quality(right, ["drums"]) > 0.9
    assert label_quality(right, ["vocals"]) < 0.2
    assert 0.2 < label_quality(bleed, ["drums"]) < 0.5  # less surely wrong than a claim that is not there at all
    assert label_quality(bleed, ["drums", "vocals"]) > 0.9
    foreign = dict.fromkeys(right, 0.01)  # holds no class at all
    assert label_quality(foreign, ["drums"]) < 0.5


def test_quality_counts_a_class_against_its_chance():
    """A score of 0.4 speaks for a class that has a chance of 0.2, and against one that has 0.5."""
    scores = {"vocals": 0.4, "bass": 0.01, "drums": 0.95, "other": 0.01}
    assert label_quality(scores, ["drums"], chance=0.2) < label_quality(scores, ["drums"], chance=0.5)


def test_borderline_is_measured_in_logits_and_per_class():
    limits = {"vocals": 0.9, "drums": 0.3}
    assert borderline(np.array([0.95, 0.9]), limits, 1.0)  # 0.75 logits above 0.9
    assert not borderline(np.array([0.99, 0.9]), limits, 1.0)
    assert not borderline(np.array([0.3, 0.9]), limits, 1.0)  # 0.3 is the other class's limit
    assert borderline(np.array([0.0, 0.5]), limits, 1.0)


LEVELS = {"drums": -0.1, "vocals": -22.1, "other": -22.1}


def test_unclaimed_classes_are_added_up_and_held_against_the_claimed_ones():
    assert louder_by(LEVELS, ["drums"]) == pytest.approx(-22 + 10 * np.log10(2))
    assert louder_by({"drums": -3.0, "vocals": -3.0}, ["drums", "vocals"]) is None
    assert louder_by({"vocals": -3.0}, ["drums"]) is None
    assert louder_by({}, ["drums"]) is None


@pytest.mark.parametrize(("limit", "action"), [(-20.0, "mixed"), (-18.9, "keep"), (-10.0, "keep")])
def test_bleed_below_a_limit_is_tolerated(limit, action):
    decided = tolerated(verdict(["drums"], list(LEVELS), 0.1), LEVELS, ["drums"], limit)
    assert (decided.action, decided.label_quality) == (action, 0.1)
    assert decided.reason == ("bleed_tolerated" if action == "keep" else "unclaimed_class_present")
    assert decided.reason in VERDICT_REASONS


@pytest.mark.parametrize("found", [["vocals", "other"], ["vocals"], ["drums"], []])
def test_no_limit_makes_up_for_a_claim_that_was_not_found(found):
    before = verdict(["drums"], found, 0.1)
    assert tolerated(before, dict.fromkeys(found, -30.0), ["drums"], 0.0) == before


def test_without_levels_nothing_is_tolerated():
    before = verdict(["drums"], ["vocals", "drums"], 0.1)
    assert tolerated(before, {}, ["drums"], 0.0) == before
