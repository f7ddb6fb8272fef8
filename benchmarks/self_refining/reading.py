"""Runs of :mod:`benchmarks.self_refining` as its page and its plots read them: by name, by share, seed by seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "self_refining.json"
AIM_GAP = 0.01
"""Accuracy that refined labels may cost against clean ones."""
SETS = {"stems/all": "single stems", "mixes": "random mixes"}
METRICS = ("accuracy", "f1", "precision", "recall")
NAMES = {
    "clean": "clean labels",
    "noisy": "noisy labels, as claimed",
    "refined1": "refined once",
    "refined2": "refined twice",
}
KINDS = {"mislabel": "Swapped labels", "bleed": "Bleed"}

Record = dict[str, Any]
Runs = dict[str, list[Record]]
"""Name of a classifier -> its runs, one a seed, in the order of the seeds."""


class Difference:
    """Paired differences over the seeds.

    Args:
        values: one a seed.
    """

    def __init__(self, values: Sequence[float]) -> None:
        self.values = list(values)
        self.mean = float(np.mean(values)) if values else float("nan")
        num = len(values)
        self.half = float(student.ppf(0.975, num - 1) * np.std(values, ddof=1) / num**0.5) if num > 1 else float("inf")
        """Half of the 95 % interval."""

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return abs(self.mean) > self.half


def difference(first: Sequence[Record], second: Sequence[Record], key: str, other: str | None = None) -> Difference:
    """A figure of the first runs minus that of the second, seed by seed."""
    minuend = {run["seed"]: value_of(run, key) for run in first}
    subtrahend = {run["seed"]: value_of(run, other or key) for run in second}
    pairs = [(minuend[seed], subtrahend[seed]) for seed in sorted(minuend.keys() & subtrahend.keys())]
    return Difference([a - b for a, b in pairs if a is not None and b is not None])


def points(value: Difference, *, sign: bool = True) -> str:
    """``+1.2 ± 0.3 points``: the mean and the standard deviation over the seeds."""
    mean = value.mean * 100 if sign else abs(value.mean) * 100
    told = f"{mean:+.1f}" if sign else f"{mean:.1f}"
    sd = f" ± {np.std(value.values, ddof=1) * 100:.1f}" if len(value.values) > 1 else ""
    return f"{told}{sd} points"


def doubt(value: Difference) -> str:
    """A remark where the seeds do not agree well enough."""
    if len(value.values) < 2:
        return " (one seed: no spread known)"
    return "" if value.clear else " (within the spread of the seeds)"


def half_and_half(run: Record) -> bool:
    """Whether a run is of part a, c or d."""
    return bool(run["noise"]["mislabel"] and run["noise"]["bleed"])


def runs_of(result: Record, wanted: Any) -> Runs:
    """Runs by name, those that are wanted."""
    runs: Runs = defaultdict(list)
    for run in sorted(result["runs"], key=lambda run: run["seed"]):
        if wanted(run):
            runs[run["name"]].append(run)
    return dict(runs)


def sweep_of(result: Record, kind: str) -> dict[float, Runs]:
    """Share -> runs, of one kind of fault alone; 0 is what has no fault."""
    other = {"mislabel": "bleed", "bleed": "mislabel"}[kind]
    shares = sorted({run["noise"][kind] for run in result["runs"] if not run["noise"][other]})
    return {
        share: runs_of(result, lambda run, s=share: run["noise"][kind] == s and not run["noise"][other])
        for share in shares
    }


def given_labels(runs: Runs) -> Runs:
    """Runs that were given claims or found labels."""
    return {name: same for name, same in runs.items() if name == "noisy" or name.startswith("refined")}


def number_of(name: str) -> int:
    """How often the labels were refined; -1 for those that are no round.

    >>> number_of("noisy"), number_of("refined3"), number_of("clean")
    (0, 3, -1)
    """
    if name == "noisy":
        return 0
    return int(name.removeprefix("refined")) if name.startswith("refined") else -1


def value_of(run: Record, key: str) -> float | None:
    """A figure by its path; ``stems/all/0.9/accuracy/average`` ends in a name with a slash."""
    place: Any = run
    words = key.split("/")
    while words:
        if not isinstance(place, dict):
            return None
        whole = "/".join(words)
        if whole in place:
            found: float | None = place[whole]
            return found
        place = place.get(words.pop(0))
    return None


def figures(runs: Iterable[Record], key: str) -> list[float]:
    """The figures that exist."""
    return [value for value in (value_of(run, key) for run in runs) if value is not None]


def spread(values: Sequence[float], form: str = "{:.3f}") -> str:
    """``0.931 ± 0.012``."""
    if not values:
        return "–"
    sd = f" ± {form.format(np.std(values, ddof=1))}" if len(values) > 1 else ""
    return form.format(np.mean(values)) + sd


def plural(number: int, word: str) -> str:
    """``1 time``, ``2 times``."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def thousands(value: float) -> str:
    """``12 000``."""
    return f"{value:,.0f}".replace(",", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
