"""Files that say what is sung when, in the shapes of the datasets that have them: read and written, one file a format.

The file name is the registry: each module of this package that defines ``FORMAT`` is a format and is called like its
file (``mir1k.py`` -> ``"mir1k"``). Which one a file has is told from what stands in it, not from its ending; what two
formats share (a number a line) is told apart by the sound's length. Every number is checked for its unit: MIDI notes
read as Hz would sing three octaves too low.
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
"""More than a day of frames every 2.9 ms; what is larger is no label."""


@cache
def formats() -> dict[str, Format]:
    """Every format by name, in alphabetical order."""
    import stemclean.layouts.f0_labels as package

    found: dict[str, Format] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        known = getattr(importlib.import_module(f"{package.__name__}.{info.name}"), "FORMAT", None)
        if isinstance(known, Format):
            found[info.name] = known
    return found


def named(name: str) -> Format:
    """The format of that name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return formats()[name]
    except KeyError:
        raise ConfigError(f'no format of f0 is called "{name}"', f"known: {', '.join(formats())}") from None


def read(path: str | Path, format: str | None = None, *, beside: Beside | None = None) -> F0Track:  # noqa: A002
    """What a file says is sung.

    Args:
        path: the file.
        format: its name; None: told from what stands in the file.
        beside: what is known of the sound that the file speaks of.

    Raises:
        LabelError: no such file, none of the formats, a broken line, or numbers that are in another unit.
        ConfigError: no format of that name.
    """
    path = Path(path)
    text = _text(path)
    beside = beside or Beside()
    known = named(format) if format else _sniffed(path, text, beside)
    try:
        return known.read(text, beside)
    except LabelError as error:
        raise LabelError(path, error.reason, error.detail, error.hint) from None


def sniff(path: str | Path, *, beside: Beside | None = None) -> str:
    """The name of a file's format.

    Raises:
        LabelError: no such file, or none of the formats.
    """
    path = Path(path)
    return _sniffed(path, _text(path), beside or Beside()).name


def write(track: F0Track, path: str | Path, format: str = "stemclean") -> Path:  # noqa: A002
    """Write what is sung; the file appears whole or not at all.

    What a format cannot say is lost: formats with a fixed hop have the track resampled, all but ``stemclean`` leave the
    confidence out, and ``mir_st500`` knows whole notes only.

    Raises:
        ConfigError: no format of that name.
    """
    path = Path(path)
    text = named(format).write(track, path.stem)
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())
    return path


def _sniffed(path: Path, text: str, beside: Beside) -> Format:
    for known in sorted(formats().values(), key=lambda known: known.priority):
        if known.can_read(text, beside):
            return known
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
