"""Divide a stem into regions, each with the same classes throughout. Pure logic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from stemclean.manifest import Region, Span
from stemclean.units import round_seconds

__all__ = ["labelled_regions", "levels_with", "overlay", "with_measured"]

Times = tuple[float, float]

SHORTEST = 0.01
"""Minimum distance, in seconds, of a measured boundary from the boundaries of a region; a closer one is dropped."""


def overlay(spans: Mapping[str, Sequence[Times]]) -> list[Region]:
    """Combine the active times of each class into regions; times without any class are left out.

    Args:
        spans: label -> start and end in seconds, in any order; they may overlap.

    >>> [(r.start, r.end, r.labels) for r in overlay({"drums": [(0.0, 4.0)], "bass": [(1.0, 2.0)]})]
    [(0.0, 1.0, ['drums']), (1.0, 2.0, ['drums', 'bass']), (2.0, 4.0, ['drums'])]
    """
    placed = {label: [(round_seconds(a), round_seconds(b)) for a, b in held] for label, held in spans.items()}
    edges = sorted({edge for held in placed.values() for span in held for edge in span})
    regions: list[Region] = []
    for start, end in itertools.pairwise(edges):
        labels = [label for label, held in placed.items() if any(a <= start and end <= b for a, b in held)]
        if regions and regions[-1].labels == labels and regions[-1].end == start:
            regions[-1] = Region(start=regions[-1].start, end=end, labels=labels)
        elif labels:
            regions.append(Region(start=start, end=end, labels=labels))
    return regions


def labelled_regions(
    scores: np.ndarray,
    labels: Sequence[str],
    active: Sequence[Times],
    step: float,
    *,
    on: float | Mapping[str, float],
    off: float,
    levels_db: np.ndarray | None = None,
) -> list[Region]:
    """Divide the active parts of a stem into regions with the same classes throughout.

    A class is present in every run of scores above ``off`` that reaches above ``on`` somewhere (hysteresis), so that it
    does not flicker. It does not matter whether the class was found in the stem as a whole: ten seconds in a file of
    four minutes hardly change the score of the whole.

    Args:
        scores: scores over time, NaN where unknown. Shape: (step, label)
        labels: the classes.
        active: active parts of the stem, in seconds.
        step: seconds between scores.
        on: upper threshold, for all classes or per class; a claimed class has a lower one.
        off: lower threshold.
        levels_db: power of each class in dB relative to the sound at that time, NaN where unknown. Shape: (step, label)
    """
    begins = on if isinstance(on, Mapping) else dict.fromkeys(labels, on)
    present = np.stack(
        [_hysteresis(scores[:, column], begins[label], off) for column, label in enumerate(labels)], axis=1
    )
    runs: list[tuple[float, float, list[str], list[int]]] = []  # start, end, classes, steps
    for start, end in active:
        first, last = int(start / step), min(int(np.ceil(end / step)), len(present))
        for index in range(first, last):
            held = [label for label, is_present in zip(labels, present[index], strict=True) if is_present]
            begin = round_seconds(max(start, index * step))
            until = round_seconds(min(end, (index + 1) * step) if index < last - 1 else end)
            if until <= begin:
                continue
            if runs and runs[-1][2] == held and abs(runs[-1][1] - begin) < 1e-5:
                runs[-1][3].append(index)
                runs[-1] = (runs[-1][0], until, held, runs[-1][3])
            else:
                runs.append((begin, until, held, [index]))
    regions = []
    for begin, until, held, steps in runs:
        levels = {} if levels_db is None else _levels(levels_db[steps], labels, held)
        regions.append(Region(start=begin, end=until, labels=held, levels_db=levels))
    return regions


def _levels(levels_db: np.ndarray, labels: Sequence[str], held: Sequence[str]) -> dict[str, float]:
    """Return the mean power of each class in ``held``, in dB with one decimal; classes without levels are left out."""
    levels = {}
    for column, label in enumerate(labels):
        finite = levels_db[np.isfinite(levels_db[:, column]), column]
        if label in held and len(finite):
            levels[label] = round(float(10 * np.log10(np.mean(10 ** (finite / 10)))), 1) + 0.0
    return levels


def _hysteresis(scores: np.ndarray, on: float, off: float) -> np.ndarray:
    """Return where the scores belong to a run above ``off`` that reaches above ``on``."""
    with np.errstate(invalid="ignore"):
        loose, strict = scores > off, scores > on
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loose, [False]])))
    present = np.zeros(len(scores), bool)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        present[start:end] = strict[start:end].any()
    return present


def with_measured(
    regions: Sequence[Region], measured: Mapping[str, Sequence[Span]], order: Sequence[str]
) -> list[Region]:
    """Add classes with measured times and levels to regions.

    Args:
        regions: the regions so far.
        measured: label -> spans with levels; where spans of a label overlap, their powers add up.
        order: all classes in their order.
    """
    edges = {round_seconds(edge) for spans in measured.values() for span in spans for edge in (span.start, span.end)}
    result: list[Region] = []
    for region in regions:
        inside = sorted(edge for edge in edges if region.start + SHORTEST <= edge <= region.end - SHORTEST)
        cuts = [region.start, *inside, region.end]
        for start, end in itertools.pairwise(cuts):
            levels_db = {}
            for label, spans in measured.items():
                middle = (start + end) / 2
                powers = [10 ** (span.level_db / 10) for span in spans if span.start <= middle < span.end]
                if powers:
                    levels_db[label] = min(10 * math.log10(sum(powers)), 0.0)
            labels = [label for label in order if label in region.labels or label in levels_db]
            levels = levels_with(labels, region.levels_db, levels_db) if levels_db else region.levels_db
            if result and result[-1].end == start and (result[-1].labels, result[-1].levels_db) == (labels, levels):
                result[-1] = result[-1].model_copy(update={"end": end})
            else:
                result.append(Region(start=start, end=end, labels=labels, levels_db=levels))
    return result


def levels_with(
    found: Sequence[str], estimated: Mapping[str, float], measured: Mapping[str, float]
) -> dict[str, float]:
    """Combine measured and estimated levels: measured classes keep their level, the others share the remaining power.

    The differences between estimated levels are kept. If no level was estimated and several classes share the
    remaining power, they get no level.

    Args:
        found: the classes found.
        estimated, measured: class -> power in dB relative to the stem.

    Returns:
        Class -> level in dB relative to the stem, with one decimal.
    """
    remaining = max(1.0 - sum(10 ** (level / 10) for level in measured.values()), 1e-6)
    others = [label for label in found if label not in measured]
    powers = {label: 10 ** (estimated[label] / 10) for label in others if label in estimated}
    if len(others) == 1:
        powers = dict.fromkeys(others, 1.0)
    total = sum(powers.values())
    levels_db = {label: 10 * math.log10(power / total * remaining) for label, power in powers.items()} | dict(measured)
    return {label: round(levels_db[label], 1) + 0.0 for label in found if label in levels_db}
