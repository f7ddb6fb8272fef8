"""Run a classifier over a whole recording in bounded memory: which classes sound, and when.

A window of the model's segment starts at every quarter of a segment from the start of the file (Koo et al. 2023,
section 4.2). The trunk is run once over long chunks and pooled per window; ``plain=True`` runs every window by itself,
as in the paper, which is several times slower. In the paper, silence is cut out before the windows are placed, and all
windows have the same weight: ``joined=True``.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from stemclean.audio import files
from stemclean.audio.activity import Levels, frame_samples, levels, regions_of
from stemclean.audio.copies import Fingerprinter
from stemclean.audio.loudness import LoudnessMeter
from stemclean.audio.stereo import NO_FAULTS, ChannelFaults, ChannelMeter, mended
from stemclean.models.calibration import pool
from stemclean.models.contract import Classifier
from stemclean.models.levels import LevelCalibration
from stemclean.units import db_to_amplitude, seconds_to_samples

__all__ = ["Judge", "Judgement", "Recording", "count_windows", "levels_of", "one_thread_each", "window_power"]

CHUNK_WINDOWS = 60
"""Windows per run of the trunk (45 s at a hop of 0.74 s), which limits the memory of the activations."""
HELD_IN_MEMORY = 600.0
"""Recordings up to this many seconds are decoded once and kept in memory; longer ones are decoded for every pass."""
LOWEST_LEVEL_DB = -60.0
"""Lowest level: softer classes cannot be distinguished from silence."""
MIN_ACTIVE_SHARE = 0.25
"""Windows with a smaller share of active sound are ignored."""


@dataclass
class Recording:
    """An audio file in the input format of a model, which can be decoded several times.

    Args:
        path: The file.
        sample_rate: Sample rate to resample to.
        channels: Number of channels to convert to.
        duration: Duration of the file in seconds; decides whether it is kept in memory.
        stream: Index of the audio stream in the file.
        mono: Whether the file has one channel. Its loudness is then that of one channel, even if the model is stereo.
        faults: Faults of its channels, once they are known.
    """

    path: Path
    sample_rate: int
    channels: int
    duration: float
    stream: int = 0
    mono: bool = False
    faults: ChannelFaults = NO_FAULTS
    _decoded: list[np.ndarray] | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the blocks to classify: the original blocks, with faulty channels repaired."""
        return mended(self.original_blocks(), self.faults, self.sample_rate)

    def original_blocks(self) -> Iterator[np.ndarray]:
        """Yield the decoded sound as ``(channel, time)`` float32 blocks.

        Raises:
            AudioError: Decoding fails.
        """
        if self._decoded is not None:
            yield from self._decoded
            return
        decoded = []
        for block in files.blocks(self.path, sample_rate=self.sample_rate, channels=self.channels, stream=self.stream):
            if self.duration <= HELD_IN_MEMORY:
                decoded.append(block)
            yield block
        if self.duration <= HELD_IN_MEMORY:
            self._decoded = decoded


