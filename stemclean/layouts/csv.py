"""A CSV of all stems with their labels and verdicts, to be filtered with pandas or examined with cleanlab.

``given_label``, ``label_quality`` and ``is_label_issue`` are named as in the table that cleanlab's
``CleanLearning.find_label_issues`` returns. Every stem has a row, or with ``--cut`` one for each class in it:

- ``labels`` is the target class; several classes are joined by ``+``; empty if the stem should not be used;
- ``given_label`` is what the dataset claims, and ``is_label_issue`` whether something else was found (a held-out stem
  keeps its label in any case); both this and the quality are empty if the stem was not judged;
- ``verdict`` and ``reason`` are those of the manifest; if the stem is left out for another reason, such as a duplicate,
  the verdict is ``drop`` and the reason says why.

Files are listed where they lie. With ``--sample-rate``, the stems with a target class are converted to that rate and
two channels. ``--set parquet=true`` also writes ``stems.parquet``, with a type for each column.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from stemclean.disk import replacing
from stemclean.exporting.converting import Converter
from stemclean.exporting.descriptions import judgement
from stemclean.exporting.lists import pyarrow, write_csv
from stemclean.exporting.selection import Selection
from stemclean.layouts.base import Format, Written
from stemclean.manifest import Stem

COLUMNS = "path track split labels given_label label_quality is_label_issue verdict reason".split()


class Csv(Format):
    """See the module.

    Args:
        parquet: also write ``stems.parquet``, with types and nulls; requires pyarrow.
    """

    name: ClassVar[str] = "csv"
    reader: ClassVar[str] = "pandas, cleanlab, your own scripts"
    sample_rate: ClassVar[int | None] = None

    parquet: bool = False

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write ``stems.csv``, and ``stems.parquet`` if it is wanted."""
        if self.parquet:
            pyarrow()
        converter.listen(selection)
        placed: dict[str, list[tuple[Path, str]]] = {}
        for file in converter.place(selection):
            placed.setdefault(file.item.stem.id, []).append((file.path, file.item.target))
        rows: list[list[object]] = []
        for stem in selection.manifest.stems:
            for path, target in placed.get(stem.id, [(converter.folder / stem.path, "")]):
                left_out = "" if target else selection.reasons.get(stem.id, "")
                rows.append([str(path.absolute()), *_columns(stem, target, left_out)])
        lists = [write_csv(converter.destination / "stems.csv", COLUMNS, rows)]
        if self.parquet:
            lists.append(_write_parquet(converter.destination / "stems.parquet", rows))
        return Written(lists)


LAYOUT = Csv()


def _columns(stem: Stem, target: str, left_out: str) -> list[object]:
    """Return the columns after the path; None is empty."""
    known = judgement(stem)
    labels = target or ("+".join(stem.labels) if left_out == "several_classes" else "")
    if left_out and known["verdict"] != "drop" and not labels:
        known |= {"verdict": "drop", "reason": left_out}
    return [stem.track, stem.split, labels, *known.values()]


def _write_parquet(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    arrow, parquet = pyarrow()
    types = dict.fromkeys(COLUMNS, arrow.string()) | {"label_quality": arrow.float64(), "is_label_issue": arrow.bool_()}
    columns = {name: [row[at] for row in rows] for at, name in enumerate(COLUMNS)}
    with replacing(path) as temporary:
        parquet.write_table(arrow.table(columns, arrow.schema(types.items())), temporary)
    return path
