"""A pool of decoded stems in one memory-mapped file, for random access.

Every stem of a manifest is decoded once, resampled, converted to one number of channels, cut to its active regions and
stored as 16-bit integers in a cache file. A training example then needs no decoding, and all worker processes share
one page cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemclean.audio.activity import SILENCE_FLOOR_DBFS
from stemclean.data import CACHE_LIMIT_GB, pool_cache
from stemclean.data.pool_cache import FULL_SCALE, Decoding
from stemclean.data.song_levels import SongLevels
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Skip, Stem

__all__ = ["PooledStem", "StemPool", "content"]

FORMAT = 2
"""Version of the cache format; increased whenever the cached content of the same stems changes."""


@dataclass(frozen=True)
class PooledStem:
    """A stem in the cache.

    Args:
        id, track: As in the manifest.
        labels: The classes that it holds.
        start, num_samples: Position and length in the cache, in samples.
        rms: RMS of the kept samples; full scale is 1.
        weight: How often it is drawn, relative to other stems.
        scale: Value of full scale in the stored samples, a power of two: nothing is clipped, and soft stems keep their
            resolution.
    """

    id: str
    track: str
    labels: tuple[str, ...]
    start: int
    num_samples: int
    rms: float
    weight: float
    scale: float = 1.0


class StemPool:
    """Stems in memory-mapped audio.

    Args:
        stems: The stems in the cache.
        audio: The samples, usually a ``numpy.memmap``. Shape: (time, channel) int16
        sample_rate: Sample rate of the cache in Hz.
        skipped: Stems that could not be decoded.
    """

    def __init__(self, stems: Sequence[PooledStem], audio: np.ndarray, sample_rate: int, skipped: Sequence[Skip] = ()):
        self.stems, self.audio, self.sample_rate, self.skipped = list(stems), audio, sample_rate, list(skipped)

    @classmethod
    def build(
        cls,
        manifest: Manifest,
        folder: Path,
        *,
        sample_rate: int,
        channels: int = 2,
        cache: str | Path | None = None,
        limit_gb: float | None = None,
        silence_floor_dbfs: float = SILENCE_FLOOR_DBFS,
        in_time: Collection[str] = (),
        workers: int = 2,
        quiet: bool = False,
    ) -> StemPool:
        """Return the pool of a manifest's stems, decoding them if they are not cached.

        Memory is bounded, whatever the length of a stem.

        Args:
            manifest: The stems. Only their ``active`` regions are kept, which are detected if they are not given.
            folder: Folder that the paths of stems are relative to.
            sample_rate: Sample rate of the pool in Hz.
            channels: Number of channels of the pool.
            cache: Folder of the cache files (None: :func:`~stemclean.data.pool_cache.cache_folder`).
            limit_gb: If the folder exceeds this size (in 10^9 bytes), the least recently used pools are deleted, but
                none that is in use. None: 50 for the default folder, no limit for other folders.
            silence_floor_dbfs: Sound below this level is silence, see :mod:`stemclean.audio.activity`.
            in_time: Ids of stems whose channels must not be repaired, because their mixture is in the pool, too; see
                :mod:`stemclean.audio.stereo`.
            workers: Number of decoding threads.
            quiet: Show no progress.

        Raises:
            ConfigError: No stem could be decoded, or the cache cannot be written (disk full or read-only).
        """
        if cache is None:
            cache = pool_cache.cache_folder() / "pools"
            limit_gb = CACHE_LIMIT_GB if limit_gb is None else limit_gb
        cache = Path(cache)
        key = _key(manifest, folder, sample_rate, channels, silence_floor_dbfs, in_time)
        plan = Decoding(sample_rate, channels, SongLevels(manifest.stems, folder, silence_floor_dbfs), in_time)
        while (cached := pool_cache.find(cache, key, channels)) is None:
            pool_cache.decode(
                cache,
                key,
                manifest.stems,
                folder,
                plan,
                workers=workers,
                quiet=quiet,
            )
        index, audio = cached
        if limit_gb is not None:
            pool_cache.prune(cache, limit_gb)
        if not index["stems"]:
            raise ConfigError(f"none of the {len(manifest.stems)} stems in {folder} could be decoded", _first(index))
        entries = {entry["id"]: entry for entry in index["stems"]}
        stems = [
            PooledStem(
                stem.id,
                stem.track,
                tuple(stem.labels),
                weight=stem.sampling_weight,
                **{field: entries[stem.id][field] for field in ("start", "num_samples", "rms", "scale")},
            )
            for stem in manifest.stems
            if stem.id in entries
        ]
        return cls(stems, audio, sample_rate, [Skip(**skip) for skip in index["skipped"]])

    def where(self, keep: Sequence[bool]) -> StemPool:
        """Return a pool of the same audio with some of the stems."""
        return StemPool([s for s, k in zip(self.stems, keep, strict=True) if k], self.audio, self.sample_rate)

    def segment(self, stem: PooledStem, start: int, num_samples: int) -> np.ndarray:
        """Return a piece of a stem, zero-padded after its end.

        Shape:
            ``(channel, num_samples)``, float32; full scale is ±1.
        """
        end = min(start + num_samples, stem.num_samples)
        piece = self.audio[stem.start + start : stem.start + end].T.astype(np.float32) / np.float32(
            FULL_SCALE / stem.scale
        )
        return np.pad(piece, ((0, 0), (0, num_samples - piece.shape[1])))

    def random_segment(self, stem: PooledStem, num_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Return a random piece of a stem; after at most 4 tries, even if it is 20 dB softer than the stem."""
        for _ in range(4):
            start = int(rng.integers(0, max(1, stem.num_samples - num_samples + 1)))
            piece = self.segment(stem, start, num_samples)
            if np.sqrt(np.mean(piece**2)) > 0.1 * stem.rms:
                break
        return piece


def _key(
    manifest: Manifest, folder: Path, sample_rate: int, channels: int, floor_dbfs: float, in_time: Collection[str]
) -> str:
    contents = [[*content(stem, folder), stem.track, stem.id in in_time] for stem in manifest.stems]
    document = [FORMAT, sample_rate, channels, floor_dbfs, contents]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()[:24]


def content(stem: Stem, folder: Path) -> list[object]:
    """Return everything that the sound of a stem in a pool depends on, in JSON types.

    Args:
        stem: The stem.
        folder: Folder that its path is relative to.
    """
    return [stem.id, stem.sha256 or _unsigned(folder / stem.path), stem.stream, None if stem.source else stem.active]


def _unsigned(path: Path) -> list[object]:
    """Return a substitute for the checksum of a file: its path, size and modification time."""
    status = path.stat() if path.exists() else None
    return [str(path.absolute()), status and status.st_size, status and status.st_mtime_ns]


def _first(index: dict[str, list[dict[str, str]]]) -> str:
    return (
        f"the first: {index['skipped'][0]['path']}: {index['skipped'][0]['detail']}"
        if index["skipped"]
        else "it holds no stems"
    )
