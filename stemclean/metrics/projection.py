"""Decompose an estimate into its filtered reference, interference of other references, and artifacts.

BSSEval (Vincent et al., IEEE TASLP 14(4), 2006; version 4: Stöter, Liutkus and Ito, LVA/ICA 2018) explains every
estimate by filters of 512 taps on the references. Version 4 computes the filters once for the whole track and applies
them to each frame separately, as if there were silence before and after it. This module has:

* :class:`Correlator` and :func:`at_lags`: the inner products that the filters depend on, at 512 lags, computed by block
  FFTs from consecutive stretches of audio;
* :func:`filters`: one block Toeplitz system per track (:mod:`stemclean.metrics.toeplitz`), and a small one per source;
* :class:`Projector`: the energies of the parts of each frame. They are sums over the bins of one FFT per frame and
  channel (Parseval), so no inverse transform is needed.

All computations are in float64, because the filters amplify bands in which a reference is almost silent.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from stemclean.metrics import toeplitz

__all__ = ["NUM_TAPS", "Correlator", "Energies", "Filters", "Projector", "at_lags", "filters"]

Array = NDArray[np.float64]
Spectrum = NDArray[np.complex128]

NUM_TAPS = 512
"""Length of the distortion filters of BSSEval."""

LOOK_BACK = NUM_TAPS - 1

NUM_BINS = 4096
"""FFT length of the correlations: the lags plus the block of audio."""

BINS_AT_ONCE = 512
"""Number of frequencies projected together, so that their spectra stay in the processor's cache."""


