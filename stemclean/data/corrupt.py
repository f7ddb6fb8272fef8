"""The sound of planted faults: bleed at a known level, a channel that recorded nothing, non-musical sound.

These are pure functions on ``(channel, time)`` float32 waveforms; :mod:`stemclean.corrupt` decides where to use them.

Level of a stem
    The paper does not define bleed levels; this definition is ours. A level is the RMS over the *active* part of all
    channels together. The active part is found by gating as in loudness meters (ITU-R BS.1770-4, without its frequency
    weighting) from the RMS of frames of 0.4 s: frames below -70 dBFS are silence; of the rest, those more than 20 dB
    below the mean power are pauses (20 dB is the relative gate of EBU Tech 3342). What remains is active.
    Trimming uses another gate on purpose: it is relative to the peak, so that a single click would change the level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy
from numpy.typing import NDArray

from stemclean.units import amplitude_to_db, db_to_amplitude, seconds_to_samples

__all__ = [
    "FOREIGN",
    "Level",
    "bleed",
    "bleeding_spans",
    "foreign",
    "level",
    "levels_among",
    "near_silence",
]

Waveform = NDArray[np.float32]

FRAME = 0.4
"""Frame length of the gate in seconds."""

SILENCE_DBFS = -70.0
"""Frames below this level are silence."""

PAUSE_DB = 20.0
"""Frames this far below the mean power of the frames that are not silent are pauses."""

RUN = (3.0, 30.0)
"""Shortest and longest stretch of intermittent bleed in seconds: from a fill to a chorus."""

FADE = 0.05
"""Fade-in and fade-out of such a stretch in seconds."""


@dataclass(frozen=True)
class Level:
    """The level of a stem over its active part.

    Args:
        rms: RMS over the active frames and all channels; full scale is 1; 0 if nothing is active.
        active: Duration of the active part in seconds.
        share: Active share of the whole, in [0, 1].
        frames: Which frames of :data:`FRAME` seconds are active, ``(frame,)``.
    """

    rms: float
    active: float
    share: float
    frames: NDArray[np.bool_] = field(repr=False, compare=False)

    def share_within(self, duration: float) -> float:
        """Return the active share of the first ``duration`` seconds, in [0, 1]; after the end, there is silence."""
        num_frames = max(1, round(duration / FRAME))
        return float(self.frames[:num_frames].sum()) / num_frames


def level(waveform: Waveform, sample_rate: int) -> Level:
    """Return the level of a stem, as defined at the top of this module.

    Shape:
        waveform: ``(channel, time)``, any length.

    >>> tone = np.full((1, 16000), 0.5, np.float32)
    >>> level(np.concatenate([tone, 0 * tone], axis=1), 8000)
    Level(rms=0.5, active=2.0, share=0.5)
    """
    num_samples = waveform.shape[-1]
    starts = np.arange(0, num_samples, round(FRAME * sample_rate))
    if not len(starts):
        return Level(0.0, 0.0, 0.0, np.zeros(0, np.bool_))
    lengths = np.diff(starts, append=num_samples)
    squares = (
        np.einsum("ct,ct->t", waveform, waveform, dtype=np.float64) / waveform.shape[0]
    )  # (channel, time) -> (time,)
    powers = np.add.reduceat(squares, starts) / lengths
    active = powers >= db_to_amplitude(SILENCE_DBFS) ** 2
    if not active.any():
        return Level(0.0, 0.0, 0.0, active)
    mean_power = np.average(powers[active], weights=lengths[active])
    active &= powers >= mean_power * db_to_amplitude(-PAUSE_DB) ** 2
    num_active = int(lengths[active].sum())
    rms = float(np.sqrt(np.average(powers[active], weights=lengths[active])))
    return Level(rms, num_active / sample_rate, num_active / num_samples, active)


def bleed(
    stem: Waveform,
    donor: Waveform,
    sample_rate: int,
    level_db: float,
    spans: Sequence[tuple[float, float]] | None = None,
) -> Waveform:
    """Return the bleed of a donor into a stem, scaled to a level relative to the stem.

    Both levels are those of :func:`level`. The sum of stem and bleed may exceed full scale.

    Args:
        stem: The stem that gets the bleed.
        donor: The stem that bleeds, with the same sample rate and channels. It is cut or zero-padded to the length of
            the stem; its level is that of the part that is used, without fades.
        sample_rate: Sample rate in Hz.
        level_db: Level of the bleed relative to the stem in dB; negative is softer.
        spans: Where the donor bleeds, in seconds, with fades of :data:`FADE` at the edges (None: throughout).

    Shape:
        ``(channel, time)`` each; returns the shape of the stem.

    Raises:
        ValueError: One of the two is silent, so that its level is undefined.
    """
    used = donor[:, : stem.shape[-1]]
    used = np.pad(used, ((0, 0), (0, stem.shape[-1] - used.shape[-1])))
    audible = used
    if spans is not None:
        edges = [(seconds_to_samples(start, sample_rate), seconds_to_samples(end, sample_rate)) for start, end in spans]
        audible = np.concatenate([used[:, :0], *(used[:, first:last] for first, last in edges)], axis=1)
        used = used * _gates(edges, stem.shape[-1], sample_rate)
    stem_rms, donor_rms = level(stem, sample_rate).rms, level(audible, sample_rate).rms
    if stem_rms == 0.0 or donor_rms == 0.0:
        raise ValueError(f"{'the stem' if stem_rms == 0.0 else 'the donor'} is silent: its level is undefined")
    gain = stem_rms / donor_rms * db_to_amplitude(level_db)
    return np.asarray(np.float32(gain) * used, np.float32)


def bleeding_spans(
    sounding: Sequence[tuple[float, float]], seconds: float, random: np.random.Generator
) -> list[tuple[float, float]]:
    """Draw where intermittent bleed is audible.

    Stretches of :data:`RUN` seconds, log-uniform in length, are placed at random on the time line of the donor without
    its pauses, so that the total duration is met exactly. A pause within a stretch splits it in two.

    Args:
        sounding: Where the donor sounds, in seconds, in order.
        seconds: Total duration of the bleed; if ``sounding`` is shorter, all of it is returned.
        random: Random generator.
    """
    total = sum(end - start for start, end in sounding)
    if seconds >= total:
        return list(sounding)
    lengths: list[float] = []
    while (missing := seconds - sum(lengths)) > 1e-6:
        length = float(np.exp(random.uniform(*np.log(RUN))))
        remaining = missing - length
        lengths.append(missing if remaining < RUN[0] else length)  # no short remainder
    # Gaps between stretches have at least the minimum length of a stretch, if possible; the rest is random.
    least = min(RUN[0], (total - seconds) / (len(lengths) + 1))
    spare = total - seconds - least * (len(lengths) - 1)
    cuts = np.sort(random.uniform(0.0, spare, len(lengths)))
    starts = cuts + np.concatenate([[0.0], np.cumsum(lengths)[:-1] + least * np.arange(1, len(lengths))])
    packed = [(float(start), float(start + length)) for start, length in zip(starts, lengths, strict=True)]
    return [span for run in packed for span in _unpacked(run, sounding)]


def _unpacked(run: tuple[float, float], sounding: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Map a stretch of the joined sounding parts back to the time line with pauses."""
    spans: list[tuple[float, float]] = []
    before = 0.0
    for start, end in sounding:
        first, last = max(run[0] - before, 0.0), min(run[1] - before, end - start)
        if last - first > 2 * FADE:
            spans.append((start + first, start + last))
        before += end - start
    return spans


