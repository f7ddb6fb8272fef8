"""Regression of a stem on other stems of its song, block by block and band by band.

:mod:`stemclean.audio.crosstalk` explains the method.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType

import numpy as np
import scipy
from numpy.typing import NDArray

from stemclean.audio.waveform import Waveform

__all__ = ["Blocks", "Cells", "Fit", "blocks_together", "fit", "inverse_power"]

WINDOW = 0.0929
"""Length of the window of a spectrogram in seconds; windows overlap by half."""
LOWEST_HZ = 20.0
"""Lower frequencies are ignored: an offset that two stems have in common is not bleed."""
WIDTH = 8.0
"""Width of the bands in which a bleed has one gain, in equivalent rectangular bandwidths."""
LOCAL_WIDTH = 1.5
LOCAL_FRAMES = 8
"""Width in equivalent rectangular bandwidths, and number of frames, over which the local power is averaged."""
GATED_DB = -60.0
"""Where a stem is this far below its mean it was gated, so these cells say nothing about bleed into it."""
REPEATS = 3
"""Number of regressions, each weighted by the residual of the previous one."""
CLEAR = 16.0
"""Minimum ratio of the square of a gain to its variance; unclear gains are set to 0."""
LOUDEST = 2.0
"""Maximum power of a bleed relative to the stem's own sound. A louder one is not bleed of the source into the stem, but
of the stem into the source."""
LEAST_REST = 1e-3
"""Minimum share of a stem's local power that is not bleed."""

Blocks = Callable[[], Iterator[Waveform]]
Spectra = NDArray[np.complex64]
Powers = NDArray[np.float32]


