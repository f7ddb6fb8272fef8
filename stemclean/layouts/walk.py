"""Which files of a folder are looked at, in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from stemclean.audio.files import ENDINGS

__all__ = ["audio_files", "holds_audio", "names"]

_PASSED_OVER = frozenset({"__MACOSX"})


def audio_files(folder: Path) -> list[Path]:
    """Every file below a folder whose ending is audio's, folder by folder, sorted by name.

    Hidden files and folders and ``__MACOSX`` are passed over. Links to folders are followed after everything else,
    each real folder once, so that a loop of links ends and the real place of a file wins. A folder that may not be read
    stands in the list itself: it must not go unnoticed.
    """
    seen: set[tuple[int, int]] = set()
    links: list[Path] = []
    found = list(_walk(folder, seen, links))
    while links:
        found += _walk(links.pop(0), seen, links)
    return sorted(found, key=lambda path: (path.parent.as_posix(), path.name))


def holds_audio(folder: Path) -> bool:
    """Whether :func:`audio_files` would find anything; stops at the first."""
    seen: set[tuple[int, int]] = set()
    links = [folder]
    while links:
        if next(_walk(links.pop(0), seen, links), None) is not None:
            return True
    return False


def _walk(folder: Path, seen: set[tuple[int, int]], links: list[Path]) -> Iterator[Path]:
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith(".") or entry.name in _PASSED_OVER:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, seen, links)
        elif entry.is_symlink() and path.is_dir():
            links.append(path)
        elif path.suffix.lower() in ENDINGS:
            yield path


def names(path: Path) -> str:
    """A file's name without its endings: ``song`` for ``song.stem.mp4``."""
    return path.stem.removesuffix(".stem")
