"""Atomic writing of files, and removal of unfinished files that killed runs left."""

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
"""Names of unfinished files, which no user or other program would choose."""
LONGEST = 200
"""Maximum length in bytes of a name that is extended later; file systems allow 255."""
PROBED = 1 << 20
"""Number of bytes that are written to test for free space."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Errors that only occur on writing; the system does not name the file."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write to a temporary file that is renamed to ``path`` if the block succeeds, and removed if it fails.

    Readers see either the old file or the new one, and a killed run leaves the old one. Its temporary file is locked
    while the run lives; afterwards, :func:`sweep` removes it. Missing folders are created.

    Yields:
        The name of the temporary file: hidden, unique, in the same folder. It exists and is empty.

    Raises:
        OutputError: the file cannot be written, since the disk is full or the folder read-only, for example.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, held = _reserved(path)
    try:
        with writing(path, also=temporary):
            yield temporary
            if os.name == "nt":  # on which an open file cannot be renamed
                held.close()
            os.replace(temporary, path)
    except (OSError, StemcleanError):
        raise
    except Exception as error:  # C libraries have their own errors for a full disk
        with writing(path, also=temporary):
            check_room(temporary, error)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        held.close()


@contextmanager
def writing(path: str | Path, *, also: Path | None = None) -> Iterator[None]:
    """Turn system errors from writing ``path`` into an error with a next step.

    Args:
        also: another file name that such errors may contain.

    Raises:
        OutputError: replaces an :class:`OSError` that names ``path``, ``also``, a folder above ``path`` or no file.
            Errors about other files are not changed.
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
    """Check whether a full disk is the cause of an error, if the library that wrote the file does not say so.

    Args:
        temporary: the unfinished file; it is extended.
        error: the error of the library.

    Raises:
        OSError: the disk is full.
    """
    with temporary.open("ab") as file:
        try:
            file.write(bytes(PROBED))
            file.flush()
            os.fsync(file.fileno())
        except OSError as full:
            raise OSError(full.errno, full.strerror, str(temporary)) from error


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of the bytes of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(folder: str | Path, *, deep: bool = False) -> int:
    """Remove the unfinished files of killed runs from a folder, but not those of runs that are still alive.

    Args:
        deep: include subfolders.

    Returns:
        The number of files removed.
    """
    num_removed = 0
    for path in Path(folder).rglob(".*.tmp") if deep else Path(folder).glob(".*.tmp"):
        if TEMPORARY.fullmatch(path.name):
            with suppress(OSError), path.open("r+b") as file:
                if hold(file):
                    path.unlink()
                    num_removed += 1
    return num_removed


def hold(file: IO[bytes], *, exclusive: bool = True) -> bool:
    """Lock a file for as long as it, or a memory map of it, is open in this process or one forked from it.

    Returns:
        Whether that succeeded. True if the system has no such locks but open files cannot be removed, as on Windows.
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
    """Return a name that is short enough to be extended: unchanged, or its beginning and a checksum.

    >>> short("drums.wav"), len(short("x" * 255))
    ('drums.wav', 200)
    """
    text = os.fsencode(name)
    if len(text) <= LONGEST:
        return name
    digest = hashlib.sha256(text).hexdigest()[:16]
    return text[: LONGEST - 17].decode(errors="ignore") + "-" + digest


def _reserved(path: Path) -> tuple[Path, IO[bytes]]:
    """Create a new, locked file next to another."""
    while True:
        temporary = path.with_name(f".{short(path.name)}.stemclean-{secrets.token_hex(4)}.tmp")
        file = temporary.open("xb")
        hold(file)
        if temporary.exists():  # otherwise it was removed before it was locked
            return temporary, file
        file.close()
