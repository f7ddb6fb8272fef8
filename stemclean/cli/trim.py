"""``stemclean trim``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli._shared import (
    Json,
    Quiet,
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


class ByWhat(StrEnum):
    """What ``--detector`` may name."""

    SUSTAINED = "sustained"
    PEAK = "peak"


def command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A folder of stems, a CSV, or a manifest.")],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="A folder for the trimmed stems: new, or the same run's from before.")
    ],
    regions_only: Annotated[
        bool, typer.Option("--regions-only", help="Write the manifest with the regions, and no audio.")
    ] = False,
    first_db: Annotated[
        float, typer.Option(metavar="DB", min=0, help="First pass: silence is this far below the stem's level.")
    ] = 30.0,
    second_db: Annotated[
        float, typer.Option(metavar="DB", min=0, help="Second pass: silence is this far below the song's peak.")
    ] = 60.0,
    detector: Annotated[
        ByWhat,
        typer.Option(
            metavar="NAME",
            help="The stem's level is what it sustains for half a second; peak: its largest sample, as in the paper.",
        ),
    ] = ByWhat.SUSTAINED,
    silence_floor_dbfs: Annotated[
        float, typer.Option(metavar="DBFS", max=0, help="What is softer is silence, however soft the song.")
    ] = -130.0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut the silence out of every stem.

    The stems go to DST as FLAC with short cross-fades at the joins, together with manifest.json, which says for every
    kept sample where in the source it stood. Nothing in SRC is touched.
    """
    with reading(source, quiet=quiet):
        from stemclean.report import describe_trimmed
        from stemclean.trim import TrimConfig, trim

    config = TrimConfig(
        first_db=first_db, second_db=second_db, silence_floor_dbfs=silence_floor_dbfs, detector=detector.value
    )
    report = describe_trimmed(trim(source, destination, config, regions_only=regions_only, quiet=quiet))
    report["output"] = str(destination / "manifest.json")
    shown = table("Trimmed", "class", "stems", "before", "after", numbers=("stems", "before", "after"))
    for label, numbers in report["classes"].items():
        shown.add_row(label, str(round(numbers["stems"])), clock(numbers["before"]), clock(numbers["after"]))
    data(report, [shown], as_json=as_json)
    if report["silent"]:
        remark(f"left out {len(report['silent'])} as silent: {named(report['silent'])}", quiet=quiet)
    remark(*softer(report["turned_down"]), quiet=quiet)
    lines = [f"wrote {report['output']}", *passed_over(report), f"next: {typed('refine', report['output'])}"]
    remark(*lines, quiet=quiet)
    report_failures(report["failures"], quiet=quiet)
