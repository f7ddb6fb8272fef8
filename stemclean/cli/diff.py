"""``stemclean diff``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stemclean.cli import _options as options
from stemclean.cli._shared import FINDINGS, clock, data, table

EXAMPLE = "stemclean diff refined_before.json refined.json"

ROWS = 20
"""Changed stems that the table shows; ``--json`` contains all."""


def command(
    before: Annotated[Path, typer.Argument(metavar="OLD", help="A manifest.")],
    after: Annotated[Path, typer.Argument(metavar="NEW", help="Another manifest of the same dataset.")],
    workers: options.Threads = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if there are differences.", rich_help_panel=options.OUTPUT)
    ] = False,
    *,
    printing: options.Printing,
) -> None:
    """Show what changed between two manifests of a dataset.

    Stems are matched by id. For each stem and each class, labels, found classes, verdicts, splits and issues are
    compared; scores are not.
    """
    from stemclean.diff import diff
    from stemclean.running import Running

    report = diff(before, after, running=Running(workers=workers, quiet=printing.quiet))
    data(report, _tables(report), as_json=printing.as_json)
    if exit_code and (report["changed"] or report["added"] or report["removed"]):
        raise typer.Exit(FINDINGS)


def _tables(report: dict[str, Any]) -> list[Any]:
    """The changed stems, the classes, and one line of counts."""
    changed = table("Changed stems", "stem", "what", "before", "after")
    for stem in report["changed"][:ROWS]:
        names = [name for name in stem if name != "id"]
        for number, name in enumerate(names):
            changed.add_row(stem["id"] if not number else "", name, *map(_shown, stem[name]))
    more = [f"and {len(report['changed']) - ROWS} more; --json lists all"] if len(report["changed"]) > ROWS else []
    numbers = ("before", "after", "gained", "lost")
    classes = table("Usable duration per class (h:mm:ss)", "class", *numbers, numbers=numbers)
    for label, row in report["classes"].items():
        durations = clock(row["seconds_before"]), clock(row["seconds_after"])
        classes.add_row(label, *durations, str(row["gained"]), str(row["lost"]))
    counts = f"{len(report['changed'])} changed, {report['equal']} equal"
    for name in ("added", "removed"):
        if report[name]:
            counts += f", {len(report[name])} {name} ({report[name][0]}{', …' * (len(report[name]) > 1)})"
    return [*([changed, *more] if report["changed"] else []), classes, counts]


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " + ".join(map(str, value)) or "none"
    return "–" if value is None else str(value).replace("_", " ")
