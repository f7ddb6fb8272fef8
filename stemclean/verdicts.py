"""Decide about a stem from evidence: the classes found in it, its labels and its verdict. Pure logic.

:func:`decide` is the only place where this is decided. :class:`Evidence` holds everything measured about a stem;
:class:`Policy` holds the user's settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, Self

import numpy as np
import scipy

from stemclean.manifest import Crosstalk, HumanDecision, Stem, Verdict
from stemclean.metrics.label_beliefs import as_claimed
from stemclean.regions import levels_with

__all__ = [
    "PRESENT_DB",
    "Decision",
    "Evidence",
    "Policy",
    "Threshold",
    "VerdictReason",
    "bleeding_classes",
    "borderline",
    "decide",
    "found_labels",
    "label_quality",
    "least_bleed_db",
    "limits",
    "louder_by",
    "own_classes",
    "with_decision",
]

PRESENT_DB = -30.0
"""Minimum power of a measured bleed, in dB relative to the stem, for its class to count as present."""

MISTAKEN = 0.02
"""Probability that a measured bleed is a false alarm; it scales the label quality of a stem with measured bleed."""

Threshold = float | Mapping[str, float]
"""Score above which a class is present: one for all classes, or one per class."""

Action = Literal["keep", "relabel", "mixed", "drop"]


class VerdictReason(StrEnum):
    """Reason of a verdict, as written in the manifest.

    Attributes:
        action: what to do with the stem.
        meaning: explanation for the documentation.
    """

    action: Action
    meaning: str

    AS_CLAIMED = "as_claimed", "keep", "exactly the claimed classes were found"
    OTHER_CLASS_FOUND = "other_class_found", "relabel", "exactly one class was found, and it differs from the claim"
    UNCLAIMED_CLASS_PRESENT = "unclaimed_class_present", "mixed", "the claimed classes and others were found"
    CLAIMED_CLASS_ABSENT = (
        "claimed_class_absent",
        "mixed",
        "several classes were found, but a claimed one was not",
    )
    BLEED_TOLERATED = (
        "bleed_tolerated",
        "keep",
        "the claimed classes and others were found; the others are below --max-bleed-db",
    )
    NO_CLASS = "no_class", "drop", "no class exceeded its threshold"
    SILENT = "silent", "drop", "no part of the file is loud enough to be judged"
    HELD_OUT = "held_out", "keep", "a declared test or validation stem, which is reported on but never relabelled"
    ACCEPTED_BY_LISTENER = "accepted_by_listener", "keep", "a person listened and found exactly the claimed classes"
    RELABELLED_BY_LISTENER = "relabelled_by_listener", "relabel", "a person listened and found one other class"
    MIXED_BY_LISTENER = (
        "mixed_by_listener",
        "mixed",
        "a person listened and found several classes, which are not exactly the claimed ones",
    )
    DROPPED_BY_LISTENER = "dropped_by_listener", "drop", "a person listened and decided that it must not be used"

    def __new__(cls, value: str, action: Action, meaning: str) -> Self:
        """Create a member from its value, action and meaning."""
        member = str.__new__(cls, value)
        member._value_, member.action, member.meaning = value, action, meaning
        return member


@dataclass(frozen=True)
class Policy:
    """Settings of the decision.

    Args:
        threshold: score above which a class is present; a mapping gives one per class.
        claimed_threshold: the same for a class that the dataset claims, see :func:`limits`.
        max_bleed_db: tolerated bleed in dB relative to the claimed classes, -25 for example. A stem that contains what
            it claims is kept if all unclaimed classes together are softer. None: every class that is found counts.
        chance: prior probability of a class in the data that the scores were calibrated on, see :func:`label_quality`.
    """

    threshold: Threshold = 0.9
    claimed_threshold: float = 0.9
    max_bleed_db: float | None = None
    chance: float = 0.5


@dataclass(frozen=True)
class Evidence:
    """Evidence about one stem.

    Args:
        claimed: the classes that the dataset claims.
        labels: the current labels; a held-out stem keeps them.
        held_out: the stem is a declared test or validation stem.
        scores: class -> score in [0, 1]; empty if the stem is silent.
        levels_db: class -> estimated level relative to the stem; empty if the weights estimate no levels.
        crosstalk: bleed from other stems of the song, as measured.
        decision: what a person decided who listened to it; None if nobody did.
    """

    claimed: Sequence[str]
    labels: Sequence[str] = ()
    held_out: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    levels_db: Mapping[str, float] = field(default_factory=dict)
    crosstalk: Sequence[Crosstalk] = ()
    decision: HumanDecision | None = None

    @classmethod
    def of(cls, stem: Stem) -> Evidence:
        """Return the evidence that the manifest holds about a judged stem."""
        return cls(
            stem.claimed,
            stem.labels,
            stem.held_out,
            stem.scores,
            stem.levels_db,
            stem.crosstalk or (),
            stem.decision,
        )


@dataclass(frozen=True)
class Decision:
    """Result of :func:`decide`.

    Attributes:
        found: the classes found, in the order of the scores.
        labels: the new labels of the stem.
        levels_db: class -> level in dB relative to the stem, for classes found whose level is known.
        measured_db: class -> level of its bleed in dB, for classes found by a measurement that counts.
        verdict: what to do with the stem, and why.
    """

    found: list[str]
    labels: list[str]
    levels_db: dict[str, float]
    measured_db: dict[str, float]
    verdict: Verdict

    def applied(self, stem: Stem, **also: object) -> Stem:
        """Return the stem with the decision applied, and with further fields given as keywords."""
        decided = {"found": self.found, "labels": self.labels, "levels_db": self.levels_db, "verdict": self.verdict}
        return stem.model_copy(update={**decided, **also})


def limits(
    labels: Iterable[str], claimed: Sequence[str], threshold: Threshold, claimed_threshold: float
) -> dict[str, float]:
    """Return the score above which each class is present.

    Args:
        labels: all classes.
        claimed: the classes that the dataset claims.
        threshold: threshold of unclaimed classes; the paper's is 0.9.
        claimed_threshold: threshold of claimed classes, limited to ``threshold``. It is lower because a claim is
            evidence too: most claims are right. If it equals ``threshold``, the rule is the paper's. Ours.
    """
    return {
        label: min(general, claimed_threshold) if label in claimed else general
        for label in labels
        for general in [threshold[label] if isinstance(threshold, Mapping) else threshold]
    }


def found_labels(
    scores: Mapping[str, float], claimed: Sequence[str], threshold: Threshold, claimed_threshold: float
) -> list[str]:
    """Return the classes that are present, in the order of the scores.

    Args:
        scores: class -> score in [0, 1].
        claimed, threshold, claimed_threshold: see :func:`limits`.
    """
    above = limits(scores, claimed, threshold, claimed_threshold)
    return [label for label, score in scores.items() if score > above[label]]


def borderline(scores: np.ndarray, limits: Mapping[str, float], margin: float) -> bool:
    """Return whether any score is so close to its limit that another way of scoring might decide differently.

    Args:
        scores: one score per class, in the order of the limits. Shape: (label,)
        limits: class -> limit, see :func:`limits`.
        margin: distance in logits, the scale on which the difference between two ways of scoring is constant.
    """
    clipped, bounds = (np.clip(values, 1e-6, 1 - 1e-6) for values in (scores, np.array(list(limits.values()))))
    return bool(np.abs(scipy.special.logit(clipped) - scipy.special.logit(bounds)).min() < margin)


def label_quality(scores: Mapping[str, float], claimed: Sequence[str], chance: float = 0.5) -> float:
    """Return the probability, in [0, 1], that the stem contains exactly the classes that it claims.

    Ours, see :func:`stemclean.metrics.label_beliefs.as_claimed`; ``benchmarks/ranking.py`` compares it with others.

    Args:
        scores: class -> score in [0, 1].
        claimed: the classes that the dataset claims.
        chance: prior probability of a class in the data that the scores were calibrated on, see
            :func:`stemclean.models.calibration.chance_of_card`.
    """
    values, held = np.array([list(scores.values())]), np.array([[label in claimed for label in scores]])
    return float(as_claimed(values, held, chance)[0])


def louder_by(levels_db: Mapping[str, float], claimed: Sequence[str]) -> float | None:
    """Return the total power of the unclaimed classes, in dB relative to that of the claimed ones.

    Args:
        levels_db: class found -> level in dB relative to the stem.
        claimed: the classes that the dataset claims.

    Returns:
        The difference in dB; None if one of the two groups has no level.

    >>> louder_by({"drums": -1.0, "bass": -24.0, "vocals": -24.0}, ["drums"])
    -19.98...
    """
    claimed_power, unclaimed_power = (
        sum(10 ** (level / 10) for label, level in levels_db.items() if (label in claimed) is is_claimed)
        for is_claimed in (True, False)
    )
    return 10 * math.log10(unclaimed_power / claimed_power) if claimed_power and unclaimed_power else None


def decide(evidence: Evidence, policy: Policy) -> Decision:
    """Decide which classes a stem contains, what its labels become, and what to do with it.

    A class is found if its score is above its limit, or if bleed of it was measured. Bleed alone is no content: if
    measured bleed is all that was found in a stem, only the scores count. A person's decision overrules labels and
    verdict, but not what was found. Held-out stems always keep their labels.
    """
    measured = _measured(evidence, policy)
    if evidence.decision is None or evidence.held_out:
        return measured
    labels, verdict = _by_listener(evidence.decision, evidence.claimed)
    return replace(measured, labels=labels, verdict=verdict)


def with_decision(stem: Stem, decision: HumanDecision) -> Stem:
    """Return a stem with a person's decision and the labels and verdict that follow from it.

    The stem need not be judged. The labels of a held-out stem do not change.
    """
    if stem.held_out:
        return stem.model_copy(update={"decision": decision})
    labels, verdict = _by_listener(decision, stem.claimed)
    return stem.model_copy(update={"decision": decision, "labels": labels, "verdict": verdict})


def _by_listener(decision: HumanDecision, claimed: Sequence[str]) -> tuple[list[str], Verdict]:
    """Return the labels and the verdict that follow from a person's decision."""
    labels = list(decision.labels)
    if not labels:
        reason = VerdictReason.DROPPED_BY_LISTENER
    elif set(labels) == set(claimed):
        reason = VerdictReason.ACCEPTED_BY_LISTENER
    elif len(set(labels)) == 1:
        reason = VerdictReason.RELABELLED_BY_LISTENER
    else:
        reason = VerdictReason.MIXED_BY_LISTENER
    return labels, _verdict(reason, 1.0 if reason is VerdictReason.ACCEPTED_BY_LISTENER else 0.0)


