"""CREPE (Kim, Salamon, Li, Bello 2018, arXiv 1802.06182), written from the paper.

Six convolutions over the waveform of one frame, and one output per pitch class. Each frame is independent.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stemclean.models.contract import ModelSpec
from stemclean.models.pitch._classes import NUM_CLASSES, PRIOR_LOGIT, class_cents

__all__ = ["Crepe", "build"]

FRAME = 1024
"""Length of a frame in samples, 64 ms at 16 kHz."""
FILTERS = (32, 4, 4, 4, 8, 16)
"""Number of filters of each layer, in multiples of the capacity."""
WIDTHS = (512, 64, 64, 64, 64, 64)
"""Width of the filters of each layer, in samples of its input."""
FIRST_STRIDE = 4
SILENCE = 1e-4
"""-80 dBFS: minimum deviation that a frame is divided by (ours), so that silence is not amplified."""


class Crepe(nn.Module):
    """CREPE as a :class:`~stemclean.models.contract.PitchTracker`; the defaults are the paper's, except for the hop.

    Args:
        spec: Sample rate, segment and the tracked class.
        hop: Samples between frames; 160 (10 ms) in the paper.
        capacity: Factor on the filters; 32 is the paper's full model (22 million parameters), 4 its smallest.
        dropout: Dropout after each layer.
    """

    cents: Tensor

    def __init__(self, spec: ModelSpec, *, hop: int = 320, capacity: int = 32, dropout: float = 0.25) -> None:
        super().__init__()
        self.spec, self.hop = spec, hop
        self.register_buffer("cents", class_cents(), persistent=False)
        filters = [1, *(capacity * share for share in FILTERS)]
        strides = [FIRST_STRIDE] + [1] * (len(WIDTHS) - 1)
        self.layers = nn.Sequential(
            *(
                _layer(inputs, outputs, width, stride, dropout)
                for (inputs, outputs), width, stride in zip(pairwise(filters), WIDTHS, strides, strict=True)
            )
        )
        num_positions = FRAME // FIRST_STRIDE // 2 ** len(WIDTHS)
        self.classes = nn.Linear(num_positions * filters[-1], NUM_CLASSES)
        nn.init.constant_(self.classes.bias, PRIOR_LOGIT)

    def forward(self, waveform: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.PitchTracker`."""
        batch, _, time = waveform.shape
        num_frames = time // self.hop + 1
        padded = functional.pad(waveform[:, 0].float(), (FRAME // 2, FRAME // 2))
        frames = padded.unfold(1, FRAME, self.hop)[:, :num_frames].flatten(0, 1)  # (batch * frame, sample)
        frames = frames - frames.mean(1, keepdim=True)
        deviation = (frames.square().mean(1, keepdim=True) + SILENCE**2).sqrt()
        # Two-dimensional and channels-last convolutions are faster on a CPU.
        planes = (frames / deviation)[:, None, None].contiguous(memory_format=torch.channels_last)
        hidden = self.layers(planes)[:, :, 0]  # (batch * frame, filter, position)
        logits: Tensor = self.classes(hidden.transpose(1, 2).flatten(1))
        return logits.float().reshape(batch, num_frames, NUM_CLASSES)


def _layer(inputs: int, outputs: int, width: int, stride: int, dropout: float) -> nn.Sequential:
    before = (width - stride) // 2
    return nn.Sequential(
        nn.ConstantPad2d((before, width - stride - before, 0, 0), 0.0),
        nn.Conv2d(inputs, outputs, (1, width), (1, stride)),
        nn.ReLU(),
        nn.BatchNorm2d(outputs),
        nn.MaxPool2d((1, 2)),
        nn.Dropout(dropout),
    )


def build(spec: ModelSpec, **options: Any) -> Crepe:
    """Build the model; options as for :class:`Crepe`."""
    return Crepe(spec, **options)
