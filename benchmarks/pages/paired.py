"""Figures of trainings with several seeds, and their differences, paired seed by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks.pages.tables import NONE, Record, deviation


class Difference:
    """Paired differences over the seeds.

    Args:
        values: one a seed.
    """

    def __init__(self, values: Sequence[float]) -> None:
        self.values = list(values)
        num = len(values)
        self.mean = float(np.mean(values)) if num else float("nan")
        self.sd = float(np.std(values, ddof=1)) if num > 1 else None
        self.half = float("inf") if self.sd is None else float(student.ppf(0.975, num - 1) * self.sd / num**0.5)
        """Half of the 95 % interval (Student's t)."""

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return abs(self.mean) > self.half


def difference(first: Sequence[Record], second: Sequence[Record], key: str, other: str | None = None) -> Difference:
    """Return a figure of the first runs minus that of the second, seed by seed.

    Args:
        other: key of the second, where it differs.
    """
    minuend = {run["seed"]: value_of(run, key) for run in first}
    subtrahend = {run["seed"]: value_of(run, other or key) for run in second}
    pairs = [(minuend[seed], subtrahend[seed]) for seed in sorted(minuend.keys() & subtrahend.keys())]
    return Difference([a - b for a, b in pairs if a is not None and b is not None])


def points(value: Difference, *, sign: bool = True) -> str:
    """``+1.2 ± 0.3 points``: mean and standard deviation over the seeds, in percentage points."""
    mean = value.mean if sign else abs(value.mean)
    return deviation(100 * mean, None if value.sd is None else 100 * value.sd, 1, sign=sign) + " points"


def decibels(value: Difference) -> str:
    """``+0.52 ± 0.10 dB``."""
    return f"{deviation(value.mean, value.sd, 2, sign=True)} dB" if value.values else NONE


def doubt(value: Difference) -> str:
    """Return a remark if the seeds do not agree well enough."""
    if len(value.values) < 2:
        return " (one seed)"
    return "" if value.clear else " (not significant)"


def value_of(run: Record, key: str) -> float | None:
    """Return a figure by its path; ``stems/all/0.9/accuracy/average`` ends in a name with a slash."""
    node: Any = run
    words = key.split("/")
    while words:
        if not isinstance(node, Mapping):
            return None
        whole = "/".join(words)
        if whole in node:
            value: float | None = node[whole]
            return value
        node = node.get(words.pop(0))
    return None


def figures(runs: Iterable[Record], key: str) -> list[float]:
    """Return the figures that exist."""
    return [value for value in (value_of(run, key) for run in runs) if value is not None]
