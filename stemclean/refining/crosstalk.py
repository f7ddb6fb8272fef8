"""Measure the bleed between the stems of a song. Ours.

A classifier estimates which class bleeds into a stem, and how loud. If the source is a stem of the same song, both can
be measured, see :mod:`stemclean.audio.crosstalk`. A measurement overrules the estimate: the class of the source is in
the stem, at the measured level. No measured bleed proves nothing, because bleed may come from elsewhere.
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
from stemclean.checks import channels, separated, with_issues
from stemclean.data.journal import Journal
from stemclean.errors import AudioError
from stemclean.manifest import Crosstalk, Skip, Span, Stem
from stemclean.regions import with_measured
from stemclean.units import round_seconds, seconds_to_samples
from stemclean.verdicts import Evidence, Policy, decide

__all__ = ["CHANNELS", "MOST", "SAMPLE_RATE", "in_time", "measured", "with_bleed", "with_crosstalk"]

MOST = 24
"""Maximum number of stems in a song; songs with more are skipped, because the time grows quadratically."""
SAMPLE_RATE = 44100
"""Sample rate in Hz at which stems are compared."""
CHANNELS = 2


def measured(
    stems: Sequence[Stem], folder: Path, done: Journal, threads: Executor, files: Unchanged, *, quiet: bool
) -> tuple[list[Stem], list[Skip]]:
    """Return the stems with the bleed measured in them, and skips for stems that cannot be read any more.

    Among stems with the same audio, only one is compared, and all get its bleed. Trimmed stems are placed on the time
    line of the file that they were cut from. Songs with one stem, or with more than :data:`MOST`, are not compared;
    stems that have been measured already are not measured again.

    Args:
        stems: judged stems; silent ones are returned unchanged.
        folder: folder that their paths are relative to.
        done: journal with the measurements of an earlier run.
        files: the state of the files when they were judged.
    """
    songs: dict[str, list[Stem]] = {}
    for stem in stems:
        if stem.scores:
            songs.setdefault(stem.track, []).append(stem)
    distinct = [duplicates.first_of_each(song) for song in songs.values()]  # a stem does not bleed into its copy
    comparable = [song for song in distinct if 1 < len(song) <= MOST]
    unmeasured = [song for song in comparable if any(stem.crosstalk is None for stem in song)]
    compared = threads.map(partial(_measured_song, folder=folder, done=done, files=files), unmeasured)
    bar = tqdm(compared, "crosstalk", len(unmeasured), unit="song", disable=True if quiet or not unmeasured else None)
    by_id: dict[str, Stem | Skip] = {identity: result for song in bar for identity, result in song.items()}
    results = [by_id.get(stem.id, stem) for stem in stems]
    kept = [result for result in results if isinstance(result, Stem)]
    return _with_classes(_with_bleed_of_copies(kept)), [result for result in results if isinstance(result, Skip)]


def _with_bleed_of_copies(stems: Sequence[Stem]) -> list[Stem]:
    """Give stems that were not compared the bleed measured in the copy of the same song."""
    audio = duplicates.same_audio(stems)
    bleed_of = {
        (stem.track, sound): stem.crosstalk
        for stem, sound in zip(stems, audio, strict=True)
        if stem.crosstalk is not None
    }
    return [
        stem.model_copy(update={"crosstalk": _cut_to(bleed_of.get((stem.track, sound)), stem.duration)})
        if stem.crosstalk is None and sound is not None and stem.scores
        else stem
        for stem, sound in zip(stems, audio, strict=True)
    ]


def _cut_to(bleeds: list[Crosstalk] | None, duration: float) -> list[Crosstalk] | None:
    """Cut the spans to the duration of a copy, which may be slightly shorter."""
    return bleeds and [
        bleed.model_copy(
            update={
                "spans": [
                    span.model_copy(update={"end": min(span.end, duration)})
                    for span in bleed.spans
                    if span.start < duration
                ]
            }
        )
        for bleed in bleeds
    ]


def _with_classes(stems: Sequence[Stem]) -> list[Stem]:
    """Label each bleed with the class that is found in its source now."""
    class_of = {stem.id: _class_of(stem) for stem in stems}

    def labelled(bleed: Crosstalk) -> Crosstalk:
        return bleed.model_copy(update={"label": class_of.get(bleed.stem, bleed.label)})

    return [
        stem.model_copy(update={"crosstalk": [labelled(bleed) for bleed in stem.crosstalk]}) if stem.crosstalk else stem
        for stem in stems
    ]


def _measured_song(song: Sequence[Stem], folder: Path, done: Journal, files: Unchanged) -> dict[str, Stem | Skip]:
    """Measure the stems of a song and return them by id; a stem that can no longer be read becomes a skip."""
    results: dict[str, Stem | Skip] = {}
    left = list(song)
    while left:
        try:
            return results | {stem.id: stem for stem in _with_bleed(left, folder, done, files)}
        except AudioError as error:
            broken = {stem.id for stem in left if folder / stem.path == error.path} or {stem.id for stem in left}
            for stem in left:
                if stem.id in broken:
                    results[stem.id] = Skip(path=stem.path, reason=error.reason, detail=error.detail)
            left = [stem for stem in left if stem.id not in broken]
    return results


def _with_bleed(song: Sequence[Stem], folder: Path, done: Journal, files: Unchanged) -> list[Stem]:
    """Return the stems with the bleed of the others in each. Raises AudioError if one cannot be read."""
    among = json.dumps([[stem.id, stem.sha256] for stem in song])
    stored = [done.get(stem, among) for stem in song]
    if all(stored):
        return [stem for stem in stored if stem]
    if len(song) < 2:
        return list(song)
    results = with_bleed(song, folder, files)
    for stem, result in zip(song, results, strict=True):
        done.put(stem, result, among)
    return results


def with_bleed(song: Sequence[Stem], folder: Path, files: Unchanged) -> list[Stem]:
    """Return the stems of a song with the bleed of the others in each, without the classes of the sources.

    Args:
        song: at least two judged stems.
        folder: folder that their paths are relative to.
        files: the state of the files when they were judged.

    Raises:
        AudioError: one of them cannot be read.
    """
    with ExitStack() as stack:
        for stem in song:
            stack.enter_context(files.reading(folder / stem.path, stem.sha256))
        together = crosstalk.measure([partial(in_time, stem, folder / stem.path) for stem in song], SAMPLE_RATE)
    bleeds: list[list[Crosstalk]] = [[] for _ in song]
    for measurement in together.bleeds:
        bleed = Crosstalk(
            stem=song[measurement.source].id,
            label=None,
            level_db=round(measurement.level_db, 1) + 0.0,
            delay=round(measurement.delay, 6) + 0.0,
            spans=_within(measurement.spans, song[measurement.into]),
        )
        bleeds[measurement.into].append(bleed)
    agreement = {(song[one].id, song[other].id): value for (one, other), value in together.separated.items()}
    issues, codes = separated.CHECK.of_phases(agreement), [code.name for code in separated.CHECK.codes]
    return [
        stem.model_copy(update={"crosstalk": found, "issues": with_issues(stem.issues, issues.get(stem.id, ()), codes)})
        for stem, found in zip(song, bleeds, strict=True)
    ]


def _within(spans: Sequence[tuple[float, float, float]], stem: Stem) -> list[Span]:
    """Convert spans from song time to file time; in a trimmed file, a span may be split or removed."""
    parts = [(0.0, stem.duration)] if stem.source is None or stem.active is None else stem.active
    placed, before = [], 0.0  # seconds in the file before this part
    for begin, end in parts:
        for start, until, level_db in spans:
            first, last = max(start, begin) - begin + before, min(until, end) - begin + before
            first, last = round_seconds(first), min(round_seconds(last), stem.duration)
            if last > first:
                placed.append(Span(start=first, end=last, level_db=round(level_db, 1) + 0.0))
        before += end - begin
    return placed


def in_time(stem: Stem, path: Path, sample_rate: int = SAMPLE_RATE) -> Iterator[Waveform]:
    """Yield the stem's audio on the time line of its song, in blocks of two channels. Raises AudioError."""
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
    """Place the parts of a trimmed file at their original times, with silence between them.

    Args:
        sound: blocks of the trimmed file.
        spans: start and end of each part in the original file, in seconds.
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
    """Return the class of a stem's bleed into others: its claim, unless only another class was found in it.

    None if it is ambiguous: several claims were found, or several classes and no claim.
    """
    found = stem.found or stem.claimed
    confirmed = [label for label in stem.claimed if label in found]
    if len(confirmed) == 1:
        return confirmed[0]
    return found[0] if len(found) == 1 else None


def with_crosstalk(stem: Stem, policy: Policy) -> Stem:
    """Decide about a judged stem again, with the bleed measured in it as further evidence."""
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
