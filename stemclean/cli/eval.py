"""``stemclean eval``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemclean.cli import _options as options
from stemclean.cli import eval_pitch, eval_separation
from stemclean.cli._shared import data, example, new_app, register, remark, table

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLE = "stemclean eval labels refined.json --truth planted/truth.json"

app = new_app(
    help="Evaluate against ground truth.",
    epilog=example(EXAMPLE),
)


def labels(
    refined: options.Refined,
    truth: Annotated[
        Path, typer.Option("--truth", metavar="TRUTH", help="A manifest with the true labels, as written by corrupt.")
    ],
    *,
    printing: options.Printing,
) -> None:
    """Evaluate the labels of a refined manifest against ground truth.

    Reports how accurate the labels are and how well wrong stems were found. If both manifests have regions and levels,
    it also reports how well classes were located in time and the error of the bleed levels. Stems are matched by id.
    All shares are in [0, 1]; a dash means that there was nothing to divide by.
    """
    from stemclean.evaluate import evaluate_labels

    report = evaluate_labels(refined, truth)
    data(report, tables(report), as_json=printing.as_json)
    unmatched = len(report["stems/unmatched_refined"]) + len(report["stems/unmatched_truth"])
    if unmatched:
        remark(
            f"{unmatched} stems are in only one of the two manifests and were ignored; --json lists them",
            quiet=printing.quiet,
        )


register(app, "labels", labels, EXAMPLE)
register(app, "separation", eval_separation.command, eval_separation.EXAMPLE)
register(app, "pitch", eval_pitch.command, eval_pitch.EXAMPLE)


def tables(report: dict[str, Any]) -> list[Table]:
    """The flat report of :func:`stemclean.evaluate.evaluate_labels` as tables."""
    metrics = ("accuracy", "f1", "precision", "recall")
    by_class = table("Labels", "class", *metrics, numbers=metrics)
    for label in _names(report, "labels/accuracy/"):
        by_class.add_row(label, *(_share(report.get(f"labels/{metric}/{label}")) for metric in metrics))
    detection = table("Detection of wrong stems", "measure", "value", numbers=("value",))
    detection.add_row("wrong stems", f"{report['stems/wrong']} of {report['stems/matched']}")
    for name in _names(report, "detection/"):
        detection.add_row(name.replace("_", " "), _share(report[f"detection/{name}"]))
    faults = table(
        "By fault", "fault", "stems", "flagged", "labels correct", numbers=("stems", "flagged", "labels correct")
    )
    for name in _names(report, "fault/", "/num"):
        at = f"fault/{name}"
        flagged = report.get(f"{at}/recall", report.get(f"{at}/flagged"))
        faults.add_row(
            {"none": "none (false alarms)"}.get(name, name.replace("_db", " dB").replace("/", " ")),
            str(report[f"{at}/num"]),
            _share(flagged),
            _share(report.get(f"{at}/labels_right")),
        )
    return [by_class, detection, faults, *_timed(report), *_leveled(report)]


def _timed(report: dict[str, Any]) -> list[Table]:
    """The table of regions, if both manifests have them."""
    if "regions/stems" not in report:
        return []
    metrics = ("f1", "precision", "recall")
    shown = table("Regions, by second", "class", *metrics, numbers=metrics)
    for label in _names(report, "regions/f1/"):
        shown.add_row(label, *(_share(report[f"regions/{metric}/{label}"]) for metric in metrics))
    return [shown]


def _leveled(report: dict[str, Any]) -> list[Table]:
    """The table of bleed levels, if both manifests have them."""
    if "levels/bleeds" not in report:
        return []
    columns = ("stems", "error", "error of the mean")
    shown = table("Level of the bleed, dB", "of", *columns, numbers=columns)
    for name, count, key in (("found", "found", "error_db"), ("all", "bleeds", "error_all_db")):
        errors = (report[f"levels/{key}"], report[f"levels/mean_{key}"])
        shown.add_row(
            name, str(report[f"levels/{count}"]), *("–" if error is None else f"{error:.1f}" for error in errors)
        )
    return [shown]


def _names(report: dict[str, Any], prefix: str, suffix: str = "") -> list[str]:
    """The part between a prefix and a suffix of the keys that have both, in their order."""
    return [
        key.removeprefix(prefix).removesuffix(suffix)
        for key in report
        if key.startswith(prefix) and key.endswith(suffix)
    ]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
