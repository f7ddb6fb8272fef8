"""The verb ``eval``: hold a refined manifest against the truth.

The truth is a manifest too: its ``labels`` are what each stem really holds, its ``claimed`` what the dataset
says, and ``extra.fault`` the kind of fault that :func:`stemclean.corrupt.corrupt` planted. Its ``regions`` say when
each class sounds, its ``levels_db`` how loud.
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
"""Width of the level bands by which the recall of bleeds is told."""


def evaluate_labels(refined: Manifest | str | Path, truth: Manifest | str | Path) -> dict[str, Any]:
    """How right the labels of a refined manifest are, and how well it tells wrong stems.

    Stems are matched by id. A stem is *wrong* where its true labels are not exactly the claimed ones; it is
    *flagged* where the verdict is not ``keep``. The ranking is by ``1 - label_quality``; a verdict without
    a quality (a silent stem has none) ranks by its action: first where it acts, last where it keeps.

    Args:
        refined: a manifest whose stems have verdicts, or where it lies.
        truth: a manifest whose ``labels`` are true, or where it lies.

    Returns:
        One flat dict, ready for JSON; ``None`` where a value is undefined. Shares are in [0, 1].

        - ``stems/matched``, ``stems/wrong``, ``stems/flagged``: counts; ``stems/unmatched_refined`` and
          ``stems/unmatched_truth``: lists of ids that only one side has, which count in no metric.
        - ``labels/METRIC/CLASS`` and ``labels/METRIC/average`` for accuracy, precision, recall and f1;
          ``labels/exact_match``: stems whose whole set is right.
        - ``claims/METRIC/…``: the same for the claimed labels, that is, without any cleaning.
        - ``detection/precision``, ``recall``, ``f1``, ``average_precision``, ``roc_auc``.
        - ``fault/KIND/num``, ``fault/KIND/recall`` (share flagged) and ``fault/KIND/labels_right`` (share whose
          labels are exactly the truth) for each kind of fault; ``none`` are the right stems (their "recall"
          stands as ``fault/none/flagged``: false alarms), ``unplanted`` those that were wrong before.
        - ``fault/bleed/-10..0_db/num`` and ``…/recall``: the same by level; a band holds its upper end.
        - ``regions/stems``: how many have regions on both sides; ``regions/METRIC/CLASS``, ``regions/METRIC/average``
          and ``regions/METRIC/unclaimed`` for f1, precision and recall: see :mod:`stemclean.metrics.segments`. Left out
          where there are none.
        - ``levels/…``: how loud bleeds are said to be, see :func:`bleed_levels`. Left out where the truth or the
          refined manifest tells no levels.

    Raises:
        ConfigError: no stem matches, the classes differ, or the refined manifest has no verdicts.
    """
    refined = _manifest(refined)
    truth = _manifest(truth)
    if set(refined.labels) != set(truth.labels):
        theirs, ours = ", ".join(refined.labels), ", ".join(truth.labels)
        raise ConfigError(
            f"the classes differ: {theirs} in the refined manifest, {ours} in the truth",
            "refine with weights of the same classes",
        )
    by_id = {stem.id: stem for stem in refined.stems}
    pairs = [(by_id[stem.id], stem) for stem in truth.stems if stem.id in by_id]
    if not pairs:
        raise ConfigError(
            "no stem of the refined manifest is in the truth",
            f"ids look like {_example(refined)} there and {_example(truth)} here\n"
            "refine the folder in which the truth lies: stemclean refine CORRUPTED -o refined.json",
        )
    unjudged = [stem.id for stem, _ in pairs if stem.verdict is None]
    if unjudged:
        raise ConfigError(
            f"stems that were never judged: {len(unjudged)}, {unjudged[0]} among them",
            "give the output of: stemclean refine DATA -o refined.json",
        )
    labels = truth.labels
    true = _mask([t.labels for _, t in pairs], labels)
    found = _mask([r.labels for r, _ in pairs], labels)
    claimed = _mask([t.claimed for _, t in pairs], labels)
    wrong = (true != claimed).any(1)
    flagged = np.array([_flagged(stem) for stem, _ in pairs])
    score = np.array([1.0 - _quality(stem) for stem, _ in pairs])
    report: dict[str, Any] = {
        "stems/matched": len(pairs),
        "stems/wrong": int(wrong.sum()),
        "stems/flagged": int(flagged.sum()),
        "stems/unmatched_refined": sorted(set(by_id) - {stem.id for _, stem in pairs}),
        "stems/unmatched_truth": sorted(stem.id for stem in truth.stems if stem.id not in by_id),
    }
    report |= _under("labels", tagging.evaluate(true, found, labels))
    report |= _under("claims", tagging.evaluate(true, claimed, labels))
    report |= _under("detection", tagging.evaluate_detection(wrong, flagged, score))
    groups = _groups([t for _, t in pairs], wrong)
    for name, members in groups.items():
        report[f"fault/{name}/num"] = len(members)
        report[f"fault/{name}/{'flagged' if name == 'none' else 'recall'}"] = float(flagged[members].mean())
        report[f"fault/{name}/labels_right"] = tagging.exact_match(true[members], found[members])
    report |= _under("regions", _regions(pairs, labels))
    report |= _under("levels", bleed_levels(pairs))
    return report


def bleed_levels(pairs: Sequence[tuple[Stem, Stem]]) -> dict[str, Any]:
    """How far off the levels of planted bleeds are told.

    The level of a bleed is its power in dB relative to that of the class that it bleeds into, over the whole stem:
    the difference of the two ``levels_db``.

    Args:
        pairs: refined stem and true stem.

    Returns:
        Nothing where no refined stem tells levels, or no true level is known. Otherwise

        - ``bleeds``: planted bleeds whose level is known; ``found``: those of which both classes were found;
        - ``error_db``: mean absolute error over those found; ``bias_db``: mean error, positive = told too loud;
        - ``error_all_db``: over all bleeds, where one that was not found counts as if the mean level had been told;
        - ``mean_error_db``, ``mean_error_all_db``: the same two if the mean level of all bleeds is always told. What
          is no better than this has learned nothing.
    """
    if not any(refined.levels_db for refined, _ in pairs):
        return {}
    known = [(refined, truth, level) for refined, truth in pairs if (level := bleed_level(truth, truth)) is not None]
    if not known:
        return {}
    true = np.array([level for _, _, level in known])
    told = np.array([np.nan if (level := bleed_level(r, t)) is None else level for r, t, _ in known])
    found = ~np.isnan(told)
    errors = np.where(found, told, true.mean()) - true
    from_mean = np.abs(true - true.mean())
    return {
        "bleeds": len(true),
        "found": int(found.sum()),
        "error_db": _mean(np.abs(errors[found])),
        "bias_db": _mean(errors[found]),
        "mean_error_db": _mean(from_mean[found]),
        "error_all_db": _mean(np.abs(errors)),
        "mean_error_all_db": _mean(from_mean),
    }


def bleed_level(stem: Stem, truth: Stem) -> float | None:
    """Level of a planted bleed relative to the class that it bleeds into, in dB, as ``stem`` tells it.

    Args:
        stem: the refined stem, or the truth itself.
        truth: says what was planted.

    Returns:
        None where nothing was planted, where it was planted into several classes, or where a level is not told.
    """
    bleed = (truth.extra.get("bleed") or {}).get("label")
    hosts = [label for label in truth.labels if label != bleed]
    if bleed is None or len(hosts) != 1 or not {bleed, *hosts} <= set(stem.levels_db):
        return None
    return stem.levels_db[bleed] - stem.levels_db[hosts[0]]


def _regions(pairs: Sequence[tuple[Stem, Stem]], labels: Sequence[str]) -> dict[str, Any]:
    """Segment-based metrics of the stems that have regions on both sides; silence needs none."""
    told = [(r, t) for r, t in pairs if t.regions and (r.regions or (r.verdict and r.verdict.reason == "silent"))]
    if not told:
        return {}
    parts = []
    for refined, truth in told:
        true, found = (segments.activity(spans_by_label(stem), labels, truth.duration) for stem in (truth, refined))
        unclaimed = np.array([label not in truth.claimed for label in labels])
        parts.append((true, found, np.broadcast_to(unclaimed, true.shape)))
    true, found, mask = (np.concatenate(part) for part in zip(*parts, strict=True))
    return {"stems": len(told), **segments.evaluate(true, found, mask, labels)}


def spans_by_label(stem: Stem) -> dict[str, list[tuple[float, float]]]:
    """When each class sounds, by the stem's regions: label -> start and end in seconds."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for region in stem.regions:
        for label in region.labels:
            spans[label].append((region.start, region.end))
    return spans


def level_band(level_db: float) -> str:
    """Name of the band that a level falls into; the upper end belongs to it.

    >>> level_band(-3.0), level_band(-10.0), level_band(0.0)
    ('-10..0_db', '-20..-10_db', '-10..0_db')
    """
    high = math.ceil(level_db / BAND_WIDTH_DB) * BAND_WIDTH_DB
    return f"{high - BAND_WIDTH_DB}..{high}_db"


def _groups(truth: list[Stem], wrong: np.ndarray) -> dict[str, list[int]]:
    """Kind of fault -> indices, in the order of their names; a stem with two faults counts in both."""
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


def _manifest(given: Manifest | str | Path) -> Manifest:
    return given if isinstance(given, Manifest) else manifest.read(given)


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
    return f'"{data.stems[0].id}"' if data.stems else "(no stem at all)"
