"""What of a file's bytes a decoder is given: without tags in front, with true lengths, one file after the other.

``cat a.ogg b.ogg`` is one valid file (RFC 3533 calls it chained), and so people treat MP3, FLAC and WAV as well. No
decoder reads all of that to its end, so each part is given to it as a file of its own.
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

_SEARCHED = 1 << 20  # bytes at a time
_OVERLAP = 64
_SMALLEST_MP3 = 4096
"""Bytes beyond the end that a Xing header states that are taken for more sound: some encoders are a frame off."""

_OGG_FIRST_PAGE = re.compile(rb"OggS\x00[\x02\x03\x06\x07]", re.DOTALL)
_FLAC_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22", re.DOTALL)
_XING_OR_TAG = re.compile(rb"Xing|Info|ID3[\x02-\x04][\x00\x01]", re.DOTALL)
_XING_PLACES = (36, 21, 13, 38, 23, 15)
"""Bytes from a Layer III frame's start to its Xing header, by version and channels, without and with a checksum."""


@dataclass(frozen=True)
class Part:
    """A stretch of a file that is a file of its own.

    Args:
        start, end: in bytes.
        patches: places, relative to ``start``, and the bytes that stand there for the decoder.
    """

    start: int
    end: int
    patches: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Args:
        family: as :func:`stemclean.audio.formats.content_family` says.
        parts: one, of files that were put together several.
        missing: bytes that it lacks of what its headers say.
        whole: there is one part, which is the whole file as it is.
    """

    family: str | None
    parts: tuple[Part, ...]
    missing: int
    whole: bool


class Slice(io.RawIOBase):
    """A part of a file, to be read as a file."""

    def __init__(self, path: str | os.PathLike[str], part: Part) -> None:
        super().__init__()
        self._file = open(path, "rb")  # noqa: SIM115  closed with this one
        self._part = part
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place within the part."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._part.end - self._part.start}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """The place within the part."""
        return self._at

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Read up to the part's end."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._part.end - self._part.start - self._at)
        if wanted <= 0:
            return 0
        self._file.seek(self._part.start + self._at)
        count: int = self._file.readinto(view[:wanted])
        for place, content in self._part.patches:
            first, last = max(place, self._at), min(place + len(content), self._at + count)
            if first < last:
                view[first - self._at : last - self._at] = content[first - place : last - place]
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
            family = "frames"  # some fill up behind a tag
        if family in (None, "text"):
            return Content(family, (), 0, whole=True)
        file.seek(skipped)
        mpeg = family == "frames" and file.read(64).lstrip(b"\0")[:1] == b"\xff"
        start = 0 if mpeg else skipped  # MPEG decoders know tags, and read what they need from them
        size = size if mpeg or family in _KNOW_TAGS else cut_tags(file, size)
        starts = _starts(file, size, start, family)
        parts, missing = [], 0
        for begin, end in zip(starts, [*starts[1:], size], strict=True):
            for part, of_part in _in_a_row(path, begin, end, family):
                parts.append(part)
                missing = missing or of_part.missing
        whole = len(parts) == 1 and parts[0] == Part(0, file.seek(0, os.SEEK_END))
    return Content(family, tuple(parts), missing, whole)


def _starts(file: BinaryIO, size: int, start: int, family: str) -> list[int]:
    """Where files begin whose headers do not say where they end."""
    search = {"ogg": _ogg_starts, "flac": _flac_starts, "frames": _mp3_starts}.get(family)
    return [start, *(search(file, start, size) if search else ())][:MAX_PARTS]


def _in_a_row(path: str, start: int, end: int, family: str) -> Iterator[tuple[Part, Extent]]:
    """Return the consecutive files between two positions, each at the end that the header of the last one gives."""
    for _ in range(MAX_PARTS):  # the last is what is left
        with Slice(path, Part(start, end)) as slice_:
            view = cast("BinaryIO", slice_)
            said = extent(view, end - start, "mp3" if family == "frames" else family)
            over = said.end
            follows = _next(view, over, end - start, family) if over and over < end - start else 0
        if over is None or not follows:
            yield Part(start, end, said.patches), said
            return
        yield Part(start, start + over, said.patches), said
        start += follows


def _next(view: BinaryIO, end: int, size: int, family: str) -> int:
    """Where another file of the family begins behind the end of one; 0 where none does."""
    at = skip_tags(view, end)
    view.seek(at)
    head = view.read(64)
    if family == "frames":
        return end if size - at >= _SMALLEST_MP3 and _is_layer_3(head) else 0  # its tags go with it
    return at if size - at >= 16 and formats.content_family(head) == family else 0


def _found(file: BinaryIO, pattern: re.Pattern[bytes], start: int, size: int) -> Iterator[int]:
    """Where a pattern stands in a file."""
    at, last = start, -1
    while at < size:
        file.seek(at)
        piece = file.read(_SEARCHED + _OVERLAP)
        for match in pattern.finditer(piece):
            place = at + match.start()
            if place > last:
                last = place
                yield place
        at += _SEARCHED


def _ogg_starts(file: BinaryIO, start: int, size: int) -> Iterator[int]:
    """Links of a chain: first pages of streams, but for those that follow another first page (of the same link)."""
    expected = -1  # where the page behind the last first page begins
    for place in _found(file, _OGG_FIRST_PAGE, start, size):
        length = _ogg_page(file, place)
        if place > start and place != expected and length:
            yield place
        expected = place + length


def _ogg_page(file: BinaryIO, place: int) -> int:
    """Return the size of a page in bytes; 0 if there is no page."""
    file.seek(place)
    head = file.read(27 + 255)
    if len(head) < 28:
        return 0
    length = 27 + head[26] + sum(head[27 : 27 + head[26]])
    file.seek(place + length)
    return length if file.read(4) in (b"OggS", b"") else 0


def _flac_starts(file: BinaryIO, start: int, size: int) -> Iterator[int]:
    for place in _found(file, _FLAC_START, start + 1, size):
        file.seek(place)
        head = file.read(22).ljust(22, b"\0")
        smallest, largest = int.from_bytes(head[8:10], "big"), int.from_bytes(head[10:12], "big")
        if 16 <= smallest <= largest and int.from_bytes(head[18:21], "big") >> 4:
            yield place


def _mp3_starts(file: BinaryIO, start: int, size: int) -> Iterator[int]:
    """Frames with a Xing header, but for the first frame, and tags between frames."""
    done = skip_tags(file) + 4  # what begins before is no beginning
    for place in _found(file, _XING_OR_TAG, start, size):
        begins = _behind_tag(file, place, size) if place >= done else 0
        if begins:
            yield place
            done = begins + 4
            continue
        back = min(max(_XING_PLACES), place)
        file.seek(place - back)
        before = file.read(back)
        for distance in _XING_PLACES:
            if distance <= back and _is_layer_3(before[back - distance : back - distance + 4]):
                if place - distance >= done:
                    yield place - distance
                    done = place
                break


def _behind_tag(file: BinaryIO, place: int, size: int) -> int:
    """Where the frames behind a tag begin; 0 where no tag stands, or no frame behind it."""
    behind = skip_tags(file, place)
    if behind == place or behind + _SMALLEST_MP3 > size:
        return 0
    file.seek(behind)
    frame = file.read(2)
    return behind if frame[:1] == b"\xff" and frame[1:] >= b"\xe0" else 0


def _is_layer_3(head: bytes) -> bool:
    """Return whether four bytes are a valid header of an MPEG Layer III frame."""
    synced = len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08
    return synced and head[2] & 0xF0 not in (0x00, 0xF0) and head[2] & 0x0C != 0x0C
