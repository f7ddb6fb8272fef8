"""The verb ``eval separation``: hold estimates of a separator against their references."""

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
    workers: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """How near estimates come to their references, per class, in dB.

    What is not there, cannot be read or does not fit is listed and costs what it is, a class of a song or a song; the
    rest is evaluated. Definitions: :mod:`stemclean.metrics.separation`. Pairing: :mod:`stemclean.evaluating.pairing`.

    Args:
        reference: a folder of songs, each a folder of stems, or a manifest.
        estimate: the same; songs and classes are called alike.
        output: a folder. It gets a document in museval's shape for each song, written as soon as the song is done,
            and ``summary.json``.
        metrics: names out of :data:`stemclean.metrics.separation.METRICS`.
        profile: the classes and the words that mean them.
        csv: a file for one row per song and class.
        parquet: the same.
        workers: songs that are evaluated at once; what is left over computes within songs. None: one a core.
        quiet: no progress bars.

    Returns:
        What ``summary.json`` holds, and ``output``:

        - ``scores``: key of a metric -> class or ``average`` -> dB or None.
        - ``num_tracks``; ``tracks``: for each song ``track``, ``file`` (its document, relative to ``output``),
          ``classes``, ``sample_rate``, ``channels``, ``num_samples``, ``num_frames``, ``scores`` (key -> class -> dB),
          ``silent_references`` and ``silent_estimates`` (classes), ``lengths`` (class -> the estimate's samples, where
          they are not the song's), ``not_determined`` (key -> classes without a value, as the
          references do not determine it).
        - ``not_determined``: key -> class -> number of songs whose value is not determined, and in no average.
        - ``failures``: ``path``, ``reason``, ``detail`` of all that could not be evaluated.
        - ``config``, ``definitions``: what was asked for, and what each key means.

    Raises:
        ConfigError: no song has estimates; a metric that is not known; no pyarrow for Parquet; or as
            :func:`stemclean.layouts.load`.
    """
    metrics = _known(metrics)
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output}: this is a file", "name a folder with --output")
    results.check_outputs([], csv, parquet)
    with only_writer(output, folder=True), only_writer_of(csv, parquet):
        songs, failures = pair(
            layouts.load(reference, profile=profile, quiet=quiet), layouts.load(estimate, profile=profile, quiet=quiet)
        )
        taken: set[str] = set()
        places = [results.track_file(song.track, taken) for song in songs]
        results.check_outputs([output / place for place in [*places, SUMMARY]])
        measured, tracks = [], []
        for (one, lost), place in zip(_measured(songs, metrics, workers, quiet=quiet), places, strict=True):
            failures += lost
            if one is not None:
                results.write_json(results.museval_document(one.song.labels, one.scores), output / place)
                measured.append(one)
                tracks.append({"file": place, **_track(one, metrics)})
        labels = [label for label in profile.labels if any(label in one.song.labels for one in measured)]
        labels += sorted({label for one in measured for label in one.song.labels} - set(labels))
        report = {
            "config": {"metrics": metrics, "classes": profile.name},
            "created": {"by": f"stemclean {stemclean.__version__}", "command": "eval separation"},
            "definitions": {METRICS[name].key: METRICS[name].definition for name in metrics},
            "failures": failures,
            "not_determined": _counted([track["not_determined"] for track in tracks]),
            "num_tracks": len(tracks),
            "scores": results.averages(measured, labels, metrics),
            "tracks": tracks,
        }
        results.write_json(report, output / SUMMARY)
        rows, columns = results.rows(measured, metrics), ["track", "class", *(METRICS[name].key for name in metrics)]
        if csv:
            results.write_csv(rows, columns, Path(csv))
        if parquet:
            results.write_parquet(rows, columns, Path(parquet))
        return {"output": str(output), **report}


def classes(text: str) -> Profile:
    """The classes that are typed: the name of a profile, or names with commas between, which files are called by.

    >>> classes("vocals, guitar").labels
    ('vocals', 'guitar')

    Raises:
        ConfigError: no class at all.
    """
    if text in PROFILES:
        return PROFILES[text]
    labels = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not labels:
        raise ConfigError(f'no classes in "{text}"', f"name them: vocals,guitar,… or one of {', '.join(PROFILES)}")
    return Profile(",".join(labels), {label: frozenset() for label in labels})


def _known(metrics: Sequence[str]) -> list[str]:
    """The metrics in their order.

    Raises:
        ConfigError: one is not known, or none is named.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        message = f'no metric named "{unknown[0]}"' if unknown else "no metric is named"
        raise ConfigError(message, f"known: {', '.join(METRICS)}")
    return [name for name in METRICS if name in metrics]


def _measured(
    songs: Sequence[Song], metrics: Sequence[str], workers: int | None, *, quiet: bool
) -> Iterator[tuple[Measured | None, list[Failure]]]:
    """Song by song in their order; several at a time."""
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


def _track(one: Measured, metrics: Sequence[str]) -> dict[str, Any]:
    """A song in the summary."""
    song, scores = one.song, one.scores
    by_class = {row["class"]: row for row in results.rows([one], metrics)}
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
    """In how many songs a class has no value. Key of a metric -> class -> number."""
    counts: dict[str, dict[str, int]] = {}
    for metrics in by_track:
        for key, labels in metrics.items():
            counts[key] = dict(Counter(counts.get(key, {})) + Counter(labels))
    return counts
