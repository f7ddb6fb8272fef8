"""Detect where a stem is active, by two passes of level gating.

Source: Koo et al., ISMIR 2023 (arXiv 2307.12576), section 4.1: remove what is 30 dB below the maximum peak amplitude,
join the rest, and "repeat with the threshold of 60 dB [...] in case of stems that are almost silent". The paper leaves
the following points open.

*Level* (ours). Frames are 50 ms long, two periods of a bass guitar's lowest note, and do not overlap. Whole frames are
kept or dropped, so that the frames of a trimmed file are frames of its source, and trimming twice removes nothing more.
The level of a frame is the RMS of its loudest channel. A DC offset that would pass the gate is subtracted first.

*Peak* (ours). If the peak were the largest sample, one click at full scale would silence a quiet stem. So the reference
is the level that the stem reaches for half a second in total, that is, its tenth loudest frame. With
``detector="peak"``, as in the paper, the level of a frame is its largest sample, and the reference the largest of all.

*Second pass* (our reading). Everything that passes is within 30 dB of the peak, so nothing in the joined sound can be
60 dB below its own peak. But the first pass cannot detect a stem of pure noise, because hiss is within 30 dB of itself.
So the 60 dB are relative to the peak of the stem's song: the highest peak that one of its stems reaches for half a
second in total, at most full scale. A song recorded at -45 dB is kept; a stem 60 dB below the others is silent. There
is also an absolute floor, -130 dBFS by default and at least one step of the file's sample format, below which there is
only dither. With ``detector="peak"`` the 60 dB are relative to the joined sound's own peak, so the second pass has no
effect, and there is no floor.

*Joining* (ours). Only pauses of a second or more are removed, so that the pause between two beats of a slow kick drum
stays. Each kept region is extended by 0.1 s before its first and after its last loud frame, for attacks and tails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stemclean.audio import SILENCE_FLOOR_DBFS
from stemclean.audio.waveform import Sound, Waveform, as_blocks
from stemclean.errors import ConfigError
from stemclean.units import seconds_to_samples

__all__ = [
    "SILENCE_FLOOR_DBFS",
    "Detector",
    "Levels",
    "active_regions",
    "frame_samples",
    "gap_and_pad_frames",
    "levels",
    "regions_of",
]

FRAME_LENGTH = 0.05
"""Length of a frame in seconds."""

HOP_LENGTH = FRAME_LENGTH
"""Hop between frames in seconds; frames do not overlap."""

FIRST_DB = 30.0
"""First pass: dB below the stem's own reference."""

SECOND_DB = 60.0
"""Second pass: dB below the song's peak."""

MIN_GAP = 1.0
"""Minimum length of removed silence in seconds."""

PAD = 0.1
"""Seconds kept before the first and after the last loud frame of a region."""

REFERENCE_DURATION = 0.5
"""Total time in seconds that a stem must reach its reference level for."""

Detector = Literal["sustained", "peak"]


@dataclass(frozen=True)
class Levels:
    """Levels of the frames of a sound, linear, full scale = 1.

    Args:
        rms: RMS of the loudest channel. Shape: (frame,)
        peak: largest absolute sample of any channel. Shape: (frame,)
        num_samples: length of the sound; the last frame may be short.
        sample_rate: sample rate in Hz.
    """

    rms: NDArray[np.float64]
    peak: NDArray[np.float64]
    num_samples: int
    sample_rate: int

    @property
    def reference(self) -> float:
        """RMS level that the sound reaches for half a second in total."""
        return _sustained(self.rms)

    @property
    def sustained_peak(self) -> float:
        """Peak level that the sound reaches for half a second in total, so that clicks do not affect it."""
        return _sustained(self.peak)


def active_regions(
    sound: Sound,
    sample_rate: int,
    *,
    first_db: float = FIRST_DB,
    second_db: float = SECOND_DB,
    song_peak: float = 1.0,
    floor: float = 0.0,
    min_gap: float = MIN_GAP,
    pad: float = PAD,
    detector: Detector = "sustained",
) -> list[tuple[int, int]]:
    """Return the active regions of a sound; the module docstring describes the method.

    Only two numbers per frame are kept in memory.

    Args:
        sound: a waveform or its blocks.
        sample_rate: sample rate in Hz.
        first_db: threshold of the first pass, in dB below the reference.
        second_db: threshold of the second pass, in dB below the song's peak.
        song_peak: peak of the song, full scale = 1.
        floor: absolute level below which everything is silence, full scale = 1.
        min_gap: minimum length of removed silence in seconds.
        pad: seconds kept before and after the loud part of a region; less than half of ``min_gap``.
        detector: ``"sustained"``, or ``"peak"`` as in the paper.

    Returns:
        Start and end sample of each region, in order and without contact; empty for silence.

    Raises:
        ConfigError: ``pad`` is too long for ``min_gap``.
    """
    return regions_of(
        levels(sound, sample_rate),
        first_db=first_db,
        second_db=second_db,
        song_peak=song_peak,
        floor=floor,
        min_gap=min_gap,
        pad=pad,
        detector=detector,
    )


