"""MedleyDB f0 annotations: lines ``time,Hz``, with 0 Hz or ``nan`` for unvoiced; hop of 256 samples at 44.1 kHz.

Source: Bittner et al., "MedleyDB: a multitrack dataset for annotation-intensive MIR research", ISMIR 2014. Pitch files
exported from Tony leave out unvoiced frames, which are inserted. Any regular hop is accepted.
"""

from __future__ import annotations

import math

from stemclean.audio.f0 import F0Track
from stemclean.layouts.f0_labels.base import (
    Beside,
    broken,
    check_hz,
    fields,
    lines,
    number,
    short,
    spread,
    timed,
    unvoiced_or_number,
)


class MedleyDB:
    """See the module."""

    name = "medleydb"
    ending = ".csv"
    priority = 20

    def can_read(self, text: str, beside: Beside) -> bool:
        """Return whether the first line has two numbers or more, separated by commas."""
        first = fields(text)
        return len(first) > 1 and "," in text and math.isfinite(number(first[0])) and unvoiced_or_number(first[1])

    def read(self, text: str, beside: Beside) -> F0Track:
        """Read the track; frequencies below 0 are refused."""
        table, (start, hop, frames) = timed(text, 2, ",", beside)
        if (table[:, 1] < 0).any():
            raise broken(f"a frequency of {table[:, 1].min():g} Hz", "write 0 where nothing is sung")
        check_hz(table[:, 1])
        return F0Track.of(spread(table[:, 1], frames), hop, start)

    def write(self, track: F0Track, song: str) -> str:
        """Write times with nine decimals, frequencies with four (0.002 cents at 82 Hz)."""
        f0_hz = track.f0_hz * track.voiced
        return lines([f"{short(time, 9)},{f0:.4f}" for time, f0 in zip(track.times, f0_hz, strict=True)])


FORMAT = MedleyDB()