def _gates(spans: Sequence[tuple[int, int]], num_samples: int, sample_rate: int) -> NDArray[np.float32]:
    """Return 1 within the spans of samples and 0 outside, with linear fades of :data:`FADE` seconds: ``(time,)``."""
    gates = np.zeros(num_samples, np.float32)
    fade = seconds_to_samples(FADE, sample_rate)
    for first, last in spans:
        inside = np.arange(1, min(last, num_samples) - first + 1)
        gates[first:last] = np.minimum(1.0, np.minimum(inside, inside[::-1]) / (fade + 1))
    return gates


def levels_among(parts: Mapping[str, Waveform]) -> dict[str, float]:
    """Return the power of each part in dB relative to all parts together, as in ``levels_db`` of a manifest.

    These are energies of the whole waveforms, including pauses: a part that sounds a tenth of the time is 10 dB softer
    than while it sounds. Silent parts are left out.

    Shape:
        Each part ``(channel, time)``, all of the same length.

    >>> loud = np.ones((1, 8), np.float32)
    >>> levels_among({"drums": loud, "bass": loud / 2, "vocals": 0 * loud})
    {'drums': -1.0, 'bass': -7.0}
    """
    energies = {label: float(np.einsum("ct,ct->", part, part, dtype=np.float64)) for label, part in parts.items()}
    total = sum(energies.values())
    return {
        label: round(amplitude_to_db(math.sqrt(energy / total)), 1) + 0.0
        for label, energy in energies.items()
        if energy
    }


