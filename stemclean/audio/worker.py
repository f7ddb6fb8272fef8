"""The other side of :mod:`stemclean.audio.isolation`: a process that opens files and decodes them when it is asked.

It imports neither torch nor a command line. What the decoders print goes into a file that the parent gave it as its
standard error. It ends when the parent does, when an answer takes too long, or when a file makes it crash.

A message is a header in JSON and, of samples, their bytes: see :func:`send` and :func:`receive`.
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
"""Samples of all channels that are sent at once, at least: a megabyte."""

SLOTS = 4
SLOT_VALUES = 1 << 19
"""A worker shares memory with its parent: slots, each of one open file, of so many samples of all channels. What fits
goes through it, the rest through the pipe."""

SHARED = SLOTS * SLOT_VALUES * 4
"""Bytes of it."""

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
        got = pipe.readinto(content.data[at:])
        if not got:
            raise EOFError
        at += got
    return content


def serve(memory: int, shared: int, decoder_of: Callable[[Path, int], Decoder]) -> None:
    """Answer until the parent is gone. Messages come in on standard input, and answers go out on standard output.

    Args:
        memory: bytes that this process may have at most, where the system can say so.
        shared: descriptor of :data:`SHARED` bytes of memory; -1: there are none.
        decoder_of: :func:`stemclean.audio.decoders.decoder_of`.
    """
    commands = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
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
            asked, _ = receive(commands)
            with _at_most(asked["seconds"]):
                header, parts = server.answer(asked)
                shared = _put(parts, slots, asked.get("slot", -1))
                samples = np.concatenate(parts, axis=1) if parts and not shared else None
            send(answers, header | {"shared": shared, "printed": _printed()}, samples)
    os._exit(0)  # no native library may hang at its end


def _put(parts: list[Waveform], slots: Waveform | None, slot: int) -> bool:
    """Write samples into a slot of the shared memory; return False if they do not fit, or there is no slot."""
    size, length = sum(part.size for part in parts), sum(part.shape[1] for part in parts)
    if not parts or slots is None or slot < 0 or size > SLOT_VALUES:
        return False
    begin = slot * SLOT_VALUES
    samples, at = slots[begin : begin + size].reshape(-1, length), 0
    for part in parts:  # np.concatenate is several times as slow where channels alternate
        samples[:, at : at + part.shape[1]] = part
        at += part.shape[1]
    return True


def _limit(memory: int) -> None:
    """Let a file that asks for too much memory fail, and this process be the first to go where there is none."""
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
    """The C library."""
    return ctypes.CDLL(None)


class _Server:
    """Open files, by number."""

    def __init__(self, decoder_of: Callable[[Path, int], Decoder]) -> None:
        self._decoder_of = decoder_of
        self._open: dict[int, Decoder] = {}
        self._chunks: dict[int, Iterator[list[Waveform]]] = {}

    def answer(self, asked: dict[str, Any]) -> tuple[dict[str, Any], list[Waveform]]:
        """Do what was asked: open, go on reading, close; samples in parts that follow one another."""
        for done in asked.get("close", ()):
            self._close(done)
        path = Path(asked["path"])
        number: int = asked.get("number", -1)
        try:
            if asked["do"] == "open":
                decoder = self._decoder_of(path, asked["stream"])
                self._open[number] = decoder
                return {"info": dataclasses.asdict(decoder.info)}, []
            if asked["do"] == "read":
                if asked["span"] is not None:
                    self._chunks[number] = _gathered(self._open[number], *asked["span"])
                parts = next(self._chunks[number], [])
                shape = [len(parts[0]), sum(part.shape[1] for part in parts)] if parts else None
                return {"shape": shape}, parts
        except AudioError as error:
            return {"error": [error.reason, error.detail]}, []
        except MemoryError:
            return {"error": [SkipReason.DECODER_CRASHED, "it needs more memory than one file may have"]}, []
        except OSError as error:
            return {"error": [SkipReason.UNREADABLE, error.strerror or str(error)]}, []
        except Exception as error:  # noqa: BLE001  whatever it is, it is this file's
            return {"error": [SkipReason.UNEXPECTED_ERROR, f"{type(error).__name__}: {error}"]}, []
        return {}, []

    def _close(self, number: int) -> None:
        self._chunks.pop(number, None)
        decoder = self._open.pop(number, None)
        if decoder is not None:
            with contextlib.suppress(Exception):
                decoder.__exit__()


def _gathered(decoder: Decoder, start: int, stop: int) -> Iterator[list[Waveform]]:
    """The same samples, as many chunks at a time as are worth the way; what comes before an error comes first."""
    least = max(1, CHUNK_VALUES // decoder.info.channels)
    waiting: list[Waveform] = []
    error: Exception | None = None
    chunks = decoder.chunks(start, stop)
    while True:
        try:
            chunk = next(chunks, None)
        except Exception as failed:  # noqa: BLE001  raised below
            chunk, error = None, failed
        if chunk is not None:
            waiting.append(chunk)
        if waiting and (chunk is None or sum(item.shape[1] for item in waiting) >= least):
            yield waiting
            waiting = []
        if error is not None:
            raise error
        if chunk is None:
            return
