"""Check the folder that a run writes to: it must be new, empty, or written by an earlier run of the same command.

A command records in the folder what wrote it (in a manifest or a record). It can then resume or repeat a run with other
settings, and does not mix its output with other files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from stemclean.errors import ConfigError
from stemclean.manifest import Created

__all__ = ["check_free_or_own", "refuse_in_source"]


def check_free_or_own(folder: Path, earlier: Created | None, ours: Created, *, same: Sequence[str] = ()) -> None:
    """Refuse a folder that holds anything but the output of an earlier run of the same command on the same input.

    Settings may differ, and the content of the input may have changed.

    Args:
        folder: The destination, which need not exist. Hidden files in it are ignored.
        earlier: The run that wrote it, according to its record (None: it has no record).
        ours: The current run.
        same: Keys of ``config`` that must be equal, too.

    Raises:
        ConfigError: The destination is a file, holds files of unknown origin, or was written from another input.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file", "give a new folder")
    if earlier is None:
        names = sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ConfigError(f"{folder} is not empty: it holds {names[0]}{more}", "give a new folder")
        return
    if earlier.command != ours.command:
        raise ConfigError(f'{folder} was written by "{earlier.command}"', "give a new folder")
    before, now = _inputs(earlier, folder), _inputs(ours, folder)
    if before != now:
        raise ConfigError(
            f"{folder} holds the output of {ours.command} for {before}, not for {now}", "give a new folder"
        )
    for key in same:
        if earlier.config.get(key) != ours.config.get(key):
            raise ConfigError(
                f"{folder} was written with {key} {earlier.config.get(key)}, not {ours.config.get(key)}",
                "give a new folder",
            )


def refuse_in_source(folder: Path, source: Path, manifest: str | Path | None = None) -> None:
    """Refuse a destination inside the source folder, because the next run would read the output of this one.

    Args:
        folder: The destination.
        source: The source folder.
        manifest: The manifest whose ``root`` is the source, if the user gave a manifest.

    Raises:
        ConfigError: ``folder`` is ``source`` or lies below it.
    """
    if folder.resolve().is_relative_to(source.resolve()):
        origin = f", the root of {manifest}" if manifest is not None and Path(manifest) != source else ""
        raise ConfigError(f"the destination {folder} is inside the source {source}{origin}", "give another folder")


def _inputs(created: Created, folder: Path) -> str:
    """Return the inputs of a run as text. Their paths, stored relative to the output folder, are resolved."""
    return ", ".join(os.path.normpath(folder / item.path) for item in created.inputs) or "nothing"
