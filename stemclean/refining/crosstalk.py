"""Bleed from stem to stem of a song, measured where the song's stems lie side by side. Ours.

A classifier guesses what a bleed is and how loud; where its source is a stem of the same song, both can be measured,
see :mod:`stemclean.audio.crosstalk`. What is measured overrules what was guessed: the class of the source is in the
stem, at that level. What is not measured proves nothing, as bleed may come from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stemclean import duplicates
from stemclean.audio import crosstalk, stereo
from stemclean.audio.stereo import ChannelFaults
from stemclean.audio.unchanged import Unchanged
from stemclean.audio.waveform import Waveform
from stemclean.checks import channels
from stemclean.data.journal import Journal
from stemclean.errors import AudioError
from stemclean.manifest import Crosstalk, Skip, Span, Stem
from stemclean.regions import with_measured
from stemclean.units import round_seconds, seconds_to_samples
from stemclean.verdicts import Evidence, Policy, decide

__all__ = ["CHANNELS", "SAMPLE_RATE", "in_time", "measured", "with_crosstalk"]

MOST = 24
"""Stems of a song that are compared with one another; of one with more, none are, as time grows with the square."""
SAMPLE_RATE = 44100
"""In Hz, at which stems are compared."""
CHANNELS = 2


def measured(
    stems: Sequence[Stem], folder: Path, done: Journal, threads: Executor, files: Unchanged, *, quiet: bool
) -> tuple[list[Stem], list[Skip]]:
    """Stems with what is heard in them of the other stems of their song; and those that cannot be read any more.

    Of stems with the same audio one is compared, and what is heard in it is heard in all. Trimmed stems are laid out as
    they lay in what they were cut from. Songs with one stem, or more than :data:`MOST`, are left as they are, and so is
    what was measured already.

    Args:
        stems: judged; those in which nothing was heard are left as they are.
        folder: what their paths are relative to.
        done: what an earlier run has measured.
        files: as they were when they were judged.
    """
    songs: dict[str, list[Stem]] = {}
    for stem in stems:
        if stem.scores:
            songs.setdefault(stem.track, []).append(stem)
    unlike = [duplicates.first_of_each(song) for song in songs.values()]  # no stem is bleed of its own copy
    comparable = [song for song in unlike if 1 < len(song) <= MOST]
    open_songs = [song for song in comparable if any(stem.crosstalk is None for stem in song)]
    looked = threads.map(partial(_of_song, folder=folder, done=done, files=files), open_songs)
    bar = tqdm(looked, "crosstalk", len(open_songs), unit="song", disable=True if quiet or not open_songs else None)
    found: dict[str, Stem | Skip] = {identity: result for song in bar for identity, result in song.items()}
    results = [found.get(stem.id, stem) for stem in stems]
    kept = [result for result in results if isinstance(result, Stem)]
    return _named(_as_their_copies(kept)), [result for result in results if isinstance(result, Skip)]


def _as_their_copies(stems: Sequence[Stem]) -> list[Stem]:
    """Stems whose audio another one of the song has, with what was measured in that one."""
    audio = duplicates.same_audio(stems)
    measured_in = {
        (stem.track, one): stem.crosstalk for stem, one in zip(stems, audio, strict=True) if stem.crosstalk is not None
    }
    return [
        stem.model_copy(update={"crosstalk": _cut_to(measured_in.get((stem.track, one)), stem.duration)})
        if stem.crosstalk is None and one is not None and stem.scores
        else stem
        for stem, one in zip(stems, audio, strict=True)
    ]


def _cut_to(heard: list[Crosstalk] | None, duration: float) -> list[Crosstalk] | None:
    """The same in a copy, which may be a little shorter."""
    return heard and [
        one.model_copy(
            update={
                "spans": [
                    span.model_copy(update={"end": min(span.end, duration)})
                    for span in one.spans
                    if span.start < duration
                ]
            }
        )
        for one in heard
    ]


def _named(stems: Sequence[Stem]) -> list[Stem]:
    """Stems whose bleeds bear the class that their source carries, as it is found now."""
    carried = {stem.id: _class_of(stem) for stem in stems}

    def named(one: Crosstalk) -> Crosstalk:
        return one.model_copy(update={"label": carried.get(one.stem, one.label)})

    return [
        stem.model_copy(update={"crosstalk": [named(one) for one in stem.crosstalk]}) if stem.crosstalk else stem
        for stem in stems
    ]


def _of_song(song: Sequence[Stem], folder: Path, done: Journal, files: Unchanged) -> dict[str, Stem | Skip]:
    """The stems of a song by their ids, measured; one that was readable when it was judged may be so no more."""
    results: dict[str, Stem | Skip] = {}
    left = list(song)
    while left:
        try:
            return results | {stem.id: stem for stem in _among_each_other(left, folder, done, files)}
        except AudioError as error:
            broken = {stem.id for stem in left if folder / stem.path == error.path} or {stem.id for stem in left}
            for stem in left:
                if stem.id in broken:
                    results[stem.id] = Skip(path=stem.path, reason=error.reason, detail=error.detail)
            left = [stem for stem in left if stem.id not in broken]
    return results


def _among_each_other(song: Sequence[Stem], folder: Path, done: Journal, files: Unchanged) -> list[Stem]:
    """Stems with what is heard in each of the others. Raises AudioError where one cannot be read."""
    among = json.dumps([[stem.id, stem.sha256] for stem in song])
    known = [done.get(stem, among) for stem in song]
    if all(known):
        return [stem for stem in known if stem]
    if len(song) < 2:
        return list(song)
    with ExitStack() as stack:
        for stem in song:
            stack.enter_context(files.reading(folder / stem.path, stem.sha256))
        told = crosstalk.measure([partial(in_time, stem, folder / stem.path) for stem in song], SAMPLE_RATE)
    heard: list[list[Crosstalk]] = [[] for _ in song]
    for one in told:
        of = Crosstalk(
            stem=song[one.source].id,
            label=None,
            level_db=round(one.level_db, 1) + 0.0,
            delay=round(one.delay, 6) + 0.0,
            spans=_within(one.spans, song[one.into]),
        )
        heard[one.into].append(of)
    results = [stem.model_copy(update={"crosstalk": here}) for stem, here in zip(song, heard, strict=True)]
    for stem, result in zip(song, results, strict=True):
        done.put(stem, result, among)
    return results


def _within(spans: Sequence[tuple[float, float, float]], stem: Stem) -> list[Span]:
    """Spans of a song's time line as times of the stem's file; a trimmed one may cut them up, or out."""
    parts = [(0.0, stem.duration)] if stem.source is None or stem.active is None else stem.active
    placed, before = [], 0.0  # seconds of the file before the part
    for begin, end in parts:
        for start, until, level_db in spans:
            first, last = max(start, begin) - begin + before, min(until, end) - begin + before
            first, last = round_seconds(first), min(round_seconds(last), stem.duration)
            if last > first:
                placed.append(Span(start=first, end=last, level_db=round(level_db, 1) + 0.0))
        before += end - begin
    return placed


def in_time(stem: Stem, path: Path, sample_rate: int = SAMPLE_RATE) -> Iterator[Waveform]:
    """The stem's sound on the time line of its song, in blocks of two channels. Raises AudioError."""
    odd = any(issue.code in {code.name for code in channels.CHECK.codes} for issue in stem.issues)
    sound = stereo.blocks(
        path,
        sample_rate=sample_rate,
        channels=CHANNELS,
        block_duration=crosstalk.BLOCK,
        stream=stem.stream,
        faults=None if odd else ChannelFaults(),
    )
    return sound if stem.source is None or stem.active is None else _laid_out(sound, stem.active, sample_rate)


