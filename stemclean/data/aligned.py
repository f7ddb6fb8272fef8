"""Excerpts of whole songs with time-aligned stems and the f0 of the voice, for joint training.

The mixture of a track is the sum of its own stems; nothing is mixed across songs. Tracks differ in their annotation
(MAJL, Wei et al. 2025, arXiv 2501.03689, calls them fully and single-labelled):

* stems and f0: everything is known;
* stems without f0: the sources are known, the f0 is not;
* a mixture with an f0 (a stem of every class): the f0 is known, the sources are not;
* a mixture with an estimated voice, or stems with an estimated f0: the estimate is trusted by its confidence.
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
"""Highest confidence of an estimate, so that none counts as ground truth, which validation needs."""


class AlignedMixing(Settings):
    """How excerpts of songs are drawn.

    Args:
        loudness_lufs: Loudness to which every mixture is normalised (ITU-R BS.1770); None: no normalisation.
        gain_db: Range of the gain of every class, drawn uniformly, which changes the balance of voice and
            accompaniment. With a single class it is applied after the normalisation.
        swap_chance: Chance that the channels of an excerpt are swapped.
        invert_chance: Chance that the polarity of a class is inverted.
    """

    section: ClassVar[str] = "mixing"

    loudness_lufs: LoudnessLufs | None = -14.0
    gain_db: LevelsDb = (0.0, 0.0)
    swap_chance: Chance = 0.0
    invert_chance: Chance = 0.0

    def plain(self) -> AlignedMixing:
        """Return the settings without random augmentation, for validation."""
        return AlignedMixing(loudness_lufs=self.loudness_lufs)


@dataclass(frozen=True)
class Frames:
    """The frames of a tracker in an excerpt.

    Args:
        hop: Hop in seconds.
        count: Number of frames of an excerpt.
    """

    hop: float
    count: int


@dataclass(frozen=True)
class AlignedTrack:
    """A song.

    Args:
        name: Name of the track in the manifest.
        stems: Stems that add up to the mixture, with their classes.
        whole: The mixture as a stem of its own. The other classes are then the residual of mixture and stems.
        trust: Trust in the sources, in [0, 1]: 0 if they are unknown, 1 if none is an estimate.
        f0: f0 of the voice; None if unknown.
    """

    name: str
    stems: tuple[PooledStem, ...]
    whole: PooledStem | None
    trust: float
    f0: F0Track | None

    @property
    def num_samples(self) -> int:
        """Length of the longest stem."""
        return max(stem.num_samples for stem in (*self.stems, *([self.whole] if self.whole else [])))

    @property
    def kind(self) -> str:
        """Kind of annotation: ``full``, ``only_stems``, ``only_f0``, or ``pseudo`` if some of it is estimated."""
        if (0 < self.trust < 1) or (self.f0 is not None and self.f0.confidence is not None):
            return "pseudo"
        if not self.trust:
            return "only_f0"
        return "only_stems" if self.f0 is None else "full"


@dataclass(frozen=True)
class AlignedExample(Sources):
    """An excerpt: sources as in :class:`~stemclean.data.sources.Sources`, f0, and the trust in both.

    Args:
        trust: Trust in the sources, in [0, 1]; at 0 only their sum is meaningful.
        f0_hz: f0 of the voice, 0 is unvoiced. Shape: (frame,) float32
        f0_trust: Trust in the f0 of each frame, in [0, 1]; 0: unknown. Shape: (frame,) float32
    """

    trust: float
    f0_hz: np.ndarray
    f0_trust: np.ndarray


def whole_songs(manifest: Manifest, *, alone: bool = False) -> Manifest:
    """Mark all stems as active throughout, so that a pool does not cut them and they stay time-aligned.

    Args:
        manifest: The stems.
        alone: Whether only voices with their f0 are used. Trimmed voices are then allowed, because their f0 was trimmed
            with them.

    Raises:
        ConfigError: A stem was trimmed, and is no longer aligned with the others.
    """
    for stem in manifest.stems:
        if stem.source is not None and not alone:
            raise ConfigError(
                f"{stem.id} was trimmed and is no longer aligned with the other stems of {stem.track}",
                "give the manifest of the untrimmed stems",
            )
    return manifest.with_stems([s.model_copy(update={"active": [(0.0, s.duration)]}) for s in manifest.stems])


def parts_of_wholes(manifest: Manifest) -> frozenset[str]:
    """Return the ids of the stems of songs that also have a mixture, from which the residual is computed."""
    whole = {stem.track for stem in manifest.stems if len(stem.claimed) > 1}
    return frozenset(stem.id for stem in manifest.stems if stem.track in whole)


def aligned_tracks(
    manifest: Manifest, folder: Path, pool: StemPool, labels: Sequence[str], pitched: str, *, confidences: bool = True
) -> list[AlignedTrack]:
    """Return the songs of a manifest that can be used for training: those with a voice, or a mixture with an f0.

    Stems with a class that is not among the labels are ignored.

    Args:
        manifest: The stems.
        folder: Folder that the paths of the manifest are relative to.
        pool: The decoded whole stems, see :func:`whole_songs`.
        labels: The classes of the separator. If this is only the voice, only stems of the voice alone are used.
        pitched: The class whose pitch is tracked.
        confidences: Whether estimates are trusted by their confidence only. If false, they are trusted fully.

    Raises:
        LabelError: An f0 cannot be read.
    """
    pooled = {stem.id: stem for stem in pool.stems}
    by_track: dict[str, list[Stem]] = defaultdict(list)
    for stem in manifest.stems:
        if stem.id in pooled and stem.labels and set(stem.labels) <= set(labels):
            by_track[stem.track].append(stem)
    tracks = []
    for name, stems in sorted(by_track.items()):
        several = [stem for stem in stems if len(labels) > 1 and set(stem.labels) == set(labels)]
        mixtures = [stem for stem in several if len(stem.claimed) > 1]  # the others are stems with bleed
        parts = [stem for stem in stems if stem not in mixtures]
        voices = [stem for stem in parts if stem.labels == [pitched]]
        f0 = _f0([*voices, *several], folder, confidences=confidences)
        trust = _trust(parts, confidences=confidences) if len(mixtures) == len(several) else 0.0
        if f0 is None and not (voices and trust):
            continue
        covered = {label for stem in parts for label in stem.labels}
        tracks.append(
            AlignedTrack(
                name,
                tuple(pooled[stem.id] for stem in parts),
                pooled[mixtures[0].id] if mixtures and covered != set(labels) else None,  # not needed with all stems
                trust,
                f0,
            )
        )
    return tracks


class AlignedMixer:
    """Random excerpts by number: the same number always gives the same excerpt, in any process and order.

    Songs are drawn in proportion to their length; an excerpt begins at a random frame.

    Args:
        tracks: The songs, at least one.
        pool: The pool of their stems.
        labels: The classes, in the order of the model's outputs.
        config: How excerpts are drawn.
        segment: Length of an excerpt in samples.
        frames: Frames of the tracker in an excerpt.
        seed: Random seed.

    Raises:
        ConfigError: There are no tracks.
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
                "no song has vocals, or a mixture with an f0",
                f"give songs with several stems, one of them {labels[0]}, or mixtures with an f0 file beside them",
            )
        self.tracks, self.pool, self.labels, self.config = list(tracks), pool, tuple(labels), config
        self.segment, self.frames, self.seed = segment, frames, tuple(seed)
        lengths = np.array([track.num_samples for track in tracks], np.float64)
        self._steps = np.cumsum(lengths) / lengths.sum()

    def example(self, number: int) -> AlignedExample:
        """Return an excerpt, normalised to the loudness of the settings."""
        rng = np.random.default_rng((*self.seed, number))
        index = int(np.searchsorted(self._steps, rng.random(), side="right"))
        track = self.tracks[min(index, len(self.tracks) - 1)]
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
        levelled = plain if len(self.labels) == 1 else targets  # with a single class, the gain is applied on top
        gain = loudness_gain(relative_lufs(levelled.sum(0), rate), self.config.loudness_lufs)
        return AlignedExample(targets * np.float32(gain), rows, track.trust, *self._f0(track.f0, start / rate))

    def _sources(self, track: AlignedTrack, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Return targets ``(row, channel, time)`` and rows ``(label,)``, see :class:`~stemclean.data.sources.Sources`.

        Classes of the same stem share a row, and so do the classes of the residual.
        """
        rows = np.arange(len(self.labels))
        targets = np.zeros((len(self.labels), self.pool.audio.shape[1], self.segment), np.float32)
        groups = [[self.labels.index(label) for label in stem.labels] for stem in track.stems]
        if track.whole is not None:
            covered = {row for group in groups for row in group}
            groups.append([row for row in range(len(self.labels)) if row not in covered])
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
        """Return the f0 and the trust in each frame, both ``(frame,)``."""
        if track is None:
            return np.zeros(self.frames.count, np.float32), np.zeros(self.frames.count, np.float32)
        excerpt = track.resampled(self.frames.hop, start, self.frames.count)
        trust = excerpt.confidence
        if trust is None:  # annotated: every frame of the track is certain
            certain = F0Track(track.f0_hz, track.voicing, track.hop, track.start, np.ones(track.num_frames))
            trust = certain.resampled(self.frames.hop, start, self.frames.count).confidence
        return np.where(excerpt.voiced, excerpt.f0_hz, 0.0).astype(np.float32), np.asarray(trust, np.float32)


def _trust(parts: Sequence[Stem], *, confidences: bool) -> float:
    """Return the trust in the stems of a song; 1 only if none is an estimate."""
    if not parts:
        return 0.0
    estimated = [stem.estimated.confidence for stem in parts if stem.estimated is not None] if confidences else []
    return min([*(min(confidence, SUREST) for confidence in estimated), 1.0])


def _f0(stems: Sequence[Stem], folder: Path, *, confidences: bool) -> F0Track | None:
    """Return the f0 of the only stem that has one, preferring annotated f0.

    None if several stems have one, because the f0 of one voice is not that of the song.
    """
    candidates = [(stem, stem.f0) for stem in stems if stem.f0 is not None]
    candidates = [(stem, f0) for stem, f0 in candidates if f0.annotated] or candidates
    if len(candidates) != 1:
        return None
    ((stem, f0),) = candidates
    audio = f0_labels.Beside(stem.duration, stem.track.rpartition("/")[2])
    annotation = f0_labels.read(folder / f0.path, f0.format, beside=audio)
    if not confidences:
        return F0Track(annotation.f0_hz, annotation.voicing, annotation.hop, annotation.start)
    if f0.annotated:
        return annotation
    mean = 1.0 if f0.confidence is None else f0.confidence
    confidence = np.full(annotation.num_frames, mean) if annotation.confidence is None else annotation.confidence
    return F0Track(
        annotation.f0_hz, annotation.voicing, annotation.hop, annotation.start, np.minimum(confidence, SUREST)
    )
