"""``stemclean f0``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._shared import clock, data, remark, report_failures, table

EXAMPLE = "stemclean f0 song.mp3 -o song.f0.csv --weights file:my_cascade.safetensors"

ROWS = 20
"""Songs that the table shows, lowest confidence first; ``--json`` lists all."""


def command(
    sources: Annotated[list[Path], typer.Argument(metavar="AUDIO", help="Audio files, or folders of audio files.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File to write for a single input, or a folder for several.",
            rich_help_panel=options.OUTPUT,
        ),
    ],
    weights: options.Weights,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help="Output format: stemclean, medleydb, mir_eval, mir1k, ikala or mir_st500."
        ),
    ] = "stemclean",
    vocals: Annotated[
        bool, typer.Option("--vocals", help="Treat the input as isolated voices: use only the tracker of a cascade.")
    ] = False,
    threshold: options.VoicingThreshold = None,
    device: options.Device = None,
    resume: options.ResumeSongs = True,
    dry_run: options.DryRun = False,
    *,
    printing: options.Printing,
) -> None:
    """Estimate the fundamental frequency (f0) of a voice.

    Weights of a tracker take isolated vocals; those of a cascade take mixtures and separate the voice first. If a
    folder contains a file called vocals (or mixture, for a cascade), only that file is used. The output has one row per
    frame: the time, the frequency in Hz (0 if nothing is sung), the probability that there is a voice, and the
    confidence of the estimate.
    """
    from stemclean.f0 import F0Config, find_f0, plan_f0
    from stemclean.manifest import Skip
    from stemclean.report import skips

    how: dict[str, Any] = {
        "weights_uri": weights,
        "config": F0Config(format=format_, threshold=threshold, vocals=vocals),
        "device": device,
        "resume": resume,
        "quiet": printing.quiet,
    }
    if dry_run:
        print_plan(plan_f0(sources, output, **how), printing)
        return
    done = find_f0(sources, output, **how)
    report = {
        **{key: done[key] for key in ("output", "weights", "config", "songs")},
        "seconds": round(done["seconds"], 1),
        **skips(map(Skip.model_validate, done["skipped"])),
    }
    numbers = ("length", "voiced", "confidence")
    shown = table("Estimated f0", "song", *numbers, numbers=numbers)
    songs = sorted(report["songs"].items(), key=lambda item: item[1]["confidence"] or 0.0)
    for name, song in songs[:ROWS]:
        voiced = f"{song['num_voiced'] / max(1, song['num_frames']):.0%}"
        shown.add_row(name, clock(song["num_frames"] * song["hop"]), voiced, f"{song['confidence'] or 0:.3f}")
    if len(songs) > ROWS:
        shown.add_row(f"and {len(songs) - ROWS} with a higher confidence", "", "", "")
    data(report, [shown], as_json=printing.as_json)
    if songs:
        remark(f"wrote {output}", quiet=printing.quiet)
    report_failures(report["failures"], quiet=printing.quiet)
