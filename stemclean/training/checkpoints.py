"""Checkpoints of a training on disk: what a run that was broken off goes on from, as long as it is whole.

As long as the training is under way, the checkpoint before the last one lies there as well, and is gone on from where
the last one is damaged.
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
"""Bytes behind what torch wrote, which does not mind them."""
BLOCK = 1 << 20


class DamagedError(Exception):
    """A checkpoint that this run cannot go on from; says why."""


def path_of(output: Path, run: str) -> Path:
    """Where the checkpoint of a run lies: beside the weights, under the first letters of the run's key."""
    return output.with_suffix(f".{run[:8]}.checkpoint")


def newest_first(path: Path) -> tuple[Path, Path]:
    """The last checkpoint and the one before it, whether or not they are there."""
    return path, path.with_name(f"{path.name}.previous")


def save(path: Path, state: State, run: str) -> None:
    """Write a checkpoint, with its checksum; the one that was there becomes the previous one.

    It is on the disk before anything else goes: what a power cut leaves can be gone on from. There are never more than
    two whole ones, so that no more room is needed while a third is written.

    Args:
        state: tensors and plain values.
        run: whose state it is; see :func:`read`.
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
    """The state that a run left.

    Args:
        run: what :func:`save` was told, which differs where one run cannot go on from the other's state.

    Raises:
        FileNotFoundError: it left none.
        DamagedError: it is not as it was written, cannot be read, or is another run's.
    """
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size - SEAL
            file.seek(max(0, length))
            if length <= 0 or file.read() != _seal(file, length):
                raise DamagedError("it is not as it was written")
            file.seek(0)
            state: State = torch.load(file, map_location="cpu", weights_only=True)
    except (FileNotFoundError, MemoryError, DamagedError):
        raise
    except OSError as error:
        raise DamagedError(f"it cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch has many for what another version of it wrote
        raise DamagedError("this version of torch cannot read it") from error
    if state.pop("run", None) != run:
        raise DamagedError("it is another run's")
    return state


def set_aside(path: Path, why: str) -> None:
    """Give a checkpoint that no run can go on from another name, and say so; of several processes, one does."""
    if together().is_main_process:
        aside = path.with_name(f"{path.name}.damaged")
        with writing(path, also=aside):
            path.replace(aside)
        warn(f"{path}: set aside as {aside.name}, since no training can go on from it: {why}")


def remove(path: Path, *, keep_last: bool = False, until: float = math.inf) -> None:
    """Take away the checkpoints of a run that is done; what was set aside stays.

    Args:
        keep_last: take away the one before the last alone.
        until: take away what was written until then, in seconds since the epoch, and nothing that a longer run wrote.
    """
    last, previous = newest_first(path)
    for one in (previous,) if keep_last else (previous, last):
        with suppress(FileNotFoundError):
            if one.stat().st_mtime <= until:
                one.unlink()


def _seal(file: IO[bytes], length: int | None = None) -> bytes:
    """What stands behind the first bytes of a file if they are whole; None: behind all of them."""
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(BLOCK if length is None else min(BLOCK, length)):
        digest.update(block)
        length = None if length is None else length - len(block)
    return MARK + digest.digest()
