"""Random effects on single stems, in the order of Koo et al. 2023, section 3.1.1.

Dynamic range compression, algorithmic reverb, stereo imaging, loudness. The paper does not give the ranges. The chain
that it cites (FXNorm and music mixing style transfer) draws uniformly from wide ranges, which are :data:`PAPER` here
and an upper bound (-80 dB at 40:1 flattens anything). :data:`MILD` is ours: moderate effects as in a real mix, each on
a share of the segments, and distortion, which is frequent in scraped music.

pedalboard is licensed under the GPL-3.0; it is imported only in this file, at first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stemclean.units import db_to_amplitude

__all__ = ["CHAINS", "MILD", "PAPER", "Effects", "EffectsChain", "equalizer_curve", "lossy"]

Range = tuple[float, float]


@dataclass(frozen=True)
class EffectsChain:
    """A random chain of effects. Its parameters are drawn uniformly from ranges.

    Args:
        threshold_db, ratio, attack_ms, release_ms: Compressor with a hard knee.
        room_size, damping, wet_level, dry_level, width: Freeverb, each in [0, 1].
        side_gain: Factor on the side signal, from 0 (mono) to 2. The RMS is restored, so that the mid signal falls as
            the side signal rises. The chain that the paper cites goes further above 1: at 2 only the side is left.
        gain_db: Gain.
        drive_db: Drive of the soft clipping.
        shelves_db: Gain of a low shelf below 100 to 400 Hz and of a high shelf above 2 to 6 kHz.
        lowpass_hz: Cutoff of a low-pass filter.
        compressor_chance, reverb_chance, imaging_chance, polarity_chance, shelves_chance, drive_chance, lowpass_chance:
            Chance of each effect, in [0, 1].
    """

    threshold_db: Range = (-40.0, -5.0)
    ratio: Range = (2.0, 12.0)
    attack_ms: Range = (1.0, 20.0)
    release_ms: Range = (50.0, 500.0)
    room_size: Range = (0.05, 0.7)
    damping: Range = (0.0, 1.0)
    wet_level: Range = (0.0, 0.35)
    dry_level: Range = (0.6, 1.0)
    width: Range = (0.0, 1.0)
    side_gain: Range = (0.0, 1.6)
    gain_db: Range = (-6.0, 9.0)
    drive_db: Range = (5.0, 25.0)
    lowpass_hz: Range = (2500.0, 16000.0)
    compressor_chance: float = 0.5
    reverb_chance: float = 0.4
    imaging_chance: float = 0.6
    polarity_chance: float = 0.5
    shelves_db: Range = (-9.0, 9.0)
    shelves_chance: float = 0.5
    drive_chance: float = 0.06
    lowpass_chance: float = 0.15

    def __call__(self, waveform: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        """Apply effects with new random parameters.

        Shape:
            ``(2, time)`` -> ``(2, time)``, float32.
        """
        for chance, effect in (
            (self.drive_chance, self._distort),
            (self.compressor_chance, self._compress),
            (self.reverb_chance, self._reverberate),
            (self.shelves_chance, self._tilt),
            (self.lowpass_chance, self._band_limit),
            (self.imaging_chance, self._image),
        ):
            if rng.random() < chance:
                waveform = _same_rms(effect(waveform, sample_rate, rng), waveform)
        gain = db_to_amplitude(rng.uniform(*self.gain_db))
        return waveform * np.float32(-gain if rng.random() < self.polarity_chance else gain)

    def _compress(self, waveform: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        plugin = _pedalboard().Compressor(
            threshold_db=rng.uniform(*self.threshold_db),
            ratio=rng.uniform(*self.ratio),
            attack_ms=rng.uniform(*self.attack_ms),
            release_ms=rng.uniform(*self.release_ms),
        )
        return _run(plugin, waveform, sample_rate)

    def _reverberate(self, waveform: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        plugin = _pedalboard().Reverb(
            room_size=rng.uniform(*self.room_size),
            damping=rng.uniform(*self.damping),
            wet_level=rng.uniform(*self.wet_level),
            dry_level=rng.uniform(*self.dry_level),
            width=rng.uniform(*self.width),
        )
        return _run(plugin, waveform, sample_rate)

    def _distort(self, waveform: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        peak = float(np.abs(waveform).max()) or 1.0
        drive = db_to_amplitude(rng.uniform(*self.drive_db)) / peak
        driven: np.ndarray = np.tanh(waveform * np.float32(drive)) * np.float32(peak)
        return driven

    def _tilt(self, waveform: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        shelves = _pedalboard().Pedalboard(
            [
                _pedalboard().LowShelfFilter(rng.uniform(100.0, 400.0), rng.uniform(*self.shelves_db)),
                _pedalboard().HighShelfFilter(
                    min(rng.uniform(2000.0, 6000.0), HIGHEST * sample_rate), rng.uniform(*self.shelves_db)
                ),
            ]
        )
        return _run(shelves, waveform, sample_rate)

    def _band_limit(self, waveform: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        cutoff = np.exp(rng.uniform(*np.log(self.lowpass_hz)))
        plugin = _pedalboard().LowpassFilter(cutoff_frequency_hz=min(float(cutoff), HIGHEST * sample_rate))
        return _run(plugin, waveform, sample_rate)

    def _image(self, waveform: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        side_gain = np.float32(rng.uniform(*self.side_gain))
        mid, side = waveform[0] + waveform[1], (waveform[0] - waveform[1]) * side_gain
        return np.stack([mid + side, mid - side])


HIGHEST = 0.45
"""Highest cutoff as a share of the sample rate; filters are unstable above it."""

PAPER = EffectsChain(
    threshold_db=(-80.0, -5.0),
    ratio=(4.0, 40.0),
    room_size=(0.05, 0.85),
    wet_level=(0.0, 1.0),
    dry_level=(0.0, 1.0),
    side_gain=(0.0, 2.0),
    compressor_chance=1.0,
    reverb_chance=1.0,
    imaging_chance=1.0,
    shelves_chance=0.0,
    drive_chance=0.0,
    lowpass_chance=0.0,
)
MILD = EffectsChain()
Effects = Literal["paper", "mild", "none"]
CHAINS: dict[Effects, EffectsChain | None] = {"paper": PAPER, "mild": MILD, "none": None}


def lossy(waveform: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return the waveform after MP3 at a random variable bit rate, about 65 to 190 kbit/s.

    Shape:
        ``(2, time)`` -> ``(2, time)``, float32. The encoder's delay is not removed.
    """
    plugin = _pedalboard().MP3Compressor(vbr_quality=rng.uniform(2.0, 9.0))
    return _run(plugin, waveform, sample_rate)


