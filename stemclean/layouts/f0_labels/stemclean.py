"""stemclean's format: ``time,f0_hz,voicing,confidence`` with that header; without confidences, the column is empty."""

from __future__ import annotations

import numpy as np

from stemclean.audio.f0 import F0Track
from stemclean.layouts.f0_labels.base import Beside, broken, check_hz, columns, fields, grid, lines, short, spread

HEADER = ("time", "f0_hz", "voicing", "confidence")

LEAST = 0.0001
"""Smallest voicing above 0 with four decimals."""


class Stemclean:
    """See the module."""

    name = "stemclean"
    ending = ".csv"
    priority = 10

    def can_read(self, text: str, beside: Beside) -> bool:
        """Return whether the text has the header."""
        return tuple(fields(text)) == HEADER

    def read(self, text: str, beside: Beside) -> F0Track:
        """Read the track."""
        if not self.can_read(text, beside):
            raise broken(f"the first line is not {','.join(HEADER)}", "write that header")
        body = text.strip().split("\n", 1)[1] if "\n" in text.strip() else ""
        has_confidence = not all(line.rstrip().endswith(",") for line in body.splitlines())
        table = columns(body, 4 if has_confidence else 3, ",")
        start, hop, frames = grid(table[:, 0])
        outside = (table[:, 2:] < 0) | (table[:, 2:] > 1)
        if (table[:, 1] < 0).any() or outside.any():
            raise broken("a frequency below 0, or a voicing or confidence outside of [0, 1]")
        check_hz(table[:, 1])
        confidence = spread(table[:, 3], frames) if has_confidence else None
        return F0Track(spread(table[:, 1], frames), spread(table[:, 2], frames), hop, start, confidence)

    def write(self, track: F0Track, song: str) -> str:
        """Write times with nine decimals, other values with four; voiced frames stay voiced."""
        confidences = [""] * track.num_frames if track.confidence is None else [short(c, 4) for c in track.confidence]
        voicing = np.where(track.voiced, np.maximum(track.voicing, LEAST), track.voicing)
        rows = zip(track.times, track.f0_hz, voicing, confidences, strict=True)
        return lines(
            [",".join(HEADER), *(f"{short(t, 9)},{short(f0, 4)},{short(v, 4)},{c}" for t, f0, v, c in rows)],
        )


FORMAT = Stemclean()
