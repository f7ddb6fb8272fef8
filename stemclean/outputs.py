"""What a run may write over: a file of ours, and that alone, as long as no other run is writing it."""

from __future__ import annotations

import errno
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

from stemclean.disk import short, sweep, writing
from stemclean.errors import ConfigError
from stemclean.stopping import tidily

__all__ = ["only_writer", "only_writer_of", "refuse_foreign"]

_held: set[Path] = set()
"""Locks of this process, which the system would give it twice."""
_guard = threading.Lock()


@contextmanager
def only_writer(output: str | Path, *, folder: bool = False, also: Sequence[str | Path] = ()) -> Iterator[None]:
    """Be the only run that writes an output, and take away what killed ones left unfinished there.

    It holds a lock on a hidden file, in the folder or beside the file, which the system gives up when the process
    dies, however that happens; forked workers do not keep it. Of the processes that ``torchrun`` starts, the first one
    holds it for all. Missing folders are made, and go again if nothing was put there. Disks that know no locks are used
    without.

    Args:
        output: a file, or with ``folder`` a folder whose files all are the run's.
        also: more folders that the run writes to.

    Raises:
        ConfigError: another run is writing there.
        OutputError: the place cannot be written to.
    """
    output = Path(output)
    if int(os.environ.get("RANK") or 0) > 0:
        with tidily():
            yield
        return
    if folder and output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is a file, and a folder is needed", "name a folder, one that is new")
    place = output if folder else output.parent
    lock = place / (".stemclean.lock" if folder else f".{short(output.name)}.stemclean.lock")
    made = [parent for parent in (place, *place.parents) if not parent.exists()]
    with writing(lock if place.exists() else place):
        place.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(lock, output), tidily():
            sweep(place, deep=folder)
            for other in also:
                sweep(other, deep=True)
            yield
    finally:
        for parent in made:
            with suppress(OSError):  # something is in it now
                parent.rmdir()


@contextmanager
def only_writer_of(*outputs: str | Path | None) -> Iterator[None]:
    """Be the only run that writes some files, as :func:`only_writer` of each; those that are None do not count.

    Raises:
        ConfigError: another run is writing one of them, or one is named twice.
        OutputError: a place cannot be written to.
    """
    named = [Path(output) for output in outputs if output is not None]
    twice = [output for output in named if [other.resolve() for other in named].count(output.resolve()) > 1]
    if twice:
        raise ConfigError(f"{twice[0]} is named for two outputs", "name two files")
    with ExitStack() as stack:
        for output in named:
            stack.enter_context(only_writer(output))
        yield


def refuse_foreign(path: Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """Refuse to write over a file that is not what a run of ours wrote; an empty one is nobody's.

    Args:
        is_ours: tells by the content; may raise :class:`OSError` and :class:`ValueError`, which say no.
        what: is expected there, as in ``manifest of stemclean``.

    Raises:
        ConfigError: there is such a file, or a folder.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: this is a folder", f"name a file in it: {path / 'NAME'}{path.suffix}")
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        ours = is_ours(path)
    except (OSError, ValueError):
        ours = False
    if not ours:
        hint = "it would be overwritten: give another name, or take the file away first"
        raise ConfigError(f"{path} is there already, and it is no {what}", hint)


@contextmanager
def _locked(lock: Path, output: Path) -> Iterator[None]:
    key = lock.resolve()
    with _guard:
        if key in _held:
            raise _refused(output, str(os.getpid()))
        _held.add(key)
    try:
        with writing(output, also=lock):
            file = _opened(lock, output)
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()
            file.close()
    finally:
        with _guard:
            _held.discard(key)


def _opened(lock: Path, output: Path) -> FileIO:
    """The lock's file, locked for this process and none that is forked from it."""
    while True:
        file = lock.open("a+b", buffering=0)
        try:
            _lock(file)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                file.seek(0)
                holder = (file.read(200) or b"").decode(errors="replace").strip()
                file.close()
                raise _refused(output, holder) from None
        if lock.exists() and os.path.samestat(lock.stat(), os.fstat(file.fileno())):
            with suppress(OSError):  # who holds it is a courtesy, for which a disk may have no room
                file.truncate(0)
                file.write(f"{os.getpid()} on {platform.node()}\n".encode())
            return file
        file.close()  # the run that had it ended just now, and took it away


def _lock(file: FileIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refused(output: Path, holder: str) -> ConfigError:
    who = f" (process {holder})" if holder else ""
    return ConfigError(f"{output}: another run is writing it{who}", "wait until it ends, or name another output")
