"""Sounds like those of four kinds of stem, made from random numbers."""

from __future__ import annotations

import numpy as np

__all__ = ["LIKE", "RATE"]

RATE = 22050


def _time(seconds: float, rate: int) -> np.ndarray:
    return np.arange(round(seconds * rate)) / rate


def _stereo(sound: np.ndarray, rng: np.random.Generator, peak: float) -> np.ndarray:
    """Two channels that differ a little, at a given peak. Shape: (time,) -> (channel, time)."""
    pan = rng.uniform(0.35, 0.65)
    both = np.stack([sound * (1 - pan), sound * pan])
    return (both * peak / max(1e-9, np.abs(both).max())).astype(np.float32)


def drum_like(seconds: float, rng: np.random.Generator, rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    """Kick and snare on the beat, hats in between."""
    time = _time(seconds, rate)
    beat = 60 / rng.uniform(90, 140)
    since_kick, since_snare, since_hat = time % (2 * beat), (time - beat) % (2 * beat), time % (beat / 2)
    kick = np.sin(2 * np.pi * (50 * since_kick + 4 * (1 - np.exp(-30 * since_kick)))) * np.exp(-18 * since_kick)
    noise = rng.standard_normal(len(time))
    snare = noise * np.exp(-22 * since_snare) * (time >= beat)
    hat = np.diff(noise, prepend=0.0) * np.exp(-60 * since_hat)
    return _stereo(kick + 0.4 * snare + 0.1 * hat, rng, peak)


def bass_like(seconds: float, rng: np.random.Generator, rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    """A line of decaying low notes with a few harmonics."""
    time = _time(seconds, rate)
    step = np.minimum((time * 4).astype(int), round(seconds * 4) - 1)
    notes = 41.2 * 2 ** (rng.integers(0, 12, round(seconds * 4) or 1) / 12)
    phase = 2 * np.pi * np.cumsum(notes[step]) / rate
    sound = sum(np.sin(k * phase) / k**1.5 for k in range(1, 6)) * np.exp(-3 * (time * 4 % 1))
    return _stereo(np.asarray(sound), rng, peak)


def voice_like(seconds: float, rng: np.random.Generator, rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    """A harmonic tone with vibrato and two formants, in phrases with breaths between."""
    time = _time(seconds, rate)
    f0_hz = rng.uniform(160, 330) * 2 ** (0.5 * np.sin(2 * np.pi * 5.5 * time) / 12)
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate
    formants_hz = rng.uniform(400, 800), rng.uniform(1200, 2400)
    sound = np.zeros_like(time)
    for k in range(1, 20):
        gain = sum(np.exp(-(((k * f0_hz.mean() - formant) / 200) ** 2)) for formant in formants_hz) + 0.05
        sound += gain * np.sin(k * phase)
    return _stereo(sound * (time % 1.5 < 1.2), rng, peak)


def chord_like(seconds: float, rng: np.random.Generator, rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    """Held triads, a new one every second."""
    time = _time(seconds, rate)
    roots = 196 * 2 ** (rng.integers(0, 12, int(np.ceil(seconds)) or 1) / 12)
    root = roots[time.astype(int)]
    phase = 2 * np.pi * np.cumsum(root) / rate
    sound = sum(np.sin(ratio * phase) + 0.3 * np.sin(2 * ratio * phase) for ratio in (1, 2 ** (4 / 12), 2 ** (7 / 12)))
    return _stereo(np.asarray(sound) * np.exp(-(time % 1)), rng, peak)


LIKE = {"drums": drum_like, "bass": bass_like, "vocals": voice_like, "other": chord_like}
