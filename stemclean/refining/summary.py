"""Summarise a judged dataset: counts, and the estimated label noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stemclean.manifest import Skip, Stem
from stemclean.refining.noise import noise

__all__ = ["KEYS", "Counter", "summary"]

KEYS: dict[str, str] = {
    "stems": "number of stems; `skipped`: number of files that were skipped",
    "verdicts": "action -> number of stems",
    "reasons": "reason of a verdict -> number of stems",
    "seconds": "class -> duration in seconds: `claimed`, and `kept` (stems that hold only this class)",
    "noise": "estimated noise of the claims, see below; null if no stem could be judged",
    "decisions": "with `--decisions`: number of stems whose decision fits (`fit`), and the decisions that do not "
    "(`unfit`), each with `id`, `sha256`, `action` and `reason`",
}
"""Keys of a refined manifest's ``summary`` -> what they mean; ``--self`` and ``--threshold adaptive`` add theirs."""


class Counter:
    """Counts the stems of a judged dataset; the estimate of its noise is made apart, since it needs all at once.

    Args:
        labels: the classes of the weights.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.stems = 0
        self.actions = dict.fromkeys(("keep", "relabel", "mixed", "drop"), 0)
        self.reasons: dict[str, int] = {}
        self.seconds = {label: {"claimed": 0.0, "kept": 0.0} for label in labels}

    def add(self, stem: Stem, times: int = 1) -> None:
        """Count a stem; with ``times=-1``, take it out again."""
        self.stems += times
        if stem.verdict is None:
            return
        self.actions[stem.verdict.action] += times
        self.reasons[stem.verdict.reason] = self.reasons.get(stem.verdict.reason, 0) + times
        for label in stem.claimed:
            self.seconds[label]["claimed"] += times * stem.duration
        if stem.single and not stem.dropped:
            self.seconds[stem.labels[0]]["kept"] += times * stem.duration

    def join(self, other: Counter) -> None:
        """Add what another has counted."""
        self.stems += other.stems
        for mine, theirs in ((self.actions, other.actions), (self.reasons, other.reasons)):
            for name, number in theirs.items():
                mine[name] = mine.get(name, 0) + number
        for label, durations in other.seconds.items():
            for name, duration in durations.items():
                self.seconds[label][name] += duration

    def summary(self, num_skipped: int) -> dict[str, Any]:
        """Return the summary, see :data:`KEYS`, without ``noise``."""
        return {
            "stems": self.stems,
            "skipped": num_skipped,
            "verdicts": self.actions,
            "reasons": {reason: number for reason, number in self.reasons.items() if number},
            "seconds": {
                label: {name: round(duration, 1) for name, duration in durations.items()}
                for label, durations in self.seconds.items()
            },
        }


def summary(
    stems: Sequence[Stem], skipped: Sequence[Skip], labels: Sequence[str], cards: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the summary of a ``refine`` run, see :data:`KEYS`.

    Args:
        stems: judged stems.
        skipped: files that were skipped.
        labels: the classes of the weights.
        cards: model cards of the weights.
    """
    counted = Counter(labels)
    for stem in stems:
        counted.add(stem)
    return {**counted.summary(len(skipped)), "noise": noise(stems, labels, cards)}
