"""One folder per class: ``drums/song1.wav`` and ``bass/song1.wav`` belong to the track ``song1``.

This layout is used if at least half of the folders are named after classes, and the names of most files in them do not
contradict it. Files in other folders get their class from their own name, or are ``class_unknown``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from stemclean.labels import MIXTURE, Profile, Reading
from stemclean.layouts.base import Found
from stemclean.layouts.contradictions import settled
from stemclean.layouts.naming import by_folder, folder_claims, names, readings, song_in
from stemclean.layouts.walk import audio_files


class ClassFolders:
    """See the module."""

    name = "class_folders"
    priority = 50
    any_folder = True

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Return whether at least half of the folders in ``path`` are classes; reads only names."""
        if not path.is_dir():
            return False
        claims = _claims(path, audio_files(path), profile)
        classes = sum(claim is not None and claim.label is not None for claim in claims.values())
        return classes > 0 and sum(claim is not None for claim in claims.values()) * 2 >= len(claims)

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """Yield the files class by class."""
        files = audio_files(path)
        claims = _claims(path, files, profile)
        own_readings = readings(by_folder(files), path, profile)
        claim_of = {file: _mixtures(file, path, profile) or claims.get(_top(file, path)) for file in files}
        resolved = settled(claim_of, own_readings, profile)
        songs = {folder for folder, claim in claims.items() if claim is None and profile.exact(folder.name)}
        for file in files:
            reading, detail = resolved[file]
            below = file.relative_to(path).parts[1:-1]
            song = song_in(names(file), reading.label, profile)
            track = _top(file, path).name if _top(file, path) in songs else "/".join((*below, song))
            yield Found(file, reading.label, track, detail=detail, reading=reading)


def _claims(path: Path, files: list[Path], profile: Profile) -> dict[Path, Reading | None]:
    """Return what the name of each folder in ``path`` says about its files."""
    in_folder: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        if file.parent != path:
            in_folder[_top(file, path)].append(file)
    return folder_claims(in_folder, profile)


def _mixtures(file: Path, path: Path, profile: Profile) -> Reading | None:
    """Return the reading of a folder of mixtures inside that of a class: ``vocals/instrumental/song1.wav``."""
    below = [profile.read(name) for name in file.relative_to(path).parts[1:-1]]
    return next((reading for reading in below if reading.exact and (reading.partial or reading.label == MIXTURE)), None)


def _top(file: Path, path: Path) -> Path:
    return path / file.relative_to(path).parts[0]


LAYOUT = ClassFolders()
