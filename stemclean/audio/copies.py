"""Detect whether two files hold the same sound, regardless of format, gain, sample rate and delay. Ours.

There are two steps. A *fingerprint* is a few numbers that are equal for all copies of a sound, up to the error of a
lossy codec: the distribution of its power over bands, and how long it would last if each band had a constant level.
Gain and delay do not change them. Fingerprints are computed while a sound is read for other purposes, and select the
files to compare. Then both files are decoded, aligned, and compared in cells of time and frequency; almost all cells
must hold the same waveform. Sounds that differ by another instrument, an equaliser, a compressor, another microphone or
another take are not the same.

A part of a sound, such as a copy whose end was cut off, is the same sound, too. Only the overlap is compared, if one
sound lies in it almost as a whole, it is long enough, and the sounds agree nowhere else nearly as well: two sections of
a song that repeat the same loop are not copies of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from stemclean.audio.waveform import Waveform

__all__ = ["FINGERPRINT_SIZE", "SAMPLE_RATE", "Fingerprinter", "alike", "distance_db", "same"]

BAND_EDGES_HZ = (60, 120, 180, 260, 360, 480, 640, 860, 1150, 1550, 2100, 2700, 3400)
"""Bands of a fingerprint, within the range that every codec and sample rate keeps."""
GROUPS = 3
"""Number of groups of bands whose durations are part of the fingerprint, besides the duration of all bands."""
FINGERPRINT_SIZE = len(BAND_EDGES_HZ) + GROUPS
FINGERPRINT_FRAME = 0.09
"""Approximate length of a frame in seconds; frames overlap by half."""
SMOOTH = 9
"""Frames over which power is smoothed before its duration is measured, so that frame positions do not matter."""
STEP_DB = 0.02
FAINT = 2e-3
"""Share of the total power that is added to every band, because codecs do not preserve fainter bands."""
SOFTEST_DB = -30.0
"""Frames softer than this, relative to the loudest, are ignored: they may be quantisation noise."""
OTHER_CHANNELS = 0.7
"""Weight of each channel relative to the one before, so that opposite channels do not cancel."""
TOLERANCE_DB = 1.4
"""Maximum difference of each number between the fingerprints of two copies."""
SHORTER_DB = 3.5
"""The same for durations: a copy may have lost half of its length."""
MOST = 12
"""Maximum number of files that a file is compared with: those with the nearest fingerprints."""

SAMPLE_RATE = 8000
"""Sample rate in Hz at which two sounds are compared."""
FRAME = 2048
"""Length of a cell in samples: a quarter of a second."""
LOWEST_HZ, HIGHEST_HZ, BANDS = 60.0, 3400.0, 20
FLOOR_DB = -33.0
"""Cells softer than this, relative to the loud ones, are ignored: a copy of eight bits has noise there."""
COHERENCE, SHARE = 0.5, 0.93
"""Copies share at least this part of the louder one's power in at least this share of the cells, weighted by amplitude.
Two takes of a part are far below."""
NOTE_COHERENCE, NOTE_SHARE = 0.98, 0.95
"""The same for a single note or hit: repeated notes of a good player agree as well as lossy copies do, so only lossless
copies can be told apart from them."""
NOTE = 7.0
"""Maximum duration of a single note in seconds."""
RISE_DB = 6.0
"""A sound that becomes louder again by this much is more than one note."""
LONGEST = 600
"""Seconds from the start of both sounds that are used to align them."""
LEAST_OVERLAP = 5.0
"""Minimum duration in seconds of a part of a sound that is recognised."""
CONTAINED = 0.9
"""Minimum share of one of the sounds, by amplitude, that lies in the overlap, if parts are to be recognised."""
ELSEWHERE = 0.8
"""Maximum correlation at another delay, relative to the best one, if parts are to be recognised."""
SEARCHED = 200
"""Seconds of both sounds, around the beginning of their overlap, in which another delay is looked for."""
APART = 0.25
"""Minimum distance of another delay in seconds; a neighbouring one agrees because the sound has a pitch."""


class Fingerprinter:
    """Computes the fingerprint of a sound that is given in blocks; keeps only a few numbers per frame.

    Args:
        sample_rate: sample rate in Hz, at least 8000.
    """

    def __init__(self, sample_rate: int) -> None:
        self._length = 2 ** round(np.log2(sample_rate * FINGERPRINT_FRAME))
        self._hop = self._length // 2
        middles = (np.arange(self._length) + 0.5) / self._length
        self._window = np.sin(np.pi * middles).astype(np.float32)  # squares of overlapping windows add up to 1
        self._edges = np.rint(np.array(BAND_EDGES_HZ) * self._length / sample_rate).astype(int)
        self._seconds = self._hop / sample_rate
        self._rest: NDArray[np.float32] = np.zeros(self._hop, np.float32)
        self._powers: list[NDArray[np.float32]] = []  # (frame, band) each

    def add(self, block: Waveform) -> None:
        """Add the next samples. Shape: (channel, time)."""
        weights = OTHER_CHANNELS ** np.arange(block.shape[0], dtype=np.float32)
        self._analyse(np.concatenate([self._rest, weights @ block]))

    def _analyse(self, pending: NDArray[np.float32]) -> None:
        num_done = 0
        if len(pending) >= self._length:
            low, high = self._edges[0], self._edges[-1]
            frames = np.lib.stride_tricks.sliding_window_view(pending, self._length)[:: self._hop]
            spectra = scipy.fft.rfft(frames * self._window, axis=1)[:, low:high]
            powers = spectra.real**2 + spectra.imag**2
            self._powers.append(np.add.reduceat(powers, self._edges[:-1] - low, axis=1))
            num_done = len(frames) * self._hop
        self._rest = pending[num_done:]

    def fingerprint(self) -> str | None:
        """Return the fingerprint, :data:`FINGERPRINT_SIZE` 16-bit numbers in hex; None for silence."""
        self._analyse(np.pad(self._rest, (0, self._length)))
        self._rest = np.zeros(self._hop, np.float32)
        powers = np.concatenate(self._powers).astype(np.float64)
        total = powers.sum(axis=1)
        powers[total <= total.max() * 10 ** (SOFTEST_DB / 10)] = 0
        if not powers.any():
            return None
        powers /= powers.sum()
        spread = 10 * np.log10(powers.sum(axis=0) + FAINT)
        groups = [group.sum(axis=1) for group in np.array_split(powers, GROUPS, axis=1)]
        total = powers.sum(axis=1)
        durations = [self._duration_db(group + 0.01 * total) for group in groups] + [self._duration_db(total)]
        steps = np.rint(np.array([*spread, *durations]) / STEP_DB)
        return steps.astype(">i2").tobytes().hex()

    def _duration_db(self, power: NDArray[np.float64]) -> float:
        """Return the duration that a sound would have at a constant level, in dB of a second."""
        smooth = np.convolve(power, np.hanning(SMOOTH + 2), "full")
        return float(10 * np.log10(smooth.sum() ** 2 / (smooth**2).sum() * self._seconds))


_SCALE = np.repeat([1.0, TOLERANCE_DB / SHORTER_DB], [len(BAND_EDGES_HZ) - 1, GROUPS + 1])


def distance_db(first: str, second: str) -> float:
    """Return the largest difference between the numbers of two fingerprints; that of durations counts less."""
    return float(np.abs(_numbers(first) - _numbers(second)).max())


def alike(fingerprints: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of fingerprints that may belong to the same sound, nearest first; at most :data:`MOST` for each."""
    if len(fingerprints) < 2:
        return []
    points = np.array([_numbers(fingerprint) for fingerprint in fingerprints])
    near, nearest = scipy.spatial.cKDTree(points).query(
        points, min(MOST + 1, len(points)), p=np.inf, distance_upper_bound=TOLERANCE_DB
    )
    pairs = {
        (min(index, int(neighbour)), max(index, int(neighbour))): float(distance)
        for index, (distances, indices) in enumerate(zip(near, nearest, strict=True))
        for distance, neighbour in zip(distances, indices, strict=True)
        if neighbour < len(points) and neighbour != index
    }
    return sorted(pairs, key=lambda pair: (pairs[pair], pair))


