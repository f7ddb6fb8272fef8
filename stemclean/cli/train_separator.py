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
        Path, typer.Argument(metavar="MANIFEST", help="What `refine` wrote; or a folder, taken at its word.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The weights to write, a .safetensors file.")
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="xumx, hdemucs, band-split or unet-vocals with -small (two CPU cores) or -paper, or a TOML file.  "
            "[default: xumx-small; with --joint unet-vocals-small]",
        ),
    ] = None,
    multi_label_probability: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0,
            max=1,
            help="Of a mixture with a source of several classes; 0.4 as a rule. 0: stems of several classes are left "
            "out, with all that is in them.",
        ),
    ] = None,
    whole_stems: Annotated[
        bool | None,
        typer.Option(
            "--whole-stems/--cut-stems",
            help="A stem of several classes is one source of them all, as in the paper, or cut where its regions say "
            "that the classes change.  [default: the recipe's; cut, but in xumx-paper and hdemucs-paper]",
        ),
    ] = None,
    robust: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="masked (losses above the batch's 0.95 quantile do not count), truncated (0.7, 0.5, 0.3) or none.",
        ),
    ] = None,
    use_claimed: Annotated[
        bool, typer.Option("--use-claimed", help="Train on the claimed classes, whatever was found.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Classes to separate, with commas between; those that have stems. Other classes stay in the mixtures "
            "as background; with --joint they are left out.",
        ),
    ] = None,
    joint: Annotated[
        str | None,
        typer.Option(
            metavar="TRACKER",
            help="Train a pitch tracker with it, as one: rmvpe, crepe or harmof0 (with -small or -paper), or a TOML "
            "file. It needs songs with the f0 of their vocals.",
        ),
    ] = None,
    weighting: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="With --joint: weights of the examples; uniform, dwa or dwhs.  [default: uniform]"
        ),
    ] = None,
    sep_weight: Annotated[
        float | None,
        typer.Option(
            metavar="W", min=0, max=2, help="With --joint: of separation; pitch has the rest of 2.  [default: 1]"
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Weights to start from, for fine-tuning; of a cascade, with --joint."),
    ] = None,
    init_separator: Annotated[
        str | None, typer.Option(metavar="URI", help="With --joint: weights that its separator starts from.")
    ] = None,
    init_tracker: Annotated[
        str | None, typer.Option(metavar="URI", help="With --joint: weights that its tracker starts from.")
    ] = None,
    examples: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Mixtures to train on, instead of the recipe's number.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Of all that is drawn, instead of the recipe's seed.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any other key of the recipe, as loop.batch_size=8. Repeatable."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Processes that mix ahead of the network.")] = 2,
    logs: Annotated[Path | None, typer.Option(metavar="DIR", help="Write logs for TensorBoard.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on where a killed run was, or start afresh.")
    ] = True,
    keep_checkpoint: Annotated[
        bool, typer.Option("--keep-checkpoint", help="So that the run can be made longer; large.")
    ] = False,
    push_to_hub: PushToHub = None,
    license_name: License = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a separator on stems whose classes are known, or believed.

    It learns from mixtures of stems of any songs. A stem that holds several classes is compared with the sum of their
    estimates. With --joint it learns from songs as they are, together with a tracker that follows its vocals; --set
    takes tracker.KEY and joint.KEY as well. Whole tracks are held out for validation. A card, a .json of the same name,
    says what the weights were trained on and how well. A run that was killed goes on as if it had not been. For several
    GPUs: accelerate launch -m stemclean train-separator MANIFEST -o FILE.
    """
    with reading(stems, quiet=quiet):
        from stemclean.models import addresses

        addresses.check_output(output)
        from stemclean.report import describe_training
        from stemclean.train_joint import train_joint
        from stemclean.train_separator import train_separator
        from stemclean.training.songs import Running, Start

    only_joint = {
        "--weighting": weighting,
        "--sep-weight": sep_weight,
        "--init-separator": init_separator,
        "--init-tracker": init_tracker,
    }
    if joint is None:
        _refuse(only_joint, "belongs to --joint", "add --joint rmvpe, or leave it out")
    else:
        never = {
            "--use-claimed": use_claimed or None,
            "--multi-label-probability": multi_label_probability,
            "--whole-stems": whole_stems,
        }
        _refuse(never, "does not go with --joint, which takes songs as they are", "leave it out")
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
            resume=resume,
            keep_checkpoint=keep_checkpoint,
            push_to_hub=push_to_hub,
            workers=workers,
            logs=logs,
            quiet=quiet,
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
            running=Running(resume=resume, keep_checkpoint=keep_checkpoint, workers=workers, logs=logs, quiet=quiet),
        )
    wait_share = card["wait_share"]
    report = {**describe_training(card), "wait_share": None if wait_share is None else round(wait_share, 4)}
    shown = table("Trained", "measure", "value")
    for name, value in report["metrics"].items():
        shown.add_row(name.replace("_", " "), f"{value:.0f}" if name == "step" else f"{value:.3f}")
    hours = report["data"]["hours"]
    shown.add_row("classes", ", ".join(report["labels"]))
    shown.add_row("hours alone", ", ".join(f"{label} {hours.get(label, 0.0):.2f}" for label in report["labels"]))
    shown.add_row("hours of several", f"{report['data']['hours_of_several']:.2f}")
    shown.add_row("time (h:mm:ss)", clock(report["seconds"]))
    if wait_share is not None:
        shown.add_row("waited for mixtures", f"{wait_share:.1%} of the steps' time")
    data(report, [shown], as_json=as_json)
    if background := report["data"].get("background"):
        remark(f"in the mixtures as background: {', '.join(background)}", quiet=quiet)
    if report["data"]["never_alone"]:
        remark(f"no stem holds one of these alone: {', '.join(report['data']['never_alone'])}", quiet=quiet)
    done = "wrote" if report["seconds"] else "nothing to do: an earlier run has finished"
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