def levels(sound: Sound, sample_rate: int) -> Levels:
    """Measure RMS and peak of each frame, block by block."""
    length = frame_samples(sample_rate)
    remainder: Waveform = np.zeros((1, 0), np.float32)
    power: list[NDArray[np.float64]] = []
    means: list[NDArray[np.float64]] = []
    peak: list[NDArray[np.float64]] = []
    num_samples = 0
    for block in as_blocks(sound):
        num_samples += block.shape[1]
        pending = np.concatenate([remainder, block], axis=1) if remainder.shape[1] else block
        num_whole = pending.shape[1] // length * length
        frames = pending[:, :num_whole].reshape(
            pending.shape[0], -1, length
        )  # (channel, time) -> (channel, frame, sample)
        power.append(_power(frames))
        means.append(frames.mean(axis=2, dtype=np.float64))
        highest, lowest = frames.max(2, initial=0.0).max(0), frames.min(2, initial=0.0).min(0)
        peak.append(np.maximum(highest, -lowest).astype(np.float64))
        remainder = pending[:, num_whole:]
    if remainder.shape[1]:
        power.append(_power(remainder[:, None]))
        means.append(remainder[:, None].mean(axis=2, dtype=np.float64))
        peak.append(np.array([np.abs(remainder).max()], np.float64))
    if not power:
        return Levels(np.zeros(0), np.zeros(0), num_samples, sample_rate)
    centred = _without_offset(np.concatenate(power, axis=1), np.concatenate(means, axis=1))
    return Levels(np.sqrt(centred.max(axis=0)), np.concatenate(peak), num_samples, sample_rate)


def regions_of(
    measured: Levels,
    *,
    first_db: float = FIRST_DB,
    second_db: float = SECOND_DB,
    song_peak: float = 1.0,
    floor: float = 0.0,
    min_gap: float = MIN_GAP,
    pad: float = PAD,
    detector: Detector = "sustained",
) -> list[tuple[int, int]]:
    """Return the active regions from levels; arguments as for :func:`active_regions`."""
    gap_frames, pad_frames = gap_and_pad_frames(min_gap, pad)
    least = max(min(song_peak, 1.0) * 10 ** (-second_db / 20), floor)
    loud = _by_peak(measured, first_db, second_db) if detector == "peak" else _loud(measured, first_db, least)
    length = frame_samples(measured.sample_rate)
    regions: list[tuple[int, int]] = []
    for first, last in _runs(loud, gap_frames):
        start = max(0, first - pad_frames) * length
        end = min(measured.num_samples, (last + 1 + pad_frames) * length)
        regions.append((start, end))
    return regions


def gap_and_pad_frames(min_gap: float, pad: float) -> tuple[int, int]:
    """Convert ``min_gap`` and ``pad`` from seconds to frames.

    Raises:
        ConfigError: twice the pad is not shorter than the gap.
    """
    gap_frames, pad_frames = round(min_gap / HOP_LENGTH), round(pad / HOP_LENGTH)
    if pad_frames < 0 or gap_frames < 2 * pad_frames + 1:
        hint = "otherwise the kept edges of two regions would meet, and trimming twice would remove more"
        raise ConfigError(f"a pad of {pad:g} s needs a min_gap of more than {2 * pad:g} s, not {min_gap:g} s", hint)
    return gap_frames, pad_frames


def frame_samples(sample_rate: int) -> int:
    """Return the length of a frame in samples."""
    return max(1, seconds_to_samples(FRAME_LENGTH, sample_rate))


def _power(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return mean squares. Shape: (channel, frame, sample) -> (channel, frame)."""
    return np.asarray(np.einsum("cfs,cfs->cf", frames, frames, dtype=np.float64) / frames.shape[2])


def _without_offset(power: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subtract the DC offset of each channel from the mean squares if it would pass the first gate by itself.

    The offset is the median of the frames' means, which drum strokes do not affect. Shape: (channel, frame), all.
    """
    channels = zip(power, means, strict=True)
    offsets = np.array([np.median(mean[squares > 0]) if squares.any() else 0.0 for squares, mean in channels])
    rank = min(power.shape[1], round(REFERENCE_DURATION / HOP_LENGTH))
    reference = np.partition(power, -rank, axis=1)[:, -rank].max()
    offsets[offsets**2 < reference * 10 ** (-FIRST_DB / 10)] = 0.0
    sounding = power > 0  # digital silence stays silent
    return np.where(sounding, np.maximum(power - 2 * offsets[:, None] * means + offsets[:, None] ** 2, 0.0), 0.0)


def _loud(measured: Levels, first_db: float, least: float) -> NDArray[np.bool_]:
    """Return the frames that pass both gates; digital silence never does."""
    threshold = max(measured.reference * 10 ** (-first_db / 20), least)
    return np.asarray((measured.rms >= threshold) & (measured.rms > 0.0))


def _by_peak(measured: Levels, first_db: float, second_db: float) -> NDArray[np.bool_]:
    """Return the frames that pass both gates as in the paper, where both are relative to the largest sample."""
    threshold = measured.peak.max(initial=0.0) * 10 ** (-min(first_db, second_db) / 20)
    return np.asarray((measured.peak >= threshold) & (measured.peak > 0.0))


def _sustained(level: NDArray[np.float64]) -> float:
    """Return the level that is reached for :data:`REFERENCE_DURATION` in total."""
    rank = min(len(level), round(REFERENCE_DURATION / HOP_LENGTH))
    return float(np.partition(level, -rank)[-rank]) if rank else 0.0


def _runs(loud: NDArray[np.bool_], gap_frames: int) -> list[tuple[int, int]]:
    """Return the first and last frame of each run of loud frames, joined across pauses shorter than ``gap_frames``."""
    frames = np.flatnonzero(loud)
    if not len(frames):
        return []
    breaks = np.flatnonzero(np.diff(frames) - 1 >= gap_frames)
    firsts = frames[np.concatenate([[0], breaks + 1])]
    lasts = frames[np.concatenate([breaks, [len(frames) - 1]])]
    return [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]
