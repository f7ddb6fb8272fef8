"""One folder per song: ``song/drums.wav``, ``artist/album/song/Drums 2.flac``, ``song/drums/0017.wav``.

It is written as ``train|valid|test/song/drums.wav`` and ``mixture.wav``, the shape of MUSDB18. All files of a song have
the same start and length; several stems of a class are summed, and the mixture is the sum of what was written. Trainers
such as Demucs need every class in every song: ``--set complete=true`` leaves out the other songs. A song that would be
written differently than in an earlier run is refused; export to a new folder then.

This layout can read any folder, so it is tried last. It also reads folders of ``songname_drums.wav``; see
:mod:`stemclean.layouts.naming`. If all folders in the dataset are named after splits, and one of them is ``train``,
they declare the split of their songs, as in MUSDB18.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from stemclean.exporting.converting import AudioFormat, Converter
from stemclean.exporting.selection import Item, Selection
from stemclean.exporting.songs import FOLDERS, write_songs
from stemclean.labels import Profile, Reading
from stemclean.layouts.base import SPLITS, Format, Found, Written
from stemclean.layouts.contradictions import settled
from stemclean.layouts.naming import by_folder, folder_claims, readings, tracks
from stemclean.layouts.walk import audio_files


class TrackFolders(Format):
    """See the module.

    Args:
        mixture: also write ``mixture.wav``, the sum of all classes of a song.
        complete: leave out songs that lack a class.
    """

    name: ClassVar[str] = "track_folders"
    priority: ClassVar[int] = 100
    any_folder: ClassVar[bool] = True
    reader: ClassVar[str] = "everything that reads folders of songs"
    audio_formats: ClassVar[tuple[AudioFormat, ...]] = ("wav", "flac")
    in_place: ClassVar[bool] = False

    mixture: bool = True
    complete: bool = False

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Return whether the path is a folder."""
        return path.is_dir()

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """Yield the files song by song."""
        files = audio_files(path)
        in_folder = by_folder(files)
        claims = folder_claims(in_folder, profile)
        claims[path] = None  # the name of the dataset says nothing about its files
        own_readings = readings(in_folder, path, profile)
        song_of = tracks(files, path, profile)
        split_in = _splits(files, path)
        song_of = _without_splits(song_of, split_in)
        resolved: dict[Path, tuple[Reading, str]] = {}
        for siblings in by_folder(in_folder).values():  # folders with the same parent
            claim_of = {file: claims[folder] for folder in siblings for file in in_folder[folder]}
            resolved |= settled(claim_of, own_readings, profile)
        for file in files:
            reading, detail = resolved[file]
            split = SPLITS[split_in[file].lower()] if file in split_in else None
            yield Found(file, reading.label, song_of[file], split, detail=detail, reading=reading)

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the songs, see :func:`stemclean.exporting.songs.write_songs`.

        Returns:
            No list; as ``extra``: ``num_songs``, by folder of the split.
        """
        converter.listen(selection)
        mixture = "mixture" if self.mixture else None
        songs = write_songs(selection, converter, _place, mixture=mixture, complete=self.complete)
        counts = Counter(FOLDERS[song.items[0].stem.split or "train"] for song in songs)
        return Written(extra={"num_songs": dict(sorted(counts.items()))})


LAYOUT = TrackFolders()


def _place(item: Item) -> str:
    return f"{FOLDERS[item.stem.split or 'train']}/{item.stem.track or item.stem.id}"


def _splits(files: list[Path], path: Path) -> dict[Path, str]:
    """Return the folder of the split of each file, if the dataset is divided into such folders; else nothing."""
    tops = {file: file.relative_to(path).parts[0] for file in files}
    names = {name.lower() for name in tops.values()}
    return tops if names <= SPLITS.keys() and "train" in names else {}


def _without_splits(song_of: dict[Path, str], split_in: dict[Path, str]) -> dict[Path, str]:
    """Return the songs without the folder of their split, unless two songs would then have the same name."""
    short = {file: song.removeprefix(f"{split_in[file]}/") for file, song in song_of.items() if file in split_in}
    places = Counter(name for _, name in {(song_of[file], name) for file, name in short.items()})
    return {file: short[file] if file in short and places[short[file]] == 1 else song for file, song in song_of.items()}
