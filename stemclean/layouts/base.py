"""What a layout is: a shape in which people keep stems on disk, read, written, or both.

The file name is the registry: each module of this package that defines ``LAYOUT`` is a layout and is called
like its file (``zfturbo.py`` -> ``"zfturbo"``). A layout reads when it has ``can_read`` and ``read``
(:class:`Reader`), and writes when it has ``write`` (:class:`Writer`); the contract tests pick it up as soon
as the file exists. Readers are asked in the order of their ``priority``, lowest first; the first that can
read a path does.

A reader only *finds*: it names files, tracks, classes and splits. :func:`stemclean.layouts.scan` then looks into the
files and makes the manifest.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from stemclean.errors import ConfigError
from stemclean.labels import Profile, Reading
from stemclean.manifest import Manifest, Skip
from stemclean.settings import Settings, UnknownSettingError

__all__ = ["Found", "Reader", "WriteReport", "Writer", "layouts", "reader_for", "writer"]

DATA = "give a folder of stems, a CSV instrum,path or a manifest (.json, .jsonl, .jsonl.gz)"
"""What a user may give as a dataset, as a hint."""


@dataclass(frozen=True)
class Found:
    """A file that a layout came across.

    Args:
        path: the file, as seen from the working directory.
        label: the class that it claims, :data:`stemclean.labels.MIXTURE`, or None where that cannot be told.
        track: the song, a POSIX path-like name; None: told from the folder by :mod:`stemclean.layouts.naming`.
        split: the declared split.
        detail: why ``label`` is None or ``path`` cannot be meant for this machine, in one line.
        f0: a file that says what is sung in it, which :mod:`stemclean.layouts.f0_files` finds.
        reading: what its name, or its folder's, says.
        refused: why the layout itself passes it over: reason code and detail.
    """

    path: Path
    label: str | None
    track: str | None = None
    split: Literal["train", "validation", "test"] | None = None
    detail: str = ""
    f0: Path | None = None
    reading: Reading | None = None
    refused: tuple[str, str] | None = None


@runtime_checkable
class Reader(Protocol):
    """Finds stems below a folder or in a list."""

    name: str
    priority: int

    def can_read(self, path: Path, profile: Profile) -> bool:
        """Whether ``path`` has this shape; looks at names only, never into audio."""
        ...

    def read(self, path: Path, profile: Profile) -> Iterator[Found]:
        """The files, in a fixed order. Raises ConfigError where the list itself is broken."""
        ...


@dataclass
class WriteReport:
    """What a writer did.

    Args:
        files: files written: lists first, then audio.
        kept_seconds: class -> seconds of audio that the other codebase will find.
        lost_seconds: class -> why -> seconds left out. Multi-label stems count under each of their classes.
        skipped: stems whose audio could not be read.
        turned_down: song -> dB by which all its stems were written louder, below 0: one of them exceeded full scale.
        extra: anything else worth printing, JSON-able, by name.
    """

    files: list[Path] = field(default_factory=list)
    kept_seconds: dict[str, float] = field(default_factory=dict)
    lost_seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)
    turned_down: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class Writer(Protocol):
    """Writes a manifest in the shape that another codebase reads."""

    name: str

    def write(
        self, manifest: Manifest, folder: Path, destination: Path, *, sample_rate: int = 44100, quiet: bool = False
    ) -> WriteReport:
        """Write ``manifest`` below ``destination``.

        Args:
            manifest: what to write; its ``labels`` are the classes.
            folder: what stem paths are relative to (:func:`stemclean.layouts.load` gives it).
            destination: a folder outside of ``folder``; made where it is missing. It is empty, or holds what this
                layout wrote of the same source before, and a record of who wrote it.
            sample_rate: the one rate that every file is given where the codebase wants one.
            quiet: no progress bar.

        Raises:
            ConfigError: the codebase could not work with the result (a class without audio, …).
        """
        ...


@cache
def layouts() -> dict[str, Reader | Writer]:
    """Every layout by name, in alphabetical order."""
    import stemclean.layouts as package

    found: dict[str, Reader | Writer] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        layout = getattr(module, "LAYOUT", None)
        if isinstance(layout, Reader | Writer):
            found[info.name] = layout
    return found


def reader_for(path: Path, profile: Profile) -> Reader:
    """The first layout, by priority, that can read ``path``.

    Raises:
        ConfigError: there is no such file or folder, or nothing reads it.
    """
    if not path.exists():
        raise ConfigError(f"no such file or folder: {path}", DATA)
    readers = sorted((item for item in layouts().values() if isinstance(item, Reader)), key=lambda item: item.priority)
    for reader in readers:
        if reader.can_read(path, profile):
            return reader
    raise ConfigError(f"{path}: no layout reads this", DATA)


def writer(name: str, settings: Mapping[str, Any] | None = None) -> Writer:
    """The layout of that name, to write with.

    Args:
        settings: those that are to differ from its defaults: the fields of a layout that is a class of
            :class:`~stemclean.settings.Settings`; others have none.

    Raises:
        ConfigError: there is none that writes; or a :class:`~stemclean.settings.SettingError`, where it has no such
            setting, or cannot have that value.
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
