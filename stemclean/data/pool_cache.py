"""Decoded pools on disk: one file of samples each, one index, and a folder that does not grow for ever.

A pool is named by its key. ``KEY.i16`` holds the samples of all its stems one after the other, ``(time, channel)``
int16; ``KEY.json`` says where each stem lies and what could not be decoded. A mapped pool is locked against removal
for as long as the mapping lives, in whatever process.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from stemclean.audio import files
from stemclean.audio.activity import active_regions
from stemclean.audio.waveform import Waveform
from stemclean.disk import FULL, hold, replacing, sweep
from stemclean.errors import AudioError, ConfigError, OutputError, of_one_file
from stemclean.manifest import Stem
from stemclean.units import seconds_to_samples

__all__ = ["DEFAULT_LIMIT_GB", "FULL_SCALE", "cache_folder", "decode", "find", "prune"]

FULL_SCALE = 32767
DEFAULT_LIMIT_GB = 50.0
"""Of the usual cache folder: some 80 hours of stereo at 44.1 kHz."""
BLOCK = 30.0
"""Seconds that are decoded at once."""
HELD_IN_MEMORY = 64_000_000
"""Bytes of a decoded stem that wait in memory for their turn; the rest of a longer stem waits on disk."""
ELSEWHERE = "set XDG_CACHE_HOME to a folder that you may write to, with room for decoded audio"


def cache_folder() -> Path:
    """Where decoded audio is kept: ``$XDG_CACHE_HOME/stemclean`` or ``~/.cache/stemclean``.

    Raises:
        ConfigError: there is neither.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stemclean"
    except RuntimeError:
        raise ConfigError("there is no home folder to keep decoded audio in", ELSEWHERE) from None


def find(folder: Path, key: str, channels: int) -> tuple[dict[str, Any], np.ndarray] | None:
    """A pool's index and its samples, mapped; None where it must be decoded (again).

    Shape:
        ``(time, channel)`` int16, read only.
    """
    audio_path, index_path = _paths(folder, key)
    try:
        index = json.loads(index_path.read_text(encoding="utf-8"))
        with audio_path.open("rb") as file:
            hold(file, exclusive=False)  # the mapping inherits it
            total = sum(place["num_samples"] for place in index["stems"])
            status = os.fstat(file.fileno())
            if status.st_nlink == 0 or status.st_size != total * channels * 2:  # removed just now, or cut off
                return None
            audio = np.memmap(file, np.int16, "r", shape=(total, channels)) if total else np.zeros((0, channels), "i2")
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    with suppress(OSError):  # a cache that is shared may be read only
        os.utime(index_path)  # its last use
    return index, audio


def decode(
    folder: Path,
    key: str,
    stems: Sequence[Stem],
    source: Path,
    *,
    sample_rate: int,
    channels: int,
    workers: int,
    quiet: bool,
) -> None:
    """Decode stems into a pool.

    Args:
        folder: of the cache.
        source: what stem paths are relative to.

    Raises:
        ConfigError: the disk is full or read-only.
    """
    sweep(folder)
    audio_path, index_path = _paths(folder, key)
    places: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    at = 0
    if not quiet and not sys.stderr.isatty():  # where no bar is seen
        tqdm.write(f"decoding {len(stems)} stems into {folder}", file=sys.stderr)
    try:
        with replacing(audio_path) as temporary, temporary.open("wb") as out:
            decoded = _in_order(stems, source, folder, sample_rate, channels, workers)
            for stem, result in tqdm(decoded, "decode", len(stems), unit="stem", disable=True if quiet else None):
                if isinstance(result, AudioError):
                    skipped.append({"path": stem.path, "reason": result.reason, "detail": result.detail})
                    continue
                with result.spool:
                    num_samples, rms = result.pour(out, channels, seconds_to_samples(BLOCK, sample_rate))
                places.append({"id": stem.id, "start": at, "num_samples": num_samples, "rms": rms})
                at += num_samples
        with replacing(index_path) as temporary:
            temporary.write_text(json.dumps({"stems": places, "skipped": skipped}), encoding="utf-8")
    except OutputError as error:
        held = f" after {at * channels * 2 / 1e9:.1f} GB of decoded audio" if error.errno in FULL else ""
        raise ConfigError(f"{error.message}{held}", f"make room, or {ELSEWHERE}") from None


