"""One folder a song: ``song/drums.wav``, ``artist/album/song/Drums 2.flac``, ``song/drums/0017.wav``.

It reads any folder, so it is asked last. Also folders of ``songname_drums.wav``; see :mod:`stemclean.layouts.naming`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stemclean.labels import Profile, Reading
from stemclean.layouts.base import Found
from stemclean.layouts.contradictions import settled
from stemclean.layouts.naming import by_folder, folder_claims, readings, tracks
from stemclean.layouts.walk import audio_files


class TrackFolders:
    """See the module."""

    name = "track_folders"
    priority = 100

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Any folder."""
        return path.is_dir()

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """The files, song by song."""
        files = audio_files(path)
        in_folder = by_folder(files)
        claims = folder_claims(in_folder, profile)
        claims[path] = None  # the dataset's own name speaks for nothing
        own = readings(in_folder, path, profile)
        song_of = tracks(files, path, profile)
        found: dict[Path, tuple[Reading, str]] = {}
        for beside in by_folder(in_folder).values():  # folders that lie in one folder
            said = {file: claims[folder] for folder in beside for file in in_folder[folder]}
            found |= settled(said, own, profile)
        for file in files:
            reading, detail = found[file]
            yield Found(file, reading.label, song_of[file], detail=detail, reading=reading)


LAYOUT = TrackFolders()
