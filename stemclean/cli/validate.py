"""``stemclean validate``."""

from __future__ import annotations

from typing import Annotated

import typer

from stemclean.cli import _options as options
from stemclean.cli._shared import clock, data, report_failures, report_findings

CHECKED = {"manifest": "the manifest alone", "headers": "headers", "checksums": "headers and checksums"}
EXAMPLE = "stemclean validate refined.json --checksums"


def command(
    manifest: options.AnyManifest,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Compare the manifest with the headers of the audio files.")
    ] = True,
    checksums: Annotated[
        bool, typer.Option("--checksums", help="Read all files, and compare their checksums, too.")
    ] = False,
    fail_on: options.FailOn = None,
    workers: options.Threads = None,
    *,
    printing: options.Printing,
) -> None:
    """Check that a manifest is valid and its files unchanged.

    Exits with 2 if the manifest breaks its schema, and with 3 if a file is missing, unreadable or not the one that the
    manifest describes. With --fail-on, it also exits with 1 if a stem has a verdict or an issue according to the
    manifest.
    """
    from stemclean.running import Running
    from stemclean.validate import validate

    running = Running(workers=workers, quiet=printing.quiet)
    report = validate(manifest, audio=audio, checksums=checksums, fail_on=fail_on or (), running=running)
    checked = {"manifest": "the manifest", "headers": "headers", "checksums": "headers and checksums"}[
        report["checked"]
    ]
    state = "valid" if not report["failures"] else f"{len(report['failures'])} problems"
    line = f"{manifest}: {state}; {report['stems']} stems ({clock(report['seconds'])}), checked {checked}"
    data(report, [line], as_json=printing.as_json)
    try:
        report_failures(report["failures"], quiet=printing.quiet)
    finally:
        report_findings(report["failed_on"], quiet=printing.quiet)
