"""``stemclean corrupt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._shared import data, passed_over, reading, remark, report_failures, softer, table, typed

EXAMPLE = "stemclean corrupt my_clean_stems planted --mislabel 0.2 --bleed 0.2 --bleed-db -20:0 --seed 1"


def command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Clean stems: a folder, a CSV list, or a manifest.")],
    destination: Annotated[
        Path,
        typer.Argument(
            metavar="DST", help="Folder for the corrupted stems: new, or from an earlier run of the same command."
        ),
    ],
    mislabel: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Share of stems that are labelled with the class of another stem."
        ),
    ] = 0.2,
    bleed: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Share of stems that another stem of the same song is mixed into."
        ),
    ] = 0.2,
    bleed_db: Annotated[
        str, typer.Option(metavar="LOW:HIGH", help="Range of the level of the bleed relative to the stem, in dB.")
    ] = "-20:0",
    bleed_share: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH",
            help="Range of the share of time in which the bleed is present; it then comes and goes (default: all the "
            "time).",
        ),
    ] = None,
    bleed_rooms: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Share of the bleeds that come through a room: late and reverberant."
        ),
    ] = 0.0,
    silence: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Share of stems that are replaced by silence.")
    ] = 0.0,
    foreign: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0, max=1, help="Share of stems that are replaced by sound other than music."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed; the same seed plants the same faults.")] = 0,
    layout: options.Layout = None,
    dry_run: options.DryRun = False,
    *,
    printing: options.Printing,
) -> None:
    """Plant known faults in a clean dataset, to test refine.

    This shows how well refine works on your kind of music. The audio is written to DST, together with truth.json, a
    manifest with the true labels, levels and regions (ground truth).
    """
    levels = parse_range(bleed_db, "--bleed-db")
    share = parse_range(bleed_share, "--bleed-share") if bleed_share else None
    with reading(source, layout=layout, quiet=printing.quiet):
        from stemclean.corrupt import CorruptConfig, corrupt, plan_corrupt
        from stemclean.report import describe_planted

    config = CorruptConfig(
        mislabel=mislabel,
        bleed=bleed,
        bleed_db=levels,
        bleed_share=share,
        bleed_rooms=bleed_rooms,
        silence=silence,
        foreign=foreign,
        seed=seed,
    )
    if dry_run:
        print_plan(plan_corrupt(source, destination, config, layout=layout, quiet=printing.quiet), printing)
        return
    report = describe_planted(corrupt(source, destination, config, layout=layout, quiet=printing.quiet))
    report["output"] = str(destination / "truth.json")
    shown = table("Planted faults", "fault", "stems", numbers=("stems",))
    for fault, count in report["faults"].items():
        shown.add_row(fault, str(count))
    data(report, [shown], as_json=printing.as_json)
    lines = [
        *softer(report["turned_down"]),
        f"wrote {report['output']}",
        *passed_over(report),
        f"next: {typed('refine', destination, '-o', 'refined.json')}",
        f"      {typed('eval', 'labels', 'refined.json', '--truth', report['output'])}",
    ]
    remark(*lines, quiet=printing.quiet)
    report_failures(report["failures"], quiet=printing.quiet)


def parse_range(text: str, option: str) -> tuple[float, float]:
    """Parse ``LOW:HIGH``; a single number stands for both.

    >>> parse_range("-20:0", "--bleed-db"), parse_range("-6", "--bleed-db")
    ((-20.0, 0.0), (-6.0, -6.0))

    Raises:
        typer.BadParameter: the text is not a range, or LOW is above HIGH.
    """
    low, colon, high = text.partition(":")
    try:
        numbers = float(low), float(high if colon else low)
    except ValueError:
        numbers = 1.0, 0.0
    if not numbers[0] <= numbers[1]:
        raise typer.BadParameter(f"{text!r} is not a range LOW:HIGH with LOW at most HIGH", param_hint=option)
    return numbers
