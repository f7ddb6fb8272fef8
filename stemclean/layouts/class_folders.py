"""One folder a class: ``drums/song1.wav`` and ``bass/song1.wav`` belong to the track ``song1``.

A folder is read like this where at least half of the folders in it are named like classes, and the files in them do not
mostly say otherwise. What lies in the folders not so named speaks for itself, or is ``class_unknown``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from stemclean.labels import Profile
from stemclean.layouts.base import Found
from stemclean.layouts.naming import folder_claims, names
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
        return sum(label is not None for label in claims.values()) * 2 >= max(1, len(claims))

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """The files, class by class."""
        files = audio_files(path)
        claims = _claims(path, files, profile)
        for file in files:
            label = claims.get(_top(file, path)) or profile.find(names(file))
            below = file.relative_to(path).parts[1:-1]
            song = profile.before(names(file)) or names(file)
            yield Found(file, label, "/".join((*below, song)))


def _claims(path: Path, files: list[Path], profile: Profile) -> dict[Path, str | None]:
    """Folder in ``path`` -> the class that it stands for."""
    in_folder: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        if file.parent != path:
            in_folder[_top(file, path)].append(file)
    return folder_claims(in_folder, profile)


def _top(file: Path, path: Path) -> Path:
    return path / file.relative_to(path).parts[0]


LAYOUT = ClassFolders()
