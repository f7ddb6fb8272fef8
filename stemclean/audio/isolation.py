"""Decode files in separate processes, so that a file that crashes a decoder affects no other file.

:func:`open_decoder` returns a decoder like those of :mod:`stemclean.audio.decoders`; the work is done by one of a few
workers (:mod:`stemclean.audio.worker`), which are started when they are first needed. A worker that dies, does not
answer in time or exceeds the memory limit of a file is replaced. The file that it was reading fails as
``decoder_crashed``; other files that it had open are reopened at their positions. The output of decoders, which would
disturb reports, is logged with the name of the file (logger ``stemclean.audio``).

A forked process has its own workers. Workers end with the process that started them, however it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import logging
import math
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, Self, cast

import numpy as np

from stemclean.audio.stream import AudioInfo, Decoder
from stemclean.audio.waveform import Waveform
from stemclean.audio.worker import SHARED, SLOT_VALUES, SLOTS, receive, send
from stemclean.errors import AudioError, SkipReason, visible

__all__ = ["open_decoder"]

MAX_WORKERS = min(32, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
"""Workers at a time; 0: files are decoded in this process, crashes and all."""

MEMORY = 2 << 30
"""Bytes that a worker may have."""

PATIENCE = 60.0
"""Seconds that an answer may take, and as many more as the file has pieces of 5 MB: some must be read whole."""
PATIENCE_BYTES = 5e6

START_SECONDS = 60.0

WORTH_A_START = 1.0
"""Seconds that threads must have waited for workers, together, before there is one more; its start takes some 0.2 s."""

_LOG = logging.getLogger("stemclean.audio")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from stemclean.audio import decoders, worker; "
    "worker.serve(int(sys.argv[2]), int(sys.argv[3]), decoders.decoder_of)"
)


def open_decoder(path: Path, stream: int = 0) -> Decoder:
    """The decoder that reads a file, after the checks that cost no decoding.

    Raises:
        AudioError: as :func:`stemclean.audio.decoders.decoder_of`; ``decoder_crashed``, ``unexpected_error``.
    """
    if MAX_WORKERS and not _state.broken:
        try:
            return _Remote(path, stream)
        except _NoWorkerError as error:
            _state.give_up(error)
    return _decoder_here(path, stream)


def _decoder_here(path: Path, stream: int) -> Decoder:
    """Return a decoder that runs in this process."""
    from stemclean.audio.decoders import decoder_of

    return decoder_of(path, stream)


class _NoWorkerError(Exception):
    """No process can be started here."""


class _DeadError(Exception):
    """The worker died of what it was asked; ``str`` says how."""


class _GoneError(Exception):
    """The worker was dead before it was asked: another one may be."""


class _Remote:
    """A :class:`stemclean.audio.stream.Decoder` in a worker."""

    def __init__(self, path: Path, stream: int) -> None:
        self.path = path
        self._stream = stream
        self._place = os.path.abspath(path)  # noqa: PTH100  a worker may be in another folder; links are kept
        self._seconds = PATIENCE
        with contextlib.suppress(OSError, ValueError):
            self._seconds += os.stat(path).st_size / PATIENCE_BYTES  # noqa: PTH116  a name may hold a NUL
        self.info = self._opened()

    def _opened(self) -> AudioInfo:
        while True:
            self._worker = _state.worker()
            self._number = next(_NUMBERS)
            self._slot = -1
            with contextlib.suppress(_GoneError):
                answer, _ = self._ask({"do": "open", "stream": self._stream})
                break
        self._worker.num_open += 1
        self._slot = self._worker.slot()
        return AudioInfo(**answer["info"] | {"titles": tuple(answer["info"]["titles"])})

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        """Samples ``start`` to ``stop``; a chunk is overwritten by the next one."""
        at = start
        span: list[int] | None = [start, stop]
        while True:
            try:
                answer, samples = self._ask({"do": "read", "span": span})
            except _GoneError:  # another file crashed the worker
                try:
                    self._opened()
                except _NoWorkerError as error:
                    _state.give_up(error)
                    with _decoder_here(self.path, self._stream) as decoder:
                        yield from decoder.chunks(at, stop)
                    return
                span = [at, stop]
                continue
            if answer["shape"] is None:
                return
            at, span = at + samples.shape[1], None
            yield samples

    def _ask(self, message: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
        try:
            asked = message | {"path": self._place, "number": self._number, "slot": self._slot}
            answer, samples = self._worker.ask(asked, self._seconds)
        except _DeadError as death:
            raise AudioError(self.path, SkipReason.DECODER_CRASHED, str(death)) from None
        if answer.get("printed"):
            _log(self.path, answer["printed"])
        if "error" in answer:
            reason, detail = answer["error"]
            raise AudioError(self.path, SkipReason[reason.upper()], detail)
        return answer, samples

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close(self._number, self._slot)
        self._slot = -1


class _Worker:
    """A process that decodes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.num_open = 0
        self.waited = 0.0  # seconds, for it to be free
        self._unclosed: deque[int] = deque()  # by threads that could not wait
        self._ready = False
        # Sums of a decoder need no threads, and each thread of OpenBLAS counts as memory.
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._printed = _file_for_prints()
        descriptor, self._shared = _shared_memory()
        self._slots = [] if self._shared is None else list(range(SLOTS))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path), str(MEMORY), str(descriptor)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._printed,
                pass_fds=(descriptor,) if descriptor >= 0 else (),
                bufsize=0,
                env=environment,
            )
        except (OSError, ValueError) as error:
            self._printed.close()
            raise _NoWorkerError(error) from None
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        self._to = cast("RawIOBase", self._process.stdin)
        self._from = cast("RawIOBase", self._process.stdout)
        _widen(self._from)
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll:
            self._poll.register(self._from, select.POLLIN)

    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return not self._to.closed and self._process.returncode is None and self._process.poll() is None

    def ask(self, message: dict[str, Any], seconds: float) -> tuple[dict[str, Any], np.ndarray]:
        """Ask, and wait for the answer.

        Raises:
            _DeadError: it died of it.
            _GoneError: it was dead before.
            _NoWorkerError: it never began.
        """
        if not self.lock.acquire(blocking=False):
            began = time.monotonic()
            self.lock.acquire()
            self.waited += time.monotonic() - began
        try:
            self._wait_until_ready()
            self._close_waiting()  # apart, so that a crash in it is not this file's
            if not self.is_alive():  # it died of another file, while this thread waited for its turn
                self.let_go()
                raise _GoneError
            return self._asked(message, seconds)
        finally:
            self.lock.release()

    def slot(self) -> int:
        """A slot of the shared memory for a file; -1: none is free."""
        try:
            return self._slots.pop(0)
        except IndexError:
            return -1

    def _asked(self, message: dict[str, Any], seconds: float) -> tuple[dict[str, Any], np.ndarray]:
        sent = False
        try:
            send(self._to, message | {"seconds": seconds})
            sent = True
            self._wait(seconds + 10)
            answer, content = receive(self._from)
            if self._shared is not None and answer.get("shared"):
                begin, size = message["slot"] * SLOT_VALUES * 4, math.prod(answer["shape"])
                samples = np.frombuffer(self._shared, np.float32, size, begin)
            else:
                samples = content.view(np.float32)
            return answer, samples.reshape(answer["shape"]) if answer.get("shape") else samples
        except (EOFError, OSError):
            cause = self._buried(seconds)
            raise (_DeadError(cause) if sent else _GoneError(cause)) from None
        except BaseException:  # interrupted: the answer will never be read
            self.kill()
            raise

    def _close_waiting(self) -> None:
        """Close in it what is not needed any more; nobody minds if it dies of that."""
        closed = []
        while self._unclosed:
            closed.append(self._unclosed.popleft())
        self.num_open -= len(closed)
        if closed and self.is_alive():
            with contextlib.suppress(_DeadError, _GoneError):
                self._asked({"do": "close", "path": "", "close": closed}, PATIENCE)

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            self._wait(START_SECONDS)
            receive(self._from)
        except (EOFError, OSError, ValueError) as error:
            self.kill()
            raise _NoWorkerError(f"{sys.executable} ended at once ({type(error).__name__})") from None
        self._ready, self.waited = True, 0.0  # that was the start

    def _wait(self, seconds: float) -> None:
        """Wait for an answer to begin. Raises EOFError where none does."""
        if self._poll and not self._poll.poll(seconds * 1000):
            raise EOFError

    def _buried(self, seconds: float) -> str:
        """Make sure that it is dead; what it died of."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.returncode
        self.kill()
        if code is None or code == -getattr(signal, "SIGALRM", 0):
            return f"the decoder gave no answer within {seconds:.0f} s"
        if code < 0:
            try:
                return f"the decoder was ended by {signal.Signals(-code).name}"
            except ValueError:
                return f"the decoder was ended by signal {-code}"
        return f"the decoder ended with exit code {code}"

    def close(self, number: int, slot: int) -> None:
        """Close a file in it; at once, or when it is next asked."""
        self._unclosed.append(number)
        if slot >= 0:
            self._slots.insert(0, slot)
        if not self.lock.acquire(blocking=False):  # another thread asks, or this one: garbage is collected anywhere
            return
        try:
            if self._ready:
                self._close_waiting()
        finally:
            self.lock.release()

    def kill(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self.let_go()

    def bury(self) -> None:
        """Clear away what died between two questions; who is asking now does that himself."""
        if self.lock.acquire(blocking=False):
            self.let_go()
            self.lock.release()

    def stop(self) -> None:
        """End it when it has nothing to do."""
        with contextlib.suppress(OSError):
            self._to.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self.kill()
        self.let_go()

    def let_go(self) -> None:
        """Close what this process holds of it."""
        for file in (self._to, self._from, self._printed):
            with contextlib.suppress(OSError):
                file.close()
        if self._shared is not None:
            with contextlib.suppress(BufferError):  # a chunk is still looked at
                self._shared.close()

    def forget(self) -> None:
        """It is another process's, which this one was forked from."""
        self.let_go()
        self._process.returncode, self._ready = 0, True
        self.lock = threading.Lock()


