"""Faults of documents: other values in JSON and TOML, other cells in tables, and text in the wrong encoding."""

from __future__ import annotations

import codecs
import copy
import gzip
import json
import random
import re
from collections.abc import Callable
from typing import Any

from benchmarks.robustness import byte_faults

__all__ = [
    "HOSTILE",
    "JSON_VALUES",
    "json_text",
    "json_with_faults",
    "table_with_faults",
    "text_damaged",
    "toml_with_faults",
]

HOSTILE = (
    "", " ", "\0", "a\0b", "\x1b[31mred\x1b[0m", "two\nerror: a forged line", "\r\x1b[2K", "\u202egpj", "\ud800", "é",
    "e\u0301", "🥁", "a" * 5000, "../../../etc/passwd", "..", ".", "/dev/zero", "/etc/passwd", "/", "C:\\stems\\a.wav",
    "\\\\server\\a.wav", "~/a.wav", "a//b", "./a", "%s%n", "{0.__class__}", "$HOME", "-o", "NaN", "nan", "inf", "null",
    "1e999", "0x10", "１", "vocals", "VOCALS ", "mixture", "train", "bundled:nothing", "hub:a/b", "file:///etc/passwd",
)  # fmt: skip
"""Text that is known to cause problems in programs."""

JSON_VALUES = (
    "null", "true", "false", "0", "-0.0", "1", "-1", "0.5", "2147483648", "9223372036854775808", "1e308", "-1e308",
    "1e400", "NaN", "-Infinity", "1" + "0" * 400, "9" * 5000, "1e-400", "[]", "{}", "[[]]", "[null]", '{"a": 1}',
    "[[0, 1], [0.5, 2]]",
    "[" * 500 + "]" * 500, "[" * 50_000 + "]" * 50_000, '{"a":' * 3000 + "1" + "}" * 3000, '"\\ud800"', '"\\u0000"',
    "[" + "0," * 5000 + "0]",
)  # fmt: skip
"""Values as they stand in a file; Python's parser does not take all of them."""

_MARK = "mark of a raw value "


class _Raw(str):
    """Text that is written into JSON as it is."""

    __slots__ = ()


def json_text(document: Any, **options: Any) -> str:
    """Return a document as text, including its raw values."""
    raw: list[str] = []

    def marked(value: Any) -> Any:
        if isinstance(value, _Raw):
            raw.append(value)
            return f"{_MARK}{len(raw) - 1}"
        if isinstance(value, dict):
            return {key: marked(item) for key, item in value.items()}
        return [marked(item) for item in value] if isinstance(value, list) else value

    text = json.dumps(marked(document), **options)
    return re.sub(rf'"{_MARK}(\d+)"', lambda found: raw[int(found[1])], text)


def _value(rng: random.Random) -> Any:
    return _Raw(rng.choice(JSON_VALUES)) if rng.random() < 0.6 else rng.choice(HOSTILE)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every container with each of its keys."""
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return []
    return [location for key, item in items for location in ((value, key), *_places(item))]


def _nudged(rng: random.Random, value: Any) -> Any:
    """Return a value close to the given one."""
    if isinstance(value, bool) or value is None:
        return rng.choice([not value, 0, "true"])
    if isinstance(value, int | float):
        return rng.choice([-value, value + 1, value - 1, value * 1e9, value * 1e-9, str(value), float(value), [value]])
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        more = rng.choice(HOSTILE)
        return rng.choice([value[:at], value[:at] + more + value[at:], value.upper(), [value], value + "/../" + value])
    if isinstance(value, list):
        return rng.choice([value[::-1], value * 2, value[:-1], [*value, None], dict(enumerate(map(str, value)))])
    return rng.choice([list(value), {}, {**value, rng.choice(HOSTILE): _value(rng)}])


def _edit(rng: random.Random, document: Any) -> None:
    """One change of a document, in place."""
    places = _places(document)
    if not places:
        return
    container, key = rng.choice(places)
    draw = rng.randrange(6)
    if draw == 0:
        del container[key]
    elif draw == 1:
        container[key] = _nudged(rng, container[key])
    elif draw == 2:
        other, there = rng.choice(places)
        container[key] = copy.deepcopy(other[there])
    elif draw == 3 and isinstance(container, dict):
        container[rng.choice(HOSTILE)] = container.pop(key)
    elif draw == 3:
        container.insert(key, copy.deepcopy(container[key]))
    else:
        container[key] = _value(rng)


def json_with_faults(rng: random.Random, document: Any) -> Any:
    """Return a copy with one to four changed values, some of them raw; for :func:`json_text`."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _edit(rng, document)
    return document