@dataclass(frozen=True)
class Judgement:
    """The scores, levels and measurements of a recording.

    Args:
        windows: Scores of the windows, in [0, 1]. Shape: (window, label)
        levels: Level of each class in each window in dB relative to the window's power, <= 0; NaN if the model has no
            level head. Shape: (window, label)
        power: Mean square of each window over all channels; full scale is 1. Shape: (window,)
        weights: Seconds of active sound in each window; 0 if there is too little. Shape: (window,)
        active: Active regions, in samples at ``sample_rate``.
        sample_rate: Sample rate of the model in Hz.
        hop, segment: Hop and length of the windows, in samples.
        num_samples: Length of the recording at ``sample_rate``.
        loudness_lufs: Integrated loudness; None for silence and below 0.4 s.
        peak_dbfs: Peak level; None for silence.
        level_calibration: Calibration that is applied to levels of the stem and over time, but not to ``levels``.
        joined: Whether the windows were placed on the joined active regions instead of on the whole recording.
        faults: Faults of the channels, which were repaired before the recording was classified.
        fingerprint: See :mod:`stemclean.audio.copies`; None for silence.
    """

    windows: np.ndarray
    levels: np.ndarray
    power: np.ndarray
    weights: np.ndarray
    active: list[tuple[int, int]]
    sample_rate: int
    hop: int
    segment: int
    num_samples: int
    loudness_lufs: float | None
    peak_dbfs: float | None
    level_calibration: LevelCalibration = LevelCalibration()
    joined: bool = False
    faults: ChannelFaults = NO_FAULTS
    fingerprint: str | None = None

    def pooled(self) -> np.ndarray:
        """Return the pooled scores of the stem, ``(2, label)``, see :func:`stemclean.models.calibration.pool`."""
        return pool(self.windows, self.weights)

    def mean(self) -> np.ndarray:
        """Return the paper's scores of the stem, ``(label,)``: the mean over windows, weighted by active seconds."""
        return np.asarray(self.pooled()[0])

    def stem_levels(self) -> np.ndarray:
        """Return the level of each class in dB relative to the stem's power, ``(label,)``.

        It is the power of the class over the power of the stem, both summed over the windows by their weights. NaN if
        the model has no level head.
        """
        return self._levels(self.weights @ self._class_power(), self.weights @ self.power)

    def over_time(self) -> np.ndarray:
        """Return the scores at each hop, ``(step, label)``; NaN where no active window covers it.

        A score is the mean over the two windows in whose middle the hop lies, because a sound at the edge of a window
        raises the score of the whole window. If neither is active, it is the mean over all windows that cover the hop.
        """
        unit = np.ones((len(self.weights), 1))
        with np.errstate(invalid="ignore"):
            middle = self._covering(self.windows, middle=True) / self._covering(unit, middle=True)
            return np.asarray(np.where(np.isnan(middle), self._covering(self.windows) / self._covering(unit), middle))

    def levels_over_time(self) -> np.ndarray:
        """Return the level of each class at each hop in dB relative to the sound there, ``(step, label)``.

        NaN where no active window covers the hop, or if the model has no level head.
        """
        return self._levels(self._covering(self._class_power()), self._covering(self.power[:, None]))

    def _class_power(self) -> np.ndarray:
        """Return the mean square of each class in each window, ``(window, label)``."""
        return np.asarray(self.power[:, None] * 10 ** (self.levels / 10))

    def _levels(self, power: np.ndarray, whole: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            levels_db = 10 * np.log10(np.maximum(power / whole, 10 ** (LOWEST_LEVEL_DB / 10)))
        return self.level_calibration(levels_db)

    def _covering(self, values: np.ndarray, *, middle: bool = False) -> np.ndarray:
        """Sum values at each hop over the windows that cover it, weighted by their active seconds.

        Args:
            values: Values of the windows. Shape: (window, n)
            middle: Sum only over the windows in whose middle two hops it lies.

        Returns:
            Sums. Shape: (step, n)
        """
        num_steps = -(-(_total(self.active) if self.joined else self.num_samples) // self.hop)
        per_window = self.segment // self.hop
        first, last = (per_window // 2 - 1, per_window // 2 + 1) if middle else (0, per_window)
        total = np.zeros((num_steps + per_window, values.shape[1]))
        for index, (value, weight) in enumerate(zip(values, self.weights, strict=True)):
            if weight:
                total[index + first : index + last] += weight * value
        return self._unjoined(total[:num_steps]) if self.joined else total[:num_steps]

    def _unjoined(self, steps: np.ndarray) -> np.ndarray:
        """Map the steps of the joined sound to the hops of the recording, by the middle of each hop; 0 in silence."""
        middles = np.arange(-(-self.num_samples // self.hop)) * self.hop + self.hop // 2
        unjoined, offset = np.zeros((len(middles), steps.shape[1])), 0
        for start, end in self.active:
            inside = (middles >= start) & (middles < end)
            unjoined[inside] = steps[(middles[inside] - start + offset) // self.hop]
            offset += end - start
        return unjoined


class Judge:
    """Runs a classifier over recordings.

    Args:
        model: The classifier, in evaluation mode.
        device: Device to run it on.
        level_calibration: Calibration of its levels.
    """

    def __init__(
        self,
        model: Classifier,
        device: str | torch.device = "cpu",
        level_calibration: LevelCalibration = LevelCalibration(),
    ) -> None:
        self.model = model
        self.level_calibration = level_calibration
        self.device = torch.device(device)
        model.to(self.device)  # type: ignore[attr-defined]
        self.hop = model.spec.segment // 4
        self.seconds: dict[str, float] = defaultdict(float)
        """Seconds spent per stage: decode, measure, network."""

    def recording(self, path: Path, duration: float, stream: int = 0, *, mono: bool = False) -> Recording:
        """Return a file as a recording in the input format of the model."""
        return Recording(path, self.model.spec.sample_rate, self.model.spec.channels, duration, stream, mono)

    def __call__(
        self,
        recording: Recording,
        *,
        active: Sequence[tuple[float, float]] | None = None,
        plain: bool = False,
        joined: bool = False,
        sounding: Callable[[Levels], list[tuple[int, int]]] = regions_of,
    ) -> Judgement:
        """Classify a recording.

        Args:
            recording: The recording.
            active: Active regions in seconds (None: detect them).
            plain: Run every window by itself.
            joined: Cut out silence and join the rest. All windows that lie entirely in the rest have the same weight;
                if the rest is shorter than a window, only the first window counts.
            sounding: Detects active regions, in samples.

        Raises:
            AudioError: The recording cannot be decoded to its end.
        """
        spec = self.model.spec
        meter, channels = LoudnessMeter(spec.sample_rate), ChannelMeter(spec.sample_rate)
        fingerprinter = Fingerprinter(spec.sample_rate)
        with self._timed("measure"):
            blocks = self._decoded(recording.original_blocks(), "measure")
            measured = levels(_metered(blocks, (meter, channels, fingerprinter), recording.mono), spec.sample_rate)
            recording.faults = channels.faults()
        num_samples = measured.num_samples
        if active is None:
            regions = sounding(measured)
        else:
            edges = (
                (seconds_to_samples(a, spec.sample_rate), seconds_to_samples(b, spec.sample_rate)) for a, b in active
            )
            regions = [(start, min(end, num_samples)) for start, end in edges if start < num_samples]
        if joined:
            weights = _whole_windows(_total(regions), self.hop, spec.segment, spec.sample_rate)
        else:
            weights = _active_seconds(regions, num_samples, self.hop, spec.segment, spec.sample_rate)
        rms = _active_rms(measured.rms, regions, frame_samples(spec.sample_rate))
        if not weights.any() or rms <= 0:
            scores = np.zeros((len(weights), len(spec.labels)), np.float32)
            class_levels, power = np.full_like(scores, np.nan), np.zeros_like(weights)
            weights = np.zeros_like(weights)
        else:
            gain = 1.0 if self.model.level_dbfs is None else db_to_amplitude(self.model.level_dbfs) / rms
            with self._timed("network"):
                blocks = self._decoded(recording.blocks(), "network")
                if joined:
                    blocks, length = _joined(blocks, regions), _total(regions)
                else:
                    length = num_samples
                scores, class_levels, power = self._windows(blocks, length, gain, plain)
        return Judgement(
            scores,
            class_levels,
            power,
            weights,
            regions,
            spec.sample_rate,
            self.hop,
            spec.segment,
            num_samples,
            meter.integrated_lufs(),
            meter.peak_dbfs(),
            self.level_calibration,
            joined,
            recording.faults,
            fingerprinter.fingerprint(),
        )

    def _windows(
        self, blocks: Iterable[np.ndarray], num_samples: int, gain: float, plain: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the scores ``(window, label)``, levels ``(window, label)`` and power ``(window,)`` of all windows."""
        segment = self.model.spec.segment
        num_windows = count_windows(num_samples, self.hop)
        context = 0 if plain else segment // self.hop
        scores, class_levels, power = [], [], []
        for first, waveform in _chunks(blocks, num_windows, self.hop, segment, context):
            count = min(CHUNK_WINDOWS, num_windows - first)
            before = min(first, context)
            batch = torch.from_numpy(waveform * np.float32(gain)).to(self.device)[None]  # (1, channel, time)
            with torch.inference_mode():
                if plain:
                    pieces = batch[0].unfold(-1, segment, self.hop).transpose(0, 1)  # -> (window, channel, segment)
                    outputs = torch.cat([self.model(piece) for piece in pieces.split(8)])
                else:
                    outputs = self.model.windows(batch, self.hop)[0]
                outputs = outputs[before : before + count]
                probabilities = torch.sigmoid(self.model.logits(outputs))
                levels_db = levels_of(self.model, outputs)
            scores.append(probabilities.cpu().numpy())
            class_levels.append(np.full_like(scores[-1], np.nan) if levels_db is None else levels_db.cpu().numpy())
            power.append(window_power(waveform, segment, self.hop)[before : before + count])
        return np.concatenate(scores), np.concatenate(class_levels), np.concatenate(power)

    def _decoded(self, blocks: Iterator[np.ndarray], stage: str) -> Iterator[np.ndarray]:
        """Yield the blocks, and count the time to decode them as decoding instead of as the current stage."""
        while True:
            began = time.perf_counter()
            block = next(blocks, None)
            spent = time.perf_counter() - began
            self.seconds["decode"] += spent
            self.seconds[stage] -= spent
            if block is None:
                return
            yield block

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - began


@contextmanager
def one_thread_each(workers: int | None) -> Iterator[ThreadPoolExecutor]:
    """Return a pool of threads that run torch on one core each.

    This is faster for several recordings than running one at a time on all cores.

    Args:
        workers: Number of threads (None: one per core).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    threads = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


def levels_of(model: Classifier, outputs: torch.Tensor) -> torch.Tensor | None:
    """Return the level of each class in each window; None if the model has no level head.

    A model without cells predicts the level of a class on condition that it is present, so that the power is multiplied
    by the score of the class.
    """
    levels_db = model.levels_db(outputs)
    if levels_db is None or model.tells_cells:
        return levels_db
    return levels_db + functional.logsigmoid(model.logits(outputs)) * (10 / math.log(10))


def count_windows(num_samples: int, hop: int) -> int:
    """Return the number of windows of a recording: one starts at each hop followed by at least half a hop of sound."""
    return max(1, -(-(num_samples - hop // 2) // hop))


def _chunks(
    blocks: Iterable[np.ndarray], num_windows: int, hop: int, segment: int, context: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Split a recording into chunks of windows, with up to ``context`` more windows on each side.

    Yields:
        Index of the first window of the chunk without its context; and the waveform from the start of the first to the
        end of the last window with context, zero-padded at the end of the recording.
    """
    source = iter(blocks)
    kept = np.zeros((0, 0), np.float32)
    kept_from = 0  # position of kept[:, 0] in the recording
    for first in range(0, num_windows, CHUNK_WINDOWS):
        start = max(0, first - context) * hop
        last = min(first + CHUNK_WINDOWS + context, num_windows) - 1
        end = last * hop + segment
        parts = [kept[:, start - kept_from :]] if kept.size else []
        length = parts[0].shape[1] if parts else 0
        while length < end - start:
            block = next(source, None)
            if block is None:
                channels = parts[0].shape[0]
                parts.append(np.zeros((channels, end - start - length), np.float32))
            else:
                parts.append(block)
            length += parts[-1].shape[1]
        kept, kept_from = np.concatenate(parts, axis=1), start
        yield first, kept[:, : end - start]


def _metered(
    blocks: Iterable[np.ndarray], meters: Sequence[LoudnessMeter | ChannelMeter | Fingerprinter], mono: bool
) -> Iterator[np.ndarray]:
    """Yield the blocks, and add them to the meters; only one channel of a mono file."""
    for block in blocks:
        measured = block[:1] if mono else block
        for meter in meters:
            meter.add(measured)
        yield block


def window_power(waveform: np.ndarray, segment: int, hop: int) -> np.ndarray:
    """Return the mean square over all channels of the window at every hop: ``(channel, time)`` -> ``(window,)``."""
    squares = np.einsum("ct,ct->t", waveform, waveform)[: waveform.shape[1] // hop * hop]
    per_hop = squares.reshape(-1, hop).mean(1, dtype=np.float64) / waveform.shape[0]
    return np.asarray(np.convolve(per_hop, np.full(segment // hop, hop / segment), "valid"))


def _active_rms(frames: np.ndarray, regions: Sequence[tuple[int, int]], frame: int) -> float:
    """Return the RMS of the loudest channel over the active regions, from the RMS of each frame."""
    inside = np.zeros(len(frames), bool)
    for start, end in regions:
        inside[start // frame : -(-end // frame)] = True
    return float(np.sqrt(np.mean(frames[inside] ** 2))) if inside.any() else 0.0


def _total(regions: Sequence[tuple[int, int]]) -> int:
    return sum(end - start for start, end in regions)


def _joined(blocks: Iterable[np.ndarray], regions: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    """Yield the regions of a sound one after the other, in blocks."""
    position = 0
    for block in blocks:
        for start, end in regions:
            piece = block[:, max(0, start - position) : max(0, end - position)]
            if piece.shape[1]:
                yield piece
        position += block.shape[1]


def _whole_windows(length: int, hop: int, segment: int, sample_rate: int) -> np.ndarray:
    """Return the duration of each window that lies entirely in a sound, 0 for the others.

    If the sound is shorter than a window, the first window gets its duration.
    """
    starts = np.arange(count_windows(length, hop)) * hop
    whole = starts + segment <= max(length, segment)
    return np.asarray(np.where(whole, min(length, segment), 0) / sample_rate)


def _active_seconds(
    regions: Sequence[tuple[int, int]], num_samples: int, hop: int, segment: int, sample_rate: int
) -> np.ndarray:
    """Return the active seconds of each window, 0 if they are below :data:`MIN_ACTIVE_SHARE` of its length.

    If no window reaches this share (a clave every five seconds), all windows with some activity count.
    """
    edges = np.array([0, *(edge for region in regions for edge in region), num_samples])
    lengths = np.array([0, *(part for start, end in regions for part in (0, end - start)), 0])
    starts = np.arange(count_windows(num_samples, hop)) * hop
    ends = np.minimum(starts + segment, num_samples)
    before = np.interp(np.stack([starts, ends]), edges, np.cumsum(lengths))  # active samples before start and end
    active = before[1] - before[0]
    enough = active >= MIN_ACTIVE_SHARE * min(segment, num_samples)
    return np.asarray((np.where(enough, active, 0) if enough.any() else active) / sample_rate)
