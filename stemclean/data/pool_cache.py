"""The cache of decoded pools on disk, with a size limit.

A pool is named by its key. ``KEY.i16`` holds the samples of all its stems one after the other, ``(time, channel)``
int16; ``KEY.json`` holds the position of each stem and the stems that could not be decoded. A pool is locked against
removal as long as any process maps it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError
from tqdm import tqdm

from stemclean.audio import files
from stemclean.audio.activity import Levels, levels
from stemclean.audio.stereo import ChannelFaults, ChannelMeter, mended
from stemclean.audio.waveform import Waveform, mix_channels
from stemclean.data.song_levels import SongLevels
from stemclean.disk import FULL, hold, replacing, sweep
from stemclean.errors import AudioError, ConfigError, OutputError, SkipReason, of_one_file
from stemclean.manifest import Stem
from stemclean.units import seconds_to_samples

__all__ = ["FULL_SCALE", "Decoding", "cache_folder", "decode", "find", "prune"]

FULL_SCALE = 32767
BLOCK = 30.0
"""Seconds decoded at a time."""
HELD_IN_MEMORY = 64_000_000
"""Decoded stems up to this many bytes are buffered in memory; longer ones on disk."""
ELSEWHERE = "set XDG_CACHE_HOME to a folder that you may write to, with room for decoded audio"


@dataclass(frozen=True)
class Decoding:
    """How stems are decoded into a pool.

    Args:
        sample_rate: Sample rate of the pool in Hz.
        channels: Number of channels of the pool.
        songs: Levels of the songs, to detect silence.
        in_time: Ids of stems whose channels are not repaired.
    """

    sample_rate: int
    channels: int
    songs: SongLevels
    in_time: Collection[str] = ()


class _Entry(BaseModel):
    """The entry of a stem in the index of a pool."""

    id: str
    start: int = Field(ge=0)
    num_samples: int = Field(ge=0)
    rms: float
    scale: float


class _Index(BaseModel):
    """The index of a pool."""

    stems: list[_Entry]
    skipped: list[dict[str, str]]


def cache_folder() -> Path:
    """Return the default folder of decoded audio: ``$XDG_CACHE_HOME/stemclean`` or ``~/.cache/stemclean``.

    Raises:
        ConfigError: There is neither ``XDG_CACHE_HOME`` nor a home folder.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stemclean"
    except RuntimeError:
        raise ConfigError("there is no home folder to keep decoded audio in", ELSEWHERE) from None


def find(folder: Path, key: str, channels: int) -> tuple[dict[str, Any], np.ndarray] | None:
    """Return the index of a pool and its memory-mapped samples; None if it must be decoded (again).

    Shape:
        ``(time, channel)`` int16, read-only.
    """
    audio_path, index_path = _paths(folder, key)
    try:
        index = _Index.model_validate_json(index_path.read_bytes()).model_dump()
        with audio_path.open("rb") as file:
            hold(file, exclusive=False)  # the mapping inherits it
            total = sum(entry["num_samples"] for entry in index["stems"])
            status = os.fstat(file.fileno())
            if status.st_nlink == 0 or status.st_size != total * channels * 2:  # just removed, or truncated
                return None
            audio = np.memmap(file, np.int16, "r", shape=(total, channels)) if total else np.zeros((0, channels), "i2")
    except (FileNotFoundError, ValidationError):
        return None
    with suppress(OSError):  # a shared cache may be read-only
        os.utime(index_path)  # record the last use
    return index, audio


def decode(
    folder: Path,
    key: str,
    stems: Sequence[Stem],
    source: Path,
    plan: Decoding,
    *,
    workers: int,
    quiet: bool,
) -> None:
    """Decode stems into a pool.

    Args:
        folder: Folder of the cache.
        key: Name of the pool.
        stems: The stems.
        source: Folder that the paths of stems are relative to.
        plan: How stems are decoded.
        workers: Number of decoding threads.
        quiet: Show no progress.

    Raises:
        ConfigError: The disk is full or read-only.
    """
    sweep(folder)
    audio_path, index_path = _paths(folder, key)
    entries: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    at = 0
    if not quiet and not sys.stderr.isatty():  # no progress bar
        tqdm.write(f"decoding {len(stems)} stems into {folder}", file=sys.stderr)
    try:
        with replacing(audio_path) as temporary, temporary.open("wb") as out:
            decoded = _in_order(stems, source, folder, plan, workers)
            for stem, result in tqdm(decoded, "decode", len(stems), unit="stem", disable=True if quiet else None):
                if isinstance(result, AudioError):
                    skipped.append({"path": stem.path, "reason": result.reason, "detail": result.detail})
                    continue
                with result.spool:
                    num_samples, rms = result.pour(out, plan)
                entry = {"id": stem.id, "start": at, "num_samples": num_samples, "rms": rms, "scale": result.scale}
                entries.append(entry)
                at += num_samples
        with replacing(index_path) as temporary:
            temporary.write_text(json.dumps({"stems": entries, "skipped": skipped}), encoding="utf-8")
    except OutputError as error:
        progress = f" after {at * plan.channels * 2 / 1e9:.1f} GB of decoded audio" if error.errno in FULL else ""
        raise ConfigError(f"{error.message}{progress}", f"make room, or {ELSEWHERE}") from None


