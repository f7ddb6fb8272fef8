"""Choose which stem gets which fault: exact numbers, reproducible for the same seed and stems in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stemclean.data.corrupt import Level
from stemclean.errors import ConfigError
from stemclean.manifest import Stem

__all__ = ["DONOR_SHARE", "KINDS", "Fault", "plan"]

KINDS = ("mislabel", "bleed", "silence", "foreign")
"""Faults that can be requested, by the name of the option."""

DONOR_SHARE = 0.25
"""Smallest share of the stem's time in which the donor of a bleed must sound, so that the bleed is audible."""


@dataclass
class Fault:
    """The faults of one stem; without kinds it stays unchanged.

    Args:
        claimed: Class in the new file name.
        kinds: ``swapped``, ``bleed``, ``silence``, ``foreign``.
        donor: The stem that bleeds into it.
        level_db: Level of the bleed relative to the stem.
        share: Share of the stem's time in which the donor bleeds, in [0, 1]; None: throughout.
    """

    claimed: str
    kinds: list[str] = field(default_factory=list)
    donor: Stem | None = None
    level_db: float = 0.0
    share: float | None = None


def plan(
    stems: Sequence[Stem],
    levels: Mapping[str, Level],
    labels: Sequence[str],
    nums: Mapping[str, int],
    bleed_db: tuple[float, float],
    coincide: bool,
    random: np.random.Generator,
    bleed_share: tuple[float, float] | None = None,
) -> dict[str, Fault]:
    """Plan the faults of all stems.

    Faults are planted in stems that are not silent and whose labels equal their claims. Bleed is assigned first,
    because it needs a donor, while any stem can be swapped.

    Args:
        stems: Stems with one claimed class each.
        levels: Level of each stem, by id.
        labels: Classes that can be claimed.
        nums: Number of stems for each of :data:`KINDS`.
        bleed_db: Lowest and highest level of bleed.
        coincide: Whether a swapped stem may have another fault. Other faults are never combined, because silence and
            foreign sound replace the stem.
        random: Random generator.
        bleed_share: Smallest and largest share of the time in which bleed is audible (None: throughout).

    Returns:
        Faults of each stem, by id.

    Raises:
        ConfigError: There are too few suitable stems for a fault.
    """
    faults = {stem.id: Fault(stem.claimed[0]) for stem in stems}
    sounding = [stem for stem in stems if levels[stem.id].rms > 0.0 and stem.labels == stem.claimed]

    songs: dict[str, list[Stem]] = {}
    for stem in sounding:
        songs.setdefault(stem.track, []).append(stem)
    donors = {stem.id: _donors(stem, songs[stem.track], levels) for stem in sounding}
    for stem in _pick([stem for stem in sounding if donors[stem.id]], nums["bleed"], "bleed", random):
        faults[stem.id].kinds.append("bleed")
        faults[stem.id].donor = donors[stem.id][random.integers(len(donors[stem.id]))]
        faults[stem.id].level_db = round(random.uniform(*bleed_db), 3)
        if bleed_share is not None:
            faults[stem.id].share = round(random.uniform(*bleed_share), 3)
    for kind in ("silence", "foreign"):
        for stem in _pick([stem for stem in sounding if not faults[stem.id].kinds], nums[kind], kind, random):
            faults[stem.id].kinds.append(kind)
    pool = [stem for stem in sounding if coincide or not faults[stem.id].kinds]
    pool = [pool[index] for index in random.permutation(len(pool))]
    for stem_id, claimed in _swaps(pool, nums["mislabel"], labels, random).items():
        faults[stem_id].claimed = claimed
        faults[stem_id].kinds.insert(0, "swapped")
    return faults


def _donors(stem: Stem, song: Sequence[Stem], levels: Mapping[str, Level]) -> list[Stem]:
    return [
        donor
        for donor in song
        if not set(donor.labels) & set(stem.labels) and levels[donor.id].share_within(stem.duration) >= DONOR_SHARE
    ]


def _pick(pool: Sequence[Stem], count: int, kind: str, random: np.random.Generator) -> list[Stem]:
    """Draw stems of the pool without replacement."""
    _check_enough(len(pool), count, kind)
    return [pool[index] for index in random.permutation(len(pool))[:count]]


def _check_enough(num_available: int, count: int, kind: str) -> None:
    if count > num_available:
        bleed = "bleed needs another stem of a different class that sounds in the song\n" if kind == "bleed" else ""
        raise ConfigError(
            f"{kind}: {count} stems requested, but only {num_available} are suitable",
            f"{bleed}lower the share: --{kind}",
        )


def _swaps(pool: Sequence[Stem], count: int, labels: Sequence[str], random: np.random.Generator) -> dict[str, str]:
    """Return new claims, by id, for exactly ``count`` stems of the pool; every claim changes.

    The stems of a ring exchange their claims: each claims the class of the next, the last that of the first. First come
    rings of two within songs, one per song and round; then, if the number is odd, one ring of three; then rings of two
    across songs. A last single stem gets a random other class.
    """
    _check_enough(len(pool) if len(labels) > 1 else 0, count, "mislabel")
    rings: list[list[Stem]] = []
    songs: dict[str, list[Stem]] = {}
    for stem in pool:
        songs.setdefault(stem.track, []).append(stem)
    open_songs = list(songs)
    while open_songs and count >= 2:
        for song in list(open_songs):
            pair = _take_differing(songs[song]) if count >= 2 else []
            if pair:
                rings.append(pair)
                count -= 2
            else:
                open_songs.remove(song)
    for ring in rings if count == 1 else []:
        claims = [stem.claimed for stem in ring]
        third = next((stem for stem in songs[ring[0].track] if stem.claimed not in claims), None)
        if third:
            ring.append(third)
            songs[third.track].remove(third)
            count -= 1
            break
    remaining = [stem for song in songs.values() for stem in song]
    while count >= 2 and (pair := _take_differing(remaining)):
        rings.append(pair)
        count -= 2

    swaps: dict[str, str] = {}
    for ring in rings:
        swaps |= {stem.id: after.claimed[0] for stem, after in zip(ring, [*ring[1:], ring[0]], strict=True)}
    for stem in remaining[:count]:
        other_labels = [label for label in labels if label != stem.claimed[0]]
        swaps[stem.id] = other_labels[random.integers(len(other_labels))]
    return swaps


def _take_differing(stems: list[Stem]) -> list[Stem]:
    """Remove the first two stems with different claims from the list and return them; none if all claims are equal."""
    second = next((index for index, stem in enumerate(stems) if stem.claimed != stems[0].claimed), None)
    return [] if second is None else [stems.pop(second), stems.pop(0)]
