"""The folder that a run writes into: new, empty, or its own from before.

A verb leaves word of who wrote a folder (a manifest, a record); with it the same run may be taken up again, or repeated
with other settings, and nobody else's files are mixed with its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from stemclean.errors import ConfigError
from stemclean.manifest import Created

__all__ = ["check_free_or_own", "refuse_in_source"]


def check_free_or_own(folder: Path, earlier: Created | None, ours: Created, *, same: Sequence[str] = ()) -> None:
    """Refuse a folder that holds anything but what an earlier run of the same thing left.

    The same thing is the same verb on the same input; settings may differ, and the input's content may have changed.

    Args:
        folder: the destination; need not exist. Hidden files in it do not count.
        earlier: who wrote it, as it says itself; None: nothing in it does.
        ours: the run that is about to write.
        same: keys of ``config`` that must agree too.

    Raises:
        ConfigError: it is a file, holds files of unknown origin, or was written from something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file", "give a folder, one that is new")
    if earlier is None:
        held = sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
        if held:
            more = f" and {len(held) - 1} more" if len(held) > 1 else ""
            raise ConfigError(f"{folder} is not empty: it holds {held[0]}{more}", "give a new folder")
        return
    if earlier.command != ours.command:
        raise ConfigError(f'{folder} was written by "{earlier.command}"', "give a new folder")
    before, now = _inputs(earlier, folder), _inputs(ours, folder)
    if before != now:
        raise ConfigError(f"{folder} holds what {ours.command} made of {before}, not of {now}", "give a new folder")
    for key in same:
        if earlier.config.get(key) != ours.config.get(key):
            raise ConfigError(
                f"{folder} was written with {key} {earlier.config.get(key)}, not {ours.config.get(key)}",
                "give a new folder",
            )


def refuse_in_source(folder: Path, source: Path, manifest: str | Path | None = None) -> None:
    """Refuse a destination in the folder that is read from: the next run would read what this one writes.

    Args:
        manifest: what names the source, where nobody typed it: its ``root``.

    Raises:
        ConfigError: ``folder`` is ``source`` or lies below it.
    """
    if folder.resolve().is_relative_to(source.resolve()):
        named = f", the root of {manifest}" if manifest is not None and Path(manifest) != source else ""
        raise ConfigError(f"the destination {folder} lies in the source {source}{named}", "give a folder outside of it")


def _inputs(created: Created, folder: Path) -> str:
    """What a run was made from, as seen from here; the paths of inputs are relative to the folder written."""
    return ", ".join(os.path.normpath(folder / item.path) for item in created.inputs) or "nothing"
