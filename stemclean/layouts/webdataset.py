"""Tar shards for WebDataset: ``train-000000.tar`` and so on, with ``KEY.flac`` and ``KEY.json`` for each stem.

The JSON holds the target class (``label``), the classes in the stem (``labels``), its track and split, what the dataset
claims (``given_label``), ``label_quality``, ``is_label_issue``, ``verdict`` and ``reason``. With ``--cut``, a sample is
what is left of a stem.

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
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from stemclean.audio import files
from stemclean.disk import replacing
from stemclean.exporting.converting import Converter, Placed, safe_parts
from stemclean.exporting.descriptions import describe
from stemclean.exporting.lists import json_line
from stemclean.exporting.selection import Item, Selection
from stemclean.exporting.shards import RECORD, write_shards
from stemclean.layouts.base import Format, Written
from stemclean.settings import WHOLE


class WebDataset(Format):
    """See the module.

    Args:
        shard_mb: size of a shard in megabytes of audio.
    """

    name: ClassVar[str] = "webdataset"
    reader: ClassVar[str] = "WebDataset"
    in_place: ClassVar[bool] = False

    shard_mb: Annotated[int, Field(ge=1, le=100_000), WHOLE] = 200

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the shards.

        Returns:
            The shards and their record; as ``extra``: ``num_samples``, by shard.
        """
        converter.listen(selection, uniform=True)
        keys = _keys(selection.items)

        @contextmanager
        def opened(path: Path) -> Iterator[Callable[[Placed], None]]:
            with replacing(path) as temporary, tarfile.open(temporary, "w") as archive:

                def add(file: Placed) -> None:
                    info, key = files.probe(file.path), keys[file.item.key]
                    form = {"sample_rate": info.sample_rate, "channels": info.channels, "num_samples": info.num_samples}
                    _put(archive, f"{key}{file.path.suffix.lower()}", file.path.read_bytes())
                    _put(archive, f"{key}.json", json_line({**describe(file.item, selection), **form}))

                yield add

        counts = write_shards(selection, converter, "{}-{:06d}.tar".format, opened, self.shard_mb * 1_000_000)
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


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without date and owner, so that equal content gives equal bytes."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))
