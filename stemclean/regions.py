"""What sounds when: stretches of a stem with the same classes throughout. Pure logic."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from stemclean.manifest import Region
from stemclean.units import round_seconds

__all__ = ["overlay"]

Span = tuple[float, float]


def overlay(spans: Mapping[str, Sequence[Span]]) -> list[Region]:
    """Regions of a recording of which it is known when each class sounds; where none does is no region.

    Args:
        spans: label -> start and end in seconds, in any order, overlapping or not.

    >>> [(r.start, r.end, r.labels) for r in overlay({"drums": [(0.0, 4.0)], "bass": [(1.0, 2.0)]})]
    [(0.0, 1.0, ['drums']), (1.0, 2.0, ['drums', 'bass']), (2.0, 4.0, ['drums'])]
    """
    placed = {label: [(round_seconds(a), round_seconds(b)) for a, b in held] for label, held in spans.items()}
    edges = sorted({edge for held in placed.values() for span in held for edge in span})
    regions: list[Region] = []
    for start, end in itertools.pairwise(edges):
        labels = [label for label, held in placed.items() if any(a <= start and end <= b for a, b in held)]
        if regions and regions[-1].labels == labels and regions[-1].end == start:
            regions[-1] = Region(start=regions[-1].start, end=end, labels=labels)
        elif labels:
            regions.append(Region(start=start, end=end, labels=labels))
    return regions
