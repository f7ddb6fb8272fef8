"""Long silence before or after everything that sounds in a song."""

from __future__ import annotations

from stemclean.checks.base import Code, Song
from stemclean.manifest import Issue

__all__ = ["CHECK", "OuterSilence"]

START = Code("silent_start", "note", "no stem of the song has sound in the first seconds")
END = Code("silent_end", "note", "no stem of the song has sound in the last seconds")
LONGEST = 5.0
"""Seconds of silence that are normal."""


class OuterSilence:
    """The check. The stems of a song share its time, so that silence counts only if all are silent."""

    codes = (START, END)

    def of_song(self, song: Song) -> dict[str, list[Issue]]:
        """The same issues for all stems of a song."""
        if not song.silence:
            return {}
        start = min(head for head, _ in song.silence.values())
        end = min(tail for _, tail in song.silence.values())
        issues = [
            code.issue(f"{seconds:.1f} s of silence")
            for code, seconds in ((START, start), (END, end))
            if seconds > LONGEST
        ]
        return dict.fromkeys(song.silence, issues) if issues else {}


CHECK = OuterSilence()
