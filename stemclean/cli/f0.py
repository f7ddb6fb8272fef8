"""``stemclean f0``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli._shared import Json, Quiet, clock, data, remark, report_failures, table

EXAMPLE = "stemclean f0 song.mp3 -o song.f0.csv --weights file:my_cascade.safetensors"

ROWS = 20
"""Songs that the table shows, the least sure first; ``--json`` holds all."""


def command(
    sources: Annotated[list[Path], typer.Argument(metavar="AUDIO", help="Sounds, or folders of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="Of one sound a file; else a folder.")],
    weights: Annotated[
        str, typer.Option(metavar="URI", help="A tracker hears voices, a cascade mixtures: file:PATH, hub:ORG/REPO.")
    ],
    format_: Annotated[
        str,
        typer.Option("--format", metavar="NAME", help="stemclean, medleydb, mir_eval, mir1k, ikala or mir_st500."),
    ] = "stemclean",
    vocals: Annotated[
        bool, typer.Option("--vocals", help="The sounds are voices alone: of a cascade, use the tracker only.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Posterior from which on a frame is voiced; what the weights' validation found best.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 …; a GPU where there is one.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Keep songs that an earlier run has finished, or start afresh.")
    ] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the fundamental frequency of a voice, frame by frame.

    From vocals with the weights of a tracker, from mixtures with those of a cascade, which separates the voice first.
    In a folder, where a file is called vocals (or mixture, for a cascade), it is the song of its folder, and the files
    beside it are passed over. The file says for each frame its time, the frequency in Hz (0: nothing is sung), how sure
    it is that something is, and how far this is to be trusted.
    """
    from stemclean.f0 import F0Config, find_f0
    from stemclean.manifest import Skip
    from stemclean.report import skips

    done = find_f0(
        sources,
        output,
        weights_uri=weights,
        config=F0Config(format=format_, threshold=threshold, vocals=vocals),
        device=device,
        resume=resume,
        quiet=quiet,
    )
    report = {
        **{key: done[key] for key in ("output", "weights", "config", "songs")},
        "seconds": round(done["seconds"], 1),
        **skips(map(Skip.model_validate, done["skipped"])),
    }
    numbers = ("length", "voiced", "confidence")
    shown = table("Followed", "song", *numbers, numbers=numbers)
    songs = sorted(report["songs"].items(), key=lambda item: item[1]["confidence"] or 0.0)
    for name, song in songs[:ROWS]:
        voiced = f"{song['num_voiced'] / max(1, song['num_frames']):.0%}"
        shown.add_row(name, clock(song["num_frames"] * song["hop"]), voiced, f"{song['confidence'] or 0:.3f}")
    if len(songs) > ROWS:
        shown.add_row(f"and {len(songs) - ROWS} surer ones", "", "", "")
    data(report, [shown], as_json=as_json)
    if songs:
        remark(f"wrote {output}", quiet=quiet)
    report_failures(report["failures"], quiet=quiet)
