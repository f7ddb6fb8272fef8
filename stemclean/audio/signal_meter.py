"""Measure the technical faults of a recording in one pass: clipping, offset, dropouts, bandwidth, hum and noise. Ours.

Everything is measured at the file's own sample rate, block by block, with a few numbers per frame. Thresholds for what
counts as a fault are in :mod:`stemclean.checks`; here are only measurements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from stemclean.audio.activity import Levels, levels, regions_of
from stemclean.audio.waveform import Sound, Waveform, as_blocks

__all__ = ["Cutoff", "Dropout", "Hum", "Signal", "measure_signal"]

SPECTRUM_SAMPLES = 8192
"""Length of a frame of the spectrum."""

SPECTRA_PER_SECOND = 4.0
"""Frames of the spectrum per second of sound."""

PAUSE_DB = 25.0
"""Level of a pause relative to the loudest tenth of the sound. Without pauses, noise and hum cannot be measured."""

STEADY_DB, FEWEST_STEADY = 3.0, 8
"""Noise and hum are steady: at least so many frames of the pauses lie in a range of so many dB."""

LOWEST_DB = 100.0
"""Range of the spectrum in which a cutoff is looked for."""

FLATNESS = 0.9
"""Spectral flatness of noise, relative to that of white noise, in narrow bands."""

NOISE_BANDS, SPREAD_DB = 16, 2.5
"""Each band of noise keeps its level: the median of their standard deviations over time is at most so many dB. Frames
in the decay of many notes or drum strokes may have one level and a flat mean, but their bands mostly differ by more."""

FLAT_RUN = 3
"""Samples in a row at the highest level that count as clipped."""

SHORTEST_DROPOUT, LONGEST_DROPOUT = 0.0004, 1.0
"""Length of a dropout in seconds."""

EDGE = 0.01
"""Seconds on each side of a dropout whose level is compared."""

HUM_SPREAD_DB = 1.5
"""Mains hum keeps its level: the median of the standard deviations of its harmonics over time is at most so many dB.
The harmonics of decaying notes do not."""

GAPS = 512
"""Gaps that are measured at once; the decay of one note may have thousands."""

INTERSAMPLE = 64
"""Samples around a peak that are interpolated for the true peak."""

MAX_PEAKS = 64
"""Number of peaks per block that are interpolated."""

OVERSAMPLING = 8
MAINS_HZ = (50.0, 60.0)
HARMONICS = 6


class Dropout(NamedTuple):
    """A gap of digital silence with sound at full level on both sides.

    Args:
        start, end: times in seconds.
    """

    start: float
    end: float


class Cutoff(NamedTuple):
    """A frequency above which a recording has no sound.

    Args:
        hz: the frequency.
        fall_db: how far the spectrum falls there, within 1 kHz.
    """

    hz: float
    fall_db: float


class Hum(NamedTuple):
    """Mains hum in the quiet parts.

    Args:
        hz: frequency of the mains, 50 or 60 Hz.
        level_dbfs: power of the hum.
        above_db: how far its harmonics lie above their surroundings, in the mean.
    """

    hz: float
    level_dbfs: float
    above_db: float


@dataclass(frozen=True)
class Signal:
    """Measurements of a recording. Levels are linear with full scale 1, unless they are in dB.

    Args:
        sample_rate: in Hz.
        channels: number of channels.
        num_samples: length.
        head, tail: seconds of silence before the first and after the last sound; 0 if there is no sound at all.
        peak: highest absolute sample.
        true_peak: highest absolute value between samples, as a converter would play it.
        rms: RMS of the loudest channel.
        clipped: stretches of at least three equal samples at the highest level.
        offset: largest mean of a channel (DC).
        dropouts: gaps in the sound.
        cutoff: frequency above which there is no sound, if the spectrum ends abruptly.
        noise_dbfs: level of steady noise in the quietest parts; None if these are not noise, or digital silence.
        hum: mains hum, if there is any.
        correlation: correlation of two channels; None for other numbers of channels, or silence.
    """

    sample_rate: int
    channels: int
    num_samples: int
    head: float = 0.0
    tail: float = 0.0
    peak: float = 0.0
    true_peak: float = 0.0
    rms: float = 0.0
    clipped: int = 0
    offset: float = 0.0
    dropouts: tuple[Dropout, ...] = ()
    cutoff: Cutoff | None = None
    noise_dbfs: float | None = None
    hum: Hum | None = None
    correlation: float | None = None

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


def measure_signal(sound: Sound, sample_rate: int) -> Signal:
    """Measure a recording.

    Args:
        sound: a waveform or its blocks, at the sample rate and with the channels of the file.
        sample_rate: in Hz.
    """
    meter = _Meter(sample_rate)
    frames = levels(meter.passed(as_blocks(sound)), sample_rate)
    return meter.signal(frames)


class _Meter:
    """Measures blocks as they pass."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.channels = 0
        self.num_samples = 0
        self.sums: NDArray[np.float64] = np.zeros(0)
        self.products: NDArray[np.float64] = np.zeros((0, 0))
        self.peaks = _Peaks()
        self.gaps = _Gaps(sample_rate)
        self.spectra = _Spectra(sample_rate)

    def passed(self, blocks: Iterator[Waveform]) -> Iterator[Waveform]:
        for block in blocks:
            self._add(block)
            yield block

    def _add(self, block: Waveform) -> None:
        if not self.channels:
            self.channels = block.shape[0]
            self.sums, self.products = np.zeros(self.channels), np.zeros((self.channels, self.channels))
        self.num_samples += block.shape[1]
        self.sums += block.sum(axis=1, dtype=np.float64)
        self.products += (block @ block.T).astype(np.float64)
        self.peaks.add(block)
        self.gaps.add(block)
        self.spectra.add(block)

    def signal(self, frames: Levels) -> Signal:
        if not self.num_samples or not self.peaks.highest:
            return Signal(self.sample_rate, self.channels, self.num_samples)
        active = regions_of(frames)
        head = active[0][0] / self.sample_rate if active else 0.0
        tail = (self.num_samples - active[-1][1]) / self.sample_rate if active else 0.0
        means = self.sums / self.num_samples
        power = np.diag(self.products) / self.num_samples
        noise_dbfs, hum = self.spectra.noise_and_hum()
        return Signal(
            self.sample_rate,
            self.channels,
            self.num_samples,
            head,
            tail,
            self.peaks.highest,
            max(self.peaks.highest, self.peaks.true_peak),
            float(np.sqrt(power.max())),
            self.peaks.clipped,
            float(np.abs(means).max()),
            self.gaps.dropouts(frames.reference),
            self.spectra.cutoff(),
            noise_dbfs,
            hum,
            self._correlation(means, power),
        )

    def _correlation(self, means: NDArray[np.float64], power: NDArray[np.float64]) -> float | None:
        if self.channels != 2:
            return None
        variance = power - means**2
        if variance.min() <= 1e-12:
            return None
        covariance = self.products[0, 1] / self.num_samples - means[0] * means[1]
        return float(np.clip(covariance / np.sqrt(variance.prod()), -1.0, 1.0))


