"""A coarse picture of a sound: a small spectrogram on a logarithmic frequency scale, and its power over time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemclean.audio import files

__all__ = ["HIGHEST_HZ", "LOWEST_HZ", "Overview", "overview"]

LOWEST_HZ = 40.0
HIGHEST_HZ = 16_000.0
N_FFT = 2048
"""46 ms at 44.1 kHz."""
FRAMES_PER_COLUMN = 6
"""Maximum number of frames that a column averages; long files are sampled, not read densely."""
RANGE_DB = 66.0
"""Dynamic range of the levels, below the loudest point."""
TILT_DB = 3.0
"""Boost per octave, since music is softer at high frequencies."""


@dataclass(frozen=True)
class Overview:
    """A coarse picture of a sound.

    Args:
        levels: in [0, 1], lowest frequency first; 0 is :data:`RANGE_DB` below the loudest point. Shape: (row, column)
        power: mean power of each column. Shape: (column,)
        duration: in seconds.
    """

    levels: NDArray[np.float32]
    power: NDArray[np.float64]
    duration: float


def overview(path: Path, *, columns: int, rows: int, stream: int = 0) -> Overview:
    """Compute the overview of a file, which is read in blocks.

    Raises:
        AudioError: the file cannot be read.
    """
    info = files.probe(path, stream)
    rate, total = info.sample_rate, max(1, info.num_samples)
    window = np.hanning(N_FFT).astype(np.float32)
    bands = _bands(rate, rows)
    sums = np.zeros((columns, rows))
    counts, power, num_samples = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    hop = max(N_FFT // 2, total // (columns * FRAMES_PER_COLUMN))
    at = 0
    for block in files.blocks(path, channels=1, stream=stream):
        sound = block[0]
        starts = np.arange(0, max(1, len(sound) - N_FFT + 1), hop)
        padded = np.pad(sound, (0, max(0, N_FFT - len(sound))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[starts]  # (frame, time)
        spectra = np.square(np.abs(np.fft.rfft(frames * window, axis=1))) @ bands.T  # (frame, row)
        into = np.minimum((at + starts + N_FFT // 2) * columns // total, columns - 1)
        np.add.at(sums, into, spectra)
        np.add.at(counts, into, 1)
        edges = np.minimum((at + np.arange(len(sound))[:: max(1, rate // 50)]) * columns // total, columns - 1)
        pieces = np.add.reduceat(sound.astype(np.float64) ** 2, np.arange(0, len(sound), max(1, rate // 50)))
        np.add.at(power, edges, pieces)
        np.add.at(num_samples, edges, max(1, rate // 50))
        at += len(sound)
    filled = _without_gaps(sums / np.maximum(counts, 1)[:, None], counts > 0)
    density = filled.T  # (row, column)
    tilt = TILT_DB * np.log2(np.geomspace(LOWEST_HZ, HIGHEST_HZ, rows) / LOWEST_HZ)[:, None]
    levels = 10 * np.log10(np.maximum(density, 1e-12)) + tilt
    top = float(levels.max())
    levels = np.clip(1 + (levels - top) / RANGE_DB, 0, 1) * (density > 1e-10)
    return Overview(levels.astype(np.float32), power / np.maximum(num_samples, 1), total / rate)


@cache
def _bands(rate: int, rows: int) -> NDArray[np.float64]:
    """Return the weights that average the bins of a spectrum over each band, ``(row, bin)``; not to be changed."""
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, rows + 1) * N_FFT / rate
    bins = np.arange(N_FFT // 2 + 1)
    weights: NDArray[np.float64] = np.stack(
        [
            np.clip(np.minimum(bins + 0.5, high) - np.maximum(bins - 0.5, low), 0, None)
            for low, high in itertools.pairwise(edges)
        ]
    )
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    return weights


def _without_gaps(columns: NDArray[np.float64], filled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return columns in which those without a frame, of short files, repeat the one before."""
    if filled.all() or not filled.any():
        return columns
    last = np.maximum.accumulate(np.where(filled, np.arange(len(filled)), 0))
    return columns[last]
