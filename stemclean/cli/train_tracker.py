"""``stemclean train-tracker``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli._shared import (
    Json,
    License,
    PushToHub,
    Quiet,
    by_option,
    clock,
    data,
    passed_over,
    reading,
    remark,
    report_failures,
    table,
    typed,
)

EXAMPLE = "stemclean train-tracker my_songs -o my_tracker.safetensors --recipe rmvpe-small"


def command(
    stems: Annotated[
        Path,
        typer.Argument(metavar="MANIFEST", help="A manifest, or a folder of songs with an f0 file next to the vocals."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Weights file to write (.safetensors).")
    ],
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Recipe: rmvpe, crepe or harmof0, each with -small (for two CPU cores) or -paper; or a TOML file.",
        ),
    ] = "rmvpe-small",
    init: Annotated[
        str | None, typer.Option(metavar="URI", help="Weights of a tracker or a cascade to start from.")
    ] = None,
    examples: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of excerpts to train on (default: the recipe's).")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Random seed (default: the recipe's).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change any other key of the recipe, such as loop.batch_size=8. Repeatable.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Number of processes that prepare excerpts.")] = 2,
    logs: Annotated[Path | None, typer.Option(metavar="DIR", help="Write TensorBoard logs to this folder.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Continue an interrupted run, or start over.")
    ] = True,
    keep_checkpoint: Annotated[
        bool,
        typer.Option(
            "--keep-checkpoint", help="Keep the checkpoint, so that the training can be extended later; it is large."
        ),
    ] = False,
    push_to_hub: PushToHub = None,
    license_name: License = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a pitch tracker on isolated vocals with known f0.

    To train a tracker together with a separator, see train-separator --joint. Whole songs are held out for validation.
    A card (a .json file of the same name) records the training data and the validation metrics. An interrupted run
    continues where it stopped, with the same result.
    """
    with reading(stems, quiet=quiet):
        from stemclean.models import addresses

        addresses.check_output(output)
        from stemclean.report import describe_training
        from stemclean.running import Running
        from stemclean.train_tracker import train_tracker

    overrides = by_option({"--examples": ("loop.examples", examples), "--seed": ("seed", seed)}, settings)
    running = Running(resume=resume, keep_checkpoint=keep_checkpoint, workers=workers, logs=logs, quiet=quiet)
    card = train_tracker(
        stems,
        output,
        recipe=recipe,
        overrides=overrides,
        init=init,
        card={"license": license_name} if license_name else None,
        push_to_hub=push_to_hub,
        running=running,
    )
    wait_share = card["wait_share"]
    report = {**describe_training(card), "wait_share": None if wait_share is None else round(wait_share, 4)}
    shown = table("Trained", "measure", "value")
    for name, value in report["metrics"].items():
        shown.add_row(name.replace("_", " "), f"{value:.0f}" if name == "step" else f"{value:.3f}")
    shown.add_row("hours of vocals", f"{report['data']['hours']['vocals']:.2f}")
    shown.add_row("time (h:mm:ss)", clock(report["seconds"]))
    data(report, [shown], as_json=as_json)
    done = "wrote" if report["seconds"] else "nothing to do, an earlier run has written"
    remark(f"{done} {output}", *passed_over(report), quiet=quiet)
    if report["published"]:
        remark(f"published as {report['published']}", quiet=quiet)
    uri = report["published"] or f"file:{output}"
    remark(f"next: {typed('f0', 'VOCALS', '-o', 'FILE', '--weights', uri)}", quiet=quiet)
    report_failures(report["failures"], quiet=quiet)