def prune(folder: Path, limit_gb: float) -> list[str]:
    """Delete the least recently used pools until the rest fits into the limit; never a pool that is in use.

    Args:
        folder: Folder of the cache.
        limit_gb: Limit for all pools together, in 10^9 bytes.

    Returns:
        The keys of the deleted pools.
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
    stems: Sequence[Stem], source: Path, spools: Path, plan: Decoding, workers: int
) -> Iterator[tuple[Stem, _Decoded | AudioError]]:
    """Yield decoded stems in the order of the manifest; only a few are decoded in advance."""
    threads = ThreadPoolExecutor(workers)
    pending: list[Future[_Decoded | AudioError]] = []
    upcoming = iter(stems)
    try:
        for stem in stems:
            for ahead in islice(upcoming, 2 * workers + 1 - len(pending)):
                pending.append(threads.submit(_decode, ahead, source, spools, plan))
            yield stem, pending.pop(0).result()
    finally:
        threads.shutdown(cancel_futures=True)
        for job in pending:  # if the run was stopped
            if not job.cancelled() and job.exception() is None and isinstance(unused := job.result(), _Decoded):
                unused.spool.close()


@dataclass
class _Decoded:
    """A decoded stem that waits to be written, and the regions to keep.

    Args:
        spool: The samples. Shape: (time, channel) float32
        channels: Number of channels of the spool.
        regions: Regions to keep, in samples.
        faults: Faults of the channels.
        scale: See :class:`stemclean.data.pool.PooledStem`.
    """

    spool: IO[bytes]
    channels: int
    regions: Sequence[tuple[int, int]]
    faults: ChannelFaults
    scale: float

    def pour(self, out: IO[bytes], plan: Decoding) -> tuple[int, float]:
        """Append the kept regions to the file of the pool as 16-bit integers.

        Returns:
            (number of samples, RMS), where full scale is 1.
        """
        num_samples, energy = 0, 0.0
        for start, end in self.regions:
            for block in mended(self._pieces(start, end, plan), self.faults, plan.sample_rate, start):
                sound = mix_channels(block, plan.channels) * np.float32(FULL_SCALE / self.scale)
                integers = np.clip(np.rint(sound), -FULL_SCALE, FULL_SCALE).astype(np.int16)
                out.write(np.ascontiguousarray(integers.T).tobytes())  # -> (time, channel)
                num_samples += integers.shape[1]
                energy += float(np.square(integers, dtype=np.float64).sum())
        rms = float(np.sqrt(energy / (num_samples * plan.channels))) / FULL_SCALE
        return num_samples, rms * self.scale

    def _pieces(self, start: int, end: int, plan: Decoding) -> Iterator[Waveform]:
        block, size = seconds_to_samples(BLOCK, plan.sample_rate), self.channels * 4
        self.spool.seek(start * size)
        for at in range(start, end, block):
            piece = np.frombuffer(self.spool.read(min(block, end - at) * size), np.float32)
            yield piece.reshape(-1, self.channels).T


def _decode(stem: Stem, source: Path, spools: Path, plan: Decoding) -> _Decoded | AudioError:
    """Decode a stem and find its active regions; returns an error if it cannot be used."""
    path, rate = source / stem.path, plan.sample_rate
    spool = tempfile.SpooledTemporaryFile(HELD_IN_MEMORY, dir=str(spools))  # noqa: SIM115  closed by the caller
    try:
        unrepaired = stem.id in plan.in_time or files.probe(path, stem.stream).channels < 2
        channels = plan.channels if unrepaired else 2
        meter = ChannelMeter(rate)
        blocks = files.blocks(path, sample_rate=rate, channels=channels, block_duration=BLOCK, stream=stem.stream)
        with of_one_file(path):
            measured = levels(_taped(blocks, spool, None if unrepaired else meter), rate)
        regions = _kept(stem, measured, plan)
        if not regions:
            raise AudioError(path, SkipReason.SILENT, "nothing in it is loud enough to be used")
    except AudioError as error:
        spool.close()
        return error
    except BaseException:
        spool.close()
        raise
    peak = float(measured.peak.max(initial=0.0))
    scale = 2.0 ** np.ceil(np.log2(peak)) if peak > 0 else 1.0
    return _Decoded(spool, channels, regions, meter.faults(), float(scale))


def _kept(stem: Stem, measured: Levels, plan: Decoding) -> list[tuple[int, int]]:
    """Return the regions of a stem that go into the pool, in samples."""
    rate, num_samples = plan.sample_rate, measured.num_samples
    if stem.source is not None:  # trimmed already: the file is its active regions
        regions = [(0, num_samples)]
    elif stem.active is not None:
        regions = [(seconds_to_samples(a, rate), seconds_to_samples(b, rate)) for a, b in stem.active]
    else:
        regions = plan.songs.regions(stem, measured)
    return [(start, min(end, num_samples)) for start, end in regions if start < min(end, num_samples)]


def _taped(blocks: Iterator[Waveform], spool: IO[bytes], meter: ChannelMeter | None) -> Iterator[Waveform]:
    """Yield the blocks, writing each to the spool and adding it to the meter."""
    for block in blocks:
        spool.write(np.ascontiguousarray(block.T, np.float32).tobytes())  # -> (time, channel)
        if meter is not None:
            meter.add(block)
        yield block
