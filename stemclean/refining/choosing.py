"""Which stems train a round of self-refining, and as what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stemclean.manifest import Stem
from stemclean.refining.config import SelfConfig

__all__ = ["Choice", "Labelling", "choose"]

Labelling = Mapping[str, Sequence[str]]
"""Stem id -> the classes that it is taken to hold."""


@dataclass(frozen=True)
class Choice:
    """The stems that train the next round.

    Args:
        labelling: of each stem, declared validation stems among them.
        found: class -> how many stems to train on hold it by what was found.
        filled_up: class -> how many stems were added because too few were left.
        claimed: class -> how many stems to train on claim it and nothing else.
    """

    labelling: Labelling
    found: dict[str, int]
    filled_up: dict[str, int]
    claimed: dict[str, int]


def choose(stems: Sequence[Stem], labels: Sequence[str], method: SelfConfig) -> Choice:
    """The stems to train the next round on: those with exactly one class, or ``all`` in which any was found.

    A class that keeps fewer than ``min_single_share`` of its claims is filled up to it with stems that claim it and
    nothing else, those of the best label quality first: a young classifier is timid about some classes and passes the
    threshold in none of their stems, long after it has learned to *rank* them (ours; the paper leaves it open). They
    train as what they claim. Silent stems are never taken.

    Declared validation stems stay, with the labels that were declared, to validate on; test stems never train.
    """
    open_to_change = [stem for stem in stems if not stem.held_out]
    most = 1 if method.retrain_on == "single" else len(labels)
    chosen = {stem.id: list(stem.labels) for stem in open_to_change if 1 <= len(stem.labels) <= most}
    claims = {label: [stem for stem in open_to_change if stem.claimed == [label] and _sounds(stem)] for label in labels}
    filled = dict.fromkeys(labels, 0)
    while short := [label for label in labels if _missing(label, chosen, claims[label], method) > 0]:
        for label in short:  # what one class takes back, another may miss: until all have enough
            spare = [stem for stem in claims[label] if label not in chosen.get(stem.id, ())]
            taken = sorted(spare, key=_best_first)[: _missing(label, chosen, claims[label], method)]
            chosen.update({stem.id: [label] for stem in taken})
            filled[label] += len(taken)
    found = {label: sum(label in held for held in chosen.values()) - filled[label] for label in labels}
    validating = {stem.id: list(stem.labels) for stem in stems if stem.split == "validation" and stem.labels}
    return Choice(chosen | validating, found, filled, {label: len(stems) for label, stems in claims.items()})


def _missing(label: str, chosen: Labelling, claims: Sequence[Stem], method: SelfConfig) -> int:
    """How many stems a class still lacks; negative: it has more than it must."""
    wanted = math.ceil(method.min_single_share * len(claims) - 1e-9)
    return wanted - sum(label in held for held in chosen.values())


def _sounds(stem: Stem) -> bool:
    return stem.verdict is not None and stem.verdict.reason != "silent"


def _best_first(stem: Stem) -> tuple[float, str]:
    quality = stem.verdict.label_quality if stem.verdict else None
    return -(quality or 0.0), stem.id
