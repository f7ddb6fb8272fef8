"""Levels from cells: of each small piece of a spectrogram, which class its power is from. Ours.

One level per class and window is little to learn from. Which share of the power every cell of the spectrogram owes to
which class is known in random mixing as well, and a decoder beside the classes' head learns it: it goes up over the
maps of the one trunk, from the coarsest to the finest, as separators do. A class's level is the sum of its cells.
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
"""Levels end at -60 dB."""


class ClassesAndCells(nn.Module):
    """A ConvNeXt with its classes' head, whose tensors are called as timm calls them, and a :class:`CellDecoder`.

    Args:
        net: timm's network, whose outputs are one per class.
        labels: number of classes.
    """

    def __init__(self, net: Any, labels: int) -> None:
        super().__init__()
        self.stem, self.stages, self.norm_pre, self.head = net.stem, net.stages, net.norm_pre, net.head
        self.cells = CellDecoder([stage["num_chs"] for stage in net.feature_info], labels + 1)

    def forward(self, features: Tensor, power: Tensor) -> tuple[Tensor, Tensor]:
        """What sounds in one segment each, and where in its spectrogram.

        Args:
            power: of each cell, ``(batch, cell freq, cell frame)``.

        Returns:
            (logits and levels in dB, ``(batch, 2 * label)``; logits of each cell's shares, the last of which is
            that of no class, ``(batch, label + 1, cell freq, cell frame)``)
        """
        maps = self._maps(features)
        classes = self.head(self.norm_pre(maps[-1])).float()
        cells = self.cells(maps)
        by_class = _of_classes(cells, power)
        levels_db = decibels(by_class.sum((2, 3)), power.sum((1, 2))[:, None])
        return torch.cat([classes, levels_db], -1), cells

    def windows(self, features: Tensor, power: Tensor, length: int, hop: int) -> Tensor:
        """The same of overlapping windows, the trunk and the decoder run once: ``(batch, window, 2 * label)``.

        Args:
            features: of a long sound, ``(batch, channel, freq, frame)``.
            power: ``(batch, cell freq, cell frame)``.
            length, hop: of the windows, in frames of the coarsest map.
        """
        maps = self._maps(features)
        finer = power.shape[-1] // maps[-1].shape[-1]  # cells in a frame of the coarsest map
        frames = functional.avg_pool1d(self.norm_pre(maps[-1]).float().mean(2), length, hop)
        batch, channels, windows = frames.shape
        rows = frames.transpose(1, 2).reshape(batch * windows, channels, 1, 1)  # one row a window
        classes = self.head(rows).float().reshape(batch, windows, -1)

        def over_windows(values: Tensor) -> Tensor:
            return functional.avg_pool1d(values, finer * length, finer * hop).transpose(1, 2)

        by_class = over_windows(_of_classes(self.cells(maps), power).sum(2))  # (batch, window, label)
        return torch.cat([classes, decibels(by_class, over_windows(power.sum(1, keepdim=True)))], -1)

    def _maps(self, features: Tensor) -> list[Tensor]:
        """The trunk's, from fine to coarse."""
        hidden = self.stem(features)
        maps = []
        for stage in self.stages:
            hidden = stage(hidden)
            maps.append(hidden)
        return maps


class CellDecoder(nn.Module):
    """From the trunk's maps to the shares of each cell of the finest one.

    Args:
        channels: of the maps, from fine to coarse.
        outputs: shares per cell.
        width: channels here.
    """

    def __init__(self, channels: Sequence[int], outputs: int, width: int = WIDTH) -> None:
        super().__init__()
        self.sideways = nn.ModuleList(nn.Sequential(LayerNorm2d(n), nn.Conv2d(n, width, 1)) for n in channels)
        self.mixing = nn.ModuleList(_around(width, width) for _ in channels)
        self.last = _around(width, outputs)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits of the shares.

        Shape:
            ``(batch, channel, freq, frame)`` from fine to coarse -> ``(batch, output, cell freq, cell frame)``.
        """
        hidden: Tensor | None = None
        for level in reversed(range(len(maps))):
            here = self.sideways[level](maps[level])
            if hidden is not None:
                here = here + functional.interpolate(hidden, size=here.shape[-2:])
            hidden = here + self.mixing[level](here)
        cells: Tensor = self.last(hidden)
        return cells


def _around(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, groups=width),
        nn.Conv2d(width, 2 * width, 1),
        nn.GELU(),
        nn.Conv2d(2 * width, outputs, 1),
    )


def _of_classes(cells: Tensor, power: Tensor) -> Tensor:
    """Power of each class in each cell; what is of no class is left out."""
    return cells.float().softmax(1)[:, :-1] * power[:, None]


def decibels(power: Tensor, whole: Tensor) -> Tensor:
    """Level of a part, at least -60 dB; 0 dB where there is nothing at all."""
    tiny = torch.finfo(power.dtype).tiny
    return 10 * torch.log10(((power + tiny) / (whole + tiny)).clamp_min(LOWEST_SHARE))
