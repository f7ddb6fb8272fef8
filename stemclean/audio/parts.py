"""Divide a file into the parts that a decoder can read: without leading tags, with correct lengths, one file each.

``cat a.ogg b.ogg`` is one valid file (RFC 3533 calls it chained), and MP3, FLAC and WAV files are joined in the same
way. No decoder reads all joined files to the end, so each part is passed to it as a separate file.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from stemclean.audio import formats
from stemclean.audio.extents import Extent, cut_tags, extent, skip_tags

__all__ = ["Content", "Part", "Slice", "look"]

MAX_PARTS = 10_000
_KNOW_TAGS = frozenset({"aiff", "flac", "ogg"})
"""Families whose decoders stop at the end given in the header, even if more data follows."""

_SEARCHED = 1 << 20  # bytes per read
_OVERLAP = 64
_SMALLEST_MP3 = 4096
"""Minimum number of bytes after the end stated by a Xing header that count as more sound: some encoders are wrong by a
frame."""

_OGG_FIRST_PAGE = re.compile(rb"OggS\x00[\x02\x03\x06\x07]", re.DOTALL)
_FLAC_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22", re.DOTALL)
_XING_OR_TAG = re.compile(rb"Xing|Info|ID3[\x02-\x04][\x00\x01]", re.DOTALL)
_XING_OFFSETS = (36, 21, 13, 38, 23, 15)
"""Offsets of the Xing header in a Layer III frame, by version and channels, without and with a checksum."""


@dataclass(frozen=True)
class Part:
    """A range of a file that is itself a complete audio file.

    Args:
        start, end: range in bytes.
        patches: positions relative to ``start``, and bytes that the decoder gets instead of the original ones.
    """

    start: int
    end: int
    patches: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True)
class Content:
    """The content of a file.

    Args:
        family: family returned by :func:`stemclean.audio.formats.content_family`.
        parts: its parts; several if files were joined.
        missing: number of bytes missing according to its headers.
        whole: whether the only part is the whole, unmodified file.
    """

    family: str | None
    parts: tuple[Part, ...]
    missing: int
    whole: bool


class Slice(io.RawIOBase):
    """A part of a file as a file object."""

    def __init__(self, path: str | os.PathLike[str], part: Part) -> None:
        super().__init__()
        self._file = open(path, "rb")  # noqa: SIM115  closed with this one
        self._part = part
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position within the part."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._part.end - self._part.start}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the position within the part."""
        return self._at

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Read bytes up to the end of the part."""
        view = memoryview(buffer).cast("B")
        num_bytes = min(len(view), self._part.end - self._part.start - self._at)
        if num_bytes <= 0:
            return 0
        self._file.seek(self._part.start + self._at)
        count: int = self._file.readinto(view[:num_bytes])
        for position, content in self._part.patches:
            first, last = max(position, self._at), min(position + len(content), self._at + count)
            if first < last:
                view[first - self._at : last - self._at] = content[first - position : last - position]
        self._at += count
        return count

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()


def look(path: Path) -> Content:
    """Return the content of a file and its parts. Raises OSError if it cannot be read."""
    status = path.stat()
    return _look(os.fspath(path), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=4096)
def _look(path: str, size: int, *_version: int) -> Content:
    with open(path, "rb") as file:
        file.seek(skipped := skip_tags(file))
        family = formats.content_family(file.read(4096))
        if skipped and family in (None, "text", "mp3"):
            family = "frames"  # some files have padding after a tag
        if family in (None, "text"):
            return Content(family, (), 0, whole=True)
        file.seek(skipped)
        mpeg = family == "frames" and file.read(64).lstrip(b"\0")[:1] == b"\xff"
        start = 0 if mpeg else skipped  # MPEG decoders read tags themselves
        size = size if mpeg or family in _KNOW_TAGS else cut_tags(file, size)
        starts = _starts(file, size, start, family)
        parts, missing = [], 0
        for begin, end in zip(starts, [*starts[1:], size], strict=True):
            for part, part_extent in _consecutive_parts(path, begin, end, family):
                parts.append(part)
                missing = missing or part_extent.missing
        whole = len(parts) == 1 and parts[0] == Part(0, file.seek(0, os.SEEK_END))
    return Content(family, tuple(parts), missing, whole)


def _starts(file: BinaryIO, size: int, start: int, family: str) -> list[int]:
    """Return the positions where files begin, for formats whose headers do not state the end."""
    search = {"ogg": _ogg_starts, "flac": _flac_starts, "frames": _mp3_starts}.get(family)
    return [start, *(search(file, start, size) if search else ())][:MAX_PARTS]


def _consecutive_parts(path: str, start: int, end: int, family: str) -> Iterator[tuple[Part, Extent]]:
    """Yield the consecutive files between two positions; each begins where the header of the previous one ends it."""
    for _ in range(MAX_PARTS):  # the last part extends to the end
        with Slice(path, Part(start, end)) as slice_:
            view = cast("BinaryIO", slice_)
            part_extent = extent(view, end - start, "mp3" if family == "frames" else family)
            part_end = part_extent.end
            next_start = _next_start(view, part_end, end - start, family) if part_end and part_end < end - start else 0
        if part_end is None or not next_start:
            yield Part(start, end, part_extent.patches), part_extent
            return
        yield Part(start, start + part_end, part_extent.patches), part_extent
        start += next_start


def _next_start(view: BinaryIO, end: int, size: int, family: str) -> int:
    """Return the position of another file of the family after the end of one; 0 if there is none."""
    at = skip_tags(view, end)
    view.seek(at)
    head = view.read(64)
    if family == "frames":
        return end if size - at >= _SMALLEST_MP3 and _is_layer_3(head) else 0  # its tags belong to it
    return at if size - at >= 16 and formats.content_family(head) == family else 0


def _matches(file: BinaryIO, pattern: re.Pattern[bytes], start: int, size: int) -> Iterator[int]:
    """Yield the positions of a pattern in a file."""
    at, last = start, -1
    while at < size:
        file.seek(at)
        piece = file.read(_SEARCHED + _OVERLAP)
        for match in pattern.finditer(piece):
            position = at + match.start()
            if position > last:
                last = position
                yield position
        at += _SEARCHED


def _ogg_starts(file: BinaryIO, start: int, size: int) -> Iterator[int]:
    """Yield the links of a chain: first pages of streams that do not follow another first page (of the same link)."""
    expected = -1  # position of the page after the last first page
    for position in _matches(file, _OGG_FIRST_PAGE, start, size):
        length = _ogg_page(file, position)
        if position > start and position != expected and length:
            yield position
        expected = position + length


def _ogg_page(file: BinaryIO, position: int) -> int:
    """Return the size of a page in bytes; 0 if there is no page."""
    file.seek(position)
    head = file.read(27 + 255)
    if len(head) < 28:
        return 0
    length = 27 + head[26] + sum(head[27 : 27 + head[26]])
    file.seek(position + length)
    return length if file.read(4) in (b"OggS", b"") else 0


def _flac_starts(file: BinaryIO, start: int, size: int) -> Iterator[int]:
    for position in _matches(file, _FLAC_START, start + 1, size):
        file.seek(position)
        head = file.read(22).ljust(22, b"\0")
        smallest, largest = int.from_bytes(head[8:10], "big"), int.from_bytes(head[10:12], "big")
        if 16 <= smallest <= largest and int.from_bytes(head[18:21], "big") >> 4:
            yield position


def _mp3_starts(file: BinaryIO, start: int, size: int) -> Iterator[int]:
    """Yield frames with a Xing header, except for the first frame, and tags between frames."""
    earliest = skip_tags(file) + 4  # matches before this position belong to the first file
    for position in _matches(file, _XING_OR_TAG, start, size):
        begins = _frames_after_tag(file, position, size) if position >= earliest else 0
        if begins:
            yield position
            earliest = begins + 4
            continue
        back = min(max(_XING_OFFSETS), position)
        file.seek(position - back)
        before = file.read(back)
        for distance in _XING_OFFSETS:
            if distance <= back and _is_layer_3(before[back - distance : back - distance + 4]):
                if position - distance >= earliest:
                    yield position - distance
                    earliest = position
                break


def _frames_after_tag(file: BinaryIO, position: int, size: int) -> int:
    """Return the position of the frames after a tag; 0 if there is no tag, or no frame after it."""
    behind = skip_tags(file, position)
    if behind == position or behind + _SMALLEST_MP3 > size:
        return 0
    file.seek(behind)
    frame = file.read(2)
    return behind if frame[:1] == b"\xff" and frame[1:] >= b"\xe0" else 0


def _is_layer_3(head: bytes) -> bool:
    """Return whether four bytes are a valid header of an MPEG Layer III frame."""
    synced = len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08
    return synced and head[2] & 0xF0 not in (0x00, 0xF0) and head[2] & 0x0C != 0x0C
