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
"""Maximum number of workers; 0: files are decoded in this process, which a crash ends."""

MEMORY = 2 << 30
"""Maximum memory of a worker in bytes."""

PATIENCE = 60.0
"""Maximum time in seconds for an answer of a worker, for a file of 0 bytes."""
PATIENCE_BYTES = 5e6
"""Bytes of a file that add a second to this time: some files must be read completely."""

START_SECONDS = 60.0

WORTH_A_START = 1.0
"""Total time in seconds that threads must wait for workers before another one is started, which takes about 0.2 s."""

_LOG = logging.getLogger("stemclean.audio")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from stemclean.audio import decoders, worker; "
    "worker.serve(int(sys.argv[2]), int(sys.argv[3]), decoders.decoder_of)"
)


def open_decoder(path: Path, stream: int = 0) -> Decoder:
    """Return the decoder for a file, after the checks that need no decoding.

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
    """No worker process can be started."""


class _DeadError(Exception):
    """The worker died while it handled this request; ``str`` says how."""


class _GoneError(Exception):
    """The worker had died before this request, so another worker can handle it."""


class _Remote:
    """A :class:`stemclean.audio.stream.Decoder` in a worker."""

    def __init__(self, path: Path, stream: int) -> None:
        self.path = path
        self._stream = stream
        self._absolute_path = os.path.abspath(path)  # noqa: PTH100  a worker may have another working directory; links are kept
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
        """Yield samples ``start`` to ``stop``; each chunk is overwritten by the next one."""
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
            request = message | {"path": self._absolute_path, "number": self._number, "slot": self._slot}
            answer, samples = self._worker.ask(request, self._seconds)
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
    """A process that decodes files."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.num_open = 0
        self.waited = 0.0  # seconds that threads have waited for this worker
        self._unclosed: deque[int] = deque()  # files to be closed at the next request
        self._ready = False
        # Decoders do not need the threads of OpenBLAS, each of which takes memory.
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
        self._requests = cast("RawIOBase", self._process.stdin)
        self._answers = cast("RawIOBase", self._process.stdout)
        _widen(self._answers)
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll:
            self._poll.register(self._answers, select.POLLIN)

    def is_alive(self) -> bool:
        """Return whether the worker is running."""
        return not self._requests.closed and self._process.returncode is None and self._process.poll() is None

    def ask(self, message: dict[str, Any], seconds: float) -> tuple[dict[str, Any], np.ndarray]:
        """Send a request and wait for the answer.

        Raises:
            _DeadError: the worker died while it handled the request.
            _GoneError: the worker had died before.
            _NoWorkerError: the worker could not be started.
        """
        if not self.lock.acquire(blocking=False):
            began = time.monotonic()
            self.lock.acquire()
            self.waited += time.monotonic() - began
        try:
            self._wait_until_ready()
            self._close_files()  # as a separate request, so that a crash is not attributed to this file
            if not self.is_alive():  # another file crashed it while this thread waited
                self.release()
                raise _GoneError
            return self._exchange(message, seconds)
        finally:
            self.lock.release()

    def slot(self) -> int:
        """Reserve a slot of the shared memory for a file and return its index; -1 if none is free."""
        try:
            return self._slots.pop(0)
        except IndexError:
            return -1

    def _exchange(self, message: dict[str, Any], seconds: float) -> tuple[dict[str, Any], np.ndarray]:
        sent = False
        try:
            send(self._requests, message | {"seconds": seconds})
            sent = True
            self._wait(seconds + 10)
            answer, content = receive(self._answers)
            if self._shared is not None and answer.get("shared"):
                begin, size = message["slot"] * SLOT_VALUES * 4, math.prod(answer["shape"])
                samples = np.frombuffer(self._shared, np.float32, size, begin)
            else:
                samples = content.view(np.float32)
            return answer, samples.reshape(answer["shape"]) if answer.get("shape") else samples
        except (EOFError, OSError):
            cause = self._cause_of_death(seconds)
            raise (_DeadError(cause) if sent else _GoneError(cause)) from None
        except BaseException:  # interrupted: nobody will read the answer
            self.kill()
            raise

    def _close_files(self) -> None:
        """Close files that are no longer needed; if that crashes the worker, no file fails."""
        closed = []
        while self._unclosed:
            closed.append(self._unclosed.popleft())
        self.num_open -= len(closed)
        if closed and self.is_alive():
            with contextlib.suppress(_DeadError, _GoneError):
                self._exchange({"do": "close", "path": "", "close": closed}, PATIENCE)

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            self._wait(START_SECONDS)
            receive(self._answers)
        except (EOFError, OSError, ValueError) as error:
            self.kill()
            raise _NoWorkerError(f"{sys.executable} ended at once ({type(error).__name__})") from None
        self._ready, self.waited = True, 0.0  # waiting for the start does not count

    def _wait(self, seconds: float) -> None:
        """Wait until an answer begins. Raises EOFError if none begins in time."""
        if self._poll and not self._poll.poll(seconds * 1000):
            raise EOFError

    def _cause_of_death(self, seconds: float) -> str:
        """Kill the worker if it is still running, and return what it died of."""
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
        """Close a file in the worker, at once or with its next request."""
        self._unclosed.append(number)
        if slot >= 0:
            self._slots.insert(0, slot)
        if not self.lock.acquire(blocking=False):  # in use by any thread, even this one (garbage collection)
            return
        try:
            if self._ready:
                self._close_files()
        finally:
            self.lock.release()

    def kill(self) -> None:
        """Kill the worker."""
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self.release()

    def release_if_idle(self) -> None:
        """Release the resources of a dead worker; a thread that is waiting for its answer releases them itself."""
        if self.lock.acquire(blocking=False):
            self.release()
            self.lock.release()

    def stop(self) -> None:
        """Let the worker finish, and kill it if it does not."""
        with contextlib.suppress(OSError):
            self._requests.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self.kill()
        self.release()

    def release(self) -> None:
        """Close the pipes and the memory that this process shares with the worker."""
        for file in (self._requests, self._answers, self._printed):
            with contextlib.suppress(OSError):
                file.close()
        if self._shared is not None:
            with contextlib.suppress(BufferError):  # a chunk is still in use
                self._shared.close()

    def forget(self) -> None:
        """Release the worker in a forked process, because it belongs to the parent."""
        self.release()
        self._process.returncode, self._ready = 0, True
        self.lock = threading.Lock()


