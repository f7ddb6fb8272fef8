"""``stemclean stats``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stemclean.cli import _options as options
from stemclean.cli._refined import issue_tables
from stemclean.cli._shared import clock, data, table

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLE = "stemclean stats refined.json"


def command(
    manifest: options.AnyManifest,
    workers: options.Threads = None,
    *,
    printing: options.Printing,
) -> None:
    """Summarise a manifest: durations, verdicts, issues.

    Shows the duration of each class, and how many stems have each verdict, split, sample rate, number of channels and
    issue.
    """
    from stemclean.report import describe_manifest
    from stemclean.running import Running

    report = describe_manifest(manifest, running=Running(workers=workers, quiet=printing.quiet))
    data(report, _tables(report), as_json=printing.as_json)


def _tables(report: dict[str, Any]) -> list[Table | str]:
    numbers = ("claimed", "alone", "with others")
    classes = table("Duration per class (h:mm:ss)", "class", *numbers, numbers=numbers)
    for label, row in report["classes"].items():
        classes.add_row(label, clock(row["claimed"]), clock(row["alone"]), clock(row["with_others"]))
    counts = table("Stems", "by", "value", "stems", numbers=("stems",))
    for name in ("verdicts", "reasons", "splits", "sample_rates", "channels", "skipped"):
        for value, number in report[name].items():
            counts.add_row(name.replace("_", " "), value.replace("_", " "), str(number))
    whole = (
        f"{report['stems']} stems of {report['tracks']} tracks, {clock(report['seconds'])}; written by {report['by']}"
    )
    return [classes, counts, *issue_tables(report), whole]
