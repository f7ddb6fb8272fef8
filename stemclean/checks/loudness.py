"""Stems that are much louder or softer than others of their class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stemclean.checks.base import Code
from stemclean.manifest import Issue, Stem

__all__ = ["CHECK", "Loudness"]

OUTLIER = Code("loudness_outlier", "note", "it is much louder or softer than most stems of its class")
FEWEST = 10
"""Stems of a class that make a comparison possible."""
LEAST_LU, DEVIATIONS = 15.0, 4.0
"""Distance to the median of the class, in LU and in robust standard deviations, from which on a stem is an outlier."""


class Loudness:
    """The check. Class means the dataset's claim."""

    codes = (OUTLIER,)

    def of_dataset(self, stems: Sequence[Stem]) -> dict[str, list[Issue]]:
        """Issues of the outliers; the score is their distance in units of twice the least one."""
        classes: dict[tuple[str, ...], list[Stem]] = {}
        for stem in stems:
            if stem.loudness_lufs is not None:
                classes.setdefault(tuple(stem.claimed), []).append(stem)
        found: dict[str, list[Issue]] = {}
        for members in classes.values():
            if len(members) < FEWEST:
                continue
            values = np.array([stem.loudness_lufs for stem in members], np.float64)
            median = float(np.median(values))
            deviation = 1.4826 * float(np.median(np.abs(values - median)))
            for stem, distance in zip(members, values - median, strict=True):
                if abs(distance) >= max(LEAST_LU, DEVIATIONS * deviation):
                    detail = f"{stem.loudness_lufs:.1f} LUFS, {distance:+.1f} LU from the median of its class"
                    found[stem.id] = [OUTLIER.issue(detail, round(min(1.0, abs(distance) / (2 * LEAST_LU)), 4))]
        return found


CHECK = Loudness()