def equalizer_curve(
    frequencies: np.ndarray, rng: np.random.Generator, *, depth_db: float = 6.0, lowpass_chance: float = 0.4
) -> np.ndarray:
    """Return the gains of a random smooth equaliser, sometimes with the steep low-pass of lossy codecs.

    Args:
        frequencies: Frequencies in Hz, of any shape.
        rng: Random generator.
        depth_db: Twice the standard deviation of the gain at each of eight points on a logarithmic axis.
        lowpass_chance: Chance of a low-pass at 3 to 16 kHz (-60 dB).

    Returns:
        Gains in dB, of the same shape.
    """
    points = np.linspace(np.log(30.0), np.log(20000.0), 8)
    octaves = np.log(np.maximum(frequencies, 30.0))
    gains: np.ndarray = np.interp(octaves, points, rng.normal(0.0, depth_db / 2, 8))
    if rng.random() < lowpass_chance:
        cutoff = np.exp(rng.uniform(np.log(3000.0), np.log(16000.0)))
        gains = gains + np.clip((cutoff - frequencies) / (0.03 * cutoff), -1, 0) * 60.0
    return gains


def _same_rms(changed: np.ndarray, original: np.ndarray) -> np.ndarray:
    before, after = float(np.mean(original**2)), float(np.mean(changed**2))
    if not np.isfinite(after) or after <= 1e-14:
        return original
    return changed * np.float32(np.sqrt(before / after))


def _run(plugin: Any, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    processed: np.ndarray = plugin(np.ascontiguousarray(waveform, np.float32), sample_rate, reset=True)
    return processed


def _pedalboard() -> Any:
    import pedalboard

    return pedalboard
