"""What a judged dataset comes to, in counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stemclean.manifest import Skip, Stem

__all__ = ["summary"]


def summary(stems: Sequence[Stem], skipped: Sequence[Skip], labels: Sequence[str]) -> dict[str, Any]:
    """Counts per verdict and reason, seconds per class claimed and kept."""
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
        if len(stem.labels) == 1 and stem.verdict.action != "drop":
            seconds[stem.labels[0]]["kept"] += stem.duration
    rounded = {label: {key: round(value, 1) for key, value in values.items()} for label, values in seconds.items()}
    return {"stems": len(stems), "skipped": len(skipped), "verdicts": actions, "reasons": reasons, "seconds": rounded}
