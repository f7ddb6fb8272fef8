"""How much do ISR, SIR and SAR depend on rounding if the references are empty above a codec's cut-off?

    python -m benchmarks.empty_bands SONGS benchmarks/results/empty_bands.json [--seconds 8]

SONGS has folders of songs in Ogg Vorbis, ``SONG/{vocals,bass,drums,other}.ogg``. One excerpt of each song, in which all
stems sound, is used as decoded (``lossy``), and rounded to 24 and to 16 bits. The estimate is each stem times 0.9, plus
0.08 of the others, a faint echo, and noise at -40 dB. The result has the medians by museval with the sources in their
order and in the opposite order, by stemclean, and by the regularised variant of stemclean.
"""

from __future__ import annotations

import argparse
import importlib
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.resumable import write_json
from benchmarks.speed import describe_machine
from stemclean.audio import files
from stemclean.labels import FOUR_STEMS
from stemclean.metrics import separation

RATE = 44100
PLAIN = ("isr", "sir", "sar")
REGULARISED = tuple(f"{name}-reg" for name in PLAIN)
AUDIBLE = 0.003
"""Root mean square from which a stem counts as active."""


def excerpt(song: Path, seconds: float) -> np.ndarray | None:
    """The loudest stretch of those stems that sound. Shape: (source, channel, time); None: fewer than three."""
    paths = [song / f"{label}.ogg" for label in FOUR_STEMS.labels if (song / f"{label}.ogg").exists()]
    stems = [files.read(path, sample_rate=RATE, channels=2) for path in paths]
    length, hop = round(seconds * RATE), round(seconds * RATE / 2)
    shortest = min(stem.shape[1] for stem in stems)
    best, level = None, 0.0
    for start in range(0, shortest - length, hop):
        levels = [float(np.sqrt(np.square(stem[:, start : start + length]).mean())) for stem in stems]
        if min(levels) > max(level, AUDIBLE):
            best, level = start, min(levels)
    if best is None or len(stems) < 3:
        return None
    return np.stack([stem[:, best : best + length] for stem in stems]).astype(np.float64)


def separated(reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return estimates like those of a plausible separator."""
    estimate = 0.9 * reference + 0.08 * (reference.sum(axis=0) - reference)
    estimate += 0.05 * np.roll(estimate, 7, axis=2)
    level = np.sqrt(np.square(reference).mean(axis=(1, 2), keepdims=True))
    return np.asarray(estimate + 0.01 * level * rng.standard_normal(reference.shape))


def by_museval(reference: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Medians of ISR, SIR and SAR. Shape: (metric, source)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its own imports warn of
        bss_eval = importlib.import_module("museval").metrics.bss_eval
    turned = (reference.transpose(0, 2, 1), estimate.transpose(0, 2, 1))
    return np.stack([separation.over_frames(values) for values in bss_eval(*turned, window=RATE, hop=RATE)[1:4]])


def case(song: str, kind: str, reference: np.ndarray, estimate: np.ndarray) -> dict[str, Any]:
    """One excerpt."""
    there = by_museval(reference, estimate)
    back = by_museval(reference[::-1], estimate[::-1])[:, ::-1]
    scores = separation.measure(lambda: [(reference, estimate)], RATE, [*PLAIN, *REGULARISED])
    regularised = np.stack([scores.of_song(name) for name in REGULARISED])
    ours = np.stack([scores.of_song(name) for name in PLAIN])
    return {
        "song": song,
        "kind": kind,
        "sources": len(reference),
        "not_determined": sorted(scores.not_determined),
        "museval_db": there.round(3).tolist(),
        "museval_order_db": np.abs(there - back).max(axis=1).round(3).tolist(),
        "ours_less_museval_db": [
            None if np.isnan(row).all() else float(np.nanmax(np.abs(row)).round(3)) for row in ours - there
        ],
        "regularised_db": regularised.round(3).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("songs", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "machine": {**describe_machine(), "museval": version("museval")},
        "seconds": arguments.seconds,
        "cases": [],
    }
    for song in sorted(path for path in arguments.songs.iterdir() if path.is_dir()):
        reference = excerpt(song, arguments.seconds)
        if reference is None:
            continue
        for kind, bits in (("lossy", None), ("24 bits", 24), ("16 bits", 16)):
            rounded = reference if bits is None else np.round(reference * 2 ** (bits - 1)) / 2 ** (bits - 1)
            estimate = separated(rounded, np.random.default_rng(0))
            result["cases"].append(case(song.name, kind, rounded, estimate))
            write_json(arguments.output, result)
            print(result["cases"][-1])


if __name__ == "__main__":
    main()
