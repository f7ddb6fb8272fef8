"""``stemclean check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli._refined import issue_tables
from stemclean.cli._shared import (
    FINDINGS,
    Json,
    Quiet,
    clock,
    data,
    passed_over,
    reading,
    remark,
    report_failures,
    typed,
)

EXAMPLE = "stemclean check my_stems -o checked.json"


def command(
    stems: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of stems, a CSV list, or a manifest.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Manifest to write: .json, .jsonl or .jsonl.gz.")
    ] = Path("checked.json"),
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="Exit with 1 if there is an issue of this severity or a higher one (note, warning, error), or with "
            "this code, such as clipped. Repeatable.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of stems to read in parallel (default: one per core)."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Continue an interrupted run, or start over.")
    ] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check stems for technical faults: clipping, dropouts, hum, lossy sources, copies, stems that miss in the mixture.

    Needs no weights, and no audio is changed. The manifest contains the issues of each stem with a score and evidence;
    labels stay as they are. refine reads the manifest, and keeps the issues.
    """
    with reading(stems, quiet=quiet):
        from stemclean import checks
        from stemclean.check import check
        from stemclean.report import describe_checked
        from stemclean.running import Running

    chosen = fail_on or []
    known = [*checks.SEVERITIES, *checks.codes()]
    for name in chosen:
        if name not in known:
            raise typer.BadParameter(f"no issue '{name}'; known: {', '.join(known)}", param_hint="--fail-on")
    running = Running(workers=workers, resume=resume, quiet=quiet)
    report = describe_checked(check(stems, output, running=running))
    report["output"] = str(output)
    summary = f"{report['stems']} stems, {clock(report['seconds'])}: {report['stems_with_issues']} with issues"
    data(report, [*issue_tables(report), summary], as_json=as_json)
    next_step = typed("refine", output, "-o", "refined.json")
    remark(f"wrote {output}", *passed_over(report), f"next: {next_step}", quiet=quiet)
    try:
        report_failures(report["failures"], quiet=quiet)
    finally:
        if any(checks.matches(row["code"], row["severity"], name) for row in report["issues"] for name in chosen):
            raise typer.Exit(FINDINGS)
