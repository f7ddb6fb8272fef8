"""Evaluate a refined manifest against ground truth: the ``eval labels`` verb.

The ground truth is a manifest too. Its ``labels`` are the true classes of each stem, its ``claimed`` the claims of the
dataset, and ``extra.fault`` is the kind of fault that :func:`stemclean.corrupt.corrupt` added. Its ``regions`` say when
each class sounds, and its ``levels_db`` how loud.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemclean import manifest
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Stem
from stemclean.metrics import segments, tagging

__all__ = ["BAND_WIDTH_DB", "bleed_level", "bleed_levels", "evaluate_labels", "level_band", "spans_by_label"]

BAND_WIDTH_DB = 10
"""Width of the level bands in which the recall of bleed is reported."""


def evaluate_labels(refined: Manifest | str | Path, truth: Manifest | str | Path) -> dict[str, Any]:
    """Evaluate the labels of a refined manifest, and how well it detects wrong stems.

    Stems are matched by id. A stem is *wrong* if its true labels differ from its claims, and *flagged* if its verdict
    is not ``keep``. Stems are ranked by ``1 - label_quality``; a verdict without a quality (of a silent stem) ranks
    first if it is flagged, otherwise last.

    Args:
        refined: a manifest whose stems have verdicts, or its path.
        truth: a manifest with the true ``labels``, or its path.

    Returns:
        A flat dict for JSON; ``None`` stands for undefined values. Shares are in [0, 1].

        - ``stems/matched``, ``stems/wrong``, ``stems/flagged``: counts. ``stems/unmatched_refined`` and
          ``stems/unmatched_truth``: ids that occur on one side only; these stems count in no metric.
        - ``labels/METRIC/CLASS`` and ``labels/METRIC/average`` for accuracy, precision, recall and f1;
          ``labels/exact_match``: share of stems whose set of labels is correct.
        - ``claims/METRIC/…``: the same for the claimed labels, that is, without any cleaning.
        - ``detection/precision``, ``recall``, ``f1``, ``average_precision``, ``roc_auc``.
        - ``fault/KIND/num``, ``fault/KIND/recall`` (share flagged) and ``fault/KIND/labels_right`` (share whose
          labels are correct) for each kind of fault. ``none`` are stems without a fault, with the share of false alarms
          as ``fault/none/flagged``; ``unplanted`` are stems that were wrong before.
        - ``fault/bleed/-10..0_db/num`` and ``…/recall``: the same by level; a band includes its upper end.
        - ``regions/stems``: number of stems with regions on both sides; ``regions/METRIC/CLASS``,
          ``regions/METRIC/average`` and ``regions/METRIC/unclaimed`` for f1, precision and recall, see
          :mod:`stemclean.metrics.segments`. Omitted if no stem has regions.
        - ``levels/…``: errors of the estimated levels of bleed, see :func:`bleed_levels`. Omitted if the ground truth
          or the refined manifest has no levels.

    Raises:
        ConfigError: no stem matches, the classes differ, or a stem has no verdict.
    """
    refined = _manifest(refined)
    truth = _manifest(truth)
    if set(refined.labels) != set(truth.labels):
        refined_classes, true_classes = ", ".join(refined.labels), ", ".join(truth.labels)
        raise ConfigError(
            f"the classes differ: {refined_classes} in the refined manifest, {true_classes} in the ground truth",
            "refine with weights of the same classes",
        )
    by_id = {stem.id: stem for stem in refined.stems}
    pairs = [(by_id[stem.id], stem) for stem in truth.stems if stem.id in by_id]
    if not pairs:
        raise ConfigError(
            "the refined manifest and the ground truth have no stem in common",
            f"ids look like {_example(refined)} in the refined manifest and {_example(truth)} in the ground truth\n"
            "refine the folder that contains the ground truth: stemclean refine CORRUPTED -o refined.json",
        )
    unjudged = [stem.id for stem, _ in pairs if stem.verdict is None]
    if unjudged:
        raise ConfigError(
            f"stems without a verdict: {len(unjudged)}, for example {unjudged[0]}",
            "evaluate the output of: stemclean refine DATA -o refined.json",
        )
    labels = truth.labels
    true_labels = _mask([true_stem.labels for _, true_stem in pairs], labels)
    predicted = _mask([refined_stem.labels for refined_stem, _ in pairs], labels)
    claimed = _mask([true_stem.claimed for _, true_stem in pairs], labels)
    wrong = (true_labels != claimed).any(1)
    flagged = np.array([_flagged(stem) for stem, _ in pairs])
    score = np.array([1.0 - _quality(stem) for stem, _ in pairs])
    report: dict[str, Any] = {
        "stems/matched": len(pairs),
        "stems/wrong": int(wrong.sum()),
        "stems/flagged": int(flagged.sum()),
        "stems/unmatched_refined": sorted(set(by_id) - {stem.id for _, stem in pairs}),
        "stems/unmatched_truth": sorted(stem.id for stem in truth.stems if stem.id not in by_id),
    }
    report |= _under("labels", tagging.evaluate(true_labels, predicted, labels))
    report |= _under("claims", tagging.evaluate(true_labels, claimed, labels))
    report |= _under("detection", tagging.evaluate_detection(wrong, flagged, score))
    groups = _groups([true_stem for _, true_stem in pairs], wrong)
    for name, members in groups.items():
        report[f"fault/{name}/num"] = len(members)
        report[f"fault/{name}/{'flagged' if name == 'none' else 'recall'}"] = float(flagged[members].mean())
        report[f"fault/{name}/labels_right"] = tagging.exact_match(true_labels[members], predicted[members])
    report |= _under("regions", _regions(pairs, labels))
    report |= _under("levels", bleed_levels(pairs))
    return report


def bleed_levels(pairs: Sequence[tuple[Stem, Stem]]) -> dict[str, Any]:
    """Evaluate the estimated levels of added bleed.

    The level of bleed is its power in dB relative to that of the class that it bleeds into, over the whole stem: the
    difference of the two ``levels_db``.

    Args:
        pairs: pairs of a refined stem and the true stem.

    Returns:
        An empty dict if no refined stem has levels, or no true level is known. Otherwise

        - ``bleeds``: number of added bleeds with a known level; ``found``: number of those with both classes found;
        - ``error_db``: mean absolute error over those found; ``bias_db``: mean error, positive if the estimates are too
          loud;
        - ``error_all_db``: mean absolute error over all bleeds; the mean true level stands in for those not found;
        - ``mean_error_db``, ``mean_error_all_db``: the same two errors of always estimating the mean true level, as a
          baseline.
    """
    if not any(refined.levels_db for refined, _ in pairs):
        return {}
    bleeds = [(refined, truth, level) for refined, truth in pairs if (level := bleed_level(truth, truth)) is not None]
    if not bleeds:
        return {}
    true = np.array([level for _, _, level in bleeds])
    levels = [bleed_level(refined, truth) for refined, truth, _ in bleeds]
    estimated = np.array([np.nan if level is None else level for level in levels])
    is_found = ~np.isnan(estimated)
    errors = np.where(is_found, estimated, true.mean()) - true
    from_mean = np.abs(true - true.mean())
    return {
        "bleeds": len(true),
        "found": int(is_found.sum()),
        "error_db": _mean(np.abs(errors[is_found])),
        "bias_db": _mean(errors[is_found]),
        "mean_error_db": _mean(from_mean[is_found]),
        "error_all_db": _mean(np.abs(errors)),
        "mean_error_all_db": _mean(from_mean),
    }


def bleed_level(stem: Stem, truth: Stem) -> float | None:
    """Return the level of added bleed in dB relative to the class that it bleeds into, according to ``stem``.

    Args:
        stem: the refined stem, or the true stem.
        truth: the true stem, which says what was added.

    Returns:
        The level; None if there is no bleed, if it bleeds into several classes, or if ``stem`` lacks a level.
    """
    bleed = (truth.extra.get("bleed") or {}).get("label")
    hosts = [label for label in truth.labels if label != bleed]
    if bleed is None or len(hosts) != 1 or not {bleed, *hosts} <= set(stem.levels_db):
        return None
    return stem.levels_db[bleed] - stem.levels_db[hosts[0]]


def _regions(pairs: Sequence[tuple[Stem, Stem]], labels: Sequence[str]) -> dict[str, Any]:
    """Return segment-based metrics of the stems with regions on both sides; a silent refined stem needs none."""
    comparable = [
        (refined, truth)
        for refined, truth in pairs
        if truth.regions and (refined.regions or (refined.verdict and refined.verdict.reason == "silent"))
    ]
    if not comparable:
        return {}
    parts = []
    for refined, truth in comparable:
        true, predicted = (segments.activity(spans_by_label(stem), labels, truth.duration) for stem in (truth, refined))
        unclaimed = np.array([label not in truth.claimed for label in labels])
        parts.append((true, predicted, np.broadcast_to(unclaimed, true.shape)))
    true, predicted, mask = (np.concatenate(part) for part in zip(*parts, strict=True))
    return {"stems": len(comparable), **segments.evaluate(true, predicted, mask, labels)}


def spans_by_label(stem: Stem) -> dict[str, list[tuple[float, float]]]:
    """Return when each class sounds, from the regions of a stem: label -> start and end in seconds."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for region in stem.regions:
        for label in region.labels:
            spans[label].append((region.start, region.end))
    return spans


