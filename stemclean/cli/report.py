"""``stemclean report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._report import wrote
from stemclean.cli._shared import data, remark
from stemclean.progress import waiting

EXAMPLE = "stemclean report refined.json -o report.html"

Page = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="Page to write: .html.", rich_help_panel=options.OUTPUT),
]


def command(
    manifest: options.AnyManifest,
    output: Page = Path("report.html"),
    assets: Annotated[
        bool,
        typer.Option(
            "--assets",
            help="Put pictures and sound into a folder beside the page, instead of as much as fits into the page.",
        ),
    ] = False,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of stems that the page lists, the worst first.")
    ] = 5000,
    workers: options.Threads = None,
    dry_run: options.DryRun = False,
    *,
    printing: options.Printing,
) -> None:
    """Write a web page to look at stems, listen and decide.

    The page begins with a summary. Below, it lists the stems, worst first, with spectrograms, classes over time and the
    worst seconds to play. It is a single file that needs no network. Decisions (accept, relabel, drop) stay in the
    browser and are downloaded as decisions.json, which refine and export take with --decisions.
    """
    with waiting(f"reading {manifest} …", quiet=printing.quiet):
        from stemclean.report_page import plan_report, report
        from stemclean.running import Running

    running = Running(workers=workers, quiet=printing.quiet)
    if dry_run:
        print_plan(plan_report(manifest, output, assets=assets, limit=limit, running=running), printing)
        return
    written = report(manifest, output, assets=assets, limit=limit, running=running)
    data(written, [], as_json=printing.as_json)
    remark(*wrote(written), quiet=printing.quiet)
