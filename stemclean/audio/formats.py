"""What a file's ending promises and what its bytes hold: formats in families, and whether the file is whole.

A *family* is a set of endings that people use for the same thing (``.ogg``, ``.oga`` and ``.opus``; ``.m4a`` and
``.mp4``). A file whose content is of another family than its ending is refused as ``wrong_extension``, since
half of the tools downstream trust the ending.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["ENDINGS", "content_family", "ending_family", "family_of", "missing_bytes", "mp3_says_length"]

_FAMILIES: dict[str, tuple[str, ...]] = {
    "wav": ("wav", "wave", "bwf", "rf64", "w64"),
    "aiff": ("aif", "aiff", "aifc"),
    "flac": ("flac",),
    "ogg": ("ogg", "oga", "opus"),
    "mp3": ("mp3",),
    "au": ("au", "snd"),
    "caf": ("caf",),
    "mp4": ("m4a", "mp4", "m4b", "mov", "aac"),
    "matroska": ("webm", "mka", "mkv"),
    "wma": ("wma", "asf"),
    "wavpack": ("wv",),
    "ape": ("ape",),
}

ENDINGS = frozenset(f".{ending}" for endings in _FAMILIES.values() for ending in endings)
"""Endings (lower case, with the dot) that a folder scan looks at; everything else is no audio and is passed over."""

_DECODER_NAMES: dict[str, str] = {
    # libsndfile's names, in lower case
    "wav": "wav", "wavex": "wav", "rf64": "wav", "w64": "wav", "nist": "wav",
    "aiff": "aiff", "flac": "flac", "ogg": "ogg", "mp3": "mp3", "mpeg": "mp3", "au": "au", "caf": "caf",
    # FFmpeg's names; one demuxer may have several, with commas between
    "mov": "mp4", "mp4": "mp4", "m4a": "mp4", "aac": "mp4", "matroska": "matroska", "webm": "matroska",
    "asf": "wma", "wv": "wavpack", "ape": "ape",
}  # fmt: skip


MAX_CHUNKS = 10_000
"""Chunks of a file that are looked through; a gigabyte of zeros is no reason to wait."""


def ending_family(path: Path) -> str | None:
    """The family that a file's ending promises; None for an ending that is not audio's."""
    ending = path.suffix.lower().removeprefix(".")
    return next((family for family, endings in _FAMILIES.items() if ending in endings), None)


def family_of(decoder_name: str) -> str:
    """The family of a format as libsndfile or FFmpeg calls it; the name itself where it is in none.

    >>> family_of("WAVEX"), family_of("mov,mp4,m4a,3gp,3g2,mj2"), family_of("VOC")
    ('wav', 'mp4', 'voc')
    """
    first = decoder_name.lower().split(",")[0]
    return _DECODER_NAMES.get(first, first)


def content_family(head: bytes) -> str | None:
    """What the first bytes of a file say: a family, ``"text"``, or None where they say nothing.

    Bare MPEG and AAC frames have no signature worth the name: ``"frames"`` where the bytes could be some (an ID3 tag
    or a sync word), and the decoder must tell.
    """
    signatures: tuple[tuple[bool, str], ...] = (
        (head[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX") and head[8:12] == b"WAVE", "wav"),
        (head[:4] == b"riff" and head[4:8] == b"\x2e\x91\xcf\x11", "wav"),
        (head[:7] == b"NIST_1A", "wav"),
        (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), "aiff"),
        (head[:4] == b"fLaC", "flac"),
        (head[:4] == b"OggS", "ogg"),
        (head[:4] in (b".snd", b"dns."), "au"),
        (head[:4] == b"caff", "caf"),
        (head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"), "mp4"),
        (head[:4] == b"\x1aE\xdf\xa3", "matroska"),
        (head[:4] == b"0&\xb2u", "wma"),
        (head[:4] == b"wvpk", "wavpack"),
        (head[:4] == b"MAC ", "ape"),
    )
    for matches, family in signatures:
        if matches:
            return family
    if _is_text(head):
        return "text"
    frames = head.lstrip(b"\0")
    return "frames" if frames[:3] == b"ID3" or (frames[:1] == b"\xff" and frames[1:2] >= b"\xe0") else None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # else: a character cut at the end of what was read
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)


def missing_bytes(path: Path, family: str) -> int:
    """How many bytes a file lacks of what its own header says; 0 where it is whole or cannot be told.

    Looks at headers and at the last page only, whatever the file's length. FLAC and bare MPEG frames do not
    say their size in bytes: for them the decoder meets the cut.
    """
    check = _CHECKS.get(family)
    if check is None:
        return 0
    size = path.stat().st_size
    with open(path, "rb") as file:
        try:
            return max(0, check(file, size))
        except (struct.error, IndexError):  # a header cut in two
            return 1


def _wav_missing(file: BinaryIO, size: int) -> int:
    head = file.read(24)
    if head[:4] == b"riff":
        return int(struct.unpack("<Q", head[16:])[0] - size)  # Wave64 says the size of the whole file
    if head[:4] not in (b"RIFF", b"RF64", b"BW64"):
        return 0
    data_in_ds64: int | None = None
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > size:
            break
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"ds64":
            _, data_in_ds64 = struct.unpack("<QQ", file.read(16))
        if name == b"data":
            if length == 0xFFFFFFFF:
                if data_in_ds64 is None:
                    return 0  # written to a pipe: the length was never known
                length = data_in_ds64
            return int(at + 8 + length - size)
        at += 8 + length + length % 2
    return 0


def _aiff_missing(file: BinaryIO, size: int) -> int:
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > size:
            break
        file.seek(at)
        name, length = struct.unpack(">4sI", file.read(8))
        if name == b"SSND":
            return int(at + 8 + length - size)
        at += 8 + length + length % 2
    return 0


def _au_missing(file: BinaryIO, size: int) -> int:
    offset, length = struct.unpack(">4xII", file.read(12))
    return 0 if length == 0xFFFFFFFF else int(offset + length - size)


def _caf_missing(file: BinaryIO, size: int) -> int:
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 12 > size:
            break
        file.seek(at)
        name, length = struct.unpack(">4sq", file.read(12))
        if name == b"data" or length < 0:
            return 0 if length < 0 else int(at + 12 + length - size)
        at += 12 + length
    return 0


def _ogg_missing(file: BinaryIO, size: int) -> int:
    """The last page must be whole and marked as the end of its stream (RFC 3533, header type 4)."""
    file.seek(max(0, size - 65307 - 65536))  # 65307: the longest page; tags may follow it
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0:
        return 0
    num_segments = tail[at + 26]
    end = at + 27 + num_segments + sum(tail[at + 27 : at + 27 + num_segments])
    if end > len(tail):
        return end - len(tail)
    return 0 if tail[at + 5] & 4 else 1


def _mp3_missing(file: BinaryIO, size: int) -> int:
    """A Xing or Info header may hold the number of bytes of the MPEG stream; without one nothing is known."""
    start, header = _xing(file)
    if header is None:
        return 0
    (flags,) = struct.unpack(">I", header[4:8])
    at = 8 + (4 if flags & 1 else 0)
    return int(start + struct.unpack(">I", header[at : at + 4])[0] - size) if flags & 2 else 0


def mp3_says_length(path: Path) -> bool:
    """Whether an MP3 file holds its number of frames; else libsndfile guesses, and cuts off what it did not guess."""
    with open(path, "rb") as file:
        _, header = _xing(file)
    return header is not None and len(header) >= 8 and bool(header[7] & 1)


def _xing(file: BinaryIO) -> tuple[int, bytes | None]:
    """Where the first MPEG frame starts, and the Xing or Info header in it."""
    start = _id3_length(file)
    file.seek(start)
    frame = file.read(256)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    return start, frame[at:] if at >= 0 else None


def _id3_length(file: BinaryIO) -> int:
    """Bytes that an ID3v2 tag takes at the start of a file; 0 without one."""
    file.seek(0)
    head = file.read(10)
    if len(head) < 10 or head[:3] != b"ID3":
        return 0
    length = 0
    for byte in head[6:10]:
        length = length << 7 | byte & 0x7F
    return length + 10 + (10 if head[5] & 0x10 else 0)


def _mp4_missing(file: BinaryIO, size: int) -> int:
    at = 0
    has_index = False
    for _ in range(MAX_CHUNKS):
        if at + 8 > size:
            break
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if name == b"moov":
            has_index = True
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        if length == 0:
            return 0  # "up to the end of the file"
        if length < 8:
            return 0
        at += length
    return int(at - size) if at > size or has_index else 1


def _matroska_missing(file: BinaryIO, size: int) -> int:
    """EBML header, then one Segment whose length may be unknown (all ones; RFC 8794)."""
    file.seek(4)
    header, width = _ebml_length(file)
    file.seek(4 + width + (header or 0) + 4)
    segment, width = _ebml_length(file)
    return 0 if segment is None else file.tell() + segment - size


def _ebml_length(file: BinaryIO) -> tuple[int | None, int]:
    first = file.read(1)[0]
    width = 9 - first.bit_length()
    rest = file.read(width - 1)
    value = int.from_bytes(bytes([first & (1 << (8 - width)) - 1]) + rest, "big")
    return (None if value == (1 << 7 * width) - 1 else value), width


_CHECKS: dict[str, Callable[[BinaryIO, int], int]] = {
    "wav": _wav_missing,
    "aiff": _aiff_missing,
    "au": _au_missing,
    "caf": _caf_missing,
    "ogg": _ogg_missing,
    "mp3": _mp3_missing,
    "mp4": _mp4_missing,
    "matroska": _matroska_missing,
}
