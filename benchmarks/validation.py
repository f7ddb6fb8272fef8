"""Compare classifiers on the validation tracks of the training set, on which none of them was trained.

    python -m benchmarks.validation SET URI [URI ...] [--excerpts 400] [--cache DIR]

Excerpts of seven segments, half of them with a stem of another class mixed in at -25 to 0 dB; the same ones for all
weights. Told are the ROC AUC of each class's calibrated score over the excerpts, and how many of the classes mixed in
pass 0.9.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stemclean import manifest as manifests
from stemclean.data.pool import StemPool
from stemclean.metrics.tagging import roc_auc
from stemclean.models import calibration, weights
from stemclean.models.calibration import Calibration
from stemclean.training.calibrate import draw
from stemclean.units import db_to_amplitude

SEGMENTS = 7
BLEED_DB = (-25.0, 0.0)
SEED = 99


class Excerpt(NamedTuple):
    """A waveform ``(channel, time)``, its classes, and the class that was mixed in."""

    waveform: np.ndarray
    held: set[str]
    bleed: str | None


def excerpts(pool: StemPool, labels: tuple[str, ...], segment: int, number: int) -> Iterator[Excerpt]:
    """Return the same excerpts for all weights with one segment length."""
    rng = np.random.default_rng(SEED)
    for _ in range(number):
        stem = draw(pool, list(labels), rng)
        waveform = pool.random_segment(stem, SEGMENTS * segment, rng)
        bleeds, level_db = rng.random() < 0.5, rng.uniform(*BLEED_DB)
        donor = draw(pool, list(labels), rng)
        other = pool.random_segment(donor, waveform.shape[1], rng)
        sounding = np.flatnonzero(np.abs(waveform).max(0) > 1e-4)
        length = max(int(sounding[-1]) + 1 if len(sounding) else 0, segment) // (segment // 4) * (segment // 4)
        waveform, other = waveform[:, :length], other[:, :length]
        held, single = set(stem.labels), len(stem.labels) == len(donor.labels) == 1
        if not (bleeds and single and held.isdisjoint(donor.labels)):
            yield Excerpt(waveform, held, None)
            continue
        gain = db_to_amplitude(level_db) * rms(waveform) / max(rms(other), 1e-6)
        yield Excerpt(waveform + other * np.float32(gain), held | set(donor.labels), donor.labels[0])


def rms(waveform: np.ndarray) -> float:
    """Root mean square over all channels."""
    return float(np.sqrt(np.mean(waveform**2)))


def report(uri: str, pool: StemPool, number: int) -> str:
    """One line on one classifier."""
    loaded = weights.load(uri)
    model, calibrated = loaded.model, Calibration.of_card(loaded.card)
    labels, segment = model.spec.labels, model.spec.segment
    scores, truth, predicted = [], [], []
    for excerpt in excerpts(pool, labels, segment, number):
        gain = 1.0 if model.level_dbfs is None else db_to_amplitude(model.level_dbfs) / max(rms(excerpt.waveform), 1e-6)
        with torch.inference_mode():
            outputs = model.windows(torch.from_numpy(excerpt.waveform * np.float32(gain))[None], segment // 4)[0]
        windows = torch.sigmoid(model.logits(outputs)).numpy()
        scores.append(calibrated(calibration.pool(windows, np.ones(len(windows)))))
        truth.append([label in excerpt.held for label in labels])
        if excerpt.bleed:
            predicted.append(scores[-1][labels.index(excerpt.bleed)] > 0.9)
    held, scores_ = np.array(truth), np.array(scores)
    areas = (f"{label} {roc_auc(held[:, k], scores_[:, k]):.3f}" for k, label in enumerate(labels))
    return f"{uri}: ROC AUC {', '.join(areas)}; {sum(predicted)} of {len(predicted)} bleeds above 0.9"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training_set", type=Path, metavar="SET")
    parser.add_argument("weights", nargs="+", metavar="URI")
    parser.add_argument("--excerpts", type=int, default=400, metavar="N")
    parser.add_argument("--cache", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    manifest = manifests.read(arguments.training_set / "manifest.json")
    stems = [stem for stem in manifest.stems if stem.split != "test" and stem.labels]
    held_out = {stem.id for stem in stems if stem.split == "validation"}
    whole = StemPool.build(manifest.with_stems(stems), arguments.training_set, sample_rate=44100, cache=arguments.cache)
    pool = whole.where([stem.id in held_out for stem in whole.stems])
    for uri in arguments.weights:
        print(report(uri, pool, arguments.excerpts))


if __name__ == "__main__":
    main()
