"""``stemclean refine --pitch``: songs of which only half is known, completed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemclean.cli._shared import clock, data, kept_in_float, passed_over, remark, report_failures, table, typed

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["completed"]

ROWS = 10
"""Pseudo labels that the table shows; the manifest and ``--json`` hold all."""


def completed(stems: Path, output: Path, uri: str, *, resume: bool, as_json: bool, quiet: bool) -> None:
    """Run the verb and tell what it did.

    Raises:
        typer.Exit: some inputs failed.
    """
    from stemclean.refine import refine_pitch
    from stemclean.report import describe_completed

    report = describe_completed(refine_pitch(stems, output, weights_uri=uri, resume=resume, quiet=quiet))
    report["output"] = str(output)
    data(report, _tables(report), as_json=as_json)
    if report["unsung"]:
        remark(
            f"in {report['unsung']} of {report['pseudo_f0']['stems']} voices the tracker hears nothing sung, and is as "
            "sure of it as it says: hold it against known f0 with stemclean eval pitch before you train on this",
            quiet=quiet,
        )
    if report["left"]:
        remark(
            f"{report['left']} mixtures with an f0 were left as they are: these weights are a tracker's, and only "
            "a cascade separates",
            quiet=quiet,
        )
    remark(*kept_in_float(report["kept_in_float"]), *passed_over(report), quiet=quiet)
    remark(
        f"wrote {output}", f"next: {typed('train-separator', output, '--joint', 'TRACKER', '-o', 'FILE')}", quiet=quiet
    )
    report_failures(report["failures"], quiet=quiet)


def _tables(report: dict[str, Any]) -> list[Table | str]:
    """How much was completed and how far it is trusted, and the least trusted labels."""
    numbers = ("stems", "length", "confidence")
    shown = table("Completed", "label", *numbers, numbers=numbers)
    for name, title in (("pseudo_f0", "f0 of voices"), ("pseudo_vocals", "voices of mixtures")):
        told = report[name]
        shown.add_row(title, str(told["stems"]), clock(told["seconds"]), _share(told["confidence"]))
    shown.add_row("f0 that came with the data", str(report["annotated"]), "", "")
    if not report["pseudo"]:
        return [shown]
    least = table("Least trusted", "stem", "label", "confidence", numbers=("confidence",))
    for one in report["pseudo"][:ROWS]:
        least.add_row(one["id"], one["kind"], _share(one["confidence"]))
    return [shown, least]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
