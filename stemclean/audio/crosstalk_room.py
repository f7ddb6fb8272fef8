"""Measure bleed that went through a room. Ours.

A microphone picks up its neighbour directly and by reflections that arrive over some tenths of a second, each at its
own delay and level. One gain per band, as in :mod:`stemclean.audio.crosstalk_fit`, catches the direct sound alone.
Here, each bin of the spectrogram of a stem is a weighted sum of several frames of the same bin of its source, which
approximates a convolution with the response of the room (Talmon, Cohen and Gannot 2009, "Relative transfer function
identification using convolutive transfer function approximation"). The weights of the regression are those of the other
method: cells count where the stem's own sound is soft.

Bias
    Regression on several frames finds something in unrelated sounds, too. The response is therefore estimated twice,
    from blocks that alternate, and what the two have in common is bleed: the mean of their product is not biased.

Which stems
    Sound reaches the other microphone later than its own. The weighted cross-correlation of the two stems therefore has
    more energy at positive lags than at negative ones. Music that is played together is correlated at both, so that the
    negative lags are the null distribution, from the same two stems.

Limits: tonal sources such as a bass are often not clearly later, and are then measured as copies. If two stems bleed
into each other through a room, one direction is reported, and its level is too high.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemclean.audio.crosstalk_fit import LEAST_REST, Blocks, Cells, blocks_together, inverse_power

__all__ = ["AGREEMENT", "RoomFit", "fit_rooms", "heard_later"]

TAPS = 5
"""Number of frames of the response; five cover 0.28 s, in which a reverberation of 0.4 s decays by 42 dB."""
HIGHEST_HZ = 16000.0
"""Frequencies above are ignored, as most codecs remove them."""
ALTERNATING = 4
"""Blocks before the other estimate gets the following ones."""
PASSES = 2
"""Number of regressions, each weighted by the residual of the previous one."""
RIDGE = 1e-3
"""Regularisation relative to the mean power of the source."""
WIDE = 1e-3
"""Minimum power of the difference of two channels relative to that of their sum for both to be sources."""
AGREEMENT = 0.85
"""Minimum correlation of the two estimates of a bleed."""
DIRECT = 0.0005
"""Seconds around lag 0 that say nothing about the order of two sounds."""
TAIL = 0.04
"""Longest lag at which reflections are looked for, in seconds."""
DECAY = 0.012
"""Seconds in which the weight of a lag decays by a factor of e."""
LATER_DB = 5.0
"""Minimum energy of a correlation at positive lags relative to that at negative ones, in dB."""
AUDIBLE_DB = -10.0
"""Minimum energy of the reflections relative to the peak in dB; below it, the bleed counts as a copy."""
CLEAR_DB = 15.0
"""Minimum energy at positive lags relative to that at lags beyond :data:`TAIL`, in dB."""

Pair = tuple[int, int]


def heard_later(there: NDArray[np.float32], back: NDArray[np.float32], lag: int, sample_rate: int) -> bool:
    """Return whether a stem holds a later, reverberant copy of a source.

    Args:
        there: weighted cross-correlation of the stem with the source, circular. Shape: (lag,)
        back: that of the source with the stem, weighted where the source is soft.
        lag: lag of the peak of the first in samples.
        sample_rate: in Hz.
    """
    after_db, before_db = _energies_db(there, sample_rate)
    # If the source bled into the stem, but earlier, the opposite correlation is clearer.
    opposite_db = _energies_db(back, sample_rate)[1]
    later = after_db >= CLEAR_DB and after_db - before_db >= LATER_DB and after_db > opposite_db
    return later and _has_tail(there, lag, sample_rate)


def _has_tail(correlation: NDArray[np.float32], lag: int, sample_rate: int) -> bool:
    """Return whether reflections follow the peak of a correlation; that of a mere copy is symmetric about its peak."""
    direct, tail = round(DIRECT * sample_rate), round(TAIL * sample_rate)
    energy = np.roll(np.square(correlation, dtype=np.float64), -lag)
    peak = float(energy[:direct].sum() + energy[-direct:].sum())
    return bool(energy[direct:tail].sum() - energy[-tail:-direct].sum() >= peak * 10 ** (AUDIBLE_DB / 10))


def _energies_db(correlation: NDArray[np.float32], sample_rate: int) -> tuple[float, float]:
    """Return the energy at positive and at negative lags, in dB relative to that at long lags."""
    direct, tail = round(DIRECT * sample_rate), round(TAIL * sample_rate)
    tail = min(tail, 3 * len(correlation) // 7)  # a little less than half
    energy = np.square(correlation, dtype=np.float64)
    weights = np.exp(-np.arange(tail) / (DECAY * sample_rate))
    weights[:direct] = 0.0
    null = float(energy[tail:-tail].mean() * weights.sum()) + 1e-30
    after, before = float(energy[:tail] @ weights), float(energy[: -tail - 1 : -1] @ weights)
    return 10 * math.log10(after / null + 1e-30), 10 * math.log10(before / null + 1e-30)


@dataclass(frozen=True)
class RoomFit:
    """Bleed of one source of a stem.

    Args:
        bleed: power of the bleed, summed over the cells of each block, ``(block,)``.
        agreement: correlation of the bleed according to either estimate, in [-1, 1].
    """

    bleed: NDArray[np.float64]
    agreement: float


def fit_rooms(
    stems: Sequence[Blocks], cells: Cells, sources: Mapping[int, Sequence[int]]
) -> tuple[dict[Pair, RoomFit], NDArray[np.float64]]:
    """Regress stems on frames of all their sources.

    Args:
        stems: as for :func:`stemclean.audio.crosstalk.measure`.
        cells: the spectrograms.
        sources: stem -> its sources.

    Returns:
        ((source, stem) -> result, power of each of these stems, summed likewise: ``(block, stem)``)
    """
    used = sorted({stem for into in sources for stem in (into, *sources[into])})
    blocks_of = [stems[stem] for stem in used]
    position = {stem: index for index, stem in enumerate(used)}
    wide = _wide(blocks_of, cells)
    rooms = {
        into: _Room(cells, position[into], [position[source] for source in of_stem], wide)
        for into, of_stem in sources.items()
    }
    for _ in range(PASSES):
        for number, spectra in enumerate(_spectra(blocks_of, cells)):
            for room in rooms.values():
                room.add(spectra, number // ALTERNATING % 2)
        for room in rooms.values():
            room.solve()
    for spectra in _spectra(blocks_of, cells):
        for room in rooms.values():
            room.measure(spectra)
    fits = {
        (source, into): room.result(index) for into, room in rooms.items() for index, source in enumerate(sources[into])
    }
    powers = np.zeros((len(next(iter(rooms.values())).powers), len(stems)))
    for into, room in rooms.items():
        powers[:, into] = room.powers
    return fits, powers


def _spectra(stems: Sequence[Blocks], cells: Cells) -> Iterator[NDArray[np.complex64]]:
    """Yield spectra of the sum and the difference of the channels, ``(stem, 2, frame, bin)``."""
    highest = round(HIGHEST_HZ * cells.length / cells.sample_rate)
    for block in blocks_together(stems, cells.length + TAPS * cells.hop):
        both = block if block.shape[1] > 1 else np.repeat(block, 2, axis=1)
        halves = np.stack([both[:, 0] + both[:, 1], both[:, 0] - both[:, 1]], axis=1) * np.float32(np.sqrt(0.5))
        yield cells.spectra(halves)[..., :highest]


def _wide(stems: Sequence[Blocks], cells: Cells) -> list[bool]:
    """Return whether the difference of the channels of each stem is loud enough to be a source of its own."""
    powers = np.zeros((len(stems), 2))
    for block in blocks_together(stems, cells.length):
        left, right = block[:, 0], block[:, -1]
        powers += np.stack([np.square(left + right).sum(1), np.square(left - right).sum(1)], axis=1)
    return [bool(difference > WIDE * total) for total, difference in powers]


class _Room:
    """Regression of one stem on all of its sources.

    Args:
        cells: the spectrograms.
        into: position of the stem.
        sources: positions of its sources.
        wide: stem -> whether both channels are sources.
    """

    def __init__(self, cells: Cells, into: int, sources: Sequence[int], wide: Sequence[bool]) -> None:
        self.cells, self.into = cells, into
        self.inputs = [(source, channel) for source in sources for channel in range(1 + wide[source])]
        self.source_of = np.repeat([sources.index(source) for source, _ in self.inputs], TAPS)
        self.powers: list[float] = []
        self._bleeds: list[list[NDArray[np.float64]]] = [[] for _ in sources]  # common, first, second of each block
        self._response: NDArray[np.complex64] | None = None  # of both halves together: (bin, input * tap, channel)
        self._halves: list[NDArray[np.complex64]] = []
        self._clear()

    def _clear(self) -> None:
        self._gram: list[NDArray[np.complex64] | None] = [None, None]
        self._cross: list[NDArray[np.complex64] | None] = [None, None]

    def _frames(self, spectra: NDArray[np.complex64]) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Return the frames of the sources ``(bin, input * tap, frame)`` and of the stem ``(bin, frame, channel)``."""
        num = spectra.shape[2] - TAPS + 1
        taps = [
            spectra[source, channel, TAPS - 1 - tap : TAPS - 1 - tap + num]
            for source, channel in self.inputs
            for tap in range(TAPS)
        ]
        return np.stack(taps).transpose(2, 0, 1), spectra[self.into, :, TAPS - 1 :].transpose(2, 1, 0)

    def _around(self, power: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the local power, ``(bin, frame)`` -> the same."""
        full = np.zeros((power.shape[1], self.cells.length // 2 + 1), np.float32)
        full[:, : power.shape[0]] = power.T
        return self.cells.around(full)[:, : power.shape[0]].T

    def add(self, spectra: NDArray[np.complex64], half: int) -> None:
        """Add a block to the regression of one half."""
        frames, stem = self._frames(spectra)
        before = self._around((np.abs(stem) ** 2).mean(-1))
        weights = inverse_power(before.T).T
        if self._response is not None:
            rest = stem - frames.transpose(0, 2, 1) @ self._response
            after = np.maximum(self._around((np.abs(rest) ** 2).mean(-1)), LEAST_REST * before + 1e-12)
            weights = np.where(weights > 0, 1 / after, 0).astype(np.float32)
        weighted = frames.conj() * weights[:, None]
        gram = np.asarray(weighted @ frames.transpose(0, 2, 1), np.complex64)
        cross = np.asarray(weighted @ stem, np.complex64)
        before_gram, before_cross = self._gram[half], self._cross[half]
        self._gram[half] = gram if before_gram is None else np.asarray(before_gram + gram, np.complex64)
        self._cross[half] = cross if before_cross is None else np.asarray(before_cross + cross, np.complex64)

    def solve(self) -> None:
        """Estimate the responses from all blocks that were added."""
        halves = [
            (gram, cross) for gram, cross in zip(self._gram, self._cross, strict=True)
            if gram is not None and cross is not None
        ]  # fmt: skip
        self._halves = [_solved(gram, cross) for gram, cross in halves]
        self._response = _solved(np.sum([gram for gram, _ in halves], 0), np.sum([cross for _, cross in halves], 0))
        self._clear()

    def measure(self, spectra: NDArray[np.complex64]) -> None:
        """Measure the bleed of each source in a block."""
        frames, stem = self._frames(spectra)
        self.powers.append(float((np.abs(stem) ** 2).sum()))
        for index, bleeds in enumerate(self._bleeds):
            taps = self.source_of == index
            heard = frames[:, taps].transpose(0, 2, 1)
            first, second = heard @ self._halves[0][:, taps], heard @ self._halves[-1][:, taps]
            bleeds.append(
                np.array([np.vdot(first, second).real, np.vdot(first, first).real, np.vdot(second, second).real])
            )

    def result(self, index: int) -> RoomFit:
        """Return the bleed of a source; nothing agrees if the song was too short for two estimates."""
        common, first, second = np.array(self._bleeds[index], np.float64).T
        size = np.sqrt(first.sum() * second.sum())
        agreement = float(common.sum() / size) if size > 0 and len(self._halves) > 1 else 0.0
        return RoomFit(np.maximum(common, 0.0), agreement)


def _solved(gram: NDArray[np.complex64], cross: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Return the response of each bin, ``(bin, input * tap, channel)``."""
    size = np.einsum("bii->b", gram).real / gram.shape[1]
    ridge = np.eye(gram.shape[1], dtype=np.float32) * (RIDGE * size + 1e-20)[:, None, None]
    solved: NDArray[np.complex64] = np.linalg.solve(gram + ridge, cross)
    return solved
