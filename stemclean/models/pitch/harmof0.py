"""HarmoF0 (Wei, Li, Yu, Li 2022, arXiv 2205.01019), written from the paper.

On a logarithmic frequency axis the distances between harmonics do not depend on the pitch, so that one convolution with
taps at these distances covers all harmonics. The first convolution of every block is 3 x 3, over frames and classes, as
in the authors' code (WX-Wei/HarmoF0, network.py); the dilated convolutions cover a single frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stemclean.audio.stft import stft
from stemclean.models.contract import ModelSpec
from stemclean.models.pitch._classes import CENTS_OFFSET, CENTS_STEP, NUM_CLASSES, PRIOR_LOGIT, class_cents
from stemclean.units import cents_to_hz

__all__ = ["HarmoF0", "build"]

OCTAVE = 1200 / CENTS_STEP
"""Rows of the log-frequency axis per octave: 60, one per pitch class; the paper has 48."""
POWER_FLOOR = 1e-10
"""-100 dBFS."""


class HarmoF0(nn.Module):
    """HarmoF0 as a :class:`~stemclean.models.contract.PitchTracker`; the sizes are the paper's.

    Its rows are the pitch classes, 20 cents apart (ours; the paper has 352 of 25 cents), and continue up to half the
    sample rate, so that they include the harmonics of high voices.

    Args:
        spec: Sample rate, segment and the tracked class.
        hop: Samples between frames; 160 (10 ms) in the paper.
        n_fft: Length of the STFT window in samples.
        harmonics: Number of harmonics of the first layer.
        channels: Channels of the four blocks; the dilation of the second to the fourth is an octave.
    """

    rows: Tensor
    cents: Tensor

    def __init__(
        self,
        spec: ModelSpec,
        *,
        hop: int = 320,
        n_fft: int = 1024,
        harmonics: int = 12,
        channels: Sequence[int] = (32, 64, 128, 128),
    ) -> None:
        super().__init__()
        self.spec, self.hop, self.n_fft = spec, hop, n_fft
        self.register_buffer("cents", class_cents(), persistent=False)
        self.register_buffer("rows", _rows(spec.sample_rate, n_fft, harmonics), persistent=False)
        self.norm = nn.BatchNorm2d(1)
        self.first = _Harmonic(channels[0], harmonics)
        self.blocks = nn.Sequential(*(_octaves(inputs, outputs) for inputs, outputs in pairwise(channels)))
        last = nn.Conv2d(channels[-1] // 2, 1, 1)
        nn.init.constant_(last.bias, PRIOR_LOGIT)  # type: ignore[arg-type]
        self.classes = nn.Sequential(nn.Conv2d(channels[-1], channels[-1] // 2, 1), nn.ReLU(), last)

    def forward(self, waveform: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.PitchTracker`."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = stft(waveform[:, 0], n_fft=self.n_fft, hop_length=self.hop)  # (batch, freq, frame)
            power = self.rows @ torch.view_as_real(spectrum).square().sum(-1)  # (batch, row, frame)
            features = 0.5 * power.clamp_min(POWER_FLOOR).log().transpose(1, 2)  # -> (batch, frame, row)
        hidden = self.blocks(self.first(self.norm(features[:, None])))  # (batch, channel, frame, class)
        logits: Tensor = self.classes(hidden)
        return logits[:, 0].float()


class _Harmonic(nn.Module):
    """The multiple-rates convolution: for each class, it combines the rows of its harmonics."""

    def __init__(self, channels: int, harmonics: int) -> None:
        super().__init__()
        self.distances = [round(OCTAVE * float(np.log2(number))) for number in range(1, harmonics + 1)]
        self.before = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.ReLU())
        self.sum = nn.Sequential(nn.Conv2d(channels * harmonics, channels, 1), nn.ReLU(), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, 1, frame, row)`` -> ``(batch, channel, frame, class)``; rows above the last one are zero."""
        hidden = self.before(features)
        hidden = functional.pad(hidden, (0, max(0, self.distances[-1] + NUM_CLASSES - hidden.shape[-1])))
        harmonics = [hidden[..., distance : distance + NUM_CLASSES] for distance in self.distances]
        summed: Tensor = self.sum(torch.cat(harmonics, 1))
        return summed


def _octaves(inputs: int, outputs: int) -> nn.Sequential:
    """Return a block that combines each class with those an octave below and above."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, (1, 3), padding=(0, int(OCTAVE)), dilation=(1, int(OCTAVE))),
        nn.ReLU(),
        nn.BatchNorm2d(outputs),
    )


def _rows(sample_rate: int, n_fft: int, harmonics: int) -> Tensor:
    """Return the weights of the STFT bins in each row: linear interpolation between the two nearest bins.

    Shape:
        ``(row, freq)``; the first rows are those of the classes, the last one is below half the sample rate.
    """
    count = NUM_CLASSES + round(OCTAVE * np.log2(harmonics))
    positions = cents_to_hz(CENTS_OFFSET + CENTS_STEP * np.arange(count)) * n_fft / sample_rate  # in bins
    positions = positions[positions < n_fft // 2]
    bins = np.arange(n_fft // 2 + 1)
    weights = np.empty((len(positions), len(bins)), np.float32)
    for row, bin_ in enumerate(positions):
        weights[row] = np.maximum(0, 1 - np.abs(bin_ - bins))
    return torch.from_numpy(weights)


def build(spec: ModelSpec, **options: Any) -> HarmoF0:
    """Build the model; options as for :class:`HarmoF0`."""
    return HarmoF0(spec, **options)
