"""``stemclean eval pitch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemclean.cli import _options as options
from stemclean.cli._shared import data, remark, report_failures, table
from stemclean.progress import waiting

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLE = "stemclean eval pitch mir1k found --plot worst.png"

ROWS = 20
"""Songs that the table shows, worst first; ``--json`` and ``--csv`` hold all."""


def command(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="An f0 file, a folder of f0 files, or a manifest.")
    ],
    estimate: Annotated[Path, typer.Argument(metavar="ESTIMATE", help="The same, with the same song names.")],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the scores as CSV, one row per song.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE.png", help="Plot the reference and the estimate of one song over its spectrogram."
        ),
    ] = None,
    track: Annotated[
        str | None, typer.Option("--track", metavar="SONG", help="Song to plot (default: the worst).")
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option("--audio", metavar="FILE", help="Audio of that song (default: the file next to the reference)."),
    ] = None,
    *,
    printing: options.Printing,
) -> None:
    """Evaluate f0 estimates against ground truth.

    Computes raw pitch accuracy, raw chroma accuracy, overall accuracy, voicing recall and voicing false alarm for each
    song, and their means. All are in [0, 1] and defined as in mir_eval.melody. The formats of MIR-1K, iKala, MedleyDB,
    MIR-ST500, mir_eval and stemclean are recognised by their content. Songs without a counterpart are listed, and the
    exit code is 3; the others are evaluated.
    """
    with waiting(f"reading {reference} …", quiet=printing.quiet):
        from stemclean.evaluate_pitch import evaluate_pitch

    report = evaluate_pitch(reference, estimate, csv=csv, plot=plot, track=track, audio=audio, quiet=printing.quiet)
    data(report, tables(report), as_json=printing.as_json)
    for line in remarks(report):
        remark(line, quiet=printing.quiet)
    if csv:
        remark(f"wrote {csv}", quiet=printing.quiet)
    report_failures(report["failures"], quiet=printing.quiet)


def tables(report: dict[str, Any]) -> list[Table | str]:
    """One row per song, worst first, and the mean."""
    from stemclean.metrics.pitch import METRICS

    shorts = [short for short, _ in METRICS.values()]
    songs = "1 song" if report["num_tracks"] == 1 else f"{report['num_tracks']} songs"
    shown = table(f"Pitch ({songs})", "song", *shorts, numbers=shorts)
    tracks = sorted(report["tracks"], key=lambda track: track["scores"]["overall_accuracy"] or 0.0)
    for track in tracks[:ROWS]:
        shown.add_row(track["track"], *(_share(track["scores"][key]) for key in METRICS))
    if len(tracks) > ROWS:
        shown.add_row(f"and {len(tracks) - ROWS} better ones", *("" for _ in METRICS))
    if len(tracks) > 1:
        shown.add_row("mean", *(_share(report["scores"][key]) for key in METRICS))
    return [shown]


def remarks(report: dict[str, Any]) -> list[str]:
    """Notes on the table, and where the plot is."""
    lines = []
    silent = sum(not track["num_voiced"] for track in report["tracks"])
    if silent:
        references = "1 reference has" if silent == 1 else f"{silent} references have"
        lines.append(f"{references} no voiced frame: RPA, RCA and VR are undefined and left out of the mean")
    if report["plot"]:
        if not report["plot"]["audio"]:
            lines.append(
                "no spectrogram: there is no readable audio file next to the reference; name one with --audio FILE"
            )
        lines.append(f"wrote {report['plot']['file']}: {report['plot']['track']}")
    return lines


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
