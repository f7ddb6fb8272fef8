"""CREPE's own CSV: ``time,frequency,confidence`` with that header; a frequency on every frame, sung or not.

Source: Kim et al., "CREPE: a convolutional representation for pitch estimation", ICASSP 2018, and its command line. A
frame is voiced from a confidence of 0.5 on (ours; CREPE leaves it open), and the confidence is the voicing.
"""

from __future__ import annotations

import numpy as np

from stemclean.audio.f0 import F0Track
from stemclean.layouts.f0_labels.base import (
    Beside,
    broken,
    check_hz,
    check_seconds,
    columns,
    fields,
    grid,
    lines,
    short,
    spread,
)

HEADER = ("time", "frequency", "confidence")

VOICED_FROM = 0.5
"""Confidence."""


class Crepe:
    """See the module."""

    name = "crepe"
    ending = ".csv"
    priority = 10

    def can_read(self, text: str, beside: Beside) -> bool:
        """The header."""
        return tuple(part.lower() for part in fields(text)) == HEADER

    def read(self, text: str, beside: Beside) -> F0Track:
        """An estimate: its confidence is how sure each frame is of being voiced, or of being not."""
        if not self.can_read(text, beside):
            raise broken(f"the first line is not {','.join(HEADER)}", "write that header")
        table = columns(text.strip().partition("\n")[2], 3, ",", f0=1)
        check_seconds(table[:, 0], beside)
        start, hop, frames = grid(table[:, 0])
        if (table[:, 1] < 0).any() or ((table[:, 2] < 0) | (table[:, 2] > 1)).any():
            raise broken("a frequency below 0, or a confidence outside of [0, 1]")
        sure = spread(table[:, 2], frames)
        voiced = sure >= VOICED_FROM
        f0_hz = spread(table[:, 1], frames)
        check_hz(f0_hz * voiced)
        return F0Track(f0_hz, np.where(voiced, sure, 0.0), hop, start, np.maximum(sure, 1.0 - sure))

    def write(self, track: F0Track, song: str) -> str:
        """Times with nine decimals, frequencies and confidences with four; the confidence is the voicing."""
        sure = np.where(track.voiced, np.maximum(track.voicing, VOICED_FROM), np.minimum(track.voicing, 0.49))
        rows = zip(track.times, track.f0_hz, sure, strict=True)
        return lines([",".join(HEADER), *(f"{short(t, 9)},{short(f0, 4)},{short(c, 4)}" for t, f0, c in rows)])


FORMAT = Crepe()
