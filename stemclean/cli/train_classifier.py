"""``stemclean train-classifier``."""

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

EXAMPLE = "stemclean train-classifier my_stems -o my_classifier.safetensors --recipe small --seed 1"


def command(
    stems: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of stems, a CSV list, or a manifest.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Weights file to write (.safetensors).")
    ],
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Recipe: small (for two CPU cores), atto (that of the bundled weights), paper (Koo et al. 2023), or "
            "a TOML file.",
        ),
    ] = "small",
    loss: Annotated[
        str | None, typer.Option(metavar="NAME", help="Loss function: l1, bce or gce (default: the recipe's).")
    ] = None,
    examples: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of mixtures to train on (default: the recipe's).")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Random seed (default: the recipe's).")] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Weights to start from: bundled:NAME, hub:ORG/REPO or file:PATH. Use the recipe that they were "
            "trained with.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change any other key of the recipe, such as loop.batch_size=32. Repeatable.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Number of processes that prepare mixtures.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Continue an interrupted run, or start over.")
    ] = True,
    keep_checkpoint: Annotated[
        bool,
        typer.Option(
            "--keep-checkpoint",
            help="Keep the checkpoint next to the weights, so that the training can be extended later.",
        ),
    ] = False,
    push_to_hub: PushToHub = None,
    license_name: License = None,
    cache_limit: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            min=0,
            help="Maximum size of the cache of decoded audio; the least recently used files are removed first "
            "(default: 50).",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a classifier on your own stems, clean or not.

    It is trained on random mixtures of the stems; whole tracks are held out for validation. A card (a .json file of the
    same name) records the training data and the validation metrics. An interrupted run continues where it stopped. For
    several GPUs: accelerate launch -m stemclean train-classifier DATA -o FILE.
    """
    with reading(stems, quiet=quiet):
        from stemclean.models import addresses

        addresses.check_output(output)
        from stemclean.report import describe_training
        from stemclean.running import Running
        from stemclean.train_classifier import train_classifier

    overrides = by_option(
        {"--loss": ("loss", loss), "--examples": ("loop.examples", examples), "--seed": ("seed", seed)},
        settings,
    )
    report = describe_training(
        train_classifier(
            stems,
            output,
            recipe=recipe,
            overrides=overrides,
            init=init,
            card={"license": license_name} if license_name else None,
            push_to_hub=push_to_hub,
            running=Running(
                cache_limit_gb=cache_limit,
                workers=workers,
                resume=resume,
                keep_checkpoint=keep_checkpoint,
                quiet=quiet,
            ),
        )
    )
    shown = table("Trained", "measure", "value")
    for name, value in report["metrics"].items():
        shown.add_row(name.replace("_", " "), f"{value:.0f}" if float(value).is_integer() else f"{value:.3f}")
    shown.add_row("classes", ", ".join(report["labels"]))
    shown.add_row(
        "hours of sound", ", ".join(f"{label} {hours:.2f}" for label, hours in report["data"]["hours"].items())
    )
    shown.add_row("time (h:mm:ss)", clock(report["seconds"]))
    data(report, [shown], as_json=as_json)
    done = "wrote" if report["seconds"] else "nothing to do, an earlier run has written"
    remark(f"{done} {output}", *passed_over(report), quiet=quiet)
    if push_to_hub:
        remark(f"published as {report['published']}", quiet=quiet)
    remark(f"next: {typed('refine', 'DATA', '--weights', report['published'] or f'file:{output}')}", quiet=quiet)
    report_failures(report["failures"], quiet=quiet)
