"""``stemclean check``."""

from __future__ import annotations

from pathlib import Path

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._refined import issue_tables
from stemclean.cli._shared import clock, data, passed_over, reading, remark, report_failures, report_findings, typed

EXAMPLE = "stemclean check my_stems -o checked.json"


def command(
    stems: options.Data,
    output: options.Manifest = Path("checked.json"),
    fail_on: options.FailOn = None,
    layout: options.Layout = None,
    workers: options.Threads = None,
    resume: options.Resume = True,
    dry_run: options.DryRun = False,
    *,
    printing: options.Printing,
) -> None:
    """Find technical faults: clipping, hum, dropouts, copies.

    It also finds lossy sources and stems that the mixture lacks. It needs no weights and changes no audio. The manifest
    contains the issues of each stem, with a score and the evidence; labels stay as they are. refine accepts the
    manifest and keeps the issues. An interrupted run continues where it stopped.
    """
    with reading(stems, layout=layout, quiet=printing.quiet):
        from stemclean import gate
        from stemclean.check import check, plan_check
        from stemclean.report import describe_checked
        from stemclean.running import Running

    gate.check(fail_on or ())
    running = Running(workers=workers, resume=resume, quiet=printing.quiet)
    if dry_run:
        print_plan(plan_check(stems, output, layout=layout, running=running), printing)
        return
    checked = check(stems, output, layout=layout, running=running)
    failed_on = gate.failing(checked.stems, fail_on or ())
    report = {**describe_checked(checked), "output": str(output), "failed_on": failed_on}
    summary = f"{report['stems']} stems ({clock(report['seconds'])}): {report['with_issues']} with issues"
    data(report, [*issue_tables(report), summary], as_json=printing.as_json)
    next_command = typed("refine", output, "-o", "refined.json")
    remark(f"wrote {output}", *passed_over(report), f"next: {next_command}", quiet=printing.quiet)
    try:
        report_failures(report["failures"], quiet=printing.quiet)
    finally:
        report_findings(failed_on, quiet=printing.quiet)
