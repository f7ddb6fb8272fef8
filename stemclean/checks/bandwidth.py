"""Recordings without sound above some frequency: from lossy codecs, low sample rates or old media."""

from __future__ import annotations

from stemclean.audio.signal_meter import Signal
from stemclean.checks.base import Code
from stemclean.manifest import Issue

__all__ = ["CHECK", "Bandwidth"]

BAND_LIMITED = Code(
    "band_limited", "note", "there is no sound above some frequency: a lossy source, or a lower sample rate"
)
HIGHEST_HZ, NYQUIST_SHARE = 17_500.0, 0.85
"""A cutoff counts below this frequency, and below this share of the highest one that the sample rate allows."""
LEAST_FALL_DB, CERTAIN_FALL_DB = 20.0, 40.0
"""How far the spectrum falls at the cutoff, at least, and with a score of 1."""


class Bandwidth:
    """The check."""

    codes = (BAND_LIMITED,)

    def of_signal(self, signal: Signal) -> list[Issue]:
        """One issue with the cutoff; its score grows with the steepness."""
        cutoff = signal.cutoff
        if cutoff is None or cutoff.fall_db < LEAST_FALL_DB:
            return []
        if cutoff.hz >= min(HIGHEST_HZ, NYQUIST_SHARE * signal.sample_rate / 2):
            return []
        detail = f"no sound above {cutoff.hz / 1000:.1f} kHz: the spectrum falls by {cutoff.fall_db:.0f} dB there"
        return [BAND_LIMITED.issue(detail, round(min(1.0, cutoff.fall_db / CERTAIN_FALL_DB), 4))]


CHECK = Bandwidth()
