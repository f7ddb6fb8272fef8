"""``stemclean train-classifier``."""

from __future__ import annotations

from typing import Annotated

import typer

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._training import checking, report
from stemclean.training import CLASSIFIER_RECIPE

EXAMPLE = "stemclean train-classifier my_stems -o my_classifier.safetensors --recipe small --seed 1"


def command(
    stems: options.Data,
    output: options.WeightsFile,
    recipe: options.ClassifierRecipe = CLASSIFIER_RECIPE,
    loss: Annotated[
        str | None, typer.Option(metavar="NAME", help="Loss function: l1, bce or gce (default: the recipe's).")
    ] = None,
    *,
    training: options.Training,
) -> None:
    """Train a classifier on your own stems, clean or not.

    It is trained on random mixtures of the stems; whole tracks are held out for validation. A card (a .json file of the
    same name) records the training data and the validation metrics. An interrupted run continues where it stopped. For
    several GPUs: accelerate launch -m stemclean train-classifier DATA -o FILE.
    """
    with checking(stems, output, training):
        from stemclean.train_classifier import plan_train_classifier, train_classifier

    arguments = training.arguments({"--loss": ("loss", loss)})
    if training.dry_run:
        print_plan(plan_train_classifier(stems, output, recipe=recipe, init=training.init, **arguments), training)
        return
    card = train_classifier(stems, output, recipe=recipe, init=training.init, **arguments)
    report(card, training, ["refine", "DATA"])