def _measured(evidence: Evidence, policy: Policy) -> Decision:
    """Decide from measurements alone."""
    if not evidence.scores:
        reason = VerdictReason.HELD_OUT if evidence.held_out else VerdictReason.SILENT
        return Decision([], list(evidence.labels) if evidence.held_out else [], {}, {}, _verdict(reason, 0.0))
    quality = label_quality(evidence.scores, evidence.claimed, policy.chance)
    found = found_labels(evidence.scores, evidence.claimed, policy.threshold, policy.claimed_threshold)
    levels_db = {label: round(evidence.levels_db[label], 1) + 0.0 for label in found if label in evidence.levels_db}
    own = _own(evidence.claimed, found, levels_db, evidence.scores)
    bleed_db = _bleed_db(evidence.crosstalk, own)
    loud_enough = {label for label, level in bleed_db.items() if level >= least_bleed_db(policy.max_bleed_db)}
    combined = [label for label in evidence.scores if label in found or label in loud_enough]
    measured_db = {label: level for label, level in bleed_db.items() if label in combined}
    if set(combined) <= measured_db.keys():
        measured_db = {}
    else:
        found, levels_db = combined, levels_with(combined, levels_db, measured_db) if measured_db else levels_db
        quality *= MISTAKEN if loud_enough else 1.0
    reason = _reason(evidence, policy, found, levels_db)
    if reason is VerdictReason.HELD_OUT:
        labels = list(evidence.labels)
    elif reason is VerdictReason.BLEED_TOLERATED:
        labels = [label for label in evidence.claimed if label in found]
    else:
        labels = found
    return Decision(found, labels, levels_db, measured_db, _verdict(reason, quality))


