"""``stemclean corrupt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli._shared import (
    Json,
    Quiet,
    data,
    passed_over,
    reading,
    remark,
    report_failures,
    softer,
    table,
    typed,
)

EXAMPLE = "stemclean corrupt my_clean_stems planted --mislabel 0.2 --bleed 0.2 --bleed-db -20:0 --seed 1"


def command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Clean stems: a folder, a CSV, or a manifest.")],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="A folder for the planted stems: new, or the same run's from before.")
    ],
    mislabel: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Of all stems, those that get another stem's class.")
    ] = 0.2,
    bleed: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Of all stems, those that another stem of the same song is mixed into."
        ),
    ] = 0.2,
    bleed_db: Annotated[
        str, typer.Option(metavar="LOW:HIGH", help="Level of the bleed against the stem, in dB, drawn between the two.")
    ] = "-20:0",
    bleed_share: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH",
            help="Of the stem's time, the part in which the bleed is heard: it comes and goes. Without it, throughout.",
        ),
    ] = None,
    silence: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Of all stems, those that are replaced by silence.")
    ] = 0.0,
    foreign: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Of all stems, those that are replaced by sound that is no music."
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed plants the same faults.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Plant known faults in a clean dataset, to test refine.

    So you find out what it can do on your kind of music. The audio goes to DST together with truth.json, a manifest
    whose labels, levels and regions are the truth.
    """
    levels = parse_range(bleed_db, "--bleed-db")
    share = parse_range(bleed_share, "--bleed-share") if bleed_share else None
    with reading(source, quiet=quiet):
        from stemclean.corrupt import CorruptConfig, corrupt
        from stemclean.report import describe_planted

    config = CorruptConfig(
        mislabel=mislabel,
        bleed=bleed,
        bleed_db=levels,
        bleed_share=share,
        silence=silence,
        foreign=foreign,
        seed=seed,
    )
    report = describe_planted(corrupt(source, destination, config, quiet=quiet))
    report["output"] = str(destination / "truth.json")
    shown = table("Planted", "fault", "stems", numbers=("stems",))
    for fault, count in report["faults"].items():
        shown.add_row(fault, str(count))
    data(report, [shown], as_json=as_json)
    lines = [
        *softer(report["turned_down"]),
        f"wrote {report['output']}",
        *passed_over(report),
        f"next: {typed('refine', destination, '-o', 'refined.json')}",
        f"      {typed('eval', 'labels', 'refined.json', '--truth', report['output'])}",
    ]
    remark(*lines, quiet=quiet)
    report_failures(report["failures"], quiet=quiet)


def parse_range(text: str, option: str) -> tuple[float, float]:
    """``LOW:HIGH`` as two numbers; a single number is both.

    >>> parse_range("-20:0", "--bleed-db"), parse_range("-6", "--bleed-db")
    ((-20.0, 0.0), (-6.0, -6.0))

    Raises:
        typer.BadParameter: anything else, or LOW above HIGH.
    """
    low, colon, high = text.partition(":")
    try:
        numbers = float(low), float(high if colon else low)
    except ValueError:
        numbers = 1.0, 0.0
    if not numbers[0] <= numbers[1]:
        raise typer.BadParameter(f"{text!r} is no LOW:HIGH with LOW not above HIGH", param_hint=option)
    return numbers
