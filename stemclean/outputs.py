"""Outputs of a run: only our own files are overwritten, and only by one run at a time."""

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
from stemclean.errors import ConfigError, OutputError
from stemclean.stopping import tidily

__all__ = ["check_writable", "only_writer", "only_writer_of", "refuse_foreign"]

_held: set[Path] = set()
"""Locks of this process, to which the system would grant them again."""
_guard = threading.Lock()


@contextmanager
def only_writer(output: str | Path, *, folder: bool = False, also: Sequence[str | Path] = ()) -> Iterator[None]:
    """Lock an output against other runs, and remove unfinished files that killed runs left there.

    The lock is on a hidden file, in the folder or next to the file. The system releases it when the process ends, in
    whatever way; forked workers do not keep it. Of the processes that ``torchrun`` starts, the first holds it for all.
    Missing folders are created, and removed again if nothing was written to them. File systems without locks are used
    without one.

    Args:
        output: a file, or with ``folder`` a folder whose files all belong to the run.
        also: other folders that the run writes to.

    Raises:
        ConfigError: another run is writing there.
        OutputError: the output cannot be written.
    """
    output = Path(output)
    if int(os.environ.get("RANK") or 0) > 0:
        with tidily():
            yield
        return
    lock = _lock_of(output, folder=folder)
    locked_folder = lock.parent
    created = [parent for parent in (locked_folder, *locked_folder.parents) if not parent.exists()]
    with writing(lock if locked_folder.exists() else locked_folder):
        locked_folder.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(lock, output), tidily():
            sweep(locked_folder, deep=folder)
            for also_folder in also:
                sweep(also_folder, deep=True)
            yield
    finally:
        for parent in created:
            with suppress(OSError):  # it is not empty
                parent.rmdir()


def check_writable(output: str | Path, *, folder: bool = False) -> None:
    """Refuse an output that :func:`only_writer` would refuse, but write nothing, not even a lock.

    Raises:
        ConfigError: another run is writing there, or a folder is a file.
        OutputError: the output cannot be written.
    """
    output = Path(output)
    lock = _lock_of(output, folder=folder)
    above = next(parent for parent in lock.parents if parent.exists())
    if not above.is_dir():
        raise OutputError(lock.parent, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above)))
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(lock.parent, PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(above)))
    if lock.exists():
        if lock.resolve() in _held:
            raise _refused(output, str(os.getpid()))
        with suppress(OSError), lock.open("r+b", buffering=0) as file:
            _lock_or_refuse(file, output)


@contextmanager
def only_writer_of(*outputs: str | Path | None) -> Iterator[None]:
    """Lock several files, as :func:`only_writer` does for one; None is ignored.

    Raises:
        ConfigError: another run is writing one of them, or a file is named twice.
        OutputError: a file cannot be written.
    """
    named = [Path(output) for output in outputs if output is not None]
    twice = [output for output in named if [other.resolve() for other in named].count(output.resolve()) > 1]
    if twice:
        raise ConfigError(f"{twice[0]} is given for two outputs", "name two different files")
    with ExitStack() as stack:
        for output in named:
            stack.enter_context(only_writer(output))
        yield


def refuse_foreign(path: Path, is_ours: Callable[[Path], bool], kind: str) -> None:
    """Refuse to overwrite a file that stemclean did not write; empty files may be overwritten.

    Args:
        is_ours: checks the content; if it raises :class:`OSError` or :class:`ValueError`, that means no.
        kind: of file that is expected, such as ``stemclean manifest``.

    Raises:
        ConfigError: there is another kind of file, or a folder.
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
        hint = "it would be overwritten: choose another name, or remove the file first"
        raise ConfigError(f"{path} already exists and contains no {kind}", hint)


def _lock_of(output: Path, *, folder: bool) -> Path:
    """Return the lock file of an output.

    Raises:
        ConfigError: the output, or the folder that it lies in, is a file.
    """
    if folder and output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is a file, but must be a folder", "name a new folder")
    locked_folder = output if folder else output.parent
    if locked_folder.exists() and not locked_folder.is_dir():
        raise ConfigError(f"{output}: {locked_folder} is a file, not a folder", "choose another place")
    return locked_folder / (".stemclean.lock" if folder else f".{short(output.name)}.stemclean.lock")


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
    """Open the lock file, locked for this process, but not for processes forked from it."""
    while True:
        file = lock.open("a+b", buffering=0)
        _lock_or_refuse(file, output)
        if lock.exists() and os.path.samestat(lock.stat(), os.fstat(file.fileno())):
            with suppress(OSError):  # the name of the holder is optional; the disk may be full
                file.truncate(0)
                file.write(f"{os.getpid()} on {platform.node()}\n".encode())
            return file
        file.close()  # the run that held it has just ended and removed it


def _lock_or_refuse(file: FileIO, output: Path) -> None:
    """Lock the lock file of an output; refuse the output if another process has locked it."""
    try:
        _lock(file)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            file.seek(0)
            holder = (file.read(200) or b"").decode(errors="replace").strip()
            file.close()
            raise _refused(output, holder) from None


def _lock(file: FileIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refused(output: Path, holder: str) -> ConfigError:
    process = f" (process {holder})" if holder else ""
    return ConfigError(f"{output}: another run is writing it{process}", "wait until it ends, or name another output")
