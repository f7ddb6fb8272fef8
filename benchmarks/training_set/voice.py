"""The WORLD vocoder as a voice changer: other vocal tracts, other melodies, breath, choirs.

Morise, Yokomori and Ozawa, "WORLD: a vocoder-based high-quality speech synthesis
system for real-time applications", IEICE Transactions E99-D (2016).
"""

from dataclasses import dataclass

import numpy as np
import pyworld
from pedalboard import Pedalboard, Reverb
from scipy.signal import butter, sosfiltfilt

from .track import SAMPLE_RATE, resample, with_peak

FRAME = 0.005  # seconds between WORLD frames


@dataclass(frozen=True)
class Voice:
    """A voice in WORLD's three parts: f0 in Hz (0 = unvoiced), envelope, aperiodicity."""

    f0: np.ndarray
    envelope: np.ndarray
    aperiodicity: np.ndarray
    sample_rate: int

    def at(self, position: np.ndarray) -> "Voice":
        """Return the voice read at these frame positions (fractional): a time warp."""
        nearest = np.clip(np.rint(position).astype(int), 0, len(self.f0) - 1)
        return Voice(self.f0[nearest], self.envelope[nearest], self.aperiodicity[nearest], self.sample_rate)

    def transposed(self, semitones: float | np.ndarray) -> "Voice":
        """Return the voice with its f0 moved and its formants left where they are."""
        return self.sung(self.f0 * 2 ** (np.asarray(semitones) / 12))

    def sung(self, f0: np.ndarray) -> "Voice":
        """Return the voice on another f0; frames that are unvoiced stay so."""
        f0 = np.where(self.f0 > 0, np.clip(f0, 50, 1400), 0.0)
        return Voice(f0, self.envelope, self.aperiodicity, self.sample_rate)

    def with_throat(self, ratio: float) -> "Voice":
        """Return the voice with all formants times `ratio`: above 1 a shorter vocal tract."""
        bins = self.envelope.shape[1]
        position = np.clip(np.arange(bins) / ratio, 0, bins - 1.001)
        low, weight = position.astype(int), position % 1
        envelope = self.envelope[:, low] * (1 - weight) + self.envelope[:, low + 1] * weight
        return Voice(self.f0, envelope, self.aperiodicity, self.sample_rate)

    def breathy(self, amount: float) -> "Voice":
        """Return the voice with noise in place of harmonics: 0 as it is, 1 a whisper."""
        if amount >= 1:
            return Voice(np.zeros_like(self.f0), self.envelope, np.ones_like(self.aperiodicity), self.sample_rate)
        aperiodicity = self.aperiodicity ** (1 - amount)
        return Voice(self.f0, self.envelope, aperiodicity, self.sample_rate)

    def audio(self) -> np.ndarray:
        """Return one channel at 44.1 kHz, peak 0.9."""
        parts = (np.ascontiguousarray(part) for part in (self.f0, self.envelope, self.aperiodicity))
        audio = pyworld.synthesize(*parts, self.sample_rate, FRAME * 1000)
        return with_peak(resample(audio, self.sample_rate, SAMPLE_RATE), 0.9)


def analyse(audio: np.ndarray, sample_rate: int) -> Voice:
    """Return the voice in this recording (one float64 channel)."""
    audio = np.ascontiguousarray(audio + 1e-6 * np.random.default_rng(0).standard_normal(len(audio)))
    f0, times = pyworld.dio(audio, sample_rate, f0_floor=65, f0_ceil=1000, frame_period=FRAME * 1000)
    f0 = pyworld.stonemask(audio, f0, times, sample_rate)
    envelope = pyworld.cheaptrick(audio, f0, times, sample_rate)
    aperiodicity = pyworld.d4c(audio, f0, times, sample_rate)
    return Voice(f0, envelope, aperiodicity, sample_rate)


def vibrato(frames: int, rng: np.random.Generator, depth: float) -> np.ndarray:
    """Return semitones a frame: a 4.8 to 6.5 Hz swing whose rate and depth wander, at most `depth`."""
    wander = _between(rng.normal(0, 0.35, frames // 80 + 2), frames, 80)
    phase = 2 * np.pi * np.cumsum(rng.uniform(4.8, 6.5) + wander) * FRAME
    swell = _between(rng.uniform(0, 1, frames // 120 + 2), frames, 120)
    return depth * swell * np.sin(phase)


def _between(values: np.ndarray, frames: int, spacing: int) -> np.ndarray:
    """Return a value a frame, on straight lines between `values` that stand `spacing` frames apart."""
    return np.interp(np.arange(frames), np.arange(len(values)) * spacing, values)


def with_air(audio: np.ndarray, cutoff: float, rng: np.random.Generator) -> np.ndarray:
    """Return band-limited speech with noise above `cutoff` Hz that follows the band below it."""
    below = sosfiltfilt(butter(4, [cutoff * 0.55, cutoff * 0.95], "band", fs=SAMPLE_RATE, output="sos"), audio)
    level = sosfiltfilt(butter(2, 60, fs=SAMPLE_RATE, output="sos"), np.abs(below))
    noise = rng.standard_normal(len(audio)) * np.maximum(level, 0)
    upper = min(cutoff * 2.2, 20000)
    band = butter(2, [cutoff * 0.95, upper], "band", fs=SAMPLE_RATE, output="sos")
    return audio + rng.uniform(0.5, 1.5) * sosfiltfilt(band, noise)


def in_stereo(voices: list[np.ndarray], rng: np.random.Generator, room: float = 0.5) -> np.ndarray:
    """Return the voices as (samples, 2): the first in the middle, the rest panned, late and in a room.

    `room` is the probability of reverberation.
    """
    length = max(len(voice) for voice in voices)
    mix = np.zeros((length, 2))
    for number, voice in enumerate(voices):
        pan = rng.uniform(-0.08, 0.08) if number == 0 else rng.uniform(-0.8, 0.8)
        delay = 0 if number == 0 else int(rng.uniform(0.005, 0.035) * SAMPLE_RATE)
        delayed = np.concatenate([np.zeros(delay), voice])[:length]
        delayed = np.pad(delayed, (0, length - len(delayed)))
        mix += delayed[:, None] * np.array([np.sqrt(0.5 * (1 - pan)), np.sqrt(0.5 * (1 + pan))])
    if rng.random() < room:
        board = Pedalboard([Reverb(rng.uniform(0.1, 0.9), rng.uniform(0.2, 0.8), rng.uniform(0.03, 0.3), 0.8)])
        mix = board(mix.T.astype(np.float32), SAMPLE_RATE).T.astype(np.float64)
    return with_peak(mix, rng.uniform(0.35, 0.95))
