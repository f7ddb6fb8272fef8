"""A list of files, ``instrum,path`` a line, as separator trainers read it; the files may lie anywhere.

The header names the columns: ``instrum`` (or instrument, label, class, stem) and ``path`` (or file, filename, audio);
also ``track`` (or song) and ``split``, if there are such. Comma, semicolon, tabulator or bar between them. Relative
paths are relative to the list's folder, else to the working directory. Backslashes are read as slashes where no file is
called so.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

from stemclean.errors import ConfigError
from stemclean.labels import Profile
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
        """The files, line by line.

        Raises:
            ConfigError: no text, no column that names the class or the file, no line below the header, or a split
                that is none.
        """
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}", "save the list as UTF-8") from None
        delimiter = max(",;\t|", key=(lines or [""])[0].count)
        rows = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
        columns = _columns(path, rows.fieldnames or [])
        empty = True
        for row in rows:
            cells = {key: (row.get(column) or "").strip() for key, column in columns.items()}
            if not cells["path"]:
                continue
            empty = False
            line = f"line {rows.line_num}"
            reading = profile.read(cells["label"])
            label = reading.label
            file = _resolve(path, cells["path"])
            detail = "" if label else f'{line} says "{cells["label"]}", which {unclear(cells["label"], profile)}'
            if label and _of_windows(cells["path"]) and not file.exists():
                detail = f"{line} says {cells['path']}, a path of Windows; write it as this machine sees the file"
            yield Found(
                file,
                label,
                cells.get("track") or None,
                _split(path, line, cells.get("split", "")),
                detail,
                reading=reading,
            )
        if empty:
            raise ConfigError(f"{path}: the list names no file", "below the header, write a line for each: drums,a.wav")


def _split(path: Path, line: str, cell: str) -> Literal["train", "validation", "test"] | None:
    if cell and cell.lower() not in _SPLITS:
        raise ConfigError(f'{path}: {line}: no split is called "{cell}"', f"known: {', '.join(_SPLITS)}, or nothing")
    return cast('Literal["train", "validation", "test"] | None', _SPLITS.get(cell.lower()))


def _columns(path: Path, header: object) -> dict[str, str]:
    names = {str(name).strip().lower(): str(name) for name in cast("list[str]", header)}
    found = {}
    for key, words in _COLUMNS.items():
        column = next((names[word] for word in words if word in names), None)
        if column is not None:
            found[key] = column
    for key in ("label", "path"):
        if key not in found:
            hint = 'the first line should be "instrum,path"'
            raise ConfigError(f"{path}: no column for the {key}: {', '.join(names) or 'the file is empty'}", hint)
    return found


def _resolve(path: Path, cell: str) -> Path:
    """The first of the places that a cell may mean where there is a file."""
    forward = cell.replace("\\", "/")
    places = [place for text in (cell, forward) for place in (path.parent / text, Path(text))]
    return next((place for place in places if place.exists()), path.parent / forward)


def _of_windows(cell: str) -> bool:
    """Whether a path has a drive or a server, which only Windows knows."""
    return os.name != "nt" and re.match(r"[A-Za-z]:[\\/]|\\\\", cell) is not None


LAYOUT = CsvList()
