"""``stemclean train-joint``."""

from __future__ import annotations

from typing import Annotated

import typer

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._training import checking, report
from stemclean.training import JOINT_RECIPE, SEP_WEIGHT, TRACKER_RECIPE, WEIGHTING

EXAMPLE = "stemclean train-joint my_songs -o my_cascade.safetensors --tracker rmvpe-small"


def command(
    stems: options.Songs,
    output: options.WeightsFile,
    recipe: options.SeparatorRecipe = JOINT_RECIPE,
    tracker: options.JointTrackerRecipe = TRACKER_RECIPE,
    labels: options.Labels = None,
    weighting: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Weighting of the examples: uniform, dwa or dwhs (default: {WEIGHTING})."),
    ] = None,
    sep_weight: Annotated[
        float | None,
        typer.Option(
            metavar="W",
            min=0,
            max=2,
            help=f"Weight of the separation loss; the pitch loss gets 2 minus this (default: {SEP_WEIGHT:g}).",
        ),
    ] = None,
    init_separator: Annotated[
        str | None, typer.Option(metavar="URI", help="Weights for the separator to start from.")
    ] = None,
    init_tracker: Annotated[
        str | None, typer.Option(metavar="URI", help="Weights for the tracker to start from.")
    ] = None,
    *,
    training: options.Training,
) -> None:
    """Train a separator and a pitch tracker as one cascade.

    They are trained on whole songs: the separator separates the vocals, and the tracker estimates their pitch. Songs
    need stems, the f0 of their vocals, or both; estimates of pseudo-label count by their confidence. Classes that are
    not separated are left out of the songs. --set also takes tracker.KEY and joint.KEY; --init takes the weights of a
    cascade. Whole songs are held out for validation. A card (a .json file of the same name) records the training data
    and the validation metrics. An interrupted run continues where it stopped, with the same result.
    """
    with checking(stems, output, training):
        from stemclean.train_joint import plan_train_joint, train_joint
        from stemclean.training.songs import Start

    given = {"--weighting": ("joint.weighting", weighting), "--sep-weight": ("joint.sep_weight", sep_weight)}
    arguments = {
        "recipe": recipe,
        "tracker": tracker,
        "labels": options.listed(labels),
        "start": Start(init_separator or training.init, init_tracker or training.init),
        **training.arguments(given),
    }
    if training.dry_run:
        print_plan(plan_train_joint(stems, output, **arguments), training)
        return
    card = train_joint(stems, output, **arguments)
    report(card, training, ["separate", "SONG", "-o", "DIR"], ["f0", "SONG", "-o", "FILE"])
