"""PNG files with a palette, such as spectrograms (W3C Portable Network Graphics, third edition)."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["png"]

ANCHORS = ((11, 18, 28), (20, 48, 74), (26, 92, 110), (58, 140, 126), (142, 190, 128), (240, 222, 150), (255, 250, 226))
"""Colours of the levels from 0 to 1: dark blue to pale yellow, with rising lightness."""


def png(levels: NDArray[np.floating], colours: int = 16) -> bytes:
    """Return a picture of levels in [0, 1]; the first row is at the bottom.

    Args:
        levels: Shape: (row, column)
        colours: number of colours; up to 16 take half a byte per point before compression.
    """
    indices = np.round(np.clip(levels, 0, 1) * (colours - 1)).astype(np.uint8)[::-1]
    height, width = indices.shape
    depth = 4 if colours <= 16 else 8
    if depth == 4:
        even = np.pad(indices, ((0, 0), (0, width % 2)))
        indices = even[:, ::2] << 4 | even[:, 1::2]
    rows = np.pad(indices, ((0, 0), (1, 0)))  # each begins with the number of its filter, 0
    header = struct.pack(">IIBBBBB", width, height, depth, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", _palette(colours)),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _palette(colours: int) -> bytes:
    at = np.linspace(0, len(ANCHORS) - 1, colours)
    channels = [np.interp(at, np.arange(len(ANCHORS)), [anchor[i] for anchor in ANCHORS]) for i in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8).tobytes()
