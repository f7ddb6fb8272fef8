"""Check that a manifest is valid and that its files are there: the ``validate`` verb."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stemclean import manifest
from stemclean.audio import files
from stemclean.disk import file_sha256
from stemclean.errors import AudioError, SkipReason, of_one_file
from stemclean.manifest import Manifest, Stem
from stemclean.running import Running

__all__ = ["validate"]

Failure = dict[str, str]
UNKNOWN_STEM = "unknown_stem"


def validate(
    path: str | Path, *, audio: bool = True, checksums: bool = False, running: Running = Running()
) -> dict[str, Any]:
    """Check a manifest: its schema, and the files that it names.

    Args:
        path: the manifest.
        audio: read the header of every file, and compare it with the manifest. Otherwise only the manifest is checked.
        checksums: also read all files, and compare their checksums.
        running: workers and progress.

    Returns:
        ``stems``: number of stems; ``seconds``: their total duration; ``checked``: ``manifest``, ``headers`` or
        ``checksums``; ``failures``: files that are missing, differ or cannot be read, and references to stems that do
        not exist, each with ``path``, ``reason`` and ``detail``.

    Raises:
        ManifestError: the manifest does not follow the schema; the message contains the address of the flaw.
    """
    path = Path(path)
    read = manifest.read(path)
    folder = read.folder(path)
    failures = list(_dangling(read))
    if audio or checksums:
        with ThreadPoolExecutor(running.workers) as threads:
            found = threads.map(lambda stem: _of_files(stem, folder, checksums), read.stems)
            shown = tqdm(found, "validate", len(read.stems), unit="stem", disable=True if running.quiet else None)
            failures += [failure for of_stem in shown for failure in of_stem]
    return {
        "stems": len(read.stems),
        "seconds": round(sum(stem.duration for stem in read.stems), 3),
        "checked": "checksums" if checksums else "headers" if audio else "manifest",
        "failures": failures,
    }


def _dangling(read: Manifest) -> Iterator[Failure]:
    """Yield the references to stems that the manifest does not have."""
    known = {stem.id for stem in read.stems}
    for stem in read.stems:
        sources = [("crosstalk", bleed.stem) for bleed in stem.crosstalk or ()]
        for name, other in [*sources, *([("same_sound", stem.same_sound)] if stem.same_sound else [])]:
            if other not in known:
                yield _failure(stem.path, UNKNOWN_STEM, f'{name} names "{other}", which is no stem of the manifest')


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
