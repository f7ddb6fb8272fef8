"""Random mixing (Koo et al. 2023, section 3.1.1): noisy stems in, labelled mixtures out.

Each class is drawn with a chance, independently, from any song; each drawn stem goes through random effects; the sum is
the example and the union of the stems' labels its target. A wrongly labelled stem is sometimes right by luck, since the
class it really holds is often drawn as well, which is why a model can learn from noisy stems at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from stemclean.data.augment import CHAINS, Effects
from stemclean.data.pool import PooledStem, StemPool
from stemclean.errors import ConfigError
from stemclean.settings import RISING, WHOLE, Chance, Count, LevelsDb, Settings
from stemclean.units import db_to_amplitude

__all__ = ["Example", "MixingConfig", "RandomMixer"]


REUSE_AMONG = 256
"""Examples that share processed segments: those of one block of so many numbers."""
LOWEST_SHARE = np.float32(1e-6)
"""Share of the power that a silent source counts as: levels end at -60 dB."""


_Speed = Annotated[float, Field(ge=0.5, le=2)]


class MixingConfig(Settings):
    """How mixtures are drawn.

    Args:
        chance: of each class, independently; the empty draw is rejected. 0.5 is derived from the paper's figures.
        most: classes in a mixture at most; 0: any number.
        same_song_chance: chance that all sources of a mixture are from one song of several classes, in its key and its
            rooms, as bleed is (ours); they are processed anew each time. Without such songs it does
            nothing.
        effects: ``paper``, ``mild`` or ``none``, see :mod:`stemclean.data.augment`.
        level: True: segments are brought to one RMS level before their loudness is drawn.
        quiet_chance: chance that a source other than the first is a quiet one, as bleed is.
        quiet_db: level of a quiet source in dB relative to the first; needs ``level``.
        speed: range of the factors by which segments are played faster, pitch and all, so that a song and a singer
            are heard as several (ours); (1, 1): as they are.
        noise_chance: chance of background noise, 15 to 45 dB below the mixture (ours).
        empty_chance: chance of an example of noise alone, which holds no class (ours).
        reuse: how many examples hear one processed segment, on average, each with another loudness and
            other company; 1 is the paper's fresh draw, more saves time on effects.
        peak_db: levels of the mixture, RMS in dB relative to the model's ``level_dbfs``, drawn uniformly.
    """

    section: ClassVar[str] = "mixing"

    chance: Annotated[float, Field(gt=0, le=1)] = 0.5
    most: Annotated[int, Field(ge=0, le=1000), WHOLE] = 0
    same_song_chance: Chance = 0.0
    effects: Effects = "mild"
    level: bool = True
    quiet_chance: Chance = 0.4
    quiet_db: LevelsDb = (-24.0, -6.0)
    speed: Annotated[tuple[_Speed, _Speed], *RISING] = (1.0, 1.0)
    noise_chance: Chance = 0.1
    empty_chance: Chance = 0.02
    reuse: Count = 4
    peak_db: LevelsDb = (-12.0, 6.0)


class Example(NamedTuple):
    """A mixture and what is known of it.

    Args:
        waveform: ``(2, segment)`` float32.
        target: 1 for each class that is in it, ``(label,)`` float32.
        levels_db: level of each class in dB relative to the power of all that was added up, ``(label,)``;
            NaN where the class is not in it, or shares a stem with another, so that its part is not known.
        shares: of each class, and last of noise, in the power of each cell, ``(label + 1, *cells)`` float32; NaN where
            that is not known; None where no cells were asked for.
    """

    waveform: np.ndarray
    target: np.ndarray
    levels_db: np.ndarray
    shares: np.ndarray | None = None


class _Source(NamedTuple):
    """What an example is made of: its classes (none: noise), mean square, and power in each cell."""

    labels: tuple[str, ...]
    power: float
    cells: np.ndarray | None


class _Processed(NamedTuple):
    """A segment through the effects, the stem that it is from, and its power in each cell."""

    segment: np.ndarray
    stem: PooledStem
    cells: np.ndarray | None


class RandomMixer:
    """Labelled mixtures by number: the same number is always the same mixture, whoever asks and in which order.

    Args:
        pool: where stems are drawn from.
        labels: the classes, in the order of the targets.
        config: how.
        segment: samples of an example.
        seed: of everything that is drawn.
        level_dbfs: RMS level of the examples; None: as they come out.
        cells: power of each cell of a waveform, ``(2, segment)`` -> any shape; None: shares of cells are not told.
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
        """What chance does to an example; another stream for each purpose."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number, *purpose)))

    def example(self, number: int) -> Example:
        """One mixture."""
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
            gain = db_to_amplitude(self._gain_db(position, rng))
            mixture += segment * np.float32(gain)
            cells = None if cells is None else cells * np.float32(gain**2)
            sources.append(_Source(stem.labels, (_rms(segment) * gain) ** 2, cells))
        if rng.random() < self.config.noise_chance:
            noise = _noise(self.segment, self.pool.sample_rate, rng)
            noise = _at_level(noise, _rms(mixture), rng.uniform(-45, -15))
            mixture += noise
            sources.append(self._source((), noise))
        return self._example(mixture, sources, rng)

    def _source(self, labels: tuple[str, ...], waveform: np.ndarray) -> _Source:
        return _Source(labels, _rms(waveform) ** 2, self._cells(waveform) if self._cells else None)

    def _example(self, mixture: np.ndarray, sources: Sequence[_Source], rng: np.random.Generator) -> Example:
        """The mixture of sources whose classes and powers are known."""
        whole = sum(source.power for source in sources)
        shares = dict.fromkeys(self.labels, 0.0)
        for labels, power, _ in sources:
            for label in labels:
                shares[label] += power / whole if len(labels) == 1 and whole else np.nan
        held = {label for source in sources for label in source.labels}
        target = np.array([label in held for label in self.labels], np.float32)
        known = np.array([shares[label] if label in held else np.nan for label in self.labels], np.float32)
        levels_db = 10 * np.log10(np.maximum(known, LOWEST_SHARE))
        return Example(self._leveled(mixture, rng), target, levels_db, self._shares(sources))

    def _shares(self, sources: Sequence[_Source]) -> np.ndarray | None:
        """Of each class and of noise in each cell; unknown as a whole where a stem holds several classes."""
        if self._cells is None:
            return None
        each = [source.cells for source in sources if source.cells is not None]
        shares = np.zeros((len(self.labels) + 1, *each[0].shape), np.float32)
        for (labels, _, _), power in zip(sources, each, strict=True):
            shares[self.labels.index(labels[0]) if labels else -1] += power if len(labels) < 2 else np.nan
        shares /= np.maximum(shares.sum(0), np.finfo(np.float32).tiny)
        return shares

    def _song(self, rng: np.random.Generator) -> dict[str, list[PooledStem]]:
        """Stems of a song by their classes: any stem's song, if it has several."""
        stem = self._mixed[int(rng.integers(len(self._mixed)))]
        found: dict[str, list[PooledStem]] = {}
        for other in self._by_song[stem.track]:
            for label in other.labels:
                if label in self._odds:
                    found.setdefault(label, []).append(other)
        return found

    def _draw_labels(self, rng: np.random.Generator, song: Mapping[str, object] | None = None) -> list[str]:
        there = [label for label in self._odds if song is None or label in song]
        while True:
            drawn = [label for label in there if rng.random() < self.config.chance]
            if drawn:
                rng.shuffle(drawn)  # the first is the loud one
                return drawn[: self.config.most or None]

    def _processed(self, label: str, number: int, rng: np.random.Generator) -> _Processed:
        """A segment through the effects, one of those that the block's examples share where they are reused.

        A shared one is made from its place alone, so that it does not matter which example asks for it first.
        """
        if self.config.reuse == 1:
            return self._fresh(self._by_label[label], rng, self._odds[label])
        block = number // REUSE_AMONG
        if block != self._block:
            self._block, self._shelf = block, {}
        place = int(rng.integers(self._shared_segments))
        if (label, place) not in self._shelf:
            own = self.rng(block, self.labels.index(label), place)
            self._shelf[label, place] = self._fresh(self._by_label[label], own, self._odds[label])
        return self._shelf[label, place]

    @property
    def _shared_segments(self) -> int:
        """How many segments of a class the examples of a block share."""
        drawn = len(self._odds) * self.config.chance
        drawn = min(drawn, self.config.most or drawn)
        return max(1, round(REUSE_AMONG * drawn / len(self._odds) / self.config.reuse))

    def _fresh(
        self, stems: Sequence[PooledStem], rng: np.random.Generator, odds: np.ndarray | None = None
    ) -> _Processed:
        """A segment of one of some stems through the effects."""
        stem = stems[int(rng.choice(len(stems), p=odds))]
        segment = self._segment(stem, rng)
        if self._chain is not None:
            segment = self._chain(segment, self.pool.sample_rate, rng)
        if self.config.level:
            segment = segment * np.float32(0.1 / max(_rms(segment), 0.02 * stem.rms, 1e-5))
        return _Processed(segment, stem, self._cells(segment) if self._cells else None)

    def _segment(self, stem: PooledStem, rng: np.random.Generator) -> np.ndarray:
        """A random piece of a stem, at a random speed."""
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
    """Chance of each stem: its weight times the square root of its length, so that long ones do not take all."""
    odds = np.array([stem.weight * stem.num_samples**0.5 for stem in stems])
    share: np.ndarray = odds / odds.sum()
    return share


def _faster(waveform: np.ndarray, speed: float, num_samples: int) -> np.ndarray:
    """Read at another speed, straight lines between samples: dull or rough above 15 kHz by some dB, and cheap.

    Shape:
        ``(channel, time)``, at least ``speed * num_samples + 1`` long -> ``(channel, num_samples)``.
    """
    place = np.arange(num_samples) * speed
    before = place.astype(np.int64)
    after_share = (place - before).astype(np.float32)
    left = waveform[:, before]
    faster: np.ndarray = left + (waveform[:, before + 1] - left) * after_share
    return faster


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform**2)))


def _at_level(waveform: np.ndarray, reference: float, level_db: float) -> np.ndarray:
    return waveform * np.float32(reference * db_to_amplitude(level_db) / max(_rms(waveform), 1e-7))


def _noise(num_samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Coloured noise (slope 0 to -9 dB per octave), by chance with mains hum or beeps: sound of no class."""
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
