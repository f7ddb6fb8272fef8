"""Which classes sound in a recording, and when: a classifier run over a whole file in bounded memory.

Windows of the model's segment stand at every quarter of a segment from the file's start (Koo et al. 2023, section
4.2). The trunk is run once over long chunks and pooled per window; ``plain=True`` runs every window by itself, as the
paper does, several times slower. The paper's windows stand on what is left when silence is cut out, and count alike:
``joined=True``.
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
"""Windows per run of the trunk: 45 s at a hop of 0.74 s; bounds the memory of the activations."""
HELD_IN_MEMORY = 600.0
"""Recordings up to this many seconds are decoded once and kept; longer ones are decoded anew for every pass."""
LOWEST_LEVEL_DB = -60.0
"""Levels end here: what is softer cannot be told from nothing."""
MIN_ACTIVE_SHARE = 0.25
"""Windows with less active sound than this share say nothing about the stem."""


@dataclass
class Recording:
    """A file as a model hears it, decoded in blocks as often as asked.

    Args:
        path, stream: the audio.
        sample_rate, channels: what it is brought to.
        duration: of the file in seconds; decides whether it is held in memory.
        mono: the file has one channel, so its loudness is that of one, though the model hears it doubled.
        faults: of its channels, once they are known.
    """

    path: Path
    sample_rate: int
    channels: int
    duration: float
    stream: int = 0
    mono: bool = False
    faults: ChannelFaults = NO_FAULTS
    _held: list[np.ndarray] | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """What is to be judged: the blocks as they are, mended where their channels hold one sound."""
        return mended(self.as_they_are(), self.faults, self.sample_rate)

    def as_they_are(self) -> Iterator[np.ndarray]:
        """``(channel, time)`` float32 blocks in order. Raises AudioError where decoding fails."""
        if self._held is not None:
            yield from self._held
            return
        held = []
        for block in files.blocks(self.path, sample_rate=self.sample_rate, channels=self.channels, stream=self.stream):
            if self.duration <= HELD_IN_MEMORY:
                held.append(block)
            yield block
        if self.duration <= HELD_IN_MEMORY:
            self._held = held


@dataclass(frozen=True)
class Judgement:
    """What was heard in a recording.

    Args:
        windows: scores of each window, ``(window, label)``, in [0, 1].
        levels: level of each class in each window in dB relative to the window's power, <= 0,
            ``(window, label)``; NaN where the model has no level head.
        power: mean square of each window over all channels, full scale = 1, ``(window,)``.
        weights: seconds of active sound in each window, ``(window,)``; 0 where there is too little.
        active: active regions in samples at ``sample_rate``.
        hop, segment: of the windows, in samples.
        num_samples: of the recording at ``sample_rate``.
        joined: the windows stand on the active regions joined, one after the other, instead of on the recording.
        loudness_lufs, peak_dbfs: None for silence and, for the loudness, under 0.4 s.
        level_calibration: of the levels of the stem and over time; those of the windows are as the model tells them.
        faults: of the channels: there, the mono that they hold was judged.
        fingerprint: see :mod:`stemclean.audio.copies`; None for silence.
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
        """Scores of the stem, ``(2, label)``, as :func:`stemclean.models.calibration.pool` gives them."""
        return pool(self.windows, self.weights)

    def mean(self) -> np.ndarray:
        """The paper's scores of the stem, ``(label,)``: the mean of its windows by active seconds."""
        return np.asarray(self.pooled()[0])

    def stem_levels(self) -> np.ndarray:
        """Level of each class in dB relative to the stem's power, ``(label,)``; NaN where the model has no level head.

        The class's power in every window over the power of all windows with a say.
        """
        return self._levels(self.weights @ self._class_power(), self.weights @ self.power)

    def over_time(self) -> np.ndarray:
        """Scores at each hop, ``(step, label)``; NaN where no active window covers it.

        The mean of the two windows in whose middle it lies, since what sounds at a window's edge is heard in the whole
        window; of all windows that cover it where neither of the two is active.
        """
        each = np.ones((len(self.weights), 1))
        with np.errstate(invalid="ignore"):
            middle = self._covering(self.windows, middle=True) / self._covering(each, middle=True)
            return np.asarray(np.where(np.isnan(middle), self._covering(self.windows) / self._covering(each), middle))

    def levels_over_time(self) -> np.ndarray:
        """Level of each class at each hop in dB relative to the sound there, ``(step, label)``; NaN as above."""
        return self._levels(self._covering(self._class_power()), self._covering(self.power[:, None]))

    def _class_power(self) -> np.ndarray:
        """Mean square of each class in each window, ``(window, label)``."""
        return np.asarray(self.power[:, None] * 10 ** (self.levels / 10))

    def _levels(self, power: np.ndarray, whole: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            told = 10 * np.log10(np.maximum(power / whole, 10 ** (LOWEST_LEVEL_DB / 10)))
        return self.level_calibration(told)

    def _covering(self, values: np.ndarray, *, middle: bool = False) -> np.ndarray:
        """Sum at each hop over the windows that cover it, by their active seconds: ``(window, n)`` -> ``(step, n)``.

        Args:
            middle: only over those in whose middle two hops it lies.
        """
        num_steps = -(-(_total(self.active) if self.joined else self.num_samples) // self.hop)
        per_window = self.segment // self.hop
        first, last = (per_window // 2 - 1, per_window // 2 + 1) if middle else (0, per_window)
        total = np.zeros((num_steps + per_window, values.shape[1]))
        for index, (value, weight) in enumerate(zip(values, self.weights, strict=True)):
            if weight:
                total[index + first : index + last] += weight * value
        return self._laid_out(total[:num_steps]) if self.joined else total[:num_steps]

    def _laid_out(self, steps: np.ndarray) -> np.ndarray:
        """What belongs to the joined sound at each hop of the recording, by the hop's middle; 0 in its silence."""
        middles = np.arange(-(-self.num_samples // self.hop)) * self.hop + self.hop // 2
        laid_out, before = np.zeros((len(middles), steps.shape[1])), 0
        for start, end in self.active:
            inside = (middles >= start) & (middles < end)
            laid_out[inside] = steps[(middles[inside] - start + before) // self.hop]
            before += end - start
        return laid_out


class Judge:
    """A classifier at work.

    Args:
        model: in evaluation mode.
        device: where it runs.
        level_calibration: of the levels that it tells.
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
        """Time spent by stage: decode, measure, network."""

    def recording(self, path: Path, duration: float, stream: int = 0, *, mono: bool = False) -> Recording:
        """A file as this judge hears it."""
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
        """Judge a recording.

        Args:
            active: regions in seconds that count as sounding; None: they are found.
            plain: run every window by itself.
            joined: cut out what does not sound and join the rest; each window that lies wholly in that counts alike,
                and where all of it is shorter than a window, the one that it begins.
            sounding: how they are found, in samples.

        Raises:
            AudioError: the recording cannot be decoded to its end.
        """
        spec = self.model.spec
        meter, channels = LoudnessMeter(spec.sample_rate), ChannelMeter(spec.sample_rate)
        fingerprinter = Fingerprinter(spec.sample_rate)
        with self._timed("measure"):
            blocks = self._decoded(recording.as_they_are(), "measure")
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
        """Scores ``(window, label)``, levels ``(window, label)`` and power ``(window,)`` of the whole recording."""
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
                judged = torch.sigmoid(self.model.logits(outputs))
                told = levels_of(self.model, outputs)
            scores.append(judged.cpu().numpy())
            class_levels.append(np.full_like(scores[-1], np.nan) if told is None else told.cpu().numpy())
            power.append(window_power(waveform, segment, self.hop)[before : before + count])
        return np.concatenate(scores), np.concatenate(class_levels), np.concatenate(power)

    def _decoded(self, blocks: Iterator[np.ndarray], stage: str) -> Iterator[np.ndarray]:
        """The same blocks; the time that they take counts as decoding, not as the stage that asks for them."""
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
    """Threads that run torch on one core each: several recordings at once are faster than one on all cores.

    Args:
        workers: how many; None: one a core.
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
    """Level of each class in each window; None where the model has no level head.

    A model that tells no cells tells how loud a class is if it is there: it counts as far as the window is sure of it.
    """
    told = model.levels_db(outputs)
    if told is None or model.tells_cells:
        return told
    return told + functional.logsigmoid(model.logits(outputs)) * (10 / math.log(10))


def count_windows(num_samples: int, hop: int) -> int:
    """Windows of a recording: one starts at each hop that still has half a hop of sound."""
    return max(1, -(-(num_samples - hop // 2) // hop))


def _chunks(
    blocks: Iterable[np.ndarray], num_windows: int, hop: int, segment: int, context: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Stretches of a recording with ``context`` windows more on each side where there are any.

    Yields:
        (index of the first window meant, waveform from the first context window's start to the last one's end;
        zeros stand after the recording's end)
    """
    source = iter(blocks)
    held = np.zeros((0, 0), np.float32)
    held_from = 0  # sample of the recording that held[:, 0] is
    for first in range(0, num_windows, CHUNK_WINDOWS):
        start = max(0, first - context) * hop
        last = min(first + CHUNK_WINDOWS + context, num_windows) - 1
        end = last * hop + segment
        parts = [held[:, start - held_from :]] if held.size else []
        length = parts[0].shape[1] if parts else 0
        while length < end - start:
            block = next(source, None)
            if block is None:
                channels = parts[0].shape[0]
                parts.append(np.zeros((channels, end - start - length), np.float32))
            else:
                parts.append(block)
            length += parts[-1].shape[1]
        held, held_from = np.concatenate(parts, axis=1), start
        yield first, held[:, : end - start]


def _metered(
    blocks: Iterable[np.ndarray], meters: Sequence[LoudnessMeter | ChannelMeter | Fingerprinter], mono: bool
) -> Iterator[np.ndarray]:
    """The same blocks, with the meters listening; to one channel if the file has no more."""
    for block in blocks:
        heard = block[:1] if mono else block
        for meter in meters:
            meter.add(heard)
        yield block


def window_power(waveform: np.ndarray, segment: int, hop: int) -> np.ndarray:
    """Mean square over all channels of the windows at every hop: ``(channel, time)`` -> ``(window,)``."""
    squares = np.einsum("ct,ct->t", waveform, waveform)[: waveform.shape[1] // hop * hop]
    per_hop = squares.reshape(-1, hop).mean(1, dtype=np.float64) / waveform.shape[0]
    return np.asarray(np.convolve(per_hop, np.full(segment // hop, hop / segment), "valid"))


def _active_rms(frames: np.ndarray, regions: Sequence[tuple[int, int]], frame: int) -> float:
    """RMS of the loudest channel over the active regions, from the RMS of each frame."""
    inside = np.zeros(len(frames), bool)
    for start, end in regions:
        inside[start // frame : -(-end // frame)] = True
    return float(np.sqrt(np.mean(frames[inside] ** 2))) if inside.any() else 0.0


def _total(regions: Sequence[tuple[int, int]]) -> int:
    return sum(end - start for start, end in regions)


def _joined(blocks: Iterable[np.ndarray], regions: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    """The regions of a sound one after the other, in blocks."""
    at = 0
    for block in blocks:
        for start, end in regions:
            piece = block[:, max(0, start - at) : max(0, end - at)]
            if piece.shape[1]:
                yield piece
        at += block.shape[1]


def _whole_windows(length: int, hop: int, segment: int, sample_rate: int) -> np.ndarray:
    """Seconds of each window that lies in a sound wholly, 0 of the others; a shorter sound is in its first window."""
    starts = np.arange(count_windows(length, hop)) * hop
    whole = starts + segment <= max(length, segment)
    return np.asarray(np.where(whole, min(length, segment), 0) / sample_rate)


def _active_seconds(
    regions: Sequence[tuple[int, int]], num_samples: int, hop: int, segment: int, sample_rate: int
) -> np.ndarray:
    """Active seconds of each window, 0 where they are under :data:`MIN_ACTIVE_SHARE` of what it could hold.

    Where no window has as much (a clave every five seconds), all that have some count.
    """
    edges = np.array([0, *(edge for region in regions for edge in region), num_samples])
    lengths = np.array([0, *(part for start, end in regions for part in (0, end - start)), 0])
    starts = np.arange(count_windows(num_samples, hop)) * hop
    ends = np.minimum(starts + segment, num_samples)
    active = np.interp(np.stack([starts, ends]), edges, np.cumsum(lengths))  # active samples before each
    held = active[1] - active[0]
    enough = held >= MIN_ACTIVE_SHARE * min(segment, num_samples)
    return np.asarray((np.where(enough, held, 0) if enough.any() else held) / sample_rate)
