"""Stems of a song that differ in length or sample rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stemclean.checks.base import Code
from stemclean.manifest import Issue, Stem

__all__ = ["CHECK", "Lengths"]

LENGTH = Code("length_differs", "note", "it is not as long as the other stems of its song")
RATE = Code("sample_rate_differs", "note", "its sample rate differs from that of the other stems of its song")
TOLERANCE = 0.1
"""Seconds by which lengths may differ: encoders pad the last frame."""


class Lengths:
    """The check. It needs at least three stems of a song, since two cannot say which of them is odd."""

    codes = (LENGTH, RATE)

    def of_dataset(self, stems: Sequence[Stem]) -> dict[str, list[Issue]]:
        """Issues of the stems that differ from the majority of their song."""
        songs: dict[str, list[Stem]] = {}
        for stem in stems:
            if stem.track and stem.source is None:
                songs.setdefault(stem.track, []).append(stem)
        found: dict[str, list[Issue]] = {}
        for song in songs.values():
            rate, with_rate = Counter(stem.sample_rate for stem in song).most_common(1)[0]
            length, with_length = _most_common_length(song)
            for stem in song:
                issues = []
                if 2 * with_length > len(song) >= 3 and abs(stem.duration - length) > TOLERANCE:
                    issues.append(LENGTH.issue(f"{stem.duration:.2f} s, the others {length:.2f} s"))
                if 2 * with_rate > len(song) >= 3 and stem.sample_rate != rate:
                    issues.append(RATE.issue(f"{stem.sample_rate} Hz, the others {rate} Hz"))
                if issues:
                    found[stem.id] = issues
        return found


def _most_common_length(song: Sequence[Stem]) -> tuple[float, int]:
    """Return the length that most stems have, within the tolerance, and their number."""
    counts = [(sum(abs(stem.duration - other.duration) <= TOLERANCE for other in song), stem.duration) for stem in song]
    number, length = max(counts)
    return length, number


CHECK = Lengths()
