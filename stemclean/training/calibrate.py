"""Fit a classifier's calibration on tracks that it was not trained on.

What is scored are excerpts as ``refine`` meets stems: some clean, some with another stem mixed in as bleed. The levels
reach down to where bleed is barely heard, since a faint class counts as present, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from stemclean.data.pool import PooledStem, StemPool
from stemclean.models import calibration
from stemclean.models.calibration import Calibration
from stemclean.models.contract import Classifier
from stemclean.units import db_to_amplitude

__all__ = ["CalibrationConfig", "calibrate"]


@dataclass(frozen=True)
class CalibrationConfig:
    """What a classifier is calibrated on; all ours.

    Args:
        excerpts: how many; 0: no calibration.
        segments: length of an excerpt, in segments of the model.
        bleed_chance: share of the excerpts that hold another stem as well.
        bleed_db: its level relative to the stem, drawn uniformly.
    """

    excerpts: int = 0
    segments: int = 7
    bleed_chance: float = 0.4
    bleed_db: tuple[float, float] = (-20.0, 0.0)


def calibrate(
    model: Classifier, pool: StemPool, config: CalibrationConfig, *, seed: int, quiet: bool = False
) -> Calibration:
    """The calibration of a trained classifier.

    Args:
        model: in evaluation mode.
        pool: held-out stems with trusted labels.
    """
    rng = np.random.default_rng((seed, 0xCA1))
    classes = [label for label in model.spec.labels if any(label in stem.labels for stem in pool.stems)]
    scores, truth = [], []
    for _ in tqdm(range(config.excerpts), "calibrate", unit="excerpt", disable=True if quiet else None):
        stem = _draw(pool, classes, rng)
        excerpt = pool.random_segment(stem, config.segments * model.spec.segment, rng)
        held = set(stem.labels)
        if rng.random() < config.bleed_chance:
            donor = _draw(pool, classes, rng)
            bleed = pool.random_segment(donor, excerpt.shape[1], rng)
            level = db_to_amplitude(rng.uniform(*config.bleed_db)) * _rms(excerpt) / max(_rms(bleed), 1e-6)
            excerpt = excerpt + bleed * np.float32(level)
            held |= set(donor.labels)
        scores.append(_scores(model, excerpt))
        truth.append([label in held for label in model.spec.labels])
    return calibration.fit(np.stack(scores, axis=1), np.array(truth))


def _draw(pool: StemPool, classes: list[str], rng: np.random.Generator) -> PooledStem:
    """A stem of a class drawn first, so that rare classes count as much; all stems of a class alike."""
    label = classes[int(rng.integers(len(classes)))]
    stems = [stem for stem in pool.stems if label in stem.labels]
    return stems[int(rng.integers(len(stems)))]


def _scores(model: Classifier, excerpt: np.ndarray) -> np.ndarray:
    """Pooled window scores ``(2, label)``, silence at the end left out."""
    hop = model.spec.segment // 4
    sounding = np.flatnonzero(np.abs(excerpt).max(0) > 1e-4)
    length = max(int(sounding[-1]) + 1 if len(sounding) else 0, model.spec.segment)
    windows = -(-(length - model.spec.segment) // hop) + 1
    padded = np.zeros((excerpt.shape[0], model.spec.segment + (windows - 1) * hop), np.float32)
    used = min(padded.shape[1], excerpt.shape[1])
    padded[:, :used] = excerpt[:, :used]
    if model.level_dbfs is not None:
        padded *= np.float32(db_to_amplitude(model.level_dbfs) / max(_rms(padded[:, :length]), 1e-6))
    with torch.inference_mode():
        logits = model.logits(model.windows(torch.from_numpy(padded)[None], hop)[0])
    return calibration.pool(torch.sigmoid(logits).numpy(), np.ones(windows))


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform**2)))
