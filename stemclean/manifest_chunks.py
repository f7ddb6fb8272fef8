"""Work on the stems of a large manifest in chunks, by several processes, without holding the manifest in memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from stemclean import manifest
from stemclean.errors import ManifestError, StemcleanError
from stemclean.manifest import Manifest, Stem
from stemclean.stopping import blocked, tidily, unblock

__all__ = ["Chunk", "Ids", "Loaded", "in_chunks"]

T = TypeVar("T")
Loaded = tuple[Manifest, list[tuple[dict[str, Any], Stem]]]
"""What :func:`stemclean.manifest.read_documents` returns."""

SIZE = 1000
"""Stems in a chunk: a megabyte, so that hardly any time goes into passing chunks between processes."""
LARGE = 50 * 10**6
"""Size of a manifest in bytes from which several processes are worth the second that they take to start."""
AHEAD = 2
"""Chunks per process that wait, so that no process waits for the one that reads."""


class Chunk:
    """Some stems of a manifest; it can be sent to another process.

    Args:
        path: the manifest.
        header: the manifest without its stems.
        lines: lines of a ``.jsonl`` with their numbers; or stems that have been read, as they are written and as
            objects, with their indices.
    """

    def __init__(self, path: Path, header: Manifest, lines: list[tuple[int, Any]]) -> None:
        self.path = path
        self.header = header
        self.lines = lines

    def stems(self) -> Iterator[tuple[str, dict[str, Any], Stem]]:
        """Yield the address of each stem in the manifest, such as ``line 7``, the stem as it is written, and as object.

        Raises:
            ManifestError: a stem breaks a rule; the message contains the address.
        """
        for number, content in self.lines:
            if isinstance(content, str):
                yield f"line {number}", *manifest.stem_of_line(self.path, self.header, number, content)
            else:
                yield f"stems[{number}]", *content


class Ids:
    """The ids of the stems of a manifest, which must differ.

    Args:
        path: the manifest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, identity: str) -> bool:
        return identity in self._known

    def add(self, found: Iterable[tuple[str, str]]) -> None:
        """Add the address and the id of more stems.

        Raises:
            ManifestError: an id occurs twice.
        """
        for address, identity in found:
            if identity in self._known:
                raise ManifestError(
                    f'{self.path}: {address}.id: "{identity}" is also the id of {self._known[identity]}',
                    "remove one of the two stems, or rename it",
                )
            self._known[identity] = address


def in_chunks(
    path: Path,
    work: Callable[[Chunk], T],
    *,
    processes: int | None = None,
    loaded: Loaded | None = None,
    title: str,
    quiet: bool,
) -> Iterator[T]:
    """Yield the result of a function for each chunk of a manifest, in the order of the manifest.

    Args:
        path: a manifest; a ``.jsonl`` is read line by line.
        work: the function. For large manifests, it runs in other processes, to which it must be possible to send it.
        processes: number of processes for large manifests; None: one per core.
        loaded: the content of a ``.json`` that has been read already.
        title: what the progress bar says.
        quiet: show no progress.

    Raises:
        ManifestError: the manifest cannot be read.
        StemcleanError: a process was killed.
    """
    size = path.stat().st_size if path.exists() else 0
    in_bytes = manifest.is_lines(path) and path.suffix != ".gz"
    unit: dict[str, Any] = {"total": size, "unit": "B", "unit_scale": True} if in_bytes else {"unit": "stem"}
    with tqdm(desc=title, disable=True if quiet else None, **unit) as shown:
        chunks = _chunks(path, loaded)

        def counted(results: Iterable[tuple[Chunk, T]]) -> Iterator[T]:
            for chunk, result in results:
                yield result
                shown.update(sum(len(text) for _, text in chunk.lines) if in_bytes else len(chunk.lines))

        if manifest.is_lines(path) and size >= LARGE:
            yield from counted(_by_processes(chunks, work, processes or os.cpu_count() or 1))
        else:
            yield from counted((chunk, work(chunk)) for chunk in chunks)


def _chunks(path: Path, loaded: Loaded | None) -> Iterator[Chunk]:
    if manifest.is_lines(path):
        header = manifest.read_header(path)
        lines: Iterator[tuple[int, Any]] = manifest.lines_of(path)
    else:
        header, documents = loaded or manifest.read_documents(path)
        lines = enumerate(documents)
    slim = header.model_copy(update={"skipped": [], "summary": {}})  # which can be long
    while some := list(islice(lines, SIZE)):
        yield Chunk(path, slim, some)


def _by_processes(chunks: Iterable[Chunk], work: Callable[[Chunk], T], processes: int) -> Iterator[tuple[Chunk, T]]:
    """Yield each chunk with its result, in order."""
    context = multiprocessing.get_context("spawn")
    waiting: deque[tuple[Chunk, Future[T]]] = deque()
    with tidily(), ProcessPoolExecutor(processes, context, _obey) as pool:
        try:
            for chunk in chunks:
                with blocked():  # a Ctrl-C would end a process that has not come to ignore it yet with a traceback
                    future = pool.submit(work, chunk)
                waiting.append((chunk, future))
                if len(waiting) > AHEAD * processes:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        except BrokenProcessPool as error:
            hint = "did memory run out? run the same command again, perhaps with fewer --workers"
            raise StemcleanError("a worker process was killed", hint) from error
        finally:
            for _, future in waiting:
                future.cancel()


def _obey() -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the first one; end with it, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    unblock()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
