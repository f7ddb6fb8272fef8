"""Define layouts: ways to keep stems on disk that can be read, written, or both.

The folder is the registry: each module of this package that defines ``LAYOUT`` is a layout with the name of its file
(``zfturbo.py`` -> ``"zfturbo"``). A layout with ``can_read`` and ``read`` is a :class:`Reader`; one with ``write`` is a
:class:`Writer`. The contract tests cover it as soon as the file exists. Readers are tried in the order of their
``priority``, lowest first; the first that can read a path is used.

A reader only *finds* files, with their tracks, classes and splits. :func:`stemclean.layouts.scan` then reads the files
and makes the manifest.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from stemclean.errors import ConfigError, SkipReason
from stemclean.exporting.converting import AudioFormat, Converter
from stemclean.exporting.selection import Selection
from stemclean.labels import Profile, Reading
from stemclean.settings import Settings, UnknownSettingError

__all__ = ["SPLITS", "Format", "Found", "Reader", "Writer", "Written", "layouts", "reader_for", "writer"]

DATA = "give a folder of stems, a CSV instrum,path or a manifest (.json, .jsonl, .jsonl.gz)"
"""Hint that lists the accepted forms of a dataset."""


SPLITS: Mapping[str, Literal["train", "validation", "test"]] = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""Words for a split in lists and names of folders."""


@dataclass(frozen=True)
class Found:
    """A file found by a layout.

    Args:
        path: the file, relative to the working directory.
        label: the class that it claims, :data:`stemclean.labels.MIXTURE`, or None if the class is unknown.
        track: the song, a POSIX path-like name; None: :mod:`stemclean.layouts.naming` finds it from the folder.
        split: the declared split.
        detail: one line that says why ``label`` is None, or why ``path`` cannot exist on this machine.
        f0: its f0 file, found by :mod:`stemclean.layouts.f0_files`.
        reading: the classes read from its name or its folder's name.
        refused: reason code and detail if the layout itself skips the file.
        extra: what else the dataset declares about the file, for ``extra`` of the stem.
    """

    path: Path
    label: str | None
    track: str | None = None
    split: Literal["train", "validation", "test"] | None = None
    detail: str = ""
    f0: Path | None = None
    reading: Reading | None = None
    refused: tuple[SkipReason, str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Reader(Protocol):
    """Finds stems in a folder or in a list."""

    name: str
    priority: int
    any_folder: bool
    """whether it reads any folder if it is asked to, so that ``can_read`` is a guess from names"""

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Return whether ``path`` has this layout; reads only names, never audio."""
        ...

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """Yield the files in a fixed order. Raises ConfigError if the list itself is broken."""
        ...


@dataclass
class Written:
    """What a writer wrote, besides the audio that the converter lists.

    Args:
        lists: the list that is given to the trainer first, then others; without one, it is given the folder.
        extra: further figures to report, by name; JSON-serialisable.
        next_steps: lines that say how to use the result in the other codebase.
        beside: other files that are not audio, such as a cache of the trainer's.
    """

    lists: list[Path] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    next_steps: list[str] = field(default_factory=list)
    beside: list[Path] = field(default_factory=list)


@runtime_checkable
class Writer(Protocol):
    """Writes a selection of stems in the format that another codebase reads; see :mod:`stemclean.exporting`."""

    name: str
    reader: str
    sample_rate: int | None
    audio_formats: Sequence[AudioFormat]
    segments: bool
    shape: Sequence[str]

    @property
    def held_out(self) -> bool:
        """See :class:`Format`."""
        ...

    @property
    def in_place(self) -> bool:
        """See :class:`Format`."""
        ...

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the selection below ``converter.destination``.

        Args:
            selection: the stems, with their target classes. The writer removes what it cannot use.
            converter: reads and writes the audio. Its destination is empty, or holds an earlier export of the same
                source in this format.

        Raises:
            ConfigError: the codebase could not use the result, for example because a class has no audio.
        """
        ...


class Format(Settings):
    """Base of writers: what they say of themselves, and their settings as fields."""

    name: ClassVar[str]
    """name of its file"""
    reader: ClassVar[str]
    """what reads the format, in a few words for the documentation"""
    sample_rate: ClassVar[int | None] = 44100
    """sample rate of its audio in Hz, unless the user asks for another; None: files keep theirs"""
    audio_formats: ClassVar[tuple[AudioFormat, ...]] = ("flac", "wav")
    """formats of audio that its reader takes; the first is written unless the user asks for another"""
    segments: ClassVar[bool] = False
    """whether it lists the parts of a file that are used, so that ``--cut`` writes no audio"""
    shape: ClassVar[tuple[str, ...]] = ()
    """settings that decide which files and folders are written: exports that differ in one cannot share a folder"""

    @property
    def held_out(self) -> bool:
        """Whether it takes declared validation and test stems. A class variable, or a property of the settings."""
        return True

    @property
    def in_place(self) -> bool:
        """Whether it uses files that need no conversion where they are, or links to them. As ``held_out``."""
        return True


@cache
def layouts() -> dict[str, Reader | Writer]:
    """Return all layouts by name, in alphabetical order."""
    import stemclean.layouts as package

    by_name: dict[str, Reader | Writer] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        layout = getattr(module, "LAYOUT", None)
        if isinstance(layout, Reader | Writer):
            by_name[info.name] = layout
    return by_name


def reader_for(path: Path, profile: Profile, name: str | None = None) -> Reader:
    """Return the layout with a name, or the first one, by priority, that can read ``path``.

    Args:
        path: a folder or a list.
        profile: the classes.
        name: name of the layout; None: detect it.

    Raises:
        ConfigError: there is no such file or folder, no layout can read it, or the named one cannot.
    """
    readers = sorted((item for item in layouts().values() if isinstance(item, Reader)), key=lambda item: item.priority)
    named = next((reader for reader in readers if reader.name == name), None)
    if name is not None and named is None:
        known = ", ".join(sorted(reader.name for reader in readers))
        raise ConfigError(f'--layout: no layout named "{name}" can be read', f"known: {known}")
    if not path.exists():
        raise ConfigError(f"no such file or folder: {path}", DATA)
    if named is not None:
        if named.can_read(path, profile) or (named.any_folder and path.is_dir()):
            return named
        raise ConfigError(f"--layout: {path} cannot be read as {name}", "leave it out to detect the layout")
    for reader in readers:
        if reader.can_read(path, profile):
            return reader
    raise ConfigError(f"{path}: no known layout", DATA)


def writer(name: str, settings: Mapping[str, Any] | None = None) -> Writer:
    """Return the writer with a name.

    Args:
        name: name of the layout.
        settings: settings that differ from the defaults, if the layout is a :class:`~stemclean.settings.Settings`;
            other layouts have none.

    Raises:
        ConfigError: no layout of that name can be written; or a :class:`~stemclean.settings.SettingError` for an
            unknown setting or an invalid value.
    """
    layout = layouts().get(name)
    if not isinstance(layout, Writer):
        known = ", ".join(key for key, item in layouts().items() if isinstance(item, Writer))
        raise ConfigError(f'no layout named "{name}" can be written', f"known: {known}")
    if isinstance(layout, Settings):
        return type(layout)(**settings or {})
    for key in settings or ():
        raise UnknownSettingError(key, [])
    return layout
