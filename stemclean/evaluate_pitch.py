"""The verb ``eval pitch``: hold estimates of f0 against their references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

import stemclean
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
    """How near estimates of f0 come to their references, song by song, as ``mir_eval.melody`` has it.

    What is not there or cannot be read is listed; the rest is evaluated. Definitions: :mod:`stemclean.metrics.pitch`.
    Pairing: :mod:`stemclean.evaluating.f0_pairing`.

    Args:
        reference: a file of f0, a folder of them, or a manifest.
        estimate: the same; songs are called alike.
        csv: a file for one row per song.
        plot: a file (``.png``, ``.svg``, ``.pdf``) for a picture of one song: both f0 over the spectrogram.
        track: which song is drawn; None: the one with the lowest overall accuracy.
        audio: its sound; None: the file that the reference speaks of, where it lies beside it. One that cannot be
            read costs the spectrogram alone.
        quiet: no progress bar.

    Returns:
        - ``scores``: key of a metric -> mean of songs, or None.
        - ``num_tracks``; ``tracks``: for each song ``track``, ``reference``, ``estimate`` (files), ``num_frames`` and
          ``num_voiced`` (of the reference), ``scores``.
        - ``failures``: ``path``, ``reason``, ``detail`` of all that could not be evaluated.
        - ``definitions``: what each key means.
        - ``plot``: ``file``, ``track``, ``audio`` of the picture, or None.

    Raises:
        ConfigError: no song has an estimate; nothing to read there; a ``csv`` that is read; no
            matplotlib to draw with; no such song to draw.
        ManifestError: a broken manifest.
    """
    if plot:
        f0_plot.check(Path(plot))
    elif track or audio:
        raise ConfigError("a song is named, but no picture", "name the picture: --plot FILE.png")
    pairs, failures = pair(Path(reference), Path(estimate))
    if csv:
        _check_unread(Path(csv), [Path(reference), Path(estimate)], pairs)
        results.check_outputs(csv=csv)
    with only_writer_of(csv, plot):
        both: dict[str, tuple[Pair, F0Track, F0Track]] = {}
        tracks = []
        for one in tqdm(pairs, desc="evaluate", unit="song", disable=True if quiet else None):
            true, given = _read(one.reference, one.estimate, failures), _read(one.estimate, one.reference, failures)
            if true is None or given is None:
                continue
            both[one.track] = one, true, given
            tracks.append(_told(one, true, given))
        if not tracks:
            raise ConfigError(
                "no song could be evaluated", "\n".join(f"{f['path']}: {f['detail']}" for f in failures[:5])
            )
        report = {
            "created": {"by": f"stemclean {stemclean.__version__}", "command": "eval pitch"},
            "definitions": {key: meaning for key, (_, meaning) in pitch.METRICS.items()},
            "failures": failures,
            "num_tracks": len(tracks),
            "plot": None,
            "scores": _rounded(pitch.mean(one["scores"] for one in tracks)),
            "tracks": tracks,
        }
        if csv:
            rows = [{"track": one["track"], **one["scores"]} for one in tracks]
            results.write_csv(rows, ["track", *pitch.METRICS], Path(csv))
        if plot:
            report["plot"] = _drawn(Path(plot), both, tracks, track, Path(audio) if audio else None, failures)
        return report


def _check_unread(path: Path, sides: Sequence[Path], pairs: Sequence[Pair]) -> None:
    """Refuse to write over what is read."""
    labels = [label for one in pairs for label in (one.reference, one.estimate)]
    read = [*sides, *(side / name for side in sides for name in MANIFEST_NAMES), *(label.path for label in labels)]
    read += [label.sound[0] for label in labels if label.sound]
    if path.resolve() in {one.resolve() for one in read}:
        raise ConfigError(f"{path} is read here, and would be overwritten", "give a new file with --csv")


def _read(label: Label, other: Label, failures: list[Failure]) -> F0Track | None:
    """One side of a song; the other's sound tells how long it is where none lies beside this one."""
    duration = None if label.format else label.duration() or other.duration()
    try:
        return f0_labels.read(label.path, label.format, beside=f0_labels.Beside(duration, label.song))
    except LabelError as error:
        failures.append(failure(error.path.as_posix(), error.reason, error.detail))
        return None


def _told(one: Pair, true: F0Track, given: F0Track) -> dict[str, Any]:
    return {
        "track": one.track,
        "reference": one.reference.path.as_posix(),
        "estimate": one.estimate.path.as_posix(),
        "num_frames": true.num_frames,
        "num_voiced": int(true.voiced.sum()),
        "scores": _rounded(pitch.evaluate(true, given)),
    }


def _rounded(scores: dict[str, float | None]) -> dict[str, float | None]:
    return {key: value if value is None else round(value, DECIMALS) for key, value in scores.items()}


def _drawn(
    path: Path,
    both: dict[str, tuple[Pair, F0Track, F0Track]],
    tracks: list[dict[str, Any]],
    track: str | None,
    audio: Path | None,
    failures: list[Failure],
) -> dict[str, Any]:
    """Draw the song that was asked for, or the worst, and say which it was."""
    if track is None:
        track = min(tracks, key=lambda one: one["scores"]["overall_accuracy"] or 0.0)["track"]
    if track not in both:
        raise ConfigError(f'no song called "{track}" was evaluated', f"known: {', '.join(list(both)[:10])}")
    one, true, given = both[track]
    sound = (audio, 0) if audio else one.reference.sound or one.estimate.sound
    scores = next(told["scores"] for told in tracks if told["track"] == track)
    try:
        f0_plot.draw(path, track, true, given, scores, sound)
    except AudioError as error:
        failures.append(failure(error.path.as_posix(), error.reason, error.detail))
        sound = None
        f0_plot.draw(path, track, true, given, scores)
    return {"file": str(path), "track": track, "audio": sound and sound[0].as_posix()}