def near_silence(shape: tuple[int, int], level_dbfs: float | None, random: np.random.Generator) -> Waveform:
    """Return the sound of a channel that recorded nothing: white noise at an RMS of ``level_dbfs``; None: zeros.

    Shape:
        Returns ``(channel, time)``; the channels are independent.
    """
    if level_dbfs is None:
        return np.zeros(shape, np.float32)
    return (random.standard_normal(shape) * db_to_amplitude(level_dbfs)).astype(np.float32)


def foreign(kind: str, shape: tuple[int, int], sample_rate: int, rms: float, random: np.random.Generator) -> Waveform:
    """Return non-musical sound of a given level.

    Args:
        kind: A key of :data:`FOREIGN`.
        shape: Shape of the result.
        sample_rate: Sample rate in Hz.
        rms: RMS of the active part of the result (see :func:`level`); full scale is 1.
        random: Random generator.

    Shape:
        Returns ``(channel, time)``. Tones are the same in all channels, noise differs between them.
    """
    sound = np.asarray(FOREIGN[kind](shape, sample_rate, random), np.float32)
    loudness = level(sound, sample_rate).rms
    return sound * np.float32(rms / loudness) if loudness else sound


# Each function below returns (channel, time) at any level; `foreign` sets the level.


def _noise(shape: tuple[int, int], sample_rate: int, random: np.random.Generator) -> NDArray[np.floating]:
    """Return steady noise between white and brown: a power spectrum of 1 / f ** 0..2."""
    return _coloured(shape, sample_rate, random.uniform(0.0, 2.0), random)


def _hum(shape: tuple[int, int], sample_rate: int, random: np.random.Generator) -> NDArray[np.floating]:
    """Return mains hum: 50 or 60 Hz, its harmonics up to 2 kHz falling off, a little hiss."""
    mains_hz = random.choice([50.0, 60.0])
    harmonics = np.arange(1, int(min(2000.0, sample_rate / 2.2) / mains_hz) + 1)
    strengths = random.uniform(0.3, 1.0, len(harmonics)) / harmonics ** random.uniform(0.7, 1.5)
    cycles = mains_hz * np.arange(shape[1]) / sample_rate
    phases = random.uniform(0.0, 1.0, len(harmonics))
    hum = np.zeros(shape[1])
    for number, strength, phase in zip(harmonics, strengths, phases, strict=True):
        hum += strength * np.sin(2 * np.pi * (number * cycles + phase))
    return hum + 0.02 * random.standard_normal(shape)


def _wind(shape: tuple[int, int], sample_rate: int, random: np.random.Generator) -> NDArray[np.floating]:
    """Return wind on a microphone: low-passed noise in gusts of seconds."""
    sections = scipy.signal.butter(2, random.uniform(200.0, 700.0), fs=sample_rate, output="sos")
    rumble: NDArray[np.floating] = scipy.signal.sosfilt(sections, _coloured(shape, sample_rate, 1.0, random))
    return rumble * _slow(shape[1], sample_rate, 0.6, random)


