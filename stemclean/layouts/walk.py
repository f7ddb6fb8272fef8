"""List the audio files of a folder in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from stemclean.audio.files import ENDINGS

__all__ = ["audio_files", "holds_audio", "names"]

_IGNORED = frozenset({"__MACOSX"})


def audio_files(folder: Path) -> list[Path]:
    """Return all files below a folder that have an audio extension, folder by folder, sorted by name.

    Hidden files, hidden folders and ``__MACOSX`` are ignored. Links to folders are followed last, and each real folder
    is visited once, so that loops of links end and the real path of a file is preferred. An unreadable folder is listed
    itself, so that it is reported.
    """
    visited: set[tuple[int, int]] = set()
    links: list[Path] = []
    paths = list(_walk(folder, visited, links))
    while links:
        paths += _walk(links.pop(0), visited, links)
    return sorted(paths, key=lambda path: (path.parent.as_posix(), path.name))


def holds_audio(folder: Path) -> bool:
    """Return whether :func:`audio_files` finds anything; stops at the first file."""
    visited: set[tuple[int, int]] = set()
    links = [folder]
    while links:
        if next(_walk(links.pop(0), visited, links), None) is not None:
            return True
    return False


def _walk(folder: Path, visited: set[tuple[int, int]], links: list[Path]) -> Iterator[Path]:
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith(".") or entry.name in _IGNORED:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, visited, links)
        elif entry.is_symlink() and path.is_dir():
            links.append(path)
        elif path.suffix.lower() in ENDINGS:
            yield path


def names(path: Path) -> str:
    """Return the name of a file without its extensions: ``song`` for ``song.stem.mp4``."""
    return path.stem.removesuffix(".stem")
