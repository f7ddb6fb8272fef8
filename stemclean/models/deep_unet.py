"""The deep U-Net of residual blocks used by RMVPE (arXiv 2306.15412) and DJCM (arXiv 2401.03856).

It has encoder levels of residual convolutions, each followed by 2 x 2 average pooling; blocks at the bottom; and
decoder levels that upsample by 2 and have skip connections from the encoder. Written from the papers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DeepUNet"]

MOMENTUM = 0.01
"""Momentum of the batch norms, as in RMVPE."""


class DeepUNet(nn.Module):
    """A U-Net over frames and frequency bins, whose output has the size of its input.

    Args:
        inputs: Number of input channels.
        channels: Channels of the first level, and number of output channels.
        depth: Number of levels.
        blocks: Residual blocks per level.
        inner_blocks: Residual blocks at the bottom.
        growth: Factor on the channels from level to level; 2 in RMVPE. Channels of deeper levels are multiples of 8.
        most: Largest number of channels.
        time_levels: Number of levels, counted from the first, that halve time as well as frequency (None: all, as in
            RMVPE).
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        *,
        depth: int,
        blocks: int,
        inner_blocks: int,
        growth: float = 2.0,
        most: int = 512,
        time_levels: int | None = None,
    ) -> None:
        super().__init__()
        self.outputs = channels
        widths = [channels, *(min(most, 8 * round(channels * growth**level / 8)) for level in range(1, depth + 1))]
        halves_time = [level < (depth if time_levels is None else time_levels) for level in range(depth)]
        self.steps = [(2 if time else 1, 2) for time in halves_time]
        self.multiples = (2 ** sum(halves_time), 2**depth)
        self.norm = nn.BatchNorm2d(inputs, momentum=MOMENTUM)
        before = [inputs, *widths[:-2]]
        self.down = nn.ModuleList(_blocks(a, b, blocks) for a, b in zip(before, widths[:-1], strict=True))
        self.inner = _blocks(widths[-2], widths[-1], inner_blocks)
        self.up = nn.ModuleList(
            _Up(widths[level + 1], widths[level], blocks, self.steps[level]) for level in reversed(range(depth))
        )

    def forward(self, planes: Tensor) -> Tensor:
        """Run the U-Net on an input of any size, which is zero-padded to a multiple of the pooling.

        Shape:
            ``(batch, inputs, frame, freq)`` -> ``(batch, outputs, frame, freq)``.
        """
        frames, bins = planes.shape[-2:]
        hidden = functional.pad(self.norm(planes), (0, -bins % self.multiples[1], 0, -frames % self.multiples[0]))
        skips: list[Tensor] = []
        for level, step in zip(self.down, self.steps, strict=True):
            hidden = level(hidden)
            skips.append(hidden)
            hidden = functional.avg_pool2d(hidden, step)
        hidden = self.inner(hidden)
        for level in self.up:
            hidden = level(hidden, skips.pop())
        cut: Tensor = hidden[..., :frames, :bins]
        return cut


class _Up(nn.Module):
    """A level of the decoder."""

    def __init__(self, inputs: int, outputs: int, blocks: int, step: tuple[int, int]) -> None:
        super().__init__()
        self.grow = nn.Sequential(
            nn.ConvTranspose2d(inputs, outputs, 3, step, 1, (step[0] - 1, step[1] - 1), bias=False),
            nn.BatchNorm2d(outputs, momentum=MOMENTUM),
            nn.ReLU(),
        )
        self.blocks = _blocks(2 * outputs, outputs, blocks)

    def forward(self, hidden: Tensor, skip: Tensor) -> Tensor:
        joined: Tensor = self.blocks(torch.cat([self.grow(hidden), skip], 1))
        return joined


class _Residual(nn.Module):
    """Two 3 x 3 convolutions, each with batch norm and ReLU, and a residual connection."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_conv(inputs, outputs), *_conv(outputs, outputs))
        self.around = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, hidden: Tensor) -> Tensor:
        summed: Tensor = self.layers(hidden) + self.around(hidden)
        return summed


def _blocks(inputs: int, outputs: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(inputs if number == 0 else outputs, outputs) for number in range(count)))


def _conv(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs, momentum=MOMENTUM),
        nn.ReLU(),
    )
