"""Measure the integrated loudness and the sample peak of a sound, block by block.

Source: ITU-R BS.1770-4, annex 1 (K weighting, 400 ms blocks with 75 % overlap, gates at -70 LUFS and 10 LU below the
mean). The standard gives its filters at 48 kHz only; at other rates they are derived from the analogue prototypes
that give its coefficients at 48 kHz (as libebur128 does). A mono file is one channel, so it is 3 LU quieter than its
stereo copy.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from stemclean.audio.waveform import Sound, Waveform, as_blocks
from stemclean.units import amplitude_to_db

__all__ = ["LoudnessMeter", "integrated_lufs", "k_weighting", "peak_dbfs", "relative_lufs"]

ABSOLUTE_GATE_LUFS = -70.0
SOFTEST_LU = -60.0
"""Gate relative to the loudest block, used instead of the absolute gate if it is lower."""
RELATIVE_GATE_LU = -10.0
STEPS_PER_SECOND = 10
"""A block begins every 100 ms."""

STEPS_PER_BLOCK = 4
"""A block lasts 400 ms."""

_OFFSET = -0.691  # dB: a 997 Hz sine of full scale in one channel is -3.01 LUFS
_ABSOLUTE_GATE = 10 ** ((ABSOLUTE_GATE_LUFS - _OFFSET) / 10)
_SURROUND = 1.41
_CHANNEL_GAINS = {
    4: (1, 1, _SURROUND, _SURROUND),
    5: (1, 1, 1, _SURROUND, _SURROUND),
    6: (1, 1, 1, 0, _SURROUND, _SURROUND),
}


def integrated_lufs(sound: Sound, sample_rate: int) -> float | None:
    """Return the integrated loudness in LUFS; None if it is undefined: for silence, or sounds shorter than 0.4 s.

    Args:
        sound: a waveform or its blocks; 4, 5 and 6 channels are treated as quad, 5.0 and 5.1.
        sample_rate: sample rate in Hz.
    """
    meter = LoudnessMeter(sample_rate)
    for block in as_blocks(sound):
        meter.add(block)
    return meter.integrated_lufs()


def relative_lufs(sound: Sound, sample_rate: int) -> float | None:
    """Return the loudness with a relative gate, so that a gain changes it by exactly that gain (ours).

    The absolute gate is at -70 LUFS or 60 LU below the loudest block, whichever is lower.
    """
    meter = LoudnessMeter(sample_rate)
    for block in as_blocks(sound):
        meter.add(block)
    return meter.relative_lufs()


def peak_dbfs(sound: Sound) -> float | None:
    """Return the level of the largest sample in dB relative to full scale; None for digital silence."""
    peak = max((float(np.abs(block).max()) for block in as_blocks(sound)), default=0.0)
    return amplitude_to_db(peak) if peak > 0 else None


class LoudnessMeter:
    """Measures the loudness of a sound that is given in blocks; keeps one number per 100 ms."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._sections = k_weighting(sample_rate)
        self._state: NDArray[np.float64] | None = None
        self._gains: NDArray[np.float64] = np.ones(0)
        self._energies: list[float] = []  # of each complete step
        self._open = 0.0  # energy of the incomplete step
        self._num_samples = 0
        self._peak = 0.0

    def add(self, block: Waveform) -> None:
        """Add the next samples. Shape: (channel, time)."""
        if not block.shape[1]:
            return
        if self._state is None:
            channels = block.shape[0]
            self._state = np.zeros((len(self._sections), channels, 2))
            self._gains = np.array(_CHANNEL_GAINS.get(channels, (1.0,) * channels))
        weighted, self._state = scipy.signal.sosfilt(self._sections, block.astype(np.float64), axis=1, zi=self._state)
        self._peak = max(self._peak, float(np.abs(block).max()))
        self._add_energies(self._gains @ (weighted**2))

    def integrated_lufs(self) -> float | None:
        """Return the loudness of all samples so far, see :func:`integrated_lufs`."""
        return _gated(self._powers(), _ABSOLUTE_GATE)

    def relative_lufs(self) -> float | None:
        """Return the loudness of all samples so far, see :func:`relative_lufs`."""
        powers = self._powers()
        return _gated(powers, min(_ABSOLUTE_GATE, powers.max(initial=0.0) * 10 ** (SOFTEST_LU / 10)))

    def _powers(self) -> NDArray[np.float64]:
        """Return the weighted mean square of each block."""
        if len(self._energies) < STEPS_PER_BLOCK:
            return np.zeros(0)
        sums = np.convolve(self._energies, np.ones(STEPS_PER_BLOCK), "valid")
        return np.asarray(sums / (STEPS_PER_BLOCK * self._sample_rate / STEPS_PER_SECOND))

    @property
    def peak(self) -> float:
        """Largest absolute sample so far; full scale is 1."""
        return self._peak

    def peak_dbfs(self) -> float | None:
        """Return the sample peak so far, see :func:`peak_dbfs`."""
        return amplitude_to_db(self._peak) if self._peak > 0 else None

    def _add_energies(self, energy: NDArray[np.float64]) -> None:
        """Sum energies per step; step k begins at sample ``round(k * sample_rate / 10)``. Shape: (time,)."""
        start, at = self._num_samples, 0
        self._num_samples += len(energy)
        while True:
            end = self._step_start(len(self._energies) + 1) - start
            if end > len(energy):
                self._open += float(energy[at:].sum())
                return
            self._energies.append(self._open + float(energy[at:end].sum()))
            self._open, at = 0.0, end

    def _step_start(self, step: int) -> int:
        return round(step * self._sample_rate / STEPS_PER_SECOND)


def _gated(powers: NDArray[np.float64], least: float) -> float | None:
    """Return the loudness of the blocks above the absolute and the relative gate; None if there are none."""
    powers = powers[powers > least]
    if not len(powers):
        return None
    gate = powers.mean() * 10 ** (RELATIVE_GATE_LU / 10)
    return _OFFSET + 10 * math.log10(powers[powers > gate].mean())


def k_weighting(sample_rate: int) -> NDArray[np.float64]:
    """Return the two filters of BS.1770, a shelf that models the head and a high-pass, as second-order sections.

    Shape: (2, 6), with rows ``b0 b1 b2 a0 a1 a2`` as in scipy.
    """
    omega = math.tan(math.pi * 1681.974450955533 / sample_rate)
    high, q = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    band = high**0.4996667741545416
    a0 = 1 + omega / q + omega**2
    shelf = [
        (high + band * omega / q + omega**2) / a0,
        2 * (omega**2 - high) / a0,
        (high - band * omega / q + omega**2) / a0,
        1.0,
        2 * (omega**2 - 1) / a0,
        (1 - omega / q + omega**2) / a0,
    ]
    omega, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    a0 = 1 + omega / q + omega**2
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (omega**2 - 1) / a0, (1 - omega / q + omega**2) / a0]
    return np.array([shelf, high_pass])
