"""The worker process of :mod:`stemclean.audio.isolation`, which opens and decodes files on request.

It imports neither torch nor the command-line interface. The output of decoders goes to a file that the parent passes as
standard error. The process ends with its parent, when an answer takes too long, or when a file crashes it.

A message is a header in JSON, followed by the bytes of samples, if any: see :func:`send` and :func:`receive`.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import json
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np

from stemclean.audio.stream import Decoder
from stemclean.audio.waveform import Waveform
from stemclean.errors import AudioError, SkipReason

__all__ = ["receive", "send", "serve"]

CHUNK_VALUES = 1 << 18
"""Minimum number of samples of all channels per message: one megabyte."""

SLOTS = 4
SLOT_VALUES = 1 << 19
"""Size of a slot in samples of all channels. A worker shares memory with its parent, divided into slots for one open
file each. Samples that fit are passed through a slot, others through the pipe."""

SHARED = SLOTS * SLOT_VALUES * 4
"""Size of the shared memory in bytes."""

LENGTHS = struct.Struct("<II")
MAX_PRINTED = 4096  # bytes


def send(pipe: RawIOBase, header: dict[str, Any], payload: Waveform | None = None) -> None:
    """Send a message."""
    text = json.dumps(header).encode()
    content = memoryview(b"") if payload is None else np.ascontiguousarray(payload).data.cast("B")
    _write(pipe, memoryview(LENGTHS.pack(len(text), len(content)) + text))
    _write(pipe, content)


def receive(pipe: RawIOBase) -> tuple[dict[str, Any], np.ndarray]:
    """Wait for a message and return its header and bytes. Raises EOFError if the sender is gone."""
    lengths = _read(pipe, LENGTHS.size)
    num_header, num_content = LENGTHS.unpack(lengths.tobytes())
    header = json.loads(_read(pipe, num_header).tobytes())
    return header, _read(pipe, num_content)


def _write(pipe: RawIOBase, content: memoryview) -> None:
    while content:
        content = content[pipe.write(content) :]


def _read(pipe: RawIOBase, count: int) -> np.ndarray:
    content = np.empty(count, np.uint8)
    at = 0
    while at < count:
        num_read = pipe.readinto(content.data[at:])
        if not num_read:
            raise EOFError
        at += num_read
    return content


def serve(memory: int, shared: int, decoder_of: Callable[[Path, int], Decoder]) -> None:
    """Answer requests until the parent ends. Requests arrive on standard input, answers go to standard output.

    Args:
        memory: maximum memory of this process in bytes, if the system supports a limit.
        shared: descriptor of :data:`SHARED` bytes of shared memory; -1: none.
        decoder_of: :func:`stemclean.audio.decoders.decoder_of`.
    """
    commands = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    with open(os.devnull, "rb") as null:
        os.dup2(null.fileno(), 0)
    for name in ("SIGINT", "SIGHUP", "SIGTERM"):  # the parent decides when to end
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    slots = np.frombuffer(mmap.mmap(shared, SHARED), np.float32) if shared >= 0 else None
    _limit(memory)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    server = _Server(decoder_of)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        send(answers, {"ready": os.getpid()})
        while True:
            request, _ = receive(commands)
            with _at_most(request["seconds"]):
                header, parts = server.answer(request)
                shared = _put(parts, slots, request.get("slot", -1))
                samples = np.concatenate(parts, axis=1) if parts and not shared else None
            send(answers, header | {"shared": shared, "printed": _printed()}, samples)
    os._exit(0)  # skip cleanup, in which native libraries may hang


def _put(parts: list[Waveform], slots: Waveform | None, slot: int) -> bool:
    """Write samples into a slot of the shared memory; return False if they do not fit, or there is no slot."""
    size, length = sum(part.size for part in parts), sum(part.shape[1] for part in parts)
    if not parts or slots is None or slot < 0 or size > SLOT_VALUES:
        return False
    begin = slot * SLOT_VALUES
    samples, at = slots[begin : begin + size].reshape(-1, length), 0
    for part in parts:  # np.concatenate is several times slower for interleaved channels
        samples[:, at : at + part.shape[1]] = part
        at += part.shape[1]
    return True


def _limit(memory: int) -> None:
    """Limit the memory of this process, and make it the first to be killed if the system runs out of memory."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """End this process if the block takes longer than a time limit."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _printed() -> str:
    """Return the output of Python and of libraries since the last answer."""
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        _library().fflush(None)
    try:
        length = os.lseek(2, 0, os.SEEK_CUR)
        if not length:
            return ""
        os.lseek(2, 0, os.SEEK_SET)
        text = os.read(2, MAX_PRINTED)
        os.lseek(2, 0, os.SEEK_SET)
        os.ftruncate(2, 0)
    except OSError:
        return ""
    return text.decode("utf-8", "replace")


@functools.cache
def _library() -> ctypes.CDLL:
    """Return the C library."""
    return ctypes.CDLL(None)


class _Server:
    """Open files, by number."""

    def __init__(self, decoder_of: Callable[[Path, int], Decoder]) -> None:
        self._decoder_of = decoder_of
        self._open: dict[int, Decoder] = {}
        self._chunks: dict[int, Iterator[list[Waveform]]] = {}

    def answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[Waveform]]:
        """Handle a request to open, read or close; return the header and consecutive parts of samples."""
        for closed in request.get("close", ()):
            self._close(closed)
        path = Path(request["path"])
        number: int = request.get("number", -1)
        try:
            if request["do"] == "open":
                decoder = self._decoder_of(path, request["stream"])
                self._open[number] = decoder
                return {"info": dataclasses.asdict(decoder.info)}, []
            if request["do"] == "read":
                if request["span"] is not None:
                    self._chunks[number] = _gathered(self._open[number], *request["span"])
                parts = next(self._chunks[number], [])
                shape = [len(parts[0]), sum(part.shape[1] for part in parts)] if parts else None
                return {"shape": shape}, parts
        except AudioError as error:
            return {"error": [error.reason, error.detail]}, []
        except MemoryError:
            return {"error": [SkipReason.DECODER_CRASHED, "it needs more memory than one file may have"]}, []
        except OSError as error:
            return {"error": [SkipReason.UNREADABLE, error.strerror or str(error)]}, []
        except Exception as error:  # noqa: BLE001  any error is reported as one of this file
            return {"error": [SkipReason.UNEXPECTED_ERROR, f"{type(error).__name__}: {error}"]}, []
        return {}, []

    def _close(self, number: int) -> None:
        self._chunks.pop(number, None)
        decoder = self._open.pop(number, None)
        if decoder is not None:
            with contextlib.suppress(Exception):
                decoder.__exit__()


def _gathered(decoder: Decoder, start: int, stop: int) -> Iterator[list[Waveform]]:
    """Group the chunks of a decoder into larger messages; chunks before an error are sent before it is raised."""
    least = max(1, CHUNK_VALUES // decoder.info.channels)
    group: list[Waveform] = []
    error: Exception | None = None
    chunks = decoder.chunks(start, stop)
    while True:
        try:
            chunk = next(chunks, None)
        except Exception as caught:  # noqa: BLE001  raised below
            chunk, error = None, caught
        if chunk is not None:
            group.append(chunk)
        if group and (chunk is None or sum(item.shape[1] for item in group) >= least):
            yield group
            group = []
        if error is not None:
            raise error
        if chunk is None:
            return
