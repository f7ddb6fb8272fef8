"""Faults of any file of bytes: flipped bits, noise, holes, cuts, blocks in the wrong place."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["HEADER", "NUMBERS", "damaged", "number_edited"]

HEADER = 256
"""Bytes at the beginning of a file in which formats keep the most important fields."""

NUMBERS = (0, 1, 2, 7, 8, 9, 16, 255, -1, -2, 1 << 15, (1 << 16) - 1, 1 << 24, (1 << 31) - 1, 1 << 31, 1 << 62)
"""Values for a header field; cut to the field's width."""

Fault = Callable[[random.Random, bytes], bytes]


def _place(rng: random.Random, data: bytes) -> int:
    """Somewhere in the file, in the header as often as not."""
    return rng.randrange(min(len(data), HEADER) if rng.random() < 0.5 else len(data))


def _length(rng: random.Random, data: bytes) -> int:
    """Short or long, with no length much likelier than another of the same magnitude."""
    return min(len(data), int(2 ** rng.uniform(0, 14)))


def bits_flipped(rng: random.Random, data: bytes) -> bytes:
    """1 to 64 bits."""
    out = bytearray(data)
    for _ in range(int(2 ** rng.uniform(0, 6))):
        out[_place(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(out)


def noise(rng: random.Random, data: bytes) -> bytes:
    """Overwrite a span with noise, zeros or ones."""
    at, length = _place(rng, data), _length(rng, data)
    what = rng.choice([rng.randbytes(length), bytes(length), b"\xff" * length])
    return data[:at] + what[: len(data) - at] + data[at + length :]


def truncated(rng: random.Random, data: bytes) -> bytes:
    """Remove the end; sometimes all but the header, or everything."""
    draw = rng.random()
    if draw < 0.05:
        return b""
    return data[: _place(rng, data)] if draw < 0.4 else data[: rng.randrange(len(data))]


def beheaded(rng: random.Random, data: bytes) -> bytes:
    """Remove the beginning."""
    return data[_place(rng, data) :]


def cut_out(rng: random.Random, data: bytes) -> bytes:
    """Remove a span."""
    at = _place(rng, data)
    return data[:at] + data[at + _length(rng, data) :]


def doubled(rng: random.Random, data: bytes) -> bytes:
    """Repeat a span once or more often."""
    at, length = _place(rng, data), _length(rng, data)
    return data[:at] + data[at : at + length] * rng.choice((2, 2, 3, 50)) + data[at + length :]


def moved(rng: random.Random, data: bytes) -> bytes:
    """Move a span."""
    at, length = _place(rng, data), _length(rng, data)
    block, rest = data[at : at + length], data[:at] + data[at + length :]
    to = rng.randrange(len(rest) + 1)
    return rest[:to] + block + rest[to:]


def inserted(rng: random.Random, data: bytes) -> bytes:
    """Insert noise."""
    at = _place(rng, data)
    return data[:at] + rng.randbytes(_length(rng, data)) + data[at:]


def padded(rng: random.Random, data: bytes) -> bytes:
    """Zeros or noise before or behind."""
    more = rng.choice([bytes, rng.randbytes])(int(2 ** rng.uniform(0, 16)))
    return more + data if rng.random() < 0.3 else data + more


def number_edited(rng: random.Random, data: bytes, at: int | None = None) -> bytes:
    """Change a field of 1, 2, 4 or 8 bytes, little- or big-endian."""
    width = rng.choice((1, 2, 2, 4, 4, 4, 8))
    at = _place(rng, data) if at is None else at
    number = rng.choice(NUMBERS) & ((1 << 8 * width) - 1)
    field = number.to_bytes(width, rng.choice(("little", "big")))
    return data[:at] + field[: len(data) - at] + data[at + width :]


FAULTS: tuple[Fault, ...] = (
    bits_flipped, bits_flipped, noise, truncated, truncated, beheaded, cut_out, doubled, moved, inserted, padded,
    number_edited, number_edited,
)  # fmt: skip
"""Faults; those listed twice are twice as likely."""


def damaged(rng: random.Random, data: bytes, faults: tuple[Fault, ...] = FAULTS) -> tuple[bytes, list[str]]:
    """One to three faults, and their names."""
    names = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not data:
            break
        fault = rng.choice(faults)
        data = fault(rng, data)
        names.append(fault.__name__)
    return data, names
