"""Read MedleyDB: ``SONG/SONG_METADATA.yaml`` and ``SONG/SONG_STEMS/SONG_STEM_01.wav``.

The metadata (see ``medleydb/multitrack.py``; https://github.com/marl/medleydb) may also lie in a folder ``Metadata``
beside ``Audio``, as in its repository. ``stems`` holds a ``filename`` and an ``instrument`` for each stem, and
``has_bleed`` says of the song whether its stems hold more than one instrument. Stems without a single instrument
("Main System", "Unlabeled") have no class, and neither have those of several instruments, unless all have the same
class. The raw recordings (``SONG_RAW``) that the stems were made of are ignored. ``extra`` of a stem keeps
``instrument``, ``component`` (melody or bass) and ``has_bleed``: it is what the dataset declares, and does not
influence the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stemclean.labels import MIXTURE, Profile
from stemclean.layouts.base import Found
from stemclean.layouts.metadata import Document, FileName, any_song, claimed, read, unlisted
from stemclean.layouts.naming import unclear

ENDING = "_METADATA.yaml"


class _Stem(Document):
    filename: FileName
    instrument: str | list[str]
    component: str | None = None


class _Song(Document):
    stems: dict[str, _Stem]
    stem_dir: FileName
    raw_dir: FileName | None = None
    mix_filename: FileName | None = None
    has_bleed: bool | None = None


class MedleyDb:
    """See the module."""

    name = "medleydb"
    priority = 21
    any_folder = False

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Return whether there are such files up to two levels below."""
        return path.is_dir() and any_song(_songs(path), _Song)

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """Yield the stems and the mixture song by song."""
        listed: set[Path] = set()
        raw: set[Path] = set()
        for metadata in _songs(path):
            song = read(metadata, _Song)
            name = metadata.name.removesuffix(ENDING)
            places = (metadata.parent, metadata.parent.parent / "Audio" / name, path / name, path / "Audio" / name)
            folder = next((place for place in places if (place / song.stem_dir).is_dir()), None)
            if folder is None:  # the metadata of a song without audio
                continue
            if song.raw_dir:
                raw.add(folder / song.raw_dir)
            if song.mix_filename:
                listed.add(folder / song.mix_filename)
                yield Found(folder / song.mix_filename, MIXTURE, name)
            for _, stem in sorted(song.stems.items()):
                file = folder / song.stem_dir / stem.filename
                if file not in listed:
                    listed.add(file)
                    instruments = [stem.instrument] if isinstance(stem.instrument, str) else stem.instrument
                    declared = {"component": stem.component or None, "has_bleed": song.has_bleed}
                    item = claimed(file, ", ".join(instruments), name, profile, **declared)
                    unknown = next((kind for kind in instruments if profile.read(kind).label is None), None)
                    if item.label and unknown:
                        detail = f'its metadata says "{unknown}", which {unclear(unknown, profile)}'
                        item = replace(item, label=None, detail=detail, reading=None)
                    yield item
        yield from unlisted(path, listed, raw)


LAYOUT = MedleyDb()


def _songs(path: Path) -> Iterator[Path]:
    for pattern in (f"*{ENDING}", f"*/*{ENDING}", f"*/*/*{ENDING}"):
        yield from sorted(path.glob(pattern))
