"""Random rooms: what sound becomes on its way from one instrument into the microphone of another.

Bleed in recordings is no copy. It arrives some milliseconds late, with another spectrum and with reverberation, whose
exponentially decaying noise is the model of Moorer (1979). The ranges are ours: a studio or rehearsal room, microphones
0.7 to 5 m apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy

from stemclean.units import db_to_amplitude

__all__ = ["Room", "draw_room"]

DELAY_S, REVERBERATION_S = (0.002, 0.015), (0.1, 0.4)
TILT_DB_PER_OCTAVE = (-3.0, 3.0)
DIRECT_DB = (-6.0, 10.0)
"""Energy of the direct sound relative to that of the reverberation."""
TILT_CENTER_HZ, TILT_LIMIT_OCTAVES = 700.0, 4.0


class Room(NamedTuple):
    """One path of sound.

    Args:
        response: Impulse response; its energy is 1 in each channel. Shape: (channel, time) float32
        delay: Delay of the direct sound in seconds.
        reverberation: Time in which the reverberation falls by 60 dB, in seconds.
        tilt_db: Slope of the spectrum in dB per octave.
    """

    response: np.ndarray
    delay: float
    reverberation: float
    tilt_db: float

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Return the waveform after the path, as long and as loud as before.

        Shape:
            ``(channel, time)`` -> the same, float32.
        """
        sound = scipy.signal.fftconvolve(waveform, self.response, axes=1)[:, : waveform.shape[1]]
        before, after = float(np.sqrt(np.mean(waveform**2))), float(np.sqrt(np.mean(sound**2)))
        scaled: np.ndarray = (sound * (before / max(after, 1e-9))).astype(np.float32)
        return scaled


def draw_room(sample_rate: int, rng: np.random.Generator, channels: int = 2) -> Room:
    """Return a random room: delay 2 to 15 ms, reverberation .1 to .4 s, spectrum tilted by up to 3 dB per octave."""
    delay, reverberation = rng.uniform(*DELAY_S), rng.uniform(*REVERBERATION_S)
    tilt_db, direct_db = rng.uniform(*TILT_DB_PER_OCTAVE), rng.uniform(*DIRECT_DB)
    start, length = int(delay * sample_rate), int((delay + reverberation) * sample_rate)
    time = np.arange(length - start) / sample_rate
    tail = rng.standard_normal((channels, length - start)) * 10.0 ** (-3 * time / reverberation)
    tail /= np.sqrt((tail**2).sum(1, keepdims=True))
    response = np.zeros((channels, length))
    response[:, start:] = tail
    response[:, start] += db_to_amplitude(direct_db)
    tilted = np.fft.irfft(np.fft.rfft(response, 2 * length) * _tilt(2 * length, sample_rate, tilt_db), 2 * length)
    tilted = tilted[:, :length]
    tilted /= np.sqrt((tilted**2).sum(1, keepdims=True))
    return Room(tilted.astype(np.float32), delay, reverberation, tilt_db)


def _tilt(num_samples: int, sample_rate: int, tilt_db: float) -> np.ndarray:
    frequencies = np.maximum(np.fft.rfftfreq(num_samples, 1 / sample_rate), 1.0)
    octaves = np.clip(np.log2(frequencies / TILT_CENTER_HZ), -TILT_LIMIT_OCTAVES, TILT_LIMIT_OCTAVES)
    gains: np.ndarray = 10.0 ** (tilt_db * octaves / 20)
    return gains
