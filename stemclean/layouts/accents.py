"""Match names with accents: their Unicode forms NFC and NFD look the same, but most file systems tell them apart."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from stemclean.manifest import Stem

__all__ = ["as_on_disk", "otherwise_written"]


def otherwise_written(path: Path) -> Path | None:
    """Return the file with the same name in another Unicode form; None if there is none."""
    folder = Path(path.anchor)
    for part in path.parts[1 if path.anchor else 0 :]:
        if (folder / part).exists():
            folder = folder / part
            continue
        match = _entries(folder).get(unicodedata.normalize("NFC", part))
        if match is None:
            return None
        folder = folder / match
    return folder


def as_on_disk(stems: Sequence[Stem], folder: Path) -> list[Stem]:
    """Return the stems with their paths in the Unicode form of the names on disk; paths of missing files are kept.

    If another stem already names a file exactly, the file belongs to that stem: two forms of a name stay two files.

    Args:
        stems: the stems.
        folder: folder that their paths are relative to.
    """
    named = {stem.path for stem in stems} | {stem.f0.path for stem in stems if stem.f0}

    def written(path: str) -> str:
        if path.isascii() or (folder / path).exists():
            return path
        match = otherwise_written(folder / path)
        actual = match.relative_to(folder).as_posix() if match and match.is_relative_to(folder) else path
        return path if actual in named else actual

    def corrected(stem: Stem) -> Stem:
        path, f0 = written(stem.path), stem.f0
        if f0 is not None and (f0_path := written(f0.path)) != f0.path:
            stem = stem.model_copy(update={"f0": f0.model_copy(update={"path": f0_path})})
        return stem if path == stem.path else stem.model_copy(update={"path": path})

    return [corrected(stem) for stem in stems]


def _entries(folder: Path) -> dict[str, str]:
    """Return the names in a folder by their NFC form."""
    try:
        return {unicodedata.normalize("NFC", entry.name): entry.name for entry in sorted(folder.iterdir())}
    except OSError:
        return {}
