"""Check that a manifest is valid and that its files are there: the ``validate`` verb."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from stemclean import gate
from stemclean.audio import files
from stemclean.disk import file_sha256
from stemclean.errors import AudioError, SkipReason, of_one_file
from stemclean.manifest import Stem
from stemclean.manifest_chunks import Chunk, Ids, in_chunks
from stemclean.running import Running

__all__ = ["validate"]

Failure = dict[str, str]
UNKNOWN_STEM = "unknown_stem"
MOST_PENDING = 10_000
"""References to stems that come later in the manifest, up to which they are kept without another look."""


def validate(
    path: str | Path,
    *,
    audio: bool = True,
    checksums: bool = False,
    fail_on: Sequence[str] = (),
    running: Running = Running(),
) -> dict[str, Any]:
    """Check a manifest: its schema, and the files that it names.

    A ``.jsonl`` is read line by line, a large one by several processes.

    Args:
        path: the manifest.
        audio: read the header of every file, and compare it with the manifest. Otherwise only the manifest is checked.
        checksums: also read all files, and compare their checksums.
        fail_on: conditions, see :mod:`stemclean.gate`.
        running: workers and progress.

    Returns:
        ``stems``: number of stems; ``seconds``: their total duration; ``checked``: ``manifest``, ``headers`` or
        ``checksums``; ``failures``: files that are missing, differ or cannot be read, and references to stems that do
        not exist, each with ``path``, ``reason`` and ``detail``; ``failed_on``: stems that meet a condition, see
        :func:`stemclean.gate.failing`.

    Raises:
        ConfigError: there is no such condition.
        ManifestError: the manifest does not follow the schema; the message contains the address of the flaw.
    """
    path = Path(path)
    gate.check(fail_on)
    checked = "checksums" if checksums else "headers" if audio else "manifest"
    work = partial(_of_chunk, checked=checked, fail_on=fail_on, threads=running.workers)
    known, seconds, failures, references = Ids(path), 0.0, list[Failure](), list[_Reference]()
    failed_on: list[dict[str, Any]] = []
    for found in in_chunks(path, work, processes=running.workers, title="validate", quiet=running.quiet):
        known.add(found.ids)
        seconds += found.seconds
        failures += found.failures
        references += found.references
        failed_on += found.failed_on
        if len(references) > MOST_PENDING:
            references = [reference for reference in references if reference.stem not in known]
    dangling = [reference.failure() for reference in references if reference.stem not in known]
    return {
        "stems": len(known),
        "seconds": round(seconds, 3),
        "checked": checked,
        "failures": [*dangling, *failures],
        "failed_on": failed_on,
    }


@dataclass(frozen=True, slots=True)
class _Reference:
    """A stem that another stem names.

    Args:
        path: file of the stem that names it.
        field: where.
        stem: its id.
    """

    path: str
    field: str
    stem: str

    def failure(self) -> Failure:
        """Return what is wrong with it if there is no such stem."""
        detail = f'{self.field} names "{self.stem}", which is no stem of the manifest'
        return _failure(self.path, UNKNOWN_STEM, detail)


@dataclass
class _Found:
    """What was found in a chunk: address and id of its stems, their duration, failures, references, failing stems."""

    ids: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    references: list[_Reference] = field(default_factory=list)
    failed_on: list[dict[str, Any]] = field(default_factory=list)


def _of_chunk(chunk: Chunk, checked: str, fail_on: Sequence[str], threads: int | None) -> _Found:
    found, stems = _Found(), []
    for address, _, stem in chunk.stems():
        found.ids.append((address, stem.id))
        found.references += _references(stem)
        stems.append(stem)
    here = {identity for _, identity in found.ids}
    found.references = [reference for reference in found.references if reference.stem not in here]
    found.seconds = sum(stem.duration for stem in stems)
    found.failed_on = gate.failing(stems, fail_on)
    if checked != "manifest":
        folder = chunk.header.folder(chunk.path)
        with ThreadPoolExecutor(threads) as pool:
            of_files = pool.map(lambda stem: _of_files(stem, folder, checked == "checksums"), stems)
            found.failures = [failure for of_stem in of_files for failure in of_stem]
    return found


def _references(stem: Stem) -> Iterator[_Reference]:
    for bleed in stem.crosstalk or ():
        yield _Reference(stem.path, "crosstalk", bleed.stem)
    if stem.same_sound:
        yield _Reference(stem.path, "same_sound", stem.same_sound)


def _of_files(stem: Stem, folder: Path, checksums: bool) -> list[Failure]:
    """Return what is wrong with the files of a stem."""
    failures = []
    try:
        with of_one_file(folder / stem.path):
            info = files.probe(folder / stem.path, stem.stream)
            expected = (stem.sample_rate, stem.channels, stem.num_samples)
            actual = (info.sample_rate, info.channels, info.num_samples)
            if actual != expected:
                detail = f"{_shape(*actual)} in the file, {_shape(*expected)} in the manifest"
                failures.append(_failure(stem.path, SkipReason.CHANGED_SINCE_SCAN, detail))
            elif checksums and stem.sha256 and file_sha256(folder / stem.path) != stem.sha256:
                failures.append(_failure(stem.path, SkipReason.CHANGED_SINCE_SCAN, "the checksum differs"))
    except AudioError as error:
        failures.append(_failure(stem.path, error.reason, error.detail))
    if stem.f0:
        f0 = folder / stem.f0.path
        if not f0.is_file():
            failures.append(_failure(stem.f0.path, SkipReason.NOT_FOUND, f"the f0 of {stem.id}"))
        elif checksums and stem.f0.sha256 and file_sha256(f0) != stem.f0.sha256:
            detail = f"the checksum of the f0 of {stem.id} differs"
            failures.append(_failure(stem.f0.path, SkipReason.CHANGED_SINCE_SCAN, detail))
    return failures


def _failure(path: str, reason: str, detail: str) -> Failure:
    return {"path": path, "reason": reason, "detail": detail}


def _shape(sample_rate: int, channels: int, num_samples: int) -> str:
    return f"{num_samples} samples, {channels} channel{'s' * (channels != 1)}, {sample_rate} Hz"