class _State:
    """The workers of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.workers: list[_Worker] = []
        self.broken = False

    def worker(self) -> _Worker:
        """Return the least busy worker. Start a new one if all are busy, there may be more, and threads have waited."""
        with self.lock:
            for worker in [worker for worker in self.workers if not worker.is_alive()]:
                self.workers.remove(worker)
                worker.release_if_idle()
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
        """Reset in a forked process; the lock may be held by a thread that does not exist in it."""
        for worker in self.workers:
            worker.forget()
        self.lock, self.workers = threading.Lock(), []


def _shared_memory() -> tuple[int, mmap.mmap | None]:
    """Return the descriptor and the mapping of memory to share with a worker; (-1, None) if that is not possible."""
    if os.name != "posix":
        return -1, None
    try:
        descriptor = _nameless_file()
    except OSError:  # neither a temporary folder nor memory for a file
        return -1, None
    try:
        os.ftruncate(descriptor, SHARED)
        return descriptor, mmap.mmap(descriptor, SHARED)
    except OSError:  # the size of files is limited
        os.close(descriptor)
        return -1, None


def _file_for_prints() -> IO[bytes]:
    """Return a file for the output of a worker; the null device if no file can be created."""
    try:
        return os.fdopen(_nameless_file(), "r+b")
    except OSError:
        return open(os.devnull, "r+b")


def _nameless_file() -> int:
    """Return the descriptor of an anonymous file, in memory if the system supports it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("stemclean")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _widen(pipe: RawIOBase) -> None:
    """Enlarge the buffer of a pipe to the size of a chunk if the system supports it."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _log(path: Path, output: str) -> None:
    """Log the output of a decoder about a file; equal lines are logged once."""
    for line in output.splitlines():
        text = visible(line.strip())
        if text and (path, text) not in _logged:
            if len(_logged) < 10_000:
                _logged.add((path, text))
            _LOG.warning("%s: %s", visible(str(path)), text)  # programs that use stemclean may print its log


_logged: set[tuple[Path, str]] = set()
_NUMBERS = itertools.count()
_state = _State()
atexit.register(_state.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_state.forget)
