"""``stemclean train-tracker``."""

from __future__ import annotations

from stemclean.cli import _options as options
from stemclean.cli._planned import print_plan
from stemclean.cli._training import checking, report
from stemclean.training import TRACKER_RECIPE

EXAMPLE = "stemclean train-tracker my_songs -o my_tracker.safetensors --recipe rmvpe-small"


def command(
    stems: options.Songs,
    output: options.WeightsFile,
    recipe: options.TrackerRecipe = TRACKER_RECIPE,
    *,
    training: options.Training,
) -> None:
    """Train a pitch tracker on isolated vocals with known f0.

    To train a tracker together with a separator, see train-joint. Whole songs are held out for validation. A card (a
    .json file of the same name) records the training data and the validation metrics. --init also takes the weights of
    a cascade. An interrupted run continues where it stopped, with the same result.
    """
    with checking(stems, output, training):
        from stemclean.train_tracker import plan_train_tracker, train_tracker

    arguments = training.arguments()
    if training.dry_run:
        print_plan(plan_train_tracker(stems, output, recipe=recipe, init=training.init, **arguments), training)
        return
    card = train_tracker(stems, output, recipe=recipe, init=training.init, **arguments)
    report(card, training, ["f0", "VOCALS", "-o", "FILE"])
