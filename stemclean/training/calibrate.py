"""Fit a classifier's calibration on tracks that it was not trained on.

What is scored are excerpts as ``refine`` meets stems: some clean, some with another stem mixed in as bleed. The levels
reach down to where bleed is barely heard, since a faint class counts as present, too.
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
"""Share of the bleeds that are from the stem's own song, if it has another class: most bleed is, but songs are few."""
SILENT = 1e-7
"""RMS of an excerpt in which there is nothing: nothing bleeds into it, and it does not bleed."""


class CalibrationConfig(Settings):
    """What a classifier is calibrated on; all ours.

    Args:
        excerpts: how many; 0: no calibration.
        segments: length of an excerpt, in segments of the model.
        bleed_chance: share of the excerpts that hold another stem as well.
        bleed_db: its level relative to the stem, drawn uniformly.
    """

    section: ClassVar[str] = "calibration"

    excerpts: Annotated[int, Field(ge=0, le=1_000_000), WHOLE] = 0
    segments: Annotated[int, Field(ge=1, le=1000), WHOLE] = 7
    bleed_chance: Chance = 0.4
    bleed_db: LevelsDb = (-20.0, 0.0)


class _Bleed(NamedTuple):
    """What was mixed into an excerpt: the classes' places, and the level relative to what it bleeds into."""

    excerpt: int
    into: int
    of: int
    level_db: float


def calibrate(
    model: Classifier, pool: StemPool, config: CalibrationConfig, *, seed: int, quiet: bool = False
) -> tuple[Calibration, LevelCalibration]:
    """The calibrations of a trained classifier, of its scores and of its levels.

    Args:
        model: in evaluation mode.
        pool: held-out stems with trusted labels.
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
        held = set(stem.labels)
        if rng.random() < config.bleed_chance:
            donor = _donor(pool, stem, classes, rng)
            bleed = pool.random_segment(donor, excerpt.shape[1], rng)
            bleed_db = rng.uniform(*config.bleed_db)
            if min(_rms(excerpt), _rms(bleed)) > SILENT:
                level = db_to_amplitude(bleed_db) * _rms(excerpt) / _rms(bleed)
                excerpt = excerpt + bleed * np.float32(level)
                if len(stem.labels) == len(donor.labels) == 1 and stem.labels != donor.labels:
                    into, of = map(model.spec.labels.index, stem.labels + donor.labels)
                    bleeds.append(_Bleed(len(pooled), into, of, bleed_db))
                held |= set(donor.labels)
        heard = _heard(model, excerpt)
        pooled.append(heard.pooled())
        levels_db.append(heard.stem_levels())
        truth.append([label in held for label in model.spec.labels])
    fitted = calibration.fit(np.stack(pooled, axis=1), np.array(truth))
    told = np.stack(levels_db)
    used = [b for b in bleeds if np.isfinite(told[b.excerpt]).all()]
    below = np.array([told[b.excerpt, b.of] - told[b.excerpt, b.into] for b in used])
    return fitted, fit_levels(below, np.array([b.level_db for b in used]))


def draw(pool: StemPool, classes: list[str], rng: np.random.Generator) -> PooledStem:
    """A stem of a class drawn first, so that rare classes count as much; all stems of a class alike."""
    label = classes[int(rng.integers(len(classes)))]
    stems = [stem for stem in pool.stems if label in stem.labels]
    return stems[int(rng.integers(len(stems)))]


def _donor(pool: StemPool, stem: PooledStem, classes: list[str], rng: np.random.Generator) -> PooledStem:
    """What bleeds into a stem."""
    others = set(classes) - set(stem.labels)
    own = [other for other in pool.stems if other.track == stem.track and others.intersection(other.labels)]
    return own[int(rng.integers(len(own)))] if own and rng.random() < SAME_SONG else draw(pool, classes, rng)


def _heard(model: Classifier, excerpt: np.ndarray) -> Judgement:
    """What the model says of an excerpt, silence at its end left out."""
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
        scores, told = torch.sigmoid(model.logits(outputs)).numpy(), levels_of(model, outputs)
    return Judgement(
        scores,
        np.full_like(scores, np.nan) if told is None else told.numpy(),
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
