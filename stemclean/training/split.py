"""Split tracks into training and validation: whole tracks, because the stems of a song share its room and players.

If a training track holds a copy of a validation stem, the copy is not used for training; see :func:`leaked`.
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


def leaked(stems: Sequence[Stem], held_out: Collection[str]) -> set[str]:
    """Return the ids of stems that must not be used for training because they duplicate held-out stems.

    Args:
        stems: All stems.
        held_out: The validation tracks; declared test and validation stems are held out in any case.
    """
    held_out_stems = [stem for stem in stems if stem.track in held_out or stem.held_out]
    return duplicates.copies_of(held_out_stems, stems)


def split_tracks(stems: Sequence[Stem], *, share: float, seed: int) -> tuple[set[str], set[str]]:
    """Split tracks into training and validation.

    Declared splits are respected: test stems are in neither set, and if any stem is declared ``validation``, the tracks
    of these stems are the validation set. Otherwise tracks are drawn so that about ``share`` of the stems of each class
    are in validation, the rarest class first. A class with a single track stays in training.

    Args:
        stems: The stems.
        share: Share of the stems of each class, in (0, 1).
        seed: Random seed.

    Returns:
        Training tracks and validation tracks, which are disjoint.
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
    chosen_stems: Counter[str] = Counter()
    for label, count in sorted(total.items(), key=lambda item: (item[1], item[0])):
        for track in order:
            if chosen_stems[label] >= share * count:
                break
            remaining = [t for t in order if t not in chosen and classes_of[t][label]]
            if track not in chosen and classes_of[track][label] and len(remaining) > 1:
                chosen.add(track)
                chosen_stems.update(classes_of[track])
    return tracks - chosen, chosen


def fold_tracks(stems: Sequence[Stem], *, folds: int, seed: int) -> dict[str, int]:
    """Assign tracks to folds for cross-validation, so that all folds have about as many stems of each class.

    Tracks are assigned one after the other, those with the rarest classes first, each to the fold in which its classes
    are rarest so far.

    Args:
        stems: The stems. Declared validation and test stems are left out, and with them tracks that hold no others.
        folds: Number of folds, at least 2.
        seed: Random seed that breaks ties. The order of the stems has no effect.

    Returns:
        Fold of each track, from 0; no fold is empty.

    Raises:
        ConfigError: There are fewer tracks than folds.
    """
    classes_of: dict[str, Counter[str]] = {}
    for stem in stems:
        if not stem.held_out:
            classes_of.setdefault(stem.track, Counter()).update(stem.labels)
    if len(classes_of) < folds:
        raise ConfigError(f"the dataset has {len(classes_of)} tracks, too few for {folds} folds", "give fewer --folds")
    total = Counter(label for classes in classes_of.values() for label in classes.elements())
    order = sorted(classes_of)
    np.random.default_rng(seed).shuffle(order)
    order.sort(key=lambda track: min((total[label] for label in classes_of[track]), default=len(stems)))
    stems_in: list[Counter[str]] = [Counter() for _ in range(folds)]
    tracks = [0] * folds
    fold_of = {}
    for track in order:
        # fsum does not depend on the order of the classes, so that rounding does not break ties
        crowding = [math.fsum(counts[label] / total[label] for label in classes_of[track]) for counts in stems_in]
        fold = min(range(folds), key=lambda index: (crowding[index], tracks[index], index))
        fold_of[track] = fold
        stems_in[fold].update(classes_of[track])
        tracks[fold] += 1
    return fold_of
