"""Report stems with the same audio within a song, across songs, or across splits."""

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
        """Return one issue per code for each stem with copies, which names them."""
        issues: dict[str, list[Issue]] = {}
        for group in duplicates.groups(stems):
            for stem in group:
                copies = [copy for copy in group if copy is not stem]
                copies_by_code = {
                    IN_SONG: [copy for copy in copies if copy.track == stem.track],
                    ACROSS_SONGS: [copy for copy in copies if copy.track != stem.track],
                    ACROSS_SPLITS: [copy for copy in copies if copy.split != stem.split],
                }
                issues[stem.id] = [code.issue(_named(stem, found)) for code, found in copies_by_code.items() if found]
        return issues


def _named(stem: Stem, copies: Sequence[Stem]) -> str:
    same_bytes = all((copy.sha256, copy.stream) == (stem.sha256, stem.stream) for copy in copies)
    names = ", ".join(f"{copy.id} ({', '.join(filter(None, [*copy.claimed, copy.split]))})" for copy in copies[:SHOWN])
    relation = "the same audio as" if same_bytes else "the same sound, in a different file, as"
    return f"{relation} {names}" + (f" and {len(copies) - SHOWN} more" if len(copies) > SHOWN else "")


CHECK = Copies()
