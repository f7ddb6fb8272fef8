"""Steady noise and mains hum in the quiet parts."""

from __future__ import annotations

from stemclean.audio.signal_meter import Signal
from stemclean.checks.base import Code
from stemclean.manifest import Issue
from stemclean.units import amplitude_to_db

__all__ = ["CHECK", "BackgroundNoise"]

NOISY = Code("noisy", "note", "steady noise in the quiet parts")
HUM = Code("hum", "warning", "mains hum in the quiet parts")
NOISE_BELOW_DB, CERTAIN_NOISE_DB = 50.0, 25.0
"""Distance of the noise to the RMS of the recording, at most, and with a score of 1."""
HUM_ABOVE_DB, CERTAIN_HUM_DB = 12.0, 24.0
"""How far the harmonics of the mains lie above their surroundings, at least, and with a score of 1."""
HUM_BELOW_DB = 60.0
"""Distance of the hum to the RMS of the recording, at most."""


class BackgroundNoise:
    """The check."""

    codes = (NOISY, HUM)

    def of_signal(self, signal: Signal) -> list[Issue]:
        """At most one issue of each kind; the scores grow with the level."""
        if not signal.rms:
            return []
        rms_dbfs, issues = amplitude_to_db(signal.rms), []
        if signal.noise_dbfs is not None and (below_db := rms_dbfs - signal.noise_dbfs) <= NOISE_BELOW_DB:
            score = (NOISE_BELOW_DB - below_db) / (NOISE_BELOW_DB - CERTAIN_NOISE_DB)
            detail = f"noise at {signal.noise_dbfs:.0f} dBFS, {below_db:.0f} dB below the recording"
            issues.append(NOISY.issue(detail, round(min(1.0, max(0.0, score)), 4)))
        hum = signal.hum
        if hum is not None and hum.above_db >= HUM_ABOVE_DB and rms_dbfs - hum.level_dbfs <= HUM_BELOW_DB:
            score = min(1.0, hum.above_db / CERTAIN_HUM_DB)
            issues.append(HUM.issue(f"{hum.hz:.0f} Hz and its harmonics at {hum.level_dbfs:.0f} dBFS", round(score, 4)))
        return issues


CHECK = BackgroundNoise()
