"""A list of files with the columns ``instrum,path``, as used to train separators; the files may be anywhere.

The header names the columns: ``instrum`` (or instrument, label, labels, class, stem) and ``path`` (or file, filename,
audio); optionally ``track`` (or song) and ``split``. The delimiter is a comma, a semicolon, a tab or a vertical bar.
Relative paths are relative to the folder of the list, or else to the working directory. Backslashes are read as slashes
if there is no such file, and accents may have either Unicode form (NFC, NFD). Broken lines are refused with their
numbers, also those with an unclosed quote: a cell must not span several lines.
"""

from __future__ import annotations

import codecs
import csv
import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from stemclean.errors import ConfigError, SkipReason
from stemclean.labels import Profile
from stemclean.layouts.accents import otherwise_written
from stemclean.layouts.base import SPLITS, Found
from stemclean.layouts.naming import unclear

_COLUMNS = {
    "label": ("instrum", "instrument", "label", "labels", "class", "stem"),
    "path": ("path", "file", "filename", "file_path", "audio"),
    "track": ("track", "song"),
    "split": ("split", "subset"),
}


class CsvList:
    """See the module."""

    name = "csv_list"
    priority = 10
    any_folder = False

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Return whether the path is a file with the extension .csv or .tsv."""
        return path.is_file() and path.suffix.lower() in (".csv", ".tsv")

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """Yield the files line by line; a file on several lines is found once, and its other lines are refused.

        Raises:
            ConfigError: the file is not text, a column for the class or the path is missing, no line follows the
                header, a line is broken, or a split is unknown.
        """
        rows = list(_rows(path))
        if not rows:
            raise ConfigError(f"{path}: the list names no file", "below the header, write a line for each: drums,a.wav")
        by_file: dict[Path, list[_Row]] = {}
        for row in rows:
            by_file.setdefault(Path(os.path.realpath(row.file)), []).append(row)
        for same in by_file.values():
            first = _found_file(same[0], profile)
            conflict = next((row for row in same if row.content(profile) != same[0].content(profile)), None)
            if conflict is None:
                yield first
                yield from (replace(_found_file(row, profile), refused=_repeated(row, same[0])) for row in same[1:])
            else:
                claims = " and ".join(f"{row.line} says {row.readable()}" for row in (same[0], conflict))
                yield replace(first, label=None, reading=None, refused=(SkipReason.CONFLICTING_ROWS, claims))


@dataclass(frozen=True)
class _Row:
    """A line of a list below its header."""

    line: str
    file: Path
    cells: Mapping[str, str]
    split: Literal["train", "validation", "test"] | None

    def content(self, profile: Profile) -> tuple[str, str, str | None]:
        """Return the class, the track and the split of its file."""
        cell = self.cells["label"]
        return profile.find(cell) or cell, self.cells.get("track", ""), self.split

    def readable(self) -> str:
        """Return the class, the track and the split as text."""
        return ", ".join(
            text for text in (self.cells["label"] or "no class", self.cells.get("track"), self.split) if text
        )


def _found_file(row: _Row, profile: Profile) -> Found:
    label_cell = row.cells["label"]
    reading = profile.read(label_cell)
    detail = "" if reading.label else f'{row.line} says "{label_cell}", which {unclear(label_cell, profile)}'
    if reading.label and _is_windows_path(row.cells["path"]) and not row.file.exists():
        detail = f"{row.line} has the Windows path {row.cells['path']}; write the path that this machine uses"
    return Found(row.file, reading.label, row.cells.get("track") or None, row.split, detail, reading=reading)


def _repeated(row: _Row, first: _Row) -> tuple[SkipReason, str]:
    return SkipReason.DUPLICATE_ID, f"{row.line} repeats {first.line}"


def _rows(path: Path) -> Iterator[_Row]:
    """Yield the lines of a list that name a file."""
    lines = list(_lines(path))
    delimiter, lines = _delimiter(lines)
    columns: dict[str, int] | None = None
    broken = []
    for number, text in lines:
        line = f"line {number}"
        try:
            (cells,) = csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True)
        except csv.Error as error:
            broken.append(f"{line}: {_CSV_ERRORS.get(str(error), str(error))}")
            if columns is None:  # the header
                break
            continue
        cells = [cell.strip() for cell in cells]
        if columns is None:
            columns, width = _columns(path, cells, line), len(cells)
            continue
        named = {key: cells[index] if index < len(cells) else "" for key, index in columns.items()}
        wrong = _wrong(cells, named, width, path.parent)
        if wrong:
            broken.append(f"{line}: {wrong}")
        elif any(cells):
            yield _Row(line, _resolve(path, named["path"]), named, _split(path, line, named.get("split", "")))
    if columns is None and not broken:
        _columns(path, [], "line 1")
    if broken:
        more = [f"and {len(broken) - _MAX_NAMED} more"] if len(broken) > _MAX_NAMED else []
        hint = "write one cell per column; put cells that contain a comma or a quote in double quotes"
        raise ConfigError(f"{path}: {'; '.join([*broken[:_MAX_NAMED], *more])}", hint)


_MAX_NAMED = 5
"""Maximum number of broken lines named in an error."""

_CSV_ERRORS = {
    "unexpected end of data": "a quote is not closed",
    f"field larger than field limit ({csv.field_size_limit()})": "a cell is longer than any path",
}


def _wrong(cells: Sequence[str], named: Mapping[str, str], width: int, folder: Path) -> str:
    """Return what is wrong with the cells of a line; empty if nothing is.

    Args:
        cells: the cells.
        named: name of a column -> its cell.
        width: number of columns in the header.
        folder: folder of the list.
    """
    if not any(cells):
        return ""
    if any(cells[width:]):
        return f"{len(cells)} cells, but the header has {width}"
    if not named["path"]:
        return "the path is empty"
    if "\0" in named["path"]:
        return "the path contains a NUL character"
    if _too_long(folder / named["path"]):
        return f"the path, of {len(named['path'])} characters, or a name in it is too long for this system"
    return ""


def _too_long(path: Path) -> bool:
    """Return whether a path is too long for the system."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    except ValueError:  # characters that are not allowed in a path
        return False
    return False


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the non-empty lines of a text with their numbers; the encoding is detected from the first bytes."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not wide and max(data[1::2].count(0), data[::2].count(0)) * 3 > len(data):
        raise ConfigError(f"{path}: UTF-16 without a byte order mark", "save the list as UTF-8")
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line}: not valid UTF-8: {error.reason}", "save the list as UTF-8") from None
    for number, line_text in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if line_text.strip():
            yield number, line_text


