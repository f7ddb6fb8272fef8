"""From what was heard to what to do: labels, verdict and label quality of one stem. Pure logic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.special import logit

from stemclean.manifest import Stem, Verdict
from stemclean.metrics.label_beliefs import as_claimed

__all__ = [
    "PRESENT_DB",
    "Threshold",
    "bleeding_classes",
    "borderline",
    "found_in",
    "found_labels",
    "label_quality",
    "least_bleed_db",
    "limits",
    "louder_by",
    "own_classes",
    "tolerated",
    "verdict",
]


PRESENT_DB = -30.0
"""Power of a measured bleed relative to the stem, in dB, from which on its class counts as present."""

Threshold = float | Mapping[str, float]
"""A score above which a class is present: one for all classes, or class by class."""


def limits(
    labels: Iterable[str], claimed: Sequence[str], threshold: Threshold, claimed_threshold: float
) -> dict[str, float]:
    """The score above which each class is present.

    Args:
        threshold: of a class in general; the paper's is 0.9.
        claimed_threshold: of a class that the dataset claims: the claim is evidence too, as most claims are right, so
            it never asks for more than ``threshold`` does. Equal to ``threshold`` it is the paper's rule. Ours.
    """
    return {
        label: min(general, claimed_threshold) if label in claimed else general
        for label in labels
        for general in [threshold[label] if isinstance(threshold, Mapping) else threshold]
    }


def found_labels(
    scores: Mapping[str, float], claimed: Sequence[str], threshold: Threshold, claimed_threshold: float
) -> list[str]:
    """Classes that are present, in the order of the scores; thresholds as for :func:`limits`.

    Args:
        scores: class -> score in [0, 1].
    """
    above = limits(scores, claimed, threshold, claimed_threshold)
    return [label for label, score in scores.items() if score > above[label]]


def borderline(scores: np.ndarray, limits: Mapping[str, float], margin: float) -> bool:
    """Whether any score is so close to its limit that another way of listening might decide otherwise.

    Args:
        scores: ``(label,)``, in the order of the limits.
        margin: in logits, since that is the scale on which two ways of listening differ alike everywhere.
    """
    given, wanted = (np.clip(values, 1e-6, 1 - 1e-6) for values in (scores, np.array(list(limits.values()))))
    return bool(np.abs(logit(given) - logit(wanted)).min() < margin)


def label_quality(scores: Mapping[str, float], claimed: Sequence[str], chance: float = 0.5) -> float:
    """How well the claim fits the scores, in [0, 1]: the chance that the stem holds what it claims and nothing else.

    Ours, see :func:`stemclean.metrics.label_beliefs.as_claimed`; ``benchmarks/ranking.py`` compares it with others.

    Args:
        chance: of a class in what the scores were calibrated on, see
            :func:`stemclean.models.calibration.chance_of_card`.
    """
    values, held = np.array([list(scores.values())]), np.array([[label in claimed for label in scores]])
    return float(as_claimed(values, held, chance)[0])


def verdict(claimed: Sequence[str], found: Sequence[str], quality: float) -> Verdict:
    """What to do with a stem. Reasons are explained in :data:`stemclean.manifest.VERDICT_REASONS`."""
    expected, heard = set(claimed), set(found)
    if not heard:
        return Verdict(action="drop", reason="no_class", label_quality=quality)
    if heard == expected:
        return Verdict(action="keep", reason="as_claimed", label_quality=quality)
    if len(heard) == 1:
        return Verdict(action="relabel", reason="other_class_found", label_quality=quality)
    reason = "unclaimed_class_present" if expected <= heard else "claimed_class_absent"
    return Verdict(action="mixed", reason=reason, label_quality=quality)


def louder_by(levels_db: Mapping[str, float], claimed: Sequence[str]) -> float | None:
    """Power of the classes that are not claimed, together, in dB relative to that of the claimed ones.

    Args:
        levels_db: level of each class that was found, relative to the stem.

    Returns:
        None where one of the two groups has no level.

    >>> louder_by({"drums": -1.0, "bass": -24.0, "vocals": -24.0}, ["drums"])
    -19.98...
    """
    own, others = (
        sum(10 ** (level / 10) for label, level in levels_db.items() if (label in claimed) is wanted)
        for wanted in (True, False)
    )
    return 10 * math.log10(others / own) if own and others else None


def tolerated(decided: Verdict, levels_db: Mapping[str, float], claimed: Sequence[str], max_bleed_db: float) -> Verdict:
    """The verdict, but ``keep`` for a stem that holds what it claims, and of other classes nothing louder than a limit.

    Args:
        max_bleed_db: what the unclaimed classes together must stay below, in dB relative to the claimed ones.
    """
    bleed_db = louder_by(levels_db, claimed)
    if decided.reason != "unclaimed_class_present" or bleed_db is None or bleed_db >= max_bleed_db:
        return decided
    return decided.model_copy(update={"action": "keep", "reason": "bleed_tolerated"})


def found_in(stem: Stem) -> list[str]:
    """The classes that were found in a judged stem, in the order of the scores; those that were tolerated, too."""
    return [label for label in stem.scores if label in stem.labels or label in stem.levels_db]


def own_classes(stem: Stem) -> set[str]:
    """The classes that are the stem's own, and no bleed: its claims, and if none of these was found, the loudest."""
    heard = found_in(stem)
    if not heard or set(heard) & set(stem.claimed):
        return set(stem.claimed)
    return {*stem.claimed, max(heard, key=lambda label: (stem.levels_db.get(label, -math.inf), stem.scores[label]))}


def least_bleed_db(max_bleed_db: float | None) -> float:
    """Level from which on a measured bleed counts: :data:`PRESENT_DB`, or what the user tolerates if that is less."""
    return PRESENT_DB if max_bleed_db is None else min(PRESENT_DB, max_bleed_db)


def bleeding_classes(stem: Stem, least_db: float = PRESENT_DB) -> dict[str, float]:
    """Classes whose sound was measured in a stem, not its own -> level in dB relative to the stem.

    Args:
        least_db: what is softer does not count.
    """
    own = own_classes(stem)
    shares: dict[str, float] = {}
    for one in stem.crosstalk or []:
        if one.label is not None and one.label not in own:
            shares[one.label] = shares.get(one.label, 0.0) + 10 ** (one.level_db / 10)
    levels_db = {label: min(10 * math.log10(share), 0.0) for label, share in shares.items()}
    return {label: level for label, level in levels_db.items() if level >= least_db}
