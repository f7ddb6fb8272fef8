"""What separators learn from: stretches of stems with the same classes throughout, and mixtures of known sources.

Koo et al. 2023, section 3.2: the sources of a mixture come from any songs. Mostly each class has a source of its own;
with a given probability one source holds several classes, and the other classes get theirs from stems that hold one.
The classes of a shared source are known only together, which is what ``rows`` says.

A stem of several classes is cut where its regions say that the classes change, so that a stem that bleeds for ten
seconds still gives its clean minutes (ours). The paper labels whole stems, as ``whole_stems`` does here.

Mixtures are drawn from all classes, whichever of them are to be separated. Those that are not are the background: they
sound in the mixture, and in no target.
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
"""Seconds over which a source that is shorter than the segment fades in and out."""


class SourceMixing(Settings):
    """How mixtures for separators are drawn.

    Args:
        multi_label_probability: of an example with one source that holds several classes; the paper's is 0.4. At 0 only
            stems of a single class train: one of several gives nothing, the stretches in which it holds one neither.
        whole_stems: a stem of several classes is one source of all of them, as in the paper; otherwise it is cut where
            its regions say that the classes change (ours).
        loudness_lufs: of every mixture (ITU-R BS.1770), reached by one gain on all its sources; the paper's is -14;
            None: as it is.
            A mixture without a loudness, silent or shorter than 0.4 s, is left as it is.
        effects: ``paper``, ``mild`` or ``none`` on every source, see :mod:`stemclean.data.augment`.
        gain_db: range of the gain of every source, drawn uniformly (ours).
        swap_chance, invert_chance: of a source whose channels change places, whose polarity is inverted (ours).
        absent_chance: of each class to be silent (ours).
        min_piece: seconds; shorter stretches of a cut stem are left out (ours).
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
        """The same without chance effects and shared sources: what validation hears."""
        return SourceMixing(
            multi_label_probability=0.0,
            whole_stems=self.whole_stems,
            loudness_lufs=self.loudness_lufs,
            min_piece=self.min_piece,
        )


@dataclass(frozen=True)
class Sources:
    """The sources of one mixture, which is their sum.

    Args:
        targets: ``(row, channel, time)`` float32, a row per class that is to be separated, and one more, the last, for
            the background where there are other classes; zeros where a row has no source.
        rows: ``(label,)`` int64: in which row a class is. Classes in the same row share a source; what a class in the
            background's row sounds like is not known.
    """

    targets: np.ndarray
    rows: np.ndarray


def trusted(manifest: Manifest, *, use_claimed: bool = False) -> Manifest:
    """The stems that a separator may learn from, with the labels that count.

    Declared test stems, stems without labels, stems whose verdict is ``drop`` and copies of others are left out.

    Args:
        use_claimed: take the dataset at its word: claimed classes, whole stems, no verdicts.
    """
    believed = [one.model_copy(update={"labels": one.claimed, "verdict": None}) for one in manifest.stems]
    copies = duplicates.left_out(believed if use_claimed else manifest.stems)
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
    """What sources are drawn from: stems of one class, and what the mixing takes of those that hold several.

    Args:
        manifest: the stems of the pool.
    """
    if not mixing.multi_label_probability:
        return pool.where([len(stem.labels) == 1 for stem in pool.stems])
    return pool if mixing.whole_stems else cut_to_regions(pool, manifest, mixing.min_piece)


