"""Bleed from stem to stem of a song, measured where the song's stems lie side by side. Ours.

A classifier guesses what a bleed is and how loud; where its source is a stem of the same song, both can be measured,
see :mod:`stemclean.audio.crosstalk`. What is measured overrules what was guessed: the class of the source is in the
stem, at that level. What is not measured proves nothing, as bleed may come from elsewhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from stemclean import verdicts
from stemclean.audio import crosstalk, files
from stemclean.audio.waveform import Waveform
from stemclean.data.journal import Journal
from stemclean.errors import AudioError
from stemclean.manifest import Crosstalk, Stem
from stemclean.refining.config import RefineConfig

__all__ = ["PRESENT_DB", "bleeding_classes", "measured", "with_crosstalk"]

PRESENT_DB = -30.0
"""Power of a bleed relative to the stem, in dB, from which on its class counts as present; a lower ``max_bleed_db``
goes before."""
MISTAKEN = 0.01
"""Chance that a measured bleed is none, by which the label quality of a stem that holds one falls."""
MOST = 32
"""Stems of a song that are compared with one another; of one with more, none are, as memory grows with the square."""
SAMPLE_RATE = 44100
"""In Hz, at which stems are compared."""
CHANNELS = 2


def measured(stems: Sequence[Stem], folder: Path, done: Journal, threads: Executor, *, quiet: bool) -> list[Stem]:
    """Stems with what is heard in them of the other stems of their song.

    Stems that were cut from longer recordings lie on no common time line and are left as they are; so are songs with
    one stem or more than :data:`MOST`, and what was measured already.

    Args:
        stems: judged.
        folder: what their paths are relative to.
        done: what an earlier run has measured.
    """
    songs: dict[str, list[Stem]] = {}
    for stem in stems:
        if stem.source is None and stem.scores:
            songs.setdefault(stem.track, []).append(stem)
    comparable = [song for song in songs.values() if 1 < len(song) <= MOST]
    open_songs = [song for song in comparable if any(stem.crosstalk is None for stem in song)]
    looked = threads.map(partial(_of_song, folder=folder, done=done), open_songs)
    bar = tqdm(looked, "crosstalk", len(open_songs), unit="song", disable=True if quiet else None)
    found = {stem.id: stem for song in bar for stem in song}
    return [found.get(stem.id, stem) for stem in stems]


def _of_song(song: Sequence[Stem], folder: Path, done: Journal) -> list[Stem]:
    """The stems of a song, measured; as they are where one cannot be read."""
    among = json.dumps([[stem.id, stem.sha256] for stem in song])
    known = [done.get(stem, among) for stem in song]
    if all(known):
        return [stem for stem in known if stem]
    try:
        told = crosstalk.measure([partial(_blocks, folder / stem.path, stem.stream) for stem in song], SAMPLE_RATE)
    except AudioError:  # it was readable when it was judged
        return list(song)
    carried = [_class_of(stem) for stem in song]
    heard: list[list[Crosstalk]] = [[] for _ in song]
    for one in told:
        of = Crosstalk(
            stem=song[one.source].id,
            label=carried[one.source],
            level_db=round(one.level_db, 1) + 0.0,
            delay=round(one.delay, 6) + 0.0,
        )
        heard[one.into].append(of)
    results = [stem.model_copy(update={"crosstalk": here}) for stem, here in zip(song, heard, strict=True)]
    for stem, result in zip(song, results, strict=True):
        done.put(stem, result, among)
    return results


def _blocks(path: Path, stream: int) -> Iterator[Waveform]:
    return files.blocks(path, sample_rate=SAMPLE_RATE, channels=CHANNELS, block_duration=crosstalk.BLOCK, stream=stream)


def _class_of(stem: Stem) -> str | None:
    """The class that a stem carries into others: its claim, unless only another class was found in it.

    None: several were found, and not the claim, or several claims.
    """
    found = _found(stem) or stem.claimed
    borne_out = [label for label in stem.claimed if label in found]
    if len(borne_out) == 1:
        return borne_out[0]
    return found[0] if len(found) == 1 else None


def _found(stem: Stem) -> list[str]:
    """The classes that were found, in the order of the scores; those that were tolerated, too."""
    return [label for label in stem.scores if label in stem.labels or label in stem.levels_db]


def bleeding_classes(stem: Stem, least_db: float = PRESENT_DB) -> dict[str, float]:
    """Classes whose sound was measured in a stem, not its own -> level in dB relative to the stem.

    Args:
        least_db: what is softer does not count.
    """
    shares: dict[str, float] = {}
    for one in stem.crosstalk or []:
        if one.label is not None and one.label not in stem.claimed:
            shares[one.label] = shares.get(one.label, 0.0) + 10 ** (one.level_db / 10)
    levels_db = {label: min(10 * math.log10(share), 0.0) for label, share in shares.items()}
    return {label: level for label, level in levels_db.items() if level >= least_db}


def with_crosstalk(stem: Stem, config: RefineConfig) -> Stem:
    """A judged stem with labels, levels and verdict by what was measured in it; held-out stems keep their labels."""
    limit = config.max_bleed_db
    bleeding = bleeding_classes(stem, PRESENT_DB if limit is None else min(PRESENT_DB, limit))
    if not bleeding or stem.verdict is None or stem.verdict.label_quality is None:
        return stem
    quality = stem.verdict.label_quality * MISTAKEN
    heard = _found(stem)
    found = [label for label in stem.scores if label in heard or label in bleeding]
    levels_db = _levels(found, stem.levels_db, bleeding)
    if stem.verdict.reason == "held_out":
        verdict = stem.verdict.model_copy(update={"label_quality": quality})
        return stem.model_copy(update={"levels_db": levels_db, "verdict": verdict})
    decided, labels = verdicts.verdict(stem.claimed, found, quality), found
    if limit is not None:
        decided = verdicts.tolerated(decided, levels_db, stem.claimed, limit)
        labels = [label for label in stem.claimed if label in found] if decided.reason == "bleed_tolerated" else found
    return stem.model_copy(update={"labels": labels, "levels_db": levels_db, "verdict": decided})


def _levels(found: Sequence[str], told: Mapping[str, float], bleeding: Mapping[str, float]) -> dict[str, float]:
    """Level of each class: as measured, and the others share what remains, as far apart as they were told to be.

    Where nothing was told, and several classes share what remains, they have no level.
    """
    remains = max(1.0 - sum(10 ** (level / 10) for level in bleeding.values()), 1e-6)
    others = [label for label in found if label not in bleeding]
    powers = {label: 10 ** (told[label] / 10) for label in others if label in told}
    if len(others) == 1:
        powers = dict.fromkeys(others, 1.0)
    whole = sum(powers.values())
    levels_db = {label: 10 * math.log10(power / whole * remains) for label, power in powers.items()} | dict(bleeding)
    return {label: round(levels_db[label], 1) + 0.0 for label in found if label in levels_db}
