"""Compare when each class sounds in ground truth and estimate, by segments of a second and by their boundaries.

Conventions
    *Spans* are start and end in seconds. A recording is divided into segments of :data:`SEGMENT` seconds; the last one
    may be shorter. A class is *active* in every segment that one of its spans touches. Both sides are thus rounded
    outwards in the same way.

The definitions are the segment-based metrics of Mesaros, Heittola and Virtanen, "Metrics for polyphonic sound event
detection" (Applied Sciences 6(6), 2016, section 3.1), at the resolution of the DCASE tasks. The tests compare this
module with golden values of the authors' own program (sed_eval). We differ in two points: undefined values are
``None``, never NaN, and an F1 without a single hit is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from stemclean.metrics import tagging
from stemclean.metrics.tagging import Mask, Value

__all__ = ["SEGMENT", "activity", "border_errors", "bridged", "evaluate"]

Span = tuple[float, float]

SEGMENT = 1.0
"""Length of a segment in seconds."""


def activity(
    spans: Mapping[str, Sequence[Span]], labels: Sequence[str], duration: float, segment: float = SEGMENT
) -> Mask:
    """Return which class is active in which segment.

    Args:
        spans: label -> start and end in seconds; times after ``duration`` are ignored.
        labels: names of the classes, in the order of the columns.
        duration: duration of the recording in seconds.
        segment: length of a segment in seconds.

    Shape:
        result: ``(segment, class)``.

    >>> activity({"bass": [(0.9, 2.0)]}, ["bass", "drums"], 3.0).tolist()
    [[True, False], [True, False], [False, False]]
    """
    active = np.zeros((math.ceil(duration / segment), len(labels)), np.bool_)
    for column, label in enumerate(labels):
        for start, end in spans.get(label, ()):
            active[math.floor(start / segment) : math.ceil(end / segment), column] = True
    return active


def evaluate(truth: Mask, estimate: Mask, unclaimed: Mask, labels: Sequence[str]) -> dict[str, Value]:
    """Compute segment-based precision, recall and F1.

    Args:
        truth, estimate: activity in the segments of all recordings, concatenated.
        unclaimed: where the recording does not claim the class.
        labels: names of the classes, in the order of the columns.

    Shape:
        truth, estimate, unclaimed: ``(segment, class)``, Boolean.

    Returns:
        ``METRIC/CLASS``; ``METRIC/average`` over the classes; and ``METRIC/unclaimed`` over all pairs of a segment and
        an unclaimed class, that is, only bleed and wrong labels.

    Raises:
        ValueError: see :func:`stemclean.metrics.tagging.validate`.
    """
    tagging.validate(truth, estimate)
    tagging.validate(truth, unclaimed)
    pairs = (truth[unclaimed][:, None], estimate[unclaimed][:, None])  # (segment, class) -> (pair, 1)
    report: dict[str, Value] = {}
    for metric in (tagging.f1, tagging.precision, tagging.recall):
        values = metric(truth, estimate)
        report |= {f"{metric.__name__}/{label}": value for label, value in zip(labels, values, strict=True)}
        report[f"{metric.__name__}/average"] = tagging.mean(values)
        report[f"{metric.__name__}/unclaimed"] = metric(*pairs)[0]
    return report


def bridged(spans: Sequence[Span], gap: float) -> list[Span]:
    """Sort spans and join those separated by less than ``gap`` seconds.

    >>> bridged([(5.0, 6.0), (0.0, 1.0), (1.5, 2.0)], 1.0)
    [(0.0, 2.0), (5.0, 6.0)]
    """
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def border_errors(truth: Sequence[Span], estimate: Sequence[Span]) -> list[tuple[float, float] | None]:
    """Return the errors of the estimated boundaries of each true span, in seconds; positive values are too late.

    A true span is compared with the estimated span that overlaps it most, even if that one overlaps several.

    Returns:
        For each true span, the errors of its start and end; None if no estimate overlaps it.

    >>> border_errors([(1.0, 4.0), (8.0, 9.0)], [(0.5, 4.25)])
    [(-0.5, 0.25), None]
    """
    errors: list[tuple[float, float] | None] = []
    for start, end in truth:
        overlaps = [min(end, b) - max(start, a) for a, b in estimate]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] > 0:
            errors.append((estimate[best][0] - start, estimate[best][1] - end))
        else:
            errors.append(None)
    return errors
