"""The label-noise reference of a card: one line per stem, ``CLASS[+BLEED] TRACK SCORE …``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stemclean.metrics.label_reference import Reference

__all__ = ["reference_of_card", "reference_to_card", "stored"]


def reference_of_card(card: Mapping[str, Any], labels: Sequence[str]) -> Reference | None:
    """Return the reference of a card; None if it has none, or one of other classes.

    Raises:
        ValueError: The reference is invalid. Cards of loaded weights have been checked already.
    """
    document = card.get("reference")
    if not document:
        return None
    reference = stored(document)
    return reference if list(document["labels"]) == list(labels) else None


def stored(document: Any) -> Reference:
    """Parse the ``reference`` of a card.

    Raises:
        ValueError: It is invalid; the message names the key or line.
    """
    if not isinstance(document, Mapping):
        raise ValueError("reference must be an object")
    labels, lines = _texts(document, "labels"), _texts(document, "stems")
    rows = [_row(number, line, labels) for number, line in enumerate(lines)]
    return Reference(
        scores=np.array([scores for _, _, _, scores in rows]),
        main=np.array([main for main, _, _, _ in rows]),
        bleed=np.array([bleed for _, bleed, _, _ in rows]),
        track=np.array([track for _, _, track, _ in rows]),
    )


def _texts(document: Mapping[str, Any], key: str) -> list[str]:
    texts = document.get(key)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"reference.{key} must be a list of texts")
    return texts


def _row(number: int, line: str, labels: Sequence[str]) -> tuple[int, int, str, list[float]]:
    """Return the main class, bleed (-1: none), track and scores of a line."""
    address = f"reference.stems[{number}]"
    cells = line.rsplit(maxsplit=len(labels) + 1)  # names of classes may contain spaces
    if len(cells) != len(labels) + 2:
        raise ValueError(f"{address} must be CLASS TRACK and a score for each class")
    try:
        scores = [float(cell) for cell in cells[2:]]
    except ValueError:
        scores = [math.nan]
    if not all(0 <= score <= 1 for score in scores):
        raise ValueError(f"{address} must have scores from 0 to 1")
    main, bleed = _classes(cells[0], labels)
    if main is None:
        raise ValueError(f"{address} must begin with one or two different classes of reference.labels")
    return main, bleed, cells[1], scores


def _classes(text: str, labels: Sequence[str]) -> tuple[int | None, int]:
    """Return the class of a stem (None: unknown) and the one that bleeds into it (-1: none).

    Names of classes may contain a plus.
    """
    if text in labels:
        return labels.index(text), -1
    for index, letter in enumerate(text):
        main, bleed = text[:index], text[index + 1 :]
        if letter == "+" and main in labels and bleed in labels and main != bleed:
            return labels.index(main), labels.index(bleed)
    return None, -1


def reference_to_card(reference: Reference, labels: Sequence[str]) -> dict[str, Any]:
    """Return a reference in the format of the card; tracks become numbers."""
    tracks = np.unique(reference.track, return_inverse=True)[1]
    lines = []
    for scores, main, bleed, track in zip(reference.scores, reference.main, reference.bleed, tracks, strict=True):
        classes = labels[main] if bleed < 0 else f"{labels[main]}+{labels[bleed]}"
        lines.append(" ".join([classes, str(int(track)), *(f"{score:.4f}" for score in scores)]))
    return {"labels": list(labels), "stems": lines}
