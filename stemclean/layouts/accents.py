"""Names with accents: the same to a reader in two forms of Unicode, NFC and NFD, and two names to most disks."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from stemclean.manifest import Stem

__all__ = ["as_on_disk", "otherwise_written"]


def otherwise_written(place: Path) -> Path | None:
    """The file whose name is the same but for the form of its accents; None where there is none."""
    at = Path(place.anchor)
    for part in place.parts[1 if place.anchor else 0 :]:
        if (at / part).exists():
            at = at / part
            continue
        alike = _entries(at).get(unicodedata.normalize("NFC", part))
        if alike is None:
            return None
        at = at / alike
    return at


def as_on_disk(stems: Sequence[Stem], folder: Path) -> list[Stem]:
    """Stems with their paths in the form that the disk has; those of files that are not there stay as they are.

    A file that another stem names as it is written is that stem's: two names of different forms stay two.

    Args:
        folder: what the paths are relative to.
    """
    named = {stem.path for stem in stems} | {stem.f0.path for stem in stems if stem.f0}

    def written(path: str) -> str:
        if path.isascii() or (folder / path).exists():
            return path
        there = otherwise_written(folder / path)
        found = there.relative_to(folder).as_posix() if there and there.is_relative_to(folder) else path
        return path if found in named else found

    def mended(stem: Stem) -> Stem:
        path, f0 = written(stem.path), stem.f0
        if f0 is not None and (beside := written(f0.path)) != f0.path:
            stem = stem.model_copy(update={"f0": f0.model_copy(update={"path": beside})})
        return stem if path == stem.path else stem.model_copy(update={"path": path})

    return [mended(stem) for stem in stems]


def _entries(folder: Path) -> dict[str, str]:
    """Names in a folder by their NFC form."""
    try:
        return {unicodedata.normalize("NFC", entry.name): entry.name for entry in sorted(folder.iterdir())}
    except OSError:
        return {}
