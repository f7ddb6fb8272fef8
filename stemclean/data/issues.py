"""Remarks on a stem's sound, as the manifest holds them; none changes a label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stemclean.audio.stereo import ChannelFaults
from stemclean.manifest import Issue, Stem
from stemclean.units import amplitude_to_db

__all__ = ["CHANNEL_CODES", "GAIN_DB", "channel_issues", "turned_down", "turned_down_issue", "with_issues"]

GAIN_DB = "gain_db"
"""In ``extra`` of a stem that was written softer than its source."""

CHANNEL_CODES = ("one_sided", "polarity_inverted")


def channel_issues(faults: ChannelFaults) -> list[Issue]:
    """What is odd about a sound's two channels."""
    issues = []
    for code, kinds in zip(CHANNEL_CODES, (("left", "right"), ("inverted",)), strict=True):
        found = [fault for fault in faults.faults if fault.kind in kinds]
        if not found:
            continue
        sides = " or ".join(kind for kind in kinds if any(fault.kind == kind for fault in found))
        what = f"only the {sides} channel sounds" if code == "one_sided" else "one channel is the other's negative"
        seconds = sum(fault.end - fault.start for fault in found)
        where = "" if seconds >= faults.duration - 0.05 else f" for {seconds:.1f} of {faults.duration:.1f} s"
        issues.append(Issue(code=code, detail=f"{what}{where}: heard as the mono that it holds"))
    return issues


def turned_down_issue(gain_db: float, peak: float) -> Issue:
    """That a stem was written softer for the sake of its song, of which a stem reached ``peak``; full scale = 1."""
    what = f"a stem of the song reaches {amplitude_to_db(peak):+.2f} dBFS"
    return Issue(code="turned_down", detail=f"by {-gain_db:.2f} dB, as all stems of its song are: {what}")


def turned_down(stems: Iterable[Stem]) -> dict[str, float]:
    """Songs whose stems were written softer -> their gain in dB."""
    softer = (stem for stem in stems if any(issue.code == "turned_down" for issue in stem.issues))
    return {stem.track or stem.id: stem.extra[GAIN_DB] for stem in softer if GAIN_DB in stem.extra}


def with_issues(before: Sequence[Issue], now: Sequence[Issue], codes: Sequence[str] = CHANNEL_CODES) -> list[Issue]:
    """The remarks on a stem with those of some codes made anew."""
    return [*(issue for issue in before if issue.code not in codes), *now]
