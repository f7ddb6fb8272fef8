"""Two channels that hold one sound, or cancel each other."""

from __future__ import annotations

from stemclean.audio.signal_meter import Signal
from stemclean.checks.base import Code
from stemclean.manifest import Issue

__all__ = ["CHECK", "StereoImage"]

DUAL_MONO = Code("dual_mono", "note", "both channels hold the same sound: a mono recording in a stereo file")
OUT_OF_PHASE = Code("out_of_phase", "warning", "the channels partly cancel each other when mixed to mono")
SAME, OPPOSITE = 0.99999, -0.3
"""Correlations of the channels from which on they are the same, and below which they cancel."""


class StereoImage:
    """The check."""

    codes = (DUAL_MONO, OUT_OF_PHASE)

    def of_signal(self, signal: Signal) -> list[Issue]:
        """One issue; the score of ``out_of_phase`` is how strongly the channels cancel."""
        correlation = signal.correlation
        if correlation is None:
            return []
        if correlation >= SAME:
            return [DUAL_MONO.issue("the channels are equal")]
        if correlation <= OPPOSITE:
            return [OUT_OF_PHASE.issue(f"correlation of the channels {correlation:.2f}", round(-correlation, 4))]
        return []


CHECK = StereoImage()
