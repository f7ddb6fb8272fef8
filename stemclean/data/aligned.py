"""What a separator and a pitch tracker learn from together: songs whose stems lie in time, with the f0 of the voice.

A track is taken as it is: its mixture is the sum of its stems, and nothing comes from other songs. Some tracks say all,
some only one thing (MAJL, Wei et al. 2025, arXiv 2501.03689, calls them fully and single-labelled):

* stems and f0: everything is known;
* stems alone: what is to be separated is known, the f0 is not;
* a mixture with an f0 (a stem of every class): the f0 is known, what is to be separated is not;
* the same with a voice that a separator estimated, or stems with an f0 that a tracker estimated: known as far as the
  estimate is trusted, by its confidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from stemclean.audio.f0 import F0Track
from stemclean.audio.loudness import relative_lufs
from stemclean.data.pool import PooledStem, StemPool
from stemclean.data.sources import Sources, loudness_gain
from stemclean.errors import ConfigError
from stemclean.layouts import f0_labels
from stemclean.manifest import Manifest, Stem
from stemclean.settings import Chance, LevelsDb, LoudnessLufs, Settings
from stemclean.units import db_to_amplitude

__all__ = [
    "AlignedExample",
    "AlignedMixer",
    "AlignedMixing",
    "AlignedTrack",
    "Frames",
    "aligned_tracks",
    "parts_of_wholes",
    "whole_songs",
]

SUREST = 0.9999
"""Confidence of an estimate at most, so that none passes for the truth, by which validation judges."""


class AlignedMixing(Settings):
    """How excerpts of songs are drawn.

    Args:
        loudness_lufs: of every mixture (ITU-R BS.1770), reached by one gain; None: as it is.
        gain_db: range of the gain of every class, drawn uniformly; it changes how the voice stands to the rest. A class
            alone has it on top of its loudness.
        swap_chance, invert_chance: that all channels of an excerpt change places, that a class is inverted.
    """

    section: ClassVar[str] = "mixing"

    loudness_lufs: LoudnessLufs | None = -14.0
    gain_db: LevelsDb = (0.0, 0.0)
    swap_chance: Chance = 0.0
    invert_chance: Chance = 0.0

    def plain(self) -> AlignedMixing:
        """The same without chance: what validation hears."""
        return AlignedMixing(loudness_lufs=self.loudness_lufs)


@dataclass(frozen=True)
class Frames:
    """The frames of a tracker in an excerpt.

    Args:
        hop: seconds.
        count: of one excerpt.
    """

    hop: float
    count: int


@dataclass(frozen=True)
class AlignedTrack:
    """One song.

    Args:
        name: as in the manifest.
        stems: that add up to the mixture, with the classes that each holds.
        whole: a stem that is the mixture; the others are then parts of it, and the rest is what is left of it.
        trust: how far what is to be separated is known, in [0, 1]; 0: not at all; 1: by people.
        f0: of the voice; None: not known.
    """

    name: str
    stems: tuple[PooledStem, ...]
    whole: PooledStem | None
    trust: float
    f0: F0Track | None

    @property
    def num_samples(self) -> int:
        """Of the longest stem."""
        return max(stem.num_samples for stem in (*self.stems, *([self.whole] if self.whole else [])))

    @property
    def kind(self) -> str:
        """What is known: ``full``, ``only_stems``, ``only_f0``, or ``pseudo`` where some of it is an estimate."""
        if (0 < self.trust < 1) or (self.f0 is not None and self.f0.confidence is not None):
            return "pseudo"
        if not self.trust:
            return "only_f0"
        return "only_stems" if self.f0 is None else "full"


@dataclass(frozen=True)
class AlignedExample(Sources):
    """An excerpt: sources as in :class:`~stemclean.data.sources.Sources`, and what is known of them.

    Args:
        trust: of the sources, in [0, 1]; at 0 their sum alone means anything.
        f0_hz: of the voice, 0 is unvoiced. Shape: (frame,) float32
        f0_trust: of each frame, in [0, 1]; 0: not known. Shape: (frame,) float32
    """

    trust: float
    f0_hz: np.ndarray
    f0_trust: np.ndarray


def whole_songs(manifest: Manifest, *, alone: bool = False) -> Manifest:
    """The same stems, none of them to be cut, so that they stay in time with one another in a pool.

    Args:
        alone: voices with their f0, which was cut as they were: trimmed ones do as well.

    Raises:
        ConfigError: a stem was trimmed, and lies in time with nothing.
    """
    for stem in manifest.stems:
        if stem.source is not None and not alone:
            raise ConfigError(
                f"{stem.id} was trimmed: its sound lies no longer in time with the other stems of {stem.track}",
                "give the manifest of the untrimmed stems",
            )
    return manifest.with_stems([s.model_copy(update={"active": [(0.0, s.duration)]}) for s in manifest.stems])


def parts_of_wholes(manifest: Manifest) -> frozenset[str]:
    """Ids of the stems of songs of which there is a mixture too: what is not in them is what is left of it."""
    whole = {stem.track for stem in manifest.stems if len(stem.claimed) > 1}
    return frozenset(stem.id for stem in manifest.stems if stem.track in whole)


def aligned_tracks(
    manifest: Manifest, folder: Path, pool: StemPool, labels: Sequence[str], pitched: str, *, confidences: bool = True
) -> list[AlignedTrack]:
    """The songs of a manifest in which there is something to learn: a voice, or a mixture with an f0.

    Stems that hold any class which is not among the labels are passed over.

    Args:
        folder: what paths of the manifest are relative to.
        pool: its stems, whole (:func:`whole_songs`).
        labels: the classes of the separator; of the voice alone, only stems with nothing else are taken.
        pitched: the class that is followed.
        confidences: False: what is an estimate is taken for the truth.

    Raises:
        LabelError: an f0 that cannot be read.
    """
    pooled = {stem.id: stem for stem in pool.stems}
    by_track: dict[str, list[Stem]] = defaultdict(list)
    for stem in manifest.stems:
        if stem.id in pooled and stem.labels and set(stem.labels) <= set(labels):
            by_track[stem.track].append(stem)
    tracks = []
    for name, stems in sorted(by_track.items()):
        several = [stem for stem in stems if len(labels) > 1 and set(stem.labels) == set(labels)]
        mixtures = [stem for stem in several if len(stem.claimed) > 1]  # others are parts that bleed
        parts = [stem for stem in stems if stem not in mixtures]
        voices = [stem for stem in parts if stem.labels == [pitched]]
        f0 = _f0([*voices, *several], folder, confidences=confidences)
        trust = _trust(parts, confidences=confidences) if len(mixtures) == len(several) else 0.0
        if f0 is None and not (voices and trust):
            continue
        told = {label for stem in parts for label in stem.labels}
        tracks.append(
            AlignedTrack(
                name,
                tuple(pooled[stem.id] for stem in parts),
                pooled[mixtures[0].id] if mixtures and told != set(labels) else None,  # else its stems say it all
                trust,
                f0,
            )
        )
    return tracks


class AlignedMixer:
    """Excerpts by number: the same number is always the same excerpt, whoever asks and in which order.

    A song is drawn by its length, an excerpt begins at any frame of it.

    Args:
        tracks: one at least.
        pool: of their stems.
        labels: the classes, in the order of the model's outputs.
        config: how.
        segment: samples of an excerpt.
        frames: of a tracker in an excerpt.
        seed: of everything that is drawn.

    Raises:
        ConfigError: no tracks.
    """

    def __init__(
        self,
        tracks: Sequence[AlignedTrack],
        pool: StemPool,
        labels: Sequence[str],
        config: AlignedMixing,
        segment: int,
        frames: Frames,
        *,
        seed: Sequence[int],
    ) -> None:
        if not tracks:
            raise ConfigError(
                "no song has a voice, or a mixture with an f0",
                f"songs need stems of one track, one of them {labels[0]}, or a mixture with an f0 beside it",
            )
        self.tracks, self.pool, self.labels, self.config = list(tracks), pool, tuple(labels), config
        self.segment, self.frames, self.seed = segment, frames, tuple(seed)
        lengths = np.array([track.num_samples for track in tracks], np.float64)
        self._steps = np.cumsum(lengths) / lengths.sum()

    def example(self, number: int) -> AlignedExample:
        """An excerpt, its mixture at the loudness that is wanted; of one class alone, before its gain."""
        rng = np.random.default_rng((*self.seed, number))
        place = int(np.searchsorted(self._steps, rng.random(), side="right"))
        track = self.tracks[min(place, len(self.tracks) - 1)]
        rate = self.pool.sample_rate
        last = max(0, track.num_samples - self.segment)
        frame = int(rng.integers(int(last / rate / self.frames.hop) + 1))
        start = round(frame * self.frames.hop * rate)
        targets, rows = self._sources(track, start)
        plain = targets.copy()
        for row in range(len(targets)):
            gain = db_to_amplitude(rng.uniform(*self.config.gain_db))
            targets[row] *= np.float32(-gain if rng.random() < self.config.invert_chance else gain)
        if rng.random() < self.config.swap_chance:
            targets = np.ascontiguousarray(targets[:, ::-1])
        levelled = plain if len(self.labels) == 1 else targets  # a class alone keeps its gain
        gain = loudness_gain(relative_lufs(levelled.sum(0), rate), self.config.loudness_lufs)
        return AlignedExample(targets * np.float32(gain), rows, track.trust, *self._f0(track.f0, start / rate))

    def _sources(self, track: AlignedTrack, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Targets ``(row, channel, time)`` and rows ``(label,)``, as in :class:`~stemclean.data.sources.Sources`.

        Classes that stems hold together share a row, and so do those that are left of a whole.
        """
        rows = np.arange(len(self.labels))
        targets = np.zeros((len(self.labels), self.pool.audio.shape[1], self.segment), np.float32)
        groups = [[self.labels.index(label) for label in stem.labels] for stem in track.stems]
        if track.whole is not None:
            told = {row for group in groups for row in group}
            groups.append([row for row in range(len(self.labels)) if row not in told])
        for group in groups:
            joined = np.isin(rows, rows[group])
            rows[joined] = rows[joined].min() if joined.any() else 0
        for stem in track.stems:
            targets[rows[self.labels.index(stem.labels[0])]] += self._excerpt(stem, start)
        if track.whole is not None:
            targets[rows[groups[-1][0]]] += self._excerpt(track.whole, start) - targets.sum(0)
        return targets, rows

    def _excerpt(self, stem: PooledStem, start: int) -> np.ndarray:
        return self.pool.segment(stem, min(start, stem.num_samples), self.segment)

    def _f0(self, track: F0Track | None, start: float) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies and how far each frame is known, both ``(frame,)``."""
        if track is None:
            return np.zeros(self.frames.count, np.float32), np.zeros(self.frames.count, np.float32)
        heard = track.resampled(self.frames.hop, start, self.frames.count)
        trust = heard.confidence
        if trust is None:  # annotated: known wherever there is a frame
            every = F0Track(track.f0_hz, track.voicing, track.hop, track.start, np.ones(track.num_frames))
            trust = every.resampled(self.frames.hop, start, self.frames.count).confidence
        return np.where(heard.voiced, heard.f0_hz, 0.0).astype(np.float32), np.asarray(trust, np.float32)


def _trust(parts: Sequence[Stem], *, confidences: bool) -> float:
    """How far the sounds of a song's parts are known; 1 only where none is an estimate."""
    if not parts:
        return 0.0
    estimated = [stem.estimated.confidence for stem in parts if stem.estimated is not None] if confidences else []
    return min([*(min(confidence, SUREST) for confidence in estimated), 1.0])


def _f0(stems: Sequence[Stem], folder: Path, *, confidences: bool) -> F0Track | None:
    """The f0 of the one stem that has any, annotated ones first; of several, none, as one voice's is not the song's."""
    known = [(stem, stem.f0) for stem in stems if stem.f0 is not None]
    known = [(stem, f0) for stem, f0 in known if f0.annotated] or known
    if len(known) != 1:
        return None
    ((stem, f0),) = known
    beside = f0_labels.Beside(stem.duration, stem.track.rpartition("/")[2])
    read = f0_labels.read(folder / f0.path, f0.format, beside=beside)
    if not confidences:
        return F0Track(read.f0_hz, read.voicing, read.hop, read.start)
    if f0.annotated:
        return read
    mean = 1.0 if f0.confidence is None else f0.confidence
    sure = np.full(read.num_frames, mean) if read.confidence is None else read.confidence
    return F0Track(read.f0_hz, read.voicing, read.hop, read.start, np.minimum(sure, SUREST))
