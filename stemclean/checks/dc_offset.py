"""Waveforms that are not centred."""

from __future__ import annotations

from stemclean.audio.signal_meter import Signal
from stemclean.checks.base import Code
from stemclean.manifest import Issue
from stemclean.units import amplitude_to_db

__all__ = ["CHECK", "DcOffset"]

OFFSET = Code("dc_offset", "note", "the waveform is not centred (DC offset)")
LEAST_DBFS, LEAST_RELATIVE_DB = -50.0, -26.0
"""An offset is reported above this level, if it is also above this level relative to the RMS."""


class DcOffset:
    """The check."""

    codes = (OFFSET,)

    def of_signal(self, signal: Signal) -> list[Issue]:
        """One issue; its score is the offset relative to the RMS."""
        if not signal.rms or signal.offset <= 0:
            return []
        offset_dbfs, relative_db = amplitude_to_db(signal.offset), amplitude_to_db(signal.offset / signal.rms)
        if offset_dbfs < LEAST_DBFS or relative_db < LEAST_RELATIVE_DB:
            return []
        return [OFFSET.issue(f"an offset of {offset_dbfs:.1f} dBFS", round(min(1.0, signal.offset / signal.rms), 4))]


CHECK = DcOffset()
