"""Read and write f0 files in the formats of common datasets, one format per module.

The folder is the registry: each module of this package that defines ``FORMAT`` is a format with the name of its file
(``mir1k.py`` -> ``"mir1k"``). The format of a file is detected from its content, not from its extension; formats with
the same structure (one number per line) are distinguished by the length of the audio. The unit of all numbers is
checked, because MIDI notes read as Hz would be three octaves too low.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from stemclean.audio.f0 import F0Track
from stemclean.disk import replacing
from stemclean.errors import ConfigError, LabelError, SkipReason
from stemclean.layouts.f0_labels.base import Beside, Format, plain_table

__all__ = ["Beside", "Format", "formats", "named", "read", "sniff", "write"]

MAX_BYTES = 200_000_000
"""Maximum size of an f0 file in bytes: more than a day of frames every 2.9 ms."""


@cache
def formats() -> dict[str, Format]:
    """Return all formats by name, in alphabetical order."""
    import stemclean.layouts.f0_labels as package

    by_name: dict[str, Format] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        candidate = getattr(importlib.import_module(f"{package.__name__}.{info.name}"), "FORMAT", None)
        if isinstance(candidate, Format):
            by_name[info.name] = candidate
    return by_name


def named(name: str) -> Format:
    """Return the format with a name.

    Raises:
        ConfigError: there is no such format.
    """
    try:
        return formats()[name]
    except KeyError:
        raise ConfigError(f'no format of f0 is called "{name}"', f"known: {', '.join(formats())}") from None


def read(path: str | Path, format: str | None = None, *, beside: Beside | None = None) -> F0Track:  # noqa: A002
    """Read an f0 file.

    Args:
        path: the file.
        format: name of its format; None: detect it from the content.
        beside: properties of the audio that the file belongs to.

    Raises:
        LabelError: the file does not exist, has no known format or a broken line, or its numbers have another unit.
        ConfigError: there is no format of that name.
    """
    path = Path(path)
    text = _text(path)
    beside = beside or Beside()
    reader = named(format) if format else _sniffed(path, text, beside)
    try:
        return reader.read(text, beside)
    except LabelError as error:
        raise LabelError(path, error.reason, error.detail, error.hint) from None


def sniff(path: str | Path, *, beside: Beside | None = None) -> str:
    """Return the name of the format of a file.

    Raises:
        LabelError: the file does not exist, or has no known format.
    """
    path = Path(path)
    return _sniffed(path, _text(path), beside or Beside()).name


def write(track: F0Track, path: str | Path, format: str = "stemclean") -> Path:  # noqa: A002
    """Write an f0 file atomically.

    Formats cannot represent everything: the track is resampled for formats with a fixed hop, only ``stemclean`` has
    confidences, and ``mir_st500`` has only whole notes.

    Raises:
        ConfigError: there is no format of that name.
    """
    path = Path(path)
    text = named(format).write(track, path.stem)
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())
    return path


def _sniffed(path: Path, text: str, beside: Beside) -> Format:
    for candidate in sorted(formats().values(), key=lambda candidate: candidate.priority):
        if candidate.can_read(text, beside):
            return candidate
    if not text.strip():
        raise LabelError(path, SkipReason.F0_UNREADABLE, "the file is empty")
    first = text.strip().splitlines()[0][:60]
    raise LabelError(path, SkipReason.F0_UNREADABLE, f'no known format of f0 begins with "{first}"', _KNOWN)


_KNOWN = "write two columns, seconds and Hz (0 where nothing is sung), with a comma between"


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LabelError(path, SkipReason.F0_UNREADABLE, "too large for a label of f0")
        return plain_table(path.read_text(encoding="utf-8-sig"))
    except LabelError as error:
        raise LabelError(path, error.reason, error.detail, error.hint) from None
    except UnicodeDecodeError:
        raise LabelError(path, SkipReason.F0_UNREADABLE, "no UTF-8 text", _KNOWN) from None
    except OSError as error:
        raise LabelError(path, SkipReason.F0_UNREADABLE, error.strerror or str(error)) from None
