"""Detect and repair stereo sounds that are really mono: one channel is silent, or the channels cancel. Ours.

Recording input 1 on a stereo track leaves the right channel silent; a reversed plug or a stereo widener makes it the
negative of the left one. A listener hears mono in both cases. A model that was not trained on such sounds misjudges the
first, and summing the channels removes the second. So models get the mono sound in both channels; no file is changed.

*One-sided*: a channel is at least 20 dB below the other. At this difference, a model trained on panned sounds still
classifies them as it does mono (measured: from 30 dB on it no longer does), and the content of the softer channel is
negligible. *Inverted*: the correlation of the channels is below -0.8, where their sum is 10 dB below their difference;
wide stems of records reach this only for moments.

Both are detected in windows of one second, after subtracting the mean of each frame, so that a DC offset is not taken
for sound. Pauses are ignored. A fault must last for three seconds, or as long as the stem sounds, so a note that is
panned hard is not changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from stemclean.audio import files
from stemclean.audio.activity import FRAME_LENGTH, frame_samples
from stemclean.audio.waveform import Waveform, mix_channels

__all__ = [
    "NO_FAULTS",
    "ChannelFault",
    "ChannelFaults",
    "ChannelMeter",
    "Kind",
    "blocks",
    "faults_of",
    "mended",
    "restored",
]

ONE_SIDED_DB = 20.0
"""A channel this far below the other counts as silent."""
INVERTED = -0.8
"""Correlation of two channels below which one is the other's negative."""
PAUSE_DB = 30.0
"""Frames this far below the level of the sound are ignored."""
WINDOW = 1.0
"""Length of the window in which channels are compared, in seconds."""
SHORTEST = 3.0
"""Minimum length of a fault in seconds, unless the sound is shorter."""
REFERENCE_FRAMES = 10
"""The level of a sound is that of its tenth loudest frame, as in :mod:`stemclean.audio.activity`."""
FADE = 0.01
"""Length of the fade at the edges of a repaired region, in seconds."""

Kind = Literal["left", "right", "inverted"]
"""Only the left channel sounds, only the right channel sounds, or one is the negative of the other."""


@dataclass(frozen=True)
class ChannelFault:
    """A region in which both channels hold the same sound.

    Args:
        kind: kind of fault.
        start, end: times in seconds.
        gain: gain of the louder channel's sound in the other channel: about 0 if that is silent.
    """

    kind: Kind
    start: float
    end: float
    gain: float = 0.0


@dataclass(frozen=True)
class ChannelFaults:
    """The channel faults of a stereo sound; empty if there are none.

    Args:
        faults: faults in order; they do not touch.
        duration: duration of the sound in seconds.
    """

    faults: tuple[ChannelFault, ...] = ()
    duration: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.faults)


NO_FAULTS = ChannelFaults()
"""The faults of a sound without faults."""


