"""``stemclean merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._shared import clock, data, remark, typed

EXAMPLE = "stemclean merge refined_1.jsonl.gz refined_2.jsonl.gz -o refined.jsonl.gz"


def command(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests: .json, .jsonl, .jsonl.gz.")
    ],
    output: options.Manifest,
    rename: Annotated[
        bool,
        typer.Option(
            "--rename",
            help="Put the name of its folder of stems before ids and songs, so that datasets with songs of the same "
            "name can be joined.",
        ),
    ] = False,
    allow_differences: Annotated[
        bool,
        typer.Option(
            "--allow-differences",
            help="Join manifests of different classes, commands, weights or settings, too.",
        ),
    ] = False,
    workers: options.Threads = None,
    dry_run: options.DryRun = False,
    *,
    printing: options.Printing,
) -> None:
    """Join manifests: parts of a dataset, or several datasets.

    Stems are sorted by id, whatever the order of the manifests; a stem that several of them contain is written once.
    Manifests that contradict each other are refused. No audio is moved: paths become relative to the folder that holds
    the stems of all.
    """
    from stemclean.merge import merge, plan_merge
    from stemclean.running import Running

    running = Running(workers=workers, quiet=printing.quiet)
    if dry_run:
        plan = plan_merge(manifests, output, rename=rename, allow_differences=allow_differences, running=running)
        print_plan(plan, printing)
        return
    report = merge(manifests, output, rename=rename, allow_differences=allow_differences, running=running)
    line = f"{report['manifests']} manifests: {report['stems']} stems ({clock(report['seconds'])})"
    if report["repeated"]:
        line += f"; {report['repeated']} were in several, and are written once"
    data(report, [line], as_json=printing.as_json)
    remark(f"wrote {output}", f"next: {typed('stats', output)}", quiet=printing.quiet)
