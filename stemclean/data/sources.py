"""Training data of separators: pieces of stems with constant classes, and random mixtures of known sources.

As in Koo et al. 2023, section 3.2, the sources of a mixture come from any songs. Usually each class has a source of its
own. With a given probability, one source is a multi-label stem, and the other classes have single-label sources. The
classes of a shared source are known only as a sum, as ``rows`` states.

A multi-label stem is cut where its classes change according to its regions, so that the clean minutes of a stem with
ten seconds of bleed can be used (ours). The paper labels whole stems; ``whole_stems`` does the same.

Mixtures hold all classes, whether or not they are to be separated. The others are background: they sound in the mixture
but are in no target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from stemclean import duplicates
from stemclean.audio.loudness import relative_lufs
from stemclean.data.augment import CHAINS, Effects
from stemclean.data.pool import PooledStem, StemPool
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Stem
from stemclean.settings import Chance, LevelsDb, LoudnessLufs, Settings
from stemclean.units import db_to_amplitude, seconds_to_samples

__all__ = ["SourceMixer", "SourceMixing", "Sources", "cut_to_regions", "loudness_gain", "pieces", "trusted"]

FADE = 0.01
"""Length in seconds of the fades of a source that is shorter than the segment."""


class SourceMixing(Settings):
    """How mixtures for separators are drawn.

    Args:
        multi_label_probability: Probability that one source of an example is a multi-label stem; 0.4 in the paper. At 0
            multi-label stems are not used at all, not even the stretches in which they hold a single class.
        whole_stems: Use a multi-label stem as one source of all its classes, as in the paper. If false, it is cut where
            its classes change according to its regions (ours).
        loudness_lufs: Loudness to which every mixture is normalised (ITU-R BS.1770); -14 in the paper; None: no
            normalisation. Mixtures without a loudness (silent or below 0.4 s) are not changed.
        effects: ``paper``, ``mild`` or ``none`` on every source, see :mod:`stemclean.data.augment`.
        gain_db: Range of the gain of every source, drawn uniformly (ours).
        swap_chance: Chance that the channels of a source are swapped (ours).
        invert_chance: Chance that the polarity of a source is inverted (ours).
        absent_chance: Chance of each class to be absent (ours).
        min_piece: Shorter pieces of a cut stem are not used, in seconds (ours).
    """

    section: ClassVar[str] = "mixing"

    multi_label_probability: Chance = 0.4
    whole_stems: bool = False
    loudness_lufs: LoudnessLufs | None = -14.0
    effects: Effects = "none"
    gain_db: LevelsDb = (0.0, 0.0)
    swap_chance: Chance = 0.0
    invert_chance: Chance = 0.0
    absent_chance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    min_piece: Annotated[float, Field(ge=0, le=3600)] = 1.0

    def plain(self) -> SourceMixing:
        """Return the settings without random augmentation and multi-label sources, for validation."""
        return SourceMixing(
            multi_label_probability=0.0,
            whole_stems=self.whole_stems,
            loudness_lufs=self.loudness_lufs,
            min_piece=self.min_piece,
        )


@dataclass(frozen=True)
class Sources:
    """The sources of a mixture, which is their sum.

    Args:
        targets: The sources: one row per class and, if there are other classes, a last row for the background; zeros in
            rows without a source. Shape: (row, channel, time) float32
        rows: Row of each class. Classes in the same row share a source; the target of a class in the row of the
            background is unknown. Shape: (label,) int64
    """

    targets: np.ndarray
    rows: np.ndarray


def trusted(manifest: Manifest, *, use_claimed: bool = False) -> Manifest:
    """Return the stems that a separator may be trained on, with their labels.

    Declared test stems, stems without labels, stems with the verdict ``drop`` and duplicates are left out.

    Args:
        manifest: All stems.
        use_claimed: Use the claimed classes of the dataset for whole stems, and ignore verdicts.
    """
    claimed = [stem.model_copy(update={"labels": stem.claimed, "verdict": None}) for stem in manifest.stems]
    copies = duplicates.left_out(claimed if use_claimed else manifest.stems)
    stems = []
    for stem in manifest.stems:
        if stem.split == "test" or stem.id in copies:
            continue
        if use_claimed:
            stems.append(stem.model_copy(update={"labels": stem.claimed, "regions": [], "verdict": None}))
        elif stem.usable:
            stems.append(_with_active(stem))
    return manifest.with_stems([stem for stem in stems if stem.labels])


def pieces(pool: StemPool, manifest: Manifest, mixing: SourceMixing) -> StemPool:
    """Return the pieces from which sources are drawn: single-label stems and, depending on the mixing, others.

    Args:
        pool: The decoded stems.
        manifest: The stems of the pool.
        mixing: How mixtures are drawn.
    """
    if not mixing.multi_label_probability:
        return pool.where([len(stem.labels) == 1 for stem in pool.stems])
    return pool if mixing.whole_stems else cut_to_regions(pool, manifest, mixing.min_piece)


def cut_to_regions(pool: StemPool, manifest: Manifest, min_piece: float = 1.0) -> StemPool:
    """Return the pool with multi-label stems cut where their classes change.

    Single-label stems stay whole, because nothing else was found in them. Stretches without a known class are left out.

    Args:
        pool: The decoded stems.
        manifest: The stems of the pool, with ``regions``.
        min_piece: Shorter pieces are left out, in seconds.
    """
    stems = {stem.id: stem for stem in manifest.stems}
    pieces: list[PooledStem] = []
    for pooled in pool.stems:
        stem = stems[pooled.id]
        if len(stem.labels) < 2 or not stem.regions:
            pieces.append(pooled)
            continue
        for start, end, labels in _runs(stem, pool.sample_rate, pooled.num_samples):
            if labels and end - start >= min_piece * pool.sample_rate:
                piece = replace(pooled, labels=labels, start=pooled.start + start, num_samples=end - start)
                rms = float(np.sqrt(np.mean(pool.segment(piece, 0, piece.num_samples) ** 2)))
                pieces.append(replace(piece, rms=rms))
    return StemPool(pieces, pool.audio, pool.sample_rate, pool.skipped)


class SourceMixer:
    """Random mixtures by number: the same number always gives the same mixture, in any process and order.

    Every class of the pool adds a source to a mixture. Classes that are not among the labels are background, and so is
    a stem that holds both such a class and one of the labels (vocals and other, if vocals and drums are separated): the
    part of each is unknown, so that the label has no target in that mixture, not even silence.

    Args:
        pool: The sources, usually from :func:`pieces`. Stems that would leave no label with a target are not used.
        labels: The classes, in the order of the model's outputs.
        config: How mixtures are drawn.
        segment: Length of a mixture in samples.
        seed: Random seed.

    Raises:
        ConfigError: No stem can serve as a target, or effects are used without stereo.
    """

    def __init__(
        self, pool: StemPool, labels: Sequence[str], config: SourceMixing, segment: int, *, seed: Sequence[int]
    ) -> None:
        self.pool, self.labels, self.config, self.segment = pool, tuple(labels), config, segment
        self.seed = tuple(seed)
        self.background = tuple(sorted({label for stem in pool.stems for label in stem.labels} - set(self.labels)))
        """Classes that sound in the mixtures but are not separated."""
        single = [[stem for stem in pool.stems if stem.labels == (name,)] for name in (*self.labels, *self.background)]
        self._single = [_Drawn(stems) for stems in single]
        shared = [stem for stem in pool.stems if len(stem.labels) > 1 and self._leaves_a_target(stem)]
        self._multi = _Drawn(shared if config.multi_label_probability else [])
        self._chain = CHAINS[config.effects]
        if not self.alone and not any(set(stem.labels) <= set(self.labels) for stem in self._multi.stems):
            raise ConfigError("no stem contains only these classes: " + ", ".join(self.labels))
        if self._chain is not None and pool.audio.shape[1] != 2:
            raise ConfigError("effects are stereo", 'set mixing.effects="none" or spec.channels=2')

    @property
    def alone(self) -> list[str]:
        """Classes that have single-class sources."""
        return [label for label, drawn in zip(self.labels, self._single, strict=False) if drawn.stems]

    @property
    def num_single(self) -> int:
        """Number of classes, background included, that have single-class sources."""
        return sum(bool(drawn.stems) for drawn in self._single)

    def example(self, number: int) -> Sources:
        """Return the sources of one mixture, normalised to the loudness of the settings."""
        rng = np.random.default_rng((*self.seed, number))
        num_rows = len(self.labels) + bool(self.background)
        targets = np.zeros((num_rows, self.pool.audio.shape[1], self.segment), np.float32)
        while not targets.any():
            rows = self._fill(targets, rng)
        gain = loudness_gain(relative_lufs(targets.sum(0), self.pool.sample_rate), self.config.loudness_lufs)
        return Sources(targets * np.float32(gain), rows)

    def _fill(self, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw sources into their rows; returns ``rows``."""
        rows = np.arange(len(self.labels))
        background_row = len(self.labels)  # last row
        shared: tuple[str, ...] = ()
        if self._multi.stems and rng.random() < self.config.multi_label_probability:
            stem = self._multi.draw(rng)
            shared = stem.labels
            shared_rows = [self.labels.index(label) for label in shared if label in self.labels]
            row = min(shared_rows) if len(shared_rows) == len(shared) else background_row
            rows[shared_rows] = row
            targets[row] += self._source(stem, rng)
        for index, (label, drawn) in enumerate(zip((*self.labels, *self.background), self._single, strict=True)):
            absent = rng.random() < self.config.absent_chance
            if label not in shared and drawn.stems and not absent:
                targets[min(index, background_row)] += self._source(drawn.draw(rng), rng)
        return rows

    def _leaves_a_target(self, stem: PooledStem) -> bool:
        """Return whether a mixture with this stem has a target: the stem holds only labels, or not all labels."""
        return set(stem.labels) <= set(self.labels) or not set(self.labels) <= set(stem.labels)

    def _source(self, stem: PooledStem, rng: np.random.Generator) -> np.ndarray:
        """Return a random stretch of a stem with random augmentation, ``(channel, segment)``."""
        sound = self._stretch(stem, rng)
        if self._chain is not None:
            sound = self._chain(sound, self.pool.sample_rate, rng)
        gain = db_to_amplitude(rng.uniform(*self.config.gain_db))
        if rng.random() < self.config.swap_chance:
            sound = sound[::-1]
        if rng.random() < self.config.invert_chance:
            gain = -gain
        return sound * np.float32(gain)

    def _stretch(self, stem: PooledStem, rng: np.random.Generator) -> np.ndarray:
        if stem.num_samples >= self.segment:
            return self.pool.random_segment(stem, self.segment, rng)
        sound = np.zeros((self.pool.audio.shape[1], self.segment), np.float32)
        start = int(rng.integers(self.segment - stem.num_samples + 1))
        sound[:, start : start + stem.num_samples] = self._faded(self.pool.segment(stem, 0, stem.num_samples))
        return sound

    def _faded(self, sound: np.ndarray) -> np.ndarray:
        length = min(seconds_to_samples(FADE, self.pool.sample_rate), sound.shape[1] // 2)
        if length:
            ramp = (np.arange(length, dtype=np.float32) + 0.5) / length
            sound[:, :length] *= ramp
            sound[:, -length:] *= ramp[::-1]
        return sound


class _Drawn:
    """Draws stems in proportion to weight and length, so that every second has the same chance."""

    def __init__(self, stems: Sequence[PooledStem]) -> None:
        self.stems = list(stems)
        odds = np.array([stem.weight * stem.num_samples for stem in stems], np.float64)
        self._steps = np.cumsum(odds) / odds.sum() if len(odds) else odds

    def draw(self, rng: np.random.Generator) -> PooledStem:
        index = int(np.searchsorted(self._steps, rng.random(), side="right"))
        return self.stems[min(index, len(self.stems) - 1)]


def loudness_gain(loudness_lufs: float | None, wanted_lufs: float | None) -> float:
    """Return the factor that brings a sound to a loudness; 1 if either is unknown.

    >>> round(loudness_gain(-20.0, -14.0), 3), loudness_gain(None, -14.0)
    (1.995, 1.0)
    """
    return 1.0 if loudness_lufs is None or wanted_lufs is None else db_to_amplitude(wanted_lufs - loudness_lufs)


def _with_active(stem: Stem) -> Stem:
    """Set the active regions of a multi-label stem from its class regions, if it has none."""
    if stem.active is not None or stem.source is not None or len(stem.labels) < 2 or not stem.regions:
        return stem
    spans: list[tuple[float, float]] = []
    for region in stem.regions:
        if spans and region.start - spans[-1][1] < 1e-5:
            spans[-1] = (spans[-1][0], region.end)
        else:
            spans.append((region.start, region.end))
    return stem.model_copy(update={"active": spans})


def _runs(stem: Stem, sample_rate: int, num_samples: int) -> list[tuple[int, int, tuple[str, ...]]]:
    """Return start, end and classes of every stretch with constant classes, in samples of the pool.

    The pool holds the active regions one after the other; a trimmed file is in the pool as a whole.
    """
    whole_stem = [(0.0, stem.duration)]
    spans = whole_stem if stem.source is not None or stem.active is None else stem.active
    kept = [(seconds_to_samples(start, sample_rate), seconds_to_samples(end, sample_rate)) for start, end in spans]
    before = np.cumsum([0, *(end - start for start, end in kept)])
    runs: list[tuple[int, int, tuple[str, ...]]] = []
    for region in stem.regions:
        labels = tuple(label for label in stem.labels if label in region.labels)
        first, last = (seconds_to_samples(time, sample_rate) for time in (region.start, region.end))
        for (start, end), offset in zip(kept, before, strict=False):
            low, high = max(first, start), min(last, end, start + num_samples - offset)
            if low < high:
                runs.append((int(offset + low - start), int(offset + high - start), labels))
    return _joined(sorted(runs))


def _joined(runs: list[tuple[int, int, tuple[str, ...]]]) -> list[tuple[int, int, tuple[str, ...]]]:
    """Join adjacent runs of the same classes."""
    starts = [0, *(i for i, (a, b) in enumerate(pairwise(runs), 1) if a[2] != b[2] or b[0] - a[1] > 1), len(runs)]
    return [(runs[a][0], runs[b - 1][1], runs[a][2]) for a, b in pairwise(starts) if a < b]
