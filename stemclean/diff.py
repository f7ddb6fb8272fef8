"""Compare two manifests of a dataset, stem by stem and class by class: the ``diff`` verb."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemclean import manifest
from stemclean.manifest import Manifest, Stem

__all__ = ["COMPARED", "diff"]

COMPARED = ("claimed", "labels", "found", "split", "verdict", "reason", "issues")
"""Properties of stems that are compared; ``issues`` are their codes."""


def diff(before: str | Path | Manifest, after: str | Path | Manifest) -> dict[str, Any]:
    """Compare two manifests.

    Stems correspond by their ids. Scores and qualities are not compared, because they differ in the last digit from
    machine to machine.

    Args:
        before: a manifest.
        after: another one of the same dataset.

    Returns:
        - ``equal``: number of stems that are the same; ``removed``, ``added``: ids of stems that only one has.
        - ``changed``: the other stems, by id: ``id``, and for each property of :data:`COMPARED` that differs, the old
          and the new value.
        - ``classes``: class -> ``seconds_before``, ``seconds_after`` (stems with exactly this class that are not
          dropped), and the number of stems that ``gained`` and ``lost`` it.

    Raises:
        ManifestError: a manifest cannot be read.
    """
    first, second = (value if isinstance(value, Manifest) else manifest.read(value) for value in (before, after))
    old, new = ({stem.id: stem for stem in read.stems} for read in (first, second))
    both = sorted(old.keys() & new.keys())
    changed = []
    for identity in both:
        then, now = _properties(old[identity]), _properties(new[identity])
        different = {key: [then[key], now[key]] for key in COMPARED if then[key] != now[key]}
        if different:
            changed.append({"id": identity, **different})
    labels = [*first.labels, *(label for label in second.labels if label not in first.labels)]
    return {
        "equal": len(both) - len(changed),
        "removed": sorted(old.keys() - new.keys()),
        "added": sorted(new.keys() - old.keys()),
        "changed": changed,
        "classes": {
            label: {
                "seconds_before": _seconds(first.stems, label),
                "seconds_after": _seconds(second.stems, label),
                "gained": sum(label in new[i].labels and label not in old[i].labels for i in both),
                "lost": sum(label in old[i].labels and label not in new[i].labels for i in both),
            }
            for label in labels
        },
    }


def _properties(stem: Stem) -> dict[str, Any]:
    return {
        "claimed": stem.claimed,
        "labels": stem.labels,
        "found": stem.found,
        "split": stem.split,
        "verdict": stem.verdict.action if stem.verdict else None,
        "reason": stem.verdict.reason if stem.verdict else None,
        "issues": sorted({issue.code for issue in stem.issues}),
    }


def _seconds(stems: Sequence[Stem], label: str) -> float:
    """Return the seconds in stems that hold exactly this class and are not dropped."""
    return round(sum(stem.duration for stem in stems if stem.usable and stem.single and label in stem.labels), 3)
