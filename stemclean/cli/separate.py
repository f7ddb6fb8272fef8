"""``stemclean separate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._shared import clock, data, kept_in_float, remark, report_failures, softer, table

EXAMPLE = "stemclean separate song.mp3 -o separated --weights file:my_separator.safetensors"


def command(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A song, or a folder of songs.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the estimates.", rich_help_panel=options.OUTPUT),
    ],
    weights: options.Weights,
    overlap: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0, max=0.95, help="Overlap of the segments; a larger overlap takes longer."),
    ] = 0.25,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help="wav or flac, 24 bits; a wav that exceeds full scale is written in float."
        ),
    ] = "wav",
    device: options.Device = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Number of segments to separate at once.")] = 1,
    resume: options.ResumeSongs = True,
    dry_run: options.DryRun = False,
    *,
    printing: options.Printing,
) -> None:
    """Separate songs into one file per class.

    The estimates of a song are written to DIR/SONG/CLASS.wav, with the sample rate, channels and length of the song. If
    a folder contains a file called mixture, only that file is separated.
    """
    from stemclean.manifest import Skip
    from stemclean.report import skips
    from stemclean.separate import SeparateConfig, plan_separate, separate

    how: dict[str, Any] = {
        "weights_uri": weights,
        "config": SeparateConfig(overlap=overlap, format=format_),
        "device": device,
        "batch_size": batch_size,
        "resume": resume,
        "quiet": printing.quiet,
    }
    if dry_run:
        print_plan(plan_separate(source, output, **how), printing)
        return
    done = separate(source, output, **how)
    report = {
        **{key: done[key] for key in ("output", "weights", "config", "songs")},
        "seconds": round(done["seconds"], 1),
        **skips(map(Skip.model_validate, done["skipped"])),
    }
    shown = table("Separated", "song", "length", "remarks", numbers=("length",))
    for name, song in report["songs"].items():
        shown.add_row(name, clock(song["num_samples"] / song["sample_rate"]), ", ".join(song["issues"]))
    data(report, [shown], as_json=printing.as_json)
    in_float = [name for name, song in report["songs"].items() if song["in_float"]]
    turned_down = {name: song["gain_db"] for name, song in report["songs"].items() if song["gain_db"]}
    remark(*kept_in_float(in_float), *softer(turned_down), f"wrote {output}", quiet=printing.quiet)
    report_failures(report["failures"], quiet=printing.quiet)
