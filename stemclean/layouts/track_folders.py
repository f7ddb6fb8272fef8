"""One folder a song: ``song/drums.wav``, ``artist/album/song/Drums 2.flac``, ``song/drums/0017.wav``.

It reads any folder, so it is asked last. Also folders of ``songname_drums.wav``; see :mod:`stemclean.layouts.naming`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from stemclean.labels import Profile
from stemclean.layouts.base import Found
from stemclean.layouts.naming import label_of, speaks_for, tracks
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
        in_folder: dict[Path, list[Path]] = defaultdict(list)
        for file in files:
            in_folder[file.parent].append(file)
        claims = {folder: speaks_for(folder.name, inside, profile) for folder, inside in in_folder.items()}
        claims[path] = None  # the dataset's own name speaks for nothing
        song_of = tracks(files, path, profile)
        for file in files:
            yield Found(file, label_of(file, claims[file.parent], profile), song_of[file])


LAYOUT = TrackFolders()
