"""Faults specific to audio files: sizes and counts in headers, tags, pages with valid checksums, nested boxes."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable

from benchmarks.robustness import byte_faults

__all__ = ["damaged", "with_checksum"]

_WORDS = re.compile(
    rb"fmt |data|fact|LIST|ds64|RIFF|RF64|WAVE|COMM|SSND|FORM|AIFC|fLaC|OggS|\x01vorbis|OpusHead|OpusTags|"
    rb"caff|desc|pakt|\.snd|moov|trak|mdia|minf|stbl|stsd|stts|stsc|stsz|stco|mdhd|mvhd|tkhd|mp4a|esds|alac|udta|meta|ilst|stem|"
    rb"Xing|Info|LAME|ID3|wvpk|TTA1|\x1aE\xdf\xa3|\x18S\x80g|\x16T\xaek|\x1fC\xb6u|\xff\xfb|\xff\xf1|\x0bw"
)
"""Signatures of chunks, boxes, pages and frames; the important numbers are next to them."""

_TITLES = (b"drums\x1b[31m", b"\xff\xfe\xfd not UTF-8", b"a\0b", b"two\nlines", b"x" * 70_000, b"\xed\xa0\x80", b"")


def _field(rng: random.Random, data: bytes) -> bytes:
    """Change a number next to a signature."""
    places = [match.start() for match in _WORDS.finditer(data, 0, 1 << 16)] or [0]
    at = rng.choice(places) + rng.choice((-8, -4, 4, 4, 4, 6, 8, 8, 10, 12, 16, 20, 22, 24, 28))
    return byte_faults.number_edited(rng, data, min(max(0, at), len(data) - 1))


def _synchsafe(number: int) -> bytes:
    return bytes((number >> shift) & 0x7F for shift in (21, 14, 7, 0))


def _id3(rng: random.Random, data: bytes) -> bytes:
    """Add a tag before the sound, whose sizes may be wrong."""
    title = rng.choice(_TITLES)
    frame = b"TIT2" + struct.pack(">I", len(title) + 1) + b"\0\0" + rng.choice((b"\0", b"\1", b"\3")) + title
    size = len(frame) if rng.random() < 0.7 else rng.choice((0, 1, 10_000, (1 << 28) - 1))
    return b"ID3" + bytes((rng.choice((2, 3, 4)), 0, rng.choice((0, 0, 0x10, 0x80)))) + _synchsafe(size) + frame + data


def _tag_behind(rng: random.Random, data: bytes) -> bytes:
    """ID3v1 or APEv2 at the end."""
    if rng.random() < 0.5:
        return data + b"TAG" + rng.choice(_TITLES)[:125].ljust(125, b"\0")
    item = struct.pack("<II", 5, 0) + b"Title\0" + b"drums"
    head = struct.pack("<8sIIII8x", b"APETAGEX", 2000, rng.choice((len(item) + 32, 0, 1 << 31)), 1, 0)
    return data + item + head


def _list_chunk(rng: random.Random, data: bytes) -> bytes:
    """Add a RIFF chunk of text before the others."""
    text = rng.choice(_TITLES)
    chunk = b"LIST" + struct.pack("<I", 12 + len(text)) + b"INFOINAM" + struct.pack("<I", len(text)) + text
    return data[:12] + chunk * rng.choice((1, 1, 300)) + data[12:]


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", (8 + len(content)) & 0xFFFFFFFF) + name + content


def _deep_boxes(rng: random.Random, data: bytes) -> bytes:
    """Add deeply nested boxes of MP4, Matroska or RIFF."""
    content, depth = b"", rng.choice((10, 200, 2000))
    draw = rng.randrange(3)
    for _ in range(depth):
        if draw == 0:
            content = _box(rng.choice((b"moov", b"udta", b"trak", b"meta")), content)
        elif draw == 1:
            content = b"\x18S\x80g" + struct.pack(">Q", (1 << 56) | len(content)) + content
        else:
            content = b"LIST" + struct.pack("<I", len(content) + 4) + b"adtl" + content
    at = rng.choice((0, 12, len(data)))
    return data[:at] + content + data[at:]


def _stem_titles(rng: random.Random, data: bytes) -> bytes:
    """Add a malformed stem box of Native Instruments."""
    text = rng.choice((
        b'{"stems": [' * 3000, b"[" * 100_000, b'{"stems": 5}', b'{"stems": [{"name": "\\ud800"}]}',
        b"null", b"\xff\xfe",
        b'{"stems": [{"name": "drums\\u001b[31m"}, {"name": 7}, 3]}', b'{"version": 1, "stems": []}',
    ))  # fmt: skip
    at = data.rfind(b"moov")
    if at < 4:
        return data + _box(b"moov", _box(b"udta", _box(b"stem", text)))
    (length,) = struct.unpack(">I", data[at - 4 : at])
    added = _box(b"udta", _box(b"stem", text))
    return (
        data[: at - 4]
        + struct.pack(">I", (length + len(added)) & 0xFFFFFFFF)
        + data[at : at - 4 + length]
        + added
        + data[at - 4 + length :]
    )


def _ogg_crc_table() -> list[int]:
    table = []
    for index in range(256):
        value = index << 24
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


_CRC = _ogg_crc_table()


def _ogg_page(rng: random.Random, data: bytes) -> bytes:
    """Something in a page of Ogg is another, and the checksum is right again, so that decoders believe it."""
    pages = [match.start() for match in re.finditer(b"OggS", data)]
    if not pages:
        return _field(rng, data)
    at = rng.choice(pages[:4])
    end = min([page for page in pages if page > at] or [len(data)])
    page = bytearray(data[at:end])
    for _ in range(rng.choice((1, 2, 8))):
        page[rng.randrange(4, len(page))] = rng.choice((0, 1, 255, rng.randrange(256)))
    return data[:at] + with_checksum(bytes(page)) + data[end:]


def with_checksum(page: bytes) -> bytes:
    """Return an Ogg page with the checksum of its content (RFC 3533, section 6)."""
    crc = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ _CRC[(crc >> 24) ^ byte]
    return page[:22] + struct.pack("<I", crc) + page[26:]


FAULTS: tuple[byte_faults.Fault, ...] = (
    *byte_faults.FAULTS, *[_field] * 8, _id3, _id3, _tag_behind, _list_chunk, _deep_boxes, _stem_titles,
    _ogg_page, _ogg_page,
)  # fmt: skip


def damaged(rng: random.Random, data: bytes, other: Callable[[], bytes]) -> tuple[bytes, list[str]]:
    """One to three faults, and their names.

    Args:
        other: another whole file, which may stand behind this one or in its middle.
    """
    draw = rng.random()
    if draw < 0.05:
        return data + other(), ["concatenated"]
    if draw < 0.08:
        at, more = rng.randrange(len(data)), other()
        return data[:at] + more[rng.randrange(len(more)) :] + data[at:], ["spliced"]
    return byte_faults.damaged(rng, data, FAULTS)
