"""Which tracks train and which validate: whole tracks, since two stems of a song share its room and its player.

A sound that stands in both, since two songs hold it, validates: its copies do not train, see :func:`leaked`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from stemclean import duplicates
from stemclean.errors import ConfigError
from stemclean.manifest import Stem

__all__ = ["fold_tracks", "leaked", "split_tracks"]


def leaked(stems: Sequence[Stem], held: Collection[str]) -> set[str]:
    """Ids of stems that must not train: copies of what a model is validated, tested or to be used on.

    Args:
        held: the tracks that validate; declared test and validation stems are held out in any case.
    """
    kept = [stem for stem in stems if stem.track in held or stem.held_out]
    return duplicates.copies_of(kept, stems)


def split_tracks(stems: Sequence[Stem], *, share: float, seed: int) -> tuple[set[str], set[str]]:
    """Tracks to train and to validate on.

    Declared splits are obeyed: test stems are in neither set, and where any stem is declared ``validation``, these
    tracks are the validation set. Otherwise tracks are drawn so that each class has about ``share`` of its stems in
    validation, the rarest class first; a class with one track alone stays in training.

    Args:
        share: of each class, in (0, 1).
        seed: of the draw.

    Returns:
        (training tracks, validation tracks), disjoint.
    """
    usable = [stem for stem in stems if stem.split != "test"]
    tracks = {stem.track for stem in usable}
    declared = {stem.track for stem in usable if stem.split == "validation"}
    if declared:
        return tracks - declared, declared
    classes_of: dict[str, Counter[str]] = {track: Counter() for track in tracks}
    for stem in usable:
        classes_of[stem.track].update(stem.labels)
    total = Counter(label for classes in classes_of.values() for label in classes.elements())
    order = sorted(tracks)
    np.random.default_rng(seed).shuffle(order)
    chosen: set[str] = set()
    held: Counter[str] = Counter()
    for label, count in sorted(total.items(), key=lambda item: (item[1], item[0])):
        for track in order:
            if held[label] >= share * count:
                break
            left = [t for t in order if t not in chosen and classes_of[t][label]]
            if track not in chosen and classes_of[track][label] and len(left) > 1:
                chosen.add(track)
                held.update(classes_of[track])
    return tracks - chosen, chosen


def fold_tracks(stems: Sequence[Stem], *, folds: int, seed: int) -> dict[str, int]:
    """Tracks dealt into folds, so that each fold has about as many stems of each class as any other.

    Tracks are dealt one after the other, those with the rarest classes first, each to the fold where its classes are
    scarcest so far.

    Args:
        stems: declared validation and test stems are left out, and with them tracks that hold no others.
        folds: how many, two at least.
        seed: of the order of equals; the order of the stems changes nothing.

    Returns:
        Track -> fold, from 0; no fold is empty.

    Raises:
        ConfigError: fewer tracks than folds.
    """
    classes_of: dict[str, Counter[str]] = {}
    for stem in stems:
        if not stem.held_out:
            classes_of.setdefault(stem.track, Counter()).update(stem.labels)
    if len(classes_of) < folds:
        raise ConfigError(f"{len(classes_of)} track(s) cannot be dealt into {folds} folds", "give fewer --folds")
    total = Counter(label for classes in classes_of.values() for label in classes.elements())
    order = sorted(classes_of)
    np.random.default_rng(seed).shuffle(order)
    order.sort(key=lambda track: min((total[label] for label in classes_of[track]), default=len(stems)))
    held: list[Counter[str]] = [Counter() for _ in range(folds)]
    tracks = [0] * folds
    fold_of = {}
    for track in order:
        # fsum: the same for all orders of the classes, or else rounding would tell equals apart
        crowding = [math.fsum(had[label] / total[label] for label in classes_of[track]) for had in held]
        fold = min(range(folds), key=lambda index: (crowding[index], tracks[index], index))
        fold_of[track] = fold
        held[fold].update(classes_of[track])
        tracks[fold] += 1
    return fold_of
