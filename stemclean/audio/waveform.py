"""Waveforms in memory: float32, channel-first, whole or in consecutive blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from stemclean.errors import ConfigError

__all__ = ["Sound", "Waveform", "as_blocks", "mix_channels"]

Waveform = NDArray[np.float32]
"""Full scale is ±1. Shape: (channel, time)."""

Sound = Waveform | Iterable[Waveform]
"""A waveform, or its consecutive blocks (:func:`stemclean.audio.files.blocks`)."""

BLOCK_SAMPLES = 1 << 20
"""Length of the blocks that a waveform is divided into, so that measuring it needs little extra memory."""


def as_blocks(sound: Sound) -> Iterator[Waveform]:
    """Yield the blocks of a sound; a waveform may also be ``(time,)``.

    Yields:
        Blocks ``(channel, time)``, never empty.
    """
    if isinstance(sound, np.ndarray):
        waveform = np.atleast_2d(sound)
        for start in range(0, waveform.shape[1], BLOCK_SAMPLES):
            yield waveform[:, start : start + BLOCK_SAMPLES]
    else:
        for block in sound:
            if block.shape[-1]:
                yield np.atleast_2d(block)


def mix_channels(waveform: Waveform, channels: int) -> Waveform:
    """Convert a waveform to another number of channels.

    Mono is copied to all channels. Other waveforms are mixed down: to mono by the mean; to stereo by ITU-R BS.775-3
    (centre and surrounds at -3 dB, no LFE) for the channel orders of WAV and FLAC with 3 to 8 channels, and by odd and
    even channels for any other number (ours). Each output channel is scaled so that full-scale inputs cannot clip
    (ours). Commands report this as issue ``downmixed``.

    Args:
        waveform: the waveform, ``(channel, time)``.
        channels: 1, 2, or the current number of channels.

    Returns:
        The waveform, ``(channels, time)``; the input itself if the number does not change.
    """
    num_channels = waveform.shape[0]
    if num_channels == channels:
        return waveform
    if num_channels == 1:
        return np.repeat(waveform, channels, axis=0)
    if channels == 1:
        return np.asarray(waveform.mean(axis=0, keepdims=True), np.float32)
    if channels != 2 or num_channels < channels:
        raise ConfigError(f"{num_channels} channels cannot become {channels}", "ask for 1 or 2 channels")
    matrix = _to_stereo(num_channels)
    return np.asarray(matrix @ waveform, np.float32)


_HALF_POWER = math.sqrt(0.5)
_LEFT = {  # weight of each channel in the left output; the right one mirrors it
    3: (1, 0, _HALF_POWER),
    4: (1, 0, _HALF_POWER, 0),
    5: (1, 0, _HALF_POWER, _HALF_POWER, 0),
    6: (1, 0, _HALF_POWER, 0, _HALF_POWER, 0),
    7: (1, 0, _HALF_POWER, 0, 0.5, _HALF_POWER, 0),
    8: (1, 0, _HALF_POWER, 0, _HALF_POWER, 0, _HALF_POWER, 0),
}
_RIGHT = {
    3: (0, 1, _HALF_POWER),
    4: (0, 1, 0, _HALF_POWER),
    5: (0, 1, _HALF_POWER, 0, _HALF_POWER),
    6: (0, 1, _HALF_POWER, 0, 0, _HALF_POWER),
    7: (0, 1, _HALF_POWER, 0, 0.5, 0, _HALF_POWER),
    8: (0, 1, _HALF_POWER, 0, 0, _HALF_POWER, 0, _HALF_POWER),
}


def _to_stereo(channels: int) -> Waveform:
    """Return the matrix that mixes down to stereo. Shape: (2, channels)."""
    alternate = ([1.0 - index % 2 for index in range(channels)], [float(index % 2) for index in range(channels)])
    rows = (_LEFT.get(channels, alternate[0]), _RIGHT.get(channels, alternate[1]))
    matrix = np.array(rows, np.float32)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True), np.float32)
