"""Thresholds of each class's own: those that maximise F1 (``threshold="adaptive"``).

An ablation of Koo et al. 2023 (section 5.2.2, Table 3): it raises F1 at the expense of recall, and a separator trained
on the outcome was worse, 3.68 dB against 4.28 dB with 0.9 for all classes. The paper does not say against which labels
F1 was taken. A noisy dataset has no truth, so here it is taken against the labels that it has: those which the
classifier was trained on, over stems that it was not trained on, or, where weights are given, over any stems. Wrong
labels move the thresholds with them.
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
from stemclean.refining.config import RefineConfig, Running
from stemclean.refining.jury import Jury
from stemclean.refining.listening import scores_of

__all__ = ["best_threshold", "resolve", "sample"]

STEMS_PER_CLASS = 100
"""Stems of each class that are listened to, at most."""
FALLBACK = 0.9
"""The paper's threshold, for a class that none or all of the stems hold."""


def resolve(
    config: RefineConfig,
    stems: Sequence[Stem],
    folder: Path,
    jury: Jury,
    running: Running,
    dataset: Sequence[Stem] | None = None,
) -> tuple[RefineConfig, dict[str, Any]]:
    """The settings with thresholds that are numbers; as they are, unless they are ``adaptive``.

    Args:
        stems: with the labels that F1 is taken against; see :func:`sample`.
        dataset: all stems of their songs; None: these are.

    Returns:
        (the settings, what the summary tells: ``thresholds`` with the number of ``stems`` listened to, and per
        class the ``threshold`` and the ``f1`` that it reaches, None where the class cannot be told)

    Raises:
        ConfigError: nothing to listen to.
    """
    if config.threshold != "adaptive":
        return config, {}
    songs = SongLevels(stems if dataset is None else dataset, folder, config.silence_floor_dbfs)
    with one_thread_each(running.workers) as threads:
        heard = threads.map(lambda stem: scores_of(stem, folder, jury, config, songs), stems)
        bar = tqdm(heard, "thresholds", len(stems), unit="stem", disable=True if running.quiet else None)
        pairs = [(stem, scores) for stem, scores in zip(stems, bar, strict=True) if scores is not None]
    if not pairs:
        raise ConfigError("no stem to find adaptive thresholds on", "give a number: --threshold 0.9")
    thresholds, reached = {}, {}
    for label in jury.labels:
        truth = np.array([label in stem.labels for stem, _ in pairs])
        thresholds[label], reached[label] = best_threshold(truth, np.array([scores[label] for _, scores in pairs]))
    told = {"rule": "adaptive", "stems": len(pairs), "threshold": thresholds, "f1": reached}
    return config.changed(threshold=thresholds), {"thresholds": told}


def sample(stems: Sequence[Stem]) -> list[Stem]:
    """Stems to find thresholds on: at most :data:`STEMS_PER_CLASS` of each class, always the same ones.

    Declared test stems, stems without labels and dropped ones are left out.
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
    """The threshold above which F1 is highest, half way between two scores; of several the lowest, for recall.

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
    f1[ranked == below] = 0.0  # no threshold parts equal scores
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    between = (ranked[best] + below[best]) / 2
    return float(np.clip(round(between, 6), 1e-6, 1 - 1e-6)), round(float(f1[best]), 4)