class _State:
    """The workers of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.workers: list[_Worker] = []
        self.broken = False

    def worker(self) -> _Worker:
        """The least busy worker; a new one where all are at work, there may be more, and it is worth its start."""
        with self.lock:
            for worker in [worker for worker in self.workers if not worker.is_alive()]:
                self.workers.remove(worker)
                worker.bury()
            idle = [worker for worker in self.workers if not worker.lock.locked()]
            waited = sum(worker.waited for worker in self.workers)
            if not self.workers or (not idle and len(self.workers) < MAX_WORKERS and waited >= WORTH_A_START):
                for worker in self.workers:
                    worker.waited = 0.0
                self.workers.append(_Worker())
                return self.workers[-1]
            return min(idle or self.workers, key=lambda worker: worker.num_open)

    def give_up(self, error: Exception) -> None:
        """Decode in this process from now on, because no worker can be started."""
        self.broken = True
        _LOG.warning("no worker process can be started (%s): a file that crashes a decoder will end the run", error)

    def stop(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.stop()
        self.workers = []

    def forget(self) -> None:
        """Begin anew in a process that was forked; the lock may be held by a thread that is not here."""
        for worker in self.workers:
            worker.forget()
        self.lock, self.workers = threading.Lock(), []


def _shared_memory() -> tuple[int, mmap.mmap | None]:
    """Memory that a worker may share, and its descriptor; (-1, None) where the system has none to inherit."""
    if os.name != "posix":
        return -1, None
    try:
        descriptor = _nameless_file()
    except OSError:  # no place for temporary files, and no memory to take for one
        return -1, None
    try:
        os.ftruncate(descriptor, SHARED)
        return descriptor, mmap.mmap(descriptor, SHARED)
    except OSError:  # the size of files is limited
        os.close(descriptor)
        return -1, None


def _file_for_prints() -> IO[bytes]:
    """A file for what a worker prints; nowhere, where no file can be made."""
    try:
        return os.fdopen(_nameless_file(), "r+b")
    except OSError:
        return open(os.devnull, "r+b")


def _nameless_file() -> int:
    """The descriptor of a file without a name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("stemclean")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _widen(pipe: RawIOBase) -> None:
    """Let a pipe hold a chunk, where the system can."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _log(path: Path, printed: str) -> None:
    """Log what a decoder printed about a file, once."""
    for line in printed.splitlines():
        text = visible(line.strip())
        if text and (path, text) not in _logged:
            if len(_logged) < 10_000:
                _logged.add((path, text))
            _LOG.warning("%s: %s", visible(str(path)), text)  # other programs may print our log, too


_logged: set[tuple[Path, str]] = set()
_NUMBERS = itertools.count()
_state = _State()
atexit.register(_state.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_state.forget)
