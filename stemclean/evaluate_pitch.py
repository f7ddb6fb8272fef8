"""Evaluate estimates of f0 against references: the ``eval pitch`` verb."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

import stemclean
from stemclean import plots
from stemclean.audio.f0 import F0Track
from stemclean.errors import AudioError, ConfigError, LabelError
from stemclean.evaluating import f0_plot, results
from stemclean.evaluating.f0_pairing import Label, Pair, pair
from stemclean.evaluating.pairing import Failure, failure
from stemclean.layouts import MANIFEST_NAMES, f0_labels
from stemclean.metrics import pitch
from stemclean.outputs import only_writer_of

__all__ = ["evaluate_pitch"]

DECIMALS = 10


def evaluate_pitch(
    reference: str | Path,
    estimate: str | Path,
    *,
    csv: str | Path | None = None,
    plot: str | Path | None = None,
    track: str | None = None,
    audio: str | Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compare estimates of f0 with references song by song, with the metrics of ``mir_eval.melody``.

    Songs that are missing or unreadable are listed as failures; the rest is evaluated.
    :mod:`stemclean.metrics.pitch` defines the metrics; :mod:`stemclean.evaluating.f0_pairing` pairs estimates with
    references.

    Args:
        reference: an f0 file, a folder of them, or a manifest.
        estimate: the same, with the same names of songs.
        csv: CSV file to write, with one row per song.
        plot: image file (``.png``, ``.svg``, ``.pdf``) to write: both f0 of one song over its spectrogram.
        track: song to plot; None: the one with the lowest overall accuracy.
        audio: audio of that song; None: the file that the reference names or lies beside. If it cannot be read, only
            the spectrogram is omitted.
        quiet: show no progress bar.

    Returns:
        - ``scores``: key of a metric -> mean over songs, or None.
        - ``num_tracks``; ``tracks``: for each song ``track``, ``reference``, ``estimate`` (files), ``num_frames`` and
          ``num_voiced`` (of the reference), ``scores``.
        - ``failures``: ``path``, ``reason``, ``detail`` of everything that could not be evaluated.
        - ``definitions``: the meaning of each key.
        - ``plot``: ``file``, ``track``, ``audio`` of the plot, or None.

    Raises:
        ConfigError: no song has an estimate; there is nothing to read; ``csv`` would overwrite an input; matplotlib is
            missing for the plot; or the song to plot does not exist.
        ManifestError: a broken manifest.
    """
    if plot:
        plots.check(Path(plot))
    elif track or audio:
        raise ConfigError("--track and --audio need --plot", "name the image file: --plot FILE.png")
    pairs, failures = pair(Path(reference), Path(estimate))
    if csv:
        _check_unread(Path(csv), [Path(reference), Path(estimate)], pairs)
        results.check_outputs(csv=csv)
    with only_writer_of(csv, plot):
        compared: dict[str, tuple[Pair, F0Track, F0Track]] = {}
        tracks = []
        for song in tqdm(pairs, desc="evaluate", unit="song", disable=True if quiet else None):
            true = _read(song.reference, song.estimate, failures)
            estimated = _read(song.estimate, song.reference, failures)
            if true is None or estimated is None:
                continue
            compared[song.track] = song, true, estimated
            tracks.append(_evaluate(song, true, estimated))
        if not tracks:
            raise ConfigError(
                "no song could be evaluated",
                "\n".join(f"{failed['path']}: {failed['detail']}" for failed in failures[:5]),
            )
        report = {
            "created": {"by": f"stemclean {stemclean.__version__}", "command": "eval pitch"},
            "definitions": {key: meaning for key, (_, meaning) in pitch.METRICS.items()},
            "failures": failures,
            "num_tracks": len(tracks),
            "plot": None,
            "scores": _rounded(pitch.mean(row["scores"] for row in tracks)),
            "tracks": tracks,
        }
        if csv:
            rows = [{"track": row["track"], **row["scores"]} for row in tracks]
            results.write_csv(rows, ["track", *pitch.METRICS], Path(csv))
        if plot:
            report["plot"] = _plot(Path(plot), compared, tracks, track, Path(audio) if audio else None, failures)
        return report


def _check_unread(path: Path, sides: Sequence[Path], pairs: Sequence[Pair]) -> None:
    """Refuse to overwrite an input."""
    labels = [label for song in pairs for label in (song.reference, song.estimate)]
    read = [*sides, *(side / name for side in sides for name in MANIFEST_NAMES), *(label.path for label in labels)]
    read += [label.sound[0] for label in labels if label.sound]
    if path.resolve() in {file.resolve() for file in read}:
        raise ConfigError(f"{path} is an input and would be overwritten", "name a new file with --csv")


def _read(label: Label, partner: Label, failures: list[Failure]) -> F0Track | None:
    """Read the f0 of one side; if there is no audio beside it, the duration comes from the audio of the other side."""
    duration = None if label.format else label.duration() or partner.duration()
    try:
        return f0_labels.read(label.path, label.format, beside=f0_labels.Beside(duration, label.song))
    except LabelError as error:
        failures.append(failure(error.path.as_posix(), error.reason, error.detail))
        return None


def _evaluate(song: Pair, true: F0Track, estimated: F0Track) -> dict[str, Any]:
    return {
        "track": song.track,
        "reference": song.reference.path.as_posix(),
        "estimate": song.estimate.path.as_posix(),
        "num_frames": true.num_frames,
        "num_voiced": int(true.voiced.sum()),
        "scores": _rounded(pitch.evaluate(true, estimated)),
    }


def _rounded(scores: dict[str, float | None]) -> dict[str, float | None]:
    return {key: value if value is None else round(value, DECIMALS) for key, value in scores.items()}


def _plot(
    path: Path,
    compared: dict[str, tuple[Pair, F0Track, F0Track]],
    tracks: list[dict[str, Any]],
    track: str | None,
    audio: Path | None,
    failures: list[Failure],
) -> dict[str, Any]:
    """Plot the chosen song, or the one with the lowest accuracy, and return the entry for the report."""
    if track is None:
        track = min(tracks, key=lambda row: row["scores"]["overall_accuracy"] or 0.0)["track"]
    if track not in compared:
        raise ConfigError(f'no song named "{track}" was evaluated', f"known: {', '.join(list(compared)[:10])}")
    song, true, estimated = compared[track]
    sound = (audio, 0) if audio else song.reference.sound or song.estimate.sound
    scores = next(row["scores"] for row in tracks if row["track"] == track)
    try:
        f0_plot.draw(path, track, true, estimated, scores, sound)
    except AudioError as error:
        failures.append(failure(error.path.as_posix(), error.reason, error.detail))
        sound = None
        f0_plot.draw(path, track, true, estimated, scores)
    return {"file": str(path), "track": track, "audio": sound and sound[0].as_posix()}
