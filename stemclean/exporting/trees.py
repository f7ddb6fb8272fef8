"""Write songs for readers that look one folder deep: ``train/song/drums.wav``, each song with the same files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stemclean.errors import ConfigError
from stemclean.exporting.converting import Converter
from stemclean.exporting.selection import Item, Selection
from stemclean.exporting.songs import FOLDERS, Song, write_songs

__all__ = ["MIXTURE", "Tree", "single_folders", "write_tree"]

MIXTURE = "mixture"
"""Name of the sum of all classes of a song, as in MUSDB18."""


@dataclass(frozen=True)
class Tree:
    """Songs in folders.

    Args:
        songs: the songs.
        classes: the targets that have audio.
    """

    songs: list[Song]
    classes: list[str]

    def below(self, folder: str) -> list[Song]:
        """Return the songs in a folder of a split."""
        return [song for song in self.songs if song.folder.parent.name == folder]

    @property
    def extra(self) -> dict[str, Any]:
        """Figures for the report: ``num_songs``, by folder, and ``num_silent``, files of silence by class."""
        return {
            "num_songs": dict(sorted(Counter(song.folder.parent.name for song in self.songs).items())),
            "num_silent": dict(sorted(Counter(name for song in self.songs for name in song.silent).items())),
        }


def write_tree(
    selection: Selection,
    converter: Converter,
    *,
    folders: Mapping[str, str] = FOLDERS,
    mixture: bool = True,
    silence: bool = True,
    complete: bool = False,
) -> Tree:
    """Listen to all stems and write their songs.

    Args:
        selection: the stems.
        converter: must have a sample rate.
        folders: split -> the folder of its songs.
        mixture: also write the sum of all classes.
        silence: write silence for a class that a song does not have.
        complete: leave out songs that lack a class instead.

    Raises:
        ConfigError: no song is left to train on; or as :func:`~stemclean.exporting.songs.write_songs`.
    """
    converter.listen(selection)
    classes = selection.filled
    songs = write_songs(
        selection,
        converter,
        single_folders(selection, folders),
        mixture=MIXTURE if mixture else None,
        complete=complete,
        silence=classes if silence and not complete else (),
    )
    if all(song.items[0].stem.held_out for song in songs):
        hint = "leave out --set complete=true" if complete else "export --to csv says why each stem is left out"
        raise ConfigError("no song is left to train on", hint)
    return Tree(songs, classes)


def single_folders(selection: Selection, folders: Mapping[str, str] = FOLDERS) -> Callable[[Item], str]:
    """Return a function that says where the song of an item is placed: ``artist/song`` becomes ``artist - song``.

    No two songs of the selection get the same place.

    Args:
        selection: the stems.
        folders: split -> the folder of its songs; songs of other splits have no place: "".
    """
    places: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for item in selection.items:
        split, track = song = _split_and_track(item)
        if song not in places:
            place = f"{folders[split]}/{track.replace('/', ' - ')}" if split in folders else ""
            if place and place in taken:
                place += f" {hashlib.sha256(f'{split}/{track}'.encode()).hexdigest()[:8]}"
            taken.add(place)
            places[song] = place
    return lambda item: places[_split_and_track(item)]


def _split_and_track(item: Item) -> tuple[str, str]:
    return item.stem.split or "train", item.stem.track or item.stem.id
