"""``stemclean trim``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stemclean.audio import SILENCE_FLOOR_DBFS
from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._shared import (
    clock,
    data,
    named,
    passed_over,
    reading,
    remark,
    report_failures,
    softer,
    table,
    typed,
)

EXAMPLE = "stemclean trim my_stems trimmed"


class Detector(StrEnum):
    """The values of ``--detector``."""

    SUSTAINED = "sustained"
    PEAK = "peak"


def command(
    source: options.Source,
    destination: Annotated[
        Path,
        typer.Argument(
            metavar="DST", help="Folder for the trimmed stems: new, or from an earlier run of the same command."
        ),
    ],
    regions_only: Annotated[
        bool, typer.Option("--regions-only", help="Write only the manifest with the active regions, no audio.")
    ] = False,
    first_db: Annotated[
        float,
        typer.Option(
            metavar="DB", min=0, help="First pass: sound this far below the level of the stem counts as silence."
        ),
    ] = 30.0,
    second_db: Annotated[
        float,
        typer.Option(
            metavar="DB", min=0, help="Second pass: sound this far below the peak of the song counts as silence."
        ),
    ] = 60.0,
    detector: Annotated[
        Detector,
        typer.Option(
            metavar="NAME",
            help="Level of a stem: sustained (for half a second) or peak (the largest sample, as in the paper).",
        ),
    ] = Detector.SUSTAINED,
    silence_floor_dbfs: options.SilenceFloor = SILENCE_FLOOR_DBFS,
    layout: options.Layout = None,
    dry_run: options.DryRun = False,
    *,
    printing: options.Printing,
) -> None:
    """Remove the silence from every stem.

    The stems are written to DST as FLAC, with short cross-fades at the joins. A manifest.json maps every sample that
    was kept to its place in the source. Nothing in SRC is changed.
    """
    with reading(source, layout=layout, quiet=printing.quiet):
        from stemclean.report import describe_trimmed
        from stemclean.trim import TrimConfig, plan_trim, trim

    config = TrimConfig(
        first_db=first_db, second_db=second_db, silence_floor_dbfs=silence_floor_dbfs, detector=detector.value
    )
    how: dict[str, Any] = {"regions_only": regions_only, "layout": layout, "quiet": printing.quiet}
    if dry_run:
        print_plan(plan_trim(source, destination, config, **how), printing)
        return
    trimmed = trim(source, destination, config, **how)
    report = describe_trimmed(trimmed)
    report["output"] = str(destination / "manifest.json")
    shown = table("Trimmed", "class", "stems", "before", "after", numbers=("stems", "before", "after"))
    for label, numbers in report["classes"].items():
        shown.add_row(label, str(round(numbers["stems"])), clock(numbers["before"]), clock(numbers["after"]))
    data(report, [shown], as_json=printing.as_json)
    if report["silent"]:
        remark(f"left out as silent ({len(report['silent'])}): {named(report['silent'])}", quiet=printing.quiet)
    remark(*softer(report["turned_down"]), quiet=printing.quiet)
    lines = [f"wrote {report['output']}", *passed_over(report), f"next: {typed('refine', report['output'])}"]
    remark(*lines, quiet=printing.quiet)
    report_failures(report["failures"], quiet=printing.quiet)