class _Peaks:
    """The highest sample, flat tops at that level, and the true peak."""

    def __init__(self) -> None:
        self.highest = 0.0
        self.true_peak = 0.0
        self.clipped = 0
        self._before: Waveform = np.zeros((0, 0), np.float32)

    def add(self, block: Waveform) -> None:
        before = self._before if self._before.shape[0] == block.shape[0] else block[:, :0]
        joined = np.concatenate([before, block], axis=1) if before.shape[1] else block
        peak = float(np.abs(block).max(initial=0.0))
        if peak > self.highest * 1.0005:  # flat tops below the new level were none
            self.clipped = 0
        self.highest = max(self.highest, peak)
        if peak >= self.highest * 0.9995 and peak > 0:
            for channel in joined:
                self.clipped += _flat_tops(channel, self.highest * 0.9995)
        if peak >= 0.5:
            self.true_peak = max(self.true_peak, _true_peak(joined, max(0.5, 0.7 * self.highest)))
        self._before = joined[:, -(FLAT_RUN - 1) :].copy()


def _flat_tops(channel: NDArray[np.float32], level: float) -> int:
    """Return the number of runs of at least :data:`FLAT_RUN` samples of one sign above a level."""
    at = np.flatnonzero(np.abs(channel) >= level)
    if len(at) < FLAT_RUN:
        return 0
    together = (np.diff(at) == 1) & (np.sign(channel[at[1:]]) == np.sign(channel[at[:-1]]))
    lengths = np.diff(np.flatnonzero(np.concatenate([[True], ~together, [True]])))
    return int((lengths >= FLAT_RUN).sum())


