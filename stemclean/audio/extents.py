"""Read the length that a file declares: find data missing at its end, and placeholder lengths of piped output."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["Extent", "cut_tags", "extent", "is_placeholder", "mp3_says_delay", "mp3_says_length", "skip_tags"]

MAX_CHUNKS = 10_000
"""Maximum number of chunks of a file that are read, so that a gigabyte of zeros does not take long."""

_NEAR = 1 << 16
_AIFF_TO_PIPE = 0x7F000000
"""Placeholder that SoX writes into an AIFF header if it cannot seek back to it."""


@dataclass(frozen=True)
class Extent:
    """The size that a file declares.

    Args:
        missing: number of bytes missing at the end according to the header; 0 if the file is complete or unknown.
        end: position of the end of the file according to the header, in bytes; None if the header does not say.
        patches: positions and bytes that replace placeholders in the header by the actual length.
    """

    missing: int = 0
    end: int | None = None
    patches: tuple[tuple[int, bytes], ...] = ()


def extent(file: BinaryIO, size: int, family: str) -> Extent:
    """Return the size that the header of a file declares.

    Only headers and the last page are read. FLAC and bare MPEG frames do not state their size in bytes: if they are
    truncated, their decoder finds out.

    Args:
        file: the file.
        size: size of the file in bytes.
        family: family of :mod:`stemclean.audio.formats`.
    """
    check = _CHECKS.get(family)
    if check is None:
        return Extent()
    file.seek(0)
    try:
        return check(file, size)
    except (struct.error, IndexError):  # the header is incomplete
        return Extent(missing=1)


def is_placeholder(length: int, bits: int = 32) -> bool:
    """Return whether a length is a placeholder for an unknown one: 0, or close to the largest possible number.

    Programs use different placeholders, signed or unsigned, with or without the size of the header (sox 0x7FFFF000,
    lame 0x7FFFFFFF, arecord 0x80000000, ffmpeg 0xFFFFFFFF).

    >>> [is_placeholder(length) for length in (0, 0x7FFFF000, 0x80000024, 0xFFFFFFFF, 1_000_000)]
    [True, True, True, True, False]
    """
    if bits == 64:
        return length == 0 or length >= 1 << 60
    return length == 0 or abs(length - (1 << 31)) <= _NEAR or length >= (1 << 32) - _NEAR


def _wav_extent(file: BinaryIO, size: int) -> Extent:
    head = file.read(12)
    if head[:4] == b"riff":
        return _wave64_extent(file, size)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64", b"RIFX"):
        return Extent()
    order = ">" if head[:4] == b"RIFX" else "<"
    (riff,) = struct.unpack(order + "I", head[4:8])
    at, ds64 = 12, None
    for _ in range(MAX_CHUNKS):
        if at + 8 > size:
            break
        file.seek(at)
        name, length = struct.unpack(order + "4sI", file.read(8))
        if name == b"ds64":
            ds64 = (at, *struct.unpack("<QQ", file.read(16)))
        if name == b"data":
            return _wav_data(at, length, riff, size, ds64, order)
        at += 8 + length + length % 2
    return Extent()


def _wav_data(at: int, length: int, riff: int, size: int, ds64: tuple[int, int, int] | None, order: str) -> Extent:
    available = size - at - 8
    if ds64 is not None and length == 0xFFFFFFFF:
        ds64_at, riff64, length = ds64
        if is_placeholder(length, 64) and available:
            return Extent(patches=((ds64_at + 8, struct.pack("<QQ", size - 8, available)),))
        return Extent(max(0, at + 8 + length - size), end=8 + riff64)
    unknown = length > available if length else available > 0 and riff not in (size - 8, size - 9)
    if is_placeholder(length) and unknown and available < 1 << 32:
        return Extent(patches=((4, struct.pack(order + "I", size - 8)), (at + 4, struct.pack(order + "I", available))))
    end = None if is_placeholder(riff) else 8 + riff + riff % 2
    return Extent(max(0, at + 8 + length - size), end=end)


def _wave64_extent(file: BinaryIO, size: int) -> Extent:
    """Read Wave64: it states the size of the whole file; the length of a chunk includes its header of 24 bytes."""
    file.seek(16)
    (declared,) = struct.unpack("<Q", file.read(8))
    at = 40
    for _ in range(MAX_CHUNKS):
        if at + 24 > size:
            break
        file.seek(at)
        name, length = struct.unpack("<16sQ", file.read(24))
        if name[:4] == b"data":
            if is_placeholder(length, 64) or (length == 24 and is_placeholder(declared, 64)):
                return Extent(patches=((16, struct.pack("<Q", size)), (at + 16, struct.pack("<Q", size - at))))
            return Extent(max(0, at + length - size), end=declared)
        if length < 24:
            break
        at += length + -length % 8
    return Extent(0 if is_placeholder(declared, 64) else max(0, declared - size))


def _aiff_extent(file: BinaryIO, size: int) -> Extent:
    (form,) = struct.unpack(">4xI4x", file.read(12))
    at, frames, frame = 12, None, 0
    for _ in range(MAX_CHUNKS):
        if at + 8 > size:
            break
        file.seek(at)
        name, length = struct.unpack(">4sI", file.read(8))
        if name == b"COMM":
            channels, count, bits = struct.unpack(">HIH", file.read(8))
            frames, frame = (at + 10, count), channels * (-(-bits // 8))
        if name == b"SSND":
            available = size - at - 8
            unknown = length > available if length else available > 8 and form not in (size - 8, size - 9)
            if _is_aiff_placeholder(length) and unknown:
                patches = [(4, struct.pack(">I", min(size - 8, 0xFFFFFFFF))), (at + 4, struct.pack(">I", available))]
                if frames and frame:
                    patches.append((frames[0], struct.pack(">I", (available - 8) // frame)))
                return Extent(patches=tuple(patches))
            return Extent(
                max(0, at + 8 + length - size), end=None if _is_aiff_placeholder(form) else 8 + form + form % 2
            )
        at += 8 + length + length % 2
    return Extent()


def _is_aiff_placeholder(length: int) -> bool:
    return is_placeholder(length) or abs(length - _AIFF_TO_PIPE) <= _NEAR


def _au_extent(file: BinaryIO, size: int) -> Extent:
    order = "<" if file.read(4) == b"dns." else ">"
    offset, length = struct.unpack(order + "II", file.read(8))
    available = size - offset
    if is_placeholder(length) and available > 0 and not 0 < length <= available:
        return Extent() if length == 0xFFFFFFFF else Extent(patches=((8, struct.pack(order + "I", available)),))
    return Extent(max(0, offset + length - size), end=offset + length)


def _caf_extent(file: BinaryIO, size: int) -> Extent:
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 12 > size:
            break
        file.seek(at)
        name, length = struct.unpack(">4sq", file.read(12))
        if name == b"caff":
            return Extent(end=at)  # another file begins
        if length < 0 or (name == b"data" and is_placeholder(length, 64)):
            return Extent()
        if name == b"data" and at + 12 + length > size:
            return Extent(missing=at + 12 + length - size)
        at += 12 + length
    return Extent()


def _tta_extent(file: BinaryIO, size: int) -> Extent:
    """Read TTA: a table of the lengths of all frames follows the header."""
    at = skip_tags(file)
    file.seek(at)
    rate, samples = struct.unpack("<10xII", file.read(18))
    num_frames = -(-samples * 245 // max(1, rate * 256))
    if num_frames > min(size // 4, 1 << 22):
        return Extent(missing=1)
    file.seek(at + 22)
    lengths = struct.unpack(f"<{num_frames}I", file.read(4 * num_frames))
    end = at + 22 + 4 * num_frames + 4 + sum(lengths)
    return Extent(max(0, end - size), end=end)


def _wavpack_extent(file: BinaryIO, size: int) -> Extent:
    """Read WavPack: a sequence of blocks; the first block of a file has the index 0."""
    at, begun = 0, False
    while at + 32 <= size:
        file.seek(at)
        name, length, index = struct.unpack("<4sI8xI", file.read(20))
        if name != b"wvpk":
            return Extent(end=at)  # tags
        if index == 0 and begun:
            return Extent(end=at)  # another file begins
        begun = begun or index > 0
        at += 8 + length
    return Extent(missing=max(0, at - size))


def _ogg_extent(file: BinaryIO, size: int) -> Extent:
    """Read Ogg: the last page must be complete and marked as the end of its stream (RFC 3533, header type 4)."""
    file.seek(max(0, size - 65307 - 65536))  # 65307: the longest page; tags may follow it
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0:
        return Extent()
    num_segments = tail[at + 26]
    end = at + 27 + num_segments + sum(tail[at + 27 : at + 27 + num_segments])
    if end > len(tail):
        return Extent(missing=end - len(tail))
    return Extent(missing=0 if tail[at + 5] & 4 else 1)


def _mp3_extent(file: BinaryIO, size: int) -> Extent:
    """Read MP3: a Xing or Info header may state the size of the MPEG stream in bytes."""
    start, header = _xing(file)
    if header is None:
        return Extent()
    (flags,) = struct.unpack(">I", header[4:8])
    at = 8 + (4 if flags & 1 else 0)
    if not flags & 2:
        return Extent()
    end = start + struct.unpack(">I", header[at : at + 4])[0]
    return Extent(max(0, end - size), end=end)


def mp3_says_length(file: BinaryIO) -> bool:
    """Return whether an MP3 file states its number of frames; if not, libsndfile guesses, and may cut off the end."""
    _, header = _xing(file)
    return header is not None and len(header) >= 8 and bool(header[7] & 1)


def mp3_says_delay(file: BinaryIO) -> bool:
    """Return whether an MP3 file states the delay of its encoder (in LAME's tag, after the Xing header)."""
    _, header = _xing(file)
    if header is None or len(header) < 144:
        return False
    (flags,) = struct.unpack(">I", header[4:8])
    at = 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    return any(header[at : at + 9]) and any(header[at + 21 : at + 24])


def _xing(file: BinaryIO) -> tuple[int, bytes | None]:
    """Return the position of the first MPEG frame, and the Xing or Info header in it."""
    start = skip_tags(file)
    file.seek(start)
    frame = file.read(512)
    at = min((index for index in (frame.find(b"Xing"), frame.find(b"Info")) if index >= 0), default=-1)
    return start, frame[at:] if 0 <= at < 256 else None


def skip_tags(file: BinaryIO, at: int = 0) -> int:
    """Return the end of the tags (ID3, APE) at a position of a file; the position itself if there are none."""
    for _ in range(100):
        file.seek(at)
        head = file.read(32)
        if len(head) >= 10 and head[:3] == b"ID3" and max(head[6:10]) < 0x80:
            at += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)
        elif len(head) == 32 and head[:8] == b"APETAGEX":
            at += 32 + (int.from_bytes(head[12:16], "little") if head[23] & 0x20 or not head[23] & 0x80 else 0)
        elif at and head[:3] == b"TAG":
            at += 128
        else:
            break
    return at