def prune(folder: Path, limit_gb: float) -> list[str]:
    """Remove the pools that were used longest ago until the rest fits; never one that is in use.

    Args:
        limit_gb: for all pools together, in 10^9 bytes.

    Returns:
        The keys of what was removed.
    """
    pools = []
    for audio_path in folder.glob("*.i16"):
        with suppress(OSError):  # another process prunes as well
            index_path = audio_path.with_suffix(".json")
            used = (index_path if index_path.exists() else audio_path).stat().st_mtime
            pools.append((used, audio_path.stat().st_size, audio_path.stem))
    total = sum(size for _, size, _ in pools)
    removed = []
    for _, size, key in sorted(pools):
        if total <= limit_gb * 1e9:
            break
        if _remove(folder, key):
            total -= size
            removed.append(key)
    return removed


def _paths(folder: Path, key: str) -> tuple[Path, Path]:
    return folder / f"{key}.i16", folder / f"{key}.json"


def _remove(folder: Path, key: str) -> bool:
    """Remove a pool, unless a process maps it."""
    audio_path, index_path = _paths(folder, key)
    try:
        with audio_path.open("rb") as file:
            if not hold(file):
                return False
            index_path.unlink(missing_ok=True)
            audio_path.unlink()
    except OSError:  # where files cannot be locked, an open one cannot be removed either
        return False
    return True


def _in_order(
    stems: Sequence[Stem], source: Path, spools: Path, sample_rate: int, channels: int, workers: int
) -> Iterator[tuple[Stem, _Decoded | AudioError]]:
    """Decoded stems in the manifest's order, a few ahead at most."""
    threads = ThreadPoolExecutor(workers)
    waiting: list[Future[_Decoded | AudioError]] = []
    upcoming = iter(stems)
    try:
        for stem in stems:
            for ahead in islice(upcoming, 2 * workers + 1 - len(waiting)):
                waiting.append(threads.submit(_decode, ahead, source, spools, sample_rate, channels))
            yield stem, waiting.pop(0).result()
    finally:
        threads.shutdown(cancel_futures=True)
        for job in waiting:  # of a run that was stopped
            if not job.cancelled() and job.exception() is None and isinstance(left := job.result(), _Decoded):
                left.spool.close()


@dataclass
class _Decoded:
    """A whole stem, waiting for its turn, and what of it is to be kept."""

    spool: IO[bytes]
    regions: Sequence[tuple[int, int]]

    def pour(self, out: IO[bytes], channels: int, block: int) -> tuple[int, float]:
        """Append the kept regions to the pool's file; their samples and their RMS, full scale = 1."""
        num_samples, energy = 0, 0.0
        for start, end in self.regions:
            self.spool.seek(start * channels * 2)
            for at in range(start, end, block):
                piece = self.spool.read(min(block, end - at) * channels * 2)
                out.write(piece)
                samples = np.frombuffer(piece, np.int16).astype(np.float64)
                num_samples += len(samples) // channels
                energy += float(samples @ samples)
        return num_samples, float(np.sqrt(energy / (num_samples * channels))) / FULL_SCALE


def _decode(stem: Stem, source: Path, spools: Path, sample_rate: int, channels: int) -> _Decoded | AudioError:
    """A stem and its active regions, or why not."""
    path = source / stem.path
    spool = tempfile.SpooledTemporaryFile(HELD_IN_MEMORY, dir=str(spools))  # noqa: SIM115  closed by who takes it
    try:
        blocks = files.blocks(
            path, sample_rate=sample_rate, channels=channels, block_duration=BLOCK, stream=stem.stream
        )
        with of_one_file(path):
            found = active_regions(_taped(blocks, spool), sample_rate)
        num_samples = spool.tell() // (channels * 2)
        if stem.source is not None:  # trimmed already: the file is its active regions
            found = [(0, num_samples)]
        elif stem.active is not None:
            found = [(seconds_to_samples(a, sample_rate), seconds_to_samples(b, sample_rate)) for a, b in stem.active]
        regions = [(start, min(end, num_samples)) for start, end in found if start < min(end, num_samples)]
        if not regions:
            raise AudioError(path, "silent", "nothing in it is loud enough to be used")
    except AudioError as error:
        spool.close()
        return error
    except BaseException:
        spool.close()
        raise
    return _Decoded(spool, regions)


def _taped(blocks: Iterator[Waveform], spool: IO[bytes]) -> Iterator[Waveform]:
    """The same blocks, each written down as 16 bits as it passes."""
    for block in blocks:
        integers = np.clip(np.rint(block * FULL_SCALE), -FULL_SCALE, FULL_SCALE).astype(np.int16)
        spool.write(np.ascontiguousarray(integers.T).tobytes())  # -> (time, channel)
        yield block
