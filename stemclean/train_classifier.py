"""Train an instrument classifier on the stems of a dataset, noisy or clean: the ``train-classifier`` verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stemclean import layouts
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import Plan
from stemclean.running import Running
from stemclean.settings import Assignment
from stemclean.training import CLASSIFIER_RECIPE, finished
from stemclean.training.classifier_run import classifier_run, fit_classifier
from stemclean.training.planned import local, plan_training
from stemclean.training.recipe import ClassifierRecipe, read

__all__ = ["plan_train_classifier", "train_classifier"]


def train_classifier(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | ClassifierRecipe = CLASSIFIER_RECIPE,
    overrides: Sequence[str | Assignment] = (),
    init: str | Path | None = None,
    card: Mapping[str, Any] | None = None,
    push_to_hub: str | None = None,
    layout: str | None = None,
    running: Running = Running(),
) -> dict[str, Any]:
    """Train a classifier and write its weights and card.

    The training examples are random mixtures of the stems with their labels (Koo et al. 2023, section 3.1). Whole
    tracks are held out for validation, and the running mean of the weights with the best validation score is kept.

    Args:
        data: a folder, a list or a manifest of stems; stems with the verdict ``drop`` and declared test stems are left
            out.
        output: the ``.safetensors`` file to write; the model card is written beside it as ``.json``.
        recipe: a name (``small``, ``paper``), a ``.toml`` file or a recipe object.
        overrides: ``key=value`` settings that override the recipe.
        init: weights to start from (``bundled:``, ``hub:``, ``file:``) instead of random ones. They must have the
            recipe's architecture and options and the classes of the data. New parts of the model, such as a new head,
            are initialised randomly; the card lists them.
        card: further entries for the model card (data, licences, …).
        push_to_hub: ``ORG/REPO`` on the Hugging Face Hub to publish the weights to, with their model card.
        layout: layout of the data, such as ``class_folders``; None: detect it.
        running: how to run; by default, one process prepares mixtures.

    Returns:
        The model card, with ``output``, ``seconds``, ``wait_share`` (share of the training time that the model waited
        for mixtures) and ``skipped``, and ``published``, the URI on the hub, if pushed.

    Raises:
        ConfigError: an invalid recipe, or too few stems to train on.
        WeightsError: the initial weights cannot be loaded or do not fit; or the hub cannot be reached or refuses the
            upload, in which case the weights stay on disk.
    """
    finished.check(output, push_to_hub, running)
    chosen = read(recipe, overrides)
    with only_writer(output):
        manifest, folder = layouts.load(data, layout=layout, quiet=running.quiet)
        result = fit_classifier(manifest, folder, Path(output), chosen, init=init, card=card, running=running)
        return finished.published(result, push_to_hub, quiet=running.quiet)


def plan_train_classifier(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | ClassifierRecipe = CLASSIFIER_RECIPE,
    overrides: Sequence[str | Assignment] = (),
    init: str | Path | None = None,
    push_to_hub: str | None = None,
    layout: str | None = None,
    running: Running = Running(),
    **_: Any,
) -> Plan:
    """Return what :func:`train_classifier` would do with the same arguments, after the same checks; nothing is written.

    Initial weights of the hub are not downloaded, and so not checked.
    """
    finished.check(output, push_to_hub, running)
    chosen = read(recipe, overrides)
    check_writable(output)
    manifest, folder = layouts.load(data, layout=layout, quiet=running.quiet)
    run = classifier_run(manifest, folder, chosen, init=local(init), running=running)
    return plan_training("train-classifier", data, output, manifest, run, running)
