"""The summary at the top of the page: the dataset in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stemclean import checks
from stemclean.errors import visible
from stemclean.manifest import Manifest, Stem
from stemclean.reporting.rows import flagged

__all__ = ["BINS", "overall"]

BINS = 20
"""Number of bars of the histogram of label qualities."""
NOTHING = "nothing"
ACTIONS = ("keep", "relabel", "mixed", "drop")


def overall(manifest: Manifest) -> dict[str, Any]:
    """Summarise a manifest for the page.

    Returns:
        - ``stems``, ``tracks``, ``judged``, ``flagged``: numbers; ``hours``: total duration.
        - ``verdicts``: action -> number of stems and their share.
        - ``noise``: the estimates of ``refine``, or None.
        - ``classes``: for each class, ``label``, ``stems`` that claim it, seconds ``claimed`` and ``kept``, and its
          ``noise``.
        - ``matrix``: for each claimed class, ``label``, ``stems`` and ``cells``: class found, or nothing -> number of
          judged stems. A stem in which several classes were found counts in each.
        - ``histogram``: numbers of judged stems by label quality, in :data:`BINS` equal steps from 0 to 1, each with
          its share of the largest.
        - ``issues``: see :func:`stemclean.checks.table`.
        - ``skipped``: files that could not be used, with reasons.
    """
    stems, labels = manifest.stems, manifest.labels
    noise = manifest.summary.get("noise")
    judged = [stem for stem in stems if stem.found is not None]
    actions = {action: sum(s.verdict is not None and s.verdict.action == action for s in stems) for action in ACTIONS}
    return {
        "stems": len(stems),
        "tracks": len({stem.track or stem.id for stem in stems}),
        "judged": len(judged),
        "flagged": sum(map(flagged, stems)),
        "hours": sum(stem.duration for stem in stems) / 3600,
        "verdicts": [(action, number, number / max(1, len(stems))) for action, number in actions.items()],
        "noise": noise,
        "classes": [_class_row(label, stems, noise) for label in labels],
        "matrix": _matrix(judged, labels),
        "nothing": NOTHING,
        "histogram": _histogram(stems),
        "issues": checks.table(stems),
        "skipped": [
            {"path": visible(skip.path), "reason": str(skip.reason).replace("_", " "), "detail": visible(skip.detail)}
            for skip in manifest.skipped
        ],
    }


def _class_row(label: str, stems: Sequence[Stem], noise: dict[str, Any] | None) -> dict[str, Any]:
    claiming = [stem for stem in stems if label in stem.claimed]
    return {
        "label": label,
        "stems": len(claiming),
        "claimed": sum(stem.duration for stem in claiming),
        "kept": sum(stem.duration for stem in stems if stem.usable and stem.single and label in stem.labels),
        "noise": (noise or {}).get("classes", {}).get(label),
    }


def _matrix(judged: Sequence[Stem], labels: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for claim in labels:
        claiming = [stem for stem in judged if claim in stem.claimed]
        cells = {found: sum(found in (stem.found or []) for stem in claiming) for found in labels}
        cells[NOTHING] = sum(not stem.found for stem in claiming)
        if claiming:
            rows.append({"label": claim, "stems": len(claiming), "cells": cells})
    return rows


def _histogram(stems: Sequence[Stem]) -> list[dict[str, Any]]:
    qualities = [s.verdict.label_quality for s in stems if s.verdict and s.verdict.label_quality is not None]
    numbers = [0] * BINS
    for quality in qualities:
        numbers[min(BINS - 1, int(quality * BINS))] += 1
    most = max([1, *numbers])
    return [
        {"low": index / BINS, "high": (index + 1) / BINS, "stems": number, "share": number / most}
        for index, number in enumerate(numbers)
    ]
