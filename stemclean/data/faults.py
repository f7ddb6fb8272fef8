"""Which stem gets which fault: exact numbers, drawn from a seed, the same for the same stems in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stemclean.data.corrupt import Level
from stemclean.errors import ConfigError
from stemclean.manifest import Stem

__all__ = ["DONOR_SHARE", "KINDS", "Fault", "plan"]

KINDS = ("mislabel", "bleed", "silence", "foreign")
"""What can be asked for, by the name of the option."""

DONOR_SHARE = 0.25
"""A bleed's donor must sound during this share of the stem at least, or the bleed would be a claim on paper."""


@dataclass
class Fault:
    """What becomes of one stem; without kinds it stays as it is.

    Args:
        claimed: the class that the file name will say.
        kinds: ``swapped``, ``bleed``, ``silence``, ``foreign``.
        donor, level_db: of a bleed; the level is relative to the stem's.
        share: of the stem's time in which it bleeds, in [0, 1]; None: throughout.
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
    """The fault of every stem, by id.

    Faults go to stems that sound and whose labels are exactly what they claim. Bleeds are dealt first: they
    need a donor, while any stem can be swapped.

    Args:
        stems: with one claimed class each.
        levels: of each stem, by id.
        labels: the classes that can be claimed.
        nums: how many stems get each of :data:`KINDS`.
        bleed_db: lowest and highest level of a bleed.
        coincide: a swapped stem may have another fault too; the others never meet, for two of them replace the sound.
        random: where the draws come from.
        bleed_share: least and greatest share of the time in which a bleed is heard; None: throughout.

    Raises:
        ConfigError: fewer stems can take a fault than are wanted.
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
        other
        for other in song
        if not set(other.labels) & set(stem.labels) and levels[other.id].share_within(stem.duration) >= DONOR_SHARE
    ]


def _pick(pool: Sequence[Stem], wanted: int, kind: str, random: np.random.Generator) -> list[Stem]:
    """So many stems of the pool, in random order."""
    _check_enough(len(pool), wanted, kind)
    return [pool[index] for index in random.permutation(len(pool))[:wanted]]


def _check_enough(num_available: int, wanted: int, kind: str) -> None:
    if wanted > num_available:
        bleed = "a bleed needs a second sounding stem of another class in the song\n" if kind == "bleed" else ""
        raise ConfigError(
            f"{kind}: {wanted} stems are wanted, {num_available} can take it", f"{bleed}lower the share: --{kind}"
        )


def _swaps(pool: Sequence[Stem], wanted: int, labels: Sequence[str], random: np.random.Generator) -> dict[str, str]:
    """New claims by id: exactly ``wanted`` of the pool, every claim another than before.

    A ring of stems hands its claims round: each claims the class of the next, the last that of the first. Rings of two
    within songs first, one a song a round; one of three where the number is odd; then rings of two
    across songs; a last single stem takes any other class.
    """
    _check_enough(len(pool) if len(labels) > 1 else 0, wanted, "mislabel")
    rings: list[list[Stem]] = []
    songs: dict[str, list[Stem]] = {}
    for stem in pool:
        songs.setdefault(stem.track, []).append(stem)
    open_songs = list(songs)
    while open_songs and wanted >= 2:
        for song in list(open_songs):
            pair = _take_differing(songs[song]) if wanted >= 2 else []
            if pair:
                rings.append(pair)
                wanted -= 2
            else:
                open_songs.remove(song)
    for ring in rings if wanted == 1 else []:
        claims = [stem.claimed for stem in ring]
        third = next((stem for stem in songs[ring[0].track] if stem.claimed not in claims), None)
        if third:
            ring.append(third)
            songs[third.track].remove(third)
            wanted -= 1
            break
    left = [stem for song in songs.values() for stem in song]
    while wanted >= 2 and (pair := _take_differing(left)):
        rings.append(pair)
        wanted -= 2

    swaps: dict[str, str] = {}
    for ring in rings:
        swaps |= {stem.id: after.claimed[0] for stem, after in zip(ring, [*ring[1:], ring[0]], strict=True)}
    for stem in left[:wanted]:
        others = [label for label in labels if label != stem.claimed[0]]
        swaps[stem.id] = others[random.integers(len(others))]
    return swaps


def _take_differing(stems: list[Stem]) -> list[Stem]:
    """Take the first two stems that claim different classes out of the list; none where all claim the same."""
    second = next((index for index, stem in enumerate(stems) if stem.claimed != stems[0].claimed), None)
    return [] if second is None else [stems.pop(second), stems.pop(0)]
