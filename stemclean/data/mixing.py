"""Random mixing (Koo et al. 2023, section 3.1.1): make labelled mixtures from stems with noisy labels.

Each class is drawn independently with a given chance, from any song. Every drawn stem goes through random effects. The
example is the sum of the stems, and its target is the union of their labels. A mislabelled stem often does no harm,
because the class that it really holds is often drawn as well; this is why a model can learn from noisy labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from stemclean.data.augment import CHAINS, Effects, lossy
from stemclean.data.pool import PooledStem, StemPool
from stemclean.data.rooms import draw_room
from stemclean.errors import ConfigError
from stemclean.settings import RISING, WHOLE, Chance, Count, LevelsDb, Settings
from stemclean.units import db_to_amplitude

__all__ = ["Example", "MixingConfig", "RandomMixer"]


REUSE_AMONG = 256
"""Number of consecutive examples that share processed segments."""
LOWEST_SHARE = np.float32(1e-6)
"""Lowest share of the power: levels end at -60 dB."""


_Speed = Annotated[float, Field(ge=0.5, le=2)]


class MixingConfig(Settings):
    """How mixtures are drawn.

    Args:
        chance: Chance of each class, independently; empty draws are rejected. 0.5 is derived from the paper's figures.
        most: Largest number of classes in a mixture; 0: no limit.
        same_song_chance: Chance that all sources of a mixture are from the same song, in the same key and room, as
            bleed is (ours). Their segments are not reused. Without songs of several classes this has no effect.
        effects: ``paper``, ``mild`` or ``none``, see :mod:`stemclean.data.augment`.
        level: Normalise segments to the same RMS level before their gains are drawn.
        quiet_chance: Chance that a source other than the first is quiet, as bleed is.
        quiet_db: Range of the level of a quiet source in dB relative to the first; needs ``level``.
        room_chance: Chance that a source other than the first comes through a room, as bleed in recordings does (ours);
            see :mod:`stemclean.data.rooms`.
        codec_chance: Chance that the mixture was an MP3 before, of a random quality (ours).
        speed: Range of playback speeds, which also change the pitch, so that one singer sounds like several (ours);
            (1, 1): unchanged.
        noise_chance: Chance of background noise, 15 to 45 dB below the mixture (ours).
        empty_chance: Chance of an example of noise only, without any class (ours).
        reuse: Average number of examples that use the same processed segment, with other gains and other sources. 1 is
            the paper's fresh draw; more saves time on effects.
        peak_db: Range of the RMS level of the mixture in dB relative to the model's ``level_dbfs``, drawn uniformly.
    """

    section: ClassVar[str] = "mixing"

    chance: Annotated[float, Field(gt=0, le=1)] = 0.5
    most: Annotated[int, Field(ge=0, le=1000), WHOLE] = 0
    same_song_chance: Chance = 0.0
    effects: Effects = "mild"
    level: bool = True
    quiet_chance: Chance = 0.4
    quiet_db: LevelsDb = (-24.0, -6.0)
    room_chance: Chance = 0.0
    codec_chance: Chance = 0.0
    speed: Annotated[tuple[_Speed, _Speed], *RISING] = (1.0, 1.0)
    noise_chance: Chance = 0.1
    empty_chance: Chance = 0.02
    reuse: Count = 4
    peak_db: LevelsDb = (-12.0, 6.0)


class Example(NamedTuple):
    """A mixture and its targets.

    Args:
        waveform: The mixture. Shape: (2, segment) float32
        target: 1 for each class in it, otherwise 0. Shape: (label,) float32
        levels_db: Level of each class in dB relative to the total power of the sources. NaN if the class is not in the
            mixture, or if its level is unknown because it shares a stem with another class. Shape: (label,)
        shares: Share of each class and, last, of noise in the power of each cell; NaN where unknown; None without
            ``cells``. Shape: (label + 1, *cells) float32
    """

    waveform: np.ndarray
    target: np.ndarray
    levels_db: np.ndarray
    shares: np.ndarray | None = None


class _Source(NamedTuple):
    """A source of an example: its classes (none for noise), mean square, and power in each cell."""

    labels: tuple[str, ...]
    power: float
    cells: np.ndarray | None


class _Processed(NamedTuple):
    """A segment after the effects, its stem, and its power in each cell."""

    segment: np.ndarray
    stem: PooledStem
    cells: np.ndarray | None


class RandomMixer:
    """Labelled mixtures by number: the same number always gives the same mixture, in any process and order.

    Args:
        pool: The stems.
        labels: The classes, in the order of the targets.
        config: How mixtures are drawn.
        segment: Length of an example in samples.
        seed: Random seed.
        level_dbfs: RMS level to which examples are normalised; None: no normalisation.
        cells: Returns the power of each cell of a waveform, ``(2, segment)`` -> any shape; None: no shares of cells.
    """

    def __init__(
        self,
        pool: StemPool,
        labels: Sequence[str],
        config: MixingConfig,
        segment: int,
        *,
        seed: int | Sequence[int],
        level_dbfs: float | None = None,
        cells: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.pool, self.labels, self.config, self.segment = pool, tuple(labels), config, segment
        self.seed = (seed,) if isinstance(seed, int) else tuple(seed)
        self.level_dbfs = level_dbfs
        self._cells = cells
        self._chain = CHAINS[config.effects]
        self._by_label = {label: [s for s in pool.stems if label in s.labels] for label in self.labels}
        self._odds = {label: _odds(stems) for label, stems in self._by_label.items() if stems}
        self._useful = [stem for stem in pool.stems if not self._odds.keys().isdisjoint(stem.labels)]
        self._by_song: dict[str, list[PooledStem]] = {}
        for stem in self._useful:
            self._by_song.setdefault(stem.track, []).append(stem)
        mixed = {track for track, stems in self._by_song.items() if len({stem.labels for stem in stems}) > 1}
        self._mixed = [stem for stem in self._useful if stem.track in mixed]
        self._block = -1
        self._shelf: dict[tuple[str, int], _Processed] = {}
        if not self._odds:
            raise ConfigError("no stem holds any of the classes " + ", ".join(self.labels))

    def rng(self, number: int, *purpose: int) -> np.random.Generator:
        """Return the random generator of an example; each purpose has its own stream."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number, *purpose)))

    def example(self, number: int) -> Example:
        """Return the mixture with a number."""
        rng = self.rng(number)
        if rng.random() < self.config.empty_chance:
            noise = _noise(self.segment, self.pool.sample_rate, rng)
            return self._example(noise, [self._source((), noise)], rng)
        mixture = np.zeros((2, self.segment), np.float32)
        sources: list[_Source] = []
        chance = self.config.same_song_chance
        song = self._song(rng) if self._mixed and chance and rng.random() < chance else None
        for position, label in enumerate(self._draw_labels(rng, song)):
            segment, stem, cells = (
                self._processed(label, number, rng) if song is None else self._fresh(song[label], rng)
            )
            if position and self.config.room_chance and rng.random() < self.config.room_chance:
                segment = draw_room(self.pool.sample_rate, rng)(segment)
                cells = self._cells(segment) if self._cells else None
            gain = db_to_amplitude(self._gain_db(position, rng))
            mixture += segment * np.float32(gain)
            cells = None if cells is None else cells * np.float32(gain**2)
            sources.append(_Source(stem.labels, (_rms(segment) * gain) ** 2, cells))
        if rng.random() < self.config.noise_chance:
            noise = _noise(self.segment, self.pool.sample_rate, rng)
            noise = _at_level(noise, _rms(mixture), rng.uniform(-45, -15))
            mixture += noise
            sources.append(self._source((), noise))
        if self.config.codec_chance and rng.random() < self.config.codec_chance:
            mixture = lossy(mixture, self.pool.sample_rate, rng)
        return self._example(mixture, sources, rng)

    def _source(self, labels: tuple[str, ...], waveform: np.ndarray) -> _Source:
        return _Source(labels, _rms(waveform) ** 2, self._cells(waveform) if self._cells else None)

    def _example(self, mixture: np.ndarray, sources: Sequence[_Source], rng: np.random.Generator) -> Example:
        """Build the example of a mixture from its sources."""
        total = sum(source.power for source in sources)
        shares = dict.fromkeys(self.labels, 0.0)
        for labels, power, _ in sources:
            for label in labels:
                shares[label] += power / total if len(labels) == 1 and total else np.nan
        present = {label for source in sources for label in source.labels}
        target = np.array([label in present for label in self.labels], np.float32)
        powers = np.array([shares[label] if label in present else np.nan for label in self.labels], np.float32)
        levels_db = 10 * np.log10(np.maximum(powers, LOWEST_SHARE))
        return Example(self._leveled(mixture, rng), target, levels_db, self._shares(sources))

    def _shares(self, sources: Sequence[_Source]) -> np.ndarray | None:
        """Return the shares of each class and of noise in each cell; all NaN if a stem holds several classes."""
        if self._cells is None:
            return None
        cells = [source.cells for source in sources if source.cells is not None]
        shares = np.zeros((len(self.labels) + 1, *cells[0].shape), np.float32)
        for (labels, _, _), power in zip(sources, cells, strict=True):
            shares[self.labels.index(labels[0]) if labels else -1] += power if len(labels) < 2 else np.nan
        shares /= np.maximum(shares.sum(0), np.finfo(np.float32).tiny)
        return shares

    def _song(self, rng: np.random.Generator) -> dict[str, list[PooledStem]]:
        """Draw a song of several classes; returns its stems by class."""
        stem = self._mixed[int(rng.integers(len(self._mixed)))]
        by_label: dict[str, list[PooledStem]] = {}
        for member in self._by_song[stem.track]:
            for label in member.labels:
                if label in self._odds:
                    by_label.setdefault(label, []).append(member)
        return by_label

    def _draw_labels(self, rng: np.random.Generator, song: Mapping[str, object] | None = None) -> list[str]:
        available = [label for label in self._odds if song is None or label in song]
        while True:
            drawn = [label for label in available if rng.random() < self.config.chance]
            if drawn:
                rng.shuffle(drawn)  # the first is the loud one
                return drawn[: self.config.most or None]

    def _processed(self, label: str, number: int, rng: np.random.Generator) -> _Processed:
        """Return a segment after the effects; with reuse, one that the examples of a block share.

        A shared segment depends only on its place in the block, not on the example that uses it first.
        """
        if self.config.reuse == 1:
            return self._fresh(self._by_label[label], rng, self._odds[label])
        block = number // REUSE_AMONG
        if block != self._block:
            self._block, self._shelf = block, {}
        index = int(rng.integers(self._shared_segments))
        if (label, index) not in self._shelf:
            segment_rng = self.rng(block, self.labels.index(label), index)
            self._shelf[label, index] = self._fresh(self._by_label[label], segment_rng, self._odds[label])
        return self._shelf[label, index]

    @property
    def _shared_segments(self) -> int:
        """Number of segments of a class that the examples of a block share."""
        drawn = len(self._odds) * self.config.chance
        drawn = min(drawn, self.config.most or drawn)
        return max(1, round(REUSE_AMONG * drawn / len(self._odds) / self.config.reuse))

    def _fresh(
        self, stems: Sequence[PooledStem], rng: np.random.Generator, odds: np.ndarray | None = None
    ) -> _Processed:
        """Draw one of some stems; returns a segment of it after new effects."""
        stem = stems[int(rng.choice(len(stems), p=odds))]
        segment = self._segment(stem, rng)
        if self._chain is not None:
            segment = self._chain(segment, self.pool.sample_rate, rng)
        if self.config.level:
            segment = segment * np.float32(0.1 / max(_rms(segment), 0.02 * stem.rms, 1e-5))
        return _Processed(segment, stem, self._cells(segment) if self._cells else None)

    def _segment(self, stem: PooledStem, rng: np.random.Generator) -> np.ndarray:
        """Return a random piece of a stem, at a random speed."""
        if self.config.speed == (1.0, 1.0):
            return self.pool.random_segment(stem, self.segment, rng)
        speed = rng.uniform(*self.config.speed)
        piece = self.pool.random_segment(stem, int(self.segment * speed) + 2, rng)
        return _faster(piece, speed, self.segment)

    def _gain_db(self, position: int, rng: np.random.Generator) -> float:
        if not self.config.level:
            return 0.0
        if position and rng.random() < self.config.quiet_chance:
            return float(rng.uniform(*self.config.quiet_db))
        return float(rng.uniform(-5.0, 5.0))

    def _leveled(self, mixture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.level_dbfs is None:
            return mixture
        return _at_level(mixture, db_to_amplitude(self.level_dbfs), rng.uniform(*self.config.peak_db))


def _odds(stems: Sequence[PooledStem]) -> np.ndarray:
    """Return the chance of each stem: its weight times the square root of its length, so that none dominates."""
    odds = np.array([stem.weight * stem.num_samples**0.5 for stem in stems])
    share: np.ndarray = odds / odds.sum()
    return share


def _faster(waveform: np.ndarray, speed: float, num_samples: int) -> np.ndarray:
    """Change the speed by linear interpolation, which is fast; its errors above 15 kHz are some dB.

    Shape:
        ``(channel, time)``, at least ``speed * num_samples + 1`` long -> ``(channel, num_samples)``.
    """
    positions = np.arange(num_samples) * speed
    before = positions.astype(np.int64)
    after_share = (positions - before).astype(np.float32)
    first = waveform.take(before, axis=1)  # several times as fast as an index
    faster: np.ndarray = first + (waveform.take(before + 1, axis=1) - first) * after_share
    return faster


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform**2)))


