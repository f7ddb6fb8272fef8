"""The summary at the top of the page: the dataset in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stemclean import checks
from stemclean.errors import visible
from stemclean.manifest import Manifest, Stem
from stemclean.reporting.rows import flagged

__all__ = ["BINS", "Overall", "overall"]

BINS = 20
"""Number of bars of the histogram of label qualities."""
NOTHING = "nothing"
ACTIONS = ("keep", "relabel", "mixed", "drop")


class Overall:
    """Counts the stems of a manifest for the page; the counts of parts of it can be joined.

    Args:
        labels: the classes.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.stems = self.judged = self.flagged = 0
        self.tracks: set[str] = set()
        self.seconds = 0.0
        self.actions = dict.fromkeys(ACTIONS, 0)
        self.claims = dict.fromkeys(labels, 0)
        self.claimed = dict.fromkeys(labels, 0.0)
        self.kept = dict.fromkeys(labels, 0.0)
        self.judged_claims = dict.fromkeys(labels, 0)
        self.cells = {label: dict.fromkeys([*labels, NOTHING], 0) for label in labels}
        self.qualities = [0] * BINS
        self.issues = checks.Tally()

    def add(self, stem: Stem) -> None:
        """Count a stem."""
        verdict, duration = stem.verdict, stem.duration
        self.stems += 1
        self.tracks.add(stem.track or stem.id)
        self.judged += stem.found is not None
        self.flagged += flagged(stem)
        self.seconds += duration
        for label in dict.fromkeys(stem.claimed):
            self.claims[label] += 1
            self.claimed[label] += duration
            if stem.found is not None:
                self.judged_claims[label] += 1
                for found in dict.fromkeys(stem.found) or (NOTHING,):
                    self.cells[label][found] += 1
        if stem.usable and stem.single:
            self.kept[stem.labels[0]] += duration
        if verdict is not None:
            self.actions[verdict.action] += 1
            if verdict.label_quality is not None:
                self.qualities[min(BINS - 1, int(verdict.label_quality * BINS))] += 1
        self.issues.add(stem)

    def join(self, other: Overall) -> None:
        """Add what another has counted in later stems."""
        self.stems += other.stems
        self.tracks |= other.tracks
        self.judged += other.judged
        self.flagged += other.flagged
        self.seconds += other.seconds
        for mine, theirs in (
            (self.actions, other.actions),
            (self.claims, other.claims),
            (self.judged_claims, other.judged_claims),
            *((self.cells[label], cells) for label, cells in other.cells.items()),
        ):
            for name, number in theirs.items():
                mine[name] += number
        for durations, more in ((self.claimed, other.claimed), (self.kept, other.kept)):
            for label, duration in more.items():
                durations[label] += duration
        self.qualities = [mine + theirs for mine, theirs in zip(self.qualities, other.qualities, strict=True)]
        self.issues.join(other.issues)

    def summary(self, header: Manifest) -> dict[str, Any]:
        """Return the summary, see :func:`overall`.

        Args:
            header: the manifest; its stems are not read.
        """
        noise = header.summary.get("noise")
        of_classes = (noise or {}).get("classes", {})
        most = max([1, *self.qualities])
        return {
            "stems": self.stems,
            "tracks": len(self.tracks),
            "judged": self.judged,
            "flagged": self.flagged,
            "hours": self.seconds / 3600,
            "verdicts": [(action, number, number / max(1, self.stems)) for action, number in self.actions.items()],
            "noise": noise,
            "classes": [
                {
                    "label": label,
                    "stems": self.claims[label],
                    "claimed": self.claimed[label],
                    "kept": self.kept[label],
                    "noise": of_classes.get(label),
                }
                for label in header.labels
            ],
            "matrix": [
                {"label": label, "stems": self.judged_claims[label], "cells": self.cells[label]}
                for label in header.labels
                if self.judged_claims[label]
            ],
            "nothing": NOTHING,
            "histogram": [
                {"low": index / BINS, "high": (index + 1) / BINS, "stems": number, "share": number / most}
                for index, number in enumerate(self.qualities)
            ],
            "issues": self.issues.table(),
            "skipped": [
                {
                    "path": visible(skip.path),
                    "reason": str(skip.reason).replace("_", " "),
                    "detail": visible(skip.detail),
                }
                for skip in header.skipped
            ],
        }


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
    counted = Overall(manifest.labels)
    for stem in manifest.stems:
        counted.add(stem)
    return counted.summary(manifest)
