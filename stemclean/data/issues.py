"""The issue of stems that were written softer than their source to avoid clipping."""

from __future__ import annotations

from collections.abc import Iterable

from stemclean.manifest import Issue, Stem
from stemclean.units import amplitude_to_db

__all__ = ["GAIN_DB", "turned_down", "turned_down_issue"]

GAIN_DB = "gain_db"
"""Key in ``extra`` of a stem that was written softer than its source."""


def turned_down_issue(gain_db: float, peak: float) -> Issue:
    """Return the issue of a stem that was attenuated because a stem of its song reaches ``peak``; full scale is 1."""
    reason = f"a stem of the song reaches {amplitude_to_db(peak):+.2f} dBFS"
    return Issue(code="turned_down", detail=f"by {-gain_db:.2f} dB, as all stems of its song are: {reason}")


def turned_down(stems: Iterable[Stem]) -> dict[str, float]:
    """Return the songs whose stems were attenuated, with their gain in dB."""
    softer = (stem for stem in stems if any(issue.code == "turned_down" for issue in stem.issues))
    return {stem.track or stem.id: stem.extra[GAIN_DB] for stem in softer if GAIN_DB in stem.extra}