def _at_level(waveform: np.ndarray, reference: float, level_db: float) -> np.ndarray:
    return waveform * np.float32(reference * db_to_amplitude(level_db) / max(_rms(waveform), 1e-7))


def _noise(num_samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return coloured noise (slope 0 to -9 dB per octave), sometimes with mains hum or beeps: sound of no class."""
    spectrum = np.fft.rfft(rng.standard_normal((2, num_samples)).astype(np.float32))
    frequencies = np.maximum(np.fft.rfftfreq(num_samples, 1 / sample_rate), 20.0)
    noise = np.fft.irfft(spectrum * frequencies ** -rng.uniform(0.0, 1.5), num_samples).astype(np.float32)
    if rng.random() < 0.5:
        noise[1] = noise[0]
    noise /= max(_rms(noise), 1e-9)
    if rng.random() < 0.4:
        time = np.arange(num_samples) / sample_rate
        base = rng.choice([50.0, 60.0]) if rng.random() < 0.5 else rng.uniform(200.0, 3000.0)
        harmonics = sum(
            rng.uniform(0, 1) / k * np.sin(2 * np.pi * k * base * time) for k in range(1, int(rng.integers(2, 8)))
        )
        noise = noise + np.asarray(harmonics, np.float32) * np.float32(rng.uniform(0.3, 3.0))
    return noise
