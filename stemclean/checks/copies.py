"""Stems with the same audio within a song, across songs, or across splits."""

from __future__ import annotations

from collections.abc import Sequence

from stemclean import duplicates
from stemclean.checks.base import Code
from stemclean.manifest import Issue, Stem

__all__ = ["CHECK", "Copies"]

IN_SONG = Code("duplicate_in_song", "warning", "another stem of the song has the same audio")
ACROSS_SONGS = Code("duplicate_across_songs", "warning", "a stem of another song has the same audio")
ACROSS_SPLITS = Code("duplicate_across_splits", "error", "a stem of another split has the same audio")
SHOWN = 3
"""Number of stems that an issue names; the others are counted."""


class Copies:
    """The check. The copies are found by :func:`stemclean.duplicates.groups`."""

    codes = (IN_SONG, ACROSS_SONGS, ACROSS_SPLITS)

    def of_dataset(self, stems: Sequence[Stem]) -> dict[str, list[Issue]]:
        """One issue for each kind of place in which a stem has copies, with their names."""
        found: dict[str, list[Issue]] = {}
        for group in duplicates.groups(stems):
            for stem in group:
                others = [other for other in group if other is not stem]
                places = {
                    IN_SONG: [other for other in others if other.track == stem.track],
                    ACROSS_SONGS: [other for other in others if other.track != stem.track],
                    ACROSS_SPLITS: [other for other in others if other.split != stem.split],
                }
                found[stem.id] = [code.issue(_named(stem, where)) for code, where in places.items() if where]
        return found


def _named(stem: Stem, copies: Sequence[Stem]) -> str:
    same_bytes = all((other.sha256, other.stream) == (stem.sha256, stem.stream) for other in copies)
    names = ", ".join(
        f"{other.id} ({', '.join(filter(None, [*other.claimed, other.split]))})" for other in copies[:SHOWN]
    )
    relation = "the same audio as" if same_bytes else "the same sound, in a different file, as"
    return f"{relation} {names}" + (f" and {len(copies) - SHOWN} more" if len(copies) > SHOWN else "")


CHECK = Copies()
