"""A list of files, ``instrum,path`` a line, as separator trainers read it; the files may lie anywhere.

The header names the columns: ``instrum`` (or instrument, label, class, stem) and ``path`` (or file, filename, audio);
also ``track`` (or song) and ``split``, if there are such. Comma, semicolon, tabulator or bar between them. Relative
paths are relative to the list's folder, else to the working directory. Backslashes are read as slashes where no file is
called so, and accents may be written in either form (NFC, NFD). A line that is broken is refused with its number, also
one whose quote is not closed: no cell goes over several lines.
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
from typing import Literal, cast

from stemclean.errors import ConfigError
from stemclean.labels import Profile
from stemclean.layouts.accents import otherwise_written
from stemclean.layouts.base import Found
from stemclean.layouts.naming import unclear

_COLUMNS = {
    "label": ("instrum", "instrument", "label", "class", "stem"),
    "path": ("path", "file", "filename", "file_path", "audio"),
    "track": ("track", "song"),
    "split": ("split", "subset"),
}
_SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


class CsvList:
    """See the module."""

    name = "csv_list"
    priority = 10

    def can_read(self, path: Path, profile: Profile) -> bool:
        """A file that ends in .csv or .tsv."""
        return path.is_file() and path.suffix.lower() in (".csv", ".tsv")

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """The files, line by line; one that stands on several lines once, and why the others are passed over.

        Raises:
            ConfigError: no text, no column that names the class or the file, no line below the header, a line that is
                broken, or a split that is none.
        """
        rows = list(_rows(path))
        if not rows:
            raise ConfigError(f"{path}: the list names no file", "below the header, write a line for each: drums,a.wav")
        known: dict[Path, list[_Row]] = {}
        for row in rows:
            known.setdefault(Path(os.path.realpath(row.file)), []).append(row)
        for alike in known.values():
            first = _found(alike[0], profile)
            other = next((row for row in alike if row.says(profile) != alike[0].says(profile)), None)
            if other is None:
                yield first
                yield from (replace(_found(row, profile), refused=_again(row, alike[0])) for row in alike[1:])
            else:
                both = " and ".join(f"{row.line} says {row.said()}" for row in (alike[0], other))
                yield replace(first, label=None, reading=None, refused=("conflicting_rows", both))


@dataclass(frozen=True)
class _Row:
    """A line of a list below its header."""

    line: str
    file: Path
    cells: Mapping[str, str]
    split: Literal["train", "validation", "test"] | None

    def says(self, profile: Profile) -> tuple[str, str, str | None]:
        """What it says of its file."""
        cell = self.cells["label"]
        return profile.find(cell) or cell, self.cells.get("track", ""), self.split

    def said(self) -> str:
        """The same, to be read."""
        return ", ".join(
            text for text in (self.cells["label"] or "no class", self.cells.get("track"), self.split) if text
        )


def _found(row: _Row, profile: Profile) -> Found:
    cell = row.cells["label"]
    reading = profile.read(cell)
    detail = "" if reading.label else f'{row.line} says "{cell}", which {unclear(cell, profile)}'
    if reading.label and _of_windows(row.cells["path"]) and not row.file.exists():
        detail = f"{row.line} says {row.cells['path']}, a path of Windows; write it as this machine sees the file"
    return Found(row.file, reading.label, row.cells.get("track") or None, row.split, detail, reading=reading)


def _again(row: _Row, first: _Row) -> tuple[str, str]:
    return "duplicate_id", f"{row.line} says what {first.line} says"


def _rows(path: Path) -> Iterator[_Row]:
    """The lines of a list that name a file."""
    lines = list(_lines(path))
    delimiter, lines = _delimiter(lines)
    columns: dict[str, int] | None = None
    broken = []
    for number, text in lines:
        line = f"line {number}"
        try:
            (cells,) = csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True)
        except csv.Error as error:
            broken.append(f"{line}: {_PLAINLY.get(str(error), str(error))}")
            continue
        cells = [cell.strip() for cell in cells]
        if columns is None:
            columns, width = _columns(path, cells), len(cells)
            continue
        named = {key: cells[at] if at < len(cells) else "" for key, at in columns.items()}
        wrong = _wrong(cells, named, width, path.parent)
        if wrong:
            broken.append(f"{line}: {wrong}")
        elif any(cells):
            yield _Row(line, _resolve(path, named["path"]), named, _split(path, line, named.get("split", "")))
    if columns is None and not broken:
        _columns(path, [])
    if broken:
        more = [f"and {len(broken) - _TOLD} more"] if len(broken) > _TOLD else []
        hint = "a line holds a cell for each column; a cell with a comma or a quote in it stands in double quotes"
        raise ConfigError(f"{path}: {'; '.join([*broken[:_TOLD], *more])}", hint)


_TOLD = 5
"""Broken lines that an error names."""

_PLAINLY = {
    "unexpected end of data": "a quote is not closed",
    f"field larger than field limit ({csv.field_size_limit()})": "a cell is longer than any path",
}


def _wrong(cells: Sequence[str], named: Mapping[str, str], width: int, folder: Path) -> str:
    """What is wrong with the cells of a line; empty where nothing is.

    Args:
        folder: of the list.
    """
    if not any(cells):
        return ""
    if any(cells[width:]):
        return f"{len(cells)} cells, and the header has {width}"
    if not named["path"]:
        return "it names no file"
    if "\0" in named["path"]:
        return "a path cannot hold a NUL"
    if _too_long(folder / named["path"]):
        return f"a path of {len(named['path'])} letters is longer than the system takes, or a name in it is"
    return ""


def _too_long(path: Path) -> bool:
    """Whether the system refuses a path for its length, whatever there is."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    except ValueError:  # letters that no path holds
        return False
    return False


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers, in whichever encoding its first bytes say; without empty ones."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not wide and max(data[1::2].count(0), data[::2].count(0)) * 3 > len(data):
        raise ConfigError(f"{path}: UTF-16 without the mark that says so", "save the list as UTF-8")
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line}: no UTF-8 text: {error.reason}", "save the list as UTF-8") from None
    for number, one in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if one.strip():
            yield number, one


