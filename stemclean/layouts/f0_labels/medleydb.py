"""MedleyDB f0 annotation: ``time,Hz`` a line, 0 Hz or ``nan`` where nothing is sung; 256 samples at 44.1 kHz.

Source: Bittner et al., "MedleyDB: a multitrack dataset for annotation-intensive MIR research", ISMIR 2014. The pitch
files that come out of Tony leave unvoiced frames out: they are put back. Any regular hop is read.
"""

from __future__ import annotations

import math

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
    number,
    short,
    spread,
    unvoiced_or_number,
)


class MedleyDB:
    """See the module."""

    name = "medleydb"
    ending = ".csv"
    priority = 20

    def can_read(self, text: str, beside: Beside) -> bool:
        """Two numbers or more on the first line, commas between."""
        first = fields(text)
        return len(first) > 1 and "," in text and math.isfinite(number(first[0])) and unvoiced_or_number(first[1])

    def read(self, text: str, beside: Beside) -> F0Track:
        """The track; frequencies below 0 are refused."""
        table = columns(text, 2, ",", f0=1)
        check_seconds(table[:, 0], beside)
        start, hop, frames = grid(table[:, 0])
        if (table[:, 1] < 0).any():
            raise broken(f"a frequency of {table[:, 1].min():g} Hz", "write 0 where nothing is sung")
        check_hz(table[:, 1])
        return F0Track.of(spread(table[:, 1], frames), hop, start)

    def write(self, track: F0Track, song: str) -> str:
        """Times with nine decimals, frequencies with four: 0.002 cent at 82 Hz."""
        f0_hz = track.f0_hz * track.voiced
        return lines([f"{short(time, 9)},{f0:.4f}" for time, f0 in zip(track.times, f0_hz, strict=True)])


FORMAT = MedleyDB()
