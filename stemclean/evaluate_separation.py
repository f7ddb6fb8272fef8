"""Evaluate the estimates of a separator against references: the ``eval separation`` verb."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

import stemclean
from stemclean import layouts
from stemclean.errors import ConfigError
from stemclean.evaluating import results
from stemclean.evaluating.pairing import Failure, Song, pair
from stemclean.evaluating.songs import Measured, measure
from stemclean.labels import FOUR_STEMS, PROFILES, Profile
from stemclean.metrics.separation import DEFAULT_METRICS, METRICS
from stemclean.outputs import only_writer, only_writer_of

__all__ = ["classes", "evaluate_separation"]

SUMMARY = "summary.json"


def evaluate_separation(
    reference: str | Path,
    estimate: str | Path,
    output: str | Path,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    profile: Profile = FOUR_STEMS,
    csv: str | Path | None = None,
    parquet: str | Path | None = None,
    layout: str | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compare estimates with references, and return scores per class in dB.

    A song, or a class of a song, that is missing, unreadable or does not fit is listed as a failure; the rest is
    evaluated. :mod:`stemclean.metrics.separation` defines the metrics; :mod:`stemclean.evaluating.pairing` pairs
    estimates with references.

    Args:
        reference: a folder of songs, each a folder of stems, or a manifest.
        estimate: the same, with the same names of songs and classes.
        output: a folder. It gets a file in museval's format for each song, written as soon as the song is done, and
            ``summary.json``.
        metrics: names from :data:`stemclean.metrics.separation.METRICS`.
        profile: the classes and their synonyms.
        csv: CSV file to write, with one row per song and class.
        parquet: Parquet file to write, with the same rows.
        layout: layout of the reference, such as ``class_folders``; None: detect it.
        workers: number of songs evaluated in parallel; further workers compute within songs. None: one per core.
        quiet: show no progress bars.

    Returns:
        The content of ``summary.json``, and ``output``:

        - ``scores``: key of a metric -> class or ``average`` -> dB or None.
        - ``num_tracks``; ``tracks``: for each song ``track``, ``file`` (its file, relative to ``output``), ``classes``,
          ``sample_rate``, ``channels``, ``num_samples``, ``num_frames``, ``scores`` (key -> class -> dB),
          ``silent_references`` and ``silent_estimates`` (classes), ``lengths`` (class -> length of the estimate in
          samples, if it differs from the song's), ``not_determined`` (key -> classes whose value the references do not
          determine).
        - ``not_determined``: key -> class -> number of songs without a value, which are in no average.
        - ``failures``: ``path``, ``reason``, ``detail`` of everything that could not be evaluated.
        - ``config``, ``definitions``: the settings, and the meaning of each key.

    Raises:
        ConfigError: no song has estimates; an unknown metric; pyarrow is missing for Parquet; or as for
            :func:`stemclean.layouts.load`.
    """
    metrics = _checked(metrics)
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output}: this is a file", "name a folder with --output")
    results.check_outputs([], csv, parquet)
    with only_writer(output, folder=True), only_writer_of(csv, parquet):
        songs, failures = pair(
            layouts.load(reference, profile=profile, layout=layout, quiet=quiet),
            layouts.load(estimate, profile=profile, quiet=quiet),
        )
        used_names: set[str] = set()
        track_files = [results.track_file(song.track, used_names) for song in songs]
        results.check_outputs([output / track_file for track_file in [*track_files, SUMMARY]])
        evaluated, tracks = [], []
        for (result, lost), track_file in zip(
            _measured(songs, metrics, workers, quiet=quiet), track_files, strict=True
        ):
            failures += lost
            if result is not None:
                results.write_json(results.museval_document(result.song.labels, result.scores), output / track_file)
                evaluated.append(result)
                tracks.append({"file": track_file, **_track(result, metrics)})
        labels = [label for label in profile.labels if any(label in result.song.labels for result in evaluated)]
        labels += sorted({label for result in evaluated for label in result.song.labels} - set(labels))
        report = {
            "config": {"metrics": metrics, "classes": profile.name},
            "created": {"by": f"stemclean {stemclean.__version__}", "command": "eval separation"},
            "definitions": {METRICS[name].key: METRICS[name].definition for name in metrics},
            "failures": failures,
            "not_determined": _counted([track["not_determined"] for track in tracks]),
            "num_tracks": len(tracks),
            "scores": results.averages(evaluated, labels, metrics),
            "tracks": tracks,
        }
        results.write_json(report, output / SUMMARY)
        rows, columns = results.rows(evaluated, metrics), ["track", "class", *(METRICS[name].key for name in metrics)]
        if csv:
            results.write_csv(rows, columns, Path(csv))
        if parquet:
            results.write_parquet(rows, columns, Path(parquet))
        return {"output": str(output), **report}


