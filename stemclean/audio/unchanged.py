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
        size: bytes.
        mtime_ns: when it was last written to.
        inode, device: which file it is; another one may have taken its name.
    """

    size: int
    mtime_ns: int
    inode: int
    device: int


def stamp(path: str | Path) -> Stamp | None:
    """Return the stamp of a file; None if it does not exist or cannot be accessed."""
    try:
        found = os.stat(path)  # noqa: PTH116  a name may hold a NUL
    except (OSError, ValueError):
        return None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)


@contextmanager
def steady(path: Path, before: Stamp | None = None) -> Iterator[None]:
    """Read a file in here; a failure of it, and its success, do not count where it was changed meanwhile.

    Args:
        before: of the file when it was first looked at; None: it is looked at now.

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
        """Context for reading a file.

        Args:
            sha256: of its bytes, if that is on record; they are read for it when the run first looks at the file.

        Raises:
            AudioError: ``changed_while_reading``, between two looks or during this one; ``changed_since_scan``, of a
                file that is not the one on record.
        """
        before = self._looked_at(path, sha256)
        with steady(path, before):
            yield

    def sha256(self, path: Path) -> str:
        """Of a file's bytes, which are read once as long as the file stays as it is.

        Raises:
            AudioError: it cannot be read, or was changed meanwhile.
        """
        before = stamp(path)
        known = self._sha256s.get(path)
        if known is not None and known[0] == before:
            return known[1]
        with steady(path, before), of_one_file(path):
            found = file_sha256(path)
        if before is not None:
            self._sha256s[path] = before, found
        return found

    def _looked_at(self, path: Path, sha256: str | None) -> Stamp | None:
        now, known = stamp(path), self._stamps.get(path)
        if now is None or now == known:
            return now
        hashed = self._sha256s.get(path)
        earlier = known or (hashed[0] if hashed else None)
        if sha256 is None:
            _check(path, earlier)
        elif self.sha256(path) != sha256:
            _check(path, earlier)
            raise AudioError(path, SINCE_SCAN, "its checksum is not the one on record: scan it anew")
        self._stamps[path] = now  # if it was touched, it still is the same
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
