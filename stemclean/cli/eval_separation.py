"""``stemclean eval separation``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemclean.cli._shared import Json, Quiet, data, reading, remark, report_failures, table
from stemclean.errors import visible

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLE = "stemclean eval separation musdb18hq/test separated"


def command(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="A folder of songs, or a manifest.")],
    estimate: Annotated[Path, typer.Argument(metavar="ESTIMATE", help="The same, with songs and files called alike.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A folder for every song's frames and the summary.")
    ] = Path("evaluation"),
    metrics: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Comma-separated; isr, sir and sar take nearly all of the time. For references from lossy files: "
            "isr-reg, sir-reg, sar-reg.",
        ),
    ] = "sdr,isr,sir,sar,sdx-sdr,si-sdr",
    classes: Annotated[
        str,
        typer.Option(metavar="LIST", help="4stems, karaoke, or your own, by the names of their files: vocals,guitar,…"),
    ] = "4stems",
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write one row per song and class.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="The same, with pyarrow.")] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Songs evaluated at once; one a core.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hold a separator's estimates against the true stems.

    Measured in dB: sdr, isr, sir and sar of BSSEval v4 as museval 0.4.1 defines them (median of frames of 1 s, median
    of songs), sdx-sdr as the Sound Demixing Challenge 2023 does (over the song, mean of songs), and si-sdr. A song is a
    folder of files called vocals, bass, drums and other. What is missing or superfluous is listed, and the exit code is
    3; the rest is evaluated.
    """
    with reading(reference, quiet=quiet), reading(estimate, quiet=quiet):
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
        workers=workers,
        quiet=quiet,
    )
    data(report, tables(report), as_json=as_json)
    for line in remarks(report):
        remark(line, quiet=quiet)
    report_failures(report["failures"], quiet=quiet, labels=wanted.labels)


def tables(report: dict[str, Any]) -> list[Table | str]:
    """One row a metric, one column a class, as in the paper."""
    from stemclean.metrics.separation import METRICS

    titles = {metric.key: metric.title for metric in METRICS.values()}
    scores = report["scores"]
    labels = list(dict.fromkeys(label for values in scores.values() for label in values if label != "average"))
    many = "1 song" if report["num_tracks"] == 1 else f"{report['num_tracks']} songs"
    shown = table(f"Separation, dB ({many})", "metric", *labels, "average", numbers=(*labels, "average"))
    for key, values in scores.items():
        missing = report["not_determined"].get(key, {})
        cells = [_db(values.get(label), missing=label in missing) for label in labels]
        shown.add_row(titles[key], *cells, _db(values.get("average"), missing=bool(missing)))
    return [shown]


def remarks(report: dict[str, Any]) -> list[str]:
    """What a reader of the table must know, and where the rest is."""
    lines = []
    for track in report["tracks"]:
        of = f"{visible(track['track'])}: the"
        for label in track["silent_references"]:
            lines.append(f"{of} reference of {label} is silent, at which museval gives up; {label} is left out")
        for label in track["silent_estimates"]:
            lines.append(f"{of} estimate of {label} is silent and has no BSSEval metrics")
        for label, length in track["lengths"].items():
            change = "cut" if length > track["num_samples"] else "filled up with silence"
            lines.append(f"{of} estimate of {label} was {change}: {length} samples for {track['num_samples']}")
    return [*lines, *_not_determined(report), f"wrote {report['output']}"]


def _not_determined(report: dict[str, Any]) -> list[str]:
    """One line on values that rounding would decide, if there are any."""
    from stemclean.metrics.separation import METRICS

    missing = [name for name, metric in METRICS.items() if metric.key in report["not_determined"]]
    if not missing:
        return []
    many = sum(bool(track["not_determined"]) for track in report["tracks"])
    instead = ",".join(f"{name}-reg" for name in missing)
    songs = "1 song" if report["num_tracks"] == 1 else f"{many} of {report['num_tracks']} songs"
    line = (
        f"{', '.join(missing)}: not determined (n/d) in {songs}, whose references are empty in some band, as lossy "
        f"formats leave them; use --metrics {instead}"
    )
    return [line]


def _db(value: float | None, *, missing: bool = False) -> str:
    if value is None:
        return "n/d" if missing else "–"
    return f"{value:.2f}"
