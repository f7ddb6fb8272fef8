"""What sounds when: stretches of a stem with the same classes throughout. Pure logic."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from stemclean.manifest import Region
from stemclean.units import round_seconds

__all__ = ["labelled_regions", "overlay"]

Span = tuple[float, float]


def overlay(spans: Mapping[str, Sequence[Span]]) -> list[Region]:
    """Regions of a recording of which it is known when each class sounds; where none does is no region.

    Args:
        spans: label -> start and end in seconds, in any order, overlapping or not.

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
    active: Sequence[Span],
    step: float,
    *,
    on: float | Mapping[str, float],
    off: float,
    levels_db: np.ndarray | None = None,
) -> list[Region]:
    """Stretches with the same classes throughout, inside the active regions.

    A class begins where its score rises above ``on``, and reaches back and forth as long as the score stays above
    ``off`` (hysteresis), so that it does not flicker. Whether the stem as a whole passes for holding the class does not
    matter: what sounds for ten seconds of four minutes hardly moves the score of the whole.

    Args:
        scores: ``(step, label)`` over time, NaN where nothing is known.
        active: regions in seconds.
        step: seconds between scores.
        on: for all classes, or class by class: a claimed one is believed earlier.
        levels_db: ``(step, label)``, power of each class in dB relative to the sound there; NaN where it is not known.
    """
    begins = on if isinstance(on, Mapping) else dict.fromkeys(labels, on)
    present = np.stack(
        [_hysteresis(scores[:, column], begins[label], off) for column, label in enumerate(labels)], axis=1
    )
    runs: list[tuple[float, float, list[str], list[int]]] = []  # start, end, classes, steps
    for start, end in active:
        first, last = int(start / step), min(int(np.ceil(end / step)), len(present))
        for index in range(first, last):
            held = [label for label, there in zip(labels, present[index], strict=True) if there]
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
    """Mean power of each class that is held, in dB to one decimal; without those of which none is known."""
    levels = {}
    for column, label in enumerate(labels):
        known = levels_db[np.isfinite(levels_db[:, column]), column]
        if label in held and len(known):
            levels[label] = round(float(10 * np.log10(np.mean(10 ** (known / 10)))), 1) + 0.0
    return levels


def _hysteresis(scores: np.ndarray, on: float, off: float) -> np.ndarray:
    """Runs above ``off`` that reach above ``on`` somewhere."""
    with np.errstate(invalid="ignore"):
        loose, strict = scores > off, scores > on
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loose, [False]])))
    present = np.zeros(len(scores), bool)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        present[start:end] = strict[start:end].any()
    return present
