"""Training checkpoints on disk, from which an interrupted run resumes.

Each checkpoint ends in a checksum. While a run is under way the previous checkpoint is kept as well; the run resumes
from it if the last one is damaged.
"""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch

from stemclean.disk import replacing, writing
from stemclean.progress import warn
from stemclean.training.processes import together

__all__ = ["DamagedError", "newest_first", "path_of", "read", "remove", "save", "set_aside"]

State = dict[str, Any]
MARK = b"stemclean checkpoint"
SEAL = len(MARK) + hashlib.sha256().digest_size
"""Bytes of the mark and checksum appended to the file, which ``torch.load`` ignores."""
BLOCK = 1 << 20


class DamagedError(Exception):
    """A checkpoint from which this run cannot resume; its message says why."""


def path_of(output: Path, run: str) -> Path:
    """Return the path of a run's checkpoint: beside the weights, named after the first 8 digits of the run's key."""
    return output.with_suffix(f".{run[:8]}.checkpoint")


def newest_first(path: Path) -> tuple[Path, Path]:
    """Return the paths of the last checkpoint and of the previous one, whether or not they exist."""
    return path, path.with_name(f"{path.name}.previous")


def save(path: Path, state: State, run: str) -> None:
    """Write a checkpoint with its checksum; the last checkpoint becomes the previous one.

    The file is synced to disk before it replaces another, so that a run can resume after a power cut. There are never
    more than two complete checkpoints: the previous one is deleted before the new one is written.

    Args:
        path: File to write.
        state: Tensors and plain values.
        run: Key of the run, see :func:`read`.
    """
    _, previous = newest_first(path)
    with replacing(path) as temporary:
        if path.exists():
            previous.unlink(missing_ok=True)
        torch.save({**state, "run": run}, temporary)
        with temporary.open("r+b") as file:
            seal = _seal(file)
            file.seek(0, os.SEEK_END)
            file.write(seal)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            path.replace(previous)


def read(path: Path, run: str) -> State:
    """Read the state that a run saved.

    Args:
        path: File to read.
        run: Key of the run. It must equal the one given to :func:`save`; runs that cannot share a state have different
            keys.

    Raises:
        FileNotFoundError: There is no checkpoint.
        DamagedError: The checkpoint is damaged, unreadable or of another run.
    """
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size - SEAL
            file.seek(max(0, length))
            if length <= 0 or file.read() != _seal(file, length):
                raise DamagedError("its checksum does not match")
            file.seek(0)
            state: State = torch.load(file, map_location="cpu", weights_only=True)
    except (FileNotFoundError, MemoryError, DamagedError):
        raise
    except OSError as error:
        raise DamagedError(f"it cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch raises many kinds for files of other versions
        raise DamagedError("this version of torch cannot read it") from error
    if state.pop("run", None) != run:
        raise DamagedError("it belongs to another run")
    return state


def set_aside(path: Path, why: str) -> None:
    """Rename a checkpoint from which no run can resume, and warn; only the main process does."""
    if together().is_main_process:
        aside = path.with_name(f"{path.name}.damaged")
        with writing(path, also=aside):
            path.replace(aside)
        warn(f"{path}: renamed to {aside.name}, because training cannot resume from it: {why}")


def remove(path: Path, *, keep_last: bool = False, until: float = math.inf) -> None:
    """Delete the checkpoints of a finished run; files renamed by :func:`set_aside` stay.

    Args:
        path: File of the last checkpoint.
        keep_last: Delete only the previous checkpoint.
        until: Delete only files modified up to this time, in seconds since the epoch, so that the checkpoint of a
            longer run stays.
    """
    last, previous = newest_first(path)
    for checkpoint in (previous,) if keep_last else (previous, last):
        with suppress(FileNotFoundError):
            if checkpoint.stat().st_mtime <= until:
                checkpoint.unlink()


def _seal(file: IO[bytes], length: int | None = None) -> bytes:
    """Return the mark and checksum of the first ``length`` bytes of a file (None: of all bytes)."""
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(BLOCK if length is None else min(BLOCK, length)):
        digest.update(block)
        length = None if length is None else length - len(block)
    return MARK + digest.digest()
