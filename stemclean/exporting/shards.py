"""Write the audio of an export into archives of limited size, one series for each split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stemclean.disk import replacing
from stemclean.documents import FlawError, json_of
from stemclean.errors import ConfigError
from stemclean.exporting.converting import Converter, Placed
from stemclean.exporting.descriptions import describe
from stemclean.exporting.selection import Selection

__all__ = ["RECORD", "write_shards"]

RECORD = "shards.json"
"""File in the destination: a hash of what the shards were made from, and the number of samples in each."""

Opened = Callable[[Path], AbstractContextManager[Callable[[Placed], None]]]
"""Opens a shard for writing; returns a function that adds an item to it. The shard appears when the block ends."""


def write_shards(
    selection: Selection,
    converter: Converter,
    name: Callable[[str, int], str],
    opened: Opened,
    size: int,
    **settings: object,
) -> dict[str, int]:
    """Write every item of a selection that :meth:`~stemclean.exporting.converting.Converter.listen` has checked.

    The shards of an earlier run are kept if they would be the same.

    Args:
        selection: the items.
        converter: makes their audio.
        name: returns the name of the n-th shard of a split.
        opened: opens a shard.
        size: number of bytes of audio after which a shard is complete; one larger file is a shard of its own.
        settings: settings of the format that the content depends on.

    Returns:
        Name of a shard -> number of items in it, in the order of the splits.

    Raises:
        ConfigError: the destination holds shards that would be written differently.
    """
    record = converter.destination / RECORD
    mark, earlier = _mark(selection, converter, size, settings), _read(record)
    if earlier.get("mark", mark) != mark:
        raise ConfigError(
            f"{converter.destination} holds shards of an earlier export that would be written differently now",
            "export to a new folder",
        )
    counts: dict[str, int] = earlier.get("num_samples", {})
    if counts and all((converter.destination / shard).is_file() for shard in counts):
        converter.pack(selection, None)
        return counts
    _write(record, mark, {})  # first, so that a killed run is continued with the same content
    series: dict[str, _Series] = {}
    with ExitStack() as stack:

        def add(file: Placed) -> None:
            split = file.item.stem.split or "train"
            if split not in series:
                series[split] = stack.enter_context(_Series(converter.destination, split, name, opened, size))
            series[split].add(file)

        converter.pack(selection, add)
    counts = {shard: count for split in sorted(series) for shard, count in series[split].counts.items()}
    _write(record, mark, counts)
    return counts


class _Series:
    """The shards of a split."""

    def __init__(
        self, destination: Path, split: str, name: Callable[[str, int], str], opened: Opened, size: int
    ) -> None:
        self._destination, self._split, self._name, self._opened, self._size = destination, split, name, opened, size
        self.counts: dict[str, int] = {}
        self._shard = ExitStack()
        self._put: Callable[[Placed], None] | None = None
        self._filled = 0

    def add(self, file: Placed) -> None:
        num_bytes = file.path.stat().st_size
        if self._put is None or self._filled + num_bytes > self._size:
            self._shard.close()
            name, self._filled = self._name(self._split, len(self.counts)), 0
            self._put = self._shard.enter_context(self._opened(self._destination / name))
            self.counts[name] = 0
        self._put(file)
        self._filled += num_bytes
        self.counts[next(reversed(self.counts))] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shard.__exit__(kind, error, trace)


def _mark(selection: Selection, converter: Converter, size: int, settings: Mapping[str, object]) -> str:
    """Return a hash of everything that the shards depend on."""
    items = [
        (
            describe(item, selection),
            item.stem.sha256 or (converter.folder / item.stem.path).stat().st_mtime_ns,
            item.stem.stream,
            item.spans,
        )
        for item in selection.items
    ]
    content = json.dumps([items, converter.sample_rate, converter.audio_format, size, settings])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _read(record: Path) -> dict[str, Any]:
    try:
        document = json_of(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, FlawError):
        return {}
    return document if isinstance(document, dict) else {}


def _write(record: Path, mark: str, counts: dict[str, int]) -> None:
    with replacing(record) as temporary:
        document = {"mark": mark, "num_samples": counts}
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
