"""Decoded stems in one memory-mapped file, drawn from at random.

Every stem of a manifest is decoded once, brought to one rate and channel count, cut to its active regions and kept as
16-bit integers in a cache file, so that a training example costs a copy and no decoding, and all
worker processes share one page cache.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stemclean.audio import files
from stemclean.audio.activity import active_regions
from stemclean.errors import AudioError, ConfigError
from stemclean.manifest import Manifest, Skip, Stem
from stemclean.units import seconds_to_samples

__all__ = ["PooledStem", "StemPool", "cache_folder"]

FULL_SCALE = 32767
FORMAT = 1
"""Raised whenever the cache's content for the same stems changes."""


def cache_folder() -> Path:
    """Where decoded audio is kept: ``$XDG_CACHE_HOME/stemclean`` or ``~/.cache/stemclean``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stemclean"


@dataclass(frozen=True)
class PooledStem:
    """One stem's place in the cache.

    Args:
        id, track: as in the manifest.
        labels: the classes it is trusted to hold.
        start, num_samples: place and length in the cache, in samples.
        rms: of the kept samples as stored, full scale = 1.
        weight: how often it is drawn compared with others.
    """

    id: str
    track: str
    labels: tuple[str, ...]
    start: int
    num_samples: int
    rms: float
    weight: float


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
        workers: int = 2,
        quiet: bool = False,
    ) -> StemPool:
        """Decode a manifest's stems into the cache, or find them there.

        Args:
            manifest: its ``labels`` say what each stem holds, its ``active`` regions what is kept (they are found
                where it has none).
            folder: what stem paths are relative to.
            cache: folder of the cache files; default :func:`cache_folder`.
            workers: decoding threads.

        Raises:
            ConfigError: not one stem could be decoded.
        """
        cache = cache or cache_folder() / "pools"
        cache.mkdir(parents=True, exist_ok=True)
        key = _key(manifest, folder, sample_rate, channels)
        audio_path, index_path = cache / f"{key}.i16", cache / f"{key}.json"
        if not (index_path.exists() and audio_path.exists()):
            _decode_all(manifest.stems, folder, audio_path, index_path, sample_rate, channels, workers, quiet)
        index = json.loads(index_path.read_text())
        if not index["stems"]:
            raise ConfigError(f"none of the {len(manifest.stems)} stems in {folder} could be decoded", _first(index))
        places = {place["id"]: place for place in index["stems"]}
        stems = [
            PooledStem(
                stem.id,
                stem.track,
                tuple(stem.labels),
                weight=float(stem.extra.get("weight", 1.0)),
                **{field: places[stem.id][field] for field in ("start", "num_samples", "rms")},
            )
            for stem in manifest.stems
            if stem.id in places
        ]
        total = sum(place["num_samples"] for place in index["stems"])
        audio = np.memmap(audio_path, np.int16, "r", shape=(total, channels))
        return cls(stems, audio, sample_rate, [Skip(**skip) for skip in index["skipped"]])

    def where(self, keep: Sequence[bool]) -> StemPool:
        """The same audio with some of the stems."""
        return StemPool([s for s, k in zip(self.stems, keep, strict=True) if k], self.audio, self.sample_rate)

    def segment(self, stem: PooledStem, start: int, num_samples: int) -> np.ndarray:
        """A piece of a stem; zeros stand after its end.

        Shape:
            ``(channel, num_samples)``, float32 in [-1, 1].
        """
        end = min(start + num_samples, stem.num_samples)
        piece = self.audio[stem.start + start : stem.start + end].T.astype(np.float32) / FULL_SCALE
        return np.pad(piece, ((0, 0), (0, num_samples - piece.shape[1])))

    def random_segment(self, stem: PooledStem, num_samples: int, rng: np.random.Generator) -> np.ndarray:
        """A piece from a random place that is not much softer (20 dB) than the stem; a few tries are made."""
        for _ in range(4):
            start = int(rng.integers(0, max(1, stem.num_samples - num_samples + 1)))
            piece = self.segment(stem, start, num_samples)
            if np.sqrt(np.mean(piece**2)) > 0.1 * stem.rms:
                break
        return piece


def _key(manifest: Manifest, folder: Path, sample_rate: int, channels: int) -> str:
    what = [
        FORMAT,
        sample_rate,
        channels,
        [
            [s.id, s.sha256 or _unsigned(folder / s.path), s.stream, None if s.source else s.active]
            for s in manifest.stems
        ],
    ]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:24]


def _unsigned(path: Path) -> list[object]:
    """What stands for the checksum of a stem whose manifest names none."""
    status = path.stat() if path.exists() else None
    return [str(path.absolute()), status and status.st_size, status and status.st_mtime_ns]


def _decode_all(
    stems: Sequence[Stem],
    folder: Path,
    audio_path: Path,
    index_path: Path,
    sample_rate: int,
    channels: int,
    workers: int,
    quiet: bool,
) -> None:
    places, skipped, at = [], [], 0
    temporary = audio_path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as out:
            decoded = _in_order(stems, folder, sample_rate, channels, workers)
            for stem, result in tqdm(decoded, "decode", len(stems), unit="stem", disable=True if quiet else None):
                if isinstance(result, AudioError):
                    skipped.append({"path": stem.path, "reason": result.reason, "detail": result.detail})
                    continue
                result.T.tofile(out)
                rms = float(np.sqrt(np.mean(np.square(result, dtype=np.float32)))) / FULL_SCALE
                places.append({"id": stem.id, "start": at, "num_samples": result.shape[1], "rms": rms})
                at += result.shape[1]
        os.replace(temporary, audio_path)
    finally:
        temporary.unlink(missing_ok=True)
    partial = index_path.with_suffix(f".{os.getpid()}.tmp")
    partial.write_text(json.dumps({"stems": places, "skipped": skipped}))
    os.replace(partial, index_path)


def _in_order(
    stems: Sequence[Stem], folder: Path, sample_rate: int, channels: int, workers: int
) -> Iterator[tuple[Stem, np.ndarray | AudioError]]:
    """Decoded stems in the manifest's order, a few ahead at most."""
    with ThreadPoolExecutor(workers) as threads:
        ahead = 2 * workers
        jobs = [threads.submit(_decode, stem, folder, sample_rate, channels) for stem in stems[:ahead]]
        for index, stem in enumerate(stems):
            result = jobs[index].result()
            jobs[index] = None  # type: ignore[call-overload]  # frees the audio
            if index + ahead < len(stems):
                jobs.append(threads.submit(_decode, stems[index + ahead], folder, sample_rate, channels))
            yield stem, result


