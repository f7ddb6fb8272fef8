"""Detect files that change while they are read, so that no result is based on half a file.

A file that was extended, rewritten or replaced has another size, time stamp or inode; checking these takes
microseconds. If a checksum of the file is known, it is compared as well when a run first reads the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stemclean.disk import file_sha256
from stemclean.errors import AudioError, SkipReason, of_one_file

__all__ = ["REASONS", "Stamp", "Unchanged", "stamp", "steady"]

WHILE_READING = SkipReason.CHANGED_WHILE_READING
SINCE_SCAN = SkipReason.CHANGED_SINCE_SCAN
REASONS = frozenset({WHILE_READING, SINCE_SCAN})


@dataclass(frozen=True)
class Stamp:
    """Properties of a file that reveal a change without reading it.

    Args:
        size: size in bytes.
        mtime_ns: time of the last modification.
        inode, device: identity of the file, as another file may get its name.
    """

    size: int
    mtime_ns: int
    inode: int
    device: int


def stamp(path: str | Path) -> Stamp | None:
    """Return the stamp of a file; None if it does not exist or cannot be accessed."""
    try:
        status = os.stat(path)  # noqa: PTH116  a name may hold a NUL
    except (OSError, ValueError):
        return None
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


@contextmanager
def steady(path: Path, before: Stamp | None = None) -> Iterator[None]:
    """Return a context for reading a file; neither success nor failure counts if the file changes meanwhile.

    Args:
        path: the file.
        before: stamp of the file at its first use; None: take it now.

    Raises:
        AudioError: ``changed_while_reading``.
    """
    before = before or stamp(path)
    try:
        yield
    except AudioError as error:
        if error.path == path and error.reason not in REASONS:
            _check(path, before, error)
        raise
    _check(path, before)


class Unchanged:
    """The files of a run, which must not change between their first and last use. Thread-safe."""

    def __init__(self) -> None:
        self._stamps: dict[Path, Stamp] = {}
        self._sha256s: dict[Path, tuple[Stamp, str]] = {}

    @contextmanager
    def reading(self, path: Path, sha256: str | None = None) -> Iterator[None]:
        """Return a context for reading a file.

        Args:
            path: the file.
            sha256: known checksum of the file, compared when the run first reads it; None: unknown.

        Raises:
            AudioError: ``changed_while_reading``: the file changed during this or since an earlier read of the run;
                ``changed_since_scan``: its checksum is not the known one.
        """
        before = self._checked_stamp(path, sha256)
        with steady(path, before):
            yield

    def sha256(self, path: Path) -> str:
        """Return the checksum of a file, which is computed once unless the file changes.

        Raises:
            AudioError: the file cannot be read, or changed meanwhile.
        """
        before = stamp(path)
        cached = self._sha256s.get(path)
        if cached is not None and cached[0] == before:
            return cached[1]
        with steady(path, before), of_one_file(path):
            checksum = file_sha256(path)
        if before is not None:
            self._sha256s[path] = before, checksum
        return checksum

    def _checked_stamp(self, path: Path, sha256: str | None) -> Stamp | None:
        now, used = stamp(path), self._stamps.get(path)
        if now is None or now == used:
            return now
        cached = self._sha256s.get(path)
        earlier = used or (cached[0] if cached else None)
        if sha256 is None:
            _check(path, earlier)
        elif self.sha256(path) != sha256:
            _check(path, earlier)
            raise AudioError(path, SINCE_SCAN, "its checksum is not the one on record: scan it anew")
        self._stamps[path] = now  # the file may have been touched without a change of its content
        return now


def _check(path: Path, before: Stamp | None, error: AudioError | None = None) -> None:
    now = stamp(path)
    if before is None or now == before:
        return
    if now is None:
        change = "it was removed"
    elif now.size != before.size:
        change = f"it went from {before.size} to {now.size} bytes"
    elif (now.inode, now.device) != (before.inode, before.device):
        change = "another file took its place"
    else:
        change = "it was written to"
    detail = f"{change} while this run was at it: run again when nothing writes there"
    raise AudioError(path, WHILE_READING, detail) from error
