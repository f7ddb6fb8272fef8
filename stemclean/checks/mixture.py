"""Stems that do not add up to the given mixture of their song."""

from __future__ import annotations

from stemclean.checks.base import Code, Song
from stemclean.manifest import Issue

__all__ = ["CHECK", "Mixture"]

SUM = Code("sum_differs", "note", "the stems of the song do not add up to its mixture")
ABSENT = Code("not_in_mixture", "warning", "the mixture of the song does not contain this stem")
INVERTED = Code("inverted_in_mixture", "warning", "the mixture contains the negative of this stem")
LATE = Code("out_of_time", "warning", "this stem is earlier or later than in the mixture")
LEAST_RESIDUAL_DB = -30.0
"""Residual, relative to the mixture, from which on the sum differs."""
LATE_SECONDS = 0.001
"""Delay that is reported."""


class Mixture:
    """The check. The fit is computed by :func:`stemclean.audio.mixture_fit.fit_mixture`."""

    codes = (SUM, ABSENT, INVERTED, LATE)

    def of_song(self, song: Song) -> dict[str, list[Issue]]:
        """Issues of the stems of one song."""
        found: dict[str, list[Issue]] = {}
        fit = song.fit
        if fit is None:
            return found
        for part in fit.parts:
            issues = []
            if abs(part.delay) >= LATE_SECONDS and part.coherent:
                issues.append(LATE.issue(f"{1000 * part.delay:+.1f} ms relative to the mixture"))
            if part.coherent and part.gain < 0:
                issues.append(INVERTED.issue(f"gain in the mixture {part.gain:.2f}"))
            elif not part.coherent and part.audible:
                issues.append(ABSENT.issue("no trace of it in the mixture"))
            if fit.residual_db > LEAST_RESIDUAL_DB:
                rest = f"the residual is {fit.residual_db:.0f} dB relative to the mixture"
                score = min(1.0, (fit.residual_db - LEAST_RESIDUAL_DB) / -LEAST_RESIDUAL_DB)
                issues.append(SUM.issue(rest, round(score, 4)))
            if issues:
                found[part.stem] = issues
        return found


CHECK = Mixture()