def _delimiter(lines: list[tuple[int, str]]) -> tuple[str, list[tuple[int, str]]]:
    """Return the delimiter of cells, and the lines without the line ``sep=`` that Excel writes."""
    if lines and (declared := re.fullmatch(r"sep=([,;\t|])", lines[0][1].strip("\n\r"))):
        return declared.group(1), lines[1:]
    header = lines[0][1] if lines else ""
    return max(",;\t|", key=header.count), lines


def _split(path: Path, line: str, cell: str) -> Literal["train", "validation", "test"] | None:
    if cell and cell.lower() not in SPLITS:
        raise ConfigError(f'{path}: {line}: no split named "{cell}"', f"known: {', '.join(SPLITS)}, or leave it empty")
    return SPLITS.get(cell.lower())


def _columns(path: Path, header: Sequence[str], line: str) -> dict[str, int]:
    """Return the index of each known column."""
    lower = [name.lower() for name in header]
    for name in {word for words in _COLUMNS.values() for word in words}:
        if lower.count(name) > 1:
            raise ConfigError(f'{path}: {line}: {lower.count(name)} columns are called "{name}"', "keep one of them")
    names = {name.lower(): index for index, name in reversed(list(enumerate(header)))}
    column_of = {}
    for key, words in _COLUMNS.items():
        column = next((names[word] for word in words if word in names), None)
        if column is not None:
            column_of[key] = column
    for key in ("label", "path"):
        if key not in column_of:
            hint = 'the first line should be "instrum,path"'
            raise ConfigError(f"{path}: no column for the {key}: {', '.join(header) or 'the file is empty'}", hint)
    return column_of


def _resolve(path: Path, cell: str) -> Path:
    """Return the first existing file that a cell may mean, also with accents in another Unicode form."""
    forward = cell.replace("\\", "/")
    candidates = [candidate for text in (cell, forward) for candidate in (path.parent / text, Path(text))]
    try:
        existing = next((candidate for candidate in candidates if candidate.exists()), None)
    except (ValueError, OSError):  # too long, or with a NUL
        return path.parent / forward
    if existing is None and not forward.isascii():
        existing = next(filter(None, map(otherwise_written, candidates)), None)
    return existing or path.parent / forward


def _is_windows_path(cell: str) -> bool:
    """Return whether a path has a drive or a server, as on Windows, but this is another system."""
    return os.name != "nt" and re.match(r"[A-Za-z]:[\\/]|\\\\", cell) is not None


LAYOUT = CsvList()