def _true_peak(block: Waveform, least: float) -> float:
    """Return the highest value between samples, by band-limited interpolation around the highest samples."""
    highest = 0.0
    for channel in block:
        size = np.abs(channel)
        at = np.flatnonzero(size >= least)
        if not len(at):
            continue
        if len(at) > MAX_PEAKS:
            at = at[np.argpartition(size[at], -MAX_PEAKS)[-MAX_PEAKS:]]
        half = INTERSAMPLE // 2
        at = np.unique(np.clip(at, half, max(half, len(channel) - half)))
        windows = np.stack([channel[i - half : i + half] for i in at if i + half <= len(channel)] or [channel[:0]])
        if not windows.shape[1]:
            continue
        taper = np.hanning(INTERSAMPLE + 2)[1:-1]  # the middle is what counts; the taper keeps the ends from ringing
        spectrum = np.fft.rfft(windows * taper, axis=1)
        fine = np.fft.irfft(spectrum, INTERSAMPLE * OVERSAMPLING, axis=1) * OVERSAMPLING
        middle = slice((half - 1) * OVERSAMPLING, (half + 1) * OVERSAMPLING + 1)
        shape = np.interp(np.arange(INTERSAMPLE * OVERSAMPLING) / OVERSAMPLING, np.arange(INTERSAMPLE), taper)
        highest = max(highest, float(np.abs(fine[:, middle] / shape[middle]).max()))
    return highest


