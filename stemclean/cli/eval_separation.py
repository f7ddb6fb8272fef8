"""``stemclean eval separation``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemclean.cli import _options as options
from stemclean.cli._shared import data, reading, remark, report_failures, table
from stemclean.errors import visible

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLE = "stemclean eval separation musdb18hq/test separated"


def command(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="A folder of songs, or a manifest.")],
    estimate: Annotated[Path, typer.Argument(metavar="ESTIMATE", help="The same, with the same song and file names.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for the frame-wise results of every song and the summary.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = Path("evaluation"),
    metrics: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Metrics, comma-separated; isr, sir and sar take almost all of the time. For references from lossy "
            "files, use isr-reg, sir-reg and sar-reg.",
        ),
    ] = "sdr,isr,sir,sar,sdx-sdr,si-sdr",
    classes: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Classes: 4stems, karaoke, or a comma-separated list of file names (vocals,guitar,…)."
        ),
    ] = "4stems",
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the scores as CSV, one row per song and class.")
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Option("--parquet", metavar="FILE", help="Write the same rows as Parquet (requires pyarrow)."),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option("--layout", metavar="NAME", help="Layout of REFERENCE, as for refine (default: detected)."),
    ] = None,
    workers: options.Threads = None,
    *,
    printing: options.Printing,
) -> None:
    """Evaluate the estimates of a separator against the true stems.

    The metrics, in dB, are sdr, isr, sir and sar of BSSEval v4 as in museval 0.4.1 (median over frames of 1 s, then
    over songs), sdx-sdr as in the Sound Demixing Challenge 2023 (over whole songs, then the mean), and si-sdr. A song
    is a folder of files called vocals, bass, drums and other. Songs and stems without a counterpart are listed, and
    the exit code is 3; the others are evaluated.
    """
    with reading(reference, layout=layout, quiet=printing.quiet), reading(estimate, quiet=printing.quiet):
        from stemclean.evaluate_separation import classes as profile_of
        from stemclean.evaluate_separation import evaluate_separation

    wanted = profile_of(classes)
    report = evaluate_separation(
        reference,
        estimate,
        output,
        metrics=[name.strip() for name in metrics.split(",") if name.strip()],
        profile=wanted,
        csv=csv,
        parquet=parquet,
        layout=layout,
        workers=workers,
        quiet=printing.quiet,
    )
    data(report, tables(report), as_json=printing.as_json)
    for line in remarks(report):
        remark(line, quiet=printing.quiet)
    report_failures(report["failures"], quiet=printing.quiet, labels=wanted.labels)


def tables(report: dict[str, Any]) -> list[Table | str]:
    """One row per metric and one column per class, as in the paper."""
    from stemclean.metrics.separation import METRICS

    titles = {metric.key: metric.title for metric in METRICS.values()}
    scores = report["scores"]
    labels = list(dict.fromkeys(label for values in scores.values() for label in values if label != "average"))
    songs = "1 song" if report["num_tracks"] == 1 else f"{report['num_tracks']} songs"
    shown = table(f"Separation, dB ({songs})", "metric", *labels, "average", numbers=(*labels, "average"))
    for key, values in scores.items():
        missing = report["not_determined"].get(key, {})
        cells = [_db(values.get(label), missing=label in missing) for label in labels]
        shown.add_row(titles[key], *cells, _db(values.get("average"), missing=bool(missing)))
    return [shown]


def remarks(report: dict[str, Any]) -> list[str]:
    """Notes on the table, and where the full results are."""
    lines = []
    for track in report["tracks"]:
        song = visible(track["track"])
        for label in track["silent_references"]:
            lines.append(f"{song}: the reference of {label} is silent, which museval rejects; {label} was left out")
        for label in track["silent_estimates"]:
            lines.append(f"{song}: the estimate of {label} is silent, so its BSSEval metrics are undefined")
        for label, length in track["lengths"].items():
            change = "cut" if length > track["num_samples"] else "padded with silence"
            lines.append(
                f"{song}: the estimate of {label} was {change}, from {length} to {track['num_samples']} samples"
            )
    return [*lines, *_not_determined(report), f"wrote {report['output']}"]


def _not_determined(report: dict[str, Any]) -> list[str]:
    """One line on values that depend on rounding, if there are any."""
    from stemclean.metrics.separation import METRICS

    missing = [name for name, metric in METRICS.items() if metric.key in report["not_determined"]]
    if not missing:
        return []
    num_songs = sum(bool(track["not_determined"]) for track in report["tracks"])
    instead = ",".join(f"{name}-reg" for name in missing)
    songs = "1 song" if report["num_tracks"] == 1 else f"{num_songs} of {report['num_tracks']} songs"
    line = (
        f"{', '.join(missing)}: not determined (n/d) in {songs}, whose references have empty frequency bands, as after "
        f"lossy coding; use --metrics {instead}"
    )
    return [line]


def _db(value: float | None, *, missing: bool = False) -> str:
    if value is None:
        return "n/d" if missing else "–"
    return f"{value:.2f}"
