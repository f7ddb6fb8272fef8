"""Voices with known f0, a tracker for them, and a separator that takes the right channel for the voice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import soundfile
import torch

from stemclean.audio.f0 import F0Track
from stemclean.models import cascade, registry, weights
from stemclean.models.cascade import Cascade
from stemclean.models.contract import ModelSpec
from stemclean.units import cents_to_hz

RATE = 8000
HOP = 80
LABELS = ("vocals", "accompaniment")
LENGTHS: list[int] = []
"""Lengths of the sounds that the tracker received, in samples."""


class Ear(torch.nn.Module):
    """YIN's difference function (de Cheveigné and Kawahara 2002) as a pitch tracker; nothing in it was learnt."""

    def __init__(self, spec):
        super().__init__()
        self.spec, self.hop, self.window = spec, HOP, 512
        self.register_buffer("cents", 1997.3794084376191 + 20 * torch.arange(360.0), persistent=False)
        self.sharpness = torch.nn.Parameter(torch.tensor(25.0))

    def forward(self, waveform):
        LENGTHS.append(waveform.shape[-1])
        half = self.window // 2
        frames = torch.nn.functional.pad(waveform[:, 0], (half, half)).unfold(-1, self.window, self.hop)
        power = torch.fft.rfft(frames, 2 * self.window).abs().square()
        correlation = torch.fft.irfft(power)[..., :half]
        sums = torch.cumsum(frames.square(), -1)
        energy = sums[..., -1:]
        lags = torch.arange(half)
        both = energy - sums[..., :half] + sums.flip(-1)[..., :half]  # of the two stretches that are compared
        difference = (both - 2 * correlation) / (self.window - lags)
        mean = torch.cumsum(difference, -1) / lags.clamp(min=1)
        dips = torch.where(lags > 0, difference / (mean + 1e-9), 1.0) + 0.1 * lags / half
        expected = self.spec.sample_rate / torch.from_numpy(cents_to_hz(self.cents.numpy())).float()
        low = expected.floor().long().clamp(1, half - 2)
        at = dips[..., low] + (expected - low) * (dips[..., low + 1] - dips[..., low])
        reachable = (expected >= 8) & (expected < half - 2) & (energy > 1e-6)
        return torch.where(reachable, self.sharpness * (0.35 - at), -20.0)


class Sides(torch.nn.Module):
    """The right channel is the voice and the left one the rest, as MIR-1K has them; both estimates are in both."""

    def __init__(self, spec):
        super().__init__()
        self.spec = spec
        self.gain = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, mixture):
        return self.gain * mixture.flip(1)[:, :, None].expand(-1, -1, 2, -1)


def register(monkeypatch) -> None:
    """Make both known, as if a package had registered them."""
    points = {"stemclean.pitch": ("ear", Ear), "stemclean.separators": ("sides", Sides)}
    real = registry.entry_points

    def entry_points(group):
        name, model = points.get(group, ("", None))
        return [*real(group=group), *([SimpleNamespace(name=name, load=lambda: model)] if model else [])]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    LENGTHS.clear()


def save_weights(folder: Path, kind: str) -> Path:
    """Weights of the tracker (``pitch``), the separator (``separators``) or both (``cascades``)."""
    tracker, separator = Ear(ModelSpec(RATE, 1, ("vocals",), 4000)), Sides(ModelSpec(RATE, 2, LABELS, 4000))
    cards = {
        "pitch": {"architecture": "ear", "spec": tracker.spec.to_dict(), "options": {}},
        "separators": {"architecture": "sides", "spec": separator.spec.to_dict(), "options": {}},
    }
    cards["cascades"] = {
        "architecture": "sides+ear",
        "spec": separator.spec.to_dict(),
        "options": cascade.options_of(cards["separators"], cards["pitch"]),
    }
    model = {"pitch": tracker, "separators": separator}.get(kind) or Cascade(separator, tracker)
    path = folder / f"{kind}.safetensors"
    return weights.save(path, model, {**cards[kind], "kind": kind, "loudness_lufs": -20.0}, dtype=torch.float32)


def melody(seconds: float, seed: int = 0, hop: float = 0.01) -> F0Track:
    """Phrases of a second with glides and vibrato between 150 and 400 Hz, and breaths between."""
    rng = np.random.default_rng(seed)
    time = np.arange(0, seconds, hop)
    notes = rng.integers(0, 12, int(seconds) + 2) + 52
    midi = np.interp(time, np.arange(len(notes)), notes) + 0.3 * np.sin(2 * np.pi * 5.5 * time)
    f0_hz = 440 * 2 ** ((midi - 69) / 12) * ((time + rng.uniform(0, 0.5)) % 1.3 < 1.0)
    return F0Track.of(f0_hz, hop)


def voice(track: F0Track, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    """A sound with these f0: ten harmonics that fall off. Shape: (time,)."""
    num_samples = round(track.num_frames * track.hop * rate)
    time = np.arange(num_samples) / rate
    held = np.interp(np.arange(track.num_frames), np.flatnonzero(track.voiced), track.f0_hz[track.voiced])
    phase = 2 * np.pi * np.cumsum(np.interp(time, track.times, held)) / rate
    loud = np.interp(time, track.times, track.voiced.astype(float))
    sound = sum(np.sin(k * phase) / k for k in range(1, 11))
    return level * loud * sound / 2


def band(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """What accompanies it: chords and noise. Shape: (time,)."""
    time = np.arange(round(seconds * rate)) / rate
    root = 110 * 2 ** (np.random.default_rng(seed).integers(0, 12, int(seconds) + 1)[time.astype(int)] / 12)
    phase = 2 * np.pi * np.cumsum(root) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return 0.1 * (np.sin(phase) + np.sin(1.26 * phase) + np.sin(1.5 * phase)) + 0.01 * noise


def put_voice(path: Path, track: F0Track, rate: int = RATE, channels: int = 1) -> Path:
    """A file of the voice alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([voice(track, rate)] * channels, 1), rate, subtype="PCM_16")
    return path


def put_mixture(path: Path, track: F0Track, rate: int = RATE) -> Path:
    """A file with the rest on the left and the voice on the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sung = voice(track, rate)
    soundfile.write(path, np.stack([band(len(sung) / rate, rate)[: len(sung)], sung], 1), rate, subtype="PCM_16")
    return path