def _delimiter(lines: list[tuple[int, str]]) -> tuple[str, list[tuple[int, str]]]:
    """What separates cells, and the lines without the one in which Excel says so."""
    if lines and (said := re.fullmatch(r"sep=([,;\t|])", lines[0][1].strip("\n\r"))):
        return said.group(1), lines[1:]
    header = lines[0][1] if lines else ""
    return max(",;\t|", key=header.count), lines


def _split(path: Path, line: str, cell: str) -> Literal["train", "validation", "test"] | None:
    if cell and cell.lower() not in _SPLITS:
        raise ConfigError(f'{path}: {line}: no split is called "{cell}"', f"known: {', '.join(_SPLITS)}, or nothing")
    return cast('Literal["train", "validation", "test"] | None', _SPLITS.get(cell.lower()))


def _columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """What is wanted -> the column that holds it."""
    names = {name.lower(): at for at, name in reversed(list(enumerate(header)))}
    found = {}
    for key, words in _COLUMNS.items():
        column = next((names[word] for word in words if word in names), None)
        if column is not None:
            found[key] = column
    for key in ("label", "path"):
        if key not in found:
            hint = 'the first line should be "instrum,path"'
            raise ConfigError(f"{path}: no column for the {key}: {', '.join(header) or 'the file is empty'}", hint)
    return found


def _resolve(path: Path, cell: str) -> Path:
    """The first of the places that a cell may mean where there is a file, however its accents are written there."""
    forward = cell.replace("\\", "/")
    places = [place for text in (cell, forward) for place in (path.parent / text, Path(text))]
    try:
        there = next((place for place in places if place.exists()), None)
    except (ValueError, OSError):  # longer than a path may be, or with a NUL
        return path.parent / forward
    if there is None and not forward.isascii():
        there = next(filter(None, map(otherwise_written, places)), None)
    return there or path.parent / forward


def _of_windows(cell: str) -> bool:
    """Whether a path has a drive or a server, which only Windows knows."""
    return os.name != "nt" and re.match(r"[A-Za-z]:[\\/]|\\\\", cell) is not None


LAYOUT = CsvList()
