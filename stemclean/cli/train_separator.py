"""``stemclean train-separator``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._training import checking, report
from stemclean.training import SEPARATOR_RECIPE

EXAMPLE = "stemclean train-separator refined.json -o my_separator.safetensors --recipe xumx-small"


def command(
    stems: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST",
            help="A manifest written by refine, or a folder of stems, whose claims are then trusted.",
        ),
    ],
    output: options.WeightsFile,
    recipe: options.SeparatorRecipe = SEPARATOR_RECIPE,
    labels: options.Labels = None,
    use_claimed: Annotated[
        bool, typer.Option("--use-claimed", help="Train on the claimed classes instead of those that were found.")
    ] = False,
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
    *,
    training: options.Training,
) -> None:
    """Train a separator on a refined dataset.

    It is trained on mixtures of stems of any songs. A stem that holds several classes is compared with the sum
    of their estimates. Classes that are not separated stay in the mixtures as background. Whole tracks are held out for
    validation. A card (a .json file of the same name) records the training data and the validation metrics. An
    interrupted run continues where it stopped, with the same result. For several GPUs: accelerate launch -m stemclean
    train-separator MANIFEST -o FILE.
    """
    with checking(stems, output, training):
        from stemclean.train_separator import plan_train_separator, train_separator

    given = {
        "--multi-label-probability": ("mixing.multi_label_probability", multi_label_probability),
        "--whole-stems": ("mixing.whole_stems", whole_stems),
        "--robust": ("loss.robust", robust),
    }
    arguments = {
        "recipe": recipe,
        "labels": options.listed(labels),
        "use_claimed": use_claimed,
        "init": training.init,
        **training.arguments(given),
    }
    if training.dry_run:
        print_plan(plan_train_separator(stems, output, **arguments), training)
        return
    card = train_separator(stems, output, **arguments)
    report(card, training, ["separate", "SONG", "-o", "DIR"])
