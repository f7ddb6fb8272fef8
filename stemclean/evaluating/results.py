"""Average results over songs and write them: in museval's JSON format, as CSV and as Parquet.

In JSON, undefined and infinite values are ``null``; decibels have five decimals, as in museval.
"""

from __future__ import annotations

import csv
import importlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

import stemclean
from stemclean.disk import replacing
from stemclean.errors import ConfigError
from stemclean.evaluating.songs import Measured
from stemclean.metrics.separation import METRICS, WINDOW_SECONDS, Scores, over_tracks
from stemclean.outputs import refuse_foreign

__all__ = [
    "averages",
    "check_outputs",
    "check_parquet",
    "museval_document",
    "rows",
    "track_file",
    "write_csv",
    "write_json",
    "write_parquet",
]

DECIMALS = 5
SPLITS = frozenset({"test", "train", "valid", "validation"})


def averages(measured: Sequence[Measured], labels: Sequence[str], metrics: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Average the scores: key of a metric -> class or ``average`` -> dB.

    BSSEval: median over frames, then median over songs; the average is the mean over classes, as in Koo et al. (2023).
    Other metrics: mean over songs for each class; the average is the mean over the classes of each song, then over
    songs, as in the challenges.
    """
    report = {}
    for name in metrics:
        by_class: dict[str, list[float]] = {label: [] for label in labels}
        by_song = []
        for result in measured:
            values = result.scores.of_song(name)
            by_song.append(over_tracks(values, median=False))
            for label, value in zip(result.song.labels, values, strict=True):
                by_class[label].append(float(value))
        median = METRICS[name].by_frame
        scores = {label: over_tracks(values, median=median) for label, values in by_class.items() if values}
        average = over_tracks(scores.values() if median else by_song, median=False)
        report[METRICS[name].key] = {label: _number(value) for label, value in {**scores, "average": average}.items()}
    return report


def rows(measured: Iterable[Measured], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row per song and class: ``track``, ``class``, and a column per metric, named by its key."""
    table = []
    for result in measured:
        values = {METRICS[name].key: result.scores.of_song(name) for name in metrics}
        for index, label in enumerate(result.song.labels):
            scores = {key: _number(by_class[index]) for key, by_class in values.items()}
            table.append({"track": result.song.track, "class": label, **scores})
    return table


def museval_document(labels: Sequence[str], scores: Scores) -> dict[str, Any]:
    """Return the scores of a song in museval's JSON format, valid under its schema and readable by its stores.

    The schema does not allow ``null``: undefined values are omitted, and museval's stores read them as NaN.
    """
    names = {"SDR": "sdr", "SIR": "sir", "SAR": "sar", "ISR": "isr"}
    targets = []
    for index, label in enumerate(labels):
        columns = {name: scores.frames[key][index] for name, key in names.items() if key in scores.frames}
        num_frames = max(map(len, columns.values()), default=0)
        frames = []
        for frame in range(num_frames):
            values = {name: _number(column[frame]) for name, column in columns.items()}
            frames.append(
                {
                    "time": frame * WINDOW_SECONDS,
                    "duration": WINDOW_SECONDS,
                    "metrics": {name: value for name, value in values.items() if value is not None},
                }
            )
        targets.append({"name": label, "frames": frames})
    return {"targets": targets, "stemclean_version": stemclean.__version__}


def track_file(track: str, used: set[str]) -> str:
    """Return the path of a song's file below the output folder: below the song's split, or below ``test``.

    museval's stores read only the folder ``test``.

    >>> track_file("Artist - Song", set()), track_file("train/Song", set())
    ('test/Artist - Song.json', 'train/Song.json')
    """
    parts = [part for part in PurePosixPath(track).parts if part not in ("/", "..")] or ["track"]
    if len(parts) < 2 or parts[0] not in SPLITS:
        parts = ["test", *parts]
    name = "/".join(parts)
    unique, number = name, 1
    while unique.casefold() in used:
        number += 1
        unique = f"{name} ({number})"
    used.add(unique.casefold())
    return f"{unique}.json"


def write_json(document: Mapping[str, Any], path: Path) -> None:
    """Write a JSON document atomically."""
    with replacing(path) as temporary:
        text = json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(table: Sequence[Mapping[str, Any]], columns: Sequence[str], path: Path) -> None:
    """Write rows to CSV; undefined values are empty cells."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def check_outputs(
    documents: Iterable[Path] = (), csv: str | Path | None = None, parquet: str | Path | None = None
) -> None:
    """Refuse to overwrite files that are not results, before the work begins.

    Raises:
        ConfigError: there is such a file; or pyarrow is missing for Parquet.
    """
    for path in documents:
        refuse_foreign(path, lambda path: b"stemclean" in path.read_bytes(), "result of stemclean")
    if csv:
        refuse_foreign(Path(csv), _is_table, "table of results")
    if parquet:
        check_parquet()
        refuse_foreign(Path(parquet), _is_parquet, "table of results")


def _is_table(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(1000).startswith(b"track,")


def _is_parquet(path: Path) -> bool:
    return "track" in importlib.import_module("pyarrow.parquet").read_schema(path).names


def check_parquet() -> None:
    """Check that Parquet can be written, before the work begins.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError(
            "Parquet needs pyarrow, which is not installed", 'python -m pip install "stemclean[parquet]"'
        ) from None


def write_parquet(table: Sequence[Mapping[str, Any]], columns: Sequence[str], path: Path) -> None:
    """Write rows to Parquet; undefined values are null."""
    check_parquet()
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    kinds = [(name, arrow.string() if name in ("track", "class") else arrow.float64()) for name in columns]
    with replacing(path) as temporary:
        parquet.write_table(
            arrow.Table.from_pylist([dict(row) for row in table], schema=arrow.schema(kinds)), temporary
        )


def _number(value: float | np.floating[Any]) -> float | None:
    return round(float(value), DECIMALS) if math.isfinite(value) else None
