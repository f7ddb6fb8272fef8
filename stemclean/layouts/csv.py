"""A CSV of all stems with their labels and verdicts, to be filtered with pandas or examined with cleanlab.

``given_label``, ``label_quality`` and ``is_label_issue`` are named as in the table that cleanlab's
``CleanLearning.find_label_issues`` returns. Every stem has a row, or with ``--cut`` one for each class in it:

- ``labels`` is the target class; several classes are joined by ``+``; empty if the stem should not be used;
- ``given_label`` is what the dataset claims, and ``is_label_issue`` whether something else was found (a held-out stem
  keeps its label in any case); both this and the quality are empty if the stem was not judged;
- ``verdict`` and ``reason`` are those of the manifest; if the stem is left out for another reason, such as a duplicate,
  the verdict is ``drop`` and the reason says why.

Files are listed where they lie. With ``--sample-rate``, the stems with a target class are converted to that rate and
two channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from stemclean.exporting.converting import Converter
from stemclean.exporting.lists import write_csv
from stemclean.exporting.selection import Selection
from stemclean.layouts.base import Format, Written
from stemclean.manifest import Stem

COLUMNS = "path track split labels given_label label_quality is_label_issue verdict reason".split()


class Csv(Format):
    """See the module."""

    name: ClassVar[str] = "csv"
    reader: ClassVar[str] = "pandas, cleanlab, your own scripts"
    sample_rate: ClassVar[int | None] = None

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write ``stems.csv``."""
        converter.listen(selection)
        placed: dict[str, list[tuple[Path, str]]] = {}
        for file in converter.place(selection):
            placed.setdefault(file.item.stem.id, []).append((file.path, file.item.target))
        rows = []
        for stem in selection.manifest.stems:
            for path, target in placed.get(stem.id, [(converter.folder / stem.path, "")]):
                left_out = "" if target else selection.reasons.get(stem.id, "")
                rows.append([path.absolute(), *_columns(stem, target, left_out)])
        return Written([write_csv(converter.destination / "stems.csv", COLUMNS, rows)])


LAYOUT = Csv()


def _columns(stem: Stem, target: str, left_out: str) -> list[object]:
    """Return the columns after the path."""
    verdict = stem.verdict
    action, reason = (verdict.action, verdict.reason) if verdict else ("", "")
    labels = target or ("+".join(stem.labels) if left_out == "several_classes" else "")
    if left_out and action != "drop" and not labels:
        action, reason = "drop", left_out
    quality = "" if verdict is None or verdict.label_quality is None else verdict.label_quality
    claim = "+".join(stem.claimed)
    issue = "" if verdict is None else verdict.action != "keep" or (stem.held_out and stem.found != stem.claimed)
    return [stem.track, stem.split or "", labels, claim, quality, issue, action, reason]
