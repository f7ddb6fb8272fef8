"""``stemclean doctor``."""

from __future__ import annotations

import typer

from stemclean.cli import _options as options
from stemclean.cli._shared import FINDINGS, data, table

EXAMPLE = "stemclean doctor"


def command(*, printing: options.Printing) -> None:
    """Check the installation, and say what to do.

    It checks versions, decoders, GPUs, weights and folders, and exits with 1 if something does not work. Please add the
    output to a bug report.
    """
    from stemclean.doctor import doctor

    report = doctor()
    shown = table(f"stemclean {report['version']}", "check", "state", "detail", "what to do")
    for finding in report["findings"]:
        shown.add_row(finding["name"], finding["state"], finding["detail"], finding["hint"])
    data(report, [shown], as_json=printing.as_json)
    if any(finding["state"] == "error" for finding in report["findings"]):
        raise typer.Exit(FINDINGS)
