"""A threshold for each class, chosen to maximise F1 (``threshold="adaptive"``).

An ablation of Koo et al. 2023 (section 5.2.2, Table 3). It raises F1 at the expense of recall, and a separator trained
on the result was worse: 3.68 dB, against 4.28 dB with 0.9 for all classes. The paper does not say against which labels
F1 was computed. A noisy dataset has no ground truth, so this module uses the dataset's own labels: those that the
classifier was trained on, over stems that it was not trained on; with given weights, over any stems. Wrong labels
therefore shift the thresholds.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stemclean.data.song_levels import SongLevels
from stemclean.errors import ConfigError
from stemclean.manifest import Stem
from stemclean.models.judge import one_thread_each
from stemclean.refining.config import RefineConfig
from stemclean.refining.jury import Jury
from stemclean.refining.listening import scores_of
from stemclean.running import Running

__all__ = ["best_threshold", "resolve", "sample"]

STEMS_PER_CLASS = 100
"""Maximum number of stems of each class to judge."""
FALLBACK = 0.9
"""The paper's threshold, used for a class that is in none or in all of the stems."""


def resolve(
    config: RefineConfig,
    stems: Sequence[Stem],
    folder: Path,
    jury: Jury,
    running: Running,
    dataset: Sequence[Stem] | None = None,
) -> tuple[RefineConfig, dict[str, Any]]:
    """Replace ``adaptive`` thresholds by numbers; other settings are returned unchanged.

    Args:
        stems: the stems to judge, with the labels to compute F1 against; see :func:`sample`.
        dataset: all stems of their songs; None: ``stems`` has them all.

    Returns:
        (the settings, an entry for the summary: ``thresholds`` with the number of ``stems`` judged, and for each class
        its ``threshold`` and the ``f1`` that it reaches; None where all stems or none have the class)

    Raises:
        ConfigError: there are no stems to judge.
    """
    if config.threshold != "adaptive":
        return config, {}
    songs = SongLevels(stems if dataset is None else dataset, folder, config.silence_floor_dbfs)
    with one_thread_each(running.workers) as threads:
        scored = threads.map(lambda stem: scores_of(stem, folder, jury, config, songs), stems)
        bar = tqdm(scored, "thresholds", len(stems), unit="stem", disable=True if running.quiet else None)
        pairs = [(stem, scores) for stem, scores in zip(stems, bar, strict=True) if scores is not None]
    if not pairs:
        raise ConfigError("no stem to find adaptive thresholds on", "give a number: --threshold 0.9")
    thresholds, reached = {}, {}
    for label in jury.labels:
        truth = np.array([label in stem.labels for stem, _ in pairs])
        thresholds[label], reached[label] = best_threshold(truth, np.array([scores[label] for _, scores in pairs]))
    report = {"rule": "adaptive", "stems": len(pairs), "threshold": thresholds, "f1": reached}
    return config.changed(threshold=thresholds), {"thresholds": report}


def sample(stems: Sequence[Stem]) -> list[Stem]:
    """Choose the stems to find thresholds on: at most :data:`STEMS_PER_CLASS` of each class, always the same ones.

    Declared test stems, unlabelled stems and dropped stems are excluded.
    """
    usable = [stem for stem in stems if stem.trainable]
    taken: Counter[str] = Counter()
    chosen = []
    for stem in sorted(usable, key=lambda stem: hashlib.sha256(stem.id.encode()).digest()):
        if any(taken[label] < STEMS_PER_CLASS for label in stem.labels):
            taken.update(stem.labels)
            chosen.append(stem)
    return chosen


def best_threshold(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float | None]:
    """Return the threshold with the highest F1, half way between two scores; of equally good ones, the lowest.

    Args:
        truth: ``(stem,)`` of bool.
        scores: ``(stem,)`` in [0, 1].

    Returns:
        (threshold, F1); (:data:`FALLBACK`, None) where all stems or none are positive.
    """
    if truth.all() or not truth.any():
        return FALLBACK, None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + truth.sum())
    below = np.append(ranked[1:], 0.0)
    f1[ranked == below] = 0.0  # no threshold separates equal scores
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    between = (ranked[best] + below[best]) / 2
    return float(np.clip(round(between, 6), 1e-6, 1 - 1e-6)), round(float(f1[best]), 4)