class _Buffers(threading.local):
    """Arrays that each thread reuses: allocating new memory would take longer than the arithmetic."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: type = np.complex128) -> NDArray[Any]:
        size = math.prod(shape)
        array = self._arrays.get(name)
        if array is None or len(array) < size:
            array = self._arrays[name] = np.empty(size, dtype)
        return array[:size].reshape(shape)


class Correlator:
    """Computes cross spectra of stretches of audio; :func:`at_lags` evaluates their sum. Thread-safe."""

    def __init__(self) -> None:
        self._buffers = _Buffers()

    def __call__(self, history: Array, references: Array, estimates: Array) -> Spectrum:
        """Compute the cross spectra of a stretch with the references up to 511 samples before it.

        The results of consecutive stretches add up to the result of the whole.

        Args:
            history: samples of the references before the stretch; missing samples count as silence.
            references: a stretch of any length.
            estimates: the same stretch of the estimates.

        Shape:
            history: ``(reference, any)``; references: ``(reference, time)``; estimates: ``(estimate, time)``;
            result: ``(bin, reference, reference + estimate)``.
        """
        num_references, num_samples = references.shape
        num_signals = num_references + len(estimates)
        num_blocks = -(-num_samples // (NUM_BINS - LOOK_BACK))
        length = -(-num_samples // num_blocks)
        current = self._buffers("now", (num_signals, num_blocks * length), np.float64)
        current[:num_references, :num_samples] = references
        current[num_references:, :num_samples] = estimates
        current[:, num_samples:] = 0.0
        before = history[:, max(0, history.shape[1] - LOOK_BACK) :]
        extended = self._buffers("early", (num_references, LOOK_BACK + num_blocks * length), np.float64)
        extended[:, : LOOK_BACK - before.shape[1]] = 0.0
        extended[:, LOOK_BACK - before.shape[1] : LOOK_BACK] = before
        extended[:, LOOK_BACK:] = current[:num_references]
        # (channel, time) -> (channel, block, time), each block after the samples before it, or before zeros
        windows = np.lib.stride_tricks.sliding_window_view(extended, LOOK_BACK + length, axis=1)[:, ::length]
        blocks = current.reshape(num_signals, num_blocks, length)
        bins = NUM_BINS // 2 + 1
        left = self._buffers("left", (num_references, num_blocks, bins))
        right = self._buffers("right", (num_signals, num_blocks, bins))
        np.fft.rfft(windows, NUM_BINS, axis=2, out=left)
        np.fft.rfft(blocks, NUM_BINS, axis=2, out=right)
        # (channel, block, bin) -> (bin, channel, block) and (bin, block, channel)
        turned_left = self._buffers("turned_left", (bins, num_references, num_blocks))
        turned_right = self._buffers("turned_right", (bins, num_blocks, num_signals))
        np.copyto(turned_left, left.transpose(2, 0, 1))
        np.conjugate(right.transpose(2, 1, 0), out=turned_right)
        result: Spectrum = turned_left @ turned_right
        return result


def at_lags(spectra: Spectrum) -> Array:
    """Compute inner products ``sum_n x_i[n] y_j[n + lag]`` for lags 0 to 511.

    Shape:
        spectra: as returned by :class:`Correlator`; result: ``(lag, reference, reference + estimate)``.
    """
    result: Array = np.fft.irfft(spectra, NUM_BINS, axis=0)[LOOK_BACK::-1]
    return result


@dataclass(frozen=True)
class Filters:
    """Least-squares filters from references to estimates.

    Args:
        every: filters from all references to each estimate.
        own: filters from only the estimate's own reference.
        every_determined, own_determined: whether the references determine the filters, see
            :class:`stemclean.metrics.toeplitz.Solution`.

    Shape:
        every: ``(tap, channel of a reference, channel of an estimate)``, the channels of one source side by side;
        own: ``(source, tap, channel, channel)``; own_determined: ``(source,)``.
    """

    every: Array
    own: Array
    every_determined: bool
    own_determined: NDArray[np.bool_]


def filters(correlations: Array, owners: Sequence[int], channels: int, ridge: float = 0.0) -> Filters:
    """Compute the filters of a track.

    Args:
        correlations: result of :func:`at_lags`.
        owners: for each estimate, the index of its reference.
        channels: number of channels of each source.
        ridge: regularisation, as a share of the energy of each reference channel.
    """
    num_references = correlations.shape[1]
    among, targets = correlations[:, :, :num_references], correlations[:, :, num_references:]
    own = []
    for estimate, owner in enumerate(owners):
        inputs = slice(owner * channels, (owner + 1) * channels)
        outputs = slice(estimate * channels, (estimate + 1) * channels)
        own.append(toeplitz.solve(among[:, inputs, inputs], targets[:, inputs, outputs], ridge))
    # with a single source, both must be equal to the last bit, so that SIR is infinite
    every = own[0] if num_references == channels else toeplitz.solve(among, targets, ridge)
    return Filters(
        every.filters,
        np.stack([solution.filters for solution in own]),
        every.determined,
        np.array([solution.determined for solution in own]),
    )


@dataclass(frozen=True)
class Energies:
    """Energies of the parts of an estimate, for each frame.

    Shape:
        each: ``(source, frame)``.
    """

    spatial: Array
    """filtered reference minus reference"""
    own: Array
    """filtered reference"""
    interference: Array
    """part explained by other references"""
    explained: Array
    """part explained by all references together"""
    artifacts: Array
    """rest of the estimate"""


@dataclass
class Projector:
    """Applies the filters of a track to frames. Thread-safe.

    Args:
        filters: filters of the track.
        owners: for each estimate, the index of its reference.
        window: length of a frame in samples.
    """

    filters: Filters
    owners: Sequence[int]
    window: int

    def __post_init__(self) -> None:
        self._buffers = _Buffers()
        self._num_bins = int(scipy.fft.next_fast_len(self.window + LOOK_BACK, real=True))
        num_taps, num_inputs, num_outputs = self.filters.every.shape
        self._channels = num_outputs // len(self.owners)
        self._owned = [owner * self._channels + channel for owner in self.owners for channel in range(self._channels)]
        own = np.zeros((num_taps, num_inputs, num_outputs))
        for source, owner in enumerate(self.owners):
            row, column = owner * self._channels, source * self._channels
            own[:, row : row + self._channels, column : column + self._channels] = self.filters.own[source]
        # (tap, in, out) -> (bin, out, in)
        self._every, self._own = (
            np.ascontiguousarray(np.fft.rfft(taps, self._num_bins, axis=0).transpose(0, 2, 1))
            for taps in (self.filters.every, own)
        )
        self._parseval = np.full((self._num_bins // 2 + 1, 1, 1), np.sqrt(2.0 / self._num_bins))
        self._parseval[0] = np.sqrt(1.0 / self._num_bins)
        if self._num_bins % 2 == 0:
            self._parseval[-1] = self._parseval[0]

    def __call__(self, references: Array, estimates: Array) -> Energies:
        """Compute the energies of some frames.

        Shape:
            references, estimates: ``(source, channel, frame, time)``, with frames as long as the window.
        """
        num_frames = references.shape[2]
        inputs, outputs = self._spectra("references", references), self._spectra("estimates", estimates)
        totals = np.zeros((5, len(estimates), num_frames))
        for start in range(0, len(self._parseval), BINS_AT_ONCE):
            bins = slice(start, start + BINS_AT_ONCE)
            weights = self._parseval[bins]  # makes the energy of the half spectrum that of the samples
            # (channel, frame, bin) -> (bin, channel, frame)
            reference = np.multiply(inputs[:, :, bins].transpose(2, 0, 1), weights, order="C")
            estimate = np.multiply(outputs[:, :, bins].transpose(2, 0, 1), weights, order="C")
            explained = self._every[bins] @ reference
            own = self._own[bins] @ reference
            parts = (own - reference[:, self._owned], own, explained - own, explained, estimate - explained)
            totals += [self._energy(part) for part in parts]
        return Energies(*totals)

    def _spectra(self, name: str, sound: Array) -> Spectrum:
        """Return the spectra of frames. Shape: (source, channel, frame, time) -> (source * channel, frame, bin)."""
        flat = sound.reshape(-1, *sound.shape[2:])
        spectra: Spectrum = self._buffers(name, (*flat.shape[:2], len(self._parseval)))
        np.fft.rfft(flat, self._num_bins, axis=2, out=spectra)
        return spectra

    def _energy(self, spectra: Spectrum) -> Array:
        """Return the energies of frames. Shape: (bin, source * channel, frame) -> (source, frame)."""
        parts = np.ascontiguousarray(spectra).view(np.float64).reshape(len(spectra), -1)
        energy: Array = np.einsum("bk,bk->k", parts, parts)
        summed: Array = energy.reshape(-1, self._channels, spectra.shape[2], 2).sum(axis=(1, 3))
        return summed
