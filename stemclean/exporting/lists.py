"""Write the lists of an export."""

from __future__ import annotations

import csv
import gzip
import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from stemclean.disk import replacing
from stemclean.errors import ConfigError

__all__ = ["json_line", "pyarrow", "remove_others", "write_csv", "write_jsonl"]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV with a header, in UTF-8 and with Unix line ends, and return its path."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(header)
        lines.writerows(rows)
    return path


def json_line(row: Mapping[str, object]) -> bytes:
    """Return an object as one line of JSON in UTF-8; NaN is refused."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write one JSON object a line and return the path; compressed if it ends in .gz. Equal rows give equal bytes."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        if path.suffix != ".gz":
            file.writelines(map(json_line, rows))
        else:
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed:
                compressed.writelines(map(json_line, rows))
    return path


def pyarrow() -> tuple[ModuleType, ModuleType]:
    """Return the modules ``pyarrow`` and ``pyarrow.parquet``, which are optional.

    Raises:
        ConfigError: they are not installed.
    """
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError(
            "Parquet needs pyarrow, which is not installed", 'python -m pip install "stemclean[parquet]"'
        ) from None


def remove_others(folder: Path, pattern: str, written: Iterable[Path]) -> None:
    """Remove the lists of an earlier export that are not written any more, such as those of a split that is gone.

    Args:
        folder: the destination.
        pattern: glob pattern of the format's lists.
        written: the lists of this export.
    """
    kept = set(written)
    for path in folder.glob(pattern):
        if path not in kept:
            path.unlink()
