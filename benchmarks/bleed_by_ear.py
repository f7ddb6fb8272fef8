"""How well classifiers hear a class that bleeds into a stem, by its level, on songs that nobody trained on.

    python -m benchmarks.bleed_by_ear SET OUT.json URI [URI ...] [--split test] [--seconds 3] [--draws 200]

Clips of the real songs of one split of the training set (:mod:`benchmarks.training_set`), each a stem of one class, as
it is and with another class mixed in at 0, -10 and -20 dB, half of these through a random room. The donor is a stem of
the same song where it has one. All classifiers get the same clips, mixed at 44.1 kHz.

The score of a class in clips with it is compared with its score in the clips of other classes without it: the area
under the ROC curve, and the share found with 2 % false alarms. Intervals of 95 % by drawing songs with replacement.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr
import torch
from tqdm import tqdm

from benchmarks.detection import describe_weights, rounded
from benchmarks.resumable import write_json
from stemclean import manifest as manifests
from stemclean.data.pool import PooledStem, StemPool
from stemclean.data.rooms import draw_room
from stemclean.metrics.tagging import roc_auc
from stemclean.models import calibration, weights
from stemclean.models.calibration import Calibration
from stemclean.models.weights import Weights
from stemclean.units import db_to_amplitude

SAMPLE_RATE = 44100
LEVELS_DB = (0.0, -10.0, -20.0)
ROOMS = 0.5
FALSE_ALARMS = 0.02
RESAMPLES = 300
SEED = 17

Record = dict[str, Any]


class Clip(NamedTuple):
    """A clip ``(channel, time)``, its song, the class of its stem, the class mixed in and its level."""

    waveform: np.ndarray
    track: str
    label: str
    bleed: str | None
    level_db: float | None


def clips(pool: StemPool, labels: Sequence[str], num_samples: int, draws: int) -> Iterator[Clip]:
    """Yield ``draws`` clips of each class without bleed, and each again with one other class at each level."""
    rng = np.random.default_rng(SEED)
    single = [stem for stem in pool.stems if len(stem.labels) == 1]
    for label in labels:
        stems = [stem for stem in single if stem.labels == (label,)]
        for number in range(draws if stems else 0):
            stem = stems[number % len(stems)]
            sound = pool.random_segment(stem, num_samples, rng)
            donor = _donor(single, stem, rng)
            other = pool.random_segment(donor, num_samples, rng)
            if min(_rms(sound), _rms(other)) < 1e-4:
                continue
            if rng.random() < ROOMS:
                other = draw_room(SAMPLE_RATE, rng)(other)
            yield Clip(sound, stem.track, label, None, None)
            for level_db in LEVELS_DB:
                gain = db_to_amplitude(level_db) * _rms(sound) / _rms(other)
                yield Clip(sound + other * np.float32(gain), stem.track, label, donor.labels[0], level_db)


def _donor(stems: Sequence[PooledStem], stem: PooledStem, rng: np.random.Generator) -> PooledStem:
    """Draw a class that the stem does not hold, then a stem of it, of the same song where there is one."""
    others = [other for other in stems if other.labels != stem.labels]
    classes = sorted({other.labels[0] for other in others})
    label = classes[int(rng.integers(len(classes)))]
    donors = [other for other in others if other.labels == (label,)]
    donors = [other for other in donors if other.track == stem.track] or donors
    return donors[int(rng.integers(len(donors)))]


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform**2)))


def scores_of(loaded: Weights, sounds: Sequence[Clip]) -> np.ndarray:
    """Return the calibrated scores of the clips, ``(clip, label)``."""
    model, calibrated = loaded.model, Calibration.of_card(loaded.card)
    spec = model.spec
    scores = []
    for clip in tqdm(sounds, loaded.uri, unit="clip", disable=None):
        sound = _at_rate(clip.waveform, spec.sample_rate)
        sound = np.pad(sound, ((0, 0), (0, max(0, spec.segment - sound.shape[1]))))
        hop = spec.segment // 4
        sound = sound[:, : spec.segment + (sound.shape[1] - spec.segment) // hop * hop]
        gain = 1.0 if model.level_dbfs is None else db_to_amplitude(model.level_dbfs) / max(_rms(sound), 1e-6)
        with torch.inference_mode():
            outputs = model.windows(torch.from_numpy(sound * np.float32(gain))[None], hop)[0]
        windows = torch.sigmoid(model.logits(outputs)).numpy()
        scores.append(calibrated(calibration.pool(windows, np.ones(len(windows)))))
    return np.array(scores)


def _at_rate(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    return waveform if sample_rate == SAMPLE_RATE else soxr.resample(waveform.T, SAMPLE_RATE, sample_rate).T.copy()


def figures(scores: np.ndarray, sounds: Sequence[Clip], labels: Sequence[str]) -> Record:
    """Return the area and the share found, by level and by class that bleeds, and their means over classes."""
    result: Record = {}
    for level_db in (None, *LEVELS_DB):
        name = "single" if level_db is None else f"{level_db:g} dB"
        rows = {label: _detection(scores[:, k], sounds, label, level_db) for k, label in enumerate(labels)}
        known = [row for row in rows.values() if row]
        mean = {key: float(np.mean([row[key] for row in known])) for key in known[0]} if known else {}
        result[name] = {"mean": mean, **rows}
    return result


def _detection(scores: np.ndarray, sounds: Sequence[Clip], label: str, level_db: float | None) -> Record:
    """Compare a class in stems of it (level None), or as bleed, with clean stems of others; {} if it is in none."""
    held = [clip.label == label and clip.bleed is None for clip in sounds]
    if level_db is not None:
        held = [clip.bleed == label and clip.level_db == level_db for clip in sounds]
    absent = np.array([clip.bleed is None and clip.label != label for clip in sounds])
    present = np.array(held)
    if not present.any() or not absent.any():
        return {}
    used = present | absent
    limit = np.quantile(scores[absent], 1 - FALSE_ALARMS)
    return {"auc": roc_auc(present[used], scores[used]), "found": float(np.mean(scores[present] > limit))}


def with_intervals(scores: np.ndarray, sounds: Sequence[Clip], labels: Sequence[str]) -> Record:
    """Return :func:`figures`, and intervals of the means over classes by drawing songs with replacement."""
    rows: dict[str, list[int]] = defaultdict(list)
    for index, clip in enumerate(sounds):
        rows[clip.track].append(index)
    rng, songs = np.random.default_rng(0), sorted(rows)
    result, drawn = figures(scores, sounds, labels), []
    for _ in range(RESAMPLES):
        chosen = [index for song in rng.choice(songs, len(songs)) for index in rows[song]]
        drawn.append(figures(scores[chosen], [sounds[index] for index in chosen], labels))
    for name, row in result.items():
        means = [other[name]["mean"] for other in drawn if other[name]["mean"]]
        row["interval"] = {
            key: [rounded(value) for value in np.percentile([mean[key] for mean in means], [2.5, 97.5])]
            for key in row["mean"]
        }
        for label in ("mean", *labels):
            row[label] = {key: rounded(value) for key, value in row[label].items()}
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training_set", type=Path, metavar="SET")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("weights", nargs="+", metavar="URI")
    parser.add_argument("--split", default="validation", help="validation (to choose by) or test (to report)")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--draws", type=int, default=200, metavar="N", help="clips of each class")
    parser.add_argument("--cache", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    manifest = manifests.read(arguments.training_set / "manifest.json")
    stems = [
        stem.model_copy(update={"split": None, "sampling_weight": 1.0})
        for stem in manifest.stems
        if stem.split == arguments.split and stem.extra["kind"] in {"songs", "singing"} and stem.labels
    ]
    pool = StemPool.build(
        manifest.with_stems(stems), arguments.training_set, sample_rate=SAMPLE_RATE, cache=arguments.cache
    )
    loaded = [weights.load(uri) for uri in arguments.weights]
    labels = loaded[0].model.spec.labels
    sounds = list(clips(pool, labels, int(arguments.seconds * SAMPLE_RATE), arguments.draws))
    result: Record = {"split": arguments.split, "seconds": arguments.seconds, "clips": len(sounds)}
    every = []
    for own in loaded:
        every.append(scores_of(own, sounds))
        result[own.uri] = {"weights": describe_weights(own), **with_intervals(every[-1], sounds, labels)}
        _show(own.uri, result[own.uri])
    if len(every) > 1:  # what an ensemble would bring
        result["mean of scores"] = with_intervals(np.mean(every, axis=0), sounds, labels)
        _show("mean of scores", result["mean of scores"])
    write_json(arguments.output, result)


def _show(name: str, rows: Record) -> None:
    print(name)
    for level in ("single", *(f"{level:g} dB" for level in LEVELS_DB)):
        row = rows[level]
        by_class = ", ".join(
            f"{key} {row[key]['auc']:.3f} {row[key]['found']:.2f}"
            for key in row
            if key not in {"mean", "interval"} and row[key]
        )
        print(f"  {level}: area {row['mean']['auc']:.3f}, found {row['mean']['found']:.2f} ({by_class})", flush=True)


if __name__ == "__main__":
    main()
