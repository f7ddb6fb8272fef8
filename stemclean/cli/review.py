"""``stemclean review``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli import _options as options
from stemclean.cli._shared import data, remark, typed
from stemclean.progress import waiting

EXAMPLE = "stemclean review refined.json"


def command(
    manifest: options.AnyManifest,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File for the decisions; those that it already holds are shown, and kept.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = Path("decisions.json"),
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of stems that the page lists, the worst first.")
    ] = 5000,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Port (default: any free one).")] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    *,
    printing: options.Printing,
) -> None:
    """Look, listen and decide in the browser.

    Serves the page of stemclean report on this machine alone, with all stems to play as a whole. The address contains a
    secret token. Ctrl-C ends it.
    """
    with waiting(f"reading {manifest} …", quiet=printing.quiet):
        from stemclean.review import review

    def ready(address: str) -> None:
        if open_browser:
            import webbrowser

            webbrowser.open(address)
        if not printing.as_json:
            data({}, [address], as_json=False)
        remark(f"open {address}", "Ctrl-C ends the review", quiet=printing.quiet or not printing.as_json)

    held = review(manifest, output, limit=limit, port=port, ready=ready)
    data(held, [], as_json=printing.as_json)
    again = typed("refine", "DATA", "--decisions", held["output"])
    remark(f"{held['decisions']} decisions in {held['output']}", f"next: {again}, or export", quiet=printing.quiet)