def cut_tags(file: BinaryIO, size: int) -> int:
    """Return the start of the tags (ID3v1, APE) at the end of a file; the size of the file if there are none."""
    for _ in range(4):
        file.seek(max(0, size - 128))
        tail = file.read(min(128, size))
        if len(tail) == 128 and tail[:3] == b"TAG":
            size -= 128
        elif tail[-32:-24] == b"APETAGEX":
            length, flags = int.from_bytes(tail[-20:-16], "little"), tail[-9]
            size = max(0, size - length - (32 if flags & 0x80 else 0))
        else:
            break
    return size


def _mp4_extent(file: BinaryIO, size: int) -> Extent:
    at = 0
    has_index = False
    for count in range(MAX_CHUNKS):
        if at + 8 > size:
            break
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if name == b"ftyp" and count and has_index:
            return Extent(end=at)  # another file begins
        if name == b"moov":
            has_index = True
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        if length == 0:
            return Extent()  # "up to the end of the file"
        if length < 8:
            return Extent()
        at += length
    return Extent(missing=at - size if at > size else 0 if has_index else 1)


def _matroska_extent(file: BinaryIO, size: int) -> Extent:
    """Read Matroska: an EBML header, then one Segment whose length may be unknown (all ones; RFC 8794)."""
    file.seek(4)
    header, width = _ebml_length(file)
    file.seek(4 + width + (header or 0) + 4)
    segment, _ = _ebml_length(file)
    if segment is None:
        return Extent()
    end = file.tell() + segment
    return Extent(max(0, end - size), end=end)


def _ebml_length(file: BinaryIO) -> tuple[int | None, int]:
    first = file.read(1)[0]
    if first == 0:  # lengths of more than eight bytes do not exist in EBML
        return None, 1
    width = 9 - first.bit_length()
    rest = file.read(width - 1)
    value = int.from_bytes(bytes([first & (1 << (8 - width)) - 1]) + rest, "big")
    return (None if value == (1 << 7 * width) - 1 else value), width


_CHECKS: dict[str, Callable[[BinaryIO, int], Extent]] = {
    "wav": _wav_extent,
    "aiff": _aiff_extent,
    "au": _au_extent,
    "caf": _caf_extent,
    "ogg": _ogg_extent,
    "mp3": _mp3_extent,
    "mp4": _mp4_extent,
    "matroska": _matroska_extent,
    "tta": _tta_extent,
    "wavpack": _wavpack_extent,
}
