"""Summarise a judged dataset: counts, and the estimated label noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stemclean.manifest import Skip, Stem
from stemclean.refining.noise import noise

__all__ = ["KEYS", "summary"]

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
    actions = dict.fromkeys(("keep", "relabel", "mixed", "drop"), 0)
    reasons: dict[str, int] = {}
    seconds = {label: {"claimed": 0.0, "kept": 0.0} for label in labels}
    for stem in stems:
        if stem.verdict is None:
            continue
        actions[stem.verdict.action] += 1
        reasons[stem.verdict.reason] = reasons.get(stem.verdict.reason, 0) + 1
        for label in stem.claimed:
            seconds[label]["claimed"] += stem.duration
        if stem.single and not stem.dropped:
            seconds[stem.labels[0]]["kept"] += stem.duration
    rounded = {label: {key: round(value, 1) for key, value in values.items()} for label, values in seconds.items()}
    return {
        "stems": len(stems),
        "skipped": len(skipped),
        "verdicts": actions,
        "reasons": reasons,
        "seconds": rounded,
        "noise": noise(stems, labels, cards),
    }
