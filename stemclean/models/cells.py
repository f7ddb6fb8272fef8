"""Levels from cells: estimate the share of each class in the power of every cell of a spectrogram (ours).

One level per class and window is a weak training signal. With random mixing, the share of each class in the power of
every cell of the spectrogram is known, too. A decoder beside the head of the classes learns it: like the decoder of a
separator, it goes from the coarsest to the finest feature map of the shared trunk. The level of a class is the sum over
its cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CellDecoder", "ClassesAndCells", "decibels"]

WIDTH = 64
"""Channels of the decoder."""
LOWEST_SHARE = 1e-6
"""Lowest share of the power: levels end at -60 dB."""


class ClassesAndCells(nn.Module):
    """A ConvNeXt with a head for the classes and a :class:`CellDecoder`. Its tensors have the names of timm.

    Args:
        net: Network of timm, with one output per class.
        labels: Number of classes.
    """

    def __init__(self, net: Any, labels: int) -> None:
        super().__init__()
        self.stem, self.stages, self.norm_pre, self.head = net.stem, net.stages, net.norm_pre, net.head
        self.cells = CellDecoder([stage["num_chs"] for stage in net.feature_info], labels + 1)

    def forward(self, features: Tensor, power: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate classes, levels and cells of one segment each.

        Args:
            features: Features of the segments. Shape: (batch, channel, freq, frame)
            power: Power of each cell. Shape: (batch, cell freq, cell frame)

        Returns:
            Logits of the classes and levels in dB, ``(batch, 2 * label)``; and logits of the shares of each cell, the
            last of which belongs to no class, ``(batch, label + 1, cell freq, cell frame)``.
        """
        maps = self._maps(features)
        classes = self.head(self.norm_pre(maps[-1])).float()
        cells = self.cells(maps)
        by_class = _class_power(cells, power)
        levels_db = decibels(by_class.sum((2, 3)), power.sum((1, 2))[:, None])
        return torch.cat([classes, levels_db], -1), cells

    def windows(self, features: Tensor, power: Tensor, length: int, hop: int) -> Tensor:
        """Estimate classes and levels of overlapping windows, running trunk and decoder once.

        Args:
            features: Features of a long sound. Shape: (batch, channel, freq, frame)
            power: Power of each cell. Shape: (batch, cell freq, cell frame)
            length: Length of a window, in frames of the coarsest map.
            hop: Hop of the windows, in frames of the coarsest map.

        Returns:
            Logits and levels in dB. Shape: (batch, window, 2 * label)
        """
        maps = self._maps(features)
        finer = power.shape[-1] // maps[-1].shape[-1]  # cells in a frame of the coarsest map
        frames = functional.avg_pool1d(self.norm_pre(maps[-1]).float().mean(2), length, hop)
        batch, channels, windows = frames.shape
        rows = frames.transpose(1, 2).reshape(batch * windows, channels, 1, 1)  # one row per window
        classes = self.head(rows).float().reshape(batch, windows, -1)

        def over_windows(values: Tensor) -> Tensor:
            return functional.avg_pool1d(values, finer * length, finer * hop).transpose(1, 2)

        by_class = over_windows(_class_power(self.cells(maps), power).sum(2))  # (batch, window, label)
        return torch.cat([classes, decibels(by_class, over_windows(power.sum(1, keepdim=True)))], -1)

    def _maps(self, features: Tensor) -> list[Tensor]:
        """Return the feature maps of the trunk, from fine to coarse."""
        hidden = self.stem(features)
        maps = []
        for stage in self.stages:
            hidden = stage(hidden)
            maps.append(hidden)
        return maps


class CellDecoder(nn.Module):
    """Estimates the shares of each cell from the feature maps of the trunk; a cell is a point of the finest map.

    Args:
        channels: Channels of the maps, from fine to coarse.
        outputs: Number of shares per cell.
        width: Channels of the decoder.
    """

    def __init__(self, channels: Sequence[int], outputs: int, width: int = WIDTH) -> None:
        super().__init__()
        self.sideways = nn.ModuleList(nn.Sequential(LayerNorm2d(n), nn.Conv2d(n, width, 1)) for n in channels)
        self.mixing = nn.ModuleList(_depthwise_block(width, width) for _ in channels)
        self.last = _depthwise_block(width, outputs)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the logits of the shares.

        Shape:
            ``(batch, channel, freq, frame)`` from fine to coarse -> ``(batch, output, cell freq, cell frame)``.
        """
        hidden: Tensor | None = None
        for level in reversed(range(len(maps))):
            lateral = self.sideways[level](maps[level])
            if hidden is not None:
                lateral = lateral + functional.interpolate(hidden, size=lateral.shape[-2:])
            hidden = lateral + self.mixing[level](lateral)
        cells: Tensor = self.last(hidden)
        return cells


def _depthwise_block(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, groups=width),
        nn.Conv2d(width, 2 * width, 1),
        nn.GELU(),
        nn.Conv2d(2 * width, outputs, 1),
    )


def _class_power(cells: Tensor, power: Tensor) -> Tensor:
    """Return the power of each class in each cell, without the share that belongs to no class."""
    return cells.float().softmax(1)[:, :-1] * power[:, None]


def decibels(power: Tensor, whole: Tensor) -> Tensor:
    """Return the level of a part relative to the whole, at least -60 dB; 0 dB if the whole is silent."""
    tiny = torch.finfo(power.dtype).tiny
    return 10 * torch.log10(((power + tiny) / (whole + tiny)).clamp_min(LOWEST_SHARE))
