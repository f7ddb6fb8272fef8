"""Compare an estimated f0 with a reference by the five MIREX metrics, computed by ``mir_eval.melody``.

Source: Salamon et al., "Melody extraction from polyphonic music signals", IEEE Signal Processing Magazine 31 (2014);
Raffel et al., "mir_eval", ISMIR 2014. mir_eval resamples the estimate to the times of the reference. Voicing is that of
:attr:`stemclean.audio.f0.F0Track.voiced`; an f0 in an unvoiced frame still counts for pitch and chroma accuracy. If a
denominator is 0, mir_eval returns 0; here the value is None and is left out of means.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from stemclean.audio.f0 import F0Track

__all__ = ["METRICS", "evaluate", "mean"]

METRICS: dict[str, tuple[str, str]] = {
    "raw_pitch_accuracy": ("RPA", "share of the voiced frames of the reference whose f0 is found within 50 cents"),
    "raw_chroma_accuracy": ("RCA", "the same, octaves not counting"),
    "overall_accuracy": ("OA", "share of all frames that are right: f0 within 50 cents, or rightly unvoiced"),
    "voicing_recall": ("VR", "share of the voiced frames of the reference that are found voiced"),
    "voicing_false_alarm": ("VFA", "share of the unvoiced frames of the reference that are found voiced; low is good"),
}
"""Key -> short name and meaning; shares in [0, 1]."""

_MIR_EVAL_NAMES = {
    "raw_pitch_accuracy": "Raw Pitch Accuracy",
    "raw_chroma_accuracy": "Raw Chroma Accuracy",
    "overall_accuracy": "Overall Accuracy",
    "voicing_recall": "Voicing Recall",
    "voicing_false_alarm": "Voicing False Alarm",
}
_OF_VOICED = ("raw_pitch_accuracy", "raw_chroma_accuracy", "voicing_recall")


def evaluate(reference: F0Track, estimate: F0Track) -> dict[str, float | None]:
    """Compute the metrics of one song.

    Args:
        reference: the ground truth; the metrics count its frames.
        estimate: the estimate, on any time grid; an estimate without frames counts as unvoiced.

    Returns:
        Key of :data:`METRICS` -> share in [0, 1]; None if the reference has no voiced frame (for false alarms, no
        unvoiced one; for all, no frames).
    """
    import mir_eval.melody

    if not reference.num_frames:
        return dict.fromkeys(METRICS)
    if not estimate.num_frames:
        estimate = F0Track.of(np.zeros(reference.num_frames), reference.hop, reference.start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mir_eval warns about unvoiced songs; here the value is None
        values = mir_eval.melody.evaluate(reference.times, _signed(reference), estimate.times, _signed(estimate))
    scores: dict[str, float | None] = {key: float(values[name]) for key, name in _MIR_EVAL_NAMES.items()}
    if not reference.voiced.any():
        scores.update(dict.fromkeys(_OF_VOICED))
    if reference.voiced.all():
        scores["voicing_false_alarm"] = None
    return scores


def mean(scores: Iterable[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Average each metric over the songs that have a value; None if no song has one."""
    songs = list(scores)
    means: dict[str, float | None] = {}
    for key in METRICS:
        values = [value for song in songs if (value := song[key]) is not None]
        means[key] = float(np.mean(values)) if values else None
    return means


def _signed(track: F0Track) -> NDArray[np.float64]:
    """Return frequencies in mir_eval's convention: negative in unvoiced frames. Shape: (frame,)."""
    return np.where(track.voiced, track.f0_hz, -track.f0_hz) + 0.0
