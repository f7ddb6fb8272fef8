"""Avoid clipping when sound above full scale is written as integers.

Floating-point files may exceed full scale, and lossy codecs overshoot; integer formats clip. So all stems of a song are
attenuated by the same gain, which keeps their sum the song up to that gain. If their sum must match an existing file,
they are written as float instead.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stemclean.audio import files
from stemclean.audio.formats import ending_family, quantisation_step
from stemclean.audio.stream import AudioInfo
from stemclean.audio.waveform import Waveform
from stemclean.disk import writing
from stemclean.errors import AudioError

__all__ = ["HIGHEST", "SpooledSound", "can_exceed", "gain_below_full_scale"]

HIGHEST = 1.0 - 2.0**-15
"""Highest value of 16-bit audio, to which peaks are attenuated."""
ROUNDING = 2.0 / 32768
"""Maximum rounding error of a sample in a 16-bit file."""


def gain_below_full_scale(peak: float) -> float:
    """Return the factor that brings a peak to full scale; 1 if it is not above.

    >>> gain_below_full_scale(0.5), round(gain_below_full_scale(2.0), 4)
    (1.0, 0.5)
    """
    return HIGHEST / peak if peak > 1.0 else 1.0


def can_exceed(info: AudioInfo) -> bool:
    """Return whether a file may exceed full scale; integer formats cannot."""
    return not quantisation_step(info.subtype)


class SpooledSound:
    """A sound that is kept as float until its peak is known.

    Args:
        folder: existing folder for the temporary file of a long sound.
        channels: number of channels.
    """

    HELD = 16_000_000
    """Maximum number of bytes that are kept in memory."""

    def __init__(self, folder: Path, channels: int) -> None:
        self._folder = folder
        self._file = tempfile.SpooledTemporaryFile(self.HELD, dir=str(folder))  # noqa: SIM115  closed below
        self._channels = channels
        self.peak = 0.0

    def write(self, waveform: Waveform) -> None:
        """Append samples. Shape: (channel, time).

        Raises:
            OutputError: the disk is full.
        """
        self.peak = max(self.peak, float(np.abs(waveform).max(initial=0.0)))
        with writing(self._folder):
            self._file.write(np.ascontiguousarray(waveform.T, np.float32).tobytes())  # -> (time, channel)

    def pour(self, path: Path, sample_rate: int, gain: float = 1.0, *, subtype: str | None = None) -> bool:
        """Write the sound to a file and delete the temporary copy.

        A WAV file is written as float if integers would clip it.

        Args:
            path, sample_rate, subtype: as for :func:`stemclean.audio.files.create`.
            gain: factor on all samples.

        Returns:
            Whether the file was written as float to avoid clipping.
        """
        in_float = self.peak * gain > 1.0 and ending_family(path) == "wav"
        subtype = "FLOAT" if in_float else subtype
        with self._file, files.create(path, sample_rate, self._channels, subtype=subtype) as file:
            for block in self._blocks():
                file.write(block * np.float32(gain))
        return in_float

    def is_in(self, path: Path, gain: float = 1.0) -> bool:
        """Return whether a file of 16 bits or more holds exactly this sound, up to rounding."""
        expected, num_samples = self._blocks(), self._num_samples()
        pending = np.zeros((self._channels, 0), np.float32)
        try:
            info = files.probe(path)
            if (info.channels, info.num_samples) != (self._channels, num_samples):
                return False
            for block in files.blocks(path):
                while pending.shape[1] < block.shape[1]:
                    pending = np.concatenate([pending, next(expected)], axis=1)
                part, pending = pending[:, : block.shape[1]], pending[:, block.shape[1] :]
                if not np.allclose(block, part * np.float32(gain), rtol=0.0, atol=ROUNDING):
                    return False
        except AudioError:
            return False
        return True

    def close(self) -> None:
        """Delete the temporary copy."""
        self._file.close()

    def _num_samples(self) -> int:
        return self._file.seek(0, os.SEEK_END) // (4 * self._channels)

    def _blocks(self) -> Iterator[Waveform]:
        self._file.seek(0)
        while piece := self._file.read(self._channels * 4 << 18):
            yield np.frombuffer(piece, np.float32).reshape(-1, self._channels).T
