"""mir_eval text: ``time Hz`` a line, white space between; 0 is unvoiced, and below 0 unvoiced with a guess at |Hz|.

Source: ``mir_eval.io.load_time_series`` and ``mir_eval.melody``, the format of MIREX.
"""

from __future__ import annotations

import math

import numpy as np

from stemclean.audio.f0 import F0Track
from stemclean.layouts.f0_labels.base import (
    Beside,
    check_hz,
    check_seconds,
    columns,
    fields,
    grid,
    lines,
    number,
    short,
    spread,
    unvoiced_or_number,
)


class MirEval:
    """See the module."""

    name = "mir_eval"
    ending = ".txt"
    priority = 20

    def can_read(self, text: str, beside: Beside) -> bool:
        """Two numbers or more on the first line, no comma."""
        first = fields(text)
        return len(first) > 1 and "," not in text and math.isfinite(number(first[0])) and unvoiced_or_number(first[1])

    def read(self, text: str, beside: Beside) -> F0Track:
        """The track; guesses have a frequency and voicing 0."""
        table = columns(text, 2, None, f0=1)
        check_seconds(table[:, 0], beside)
        start, hop, frames = grid(table[:, 0])
        f0_hz = spread(table[:, 1], frames)
        check_hz(np.abs(f0_hz))
        return F0Track(np.abs(f0_hz), (f0_hz > 0).astype(np.float64), hop, start)

    def write(self, track: F0Track, song: str) -> str:
        """Times with nine decimals, frequencies with four; guesses below 0."""
        signed = np.where(track.voiced, track.f0_hz, -track.f0_hz) + 0.0
        return lines([f"{short(time, 9)}\t{f0:.4f}" for time, f0 in zip(track.times, signed, strict=True)])


FORMAT = MirEval()