def _decode(stem: Stem, folder: Path, sample_rate: int, channels: int) -> np.ndarray | AudioError:
    """int16 ``(channel, time)`` of the stem's active regions, or why not."""
    path = folder / stem.path
    try:
        waveform = files.read(path, sample_rate=sample_rate, channels=channels, stream=stem.stream)
    except AudioError as error:
        return error
    if stem.source is not None:  # trimmed already: the file is its active regions
        regions = [(0, waveform.shape[1])]
    elif stem.active is not None:
        regions = [(seconds_to_samples(a, sample_rate), seconds_to_samples(b, sample_rate)) for a, b in stem.active]
    else:
        regions = active_regions(waveform, sample_rate)
    kept = np.concatenate([waveform[:, a:b] for a, b in regions], axis=1) if regions else waveform[:, :0]
    if kept.shape[1] == 0:
        return AudioError(path, "silent", "nothing in it is loud enough to be used")
    integers: np.ndarray = np.clip(np.rint(kept * FULL_SCALE), -FULL_SCALE, FULL_SCALE).astype(np.int16)
    return integers


def _first(index: dict[str, list[dict[str, str]]]) -> str:
    return (
        f"the first: {index['skipped'][0]['path']}: {index['skipped'][0]['detail']}"
        if index["skipped"]
        else "it holds no stems"
    )
