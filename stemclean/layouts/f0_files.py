"""Find the f0 files of stems by their names.

The rules never guess:

* A file is an f0 file if it ends in ``.pv`` or ``.f0``. A ``.csv``, ``.tsv``, ``.txt`` or ``.json`` file is one only if
  the last word of its name is ``f0`` or ``pitch`` (``f0.csv``, ``vocals.f0.csv``, ``vocals_pitch.txt``) or, for JSON,
  ``notes``. A list or a manifest is never an f0 file.
* It belongs to the audio file of the same name in its folder (``vocals.pv`` or ``vocals.f0.csv`` and ``vocals.wav``).
  If it is named just ``f0``, or after the class or the song, it belongs to the vocals in its folder.
* If there are no vocals, it belongs to the mixture. If it is named after the mixture and there are vocals, it belongs
  to the vocals. f0 files of other stems (``bass.f0.csv``) are ignored, because only vocals have f0.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stemclean.audio.f0 import F0Track
from stemclean.audio.files import ENDINGS
from stemclean.errors import LabelError, SkipReason
from stemclean.labels import MIXTURE, Profile
from stemclean.layouts import f0_labels
from stemclean.layouts.base import Found
from stemclean.layouts.naming import names

__all__ = ["SUNG", "called", "fitting", "may_be", "says_so", "sound_of", "with_f0"]

SUNG = "vocals"
"""The class that has f0."""

_ALWAYS = frozenset({".pv", ".f0"})
_SOMETIMES = {".csv": "f0|pitch", ".tsv": "f0|pitch", ".txt": "f0|pitch", ".json": "f0|pitch|notes"}

_OVERHANG = 0.5
"""Seconds by which a voiced frame may exceed the end of the audio, because frames have a width."""


def with_f0(found: Sequence[Found], profile: Profile) -> tuple[list[Found], list[LabelError]]:
    """Attach f0 files to the audio files that they belong to.

    Args:
        found: audio files with their tracks.
        profile: the classes.

    Returns:
        (the audio files with their f0 files, errors for f0 files that belong to none)
    """
    in_folder: dict[Path, list[Found]] = defaultdict(list)
    for item in found:
        in_folder[item.path.parent].append(item)
    label_of: dict[Path, Path] = {}
    unused: list[LabelError] = []
    for folder, items in in_folder.items():
        for label, name in _labels(folder):
            owner = _owner(name, items, profile)
            if owner is None:
                detail = "its folder does not have exactly one file of vocals, or of the mixture, that it fits"
                unused.append(LabelError(label, SkipReason.F0_WITHOUT_STEM, detail))
            elif owner.label not in (SUNG, MIXTURE, None):
                continue
            elif owner.path in label_of:
                detail = f"{owner.path.name} already has {label_of[owner.path].name}"
                unused.append(LabelError(label, SkipReason.F0_AMBIGUOUS, detail))
            else:
                label_of[owner.path] = label
    return [replace(item, f0=label_of.get(item.path)) for item in found], unused


def fitting(path: Path, duration: float, song: str) -> tuple[F0Track, str]:
    """Read the f0 of a stem and check that it is not longer than the audio.

    Args:
        path: the f0 file.
        duration: duration of the audio in seconds.
        song: name of the song, for files of several songs.

    Returns:
        (the f0, the name of its format)

    Raises:
        LabelError: it cannot be read, or has voiced frames after the end of the audio.
    """
    beside = f0_labels.Beside(duration, song)
    name = f0_labels.sniff(path, beside=beside)
    track = f0_labels.read(path, name, beside=beside)
    end = float(track.times[track.voiced].max(initial=0.0))
    if end > duration + _OVERHANG:
        detail = f"its last voiced frame is at {end:.2f} s, but the audio ends at {duration:.2f} s"
        raise LabelError(path, SkipReason.F0_WRONG_LENGTH, detail)
    return track, name


def may_be(path: Path) -> bool:
    """Return whether a file has an extension of f0 files."""
    return path.suffix.lower() in _ALWAYS | set(_SOMETIMES) and not path.name.startswith(".")


def says_so(path: Path) -> bool:
    """Return whether the name of a file marks it as an f0 file."""
    return may_be(path) and (path.suffix.lower() in _ALWAYS or _word(path) is not None)


def called(path: Path) -> str:
    """Return the rest of the name of an f0 file: that of an audio file, a class or a song, or nothing.

    >>> called(Path("vocals.f0.csv")), called(Path("song.pv")), called(Path("f0.pv"))
    ('vocals', 'song', '')
    """
    word = _word(path)
    return path.stem[: word.start()] if word else path.stem


def sound_of(label: Path, profile: Profile) -> tuple[Path, int] | None:
    """Return the audio file, and its stream, that an f0 file belongs to; None if there is none, or several."""
    beside = [path for path in sorted(label.parent.iterdir()) if path.suffix.lower() in ENDINGS]
    items = [Found(path, profile.find(names(path)), label.parent.name) for path in beside]
    owner = _owner(called(label), items, profile)
    return (owner.path, 0) if owner else None


def _word(path: Path) -> re.Match[str] | None:
    """Match the last word of a name if it marks the file as an f0 file."""
    words = _SOMETIMES.get(path.suffix.lower(), "f0|pitch")
    return re.search(rf"(?:^|[\s._-])(?:{words})$", path.stem, re.IGNORECASE)


def _labels(folder: Path) -> list[tuple[Path, str]]:
    """Return the f0 files in a folder, sorted, each with the rest of its name."""
    try:
        paths = sorted(path for path in folder.iterdir() if says_so(path))
    except OSError:
        return []
    return [(path, called(path)) for path in paths if path.is_file()]


def _owner(name: str, items: Sequence[Found], profile: Profile) -> Found | None:
    """Return the audio file that an f0 file belongs to; None if there is none, or several."""
    same_name = [item for item in items if names(item.path).casefold() == name.casefold()]
    if same_name and same_name[0].label != MIXTURE:
        return same_name[0]
    song = name if profile.find(name) != SUNG else profile.before(name)
    if same_name:
        candidates = [item for item in items if item.track == same_name[0].track]
    elif song:
        candidates = [item for item in items if (item.track or "").rpartition("/")[2].casefold() == song.casefold()]
    else:
        candidates = list(items)
    owners = [item for item in candidates if item.label == SUNG] or [
        item for item in candidates if item.label == MIXTURE
    ]
    return owners[0] if len(owners) == 1 else None
