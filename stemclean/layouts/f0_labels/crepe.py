"""CSV of CREPE: ``time,frequency,confidence`` with or without that header; each frame has a frequency.

Source: Kim et al., "CREPE: a convolutional representation for pitch estimation", ICASSP 2018, and its command-line
tool. A frame is voiced if its confidence is at least 0.5 (ours; CREPE leaves it open), and its confidence is its
voicing.
"""

from __future__ import annotations

import math

import numpy as np

from stemclean.audio.f0 import F0Track
from stemclean.layouts.f0_labels.base import (
    CONFIDENT,
    Beside,
    broken,
    check_hz,
    fields,
    lines,
    number,
    short,
    spread,
    timed,
)

HEADER = tuple(CONFIDENT.split(","))

VOICED_FROM = 0.5
"""Minimum confidence of a voiced frame."""


class Crepe:
    """See the module."""

    name = "crepe"
    ending = ".csv"
    priority = 10

    def can_read(self, text: str, beside: Beside) -> bool:
        """Return whether there is the header, or lines of three numbers with commas, the last of them in [0, 1]."""
        first = fields(text)
        return _is_header(first) or (len(first) == 3 and "," in text and _holds_confidences(text))

    def read(self, text: str, beside: Beside) -> F0Track:
        """Read an estimate; its confidence is that of the voicing decision of each frame."""
        if not self.can_read(text, beside):
            raise broken(f"the first line is not {','.join(HEADER)}", "write that header")
        rows = ["#" if _is_header(fields(row)) else row for row in text.splitlines()]  # keeps the line numbers
        separator = "," if "," in "".join(rows) else None
        table, (start, hop, frames) = timed(lines(rows), 3, separator, beside)
        if (table[:, 1] < 0).any() or ((table[:, 2] < 0) | (table[:, 2] > 1)).any():
            raise broken("a frequency below 0, or a confidence outside of [0, 1]")
        confidence = spread(table[:, 2], frames)
        voiced = confidence >= VOICED_FROM
        f0_hz = spread(table[:, 1], frames)
        check_hz(f0_hz * voiced)
        return F0Track(f0_hz, np.where(voiced, confidence, 0.0), hop, start, np.maximum(confidence, 1.0 - confidence))

    def write(self, track: F0Track, song: str) -> str:
        """Write times with nine decimals, frequencies and confidences with four; the confidence is the voicing."""
        confidence = np.where(track.voiced, np.maximum(track.voicing, VOICED_FROM), np.minimum(track.voicing, 0.49))
        rows = zip(track.times, track.f0_hz, confidence, strict=True)
        return lines([",".join(HEADER), *(f"{short(t, 9)},{short(f0, 4)},{short(c, 4)}" for t, f0, c in rows)])


def _is_header(first: list[str]) -> bool:
    return tuple(part.lower() for part in first) == HEADER


def _holds_confidences(text: str) -> bool:
    """Return whether the third column has numbers from 0 to 1, not only 0 and 1, which could mean anything."""
    rows = [line.split(",") for line in text.splitlines() if line.strip() and not line.startswith("#")]
    values = [number(row[2]) if len(row) == 3 else math.nan for row in rows]
    return all(0 <= value <= 1 for value in values) and any(0 < value < 1 for value in values)


FORMAT = Crepe()
