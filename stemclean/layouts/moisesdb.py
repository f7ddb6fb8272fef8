"""Read MoisesDB: ``moisesdb_v0.1/SONG/data.json`` and ``moisesdb_v0.1/SONG/vocals/FILE.wav``.

``data.json`` (see ``moisesdb/track.py``; https://github.com/moises-ai/moises-db) lists ``stems``, each with a
``stemName`` and its ``tracks``: ``id`` and ``extension`` are the name of a file in the folder of the stem,
``trackType`` is its instrument, and ``has_bleed`` says whether other instruments are heard in it. The class is that of
``stemName``; ``percussion`` belongs to the drums here, and to ``other`` in MoisesDB's own mix of four stems. ``extra``
of a stem keeps ``instrument``, ``track_type`` and ``has_bleed``: it is what the dataset declares, and does not
influence the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stemclean.labels import Profile
from stemclean.layouts.base import Found
from stemclean.layouts.metadata import Document, FileName, any_song, claimed, read, unlisted


class _Track(Document):
    id: FileName
    extension: FileName = "wav"
    trackType: str = ""  # noqa: N815 - the key in the file
    has_bleed: bool | None = None


class _Stem(Document):
    stemName: FileName  # noqa: N815 - the key in the file
    tracks: list[_Track]


class _Song(Document):
    stems: list[_Stem]


class MoisesDb:
    """See the module."""

    name = "moisesdb"
    priority = 20

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Return whether songs in the folder, or one level deeper, have such a ``data.json``."""
        return path.is_dir() and any_song(_songs(path), _Song)

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """Yield the files song by song, in the order of the metadata."""
        listed: set[Path] = set()
        for metadata in _songs(path):
            folder = metadata.parent
            track = folder.relative_to(path).as_posix() if folder != path else path.resolve().name
            for stem in read(metadata, _Song).stems:
                for part in stem.tracks:
                    file = folder / stem.stemName / f"{part.id}.{part.extension}"
                    if file not in listed:
                        listed.add(file)
                        declared = {"track_type": part.trackType or None, "has_bleed": part.has_bleed}
                        yield claimed(file, stem.stemName, track, profile, **declared)
        yield from unlisted(path, listed)


LAYOUT = MoisesDb()


def _songs(path: Path) -> Iterator[Path]:
    for pattern in ("data.json", "*/data.json", "*/*/data.json"):
        yield from sorted(path.glob(pattern))
