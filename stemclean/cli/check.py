"""``stemclean check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli import _options as options
from stemclean.cli._refined import issue_tables
from stemclean.cli._shared import FINDINGS, clock, data, passed_over, reading, remark, report_failures, typed

EXAMPLE = "stemclean check my_stems -o checked.json"


def command(
    stems: options.Data,
    output: options.Manifest = Path("checked.json"),
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="Exit with 1 if there is an issue of this severity or a higher one (note, warning, error), or with "
            "this code, such as clipped. Repeatable.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    layout: options.Layout = None,
    workers: options.Threads = None,
    resume: options.Resume = True,
    *,
    printing: options.Printing,
) -> None:
    """Find technical faults: clipping, hum, dropouts, copies.

    It also finds lossy sources and stems that the mixture lacks. It needs no weights and changes no audio. The manifest
    contains the issues of each stem, with a score and the evidence; labels stay as they are. refine accepts the
    manifest and keeps the issues. An interrupted run continues where it stopped.
    """
    with reading(stems, layout=layout, quiet=printing.quiet):
        from stemclean import checks
        from stemclean.check import check
        from stemclean.report import describe_checked
        from stemclean.running import Running

    wanted = fail_on or []
    known = [*checks.SEVERITIES, *checks.codes()]
    for name in wanted:
        if name not in known:
            raise typer.BadParameter(f"no issue '{name}'; known: {', '.join(known)}", param_hint="--fail-on")
    running = Running(workers=workers, resume=resume, quiet=printing.quiet)
    report = describe_checked(check(stems, output, layout=layout, running=running))
    report["output"] = str(output)
    summary = f"{report['stems']} stems ({clock(report['seconds'])}): {report['with_issues']} with issues"
    data(report, [*issue_tables(report), summary], as_json=printing.as_json)
    next_command = typed("refine", output, "-o", "refined.json")
    remark(f"wrote {output}", *passed_over(report), f"next: {next_command}", quiet=printing.quiet)
    try:
        report_failures(report["failures"], quiet=printing.quiet)
    finally:
        if any(checks.matches(row["code"], row["severity"], name) for row in report["issues"] for name in wanted):
            raise typer.Exit(FINDINGS)
