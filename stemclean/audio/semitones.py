"""A spectrogram on a semitone scale, for plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemclean.audio import files
from stemclean.units import midi_to_hz

__all__ = ["RATE", "ROWS_PER_SEMITONE", "semitone_levels"]

RATE = 16000
"""Sample rate of the spectrogram in Hz."""

N_FFT = 2048
"""128 ms: long enough to separate the harmonics of a low voice, short enough to show a vibrato."""

MAX_COLUMNS = 1600
"""Maximum number of spectrogram columns: about the width of the plot in pixels."""

ROWS_PER_SEMITONE = 4
RANGE_DB = 70.0
"""Dynamic range of the colour scale, below the loudest point."""


def semitone_levels(path: Path, stream: int, low: float, high: float) -> tuple[NDArray[np.float64], float]:
    """Compute a spectrogram on a semitone scale, with levels in [0, 1]; the audio is read in blocks.

    Args:
        path: the audio file.
        stream: index of the audio stream in the file.
        low, high: the lowest and the highest MIDI note.

    Returns:
        (levels, seconds). Shape: (row, column)

    Raises:
        AudioError: the audio cannot be read.
    """
    duration = files.probe(path, stream).duration
    hop = max(RATE // 100, round(duration * RATE / MAX_COLUMNS))
    per_block = max(1, 30 * RATE // hop)
    window = np.hanning(N_FFT)
    bins = midi_to_hz(np.arange(low, high, 1 / ROWS_PER_SEMITONE)) * N_FFT / RATE
    columns = []
    blocks = files.blocks(path, sample_rate=RATE, channels=1, block_duration=per_block * hop / RATE, stream=stream)
    for block in blocks:
        padded = np.pad(block[0], (N_FFT // 2, N_FFT))
        for start in range(0, block.shape[1], hop):
            power = np.abs(np.fft.rfft(padded[start : start + N_FFT] * window)) ** 2
            columns.append(np.interp(bins, np.arange(len(power)), power))
    power = np.stack(columns, axis=1)  # (row, column)
    levels = 10 * np.log10(np.maximum(power, 1e-12) / max(1e-12, power.max()))
    return np.clip(1 + levels / RANGE_DB, 0, 1), duration
