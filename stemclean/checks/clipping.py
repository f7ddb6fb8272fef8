"""Clipped recordings, and peaks between samples that exceed full scale."""

from __future__ import annotations

from stemclean.audio.signal_meter import Signal
from stemclean.checks.base import Code
from stemclean.manifest import Issue
from stemclean.units import amplitude_to_db

__all__ = ["CHECK", "Clipping"]

CLIPPED = Code("clipped", "warning", "the tops of the waveform are cut off")
TRUE_PEAK = Code("true_peak_over", "note", "a converter would exceed full scale between two samples")

FEWEST, NEAR_FULL_SCALE = 3, 0.97
"""Flat tops that count as clipping, if they are close to full scale."""

MANY, CREST_DB = 20, 3.0
"""The same at any level: a softer copy of a clipped recording. A square wave has flat tops too, but a low crest."""

CERTAIN = 50.0
"""Flat tops per minute with a score of 1."""


class Clipping:
    """The check."""

    codes = (CLIPPED, TRUE_PEAK)

    def of_signal(self, signal: Signal) -> list[Issue]:
        """At most one issue of each kind; the score of ``clipped`` grows with the number of flat tops per minute."""
        issues = []
        crest_db = amplitude_to_db(signal.peak / signal.rms) if signal.rms else 0.0
        at_full_scale = signal.clipped >= FEWEST and signal.peak >= NEAR_FULL_SCALE
        if at_full_scale or (signal.clipped >= MANY and crest_db >= CREST_DB):
            per_minute = 60 * signal.clipped / signal.duration
            detail = f"{signal.clipped} flat tops at {amplitude_to_db(signal.peak):.2f} dBFS"
            issues.append(CLIPPED.issue(detail, round(min(1.0, per_minute / CERTAIN), 4)))
        if signal.true_peak > 1.0:
            issues.append(TRUE_PEAK.issue(f"true peak {amplitude_to_db(signal.true_peak):+.2f} dBTP"))
        return issues


CHECK = Clipping()
