"""Stems with the same audio, which are never used twice where that would do harm.

Files are the same where their bytes are (SHA-256, and the stream of a file), and where ``refine`` has found that they
hold the same sound in another format, at another gain, or later. Silent files are all alike, and are no duplicates. A
copy under another class makes one of the two claims wrong; in another split it lets training hear what
it is tested on; twice in a song it sounds 6 dB louder than once. That the one is bleed of the other is never true.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from stemclean.manifest import Stem

__all__ = [
    "copies_of",
    "counted",
    "first_of_each",
    "groups",
    "left_out",
    "same_audio",
]

OTHER_CLASS = "duplicate_of_another_class"
"""Why neither of two stems with the same audio is used that are believed to hold different classes."""


def same_audio(stems: Sequence[Stem]) -> list[str | None]:
    """Of each stem what stands for its audio, the same for all that have it; None where it is silent or not known."""
    by_bytes = {f"{stem.sha256} {stem.stream}": stem.same_sound for stem in stems if stem.same_sound and stem.sha256}

    def audio(stem: Stem) -> str | None:
        if not stem.num_samples or _silent(stem):
            return None
        file = f"{stem.sha256} {stem.stream}"
        sound = stem.same_sound or by_bytes.get(file)
        if sound:
            return f"sound {sound}"
        return f"bytes {file}" if stem.sha256 else None

    return [audio(stem) for stem in stems]


def groups(stems: Iterable[Stem]) -> list[list[Stem]]:
    """Stems with the same audio, two and more together, in the order that they come in."""
    same: dict[str, list[Stem]] = defaultdict(list)
    stems = list(stems)
    for stem, audio in zip(stems, same_audio(stems), strict=True):
        if audio:
            same[audio].append(stem)
    return [group for group in same.values() if len(group) > 1]


def copies_of(held: Iterable[Stem], stems: Iterable[Stem]) -> set[str]:
    """Ids of those stems that have the same audio as one of ``held``, which are no copies of themselves."""
    held, stems = list(held), list(stems)
    own = {stem.id for stem in held}
    audio = same_audio([*held, *stems])
    known = set(audio[: len(held)]) - {None}
    return {stem.id for stem, one in zip(stems, audio[len(held) :], strict=True) if one in known and stem.id not in own}


def counted(stems: Iterable[Stem]) -> dict[str, int]:
    """How much is there twice.

    Returns:
        ``sounds`` that stand in several stems, and how many ``stems``; and of these, how many have a copy ``in_song``,
        ``across_songs``, ``across_splits``.
    """
    found = groups(stems)
    return {
        "sounds": len(found),
        "stems": sum(len(group) for group in found),
        "in_song": sum(sum(other.track == one.track for other in group) > 1 for group in found for one in group),
        "across_songs": sum(any(other.track != one.track for other in group) for group in found for one in group),
        "across_splits": sum(any(other.split != one.split for other in group) for group in found for one in group),
    }


def _silent(stem: Stem) -> bool:
    return stem.active == [] or (stem.verdict is not None and stem.verdict.reason == "silent")


def left_out(stems: Sequence[Stem]) -> dict[str, str]:
    """Id of each stem that must not be used beside its duplicates -> why.

    * Of stems in different splits, those that train: what is held out stays.
    * Of stems that are believed to hold different classes, all: one belief is wrong, and which is not known.
    * Of stems of one class in one song, all but the first.
    """
    told: dict[str, str] = {}
    for group in groups(stems):
        used = [stem for stem in group if stem.usable]
        training = [stem for stem in used if not stem.held_out]
        if any(stem.held_out for stem in group):
            told |= {stem.id: "duplicate_across_splits" for stem in training}
        elif len({frozenset(stem.labels) for stem in training}) > 1:
            told |= {stem.id: OTHER_CLASS for stem in training}
        else:
            kept = {stem.id for stem in first_of_each(training)}
            told |= {stem.id: "duplicate_in_song" for stem in training if stem.id not in kept}
    return told


def first_of_each(stems: Iterable[Stem]) -> list[Stem]:
    """The stems without those whose audio an earlier one of the same song has; silent ones are kept."""
    seen: set[tuple[str, str]] = set()
    kept = []
    stems = list(stems)
    for stem, audio in zip(stems, same_audio(stems), strict=True):
        if audio is None or (stem.track, audio) not in seen:
            kept.append(stem)
        if audio is not None:
            seen.add((stem.track, audio))
    return kept