def _beeps(shape: tuple[int, int], sample_rate: int, random: np.random.Generator) -> NDArray[np.floating]:
    """Return an alarm: one tone, on and off."""
    tone = np.sin(2 * np.pi * random.uniform(700.0, 3000.0) * np.arange(shape[1]) / sample_rate)
    period = random.uniform(0.4, 1.2)
    return np.broadcast_to(tone * _switched(shape[1], sample_rate, period, random.uniform(0.3, 0.6)), shape)


def _telephone(shape: tuple[int, int], sample_rate: int, random: np.random.Generator) -> NDArray[np.floating]:
    """Return a ringing tone of 440 + 480 Hz or 425 Hz, 1 to 2 s every 3 to 5 s, over line noise of 300 to 3400 Hz."""
    time = np.arange(shape[1]) / sample_rate
    pair = (440.0, 480.0) if random.random() < 0.5 else (425.0, 425.0)
    ring = sum(np.sin(2 * np.pi * hz * time) for hz in pair)
    period = random.uniform(3.0, 5.0)
    ring = ring * _switched(shape[1], sample_rate, period, random.uniform(1.0, 2.0) / period)
    line = _band(random.standard_normal(shape[1]), 300.0, 3400.0, sample_rate)
    return np.broadcast_to(ring + 0.05 * line, shape)


def _crowd(shape: tuple[int, int], sample_rate: int, random: np.random.Generator) -> NDArray[np.floating]:
    """Return the sound of a crowd: many noises in the bands of speech, each modulated at the rate of syllables."""
    crowd = np.zeros(shape)
    for _ in range(12):
        centre_hz = random.uniform(250.0, min(3000.0, sample_rate / 3))
        talker = _band(random.standard_normal(shape[1]), centre_hz / 1.3, centre_hz * 1.3, sample_rate)
        talker *= _slow(shape[1], sample_rate, 4.0, random)
        pan = random.uniform(0.2, 1.0, (shape[0], 1))  # (channel, 1)
        crowd += pan * talker
    return crowd


FOREIGN: dict[str, Callable[[tuple[int, int], int, np.random.Generator], NDArray[np.floating]]] = {
    "noise": _noise,
    "hum": _hum,
    "wind": _wind,
    "beeps": _beeps,
    "telephone": _telephone,
    "crowd": _crowd,
}
"""Kind of foreign sound -> its synthesis."""


def _coloured(
    shape: tuple[int, int], sample_rate: int, slope: float, random: np.random.Generator
) -> NDArray[np.floating]:
    """Return noise with a power spectrum of ``1 / f ** slope`` above 20 Hz, flat below."""
    spectrum = np.fft.rfft(random.standard_normal(shape))  # (channel, time) -> (channel, freq)
    frequencies_hz = np.fft.rfftfreq(shape[1], 1 / sample_rate)
    return np.fft.irfft(spectrum * np.maximum(frequencies_hz, 20.0) ** (-slope / 2), shape[1])


def _band(sound: NDArray[np.floating], low_hz: float, high_hz: float, sample_rate: int) -> NDArray[np.floating]:
    high_hz = min(high_hz, 0.45 * sample_rate)
    filtered: NDArray[np.floating] = scipy.signal.sosfilt(
        scipy.signal.butter(2, (low_hz, high_hz), "bandpass", fs=sample_rate, output="sos"), sound
    )
    return filtered


def _slow(num_samples: int, sample_rate: int, rate_hz: float, random: np.random.Generator) -> NDArray[np.floating]:
    """Return a random envelope in [0.05, 1] with ``rate_hz`` new values per second, interpolated linearly."""
    num_points = int(num_samples / sample_rate * rate_hz) + 3
    positions = np.arange(num_samples) * (rate_hz / sample_rate) + random.random()
    return np.asarray(np.interp(positions, np.arange(num_points), random.uniform(0.05, 1.0, num_points)))


def _switched(num_samples: int, sample_rate: int, period: float, share: float) -> NDArray[np.floating]:
    """Return 1 in the first ``share`` of each period (in seconds) and 0 otherwise, with edges of 5 ms."""
    times = (np.arange(num_samples) / sample_rate) % period
    edge = 0.005
    return np.asarray(np.clip(np.minimum(times, share * period - times) / edge, 0.0, 1.0))
