"""Find the seconds of a stem in which its fault can be heard best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stemclean.manifest import Stem

__all__ = ["SECONDS", "expected_worst", "worst_seconds"]

SECONDS = 8.0
"""Length of the excerpt: long enough to recognise an instrument, short enough to hear hundreds."""


def worst_seconds(stem: Stem, power: NDArray[np.floating]) -> tuple[float, float]:
    """Return start and end of the excerpt, in seconds.

    It is where the unclaimed classes have the most power. If there are none, it is where a claimed class is missing
    although there is sound, or else where the stem is loudest.

    Args:
        stem: the stem.
        power: mean power over time, in equal steps from start to end. Shape: (step,)
    """
    duration = stem.duration
    if duration <= SECONDS:
        return 0.0, duration
    step = duration / len(power)
    middles = np.arange(0.5, len(power)) * step
    evidence = power * _share_of_faults(stem, middles)
    if not evidence.any():
        evidence = power
    sums = np.concatenate([[0.0], np.cumsum(evidence)])
    width = max(1, round(SECONDS / step))
    totals = sums[width:] - sums[:-width]
    start = min(int(totals.argmax()) * step if len(totals) else 0.0, duration - SECONDS)
    return round(start, 2), round(start + SECONDS, 2)


def expected_worst(stem: Stem) -> tuple[float, float]:
    """Return the excerpt that :func:`worst_seconds` chooses if all sound has the same power; no audio is read."""
    times = np.arange(max(1, round(stem.duration * 2))) / 2
    spans = [(0.0, stem.duration)] if stem.source or stem.active is None else stem.active
    power = np.zeros(len(times))
    for start, end in spans:
        power[(times >= start) & (times < end)] = 1.0
    return worst_seconds(stem, power)


def _share_of_faults(stem: Stem, times: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the share of the power, at each time, that should not be there, ``(time,)``."""
    share = np.zeros(len(times))
    claimed = set(stem.claimed)
    for region in stem.regions:
        inside = (times >= region.start) & (times < region.end)
        wrong = [label for label in region.labels if label not in claimed]
        if region.labels and not wrong:
            continue
        levels = [10 ** (region.levels_db[label] / 10) for label in wrong if label in region.levels_db]
        share[inside] = min(1.0, sum(levels)) if levels else 1.0 if wrong else 0.1
    for bleed in stem.crosstalk or []:
        if bleed.label in claimed:
            continue
        for span in bleed.spans:
            inside = (times >= span.start) & (times < span.end)
            share[inside] = np.maximum(share[inside], min(1.0, 10 ** (span.level_db / 10)))
    return share