def _reason(evidence: Evidence, policy: Policy, found: Sequence[str], levels_db: Mapping[str, float]) -> VerdictReason:
    claimed = set(evidence.claimed)
    if evidence.held_out:
        return VerdictReason.HELD_OUT
    if not found:
        return VerdictReason.NO_CLASS
    if set(found) == claimed:
        return VerdictReason.AS_CLAIMED
    if len(found) == 1:
        return VerdictReason.OTHER_CLASS_FOUND
    if not claimed <= set(found):
        return VerdictReason.CLAIMED_CLASS_ABSENT
    level_db = louder_by(levels_db, evidence.claimed)
    if policy.max_bleed_db is not None and level_db is not None and level_db < policy.max_bleed_db:
        return VerdictReason.BLEED_TOLERATED
    return VerdictReason.UNCLAIMED_CLASS_PRESENT


def _verdict(reason: VerdictReason, quality: float) -> Verdict:
    return Verdict(action=reason.action, reason=reason.value, label_quality=quality)


def own_classes(stem: Stem) -> set[str]:
    """Return the own classes of a judged stem, not bleed: its claims, and the loudest class if no claim was found."""
    return _own(stem.claimed, stem.found or [], stem.levels_db, stem.scores)


def _own(
    claimed: Sequence[str], found: Sequence[str], levels_db: Mapping[str, float], scores: Mapping[str, float]
) -> set[str]:
    if not found or set(found) & set(claimed):
        return set(claimed)
    return {*claimed, max(found, key=lambda label: (levels_db.get(label, -math.inf), scores[label]))}


def least_bleed_db(max_bleed_db: float | None) -> float:
    """Return the minimum level of measured bleed that counts: :data:`PRESENT_DB`, or ``max_bleed_db`` if lower."""
    return PRESENT_DB if max_bleed_db is None else min(PRESENT_DB, max_bleed_db)


def bleeding_classes(stem: Stem, least_db: float = PRESENT_DB) -> dict[str, float]:
    """Return the classes whose bleed was measured in a judged stem -> level in dB relative to the stem.

    Args:
        stem: a judged stem.
        least_db: softer bleed is ignored.
    """
    bleed_db = _bleed_db(stem.crosstalk or [], own_classes(stem))
    return {label: level for label, level in bleed_db.items() if level >= least_db}


def _bleed_db(crosstalk: Sequence[Crosstalk], own: AbstractSet[str]) -> dict[str, float]:
    """Return the measured bleed by class, in dB relative to the stem, without the stem's own classes."""
    powers: dict[str, float] = {}
    for bleed in crosstalk:
        if bleed.label is not None and bleed.label not in own:
            powers[bleed.label] = powers.get(bleed.label, 0.0) + 10 ** (bleed.level_db / 10)
    return {label: min(10 * math.log10(power), 0.0) for label, power in powers.items()}
