"""Estimate the label noise of a whole dataset, with confidence intervals, from the scores of ``refine``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemclean.manifest import Stem
from stemclean.metrics import label_noise
from stemclean.metrics.label_noise import Estimate, Measured
from stemclean.metrics.track_bootstrap import LEVEL, share
from stemclean.models.calibration import chance_of_card
from stemclean.models.noise_reference import reference_of_card
from stemclean.verdicts import PRESENT_DB, bleeding_classes, own_classes

__all__ = ["KEYS", "noise"]

DECIMALS = 3
"""Decimals of rates: a tenth of a percent is finer than their uncertainty."""

KEYS: dict[str, str] = {
    "method": "`adjusted` by the reference in the card of the weights, or `prior_shift` if it has none; the latter "
    "does not include bleed that the classifier does not detect",
    "level": "confidence level of the intervals",
    "stems": "number of stems that are not silent and claim a class; `tracks`: number of their songs",
    "wrong": "share of the claims whose class is absent: `rate`, and its interval from `low` to `high`",
    "bleed": "share of the claims whose class is present together with an unclaimed one: the same keys. For stems that "
    "were compared with others of their song, this is measured, unless a class was found in them that none of the "
    "others could have contributed; for all other stems, it is estimated",
    "classes": "class -> `claims` and `tracks` (their numbers), `wrong`, `bleed`; `found`: class -> share of these "
    "stems in which this class was found, claimed or not; `nothing`: share of these stems in which no class was found",
    "measured": "stems that were compared with others of their song: number of `stems` and `tracks`, and `bleed`, the "
    "share of these stems in which bleed of another class was measured at -30 dB or above (bleed from a source that is "
    "in no stem of the song is not included); null if no stems were compared",
    "confusion": "the most common confusion: class `claimed`, class `found`, and number of `stems`; null if that is "
    "less than half a stem",
}
"""Keys of ``summary["noise"]`` of a refined manifest -> what they mean. Rates are shares in [0, 1]."""


def noise(stems: Sequence[Stem], labels: Sequence[str], cards: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Estimate how many claims of a judged dataset are wrong or have bleed.

    Silent stems are excluded; declared test and validation stems are included.

    Args:
        stems: judged stems.
        labels: the classes of the weights.
        cards: model cards of the weights. The reference on a card is used only if there is a single one.

    Returns:
        The estimates, see :data:`KEYS`; None if no stem has both scores and a claim.
    """
    judged = [stem for stem in stems if stem.scores and stem.claimed]
    if not judged:
        return None
    scores = np.array([[stem.scores[label] for label in labels] for stem in judged])
    claimed = np.array([[label in stem.claimed for label in labels] for stem in judged])
    tracks = [stem.track for stem in judged]
    reference = reference_of_card(cards[0], labels) if len(cards) == 1 else None
    chance, bleed = chance_of_card(cards[0]), _measured_bleed(judged, labels)
    if reference is None:
        estimate = label_noise.prior_shift(scores, claimed, tracks, chance=chance, measured=bleed)
    else:
        estimate = label_noise.adjusted(scores, claimed, tracks, reference, chance=chance, measured=bleed)
    return {
        "method": "prior_shift" if reference is None else "adjusted",
        "level": LEVEL,
        "stems": len(judged),
        "tracks": len(set(tracks)),
        "measured": _measured_rate(judged),
        **_rates(estimate, labels),
    }


def _measured_bleed(judged: Sequence[Stem], labels: Sequence[str]) -> Measured:
    """Return which stems have a reliable measurement of bleed, and the classes measured in them.

    A measurement is not reliable if a class was found in the stem that no other stem of its song could have caused, if
    the class of a measured bleed is unknown, or if the stem claims several classes. A stem that contains none of its
    claims counts as having no bleed.
    """
    carried: dict[str, dict[str, set[str]]] = {}  # track -> stem -> classes that may bleed into others
    for stem in judged:
        if stem.crosstalk is not None:
            carried.setdefault(stem.track, {})[stem.id] = own_classes(stem)
    known, beside = [], []
    for stem in judged:
        others = (classes for name, classes in carried.get(stem.track, {}).items() if name != stem.id)
        outside = set(stem.found or []) - set(stem.claimed) - set().union(*others)
        nameless = any(bleed.label is None and bleed.level_db >= PRESENT_DB for bleed in stem.crosstalk or [])
        known.append(stem.crosstalk is not None and len(stem.claimed) == 1 and not outside and not nameless)
        bleeding = bleeding_classes(stem) if own_classes(stem) == set(stem.claimed) else {}
        beside.append([label in bleeding and known[-1] for label in labels])
    return Measured(np.array(known), np.array(beside))


def _measured_rate(judged: Sequence[Stem]) -> dict[str, Any] | None:
    """Return the rate of measured bleed; None if no stem was compared with others of its song."""
    compared = [stem for stem in judged if stem.crosstalk is not None]
    if not compared:
        return None
    tracks = [stem.track for stem in compared]
    bleed = share(np.array([bool(bleeding_classes(stem)) for stem in compared]), tracks)
    return {"stems": len(compared), "tracks": len(set(tracks)), "bleed": _rate(bleed)}


def _rates(estimate: Estimate, labels: Sequence[str]) -> dict[str, Any]:
    """Return the estimated rates, overall and by class."""
    classes = {
        label: {
            "claims": int(estimate.claims[row]),
            "tracks": int(estimate.tracks[row]),
            "wrong": _rate(estimate.wrong[row]),
            "bleed": _rate(estimate.bleed[row]),
            "found": {other: _rate(estimate.found[row, column]) for column, other in enumerate(labels)},
            "nothing": _rate(estimate.nothing[row]),
        }
        for row, label in enumerate(labels)
        if estimate.claims[row]
    }
    return {
        "wrong": _rate(estimate.all_wrong),
        "bleed": _rate(estimate.all_bleed),
        "classes": classes,
        "confusion": _confusion(estimate, labels),
    }


def _rate(values: NDArray[np.floating]) -> dict[str, float]:
    return {name: round(float(value), DECIMALS) for name, value in zip(("rate", "low", "high"), values, strict=True)}


def _confusion(estimate: Estimate, labels: Sequence[str]) -> dict[str, Any] | None:
    """Return the most frequent confusion: the largest cell off the diagonal."""
    stems = np.nan_to_num(estimate.found[:, :, 0]) * estimate.claims[:, None]
    np.fill_diagonal(stems, 0.0)
    row, column = divmod(int(stems.argmax()), stems.shape[1])
    if stems[row, column] < 0.5:
        return None
    return {"claimed": labels[row], "found": labels[column], "stems": round(float(stems[row, column]), 1)}
