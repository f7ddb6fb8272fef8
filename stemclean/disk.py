"""Files that appear whole or not at all, and what killed runs left of them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from stemclean.errors import OutputError, StemcleanError

__all__ = ["FULL", "check_room", "file_sha256", "hold", "replacing", "short", "sweep", "writing"]

TEMPORARY = re.compile(r"\..+\.stemclean-[0-9a-f]{8}\.tmp")
"""What unfinished files are called: no name that a user or another program gives."""
LONGEST = 200
"""Bytes of a name that a longer one may be made of; file systems take 255."""
PROBED = 1 << 20
"""Bytes that a disk with room takes."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Errors that writing alone has; the system names no file with them."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write under another name, which becomes ``path`` when the block ends well, and goes when it does not.

    So a reader meets the old file or the new one, and a killed run leaves the old one; what it leaves beside it is
    locked as long as the run lives, and taken away by :func:`sweep` after that. Missing folders are made.

    Yields:
        The other name: hidden, in the same folder, this block's own. An empty file stands there already.

    Raises:
        OutputError: it cannot be written: the disk is full, the folder read-only.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, held = _reserved(path)
    try:
        with writing(path, also=temporary):
            yield temporary
            if os.name == "nt":  # where an open file cannot be renamed
                held.close()
            os.replace(temporary, path)
    except (OSError, StemcleanError):
        raise
    except Exception as error:  # libraries in C have their own errors for a full disk
        with writing(path, also=temporary):
            check_room(temporary, error)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        held.close()


@contextmanager
def writing(path: str | Path, *, also: Path | None = None) -> Iterator[None]:
    """Where ``path`` is written: the system's errors about it say so, and what to do.

    Args:
        also: another name that errors about it may bear.

    Raises:
        OutputError: in place of an :class:`OSError` that bears ``path``, ``also``, a folder above them or no name at
            all. Errors about other files stay as they are.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        about = None if error.filename is None else Path(os.fsdecode(error.filename))
        ours = {Path(path), *Path(path).parents, also}
        if about in ours or (about is None and (error.errno in FULL or also is None)):
            raise OutputError(path, error) from error
        raise


def check_room(temporary: Path, error: Exception | None = None) -> None:
    """Tell whether it is the disk that ended the writing of a file, of which the library that wrote it says nothing.

    Args:
        temporary: the unfinished file; it is longer then.
        error: what the library said.

    Raises:
        OSError: the disk takes no more.
    """
    with temporary.open("ab") as file:
        try:
            file.write(bytes(PROBED))
            file.flush()
            os.fsync(file.fileno())
        except OSError as full:
            raise OSError(full.errno, full.strerror, str(temporary)) from error


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(folder: str | Path, *, deep: bool = False) -> int:
    """Take away what killed runs left unfinished in a folder; never what a run that lives is writing.

    Args:
        deep: in the folders below, too.

    Returns:
        How many files went.
    """
    gone = 0
    for path in Path(folder).rglob(".*.tmp") if deep else Path(folder).glob(".*.tmp"):
        if TEMPORARY.fullmatch(path.name):
            with suppress(OSError), path.open("r+b") as file:
                if hold(file):
                    path.unlink()
                    gone += 1
    return gone


def hold(file: IO[bytes], *, exclusive: bool = True) -> bool:
    """Lock a file as long as it, or a mapping of it, is open, in this process or one that was forked from it.

    Returns:
        Whether that succeeded; True where files cannot be locked but open ones cannot be removed, as on Windows.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def short(name: str) -> str:
    """A name that has room for a few letters more: itself, or its beginning and a checksum.

    >>> short("drums.wav"), len(short("x" * 255))
    ('drums.wav', 200)
    """
    text = os.fsencode(name)
    if len(text) <= LONGEST:
        return name
    digest = hashlib.sha256(text).hexdigest()[:16]
    return text[: LONGEST - 17].decode(errors="ignore") + "-" + digest


def _reserved(path: Path) -> tuple[Path, IO[bytes]]:
    """A new file beside another, locked."""
    while True:
        temporary = path.with_name(f".{short(path.name)}.stemclean-{secrets.token_hex(4)}.tmp")
        file = temporary.open("xb")
        hold(file)
        if temporary.exists():  # else it was swept away before it was locked
            return temporary, file
        file.close()
