"""The fundamental frequency (f0) of one voice over time, on a regular grid of frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemclean.errors import ConfigError
from stemclean.units import hz_to_cents

__all__ = ["F0Track"]

_TIME_DECIMALS = 9
"""Decimals of the times of frames (nanoseconds), so that k times 0.01 s is the number in a text file."""

_SNAP = 1e-9
"""Distance to a frame, in frames, below which a time is rounded to that frame."""

Frames = NDArray[np.float64]
"""Shape: (frame,)."""


@dataclass(frozen=True, eq=False)
class F0Track:
    """An f0 track: one frequency per frame, 0 if there is none.

    A frame is voiced if it has a frequency and its voicing is above 0. A frame with a frequency and voicing 0 is
    unvoiced; the frequency is then the most likely one (mir_eval's negative frequencies).

    Args:
        f0_hz: frequencies, >= 0; 0 is unvoiced. Shape: (frame,)
        voicing: probability in [0, 1] that the frame is voiced; 1 or 0 in annotations. Shape: (frame,)
        hop: seconds from frame to frame.
        start: seconds; time of the first frame's centre.
        confidence: confidence in [0, 1] that the frame's f0, or that it is unvoiced, is right; None in annotations.
            Shape: (frame,)

    Raises:
        ConfigError: lengths differ, a value is out of range, or the hop is not above 0.
    """

    f0_hz: Frames
    voicing: Frames
    hop: float
    start: float = 0.0
    confidence: Frames | None = None

    def __post_init__(self) -> None:
        for name in ("f0_hz", "voicing", "confidence"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, _frames(name, values, len(self.f0_hz)))
        if not (math.isfinite(self.hop) and self.hop > 0 and math.isfinite(self.start)):
            raise ConfigError(f"f0: a hop of {self.hop:g} s from {self.start:g} s", "the hop must be above 0")

    @classmethod
    def of(cls, f0_hz: Frames, hop: float, start: float = 0.0) -> F0Track:
        """Return a track that is voiced where it has a frequency, as in annotations."""
        f0_hz = np.asarray(f0_hz, np.float64)
        return cls(f0_hz, (f0_hz > 0).astype(np.float64), hop, start)

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.f0_hz)

    @property
    def times(self) -> Frames:
        """Times of the centres of the frames in seconds, rounded to nanoseconds. Shape: (frame,)."""
        return np.round(self.start + self.hop * np.arange(self.num_frames), _TIME_DECIMALS)

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Whether each frame is voiced. Shape: (frame,)."""
        return np.asarray((self.f0_hz > 0) & (self.voicing > 0))

    def cents(self) -> Frames:
        """Return the f0 in cents above 10 Hz; 0 where there is none. Shape: (frame,)."""
        return hz_to_cents(self.f0_hz)

    def resampled(self, hop: float, start: float = 0.0, num_frames: int | None = None) -> F0Track:
        """Resample the track to another grid of frames.

        A new frame gets the voicing and confidence of the nearest old frame. Its frequency is interpolated linearly in
        log-frequency between the two old frames around it if both have one, so that a glide stays a glide and nothing
        is interpolated across a pause. More than half a hop outside the track, all values are 0.

        Args:
            hop: new hop in seconds.
            start: time of the first new frame in seconds.
            num_frames: number of new frames; None: up to the end, half a hop after the last old frame.
        """
        if num_frames is None:
            num_frames = max(0, math.ceil((self.start + self.hop * (self.num_frames - 0.5) - start) / hop - _SNAP))
        f0_hz, voicing, confidence = self.at(start + hop * np.arange(num_frames, dtype=np.float64))
        return F0Track(f0_hz, voicing, hop, start, confidence)

    def at(self, times: Frames) -> tuple[Frames, Frames, Frames | None]:
        """Return frequency, voicing and confidence at any times, computed as in :meth:`resampled`.

        Args:
            times: times in seconds. Shape: (time,)

        Returns:
            Three arrays ``(time,)``; the confidence is None if the track has none.
        """
        if not self.num_frames:
            zeros = np.zeros(len(times))
            return zeros, zeros, None if self.confidence is None else zeros
        positions = (np.asarray(times, np.float64) - self.start) / self.hop  # in frames
        rounded = np.round(positions)
        positions = np.where(np.abs(positions - rounded) < _SNAP, rounded, positions)
        covered = (positions >= -0.5) & (positions <= self.num_frames - 0.5 + _SNAP)
        positions = np.clip(positions, 0, self.num_frames - 1)
        nearest = np.ceil(positions - 0.5 - _SNAP).astype(np.int64)  # if two are equally near, the earlier one
        confidence = None if self.confidence is None else self.confidence[nearest] * covered
        return self._interpolated(positions, nearest) * covered, self.voicing[nearest] * covered, confidence

    def _interpolated(self, positions: Frames, nearest: NDArray[np.int64]) -> Frames:
        """Return the frequencies at positions between frames. Shape: (time,)."""
        before = np.floor(positions).astype(np.int64)
        after = np.minimum(before + 1, self.num_frames - 1)
        has_both = (self.f0_hz[before] > 0) & (self.f0_hz[after] > 0)
        low, high = np.where(has_both, self.f0_hz[before], 1.0), np.where(has_both, self.f0_hz[after], 1.0)
        return np.where(has_both, low * (high / low) ** (positions - before), self.f0_hz[nearest])


def _frames(name: str, values: Frames, num_frames: int) -> Frames:
    frames = np.asarray(values, np.float64)
    if frames.shape != (num_frames,):
        raise ConfigError(f"f0: {name} has shape {frames.shape}, f0_hz {num_frames} frames")
    highest = np.inf if name == "f0_hz" else 1.0
    wrong = ~(np.isfinite(frames) & (frames >= 0) & (frames <= highest))
    if wrong.any():
        at = int(np.argmax(wrong))
        limits = "0 or more" if name == "f0_hz" else "in [0, 1]"
        raise ConfigError(f"f0: {name} of frame {at} is {frames[at]:g}, must be {limits}")
    return frames