class _Gaps:
    """Gaps of digital silence in all channels."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._edge = max(4, round(EDGE * sample_rate))
        self._at = 0
        self._rest: Waveform = np.zeros((0, 0), np.float32)
        self._last = -1  # start of the last gap that was measured
        self._found: list[tuple[int, int, float, float]] = []  # abrupt ones: start, end, RMS before and after

    def add(self, block: Waveform) -> None:
        rest = self._rest if self._rest.shape[0] == block.shape[0] else block[:, :0]
        joined = np.concatenate([rest, block], axis=1) if rest.shape[1] else block
        begin = self._at - rest.shape[1]
        self._at += block.shape[1]
        silent = ~joined.any(axis=0)
        keep, longest = self._edge, round(LONGEST_DROPOUT * self._rate)
        if silent.any():
            edges = np.flatnonzero(np.diff(silent, prepend=False, append=False))
            starts, ends = edges[::2], edges[1::2]
            complete = ends + self._edge <= joined.shape[1]
            if not complete.all():  # what follows is not here yet
                keep = min(joined.shape[1] - int(starts[~complete][0]), longest) + self._edge
            lengths = ends - starts
            whole = complete & (starts >= self._edge) & (begin + starts > self._last)
            whole &= (lengths >= max(2, SHORTEST_DROPOUT * self._rate)) & (lengths <= longest)
            for first in range(0, int(whole.sum()), GAPS):
                self._measure(joined, starts[whole][first : first + GAPS], ends[whole][first : first + GAPS], begin)
        self._rest = joined[:, -keep:].copy()

    def _measure(self, joined: Waveform, starts: NDArray[np.intp], ends: NDArray[np.intp], begin: int) -> None:
        """Measure both sides of some gaps, given their first samples and those after their last ones."""
        self._last = begin + int(starts[-1])
        around = np.arange(self._edge)
        few = max(2, self._edge // 20)
        before = joined[:, starts[:, None] - self._edge + around]  # (channel, gap, sample)
        after = joined[:, ends[:, None] + around]
        rms_before, rms_after = (np.sqrt(np.square(side).mean(axis=2).max(axis=0)) for side in (before, after))
        tip_before = np.abs(before[:, :, -few:]).max(axis=(0, 2))
        tip_after = np.abs(after[:, :, :few]).max(axis=(0, 2))
        abrupt = (tip_before >= 0.5 * rms_before) & (tip_after >= 0.5 * rms_after)
        times = (begin + starts[abrupt]).tolist(), (begin + ends[abrupt]).tolist()
        for start, end, left, right in zip(
            *times, rms_before[abrupt].tolist(), rms_after[abrupt].tolist(), strict=True
        ):
            self._found.append((start, end, left, right))

    def dropouts(self, reference: float) -> tuple[Dropout, ...]:
        """Return the gaps that begin and end abruptly, within 20 dB of the level of the sound."""
        least = reference / 10
        return tuple(
            Dropout(start / self._rate, end / self._rate)
            for start, end, before, after in self._found
            if min(before, after) >= least > 0
        )


class _Spectra:
    """Power spectra of some frames of the sum of the channels."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._hop = max(SPECTRUM_SAMPLES, round(sample_rate / SPECTRA_PER_SECOND))
        self._window = np.hanning(SPECTRUM_SAMPLES).astype(np.float32)
        self._scale = 2.0 / float(np.square(self._window).sum() * SPECTRUM_SAMPLES)  # -> mean square per bin
        self._next = 0  # sample at which the next frame starts
        self._at = 0
        self._rest: Waveform = np.zeros((0, 0), np.float32)
        self._power: list[NDArray[np.float32]] = []

    def add(self, block: Waveform) -> None:
        rest = self._rest if self._rest.shape[0] == block.shape[0] else block[:, :0]
        joined = np.concatenate([rest, block], axis=1) if rest.shape[1] else block
        begin = self._at - rest.shape[1]
        self._at += block.shape[1]
        frames = []
        while self._next + SPECTRUM_SAMPLES <= self._at:
            first = self._next - begin
            frames.append(joined[:, first : first + SPECTRUM_SAMPLES])
            self._next += self._hop
        if frames:
            spectrum = scipy.fft.rfft(np.stack(frames) * self._window, axis=2)
            power = (np.square(spectrum.real) + np.square(spectrum.imag)).mean(axis=1) * self._scale
            self._power.extend(power.astype(np.float32))
        self._rest = joined[:, -SPECTRUM_SAMPLES:].copy()

    @property
    def _frequencies(self) -> NDArray[np.float64]:
        return np.asarray(np.fft.rfftfreq(SPECTRUM_SAMPLES, 1 / self._rate), np.float64)

    def cutoff(self) -> Cutoff | None:
        """Return the frequency at which the mean spectrum falls most steeply, if nothing follows above it."""
        if not self._power:
            return None
        mean = np.mean(self._power, axis=0, dtype=np.float64)
        spectrum = 10 * np.log10(mean + 1e-20)
        spectrum = np.maximum(spectrum, spectrum.max() - LOWEST_DB)
        bin_hz = self._rate / SPECTRUM_SAMPLES
        kilohertz = max(4, round(1000 / bin_hz))
        smooth = scipy.ndimage.median_filter(spectrum, max(3, kilohertz // 4))
        gap, width = max(1, round(150 / bin_hz)), max(3, round(600 / bin_hz))
        below = scipy.ndimage.uniform_filter1d(smooth, width, origin=0)
        best: Cutoff | None = None
        lowest, highest = round(2000 / bin_hz), len(smooth) - gap - width
        if highest <= lowest:
            return None
        at = np.arange(lowest, highest)
        fall = below[at - gap - width // 2] - below[at + gap + width // 2]
        index = int(np.argmax(fall))
        hz, fall_db = float(at[index] * bin_hz), float(fall[index])
        above = smooth[at[index] + gap :]
        before = below[at[index] - gap - width // 2]
        if above.max(initial=-300.0) <= before - 0.6 * fall_db:  # nothing comes back above it
            best = Cutoff(hz, fall_db)
        return best

    def noise_and_hum(self) -> tuple[float | None, Hum | None]:
        """Return the level of steady noise in the pauses in dBFS, and mains hum; None if there are no pauses."""
        power = np.array([frame for frame in self._power if frame.max() > 0], np.float64)
        if not len(power):
            return None, None
        levels_db = 10 * np.log10(power.sum(axis=1))
        quiet = np.flatnonzero(levels_db <= np.quantile(levels_db, 0.9) - PAUSE_DB)
        quiet = quiet[np.argsort(levels_db[quiet])]
        if len(quiet) < FEWEST_STEADY:
            return None, None
        sorted_db = levels_db[quiet]
        ends = np.searchsorted(sorted_db, sorted_db + STEADY_DB, side="right")
        first = int(np.argmax(ends - np.arange(len(quiet))))
        steady = quiet[first : ends[first]]
        if len(steady) < FEWEST_STEADY:
            return None, None
        return self._noise(power[steady]), self._hum(power[steady])

    def _noise(self, quiet: NDArray[np.float64]) -> float | None:
        """Return the level of spectra ``(frame, freq)`` that are noise: stationary, and flat from 300 Hz to 6 kHz."""
        frequencies = self._frequencies
        inside = quiet[:, (frequencies >= 300) & (frequencies <= min(6000, 0.4 * self._rate))] + 1e-20
        bands = np.array_split(inside, NOISE_BANDS, axis=1)
        spreads_db = [np.std(10 * np.log10(band.sum(axis=1))) for band in bands]
        means = [band.mean(axis=0) for band in bands]
        flatness = [np.exp(np.log(mean).mean()) / mean.mean() for mean in means]
        expected = np.exp(scipy.special.digamma(len(quiet))) / len(quiet)  # of white noise
        if np.median(spreads_db) > SPREAD_DB or np.median(flatness) < FLATNESS * expected:
            return None
        return float(10 * np.log10(quiet.mean(axis=0).sum() + 1e-20))

    def _hum(self, quiet: NDArray[np.float64]) -> Hum | None:
        """Return the hum in spectra ``(frame, freq)`` of pauses, if its harmonics keep their levels."""
        bin_hz = self._rate / SPECTRUM_SAMPLES
        if bin_hz > 7:
            return None
        mean = quiet.mean(axis=0)
        surroundings = scipy.ndimage.median_filter(mean, max(5, round(120 / bin_hz)))
        best: Hum | None = None
        for mains in MAINS_HZ:
            excess, level, spreads_db = [], 0.0, []
            for harmonic in range(1, HARMONICS + 1):
                index = round(harmonic * mains / bin_hz)
                around = slice(max(1, index - 1), index + 2)
                value = float(mean[around].max())
                excess.append(10 * np.log10((value + 1e-20) / (float(surroundings[index]) + 1e-20)))
                level += float(mean[around].sum())
                spreads_db.append(np.std(10 * np.log10(quiet[:, around].sum(axis=1) + 1e-20)))
            if np.median(spreads_db) > HUM_SPREAD_DB:
                continue
            above = float(np.sort(excess)[1:].mean())  # one of them may be masked
            if best is None or above > best.above_db:
                best = Hum(mains, float(10 * np.log10(level + 1e-20)), above)
        return best
