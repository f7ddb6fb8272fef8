"""Write time-aligned songs: a folder per song with one file per class, all of the same length and start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stemclean.audio import files
from stemclean.audio.headroom import SpooledSound, gain_below_full_scale
from stemclean.audio.waveform import Waveform
from stemclean.disk import replacing
from stemclean.documents import FlawError, json_of
from stemclean.errors import AudioError, ConfigError
from stemclean.exporting.converting import CHANNELS, AudioFormat, Converter, in_db, safe_parts, written_subtype
from stemclean.exporting.selection import Item, Selection

__all__ = ["FOLDERS", "RECORD", "Song", "write_songs"]

FOLDERS = {"train": "train", "validation": "valid", "test": "test"}
"""Split -> its folder, as in MUSDB18 and Demucs."""

RECORD = "song.json"
"""File in the folder of each song: what it was made from, and by which gain it was turned down."""


def target_of(item: Item) -> str:
    """Return the target class of an item: one file for each class."""
    return item.target


@dataclass
class Song:
    """A song of the export.

    Args:
        folder: its folder.
        items: what it is made from.
        mixture: name of the file for the sum of all classes; None: there is none.
        sample_rate: in Hz.
        audio_format: of its files.
        silence: targets that have a file in any case: of silence if the song has no item of them.
        file_of: returns the name of the file of an item, without its ending.
    """

    folder: Path
    items: list[Item]
    mixture: str | None
    sample_rate: int
    audio_format: AudioFormat
    silence: Sequence[str] = ()
    file_of: Callable[[Item], str] = target_of

    @property
    def classes(self) -> dict[str, list[Item]]:
        """Name of a file, which is a target -> the items that are summed to it; none if it is silent."""
        found: dict[str, list[Item]] = {target: [] for target in self.silence}
        for item in self.items:
            found.setdefault(self.file_of(item), []).append(item)
        return found

    @property
    def silent(self) -> list[str]:
        """Targets whose file is silence, because the song has no item of them."""
        return [target for target, items in self.classes.items() if not items]

    @property
    def num_samples(self) -> int:
        """Length of all its files: that of the longest stem."""
        return max(
            files.resampled_length(item.stem.num_samples, item.stem.sample_rate, self.sample_rate)
            for item in self.items
        )

    @property
    def mark(self) -> str:
        """A hash of everything that its files depend on."""
        stems = [(item.target, item.stem.sha256, item.stem.path, item.stem.stream, item.spans) for item in self.items]
        content = json.dumps([stems, self.silent, self.mixture, self.sample_rate, self.num_samples, self.audio_format])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def files(self) -> dict[str, Path]:
        """Target, or name of the mixture -> its file."""
        names = [*self.classes, *([self.mixture] if self.mixture else [])]
        return {name: self.folder / f"{name}.{self.audio_format}" for name in names}


def write_songs(
    selection: Selection,
    converter: Converter,
    place: Callable[[Item], str],
    *,
    mixture: str | None = None,
    complete: bool = False,
    silence: Sequence[str] = (),
    tops: Collection[str] | None = None,
    file_of: Callable[[Item], str] = target_of,
) -> list[Song]:
    """Write every song of a selection that :meth:`~stemclean.exporting.converting.Converter.listen` has checked.

    Several stems of a class in a song are summed. If a sum would exceed full scale, all files of the song are
    attenuated by the same gain. Songs of earlier runs are kept; none is ever rewritten.

    Args:
        selection: the stems. A stem that can no longer be read leaves it, and the song is written without it.
        converter: must have a sample rate.
        place: returns the folder of the song of an item, as a POSIX path below the destination; "" if the item is not
            meant.
        mixture: name of an additional file with the sum of all classes.
        complete: leave out songs that lack a class, as ``incomplete_song``.
        silence: targets that get a file of silence in a song without them.
        tops: the folders in the destination that are for these songs alone; None: all.
        file_of: returns the name of the file of an item in the folder of its song, without its ending; items with the
            same name are summed. Default: its target.

    Raises:
        ConfigError: a stem was trimmed and is no longer aligned with the others; a class has the name of the mixture;
            or the destination holds a song that is not part of this export, or was made from something else.
    """
    assert converter.sample_rate is not None
    _check(selection, place, mixture)
    songs = _songs(selection, converter, place, mixture, silence, file_of)
    if complete:
        _leave_out_incomplete(selection, songs)
    for top in [""] if tops is None else tops:
        _check_earlier(converter.destination / top, songs)
    for song in tqdm(songs, "write", unit="song", disable=True if converter.quiet else None):
        while song.items:
            try:
                gain_db = _written(song, converter)
                break
            except AudioError as error:  # readable when it was listened to, but not any more
                lost = [item for item in song.items if converter.folder / item.stem.path == error.path]
                if not lost:
                    raise
                selection.lose(lost, error)
                song.items = [item for item in song.items if item not in lost]
                if complete:
                    _leave_out_incomplete(selection, [song])
        if song.items:
            converter.files += song.files.values()
            if gain_db:
                converter.turned_down[song.items[0].stem.track or song.items[0].stem.id] = gain_db
    return [song for song in songs if song.items]


def _check(selection: Selection, place: Callable[[Item], str], mixture: str | None) -> None:
    if mixture in selection.targets.names:
        raise ConfigError(f'a class is named "{mixture}", as the file of the sum', "export without the mixture")
    trimmed = next((item.stem for item in selection.items if item.stem.source is not None and place(item)), None)
    if trimmed is not None:
        raise ConfigError(
            f"{trimmed.id} was trimmed and is no longer aligned with the other stems of {trimmed.track}",
            "give the manifest of the untrimmed stems",
        )


def _songs(
    selection: Selection,
    converter: Converter,
    place: Callable[[Item], str],
    mixture: str | None,
    silence: Sequence[str],
    file_of: Callable[[Item], str],
) -> list[Song]:
    by_place: dict[str, list[Item]] = {}
    for item in selection.items:
        by_place.setdefault(place(item), []).append(item)
    by_place.pop("", None)
    songs: dict[str, Song] = {}
    for path, items in by_place.items():
        safe = "/".join(safe_parts(path))
        if safe.casefold() in songs:  # another song differs only in characters that were replaced
            safe += f".{hashlib.sha256(path.encode()).hexdigest()[:8]}"
        assert converter.sample_rate is not None
        songs[safe.casefold()] = Song(
            converter.destination / safe,
            items,
            mixture,
            converter.sample_rate,
            converter.audio_format,
            silence,
            file_of,
        )
    return list(songs.values())


def _leave_out_incomplete(selection: Selection, songs: Sequence[Song]) -> None:
    """Leave out songs that lack a class; they then have no items."""
    incomplete = [song for song in songs if {item.target for item in song.items} != set(selection.targets.names)]
    gone = {item.key for song in incomplete for item in song.items}
    selection.keep(lambda item: "incomplete_song" if item.key in gone else "", title="compare")
    for song in incomplete:
        song.items = []


def _check_earlier(destination: Path, songs: Sequence[Song]) -> None:
    """Refuse to mix songs of an earlier export with others: a trainer would read both, and may have cached lengths."""
    marks = {song.folder: song.mark for song in songs if song.items}
    for record in sorted(destination.rglob(RECORD)):
        if _read(record).get("mark") != marks.get(record.parent):
            raise ConfigError(
                f"{record.parent} holds a song of an earlier export that would be written differently now",
                "export to a new folder",
            )


def _read(record: Path) -> dict[str, Any]:
    try:
        document = json_of(record.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, FlawError):
        return {}
    return document if isinstance(document, dict) else {}


def _written(song: Song, converter: Converter) -> float:
    """Write the files of a song that do not exist yet, and return its gain in dB."""
    record = song.folder / RECORD
    if record.is_file() and all(path.is_file() for path in song.files.values()):
        return float(_read(record)["gain_db"])
    with ExitStack() as stack:
        sums = {
            name: stack.enter_context(closing(SpooledSound(converter.destination, CHANNELS))) for name in song.files
        }
        for item in song.items:
            with converter.reading(item):  # it is what was listened to
                pass
        for sounds in _summed(song, converter):
            for name, sound in sounds.items():
                sums[name].write(sound)
        gain = gain_below_full_scale(max(total.peak for total in sums.values()))
        stems = {target: [item.stem.id for item in items] for target, items in song.classes.items()}
        with replacing(record) as temporary:  # first, so that a killed run is continued with the same content
            document = {"mark": song.mark, "gain_db": in_db(gain), "stems": stems}
            temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        subtype = _subtype(song, converter)
        for name, path in song.files.items():
            if not path.is_file():
                sums[name].pour(path, song.sample_rate, gain, subtype=subtype)
    return in_db(gain)


def _summed(song: Song, converter: Converter) -> Iterator[dict[str, Waveform]]:
    """Yield stretches of all files of a song, of equal length. Shape: (channel, time) each."""
    streams = [converter.blocks(item, aligned=True) for item in song.items]
    at = 0
    for blocks in zip_longest(*streams):
        length = max(block.shape[1] for block in blocks if block is not None)
        sounds = {name: np.zeros((CHANNELS, length), np.float32) for name in song.files}
        for item, block in zip(song.items, blocks, strict=True):
            if block is not None:
                for name in (song.file_of(item), song.mixture):
                    if name is not None:
                        sounds[name][:, : block.shape[1]] += block
        at += length
        yield sounds
    if at < song.num_samples:
        yield {name: np.zeros((CHANNELS, song.num_samples - at), np.float32) for name in song.files}


def _subtype(song: Song, converter: Converter) -> str:
    """Return the sample format of all files of a song: 24 bits if a stem has more than 16."""
    found = {
        written_subtype(files.probe(converter.folder / item.stem.path, item.stem.stream).subtype) for item in song.items
    }
    return max(found)
