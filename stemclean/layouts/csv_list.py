"""A list of files, ``instrum,path`` a line, as separator trainers read it; the files may lie anywhere.

The header names the columns: ``instrum`` (or instrument, label, class, stem) and ``path`` (or file, filename, audio);
also ``track`` (or song) and ``split``, if there are such. Comma, semicolon, tabulator or bar between them. Relative
paths are relative to the list's folder, else to the working directory.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

from stemclean.errors import ConfigError
from stemclean.labels import Profile
from stemclean.layouts.base import Found

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
            ConfigError: no text, or no column that names the class or the file.
        """
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}", "save the list as UTF-8") from None
        delimiter = max(",;\t|", key=(lines or [""])[0].count)
        rows = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
        columns = _columns(path, rows.fieldnames or [])
        for row in rows:
            cells = {key: (row.get(column) or "").strip() for key, column in columns.items()}
            if not cells["path"]:
                continue
            label = profile.find(cells["label"])
            split = cast('Literal["train", "validation", "test"] | None', _SPLITS.get(cells.get("split", "").lower()))
            detail = "" if label else f'line {rows.line_num} says "{cells["label"]}"'
            yield Found(_resolve(path, cells["path"]), label, cells.get("track") or None, split, detail)


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
    beside = path.parent / cell
    return Path(cell) if not beside.exists() and Path(cell).exists() else beside


LAYOUT = CsvList()
