"""The test songs of separators, and their evaluation: all songs, and the real ones alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.self_refining.material import DONE, REAL, SAMPLE_RATE, best_start
from stemclean import layouts
from stemclean.audio import files
from stemclean.data.corrupt import FRAME, level
from stemclean.manifest import Stem
from stemclean.metrics.separation import METRICS, over_tracks

SHOWN = ("sdr", "sdx-sdr")
"""Metrics: the SDR of BSSEval v4, which is the paper's, and that of SDX'23."""

Record = dict[str, Any]


@dataclass(frozen=True)
class TestSongs:
    """Songs in a folder.

    Args:
        references: ``TRACK/CLASS.flac``.
        mixtures: ``TRACK.wav``, the sums of these.
        counts: how many there are, for the report.
    """

    references: Path
    mixtures: Path
    counts: Record


def cut(heldout: Path, work: Path, duration: float) -> TestSongs:
    """Cut the held-out songs to their most active seconds, unless they exist.

    Args:
        duration: seconds of each song.
    """
    data, folder = layouts.load(heldout)
    tracks: dict[str, list[Stem]] = {}
    for stem in data.stems:
        tracks.setdefault(stem.track, []).append(stem)
    content = [[[stem.id, stem.sha256] for stem in data.stems], duration]
    output = work / f"test-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]}"
    if not (output / DONE).exists():
        for track, stems in tqdm(sorted(tracks.items()), "test songs", unit="song", disable=None):
            _write(track, stems, folder, output, duration)
        (output / DONE).write_text(json.dumps({"songs": len(tracks), "duration": duration}) + "\n")
    real = sum(track.startswith(REAL) for track in tracks)
    counts = {"songs": len(tracks), "real": real, "stems": len(data.stems), "seconds": duration}
    return TestSongs(output / "references", output / "mixtures", counts)


def scores(tracks: Sequence[Mapping[str, Any]]) -> Record:
    """Key of a metric -> class or ``average`` -> dB, of all songs, the real and the rendered ones.

    As :func:`stemclean.evaluate_separation.evaluate_separation` averages: BSSEval is the median of a song's frames, the
    median of the songs and the mean of the classes; SDX'23 the mean of a song's classes and the mean of the songs.

    Args:
        tracks: songs of its summary.
    """
    kinds = {
        "all": tracks,
        "real": [track for track in tracks if track["track"].startswith(REAL)],
        "rendered": [track for track in tracks if not track["track"].startswith(REAL)],
    }
    return {kind: {METRICS[name].key: _averaged(same, name) for name in SHOWN} for kind, same in kinds.items() if same}


def _averaged(tracks: Sequence[Mapping[str, Any]], name: str) -> dict[str, float | None]:
    metric = METRICS[name]
    songs = [track["scores"][metric.key] for track in tracks]
    labels = dict.fromkeys(label for song in songs for label in song)
    by_class = {label: _over([song[label] for song in songs if label in song], metric.by_frame) for label in labels}
    means = by_class.values() if metric.by_frame else [_over(song.values(), median=False) for song in songs]
    return {**by_class, "average": _over(means, median=False)}


def _over(values: Iterable[float | None], median: bool) -> float | None:
    summary = over_tracks([np.nan if value is None else value for value in values], median=median)
    return round(summary, 4) if np.isfinite(summary) else None


def _write(track: str, stems: Sequence[Stem], folder: Path, output: Path, duration: float) -> None:
    sounds = [files.read(folder / stem.path, sample_rate=SAMPLE_RATE, channels=2) for stem in stems]
    first = best_start([level(sound, SAMPLE_RATE).frames for sound in sounds], round(duration / FRAME))
    length = round(duration * SAMPLE_RATE)
    at, longest = round(first * FRAME * SAMPLE_RATE), max(sound.shape[1] for sound in sounds)
    excerpts = [sound[:, at : at + length] for sound in sounds]
    mixture = np.zeros((2, min(length, longest - at)), np.float32)
    for stem, excerpt in zip(stems, excerpts, strict=True):
        mixture[:, : excerpt.shape[1]] += excerpt
        files.write(output / "references" / track / f"{stem.claimed[0]}.flac", excerpt, SAMPLE_RATE, subtype="PCM_16")
    files.write(output / "mixtures" / f"{track}.wav", mixture, SAMPLE_RATE, subtype="FLOAT")