def _laid_out(sound: Iterator[Waveform], spans: Sequence[tuple[float, float]], sample_rate: int) -> Iterator[Waveform]:
    """What was cut out put back where it was, with silence between.

    Args:
        spans: seconds of the sound's parts, one after the other.
    """
    length = seconds_to_samples(crosstalk.BLOCK, sample_rate)
    block, start = np.zeros((CHANNELS, length), np.float32), 0  # start: samples before the block
    left = next(sound, None)
    for begin, end in spans:
        at, until = seconds_to_samples(begin, sample_rate), seconds_to_samples(end, sample_rate)
        while at < until and left is not None:
            while at >= start + length:
                yield block
                block, start = np.zeros_like(block), start + length
            num = min(left.shape[1], until - at, start + length - at)
            block[:, at - start : at - start + num] = left[:, :num]
            at, left = at + num, left[:, num:]
            if not left.shape[1]:
                left = next(sound, None)
    yield block


def _class_of(stem: Stem) -> str | None:
    """The class that a stem carries into others: its claim, unless only another class was found in it.

    None: several were found, and not the claim, or several claims.
    """
    found = stem.found or stem.claimed
    borne_out = [label for label in stem.claimed if label in found]
    if len(borne_out) == 1:
        return borne_out[0]
    return found[0] if len(found) == 1 else None


def with_crosstalk(stem: Stem, policy: Policy) -> Stem:
    """A judged stem, decided anew with the bleed that was measured in it."""
    if not stem.crosstalk:
        return stem
    decision = decide(Evidence.of(stem), policy)
    if not decision.measured_db:
        return stem
    spans = {
        label: [span for bleed in stem.crosstalk if bleed.label == label for span in bleed.spans]
        for label in decision.measured_db
    }
    return decision.applied(stem, regions=with_measured(stem.regions, spans, list(stem.scores)))
