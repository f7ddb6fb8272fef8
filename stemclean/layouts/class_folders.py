"""Read one folder per class: ``drums/song1.wav`` and ``bass/song1.wav`` belong to the track ``song1``.

This layout is used if at least half of the folders are named after classes, and the names of most files in them do not
contradict it. Files in other folders get their class from their own name, or are ``class_unknown``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from stemclean.labels import Profile, Reading
from stemclean.layouts.base import Found
from stemclean.layouts.naming import by_folder, folder_claims, names, readings, song_in
from stemclean.layouts.walk import audio_files


class ClassFolders:
    """See the module."""

    name = "class_folders"
    priority = 50

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Whether at least half of the folders below are classes; looks at names only."""
        if not path.is_dir():
            return False
        claims = _claims(path, audio_files(path), profile)
        classes = sum(claim is not None and claim.label is not None for claim in claims.values())
        return classes > 0 and sum(claim is not None for claim in claims.values()) * 2 >= len(claims)

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """The files, class by class."""
        files = audio_files(path)
        claims = _claims(path, files, profile)
        own = readings(by_folder(files), path, profile)
        for file in files:
            reading = claims.get(_top(file, path)) or own[file]
            below = file.relative_to(path).parts[1:-1]
            song = song_in(names(file), reading.label, profile)
            yield Found(file, reading.label, "/".join((*below, song)), reading=reading)


def _claims(path: Path, files: list[Path], profile: Profile) -> dict[Path, Reading | None]:
    """Folder in ``path`` -> what it says of its files."""
    in_folder: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        if file.parent != path:
            in_folder[_top(file, path)].append(file)
    return folder_claims(in_folder, profile)


def _top(file: Path, path: Path) -> Path:
    return path / file.relative_to(path).parts[0]


LAYOUT = ClassFolders()
