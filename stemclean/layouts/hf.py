"""A dataset for Hugging Face Datasets: a folder of audio for each split with ``metadata.jsonl``, and a dataset card.

The columns are ``audio``, ``label`` (the target class), ``labels`` (the classes in the stem), ``id``, ``track``,
``given_label`` (what the dataset claims), ``label_quality``, ``verdict`` and ``reason``. ``load_dataset("DST")`` reads
all splits: ``train``, ``validation`` and ``test``.

Behaviour of the reader (datasets 5.2, ``packaged_modules/folder_based_builder``;
https://github.com/huggingface/datasets), and the consequences:

- ``file_name`` must be a relative path that does not leave the folder of its ``metadata.jsonl``. So all audio is copied
  into the folder of its split.
- Files that are not in ``metadata.jsonl`` are ignored. So audio of an earlier export may stay.
- The type of a column is that of the first lines of each split, and the splits must agree; a column without any value
  has a type of its own. So missing texts are empty, and ``label_quality`` is left out if a split has none at all.
- The front matter of ``README.md`` says which files belong to which split. So the record of the export is not data.
- What was loaded is cached, and the cache of a local folder depends on that front matter, not on the data. So it holds
  a hash of the content.
- Audio is decoded when a row is read, at the rate of its file. So files keep their rate unless ``--sample-rate`` is
  given; all have the same format (``--format``).

With ``--set parquet=true``, there is no folder of audio, but ``data/train-00000.parquet`` and so on, with the audio in
the column ``audio`` and the types of all columns; it requires pyarrow. Shards of an earlier export are kept if they
would be the same, and refused if not.

``--push ORG/REPO`` also uploads the dataset to the hub. A new repository is private, unless ``--set private=false``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from stemclean.disk import replacing
from stemclean.exporting.converting import Converter, Placed
from stemclean.exporting.descriptions import SPLITS, by_split, describe
from stemclean.exporting.lists import pyarrow, remove_others, write_jsonl
from stemclean.exporting.selection import Selection
from stemclean.exporting.shards import RECORD, write_shards
from stemclean.layouts.base import Format, Written
from stemclean.models import hub
from stemclean.settings import WHOLE

TEXTS = ("id", "track", "label", "given_label", "verdict", "reason")
ROWS = 100
"""Rows in a group of a Parquet file; readers load a group at a time."""


class HuggingFace(Format):
    """See the module.

    Args:
        parquet: write Parquet files with the audio in them, instead of a folder of audio.
        shard_mb: size of a Parquet file in megabytes of audio.
        push: also upload it to this repository of the hub, ``ORG/REPO``; None: do not.
        private: whether a new repository is private.
    """

    name: ClassVar[str] = "hf"
    reader: ClassVar[str] = "Hugging Face Datasets"
    sample_rate: ClassVar[int | None] = None
    in_place: ClassVar[bool] = False
    shape: ClassVar[tuple[str, ...]] = ("parquet",)

    parquet: bool = False
    shard_mb: Annotated[int, Field(ge=1, le=100_000), WHOLE] = 500
    push: str | None = None
    private: bool = True

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the folder, and push it.

        Returns:
            The lists; as ``extra``: ``num_rows``, by split, and ``pushed``, the address with its commit.

        Raises:
            ConfigError: pyarrow is missing, or ``push`` is no name of a repository.
            WeightsError: the hub cannot be reached, or refuses the upload.
        """
        if self.push is not None:
            hub.check_publishing(self.push, "--push")
        if self.parquet:
            pyarrow()
        converter.listen(selection, uniform=True)
        lists, counts = (self._parquet if self.parquet else _folders)(selection, converter)
        card = converter.destination / "README.md"
        with replacing(card) as temporary:
            temporary.write_text(_card(selection, counts, _hash(lists), parquet=self.parquet), encoding="utf-8")
        extra: dict[str, Any] = {"num_rows": counts}
        steps = [f'in Python: datasets.load_dataset("{converter.destination}")']
        if self.push is not None:
            extra["pushed"] = self._pushed([*converter.files, *lists, card], converter)
            steps.append(f"pushed to {extra['pushed']}")
        return Written(extra=extra, next_steps=steps, beside=[card, *lists])

    def _parquet(self, selection: Selection, converter: Converter) -> tuple[list[Path], dict[str, int]]:
        """Write the Parquet files."""
        arrow, parquet = pyarrow()
        schema = _schema(arrow)

        @contextmanager
        def opened(path: Path) -> Iterator[Callable[[Placed], None]]:
            rows: list[dict[str, Any]] = []
            with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as file:

                def flush() -> None:
                    file.write_table(arrow.Table.from_pylist(rows, schema))
                    rows.clear()

                def add(placed: Placed) -> None:
                    sound = {"bytes": placed.path.read_bytes(), "path": placed.path.name}
                    rows.append({**_row(placed, selection), "audio": sound})
                    if len(rows) == ROWS:
                        flush()

                yield add
                flush()

        shards = write_shards(selection, converter, "data/{}-{:05d}.parquet".format, opened, self.shard_mb * 1_000_000)
        counts = dict.fromkeys(SPLITS, 0)
        for name, count in shards.items():
            counts[Path(name).name.partition("-")[0]] += count
        lists = [converter.destination / name for name in (*shards, RECORD)]
        return lists, {split: count for split, count in counts.items() if count}

    def _pushed(self, paths: Sequence[Path], converter: Converter) -> str:
        files: dict[str, Path | bytes] = {
            path.relative_to(converter.destination).as_posix(): path for path in paths if path.name != RECORD
        }
        assert self.push is not None
        commit = hub.publish(
            self.push, files, "stemclean export", kind="dataset", private=self.private, quiet=converter.quiet
        )
        return f"hub:datasets/{self.push}@{commit}"


