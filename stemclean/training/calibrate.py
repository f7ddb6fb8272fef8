"""Fit a classifier's calibration on held-out tracks.

The excerpts resemble the stems that ``refine`` judges: some are clean, others have a second stem mixed in as bleed. The
bleed levels reach down to barely audible, because a faint class counts as present, too.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

from stemclean.data.pool import PooledStem, StemPool
from stemclean.models import calibration
from stemclean.models.calibration import Calibration
from stemclean.models.contract import Classifier
from stemclean.models.judge import Judgement, levels_of, window_power
from stemclean.models.levels import LevelCalibration, fit_levels
from stemclean.settings import WHOLE, Chance, LevelsDb, Settings
from stemclean.units import db_to_amplitude

__all__ = ["CalibrationConfig", "calibrate", "draw"]

SAME_SONG = 0.5
"""Share of the bleed taken from the same song, if it has another class. Most real bleed is, but songs are few."""
SILENT = 1e-7
"""RMS up to which an excerpt is silent: it neither receives bleed nor serves as bleed."""


class CalibrationConfig(Settings):
    """The excerpts that a classifier is calibrated on (our own choice; the paper has no calibration).

    Args:
        excerpts: Number of excerpts; 0 turns calibration off.
        segments: Length of an excerpt, in segments of the model.
        bleed_chance: Share of the excerpts into which another stem is mixed.
        bleed_db: Range of its level relative to the stem, drawn uniformly.
    """

    section: ClassVar[str] = "calibration"

    excerpts: Annotated[int, Field(ge=0, le=1_000_000), WHOLE] = 0
    segments: Annotated[int, Field(ge=1, le=1000), WHOLE] = 7
    bleed_chance: Chance = 0.4
    bleed_db: LevelsDb = (-20.0, 0.0)


class _Bleed(NamedTuple):
    """Bleed mixed into an excerpt.

    Args:
        excerpt: Index of the excerpt.
        stem_class: Index of the stem's class.
        bleed_class: Index of the class that bleeds into it.
        level_db: Level of the bleed relative to the stem.
    """

    excerpt: int
    stem_class: int
    bleed_class: int
    level_db: float


def calibrate(
    model: Classifier, pool: StemPool, config: CalibrationConfig, *, seed: int, quiet: bool = False
) -> tuple[Calibration, LevelCalibration]:
    """Fit the calibrations of a trained classifier: one for its scores, one for its levels.

    Args:
        model: The classifier, in evaluation mode.
        pool: Held-out stems with trusted labels.
        config: Number, length and bleed of the excerpts.
        seed: Random seed of the excerpts.
        quiet: Show no progress bar.
    """
    rng = np.random.default_rng((seed, 0xCA1))
    classes = [label for label in model.spec.labels if any(label in stem.labels for stem in pool.stems)]
    pooled: list[np.ndarray] = []
    levels_db: list[np.ndarray] = []
    truth: list[list[bool]] = []
    bleeds: list[_Bleed] = []
    for _ in tqdm(range(config.excerpts), "calibrate", unit="excerpt", disable=True if quiet else None):
        stem = draw(pool, classes, rng)
        excerpt = pool.random_segment(stem, config.segments * model.spec.segment, rng)
        present = set(stem.labels)
        if rng.random() < config.bleed_chance:
            donor = _donor(pool, stem, classes, rng)
            bleed = pool.random_segment(donor, excerpt.shape[1], rng)
            bleed_db = rng.uniform(*config.bleed_db)
            if min(_rms(excerpt), _rms(bleed)) > SILENT:
                level = db_to_amplitude(bleed_db) * _rms(excerpt) / _rms(bleed)
                excerpt = excerpt + bleed * np.float32(level)
                if len(stem.labels) == len(donor.labels) == 1 and stem.labels != donor.labels:
                    stem_class, bleed_class = map(model.spec.labels.index, stem.labels + donor.labels)
                    bleeds.append(_Bleed(len(pooled), stem_class, bleed_class, bleed_db))
                present |= set(donor.labels)
        judgement = _judge(model, excerpt)
        pooled.append(judgement.pooled())
        levels_db.append(judgement.stem_levels())
        truth.append([label in present for label in model.spec.labels])
    fitted = calibration.fit(np.stack(pooled, axis=1), np.array(truth))
    levels = np.stack(levels_db)
    used = [b for b in bleeds if np.isfinite(levels[b.excerpt]).all()]
    relative_db = np.array([levels[b.excerpt, b.bleed_class] - levels[b.excerpt, b.stem_class] for b in used])
    return fitted, fit_levels(relative_db, np.array([b.level_db for b in used]))


def draw(pool: StemPool, classes: list[str], rng: np.random.Generator) -> PooledStem:
    """Draw a class, then a stem of that class, both uniformly, so that rare classes are drawn as often as others."""
    label = classes[int(rng.integers(len(classes)))]
    stems = [stem for stem in pool.stems if label in stem.labels]
    return stems[int(rng.integers(len(stems)))]


def _donor(pool: StemPool, stem: PooledStem, classes: list[str], rng: np.random.Generator) -> PooledStem:
    """Draw the stem that bleeds into another."""
    other_classes = set(classes) - set(stem.labels)
    same_song = [
        other for other in pool.stems if other.track == stem.track and other_classes.intersection(other.labels)
    ]
    if same_song and rng.random() < SAME_SONG:
        return same_song[int(rng.integers(len(same_song)))]
    return draw(pool, classes, rng)


def _judge(model: Classifier, excerpt: np.ndarray) -> Judgement:
    """Run the model on an excerpt, without the silence at its end."""
    hop = model.spec.segment // 4
    peaks = np.abs(excerpt).max(0)
    sounding = np.flatnonzero(peaks > min(1e-4, 1e-3 * peaks.max(initial=0.0)))
    length = max(int(sounding[-1]) + 1 if len(sounding) else 0, model.spec.segment)
    windows = -(-(length - model.spec.segment) // hop) + 1
    padded = np.zeros((excerpt.shape[0], model.spec.segment + (windows - 1) * hop), np.float32)
    used = min(padded.shape[1], excerpt.shape[1])
    padded[:, :used] = excerpt[:, :used]
    if model.level_dbfs is not None:
        padded *= np.float32(db_to_amplitude(model.level_dbfs) / max(_rms(padded[:, :length]), 1e-8))
    with torch.inference_mode():
        outputs = model.windows(torch.from_numpy(padded)[None], hop)[0]
        scores, levels_db = torch.sigmoid(model.logits(outputs)).numpy(), levels_of(model, outputs)
    return Judgement(
        scores,
        np.full_like(scores, np.nan) if levels_db is None else levels_db.numpy(),
        window_power(padded, model.spec.segment, hop),
        np.ones(windows),
        [(0, length)],
        model.spec.sample_rate,
        hop,
        model.spec.segment,
        length,
        loudness_lufs=None,
        peak_dbfs=None,
    )


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform**2)))
