"""Cut the f0 of a stem in the same way as its sound, so that both stay aligned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemclean.audio.f0 import F0Track
from stemclean.errors import LabelError, SkipReason
from stemclean.layouts import f0_labels
from stemclean.manifest import F0, Stem, file_sha256

__all__ = ["cut", "cut_file"]


def cut(track: F0Track, regions: Sequence[tuple[float, float]]) -> F0Track:
    """Return the f0 of the kept regions, joined.

    The hop stays the same, and so do the frames of the first region. After a join, a frame that falls between two
    original frames is interpolated as in :meth:`~stemclean.audio.f0.F0Track.at`. Frames outside of the track are
    unknown and left out; otherwise they would be read as annotated silence.

    Args:
        track: f0 of the whole sound.
        regions: Start and end of the regions in seconds, in order, without overlap.
    """
    starts, ends = np.array(regions, np.float64).reshape(-1, 2).T
    joins = np.concatenate([[0.0], np.cumsum(ends - starts)])
    first = float((track.start - starts[0]) % track.hop) if len(starts) else 0.0
    if first > track.hop - 1e-9:  # a whole hop, but for rounding
        first = 0.0
    num_frames = max(0, int(np.floor((joins[-1] - first) / track.hop + 1e-9)) + 1)
    times = first + track.hop * np.arange(num_frames, dtype=np.float64)
    region = np.clip(np.searchsorted(joins, times, side="right") - 1, 0, max(0, len(starts) - 1))
    source_times = times - joins[region] + starts[region] if len(starts) else times
    covered = _is_known(track, source_times)  # contiguous, because regions are in order
    f0_hz, voicing, confidence = track.at(source_times[covered])
    start = first + track.hop * float(np.argmax(covered)) if covered.any() else first
    return F0Track(f0_hz, voicing, track.hop, round(start, 9), confidence)


def _is_known(track: F0Track, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return at which times a track has a value, voiced or not. Shape: (time,)."""
    coverage = F0Track(track.f0_hz, track.voicing, track.hop, track.start, np.ones(track.num_frames)).at(times)[2]
    return np.asarray(coverage) > 0


def cut_file(stem: Stem, folder: Path, regions: Sequence[tuple[float, float]], destination: Path, target: str) -> F0:
    """Write the f0 of the kept regions of a stem; returns its manifest entry.

    Args:
        stem: A stem with an ``f0``.
        folder: Folder that its paths are relative to.
        regions: Kept regions in seconds.
        destination: Folder to write to.
        target: Path of the f0 file below it.

    Raises:
        LabelError: The f0 cannot be read, or has no values in the kept regions.
    """
    assert stem.f0 is not None
    audio = f0_labels.Beside(stem.duration, stem.track.rpartition("/")[2])
    track = f0_labels.read(folder / stem.f0.path, stem.f0.format, beside=audio)
    kept = cut(track, regions)
    if not kept.num_frames:
        raise LabelError(
            folder / stem.f0.path, SkipReason.F0_WRONG_LENGTH, "it has no values in the kept parts of the sound"
        )
    written = f0_labels.write(kept, destination / target)
    return stem.f0.model_copy(update={"path": target, "format": "stemclean", "sha256": file_sha256(written)})
