"""``stemclean refine --pitch``, which completes half-labelled songs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemclean.cli._shared import clock, data, kept_in_float, passed_over, remark, report_failures, table, typed

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["completed"]

ROWS = 10
"""Pseudo labels that the table shows; the manifest and ``--json`` contain all."""


def completed(stems: Path, output: Path, uri: str, *, resume: bool, as_json: bool, quiet: bool) -> None:
    """Run the verb and print its report.

    Raises:
        typer.Exit: some inputs failed.
    """
    from stemclean.pseudo_label import pseudo_label
    from stemclean.report import describe_completed
    from stemclean.running import Running

    report = describe_completed(
        pseudo_label(stems, output, weights_uri=uri, running=Running(resume=resume, quiet=quiet))
    )
    report["output"] = str(output)
    data(report, _tables(report), as_json=as_json)
    if report["unsung"]:
        remark(
            f"in {report['unsung']} of {report['pseudo_f0']['stems']} voices, the tracker found no voiced frame, and "
            "its confidence may be high all the same: evaluate it on known f0 with stemclean eval pitch before you "
            "train on this",
            quiet=quiet,
        )
    if report["left"]:
        remark(
            f"{report['left']} mixtures with an f0 were not separated: these are the weights of a tracker, and "
            "separating requires a cascade",
            quiet=quiet,
        )
    remark(*kept_in_float(report["kept_in_float"]), *passed_over(report), quiet=quiet)
    remark(
        f"wrote {output}", f"next: {typed('train-separator', output, '--joint', 'TRACKER', '-o', 'FILE')}", quiet=quiet
    )
    report_failures(report["failures"], quiet=quiet)


def _tables(report: dict[str, Any]) -> list[Table | str]:
    """The numbers of pseudo labels with their confidence, and the labels with the lowest confidence."""
    numbers = ("stems", "length", "confidence")
    shown = table("Pseudo labels", "label", *numbers, numbers=numbers)
    for name, title in (("pseudo_f0", "f0 of voices"), ("pseudo_vocals", "voices of mixtures")):
        totals = report[name]
        shown.add_row(title, str(totals["stems"]), clock(totals["seconds"]), _share(totals["confidence"]))
    shown.add_row("f0 from the dataset", str(report["annotated"]), "", "")
    if not report["pseudo"]:
        return [shown]
    least = table("Lowest confidence", "stem", "label", "confidence", numbers=("confidence",))
    for label in report["pseudo"][:ROWS]:
        least.add_row(label["id"], label["kind"], _share(label["confidence"]))
    return [shown, least]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
