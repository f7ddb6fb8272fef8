"""``stemclean pseudo-label``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._shared import (
    clock,
    data,
    kept_in_float,
    passed_over,
    reading,
    remark,
    report_failures,
    table,
    typed,
)

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLE = "stemclean pseudo-label my_songs -o completed.json --weights file:my_cascade.safetensors"

ROWS = 10
"""Pseudo labels that the table shows; the manifest and ``--json`` contain all."""


def command(
    stems: options.Data,
    weights: options.Weights,
    output: options.Manifest = Path("completed.json"),
    threshold: options.VoicingThreshold = None,
    layout: options.Layout = None,
    device: options.Device = None,
    resume: options.Resume = True,
    dry_run: options.DryRun = False,
    *,
    printing: options.Printing,
) -> None:
    """Estimate the f0 or the vocals that songs lack.

    Vocals without an f0 get the estimate of a pitch tracker or a cascade. Mixtures with a known f0 but no vocals get
    vocals, which a cascade separates from them; the weights of a tracker leave them as they are. Each estimate has a
    confidence, by which train-joint weights it. The annotations of the dataset are not changed. An interrupted run
    continues where it stopped.
    """
    with reading(stems, layout=layout, quiet=printing.quiet):
        from stemclean.pseudo_label import plan_pseudo_label, pseudo_label
        from stemclean.report import describe_completed
        from stemclean.running import Running

    running = Running(device=device, resume=resume, quiet=printing.quiet)
    if dry_run:
        plan = plan_pseudo_label(
            stems, output, weights_uri=weights, threshold=threshold, layout=layout, running=running
        )
        print_plan(plan, printing)
        return
    completed = pseudo_label(stems, output, weights_uri=weights, threshold=threshold, layout=layout, running=running)
    report = {**describe_completed(completed), "output": str(output)}
    data(report, tables(report), as_json=printing.as_json)
    remark(*remarks(report), quiet=printing.quiet)
    report_failures(report["failures"], quiet=printing.quiet)


def tables(report: dict[str, Any]) -> list[Table | str]:
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


def remarks(report: dict[str, Any]) -> list[str]:
    """Remarks on the estimates and the next command, one per line."""
    lines = []
    if report["unsung"]:
        lines.append(
            f"the tracker found no voiced frame in {report['unsung']} of {report['pseudo_f0']['stems']} voices, "
            "although its confidence may be high. Before training on these labels, evaluate the tracker on known f0: "
            "stemclean eval pitch"
        )
    if report["left"]:
        lines.append(
            f"{report['left']} mixtures with an f0 were not separated: these are the weights of a tracker, and "
            "separating requires a cascade"
        )
    lines += [*kept_in_float(report["kept_in_float"]), *passed_over(report), f"wrote {report['output']}"]
    return [*lines, f"next: {typed('train-joint', report['output'], '-o', 'FILE')}"]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
