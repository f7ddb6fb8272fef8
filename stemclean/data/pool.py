"""Decoded stems in one memory-mapped file, drawn from at random.

Every stem of a manifest is decoded once, brought to one rate and channel count, cut to its active regions and kept as
16-bit integers in a cache file, so that a training example costs a copy and no decoding, and all
worker processes share one page cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemclean.audio.activity import SILENCE_FLOOR_DBFS
from stemclean.data import pool_cache
from stemclean.data.pool_cache import FULL_SCALE, Decoding
from stemclean.data.song_levels import SongLevels
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Skip, Stem

__all__ = ["PooledStem", "StemPool", "content"]

FORMAT = 2
"""Raised whenever the cache's content for the same stems changes."""


@dataclass(frozen=True)
class PooledStem:
    """One stem's place in the cache.

    Args:
        id, track: as in the manifest.
        labels: the classes it is trusted to hold.
        start, num_samples: place and length in the cache, in samples.
        rms: of the kept samples, full scale = 1.
        weight: how often it is drawn compared with others.
        scale: what full scale of the stored samples stands for: a power of two, so that nothing is clipped, and what is
            soft keeps its bits.
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
        stems: what the cache holds.
        audio: ``(time, channel)`` int16, usually a ``numpy.memmap``.
        sample_rate: of the cache, in Hz.
        skipped: what could not be decoded.
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
        cache: Path | None = None,
        limit_gb: float | None = None,
        silence_floor_dbfs: float = SILENCE_FLOOR_DBFS,
        in_time: Collection[str] = (),
        workers: int = 2,
        quiet: bool = False,
    ) -> StemPool:
        """Decode a manifest's stems into the cache, or find them there.

        Memory is bounded, whatever the length of a stem.

        Args:
            manifest: its ``labels`` say what each stem holds, its ``active`` regions what is kept (they are found
                where it has none).
            folder: what stem paths are relative to.
            cache: folder of the cache files; default :func:`~stemclean.data.pool_cache.cache_folder`.
            limit_gb: when the folder holds more (10^9 bytes), the pools that were used longest ago are removed, but
                none that is in use; None: 50 in the default folder, and no limit in a folder that is named.
            silence_floor_dbfs: what is softer is silence, see :mod:`stemclean.audio.activity`.
            in_time: ids of stems that are parts of a recording which is in the pool as well, and stay as they are;
                others whose channels hold one sound have it in all of them, see :mod:`stemclean.audio.stereo`.
            workers: decoding threads.

        Raises:
            ConfigError: not one stem could be decoded, or the cache cannot be written to: the disk is full, read-only.
        """
        if cache is None:
            cache = pool_cache.cache_folder() / "pools"
            limit_gb = pool_cache.DEFAULT_LIMIT_GB if limit_gb is None else limit_gb
        key = _key(manifest, folder, sample_rate, channels, silence_floor_dbfs, in_time)
        plan = Decoding(sample_rate, channels, SongLevels(manifest.stems, folder, silence_floor_dbfs), in_time)
        while (found := pool_cache.find(cache, key, channels)) is None:
            pool_cache.decode(
                cache,
                key,
                manifest.stems,
                folder,
                plan,
                workers=workers,
                quiet=quiet,
            )
        index, audio = found
        if limit_gb is not None:
            pool_cache.prune(cache, limit_gb)
        if not index["stems"]:
            raise ConfigError(f"none of the {len(manifest.stems)} stems in {folder} could be decoded", _first(index))
        places = {place["id"]: place for place in index["stems"]}
        stems = [
            PooledStem(
                stem.id,
                stem.track,
                tuple(stem.labels),
                weight=stem.sampling_weight,
                **{field: places[stem.id][field] for field in ("start", "num_samples", "rms", "scale")},
            )
            for stem in manifest.stems
            if stem.id in places
        ]
        return cls(stems, audio, sample_rate, [Skip(**skip) for skip in index["skipped"]])

    def where(self, keep: Sequence[bool]) -> StemPool:
        """The same audio with some of the stems."""
        return StemPool([s for s, k in zip(self.stems, keep, strict=True) if k], self.audio, self.sample_rate)

    def segment(self, stem: PooledStem, start: int, num_samples: int) -> np.ndarray:
        """A piece of a stem; zeros stand after its end.

        Shape:
            ``(channel, num_samples)``, float32; full scale is ±1.
        """
        end = min(start + num_samples, stem.num_samples)
        piece = self.audio[stem.start + start : stem.start + end].T.astype(np.float32) / np.float32(
            FULL_SCALE / stem.scale
        )
        return np.pad(piece, ((0, 0), (0, num_samples - piece.shape[1])))

    def random_segment(self, stem: PooledStem, num_samples: int, rng: np.random.Generator) -> np.ndarray:
        """A piece from a random place that is not much softer (20 dB) than the stem; a few tries are made."""
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
    what = [FORMAT, sample_rate, channels, floor_dbfs, contents]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:24]


def content(stem: Stem, folder: Path) -> list[object]:
    """What the sound of a stem in a pool depends on; JSON-able.

    Args:
        folder: what its path is relative to.
    """
    return [stem.id, stem.sha256 or _unsigned(folder / stem.path), stem.stream, None if stem.source else stem.active]


def _unsigned(path: Path) -> list[object]:
    """What stands for the checksum of a stem whose manifest names none."""
    status = path.stat() if path.exists() else None
    return [str(path.absolute()), status and status.st_size, status and status.st_mtime_ns]


def _first(index: dict[str, list[dict[str, str]]]) -> str:
    return (
        f"the first: {index['skipped'][0]['path']}: {index['skipped'][0]['detail']}"
        if index["skipped"]
        else "it holds no stems"
    )