def _numbers(fingerprint: str) -> NDArray[np.float64]:
    """Return the numbers, scaled so that all have the same tolerance."""
    return np.asarray(np.frombuffer(bytes.fromhex(fingerprint), ">i2") * STEP_DB * _SCALE, np.float64)


def same(first: Iterable[Waveform], second: Iterable[Waveform]) -> bool:
    """Return whether two sounds are the same, or one is a part of the other; the module docstring describes the method.

    Args:
        first, second: blocks at :data:`SAMPLE_RATE`. Shape: (channel, time)
    """
    pair = _Aligned(_joined(first), _joined(second))
    cells = _Cells(*pair.spectra())
    if cells.single_note:
        return cells.share(NOTE_COHERENCE) >= NOTE_SHARE
    if cells.share(COHERENCE) >= SHARE:
        return True
    if pair.overlap < LEAST_OVERLAP * SAMPLE_RATE or pair.contained() < CONTAINED:
        return False
    part = _Cells(*pair.spectra(overlap=True))
    return not part.single_note and part.share(COHERENCE) >= SHARE and pair.elsewhere() <= ELSEWHERE


class _Aligned:
    """Two sounds, aligned with the delay at which they agree best.

    Args:
        first, second: the sounds. Shape: (time,)
    """

    def __init__(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
        self._sounds = first, second
        self._lag = _lag(first, second) if first.any() and second.any() else 0
        self._starts = starts = max(0, -self._lag), max(0, self._lag)
        self._start = max(starts)
        self._end = min(starts[0] + len(first), starts[1] + len(second))
        self._padded = [np.pad(sound, (start, 0)) for sound, start in zip(self._sounds, starts, strict=True)]

    @property
    def overlap(self) -> int:
        """Number of samples in which there are both files."""
        return max(0, self._end - self._start)

    def spectra(self, *, overlap: bool = False) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Return the spectra of both sounds, or only of their overlap. Shape: (frame, freq)."""
        first, second = self._padded
        if overlap:
            first, second = first[self._start : self._end], second[self._start : self._end]
        length = -(-max(len(first), len(second), 1) // FRAME) * FRAME
        return _frames(first, length), _frames(second, length)

    def contained(self) -> float:
        """Return the share, by amplitude, of the sound that lies in the overlap, of the sound of which it is larger."""
        return max(
            float(np.abs(sound[self._start : self._end]).sum() / max(np.abs(sound).sum(), 1e-30))
            for sound in self._padded
        )

    def elsewhere(self) -> float:
        """Return the highest correlation at another delay, relative to the best one.

        Correlations are those of the overlap at each delay, which must not be shorter than half of the shorter sound.
        """
        begins = [max(0, self._start - start - SEARCHED * SAMPLE_RATE // 2) for start in self._starts]
        first, second = (
            sound[begin : begin + SEARCHED * SAMPLE_RATE].astype(np.float64)
            for sound, begin in zip(self._sounds, begins, strict=True)
        )
        known = self._lag - begins[0] + begins[1]
        correlation, lags = _correlation(first, second)
        starts, ends = np.maximum(0, lags), np.minimum(len(first), len(second) + lags)  # the overlap within the first
        long_enough = ends - starts >= min(len(first), len(second)) / 2
        starts, ends = np.minimum(starts, len(first)), np.clip(ends, 0, len(first))
        energy_1, energy_2 = (np.concatenate([[0.0], np.cumsum(sound**2)]) for sound in (first, second))
        in_1 = energy_1[ends] - energy_1[starts]
        in_2 = energy_2[np.clip(ends - lags, 0, len(second))] - energy_2[np.clip(starts - lags, 0, len(second))]
        floor = 1e-4 * min(energy_1[-1], energy_2[-1])
        relative = np.where(
            long_enough & (in_1 > floor) & (in_2 > floor), correlation / np.sqrt(np.maximum(in_1 * in_2, floor**2)), 0
        )
        best = relative[lags == known].max(initial=0.0)
        others = relative[np.abs(lags - known) > APART * SAMPLE_RATE]
        return float(others.max(initial=0.0) / max(best, 1e-12))


class _Cells:
    """Two aligned sounds with the gain, of either sign, and the fraction of a sample at which they agree best.

    Args:
        spectra_1, spectra_2: spectra of their frames. Shape: (frame, freq)
    """

    def __init__(self, spectra_1: NDArray[np.complex64], spectra_2: NDArray[np.complex64]) -> None:
        cross = spectra_1 * np.conj(spectra_2)
        low = round(LOWEST_HZ * FRAME / SAMPLE_RATE)
        omega = 2 * np.pi * (low + np.arange(cross.shape[1])) / FRAME
        rotations = np.exp(1j * np.outer(np.linspace(-1, 1, 65), omega))  # the fraction of a sample in the lag
        best = int(np.abs((rotations @ cross.sum(axis=0)).real).argmax())
        edges = np.unique(np.geomspace(low, low + cross.shape[1], BANDS + 1).round().astype(int)) - low
        common = np.add.reduceat((cross * rotations[best]).real, edges[:-1], axis=1)
        powers = [np.add.reduceat(np.abs(spectra) ** 2, edges[:-1], axis=1) for spectra in (spectra_1, spectra_2)]
        gain = common.sum() / max(powers[1].sum(), 1e-30)
        self._common = common * gain
        self._louder = np.maximum(powers[0], powers[1] * gain**2)
        loud = (self._louder**2).sum() / max(self._louder.sum(), 1e-30)
        self._weights = np.sqrt(self._louder) * (self._louder > loud * 10 ** (FLOOR_DB / 10))

    def share(self, coherence: float) -> float:
        """Return the share, in [0, 1], of the cells with sound in which both sounds have this coherence."""
        return float(self._weights[self._common > coherence * self._louder].sum() / max(self._weights.sum(), 1e-30))

    @property
    def single_note(self) -> bool:
        """Whether the sound is short and only decays."""
        sounding = np.flatnonzero(self._weights.any(axis=1))
        if not len(sounding):
            return True
        power = self._louder[sounding[0] : sounding[-1] + 1].sum(axis=1)
        if len(power) * FRAME / 2 / SAMPLE_RATE >= NOTE:
            return False
        after = power[int(power.argmax()) :]
        return bool((after <= np.minimum.accumulate(after) * 10 ** (RISE_DB / 10)).all())


def _joined(sound: Iterable[Waveform]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros(0, np.float32), *(block.mean(axis=0) for block in sound)])


def _lag(first: NDArray[np.float32], second: NDArray[np.float32]) -> int:
    """Return the delay of the first sound relative to the second, in samples, from the beginning of both."""
    correlation, lags = _correlation(first[: LONGEST * SAMPLE_RATE], second[: LONGEST * SAMPLE_RATE])
    return int(lags[correlation.argmax()])


def _correlation(
    first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.int64]]:
    """Return the magnitude of the correlation of two sounds, and the delay of the first, in samples, of each value."""
    size = scipy.fft.next_fast_len(len(first) + len(second), real=True)
    product = scipy.fft.rfft(first, size) * np.conj(scipy.fft.rfft(second, size))
    lags = np.arange(size)
    return np.abs(scipy.fft.irfft(product, size)), np.where(lags < len(first), lags, lags - size)


def _frames(sound: NDArray[np.float32], length: int) -> NDArray[np.complex64]:
    """Return spectra of frames that overlap by half, limited to the bands. Shape: (frame, freq)."""
    padded = np.pad(sound, (FRAME // 2, length - len(sound) + FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[:: FRAME // 2]
    window = np.hanning(FRAME).astype(np.float32)
    low, high = (round(hz * FRAME / SAMPLE_RATE) for hz in (LOWEST_HZ, HIGHEST_HZ))
    parts = np.array_split(frames, -(-len(frames) // 500))
    return np.asarray(np.concatenate([scipy.fft.rfft(part * window)[:, low:high] for part in parts]))