class ChannelMeter:
    """Measures the channels of a sound that is given in blocks; keeps a few numbers per frame.

    Args:
        sample_rate: sample rate in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._rest: Waveform = np.zeros((2, 0), np.float32)
        self._moments: list[NDArray[np.float64]] = []  # (2, 2, frame) each
        self._num_samples = 0

    def add(self, block: Waveform) -> None:
        """Add the next samples; only sounds of two channels can have faults. Shape: (channel, time)."""
        if block.shape[0] != 2:
            return
        self._num_samples += block.shape[1]
        length = frame_samples(self._sample_rate)
        pending = np.concatenate([self._rest, block], axis=1) if self._rest.shape[1] else block
        num_whole = pending.shape[1] // length * length
        self._moments.append(_moments(pending[:, :num_whole].reshape(2, -1, length)))
        self._rest = pending[:, num_whole:]

    def faults(self) -> ChannelFaults:
        """Return the faults of all samples that were added."""
        moments = [*self._moments, _moments(self._rest[:, None])] if self._rest.shape[1] else self._moments
        if not moments:
            return ChannelFaults()
        detected = _faults(np.concatenate(moments, axis=2), self._num_samples / self._sample_rate)
        return ChannelFaults(tuple(detected), self._num_samples / self._sample_rate)


def faults_of(path: str | Path, *, stream: int = 0) -> ChannelFaults:
    """Find the channel faults of a file, by decoding it once; more than two channels are mixed down first.

    Raises:
        AudioError: as :func:`stemclean.audio.files.blocks`.
    """
    info = files.probe(path, stream)
    meter = ChannelMeter(info.sample_rate)
    if info.channels > 1:
        for block in files.blocks(path, channels=2, stream=stream):
            meter.add(block)
    return meter.faults()


def blocks(
    path: str | Path,
    *,
    sample_rate: int,
    channels: int,
    block_duration: float = 30.0,
    stream: int = 0,
    faults: ChannelFaults | None = None,
) -> Iterator[Waveform]:
    """Yield a file like :func:`stemclean.audio.files.blocks`, with channel faults repaired before mixing down.

    Args:
        faults: faults of the file; None: find them, which takes another pass.
    """
    faults = faults_of(path, stream=stream) if faults is None else faults
    decoded = 2 if faults else channels
    for block in mended(
        files.blocks(path, sample_rate=sample_rate, channels=decoded, block_duration=block_duration, stream=stream),
        faults,
        sample_rate,
    ):
        yield mix_channels(block, channels)


def mended(sound: Iterable[Waveform], faults: ChannelFaults, sample_rate: int, start: int = 0) -> Iterator[Waveform]:
    """Yield the blocks of a sound with its faults repaired: both channels hold the mono sound.

    Args:
        sound: blocks ``(2, time)``; with any number of channels if there are no faults.
        faults: faults of the sound.
        sample_rate: sample rate in Hz.
        start: index of the first sample of the first block.
    """
    at = start
    for block in sound:
        changed = block
        for fault, weight in _within(faults, at, block.shape[1], sample_rate):
            loud, soft = _loud_and_soft(fault)
            repaired = -changed[soft] if fault.kind == "inverted" else changed[loud]
            changed = changed.copy()
            changed[soft] += weight * (repaired - changed[soft])
        at += block.shape[1]
        yield changed


def restored(sound: Iterable[Waveform], faults: ChannelFaults, sample_rate: int) -> Iterator[Waveform]:
    """Undo :func:`mended` on estimates that were computed from its result: silent channels become silent again.

    Args:
        sound: blocks ``(..., 2, time)``.
    """
    at = 0
    for block in sound:
        changed = block
        for fault, weight in _within(faults, at, block.shape[-1], sample_rate):
            loud, soft = _loud_and_soft(fault)
            original = (
                -changed[..., soft, :] if fault.kind == "inverted" else np.float32(fault.gain) * changed[..., loud, :]
            )
            changed = changed.copy()
            changed[..., soft, :] += weight * (original - changed[..., soft, :])
        at += block.shape[-1]
        yield changed


def _loud_and_soft(fault: ChannelFault) -> tuple[int, int]:
    return (1, 0) if fault.kind == "right" else (0, 1)


def _within(
    faults: ChannelFaults, at: int, length: int, sample_rate: int
) -> Iterator[tuple[ChannelFault, NDArray[np.float32]]]:
    """Yield the faults within some samples, and the weight of each at each sample, in [0, 1]."""
    times = None
    for fault in faults.faults:
        if fault.start - FADE >= (at + length) / sample_rate or fault.end + FADE <= at / sample_rate:
            continue
        times = (at + np.arange(length)) / sample_rate if times is None else times
        rises = np.full(length, 1.0) if fault.start <= 0 else (times - fault.start) / FADE
        falls = np.full(length, 1.0) if fault.end >= faults.duration else (fault.end - times) / FADE
        yield fault, np.clip(np.minimum(rises, falls), 0.0, 1.0).astype(np.float32)


def _moments(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return energies and product of the channels without their means: (2, frame, sample) -> (2, 2, frame)."""
    num = frames.shape[2]
    sums = frames.sum(axis=2, dtype=np.float64)
    products = np.empty((2, 2, frames.shape[1]))
    for first, second in ((0, 0), (0, 1), (1, 1)):
        product = np.einsum("fs,fs->f", frames[first], frames[second], dtype=np.float64)
        products[first, second] = products[second, first] = product - sums[first] * sums[second] / num
    return products


def _faults(moments: NDArray[np.float64], duration: float) -> Iterator[ChannelFault]:
    """Yield the regions in which both channels hold the same sound. Shape of the moments: (2, 2, frame)."""
    size = round(WINDOW / FRAME_LENGTH) + 1
    around = scipy.ndimage.uniform_filter1d(moments, size, axis=2, mode="constant")  # zero outside the sound
    left, right, product = np.maximum(around[0, 0], 0.0), np.maximum(around[1, 1], 0.0), around[0, 1]
    energy = np.maximum(moments[0, 0], moments[1, 1])
    rank = min(len(energy), REFERENCE_FRAMES)
    least = np.partition(energy, -rank)[-rank] * 10 ** (-PAUSE_DB / 10)
    audible = np.maximum(left, right) > max(least, energy.max() * 1e-6, 1e-20)  # running sums leave rounding errors
    ratio = 10 ** (-ONE_SIDED_DB / 10)
    kinds: dict[Kind, NDArray[np.bool_]] = {"left": right <= ratio * left, "right": left <= ratio * right}
    inverted = product < INVERTED * np.sqrt(left * right)
    kinds["inverted"] = inverted & ~kinds["left"] & ~kinds["right"]
    state = np.zeros(len(energy), int)
    for number, kind in enumerate(kinds, 1):
        state[kinds[kind] & audible] = number
    frames = np.flatnonzero(audible)
    if not len(frames):
        return
    breaks = np.flatnonzero(np.diff(state[frames])) + 1
    needed = min(round(SHORTEST / FRAME_LENGTH), len(frames))
    for run in np.split(frames, breaks):
        if state[run[0]] and len(run) >= needed:
            yield _fault(list(kinds)[state[run[0]] - 1], run, frames, moments, duration)


def _fault(
    kind: Kind, run: NDArray[np.intp], audible: NDArray[np.intp], moments: NDArray[np.float64], duration: float
) -> ChannelFault:
    """Convert a run of frames to a fault; silence before the first or after the last audible frame is included."""
    start = 0.0 if run[0] == audible[0] else float(run[0]) * FRAME_LENGTH
    end = duration if run[-1] == audible[-1] else float(run[-1] + 1) * FRAME_LENGTH
    inside = moments[:, :, run].sum(axis=2)
    loud = 1 if kind == "right" else 0
    return ChannelFault(kind, start, end, float(inside[0, 1] / inside[loud, loud]))
