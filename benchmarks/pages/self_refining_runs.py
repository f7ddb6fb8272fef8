"""Runs of :mod:`benchmarks.self_refining` as its page and its plots read them: by name and by share of faults."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from benchmarks.pages.tables import Record

RESULT, LONGER = "self_refining", "self_refining_longer"
"""Results: the benchmark, and some shares of it with more examples."""
GOAL_GAP = 0.01
"""Accuracy that training on refined labels may lose against clean labels."""
SETS = {"stems/all": "single stems", "mixes": "random mixes"}
METRICS = ("accuracy", "f1", "precision", "recall")
NAMES = {
    "clean": "true labels",
    "noisy": "claims",
    "refined1": "refined once",
    "refined2": "refined twice",
}
KINDS = {"mislabel": "Swapped labels", "bleed": "Bleed"}

Runs = dict[str, list[Record]]
"""Name of a classifier -> its runs, one a seed, in the order of the seeds."""


def half_and_half(run: Record) -> bool:
    """Return whether a run belongs to part a, c or d."""
    return bool(run["noise"]["mislabel"] and run["noise"]["bleed"])


def runs_of(result: Record, conditions: Any) -> Runs:
    """Runs by name, those that are wanted."""
    runs: Runs = defaultdict(list)
    for run in sorted(result["runs"], key=lambda run: run["seed"]):
        if conditions(run):
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
    """Return the number of rounds of refining; -1 for other runs.

    >>> number_of("noisy"), number_of("refined3"), number_of("clean")
    (0, 3, -1)
    """
    if name == "noisy":
        return 0
    return int(name.removeprefix("refined")) if name.startswith("refined") else -1
