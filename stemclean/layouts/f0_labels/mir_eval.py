"""mir_eval text: lines ``time Hz``; 0 is unvoiced, and a negative number is unvoiced with an estimate of |Hz|.

Source: ``mir_eval.io.load_time_series`` and ``mir_eval.melody``, the format of MIREX.
"""

from __future__ import annotations

import math

import numpy as np

from stemclean.audio.f0 import F0Track
from stemclean.layouts.f0_labels.base import (
    Beside,
    check_hz,
    fields,
    lines,
    number,
    short,
    spread,
    timed,
    unvoiced_or_number,
)


class MirEval:
    """See the module."""

    name = "mir_eval"
    ending = ".txt"
    priority = 20

    def can_read(self, text: str, beside: Beside) -> bool:
        """Return whether the first line has two numbers or more, without commas."""
        first = fields(text)
        return len(first) > 1 and "," not in text and math.isfinite(number(first[0])) and unvoiced_or_number(first[1])

    def read(self, text: str, beside: Beside) -> F0Track:
        """Read the track; estimates of unvoiced frames have a frequency and voicing 0."""
        table, (start, hop, frames) = timed(text, 2, None, beside)
        f0_hz = spread(table[:, 1], frames)
        check_hz(np.abs(f0_hz))
        return F0Track(np.abs(f0_hz), (f0_hz > 0).astype(np.float64), hop, start)

    def write(self, track: F0Track, song: str) -> str:
        """Write times with nine decimals, frequencies with four; estimates of unvoiced frames are negative."""
        signed = np.where(track.voiced, track.f0_hz, -track.f0_hz) + 0.0
        return lines([f"{short(time, 9)}\t{f0:.4f}" for time, f0 in zip(track.times, signed, strict=True)])


FORMAT = MirEval()