LAYOUT = HuggingFace()


def _folders(selection: Selection, converter: Converter) -> tuple[list[Path], dict[str, int]]:
    """Write the folders of audio with their metadata."""
    converter.link = "copy"
    placed = by_split(converter.place(selection, lambda item: item.stem.split or "train"))
    rows = {split: [_row(file, selection) for file in files] for split, files in placed.items()}
    if any(all(row["label_quality"] is None for row in of_split) for of_split in rows.values()):
        for row in (row for of_split in rows.values() for row in of_split):
            del row["label_quality"]
    lists = []
    for split, of_split in rows.items():
        folder = converter.destination / split
        named = (
            {"file_name": file.path.relative_to(folder).as_posix(), **row}
            for file, row in zip(placed[split], of_split, strict=True)
        )
        lists.append(write_jsonl(folder / "metadata.jsonl", named))
    remove_others(converter.destination, "*/metadata.jsonl", lists)
    return lists, {split: len(of_split) for split, of_split in rows.items()}


def _row(file: Placed, selection: Selection) -> dict[str, Any]:
    known = describe(file.item, selection)
    return {
        **{name: known[name] or "" for name in TEXTS},
        "labels": known["labels"],
        "label_quality": known["label_quality"],
    }


def _schema(arrow: Any) -> Any:
    """Return the types of the columns, for Parquet and for Datasets."""
    text = {"dtype": "string", "_type": "Value"}
    features = {
        "audio": {"_type": "Audio"},
        **dict.fromkeys(TEXTS, text),
        "labels": [text],
        "label_quality": {"dtype": "float64", "_type": "Value"},
    }
    types = {
        "audio": arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())]),
        **dict.fromkeys(TEXTS, arrow.string()),
        "labels": arrow.list_(arrow.string()),
        "label_quality": arrow.float64(),
    }
    return arrow.schema(types.items(), metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _hash(lists: Sequence[Path]) -> str:
    """Return a hash of the metadata, or of the record of the shards, which have hashes of the audio."""
    content = [path.read_bytes() for path in lists if path.name in ("metadata.jsonl", RECORD)]
    return hashlib.sha256(b"".join(content)).hexdigest()[:16]


def _card(selection: Selection, counts: dict[str, int], content: str, *, parquet: bool) -> str:
    """Return the dataset card."""
    pattern = "data/{}-*.parquet" if parquet else "{}/**"
    files = [f"  - split: {split}\n    path: {pattern.format(split)}" for split in counts]
    hours = [
        f"| {_cell(target)} | {seconds / 3600:.2f} | {sum(selection.lost_seconds[target].values()) / 3600:.2f} |"
        for target, seconds in selection.kept_seconds.items()
    ]
    created = selection.manifest.created
    judged = f", judged with `{created.model.uri}`" if created.model else ""
    return "\n".join(
        [
            "---",
            "task_categories:",
            "- audio-classification",
            "tags:",
            "- music",
            "- music-source-separation",
            "- stemclean",
            *(["configs:", "- config_name: default", f"  description: content {content}"] if files else []),
            *(["  data_files:", *files] if files else []),
            "---",
            "",
            "# Stems of music",
            "",
            f"Stems of music for training, selected with stemclean from a manifest of `{created.command}`{judged}.",
            "Stems were left out if they hold other classes than their own, as far as is known.",
            "",
            "| class | hours | hours left out |",
            "|---|---|---|",
            *hours,
            "",
            "| column | meaning |",
            "|---|---|",
            "| `audio` | the stem |",
            "| `label` | its class |",
            "| `labels` | classes that it holds; several if `label` stands for them together |",
            "| `id`, `track` | name of the stem, and the song that it belongs to |",
            "| `given_label` | class that the original dataset claims |",
            "| `label_quality` | estimated probability that this claim is right |",
            "| `verdict`, `reason` | `keep` as claimed, or `relabel`, and why |",
            "",
        ]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
