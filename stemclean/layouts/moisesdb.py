"""Read and write MoisesDB: ``moisesdb_v0.1/SONG/data.json`` and ``moisesdb_v0.1/SONG/vocals/FILE.wav``.

``data.json`` (see ``moisesdb/track.py``; https://github.com/moises-ai/moises-db) lists ``stems``, each with a
``stemName`` and its ``tracks``: ``id`` and ``extension`` are the name of a file in the folder of the stem,
``trackType`` is its instrument, and ``has_bleed`` says whether other instruments are heard in it. The class is that of
``stemName``; ``percussion`` belongs to the drums here, and to ``other`` in MoisesDB's own mix of four stems. ``extra``
of a stem keeps ``instrument``, ``track_type`` and ``has_bleed``: it is what the dataset declares, and does not
influence the verdict.

An export has a file for each stem, and says ``has_bleed`` of those in which something else than their class was found,
too weak to be one of their labels. Behaviour of the reader (``moisesdb/dataset.py`` and ``moisesdb/track.py``), and the
consequences:

- It looks for songs two folders deep, and calls the first folder a provider. So that is the split: ``train``, ``valid``
  or ``test``, which is read back as such.
- It cuts the files of a song to the shortest before it sums them. So all files of a song have the same length, and with
  ``--cut`` silence is in the place of what is left out.
- ``track.stems`` knows the classes of MoisesDB alone: of the four, all. Others are read with ``track.stem_mixture``.
- It resamples. Keys that it does not know are ignored. So each track also has what is known of the stem, such as
  ``label_quality``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from stemclean.disk import replacing
from stemclean.exporting.converting import AudioFormat, Converter, safe_parts
from stemclean.exporting.descriptions import judgement
from stemclean.exporting.selection import Item, Selection
from stemclean.exporting.songs import Song, write_songs
from stemclean.exporting.trees import Tree, single_folders
from stemclean.labels import Profile
from stemclean.layouts.base import SPLITS, Format, Found, Written
from stemclean.layouts.metadata import Document, FileName, any_song, claimed, read, unlisted

METADATA = "data.json"


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


class MoisesDb(Format):
    """See the module."""

    name: ClassVar[str] = "moisesdb"
    priority: ClassVar[int] = 20
    any_folder: ClassVar[bool] = False
    reader: ClassVar[str] = "MoisesDB's own package"
    audio_formats: ClassVar[tuple[AudioFormat, ...]] = ("wav", "flac")
    in_place: ClassVar[bool] = False

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Return whether songs in the folder, or one level deeper, have such a ``data.json``."""
        return path.is_dir() and any_song(_songs(path), _Song)

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """Yield the files song by song, in the order of the metadata."""
        listed: set[Path] = set()
        for metadata in _songs(path):
            folder = metadata.parent
            track = folder.relative_to(path).as_posix() if folder != path else path.resolve().name
            split = SPLITS.get(folder.parent.name.lower()) if folder != path else None
            for stem in read(metadata, _Song).stems:
                for part in stem.tracks:
                    file = folder / stem.stemName / f"{part.id}.{part.extension}"
                    if file not in listed:
                        listed.add(file)
                        declared = {"track_type": part.trackType or None, "has_bleed": part.has_bleed}
                        yield replace(claimed(file, stem.stemName, track, profile, **declared), split=split)
        yield from unlisted(path, listed)

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the songs and their metadata.

        Returns:
            The metadata in ``beside``; as ``extra``: ``num_songs``, by folder, and ``num_bleed``, class -> files with
            ``has_bleed``.
        """
        converter.listen(selection)
        file_of = _files(selection)
        songs = write_songs(selection, converter, single_folders(selection), file_of=file_of)
        bleeding: Counter[str] = Counter()
        paths = []
        for song in songs:
            document = _document(song, selection)
            for stem in document["stems"]:
                bleeding[stem["stemName"]] += sum(bool(track["has_bleed"]) for track in stem["tracks"])
            paths.append(song.folder / METADATA)
            with replacing(paths[-1]) as temporary:
                temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        extra = {"num_songs": Tree(songs, selection.filled).extra["num_songs"], "num_bleed": dict(bleeding)}
        step = f"in Python: moisesdb.dataset.MoisesDB(data_path={json.dumps(str(converter.destination.absolute()))})"
        return Written(extra=extra, next_steps=[step], beside=paths)


LAYOUT = MoisesDb()


def has_bleed(item: Item, selection: Selection) -> bool | None:
    """Return whether something else than its class is heard in an item; None if nobody knows.

    That is bleed that was measured in the exported parts, or a class that was found in the whole stem; of a stem that
    was not judged, what the dataset declares.
    """
    stem, members = item.stem, selection.targets.members[item.target]
    spans = item.spans or ((0.0, stem.duration),)
    for bleed in stem.crosstalk or ():
        heard = [(span.start, span.end) for span in bleed.spans] or [(0.0, stem.duration)]
        if bleed.label not in members and any(a < end and start < b for a, b in heard for start, end in spans):
            return True
    if stem.verdict is None:
        declared = stem.extra.get("has_bleed")
        return declared if isinstance(declared, bool) else None
    return item.spans is None and not set(stem.found or ()) <= set(members)


def _files(selection: Selection) -> Callable[[Item], str]:
    """Return a function that names the file of each item: ``vocals/NAME``, which no other item of the song has."""
    names: dict[tuple[str, str], str] = {}
    taken: set[tuple[str | None, str, str]] = set()
    for item in selection.items:
        stem = item.stem
        name = f"{item.target}/{safe_parts(stem.id)[-1]}"
        if (stem.split, stem.track, name.casefold()) in taken:
            name += f" {hashlib.sha256(stem.id.encode()).hexdigest()[:8]}"
        taken.add((stem.split, stem.track, name.casefold()))
        names[item.key] = name
    return lambda item: names[item.key]


def _document(song: Song, selection: Selection) -> dict[str, Any]:
    """Return the content of a song's ``data.json``."""
    tracks: dict[str, list[dict[str, Any]]] = {}
    for name, (item,) in song.classes.items():
        extra = item.stem.extra
        track_type = next((extra[key] for key in ("track_type", "instrument") if isinstance(extra.get(key), str)), None)
        tracks.setdefault(item.target, []).append({
            "id": name.partition("/")[2],
            "trackType": track_type or item.target,
            "extension": song.audio_format,
            "has_bleed": has_bleed(item, selection),
            **judgement(item.stem),
        })  # fmt: skip
    stems = [{"id": name, "stemName": name, "tracks": listed} for name, listed in tracks.items()]
    return {"song": song.folder.name, "artist": "", "genre": "", "stems": stems}


def _songs(path: Path) -> Iterator[Path]:
    for pattern in (METADATA, f"*/{METADATA}", f"*/*/{METADATA}"):
        yield from sorted(path.glob(pattern))