def classes(text: str) -> Profile:
    """Parse classes: the name of a profile, or comma-separated names of files.

    >>> classes("vocals, guitar").labels
    ('vocals', 'guitar')

    Raises:
        ConfigError: no class is named.
    """
    if text in PROFILES:
        return PROFILES[text]
    labels = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not labels:
        raise ConfigError(f'no classes in "{text}"', f"name them: vocals,guitar,… or one of {', '.join(PROFILES)}")
    return Profile(",".join(labels), {label: frozenset() for label in labels})


def _checked(metrics: Sequence[str]) -> list[str]:
    """Return the metrics in the order of :data:`METRICS`.

    Raises:
        ConfigError: a metric is unknown, or none is named.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        message = f'no metric named "{unknown[0]}"' if unknown else "no metric is named"
        raise ConfigError(message, f"known: {', '.join(METRICS)}")
    return [name for name in METRICS if name in metrics]


def _measured(
    songs: Sequence[Song], metrics: Sequence[str], workers: int | None, *, quiet: bool
) -> Iterator[tuple[Measured | None, list[Failure]]]:
    """Evaluate several songs at a time, and yield their results in order."""
    workers = workers or os.cpu_count() or 1
    at_once = max(1, min(workers, len(songs)))
    bar = tqdm(total=len(songs), desc="evaluate", unit="song", disable=True if quiet else None)
    with bar, ThreadPoolExecutor(at_once) as pool:
        jobs: list[Future[tuple[Measured | None, list[Failure]]]] = [
            pool.submit(measure, song, metrics, max(1, workers // at_once)) for song in songs
        ]
        try:
            for job in jobs:
                yield job.result()
                bar.update()
        finally:
            for job in jobs:
                job.cancel()


def _track(result: Measured, metrics: Sequence[str]) -> dict[str, Any]:
    """Return the entry of a song in the summary."""
    song, scores = result.song, result.scores
    by_class = {row["class"]: row for row in results.rows([result], metrics)}
    lengths = {label: source.num_samples for label, source in song.estimates.items()}
    return {
        "track": song.track,
        "classes": song.labels,
        "sample_rate": song.sample_rate,
        "channels": song.channels,
        "num_samples": scores.num_samples,
        "num_frames": max((frames.shape[1] for frames in scores.frames.values()), default=None),
        "scores": {
            METRICS[name].key: {label: by_class[label][METRICS[name].key] for label in song.labels} for name in metrics
        },
        "silent_references": [song.labels[index] for index in scores.silent_references],
        "silent_estimates": [song.labels[index] for index in scores.silent_estimates],
        "lengths": {label: length for label, length in lengths.items() if length != song.num_samples},
        "not_determined": {
            METRICS[name].key: [song.labels[index] for index in sources]
            for name, sources in scores.not_determined.items()
        },
    }


def _counted(by_track: Iterable[dict[str, list[str]]]) -> dict[str, dict[str, int]]:
    """Count the songs in which a class has no value: key of a metric -> class -> number."""
    counts: dict[str, dict[str, int]] = {}
    for metrics in by_track:
        for key, labels in metrics.items():
            counts[key] = dict(Counter(counts.get(key, {})) + Counter(labels))
    return counts
