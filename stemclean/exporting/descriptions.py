"""Describe the items of an export in the words of lists and records. Pure logic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stemclean.exporting.converting import Placed
from stemclean.exporting.selection import Item, Selection
from stemclean.manifest import Region, Stem

__all__ = ["by_split", "describe", "judgement", "regions_of"]

SPLITS = ("train", "validation", "test")


def describe(item: Item, selection: Selection) -> dict[str, Any]:
    """Return what is known of an item, ready for JSON; absent values are None.

    ``label`` is the target class, and ``labels`` are the classes of the manifest that the audio holds. The names of the
    others are those of cleanlab, see :func:`judgement`.
    """
    stem, members = item.stem, selection.targets.members[item.target]
    return {
        "id": stem.id,
        "track": stem.track,
        "split": stem.split or "train",
        "label": item.target,
        "labels": [label for label in stem.labels if label in members],
        **judgement(stem),
    }


def judgement(stem: Stem) -> dict[str, Any]:
    """Return claim and verdict of a stem: ``given_label`` and more, named as by cleanlab; None if it was not judged.

    ``is_label_issue`` says whether something else than the claim was found; a held-out stem keeps its label even then.
    """
    verdict = stem.verdict
    issue = verdict and (verdict.action != "keep" or (stem.held_out and stem.found != stem.claimed))
    return {
        "given_label": "+".join(stem.claimed),
        "label_quality": verdict and verdict.label_quality,
        "is_label_issue": issue,
        "verdict": verdict and verdict.action,
        "reason": verdict and verdict.reason,
    }


def regions_of(item: Item, labels: Sequence[str]) -> list[Region]:
    """Return the stretches of an item with the classes in each; times in seconds within the file of its stem.

    A held-out stem, and one without regions, is a single stretch with the given labels: what was found in a held-out
    stem does not change its labels.
    """
    stem = item.stem
    regions = stem.regions
    if stem.held_out or not regions:
        regions = [Region(start=0.0, end=stem.duration, labels=list(labels))]
    found = []
    for start, end in item.spans or ((0.0, stem.duration),):
        for region in regions:
            first, last = max(region.start, start), min(region.end, end)
            if first < last:
                found.append(region.model_copy(update={"start": first, "end": last}))
    return found


def by_split(placed: Iterable[Placed]) -> dict[str, list[Placed]]:
    """Return the files of each split that has any: train (also stems without a declared split), validation, test."""
    found: dict[str, list[Placed]] = {}
    for file in placed:
        found.setdefault(file.item.stem.split or "train", []).append(file)
    return {split: found[split] for split in SPLITS if split in found}
