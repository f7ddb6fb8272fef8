"""Read Slakh2100: ``train/Track00001/metadata.yaml`` and ``train/Track00001/stems/S01.flac``.

The metadata (https://github.com/ethman/slakh-utils) lists ``stems`` with ``inst_class``, ``is_drum``,
``midi_program_name`` and ``audio_rendered``; stems that were not rendered have no file. The class is drums if
``is_drum`` is true, else that of ``inst_class``: a family of General MIDI instruments, of which "Chromatic Percussion"
is pitched and belongs to ``other``, and so do choirs, which are among "Strings (continued)". Folders ``train``,
``validation`` and ``test`` declare splits. The folder ``omitted`` of Slakh2100-redux is ignored, since it holds
duplicates of songs in the splits. ``extra`` of a stem keeps ``instrument`` and ``midi_program_name``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from stemclean.labels import MIXTURE, Profile
from stemclean.layouts.base import SPLITS, Found
from stemclean.layouts.metadata import Document, FileName, any_song, claimed, read, unlisted

FAMILIES = {
    "Chromatic Percussion": "vibraphone",
    "Percussive": "percussion",
    "Pipe": "flute",
    "Ethnic": "sitar",
    "Strings (continued)": "strings",
}
"""Families of General MIDI whose names do not say what is in them -> an instrument of the family."""

MIXES = ("mix.flac", "mix.wav")


class _Stem(Document):
    inst_class: str
    is_drum: bool = False
    audio_rendered: bool = True
    midi_program_name: str | None = None


class _Song(Document):
    UUID: str
    stems: dict[FileName, _Stem] = Field(min_length=1)
    audio_dir: FileName = "stems"


class Slakh:
    """See the module."""

    name = "slakh"
    priority = 22
    any_folder = False

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Return whether songs up to two levels below have such metadata."""
        return path.is_dir() and any_song(_songs(path), _Song)

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """Yield the mixture and the stems song by song."""
        listed: set[Path] = set()
        for metadata in _songs(path):
            folder = metadata.parent
            split = SPLITS.get(folder.parent.name.lower()) if folder not in (path, *path.parents) else None
            track = folder.name if folder != path else path.resolve().name
            mixes = [Found(folder / name, MIXTURE, track) for name in MIXES if (folder / name).is_file()]
            song = read(metadata, _Song)
            stems = (
                _found(folder / song.audio_dir, name, stem, track, profile)
                for name, stem in sorted(song.stems.items())
                if stem.audio_rendered
            )
            for item in (*mixes, *stems):
                listed.add(item.path)
                yield replace(item, split=split)
        yield from unlisted(path, listed, [path / "omitted"])


LAYOUT = Slakh()


def _found(folder: Path, name: str, stem: _Stem, track: str, profile: Profile) -> Found:
    """Return the file of a stem; converted copies of the dataset have WAV files."""
    file = folder / f"{name}.flac"
    if not file.is_file() and file.with_suffix(".wav").is_file():
        file = file.with_suffix(".wav")
    instrument = "drums" if stem.is_drum else FAMILIES.get(stem.inst_class, stem.inst_class)
    found = claimed(file, instrument, track, profile, midi_program_name=stem.midi_program_name)
    return replace(found, extra={**found.extra, "instrument": stem.inst_class})


def _songs(path: Path) -> Iterator[Path]:
    for pattern in ("metadata.yaml", "*/metadata.yaml", "*/*/metadata.yaml"):
        yield from (file for file in sorted(path.glob(pattern)) if file.parent.parent != path / "omitted")
