"""The parts of a stem that fit a target class, so that a half-clean stem is half kept. Pure logic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stemclean.exporting.targets import Targets
from stemclean.manifest import Stem

__all__ = ["MIN_PART", "Parts", "Spans", "good_parts"]

Spans = tuple[tuple[float, float], ...]
"""Start and end in seconds, in order, without overlap."""

MIN_PART = 1.0
"""Minimum length of a part in seconds; the classes in shorter ones are not known well enough."""


@dataclass
class Parts:
    """What becomes of a stem.

    Args:
        kept: target -> the parts of the file that are exported under it; None: the whole file.
        lost: classes, reason and seconds of everything else.
    """

    kept: dict[str, Spans | None] = field(default_factory=dict)
    lost: list[tuple[Sequence[str], str, float]] = field(default_factory=list)


@dataclass
class _Run:
    """Consecutive regions of the same target, with the silence between them."""

    target: str | None
    labels: Sequence[str]
    start: float
    end: float


def good_parts(stem: Stem, targets: Targets) -> Parts:
    """Divide a stem by the regions that were found in it.

    If the stem as a whole fits a target, the parts that do not fit it are cut out. Otherwise, each part goes to the
    target that it fits, if the stem has a label of that target. Silence between two parts of a target is kept. A stem
    without regions, or with nothing to cut, is kept whole or not at all.
    """
    whole = targets.holding(stem.labels)
    runs = _runs(stem, targets, whole)
    if whole is not None and all(run.target == whole for run in runs):
        return Parts({whole: None})
    parts = Parts()
    for run in runs:
        seconds = run.end - run.start
        if run.target is None:
            reason = "several_classes" if len(run.labels) > 1 else "other_class" if run.labels else "no_class"
            parts.lost.append((run.labels or stem.labels, reason, seconds))
        elif seconds < MIN_PART:
            parts.lost.append((targets.members[run.target], "too_short", seconds))
        else:
            spans = parts.kept.get(run.target) or ()
            parts.kept[run.target] = (*spans, (run.start, run.end))
    silence = stem.duration - sum(run.end - run.start for run in runs)
    if not runs:
        parts.lost.append((stem.labels, "several_classes", silence))
    elif silence > 0:
        parts.lost.append((stem.labels, "silent", silence))
    parts.kept = {target: parts.kept[target] for target in targets.names if target in parts.kept}
    return parts


def _runs(stem: Stem, targets: Targets, whole: str | None) -> list[_Run]:
    wanted = targets.touching(stem.labels)
    runs: list[_Run] = []
    for region in stem.regions:
        target = targets.holding(region.labels)
        if whole is not None:
            target = whole if region.labels and set(region.labels) <= set(targets.members[whole]) else None
        target = target if target in wanted else None
        if runs and target is not None and runs[-1].target == target:
            runs[-1].end = region.end
        else:
            runs.append(_Run(target, region.labels, region.start, region.end))
    return runs