def level_band(level_db: float) -> str:
    """Return the name of the band that contains a level; a band includes its upper end.

    >>> level_band(-3.0), level_band(-10.0), level_band(0.0)
    ('-10..0_db', '-20..-10_db', '-10..0_db')
    """
    high = math.ceil(level_db / BAND_WIDTH_DB) * BAND_WIDTH_DB
    return f"{high - BAND_WIDTH_DB}..{high}_db"


def _groups(truth: list[Stem], wrong: np.ndarray) -> dict[str, list[int]]:
    """Return kind of fault -> indices of stems, sorted by name; a stem with two faults counts in both."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, (stem, is_wrong) in enumerate(zip(truth, wrong, strict=True)):
        planted = stem.extra.get("fault")
        kinds = str(planted).split("+") if planted else ["unplanted" if is_wrong else "none"]
        for kind in kinds:
            groups[kind].append(index)
        level = (stem.extra.get("bleed") or {}).get("level_db")
        if level is not None:
            groups[f"bleed/{level_band(float(level))}"].append(index)
    return dict(sorted(groups.items()))


def _manifest(data: Manifest | str | Path) -> Manifest:
    return data if isinstance(data, Manifest) else manifest.read(data)


def _mask(sets: list[list[str]], labels: list[str]) -> np.ndarray:
    return np.array([[label in members for label in labels] for members in sets], dtype=np.bool_)


def _flagged(stem: Stem) -> bool:
    return stem.verdict is not None and stem.verdict.action != "keep"


def _quality(stem: Stem) -> float:
    quality = stem.verdict.label_quality if stem.verdict else None
    return (0.0 if _flagged(stem) else 1.0) if quality is None else quality


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _under(prefix: str, report: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}/{name}": value for name, value in report.items()}


def _example(data: Manifest) -> str:
    return f'"{data.stems[0].id}"' if data.stems else "(no stems)"
