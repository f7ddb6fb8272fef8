"""Choose the stems that train a round of self-refining, and their labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stemclean.manifest import Stem
from stemclean.refining.config import SelfConfig

__all__ = ["Choice", "Labelling", "choose"]

Labelling = Mapping[str, Sequence[str]]
"""Stem id -> the classes that it is assumed to contain."""


@dataclass(frozen=True)
class Choice:
    """The stems that train the next round.

    Args:
        labelling: the classes of each stem, including declared validation stems.
        found: class -> number of training stems in which it was found.
        filled_up: class -> number of stems added because too few were left.
        claimed: class -> number of stems that claim it and nothing else.
    """

    labelling: Labelling
    found: dict[str, int]
    filled_up: dict[str, int]
    claimed: dict[str, int]


def choose(stems: Sequence[Stem], labels: Sequence[str], method: SelfConfig) -> Choice:
    """Choose the stems for the next round: those with exactly one class, or ``all`` in which any class was found.

    If a class keeps fewer than ``min_single_share`` of its claims, it gets, up to that share, further stems that claim
    only this class, best label quality first, and they train under their claim. The reason: an early classifier may
    stay below the threshold in every stem of a class long after it has learned to *rank* them. This step is ours; the
    paper leaves it open. Silent stems are never added.

    Declared validation stems keep their declared labels and are used for validation; test stems never train.
    """
    candidates = [stem for stem in stems if not stem.held_out]
    most = 1 if method.retrain_on == "single" else len(labels)
    chosen = {stem.id: list(stem.labels) for stem in candidates if 1 <= len(stem.labels) <= most}
    claims = {label: [stem for stem in candidates if stem.claimed == [label] and _sounds(stem)] for label in labels}
    filled = dict.fromkeys(labels, 0)
    while short := [label for label in labels if _missing(label, chosen, claims[label], method) > 0]:
        for label in short:  # a stem added to one class may be taken from another: repeat until all have enough
            spare = [stem for stem in claims[label] if label not in chosen.get(stem.id, ())]
            taken = sorted(spare, key=_best_first)[: _missing(label, chosen, claims[label], method)]
            chosen.update({stem.id: [label] for stem in taken})
            filled[label] += len(taken)
    found = {label: sum(label in held for held in chosen.values()) - filled[label] for label in labels}
    validating = {stem.id: list(stem.labels) for stem in stems if stem.split == "validation" and stem.labels}
    return Choice(chosen | validating, found, filled, {label: len(stems) for label, stems in claims.items()})


def _missing(label: str, chosen: Labelling, claims: Sequence[Stem], method: SelfConfig) -> int:
    """Return how many stems a class still needs; negative if it has more than enough."""
    wanted = math.ceil(method.min_single_share * len(claims) - 1e-9)
    return wanted - sum(label in held for held in chosen.values())


def _sounds(stem: Stem) -> bool:
    return stem.verdict is not None and stem.verdict.reason != "silent"


def _best_first(stem: Stem) -> tuple[float, str]:
    quality = stem.verdict.label_quality if stem.verdict else None
    return -(quality or 0.0), stem.id
