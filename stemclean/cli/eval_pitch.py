"""``stemclean eval pitch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemclean.cli._shared import Json, Quiet, data, remark, report_failures, table
from stemclean.progress import waiting

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLE = "stemclean eval pitch mir1k found --plot worst.png"

ROWS = 20
"""Songs that the table shows, worst first; ``--json`` and ``--csv`` hold all."""


def command(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="A file of f0, a folder of them, or a manifest.")
    ],
    estimate: Annotated[Path, typer.Argument(metavar="ESTIMATE", help="The same, with songs called alike.")],
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write one row per song.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw both f0 of a song over its spectrogram.")
    ] = None,
    track: Annotated[
        str | None, typer.Option("--track", metavar="SONG", help="Which song is drawn; the worst one.")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option("--audio", metavar="FILE", help="Its sound; the one beside the reference.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hold estimates of f0 against what is truly sung.

    Raw pitch and raw chroma accuracy, overall accuracy, voicing recall and false alarm, each in [0, 1], song by song
    and their mean, as mir_eval.melody has them. The formats of MIR-1K, iKala, MedleyDB, MIR-ST500, mir_eval and our own
    are told apart by what stands in a file. What is missing or superfluous is listed, and the exit code is 3; the rest
    is evaluated.
    """
    with waiting(f"reading {reference} …", quiet=quiet):
        from stemclean.evaluate_pitch import evaluate_pitch

    report = evaluate_pitch(reference, estimate, csv=csv, plot=plot, track=track, audio=audio, quiet=quiet)
    data(report, tables(report), as_json=as_json)
    for line in remarks(report):
        remark(line, quiet=quiet)
    if csv:
        remark(f"wrote {csv}", quiet=quiet)
    report_failures(report["failures"], quiet=quiet)


def tables(report: dict[str, Any]) -> list[Table | str]:
    """One row a song, worst first, and the mean."""
    from stemclean.metrics.pitch import METRICS

    shorts = [short for short, _ in METRICS.values()]
    many = "1 song" if report["num_tracks"] == 1 else f"{report['num_tracks']} songs"
    shown = table(f"Pitch ({many})", "song", *shorts, numbers=shorts)
    worst = sorted(report["tracks"], key=lambda one: one["scores"]["overall_accuracy"] or 0.0)
    for one in worst[:ROWS]:
        shown.add_row(one["track"], *(_share(one["scores"][key]) for key in METRICS))
    if len(worst) > ROWS:
        shown.add_row(f"and {len(worst) - ROWS} better ones", *("" for _ in METRICS))
    if len(worst) > 1:
        shown.add_row("mean", *(_share(report["scores"][key]) for key in METRICS))
    return [shown]


def remarks(report: dict[str, Any]) -> list[str]:
    """What a reader of the table must know, and where the picture is."""
    lines = []
    silent = sum(not one["num_voiced"] for one in report["tracks"])
    if silent:
        many = "1 reference" if silent == 1 else f"{silent} references"
        lines.append(f"{many} without a voiced frame: RPA, RCA and VR are not defined there, and left out of the mean")
    if report["plot"]:
        if not report["plot"]["audio"]:
            lines.append("no spectrogram: no sound that can be read lies beside the reference; --audio FILE names one")
        lines.append(f"wrote {report['plot']['file']}: {report['plot']['track']}")
    return lines


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
