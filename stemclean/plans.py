"""Plans: what a run would read, write and take, for ``--dry-run``. Making one writes nothing.

Speed and size are measured on a few items of the dataset itself, so that they hold for its files and for this machine.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from stemclean.audio import files
from stemclean.errors import AudioError
from stemclean.manifest import Manifest, Skip, Stem
from stemclean.progress import waiting

__all__ = [
    "MANIFEST_BYTES",
    "Plan",
    "Product",
    "Speed",
    "download_of",
    "free_bytes",
    "lengths_of",
    "measured",
    "not_downloaded",
    "plan_of",
    "plan_of_files",
]

T = TypeVar("T")

ENOUGH_SECONDS = 5.0
"""No further item is measured after this time, once there are enough."""
LEAST_MEASURED = 3
"""Minimum number of items, because classes differ in size: vocals have pauses."""
MOST_MEASURED = 8
"""Maximum number of items to measure, or of workers if there are more."""
MANIFEST_BYTES = 2000
"""Approximate size of a stem in a manifest."""


@dataclass(frozen=True)
class Product:
    """Files that a run would write.

    Args:
        path: a file, or the folder of the files.
        num_files: their number; for audio whose number depends on its sound, the most that there can be; None: unknown.
        num_bytes: their approximate size; None: unknown.
    """

    path: Path
    num_files: int | None = 1
    num_bytes: int | None = None


@dataclass(frozen=True)
class Speed:
    """Speed of a run, measured on a few items.

    Args:
        times_real_time: seconds of audio that are processed in a second.
        num_measured: number of items that were measured.
        bytes_per_second: bytes written for a second of audio.
    """

    times_real_time: float
    num_measured: int
    bytes_per_second: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Args:
        command: the command.
        source: the dataset.
        num_stems: number of stems that would be read.
        num_tracks: number of songs that they belong to.
        seconds: their duration.
        products: what would be written.
        free_bytes: free space on the disk that the first product is written to.
        run_seconds: estimated duration of the run; None: unknown.
        speed: the measurement that the estimate is based on.
        skipped: files of the dataset that cannot be used.
        figures: what else is known before the run, such as the number of training steps; of JSON types.
        finished_seconds: duration of the stems that an earlier run has finished, which the estimates leave out.
        unknown_because: why the duration of the run is unknown; empty if it is known, or if nothing can be measured.
        noun: what the stems are called: ``stem``, or ``recording`` for commands that read audio files.
    """

    command: str
    source: Path
    num_stems: int
    num_tracks: int
    seconds: float
    products: Sequence[Product]
    free_bytes: int
    run_seconds: float | None = None
    speed: Speed | None = None
    skipped: Sequence[Skip] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    finished_seconds: float = 0.0
    unknown_because: str = ""
    noun: str = "stem"

    @property
    def num_bytes(self) -> int | None:
        """Approximate size of all that would be written and whose size is known; None if none is."""
        sizes = [product.num_bytes for product in self.products if product.num_bytes is not None]
        return sum(sizes) if sizes else None

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as a dict for JSON, without the skipped files."""
        return {
            "dry_run": True,
            "command": self.command,
            "reads": {
                "path": str(self.source),
                "stems": self.num_stems,
                "tracks": self.num_tracks,
                "seconds": round(self.seconds, 3),
            },
            "writes": [
                {"path": str(product.path), "files": product.num_files, "bytes": product.num_bytes}
                for product in self.products
            ],
            "bytes": self.num_bytes,
            "free_bytes": self.free_bytes,
            "estimated_seconds": None if self.run_seconds is None else round(self.run_seconds, 1),
            "times_real_time": None if self.speed is None else round(self.speed.times_real_time, 1),
            "measured": 0 if self.speed is None else self.speed.num_measured,
            "unknown_because": self.unknown_because or None,
            "finished_seconds": round(self.finished_seconds, 3),
            "figures": dict(self.figures),
        }


def plan_of(
    command: str,
    source: str | Path,
    data: Manifest,
    products: Sequence[Product],
    *,
    speed: Speed | None = None,
    seconds: float | None = None,
    figures: Mapping[str, Any] | None = None,
    finished: Iterable[Stem] = (),
    unknown_because: str = "",
) -> Plan:
    """Return the plan of a command that reads all stems of a dataset.

    Args:
        command: the command.
        source: the dataset as it was given.
        data: its stems.
        products: what would be written.
        speed: the measured speed.
        seconds: duration of the audio that the speed applies to; None: that of all stems.
        figures: what else is known before the run.
        finished: stems that an earlier run has finished; they take no time.
        unknown_because: why the duration of the run is unknown.
    """
    total = sum(stem.duration for stem in data.stems)
    finished_seconds = sum(stem.duration for stem in finished)
    left = max(0.0, (total if seconds is None else seconds) - finished_seconds)
    return Plan(
        command=command,
        source=Path(source),
        num_stems=len(data.stems),
        num_tracks=len({stem.track or stem.id for stem in data.stems}),
        seconds=total,
        products=products,
        free_bytes=free_bytes(products[0].path),
        run_seconds=None if speed is None else left / speed.times_real_time,
        speed=speed,
        skipped=data.skipped,
        figures=figures or {},
        finished_seconds=finished_seconds,
        unknown_because=unknown_because,
    )


def plan_of_files(
    command: str,
    source: str | Path,
    lengths: Mapping[str, float],
    products: Sequence[Product],
    *,
    speed: Speed | None = None,
    finished_seconds: float = 0.0,
    unknown_because: str = "",
    skipped: Sequence[Skip] = (),
) -> Plan:
    """Return the plan of a command that reads audio files, which belong to no dataset.

    Args:
        command: the command.
        source: what was given.
        lengths: duration of each recording in seconds, by its name.
        products, speed, unknown_because: as for :func:`plan_of`.
        finished_seconds: duration of the recordings that an earlier run has finished.
        skipped: files that cannot be used.
    """
    total = sum(lengths.values())
    return Plan(
        command=command,
        source=Path(source),
        num_stems=len(lengths),
        num_tracks=len(lengths),
        seconds=total,
        products=products,
        free_bytes=free_bytes(products[0].path),
        run_seconds=None if speed is None else (total - finished_seconds) / speed.times_real_time,
        speed=speed,
        skipped=skipped,
        finished_seconds=finished_seconds,
        unknown_because=unknown_because,
        noun="recording",
    )


def lengths_of(paths: Mapping[str, Path], shown: Callable[[Path], str]) -> tuple[dict[str, float], list[Skip]]:
    """Read the headers of audio files.

    Args:
        paths: file of each recording, by its name.
        shown: returns the path of a file as a skip names it.

    Returns:
        (durations in seconds by name, the files that cannot be used)
    """
    lengths: dict[str, float] = {}
    skipped = []
    for name, path in paths.items():
        try:
            info = files.probe(path)
            lengths[name] = info.num_samples / info.sample_rate
        except AudioError as error:
            skipped.append(Skip(path=shown(path), reason=error.reason, detail=error.detail))
    return lengths, skipped


def not_downloaded(uri: str) -> str:
    """Return why the duration of a run is unknown whose weights are on the hub."""
    return f"{uri} is not cached, and would be downloaded first"


def download_of(folder: Path, num_bytes: int | None) -> Product:
    """Return the weights and their card in the cache of the hub; the card is small."""
    return Product(folder, 2, num_bytes)


def free_bytes(path: Path) -> int:
    """Return the free space on the disk that a file or folder is on, or would be on."""
    path = path.absolute()
    return shutil.disk_usage(next(parent for parent in (path, *path.parents) if parent.exists())).free


def measured(
    items: Sequence[T],
    seconds_of: Callable[[T], float],
    work: Callable[[T], float],
    *,
    workers: int = 1,
    least: int = LEAST_MEASURED,
    quiet: bool = False,
) -> Speed | None:
    """Measure the speed of a run on a few of its items, drawn at random, always the same ones.

    Args:
        items: all items of the run.
        seconds_of: returns the duration of the audio of an item.
        work: does all the work on an item, without writing, and returns the number of bytes that would be written.
        workers: number of items that the run processes in parallel.
        least: minimum number of items; one is enough if all take as long for a second of audio.
        quiet: do not show that this takes a moment.

    Returns:
        The speed; None if no item can be read or there is none.
    """
    count = min(len(items), max(MOST_MEASURED, workers))
    chosen = random.Random(0).sample(range(len(items)), count)
    workers = max(1, min(workers, count))

    def try_work(index: int) -> tuple[float, float] | None:
        try:
            return seconds_of(items[index]), work(items[index])
        except AudioError:  # the run reports it
            return None

    results: list[tuple[float, float]] = []
    with waiting("measuring the speed on a few files …", quiet=quiet), ThreadPoolExecutor(workers) as threads:
        start = time.perf_counter()
        for at in range(0, count, workers):
            done = threads.map(try_work, chosen[at : at + workers])
            results += [result for result in done if result is not None]
            elapsed = time.perf_counter() - start
            if elapsed > ENOUGH_SECONDS and len(results) >= least:
                break
    total = sum(seconds for seconds, _ in results)
    if total == 0:
        return None
    return Speed(total / elapsed, len(results), sum(size for _, size in results) / total)
