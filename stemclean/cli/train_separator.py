"""``stemclean train-separator``."""

from __future__ import annotations

from collections.abc import Mapping
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
from stemclean.errors import ConfigError

EXAMPLE = "stemclean train-separator refined.json -o my_separator.safetensors --recipe xumx-small"


def command(
    stems: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST",
            help="A manifest written by refine, or a folder of stems, whose claims are then trusted.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Weights file to write (.safetensors).")
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Recipe: xumx, hdemucs, band-split or unet-vocals, each with -small (for two CPU cores) or -paper; "
            "or a TOML file (default: xumx-small, or unet-vocals-small with --joint).",
        ),
    ] = None,
    multi_label_probability: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0,
            max=1,
            help="Probability that a mixture contains a source with several classes (default: the recipe's, usually "
            "0.4). With 0, stems of several classes are left out entirely.",
        ),
    ] = None,
    whole_stems: Annotated[
        bool | None,
        typer.Option(
            "--whole-stems/--cut-stems",
            help="Use a stem of several classes as one source, as in the paper, or cut it where its classes change "
            "(default: the recipe's; cut, except in xumx-paper and hdemucs-paper).",
        ),
    ] = None,
    robust: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Robust loss: masked (ignores losses above the 0.95 quantile of the batch), truncated (0.7, 0.5, "
            "0.3) or none (default: the recipe's).",
        ),
    ] = None,
    use_claimed: Annotated[
        bool, typer.Option("--use-claimed", help="Train on the claimed classes instead of those that were found.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Classes to separate, comma-separated (default: all that have stems). Other classes stay in the "
            "mixtures as background; with --joint, they are left out.",
        ),
    ] = None,
    joint: Annotated[
        str | None,
        typer.Option(
            metavar="TRACKER",
            help="Train a pitch tracker jointly with the separator: rmvpe, crepe or harmof0, each with -small or "
            "-paper; or a TOML file. Requires songs with the f0 of their vocals.",
        ),
    ] = None,
    weighting: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="With --joint: weighting of the examples, uniform, dwa or dwhs (default: uniform)."
        ),
    ] = None,
    sep_weight: Annotated[
        float | None,
        typer.Option(
            metavar="W",
            min=0,
            max=2,
            help="With --joint: weight of the separation loss; the pitch loss gets 2 minus this (default: 1).",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Weights to start from, for fine-tuning; with --joint, those of a cascade."),
    ] = None,
    init_separator: Annotated[
        str | None, typer.Option(metavar="URI", help="With --joint: weights for the separator to start from.")
    ] = None,
    init_tracker: Annotated[
        str | None, typer.Option(metavar="URI", help="With --joint: weights for the tracker to start from.")
    ] = None,
    examples: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of mixtures to train on (default: the recipe's).")
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
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Number of processes that prepare mixtures.")] = 2,
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
    """Train a separator on a refined dataset.

    It is trained on mixtures of stems of any songs. A stem that holds several classes is compared with the sum
    of their estimates. With --joint, it is trained on whole songs, together with a tracker that estimates the pitch of
    its vocals; --set also takes tracker.KEY and joint.KEY. Whole tracks are held out for validation. A card (a .json
    file of the same name) records the training data and the validation metrics. An interrupted run continues where it
    stopped, with the same result. For several GPUs: accelerate launch -m stemclean train-separator MANIFEST -o FILE.
    """
    with reading(stems, quiet=quiet):
        from stemclean.models import addresses

        addresses.check_output(output)
        from stemclean.report import describe_training
        from stemclean.running import Running
        from stemclean.train_joint import train_joint
        from stemclean.train_separator import train_separator
        from stemclean.training.songs import Start

    only_joint = {
        "--weighting": weighting,
        "--sep-weight": sep_weight,
        "--init-separator": init_separator,
        "--init-tracker": init_tracker,
    }
    if joint is None:
        _refuse(only_joint, "requires --joint", "add --joint rmvpe, or leave it out")
    else:
        never = {
            "--use-claimed": use_claimed or None,
            "--multi-label-probability": multi_label_probability,
            "--whole-stems": whole_stems,
        }
        _refuse(never, "cannot be combined with --joint, which trains on whole songs", "leave it out")
    given = {
        "--multi-label-probability": ("mixing.multi_label_probability", multi_label_probability),
        "--whole-stems": ("mixing.whole_stems", whole_stems),
        "--robust": ("loss.robust", robust),
        "--examples": ("loop.examples", examples),
        "--seed": ("seed", seed),
        "--weighting": ("joint.weighting", weighting),
        "--sep-weight": ("joint.sep_weight", sep_weight),
    }
    overrides = by_option(given, settings)
    classes = [label.strip() for label in labels.split(",")] if labels else None
    running = Running(resume=resume, keep_checkpoint=keep_checkpoint, workers=workers, logs=logs, quiet=quiet)
    if joint is None:
        card = train_separator(
            stems,
            output,
            recipe=recipe or "xumx-small",
            overrides=overrides,
            labels=classes,
            use_claimed=use_claimed,
            init=init,
            card={"license": license_name} if license_name else None,
            push_to_hub=push_to_hub,
            running=running,
        )
    else:
        card = train_joint(
            stems,
            output,
            recipe=recipe or "unet-vocals-small",
            tracker=joint,
            overrides=overrides,
            labels=classes,
            start=Start(init_separator or init, init_tracker or init),
            card={"license": license_name} if license_name else None,
            push_to_hub=push_to_hub,
            running=running,
        )
    wait_share = card["wait_share"]
    report = {**describe_training(card), "wait_share": None if wait_share is None else round(wait_share, 4)}
    shown = table("Trained", "measure", "value")
    for name, value in report["metrics"].items():
        shown.add_row(name.replace("_", " "), f"{value:.0f}" if name == "step" else f"{value:.3f}")
    hours = report["data"]["hours"]
    shown.add_row("classes", ", ".join(report["labels"]))
    shown.add_row(
        "hours of single classes", ", ".join(f"{label} {hours.get(label, 0.0):.2f}" for label in report["labels"])
    )
    shown.add_row("hours of several classes", f"{report['data']['hours_of_several']:.2f}")
    shown.add_row("time (h:mm:ss)", clock(report["seconds"]))
    if wait_share is not None:
        shown.add_row("waiting for mixtures", f"{wait_share:.1%} of the time of the steps")
    data(report, [shown], as_json=as_json)
    if background := report["data"].get("background"):
        remark(f"used as background in the mixtures: {', '.join(background)}", quiet=quiet)
    if report["data"]["never_alone"]:
        remark(f"no stem contains only one of these classes: {', '.join(report['data']['never_alone'])}", quiet=quiet)
    done = "wrote" if report["seconds"] else "nothing to do, an earlier run has written"
    remark(f"{done} {output}", *passed_over(report), quiet=quiet)
    if report["published"]:
        remark(f"published as {report['published']}", quiet=quiet)
    uri = report["published"] or f"file:{output}"
    remark(f"next: {typed('separate', 'SONG', '-o', 'DIR', '--weights', uri)}", quiet=quiet)
    if joint is not None:
        remark(f"  or: {typed('f0', 'SONG', '-o', 'FILE', '--weights', uri)}", quiet=quiet)
    report_failures(report["failures"], quiet=quiet)


def _refuse(options: Mapping[str, object], why: str, hint: str) -> None:
    """Refuse the first option that was given."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ConfigError(f"{given[0]} {why}", hint)
