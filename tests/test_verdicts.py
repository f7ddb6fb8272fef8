"""Every verdict, on a constructed stem."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stemclean.manifest import Crosstalk
from stemclean.verdicts import (
    Evidence,
    Policy,
    VerdictReason,
    borderline,
    decide,
    found_labels,
    label_quality,
    louder_by,
)

LABELS = ["vocals", "bass", "drums", "other"]


def evidence_of(claimed: list[str], present: list[str], **also: Any) -> Evidence:
    return Evidence(claimed, claimed, scores={label: 0.97 if label in present else 0.02 for label in LABELS}, **also)


@pytest.mark.parametrize(
    ("claimed", "present", "action", "reason"),
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
def test_verdicts_follow_from_the_scores(claimed, present, action, reason):
    decision = decide(evidence_of(claimed, present), Policy())
    assert (decision.verdict.action, decision.verdict.reason) == (action, reason)
    assert decision.found == decision.labels == present
    assert decision.verdict.label_quality == label_quality(evidence_of(claimed, present).scores, claimed)


def test_every_reason_has_an_action_and_a_meaning():
    assert {reason.action for reason in VerdictReason} == {"keep", "relabel", "mixed", "drop"}
    assert all(len(reason.meaning) > 20 for reason in VerdictReason)
    assert json.dumps(VerdictReason.NO_CLASS) == '"no_class"'


def test_silence_is_dropped_unless_it_is_held_out():
    silent = decide(Evidence(["drums"], ["drums"]), Policy())
    assert (silent.found, silent.labels, silent.verdict.action, silent.verdict.reason) == ([], [], "drop", "silent")
    held_out = decide(Evidence(["drums"], ["drums"], held_out=True), Policy())
    assert (held_out.labels, held_out.verdict.action, held_out.verdict.reason) == (["drums"], "keep", "held_out")


def test_held_out_stems_keep_their_labels_and_report_findings():
    decision = decide(evidence_of(["drums"], ["bass"], held_out=True), Policy())
    assert (decision.found, decision.labels, decision.verdict.action) == (["bass"], ["drums"], "keep")
    assert decision.verdict.label_quality < 0.1


def test_the_order_of_the_evidence_does_not_matter():
    """Decided once with measured bleed, or decided again when it has been measured: the same."""
    bleed = Crosstalk(stem="s", label="vocals", level_db=-20.0, delay=0.0)
    whole = evidence_of(["drums"], ["drums"], levels_db={"drums": 0.0}, crosstalk=[bleed])
    first = decide(replace(whole, crosstalk=()), Policy())
    again = decide(replace(whole, labels=first.labels, levels_db=first.levels_db), Policy())
    assert again == decide(whole, Policy())
    assert (again.found, again.measured_db) == (["vocals", "drums"], {"vocals": -20.0})


def test_measured_bleed_alone_adds_no_class():
    bleed = Crosstalk(stem="s", label="vocals", level_db=-1.0, delay=0.0)
    decision = decide(evidence_of(["drums"], [], crosstalk=[bleed]), Policy())
    assert (decision.found, decision.measured_db, decision.verdict.reason) == ([], {}, "no_class")


def test_only_the_default_rule_uses_the_claim_as_evidence():
    scores = {"vocals": 0.92, "bass": 0.1, "drums": 0.7, "other": 0.8}
    assert found_labels(scores, ["drums"], 0.9, 0.5) == ["vocals", "drums"]
    assert found_labels(scores, ["drums"], 0.9, 0.9) == ["vocals"]


def test_quality_is_low_for_missing_claims_and_extra_classes():
    right = {"vocals": 0.1, "bass": 0.1, "drums": 0.95, "other": 0.05}
    bleed = right | {"vocals": 0.9}
    assert label_quality(right, ["drums"]) > 0.9
    assert label_quality(right, ["vocals"]) < 0.2
    assert 0.2 < label_quality(bleed, ["drums"]) < 0.5  # less surely wrong than a claim that is not there at all
    assert label_quality(bleed, ["drums", "vocals"]) > 0.9
    foreign = dict.fromkeys(right, 0.01)  # holds no class at all
    assert label_quality(foreign, ["drums"]) < 0.5


def test_quality_is_relative_to_the_class_prior():
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


def test_unclaimed_levels_are_summed_and_compared_with_the_claimed():
    assert louder_by(LEVELS, ["drums"]) == pytest.approx(-22 + 10 * np.log10(2))
    assert louder_by({"drums": -3.0, "vocals": -3.0}, ["drums", "vocals"]) is None
    assert louder_by({"vocals": -3.0}, ["drums"]) is None
    assert louder_by({}, ["drums"]) is None


@pytest.mark.parametrize(("limit", "action"), [(-20.0, "mixed"), (-18.9, "keep"), (-10.0, "keep"), (None, "mixed")])
def test_bleed_below_a_limit_is_tolerated(limit, action):
    evidence = evidence_of(["drums"], list(LEVELS), levels_db=LEVELS)
    decision = decide(evidence, Policy(max_bleed_db=limit))
    assert decision.verdict.action == action
    assert decision.verdict.reason == ("bleed_tolerated" if action == "keep" else "unclaimed_class_present")
    assert decision.labels == (["drums"] if action == "keep" else ["vocals", "drums", "other"])
    assert decision.found == ["vocals", "drums", "other"]
    assert decision.verdict.label_quality == decide(evidence, Policy()).verdict.label_quality


@pytest.mark.parametrize("present", [["vocals", "other"], ["vocals"], ["drums"], []])
def test_a_limit_does_not_excuse_a_missing_claim(present):
    evidence = evidence_of(["drums"], present, levels_db=dict.fromkeys(LABELS, -30.0))
    assert decide(evidence, Policy(max_bleed_db=0.0)) == decide(evidence, Policy())


def test_without_levels_nothing_is_tolerated():
    evidence = evidence_of(["drums"], ["vocals", "drums"])
    assert decide(evidence, Policy(max_bleed_db=0.0)) == decide(evidence, Policy())
