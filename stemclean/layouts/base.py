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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from stemclean.errors import ConfigError, SkipReason
from stemclean.labels import Profile, Reading
from stemclean.manifest import Manifest, Skip
from stemclean.settings import Settings, UnknownSettingError

__all__ = ["Found", "Reader", "WriteReport", "Writer", "layouts", "reader_for", "writer"]

DATA = "give a folder of stems, a CSV instrum,path or a manifest (.json, .jsonl, .jsonl.gz)"
"""Hint that lists the accepted forms of a dataset."""


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
    """

    path: Path
    label: str | None
    track: str | None = None
    split: Literal["train", "validation", "test"] | None = None
    detail: str = ""
    f0: Path | None = None
    reading: Reading | None = None
    refused: tuple[SkipReason, str] | None = None


@runtime_checkable
class Reader(Protocol):
    """Finds stems in a folder or in a list."""

    name: str
    priority: int

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Return whether ``path`` has this layout; reads only names, never audio."""
        ...

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """Yield the files in a fixed order. Raises ConfigError if the list itself is broken."""
        ...


@dataclass
class WriteReport:
    """Report of a writer.

    Args:
        files: files written: lists first, then audio.
        kept_seconds: class -> seconds of audio that the other codebase will find.
        lost_seconds: class -> reason -> seconds left out. Multi-label stems count under each of their classes.
        skipped: stems whose audio could not be read.
        turned_down: song -> gain in dB, below 0, applied to all its stems because one exceeded full scale.
        extra: further information to print, by name; JSON-serialisable.
    """

    files: list[Path] = field(default_factory=list)
    kept_seconds: dict[str, float] = field(default_factory=dict)
    lost_seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)
    turned_down: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class Writer(Protocol):
    """Writes a manifest in the format that another codebase reads."""

    name: str

    def write(
        self, manifest: Manifest, folder: Path, destination: Path, *, sample_rate: int = 44100, quiet: bool = False
    ) -> WriteReport:
        """Write ``manifest`` below ``destination``.

        Args:
            manifest: the dataset to write; its ``labels`` are the classes.
            folder: folder that stem paths are relative to (:func:`stemclean.layouts.load` returns it).
            destination: a folder outside ``folder``, created if it is missing. It is empty, or holds an earlier export
                of the same source by this layout and the record of that export.
            sample_rate: sample rate of all files, if the codebase needs a single one.
            quiet: show no progress bar.

        Raises:
            ConfigError: the codebase could not use the result, for example because a class has no audio.
        """
        ...


@cache
def layouts() -> dict[str, Reader | Writer]:
    """Return all layouts by name, in alphabetical order."""
    import stemclean.layouts as package

    found: dict[str, Reader | Writer] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        layout = getattr(module, "LAYOUT", None)
        if isinstance(layout, Reader | Writer):
            found[info.name] = layout
    return found


def reader_for(path: Path, profile: Profile) -> Reader:
    """Return the first layout, by priority, that can read ``path``.

    Raises:
        ConfigError: there is no such file or folder, or no layout can read it.
    """
    if not path.exists():
        raise ConfigError(f"no such file or folder: {path}", DATA)
    readers = sorted((item for item in layouts().values() if isinstance(item, Reader)), key=lambda item: item.priority)
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