def cut_to_regions(pool: StemPool, manifest: Manifest, min_piece: float = 1.0) -> StemPool:
    """The pool with stems of several classes cut where their classes change.

    A stem of one class stays whole: nothing else was found in it. Stretches in which no class is known are left out.

    Args:
        manifest: the stems of the pool, with ``regions``.
        min_piece: seconds; shorter pieces are left out.
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
    """Mixtures by number: the same number is always the same mixture, whoever asks and in which order.

    Every class of the pool gives a source to a mixture. Those that are not among the labels are its background, and so
    is all of a stem that holds such a class and one of the labels (vocals and other, where vocals and drums are
    separated): how much of it is which is not known, so that the class has no target in that mixture, not even silence.

    Args:
        pool: where sources are drawn from; usually what :func:`pieces` gives. A stem that would leave no label a target
            is passed over.
        labels: the classes, in the order of the model's outputs.
        config: how.
        segment: samples of a mixture.
        seed: of everything that is drawn.

    Raises:
        ConfigError: no source has a target.
    """

    def __init__(
        self, pool: StemPool, labels: Sequence[str], config: SourceMixing, segment: int, *, seed: Sequence[int]
    ) -> None:
        self.pool, self.labels, self.config, self.segment = pool, tuple(labels), config, segment
        self.seed = tuple(seed)
        self.background = tuple(sorted({label for stem in pool.stems for label in stem.labels} - set(self.labels)))
        """Classes that sound in the mixtures and are not separated."""
        single = [[stem for stem in pool.stems if stem.labels == (name,)] for name in (*self.labels, *self.background)]
        self._single = [_Drawn(stems) for stems in single]
        shared = [stem for stem in pool.stems if len(stem.labels) > 1 and self._leaves_a_target(stem)]
        self._multi = _Drawn(shared if config.multi_label_probability else [])
        self._chain = CHAINS[config.effects]
        if not self.alone and not any(set(stem.labels) <= set(self.labels) for stem in self._multi.stems):
            raise ConfigError("no stem holds just classes of " + ", ".join(self.labels))
        if self._chain is not None and pool.audio.shape[1] != 2:
            raise ConfigError("effects are stereo", 'set mixing.effects="none" or spec.channels=2')

    @property
    def alone(self) -> list[str]:
        """The classes that have sources of their own."""
        return [label for label, drawn in zip(self.labels, self._single, strict=False) if drawn.stems]

    @property
    def num_single(self) -> int:
        """Number of classes, background included, that have single-class sources."""
        return sum(bool(drawn.stems) for drawn in self._single)

    def example(self, number: int) -> Sources:
        """The sources of one mixture, at the mixture's loudness."""
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
        behind = len(self.labels)  # the background's row
        shared: tuple[str, ...] = ()
        if self._multi.stems and rng.random() < self.config.multi_label_probability:
            stem = self._multi.draw(rng)
            shared = stem.labels
            asked = [self.labels.index(label) for label in shared if label in self.labels]
            row = min(asked) if len(asked) == len(shared) else behind
            rows[asked] = row
            targets[row] += self._source(stem, rng)
        for place, (label, drawn) in enumerate(zip((*self.labels, *self.background), self._single, strict=True)):
            absent = rng.random() < self.config.absent_chance
            if label not in shared and drawn.stems and not absent:
                targets[min(place, behind)] += self._source(drawn.draw(rng), rng)
        return rows

    def _leaves_a_target(self, stem: PooledStem) -> bool:
        """Whether any label is known in a mixture with this stem: it holds labels alone, or not all of them."""
        return set(stem.labels) <= set(self.labels) or not set(self.labels) <= set(stem.labels)

    def _source(self, stem: PooledStem, rng: np.random.Generator) -> np.ndarray:
        """A random stretch of a stem through what chance does to it, ``(channel, segment)``."""
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
    """Stems drawn by weight and length, every second of them alike."""

    def __init__(self, stems: Sequence[PooledStem]) -> None:
        self.stems = list(stems)
        odds = np.array([stem.weight * stem.num_samples for stem in stems], np.float64)
        self._steps = np.cumsum(odds) / odds.sum() if len(odds) else odds

    def draw(self, rng: np.random.Generator) -> PooledStem:
        place = int(np.searchsorted(self._steps, rng.random(), side="right"))
        return self.stems[min(place, len(self.stems) - 1)]


def loudness_gain(loudness_lufs: float | None, wanted_lufs: float | None) -> float:
    """The factor that brings a sound to a loudness; 1 where either is not known.

    >>> round(loudness_gain(-20.0, -14.0), 3), loudness_gain(None, -14.0)
    (1.995, 1.0)
    """
    return 1.0 if loudness_lufs is None or wanted_lufs is None else db_to_amplitude(wanted_lufs - loudness_lufs)


def _with_active(stem: Stem) -> Stem:
    """A stem whose regions are known but not where it sounds: it sounds there."""
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
    """Start, end and classes of every stretch with the same classes, in samples of the pool.

    The pool holds the active regions one after the other; a trimmed file is pooled whole.
    """
    whole = [(0.0, stem.duration)]
    spans = whole if stem.source is not None or stem.active is None else stem.active
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
    """Runs of the same classes that touch, made one."""
    starts = [0, *(i for i, (a, b) in enumerate(pairwise(runs), 1) if a[2] != b[2] or b[0] - a[1] > 1), len(runs)]
    return [(runs[a][0], runs[b - 1][1], runs[a][2]) for a, b in pairwise(starts) if a < b]
