"""From what was heard to what to do: labels, regions over time, verdict and label quality of one stem. Pure logic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.special import logit

from stemclean.manifest import Region, Verdict
from stemclean.units import round_seconds

__all__ = ["Threshold", "borderline", "found_labels", "label_quality", "labelled_regions", "limits", "verdict"]


Threshold = float | Mapping[str, float]
"""A score above which a class is present: one for all classes, or class by class."""


def limits(
    labels: Iterable[str], claimed: Sequence[str], threshold: Threshold, claimed_threshold: float
) -> dict[str, float]:
    """The score above which each class is present.

    Args:
        threshold: of a class in general; the paper's is 0.9.
        claimed_threshold: of a class that the dataset claims: the claim is evidence too, as most claims are right, so
            it never asks for more than ``threshold`` does. Equal to ``threshold`` it is the paper's rule. Ours.
    """
    return {
        label: min(general, claimed_threshold) if label in claimed else general
        for label in labels
        for general in [threshold[label] if isinstance(threshold, Mapping) else threshold]
    }


def found_labels(
    scores: Mapping[str, float], claimed: Sequence[str], threshold: Threshold, claimed_threshold: float
) -> list[str]:
    """Classes that are present, in the order of the scores; thresholds as for :func:`limits`.

    Args:
        scores: class -> score in [0, 1].
    """
    above = limits(scores, claimed, threshold, claimed_threshold)
    return [label for label, score in scores.items() if score > above[label]]


def borderline(scores: np.ndarray, limits: Mapping[str, float], margin: float) -> bool:
    """Whether any score is so close to its limit that another way of listening might decide otherwise.

    Args:
        scores: ``(label,)``, in the order of the limits.
        margin: in logits, since that is the scale on which two ways of listening differ alike everywhere.
    """
    given, wanted = (np.clip(values, 1e-6, 1 - 1e-6) for values in (scores, np.array(list(limits.values()))))
    return bool(np.abs(logit(given) - logit(wanted)).min() < margin)


def label_quality(scores: Mapping[str, float], claimed: Sequence[str]) -> float:
    """How well the claim fits the scores, in [0, 1]: the worst of its classes.

    The smallest of the scores of the claimed classes and of one minus the scores of the others (the multi-label
    self-confidence of Thyagarajan et al. 2022, arXiv 2211.13895, pooled by the minimum).
    """
    return min(score if label in claimed else 1 - score for label, score in scores.items())


def verdict(claimed: Sequence[str], found: Sequence[str], quality: float) -> Verdict:
    """What to do with a stem. Reasons are explained in :data:`stemclean.manifest.VERDICT_REASONS`."""
    expected, heard = set(claimed), set(found)
    if not heard:
        return Verdict(action="drop", reason="no_class", label_quality=quality)
    if heard == expected:
        return Verdict(action="keep", reason="as_claimed", label_quality=quality)
    if len(heard) == 1:
        return Verdict(action="relabel", reason="other_class_found", label_quality=quality)
    reason = "unclaimed_class_present" if expected <= heard else "claimed_class_absent"
    return Verdict(action="mixed", reason=reason, label_quality=quality)


def labelled_regions(
    scores: np.ndarray,
    labels: Sequence[str],
    active: Sequence[tuple[float, float]],
    step: float,
    *,
    on: float | Mapping[str, float],
    off: float,
    found: Sequence[str] | None = None,
) -> list[Region]:
    """Stretches with the same classes throughout, inside the active regions.

    A class begins where its score rises above ``on``, and reaches back and forth as long as the score stays above
    ``off`` (hysteresis), so that it does not flicker. Only classes ``found`` in the whole stem are placed.

    Args:
        scores: ``(step, label)`` over time, NaN where nothing is known.
        active: regions in seconds.
        step: seconds between scores.
        on: for all classes, or class by class: a claimed one is believed earlier.
    """
    begins = on if isinstance(on, Mapping) else dict.fromkeys(labels, on)
    present = np.stack(
        [_hysteresis(scores[:, column], begins[label], off) for column, label in enumerate(labels)], axis=1
    )
    if found is not None:
        present &= np.array([label in found for label in labels])
    regions: list[Region] = []
    for start, end in active:
        first, last = int(start / step), min(int(np.ceil(end / step)), len(present))
        for index in range(first, last):
            held = [label for label, there in zip(labels, present[index], strict=True) if there]
            begin = round_seconds(max(start, index * step))
            until = round_seconds(min(end, (index + 1) * step) if index < last - 1 else end)
            if until <= begin:
                continue
            if regions and regions[-1].labels == held and abs(regions[-1].end - begin) < 1e-5:
                regions[-1] = Region(start=regions[-1].start, end=until, labels=held)
            else:
                regions.append(Region(start=begin, end=until, labels=held))
    return regions


def _hysteresis(scores: np.ndarray, on: float, off: float) -> np.ndarray:
    """Runs above ``off`` that reach above ``on`` somewhere."""
    with np.errstate(invalid="ignore"):
        loose, strict = scores > off, scores > on
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loose, [False]])))
    present = np.zeros(len(scores), bool)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        present[start:end] = strict[start:end].any()
    return present
