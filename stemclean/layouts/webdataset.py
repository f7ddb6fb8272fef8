"""Tar shards for WebDataset: ``train-000000.tar`` and so on, with ``KEY.flac`` and ``KEY.json`` for each stem.

The JSON holds the target class (``label``), the classes in the stem (``labels``), its track and split, what the dataset
claims (``given_label``), ``label_quality``, ``is_label_issue``, ``verdict`` and ``reason``. With ``--cut``, a sample is
what is left of a stem. With ``--set regions=true``, each region of a stem is a sample with the classes that were found
in it, and its ``start`` and ``end`` in the stem; a stem without regions is one sample.

Behaviour of WebDataset (1.0; https://github.com/webdataset/webdataset), and the consequences:

- Files belong to a sample if they follow each other and have the same name up to the first dot after the last slash.
  So keys have no dot, and the two files of a sample are adjacent.
- Two samples with the same key in a row are an error. So keys are unique.
- A decoder is chosen by the extension. So all audio has the same format (``--format``) and, for batches, the same
  sample rate and two channels.
- Shards are divided among the workers of a loader, and a worker without a shard is an error. So shards are small:
  ``shard_mb`` megabytes of audio.
- Readers expand ``train-{000000..000012}.tar``. So shards are numbered; validation and test have shards of their own.

Equal input gives equal bytes. The shards of an earlier export are kept if they would be the same, and refused if not.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar

from pydantic import Field

from stemclean.audio import files
from stemclean.disk import replacing
from stemclean.exporting.converting import LEFT_OVER, Converter, Placed, safe_parts, written_subtype
from stemclean.exporting.descriptions import describe, regions_of
from stemclean.exporting.lists import json_line
from stemclean.exporting.selection import Item, Selection
from stemclean.exporting.shards import RECORD, write_shards
from stemclean.layouts.base import Format, Written
from stemclean.settings import WHOLE


class WebDataset(Format):
    """See the module.

    Args:
        shard_mb: size of a shard in megabytes of audio.
        regions: write a sample for each region of a stem in which the same classes were found.
    """

    name: ClassVar[str] = "webdataset"
    reader: ClassVar[str] = "WebDataset"
    in_place: ClassVar[bool] = False

    shard_mb: Annotated[int, Field(ge=1, le=100_000), WHOLE] = 200
    regions: bool = False

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the shards.

        Returns:
            The shards and their record; as ``extra``: ``num_samples``, by shard.
        """
        converter.listen(selection, uniform=True)
        keys = _keys(selection.items)

        @contextmanager
        def opened(path: Path) -> Iterator[Callable[[Placed], None]]:
            with (
                replacing(path) as temporary,
                tarfile.open(temporary, "w") as archive,
                TemporaryDirectory(prefix=LEFT_OVER, dir=converter.destination) as folder,
            ):

                def add(file: Placed) -> None:
                    known = describe(file.item, selection)
                    parts = _regions(file, known["labels"], Path(folder)) if self.regions else [("", file.path, {})]
                    for end, audio, more in parts:
                        info, key = files.probe(audio), keys[file.item.key] + end
                        form = {name: getattr(info, name) for name in ("sample_rate", "channels", "num_samples")}
                        _put(archive, f"{key}{audio.suffix.lower()}", audio.read_bytes())
                        _put(archive, f"{key}.json", json_line({**known, **more, **form}))

                yield add

        size = self.shard_mb * 1_000_000
        counts = write_shards(selection, converter, "{}-{:06d}.tar".format, opened, size, regions=self.regions)
        first = converter.destination / next(iter(counts), "")
        shards = [converter.destination / name for name in counts]
        steps = [f'in Python: webdataset.WebDataset("{first}", shardshuffle=False)'] if shards else []
        return Written(shards, {"num_samples": counts}, steps, beside=[converter.destination / RECORD])


LAYOUT = WebDataset()


def _keys(items: list[Item]) -> dict[tuple[str, str], str]:
    """Return the key of each item: the id of its stem, with the target class if the stem has several."""
    parts = Counter(item.stem.id for item in items)
    names = {item.key: item.stem.id + (f"-{item.target}" if parts[item.stem.id] > 1 else "") for item in items}
    keys = {key: "/".join(safe_parts(name)).replace(".", "_") for key, name in names.items()}
    same = Counter(keys.values())
    marks = {key: f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}" for key, name in names.items()}
    return {key: safe + (marks[key] if same[safe] > 1 else "") for key, safe in keys.items()}


def _regions(file: Placed, labels: list[str], folder: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Yield the end of the key, a temporary file and what is known of each region of an item that holds a class."""
    info, item = files.probe(file.path), file.item
    path, at, number = folder / f"region{file.path.suffix.lower()}", 0.0, 0
    for start, end in item.spans or ((0.0, item.stem.duration),):
        for region in regions_of(replace(item, spans=((start, end),)), labels):
            begin, length = at + region.start - start, region.end - region.start
            sound = files.read(file.path, start=begin, duration=length)
            if region.labels and sound.shape[1]:
                files.write(path, sound, info.sample_rate, subtype=written_subtype(info.subtype))
                yield f"-{number:04d}", path, {"labels": region.labels, "start": region.start, "end": region.end}
                number += 1
        at += end - start


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without date and owner, so that equal content gives equal bytes."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))