class Cells:
    """Spectrograms of blocks, and the mean power around each of their cells."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.length = 2 ** round(np.log2(WINDOW * sample_rate))
        self.hop = self.length // 2
        self._inaudible = math.ceil(LOWEST_HZ * self.length / sample_rate)
        self._window = np.hanning(self.length + 1)[:-1].astype(np.float32)
        self._local = _band_starts(self.length, sample_rate, LOCAL_WIDTH)
        self.bands = _band_starts(self.length, sample_rate, WIDTH)

    def spectra(self, block: Waveform) -> Spectra:
        """Return spectra ``(..., time)`` -> ``(..., frame, bin)``; an incomplete last window is left out."""
        frames = np.lib.stride_tricks.sliding_window_view(block, self.length, -1)[..., :: self.hop, :]
        spectra = np.asarray(scipy.fft.rfft(frames * self._window, axis=-1), np.complex64)
        spectra[..., : self._inaudible] = 0.0
        return spectra

    def around(self, power: Powers) -> Powers:
        """Return the mean over the band and some frames around each cell: ``(..., frame, bin)`` -> the same."""
        counts = np.diff(self._local, append=power.shape[-1]).astype(np.float32)
        bands = np.add.reduceat(power, self._local, axis=-1) / counts
        bands = scipy.ndimage.uniform_filter1d(bands, LOCAL_FRAMES, axis=-2, mode="nearest")
        return np.repeat(bands, counts.astype(int), axis=-1)

    def spread(self, gains: NDArray[np.complex128]) -> Spectra:
        """Copy the gain of each band to its bins: ``(..., band)`` -> ``(..., bin)``."""
        return np.repeat(gains.astype(np.complex64), np.diff(self.bands, append=self.length // 2 + 1), axis=-1)


def _band_starts(length: int, sample_rate: int, width: float) -> NDArray[np.intp]:
    """Return the first bin of each band, on the scale of Glasberg and Moore 1990."""
    hz = np.fft.rfftfreq(length, 1 / sample_rate)
    number = (21.4 * np.log10(1 + 0.00437 * hz) / width).astype(int)
    return np.unique(number, return_index=True)[1]


def inverse_power(local: Powers) -> Powers:
    """Return the inverse of the local power; 0 where the stem is gated. ``(..., frame, bin)`` -> the same."""
    least = np.maximum(local.mean((-2, -1), keepdims=True) * 10 ** (GATED_DB / 10), 1e-12)
    return np.where(local > least, 1 / np.maximum(local, least), 0).astype(np.float32)


def blocks_together(stems: Sequence[Blocks], least: int) -> Iterator[NDArray[np.float32]]:
    """Yield all stems block by block, ``(stem, channel, time)``, padded with silence.

    A last block shorter than ``least`` samples is left out.
    """
    for blocks in zip_longest(*(stem() for stem in stems)):
        channels = max(block.shape[0] for block in blocks if block is not None)
        length = max(block.shape[1] for block in blocks if block is not None)
        if length < least:
            return
        padded = np.zeros((len(stems), channels, length), np.float32)
        for row, block in zip(padded, blocks, strict=True):
            if block is not None:
                row[:, : block.shape[1]] = block
        yield padded


@dataclass(frozen=True)
class Fit:
    """Result of the regression for one source of a stem.

    Args:
        bleed: power of the bleed, summed over the cells of each block, ``(block,)``.
        taken: reduction, in nats, of the logarithm of the stem's local powers without the bleed, summed likewise.
        gains: gains of the source, 0 if unclear, ``(channel, block, band)``.
    """

    bleed: NDArray[np.float64]
    taken: float
    gains: NDArray[np.complex128]

    def steadiness(self) -> float:
        """Return how similar the gains are over time, in [0, 1]; those of a bleed are constant in each band."""
        size, used = np.abs(self.gains) ** 2, np.abs(self.gains) > 0
        mean = np.abs(self.gains.sum(1)) ** 2 / np.maximum(used.sum(1), 1)  # (channel, band)
        return float(mean.sum() / size.sum()) if size.any() else 0.0


def fit(
    stems: Sequence[Blocks],
    cells: Cells,
    lags: Mapping[tuple[int, int], int],
    loudness: NDArray[np.float64],
    known_bleeds: Mapping[tuple[int, int], Fit] = MappingProxyType({}),
) -> tuple[dict[tuple[int, int], Fit], NDArray[np.float64]]:
    """Regress each stem on all its possible sources at once.

    Args:
        stems: as for :func:`stemclean.audio.crosstalk.measure`.
        cells: the spectrograms.
        lags: (source, stem) -> delay of the source in the stem, in samples.
        loudness: power of each stem while it is active, ``(stem,)``.
        known_bleeds: (source, stem) -> bleed to remove from the stem where it is a source itself; a subset of ``lags``.

    Returns:
        ((source, stem) -> result, power of each regressed stem, summed likewise: ``(block, stem)``)
    """
    sources: dict[int, list[int]] = defaultdict(list)
    for source, into in lags:
        sources[into].append(source)
    parts: dict[tuple[int, int], list[_Part]] = defaultdict(list)
    powers: list[NDArray[np.float64]] = []
    for number, blocks in enumerate(blocks_together(stems, cells.length)):
        powers.append(np.zeros(len(stems)))
        for channel, sounds in enumerate(blocks.transpose(1, 0, 2)):
            gains = {pair: bleed.gains[channel, number] for pair, bleed in known_bleeds.items()}
            block = _Block(sounds, cells, lags, gains)
            for into, into_sources in sources.items():
                most = np.array([LOUDEST * loudness[into] / max(loudness[source], 1e-20) for source in into_sources])
                spectra = block.spectra(into)
                powers[-1][into] += float((np.abs(spectra) ** 2).sum())
                delayed = np.stack([block.without_bleed(source, lags[source, into]) for source in into_sources])
                for source, part in zip(into_sources, _parts(spectra, delayed, most, cells), strict=True):
                    parts[source, into].append(part)
    return {pair: _joined(pair_parts, len(powers)) for pair, pair_parts in parts.items()}, np.array(powers)


class _Block:
    """The stems in one block and channel.

    Args:
        sounds: the stems, ``(stem, time)``.
        cells: the spectrograms.
        lags: (source, stem) -> delay, at least of the known bleeds.
        gains: (source, stem) -> gains of a known bleed, ``(band,)``.
    """

    def __init__(
        self,
        sounds: NDArray[np.float32],
        cells: Cells,
        lags: Mapping[tuple[int, int], int],
        gains: Mapping[tuple[int, int], NDArray[np.complex128]],
    ) -> None:
        self.sounds, self.cells, self.lags, self.gains = sounds, cells, lags, gains
        self._spectra: dict[int, Spectra] = {}
        self._bleeds: dict[int, Spectra] = {}

    def spectra(self, stem: int, lag: int = 0) -> Spectra:
        """Return the spectra of a stem delayed by a lag (circularly within the block): ``(frame, bin)``."""
        if lag:
            return self.cells.spectra(np.roll(self.sounds[stem], lag))
        if stem not in self._spectra:
            self._spectra[stem] = self.cells.spectra(self.sounds[stem])
        return self._spectra[stem]

    def without_bleed(self, stem: int, lag: int) -> Spectra:
        """Return the spectra of a delayed stem without the known bleed in it."""
        if stem not in self._bleeds:
            self._bleeds[stem] = sum(
                (
                    self.cells.spread(gains) * self.spectra(source, self.lags[source, into])
                    for (source, into), gains in self.gains.items()
                    if into == stem and gains.any()
                ),
                np.zeros((1, 1), np.complex64),
            )
        bleed = self._bleeds[stem]
        later = np.exp(-2j * np.pi * lag / self.cells.length * np.arange(bleed.shape[-1])).astype(np.complex64)
        cleaned: Spectra = self.spectra(stem, lag) - later * bleed
        return cleaned


@dataclass(frozen=True)
class _Part:
    """A :class:`Fit` of one block and channel; gains are ``(band,)``."""

    bleed: float
    taken: float
    gains: NDArray[np.complex128]


def _joined(parts: Sequence[_Part], blocks: int) -> Fit:
    """Join parts that are ordered by block, then by channel."""
    gains = np.array([part.gains for part in parts]).reshape(blocks, -1, len(parts[0].gains))
    bleed = np.array([part.bleed for part in parts]).reshape(blocks, -1).sum(1)
    return Fit(bleed, sum(part.taken for part in parts), gains.transpose(1, 0, 2))


def _parts(stem: Spectra, sources: Spectra, most: NDArray[np.float64], cells: Cells) -> list[_Part]:
    """Regress a block of a stem on its sources by weighted least squares.

    Args:
        stem: spectra of the stem. Shape: (frame, bin)
        sources: spectra of the sources. Shape: (source, frame, bin)
        most: square of the maximum gain of each source. Shape: (source,)
        cells: the spectrograms.
    """
    before = cells.around(np.abs(stem) ** 2)
    least = LEAST_REST * before + 1e-12
    weights = inverse_power(before)
    gains, precisions = _gains(stem, sources, weights, cells)
    for _ in range(REPEATS - 1):
        residual = stem - (cells.spread(gains)[:, None] * sources).sum(0)
        weights = np.where(weights > 0, 1 / np.maximum(cells.around(np.abs(residual) ** 2), least), 0).astype(
            np.float32
        )
        gains, precisions = _gains(stem, sources, weights, cells)
    clear = (np.abs(gains) ** 2 * precisions > CLEAR) & (np.abs(gains) ** 2 <= most[:, None])
    bleeds = cells.spread(np.where(clear, gains, 0))[:, None] * sources
    residual = stem - bleeds.sum(0)
    after = np.maximum(cells.around(np.abs(residual) ** 2), least)
    parts = []
    for bleed, used in zip(bleeds, np.where(clear, gains, 0), strict=True):
        with_bleed = np.maximum(cells.around(np.abs(residual + bleed) ** 2), least)
        taken = float(np.log(with_bleed / after)[weights > 0].sum())
        parts.append(_Part(float((np.abs(bleed) ** 2).sum()), taken, used))
    return parts


def _gains(
    stem: Spectra, sources: Spectra, weights: Powers, cells: Cells
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Return the gain of each source in each band, and the inverse of its variance: ``(source, band)``."""
    num, _, bins = sources.shape
    gains = np.zeros((num, len(cells.bands)), np.complex128)
    precisions = np.zeros((num, len(cells.bands)))
    for band, (start, stop) in enumerate(zip(cells.bands, [*cells.bands[1:], bins], strict=True)):
        in_band = sources[:, :, start:stop].reshape(num, -1)
        weighted = in_band.conj() * weights[:, start:stop].reshape(1, -1)
        gram = (weighted @ in_band.T).astype(np.complex128)
        sizes = np.diag(gram).real
        if sizes.any():
            # The ridge is proportional to the power of each source, so that the levels of the others do not matter.
            inverse = np.linalg.inv(gram + np.diag(1e-6 * sizes + 1e-30))
            gains[:, band] = inverse @ (weighted @ stem[:, start:stop].reshape(-1))
            precisions[:, band] = 1 / np.diag(inverse).real
    return gains, precisions
