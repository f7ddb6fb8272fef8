"""Stems that were written softer than their source, and the issue that says so."""

from __future__ import annotations

from collections.abc import Iterable

from stemclean.manifest import Issue, Stem
from stemclean.units import amplitude_to_db

__all__ = ["GAIN_DB", "turned_down", "turned_down_issue"]

GAIN_DB = "gain_db"
"""In ``extra`` of a stem that was written softer than its source."""


def turned_down_issue(gain_db: float, peak: float) -> Issue:
    """That a stem was written softer for the sake of its song, of which a stem reached ``peak``; full scale = 1."""
    what = f"a stem of the song reaches {amplitude_to_db(peak):+.2f} dBFS"
    return Issue(code="turned_down", detail=f"by {-gain_db:.2f} dB, as all stems of its song are: {what}")


def turned_down(stems: Iterable[Stem]) -> dict[str, float]:
    """Songs whose stems were written softer -> their gain in dB."""
    softer = (stem for stem in stems if any(issue.code == "turned_down" for issue in stem.issues))
    return {stem.track or stem.id: stem.extra[GAIN_DB] for stem in softer if GAIN_DB in stem.extra}
