"""Native Instruments' ``.stem.mp4``: five audio streams, the mixture first, then four stems.

Source: the public "Stems" format description. The names of the stems are stored as JSON in the box ``moov/udta/stem``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from stemclean.audio.extents import MAX_CHUNKS
from stemclean.documents import json_of

__all__ = ["says_delay", "stream_titles"]

_ENDINGS = (".stem.mp4", ".stem.m4a")
_MAX_BOX = 1 << 20  # bytes; the box holds a few hundred
_MAX_STEMS = 1000


def stream_titles(path: Path, num_streams: int) -> tuple[str, ...] | None:
    """Return the name of each stream, the first of which is "mixture"; None if the file is not a stem.mp4.

    Some tools write no names. The names of the stems are then "", and are not guessed from their order.
    """
    stem_names = _names(path)
    if stem_names is None and not (path.name.lower().endswith(_ENDINGS) and num_streams > 1):
        return None
    titles = ["mixture", *(stem_names or [])]
    return tuple([*titles, *[""] * num_streams][:num_streams])


def says_delay(path: Path, stream: int) -> bool:
    """Return whether an MP4 has an edit list that skips the encoder delay of a stream."""
    with open(path, "rb") as file:
        file_range = (0, path.stat().st_size)
        moov = next((inner for name, inner in _boxes(file, *file_range) if name == b"moov"), None)
        if moov is None:
            return False
        tracks = [inner for name, inner in _boxes(file, *moov) if name == b"trak"]
        sounding = [track for track in tracks if _find(file, track, b"mdia", b"minf", b"smhd")]
        edits = _find(file, sounding[stream], b"edts", b"elst") if stream < len(sounding) else None
        return edits is not None and _skips(file, edits)


def _skips(file: BinaryIO, edits: tuple[int, int]) -> bool:
    file.seek(edits[0])
    content = file.read(min(edits[1] - edits[0], _MAX_BOX))
    if len(content) < 20:
        return False
    wide = content[0] == 1
    entry = struct.Struct(">QqI" if wide else ">IiI")
    entries = content[8 : len(content) - (len(content) - 8) % entry.size]
    return any(time > 0 for _, time, _ in entry.iter_unpack(entries))


def _find(file: BinaryIO, span: tuple[int, int], *names: bytes) -> tuple[int, int] | None:
    """Return the range of the content of a box, given its path; None if there is no such box."""
    content: tuple[int, int] | None = span
    for name in names:
        content = next((inner for box, inner in _boxes(file, *content) if box == name), None) if content else None
    return content


def _names(path: Path) -> list[str] | None:
    with open(path, "rb") as file:
        span = _find(file, (0, path.stat().st_size), b"moov", b"udta", b"stem")
        if span is None or span[1] - span[0] > _MAX_BOX:
            return None
        file.seek(span[0])
        text = file.read(span[1] - span[0])
    try:
        stems = json_of(text.decode("utf-8", "replace"))["stems"]
        names = [stem.get("name", "") for stem in stems[:_MAX_STEMS]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return [name if isinstance(name, str) else "" for name in names]


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the boxes of an MP4 (ISO 14496-12): name, and range of the content."""
    at = start
    for _ in range(MAX_CHUNKS):
        if at + 8 > end:
            return
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        header = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            header = 16
        if length == 0:
            length = end - at
        if length < header:
            return
        yield name, (at + header, min(at + length, end))
        at += length