def table_with_faults(rng: random.Random, rows: list[list[str]], delimiter: str) -> str:
    """Return a table as text, with one to four faults in cells, rows and quotes."""
    rows = [list(row) for row in rows]
    end = rng.choice(("\n", "\n", "\r\n", "\r"))
    for _ in range(rng.choice((1, 1, 2, 4))):
        row = rng.choice(rows)
        at = rng.randrange(len(row)) if row else 0
        draw = rng.randrange(9)
        if draw == 0 and row:
            row[at] = rng.choice(HOSTILE)
        elif draw == 1 and row:
            row[at] = rng.choice(['"', '"open', 'a"b', '""', '"' + row[at], row[at] + delimiter, "x" * 140_000, "'"])
        elif draw == 2 and row:
            del row[at]
        elif draw == 3:
            row.insert(at, rng.choice(HOSTILE))
        elif draw == 4:
            rows.insert(rng.randrange(len(rows) + 1), list(row))
        elif draw == 5:
            rows.remove(row)
        elif draw == 6:
            row[:] = [delimiter.join(map(str, row))] if rng.random() < 0.5 else []
        elif draw == 7 and row:
            row[at] = _nudged(rng, row[at]) if rng.random() < 0.5 else str(rng.choice(byte_faults.NUMBERS))
        else:
            rng.shuffle(rows)
        rows = rows or [[]]
    return end.join(delimiter.join(map(str, row)) for row in rows) + (end if rng.random() < 0.8 else "")


_TOML_VALUES = (
    "nan", "inf", "-inf", "1e400", "0", "-1", "1", "0.5", "9223372036854775808", "1" + "0" * 5000, "true", "false",
    "[]", "{}",
    "[[]]", "[1, 'a']", "1979-05-27T07:32:00Z", "07:32:00", "0x7fffffffffffffff", "'''", '"""a"""', "{a = {b = 1}}",
    "[" * 2000 + "]" * 2000, "{a=" * 300 + "1" + "}" * 300, "",
)  # fmt: skip


def toml_with_faults(rng: random.Random, text: str) -> str:
    """Return a recipe with one to four changed lines."""
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        settings = [number for number, line in enumerate(lines) if "=" in line and not line.startswith("#")]
        at = rng.choice(settings) if settings and rng.random() < 0.8 else rng.randrange(len(lines) + 1)
        draw = rng.randrange(7)
        if at < len(lines) and draw <= 3 and "=" in lines[at]:
            value = rng.choice(_TOML_VALUES) if rng.random() < 0.7 else json.dumps(rng.choice(HOSTILE))
            lines[at] = f"{lines[at].partition('=')[0]}= {value}"
        elif at < len(lines) and draw == 4:
            del lines[at]
        elif at < len(lines) and draw == 5:
            lines.insert(rng.randrange(len(lines)), lines[at])
        else:
            lines.insert(
                at, rng.choice(("[loop]", "[[loop]]", "[a.b.c]", "unknown = 1", "loop.x.y = 1", "kind = 1", "= 1", "["))
            )
    return "\n".join(lines) + "\n"


def _encoded(rng: random.Random, data: bytes) -> bytes:
    """Return the text as another program may have saved it."""
    text = ("é" if rng.random() < 0.5 else "") + data.decode("utf-8", "replace")
    encoding = rng.choice(("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7"))
    return text.encode(encoding, "replace")


def _nested(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((b"[", b'{"a":', b"(", b'"')) * rng.choice((100, 3000, 100_000)) + data[at:]


def _sprinkled(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return (
        data[:at]
        + rng.choice((b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[2J", b"\n", b'"', b",", b"\\", b"\x1a"))
        + data[at:]
    )


def _line_ends(rng: random.Random, data: bytes) -> bytes:
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"", b"\n\n", b"\x0b", b"\xe2\x80\xa8")))


def _compressed(rng: random.Random, data: bytes) -> bytes:
    packed = gzip.compress(data, mtime=0)
    return rng.choice((packed, packed[: len(packed) // 2], packed + b"more", packed * 2))


def _other_content(rng: random.Random, _: bytes) -> bytes:
    return rng.choice(
        (b"", b"\n", codecs.BOM_UTF8, b"null", b"[]", b"{}", b"0", b'"a"', b"<html>", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4")
    )


FAULTS: tuple[byte_faults.Fault, ...] = (
    *byte_faults.FAULTS, _encoded, _encoded, _nested, _sprinkled, _sprinkled, _line_ends, _compressed, _other_content,
)  # fmt: skip


def text_damaged(
    rng: random.Random, data: bytes, faults: tuple[Callable[..., bytes], ...] = FAULTS
) -> tuple[bytes, list[str]]:
    """Damage text, as :func:`benchmarks.robustness.byte_faults.damaged` does, with faults specific to text."""
    return byte_faults.damaged(rng, data, faults)
