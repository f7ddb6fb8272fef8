"""Native Instruments' ``.stem.mp4``: five audio streams, the mixture first, then four stems.

Source: the public "Stems" format description: the names of the stems stand as JSON in the box ``moov/udta/stem``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["stream_titles"]

_ENDINGS = (".stem.mp4", ".stem.m4a")
_MAX_BOX = 1 << 20  # bytes; the box holds a few hundred


def stream_titles(path: Path, num_streams: int) -> tuple[str, ...] | None:
    """What each stream is called, "mixture" first; None for a file that is no stem.mp4.

    A stem.mp4 without names (some tools write none) gives "" for its stems: they are not guessed from their order.
    """
    stem_names = _names(path)
    if stem_names is None and not (path.name.lower().endswith(_ENDINGS) and num_streams > 1):
        return None
    titles = ["mixture", *(stem_names or [])]
    return tuple([*titles, *[""] * num_streams][:num_streams])


def _names(path: Path) -> list[str] | None:
    with open(path, "rb") as file:
        span: tuple[int, int] | None = (0, path.stat().st_size)
        for name in (b"moov", b"udta", b"stem"):
            span = next((inner for box, inner in _boxes(file, *span) if box == name), None) if span else None
        if span is None or span[1] - span[0] > _MAX_BOX:
            return None
        file.seek(span[0])
        text = file.read(span[1] - span[0])
    try:
        return [str(stem.get("name", "")) for stem in json.loads(text)["stems"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Boxes of an MP4 (ISO 14496-12): name, and where the content lies."""
    at = start
    while at + 8 <= end:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        header = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            header = 16
        if length == 0:
            length = end - at
        if length < header:
            return
        yield name, (at + header, min(at + length, end))
        at += length
