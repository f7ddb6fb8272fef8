"""Find duplicate stems, so that they are not used twice where this would do harm.

Two stems are duplicates if their bytes are equal (SHA-256 of the file, and stream), or if ``refine`` has found that
they hold the same sound in another format, at another gain or with a delay. Silent files are not duplicates. A copy
under another class makes one of the two claims wrong; a copy in another split leaks test data into training; a second
copy in a song makes it 6 dB louder. A copy never counts as bleed.
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
"""Reason for skipping all stems with the same audio if their labels differ."""


def same_audio(stems: Sequence[Stem]) -> list[str | None]:
    """Return a key for the audio of each stem, equal for duplicates; None if the stem is silent or has no hash."""
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
    """Return the groups of two or more stems with the same audio, in their original order."""
    same: dict[str, list[Stem]] = defaultdict(list)
    stems = list(stems)
    for stem, audio in zip(stems, same_audio(stems), strict=True):
        if audio:
            same[audio].append(stem)
    return [group for group in same.values() if len(group) > 1]


def copies_of(held: Iterable[Stem], stems: Iterable[Stem]) -> set[str]:
    """Return the ids of the stems that have the same audio as one of ``held``, without those of ``held`` itself."""
    held, stems = list(held), list(stems)
    held_ids = {stem.id for stem in held}
    audio = same_audio([*held, *stems])
    sounds = set(audio[: len(held)]) - {None}
    candidates = zip(stems, audio[len(held) :], strict=True)
    return {stem.id for stem, sound in candidates if sound in sounds and stem.id not in held_ids}


def counted(stems: Iterable[Stem]) -> dict[str, int]:
    """Count duplicates.

    Returns:
        Number of ``sounds`` that occur in several stems, and of these ``stems``; number of the stems that have a copy
        ``in_song``, ``across_songs`` and ``across_splits``.
    """
    duplicates = groups(stems)
    return {
        "sounds": len(duplicates),
        "stems": sum(len(group) for group in duplicates),
        "in_song": sum(sum(other.track == stem.track for other in group) > 1 for group in duplicates for stem in group),
        "across_songs": sum(
            any(other.track != stem.track for other in group) for group in duplicates for stem in group
        ),
        "across_splits": sum(
            any(other.split != stem.split for other in group) for group in duplicates for stem in group
        ),
    }


def _silent(stem: Stem) -> bool:
    return stem.active == [] or (stem.verdict is not None and stem.verdict.reason == "silent")


def left_out(stems: Sequence[Stem]) -> dict[str, str]:
    """Return the stems that must not be used because of their duplicates: id -> reason.

    * Duplicates in different splits: the training stems are left out, the held-out ones stay.
    * Duplicates with different labels: all are left out, because it is not known which label is wrong.
    * Duplicates with the same labels in one song: all but the first are left out.
    """
    reasons: dict[str, str] = {}
    for group in groups(stems):
        used = [stem for stem in group if stem.usable]
        training = [stem for stem in used if not stem.held_out]
        if any(stem.held_out for stem in group):
            reasons |= {stem.id: "duplicate_across_splits" for stem in training}
        elif len({frozenset(stem.labels) for stem in training}) > 1:
            reasons |= {stem.id: OTHER_CLASS for stem in training}
        else:
            kept_ids = {stem.id for stem in first_of_each(training)}
            reasons |= {stem.id: "duplicate_in_song" for stem in training if stem.id not in kept_ids}
    return reasons


def first_of_each(stems: Iterable[Stem]) -> list[Stem]:
    """Return the stems without later duplicates in the same song; silent stems are kept."""
    seen: set[tuple[str, str]] = set()
    kept = []
    stems = list(stems)
    for stem, audio in zip(stems, same_audio(stems), strict=True):
        if audio is None or (stem.track, audio) not in seen:
            kept.append(stem)
        if audio is not None:
            seen.add((stem.track, audio))
    return kept
