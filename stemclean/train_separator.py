"""Train a source separator on the stems of a dataset, refined or not: the ``train-separator`` verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stemclean import layouts
from stemclean.labels import scanned_for
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import Plan
from stemclean.running import Running
from stemclean.settings import Assignment
from stemclean.training import SEPARATOR_RECIPE, finished
from stemclean.training.planned import local, plan_training
from stemclean.training.recipe import SeparatorRecipe, read_separator
from stemclean.training.separator_run import fit_separator, separator_run

__all__ = ["plan_train_separator", "train_separator"]


def train_separator(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | SeparatorRecipe = SEPARATOR_RECIPE,
    overrides: Sequence[str | Assignment] = (),
    labels: Sequence[str] | None = None,
    use_claimed: bool = False,
    init: str | Path | None = None,
    card: Mapping[str, Any] | None = None,
    push_to_hub: str | None = None,
    layout: str | None = None,
    running: Running = Running(),
) -> dict[str, Any]:
    """Train a separator and write its weights and card.

    The training examples are mixtures of stems from any songs (Koo et al. 2023, section 3.2). With a given probability,
    one of the sources is a stem with several classes, and the sum of their estimates is compared with it. The labels of
    the manifest are used for each region, or, with the recipe's ``mixing.whole_stems``, for whole stems as in the
    paper.

    Args:
        data: a manifest, usually the output of ``refine``; for a folder or a list, the claims are used as labels. Stems
            with the verdict ``drop`` and declared test stems are left out; declared validation tracks are used for
            validation.
        output: the ``.safetensors`` file to write; the model card is written beside it as ``.json``.
        recipe: a name (``xumx-small``, ``hdemucs-paper``, …), a ``.toml`` file or a recipe object.
        overrides: ``key=value`` settings that override the recipe.
        labels: the classes to separate; None: the classes of the manifest that have stems. Other classes stay in the
            mixtures of training and validation, but are no targets.
        use_claimed: train on the claimed classes of whole stems, that is, on the noisy labels.
        init: weights to start from (``hub:``, ``file:``) instead of random ones, for fine-tuning.
        card: further entries for the model card (data, licences, …).
        push_to_hub: ``ORG/REPO`` on the Hugging Face Hub to publish the weights to, with their model card.
        layout: layout of the data, such as ``class_folders``; None: detect it.
        running: how to run; by default, two processes prepare mixtures.

    Returns:
        The model card, with ``output``, ``seconds``, ``wait_share`` (share of the training time that the model waited
        for mixtures) and ``skipped``, and ``published``, the URI on the hub, if pushed.

    Raises:
        ConfigError: an invalid recipe, or too few stems to train on.
        WeightsError: the initial weights cannot be loaded or do not fit; or the hub cannot be reached or refuses the
            upload, in which case the weights stay on disk.
    """
    finished.check(output, push_to_hub, running)
    chosen = read_separator(recipe, overrides)
    with only_writer(output):
        manifest, folder = layouts.load(data, profile=scanned_for(labels), layout=layout, quiet=running.quiet)
        result = fit_separator(
            manifest,
            folder,
            Path(output),
            chosen,
            labels=labels,
            use_claimed=use_claimed,
            init=init,
            card=card,
            running=running,
        )
        return finished.published(result, push_to_hub, quiet=running.quiet)


def plan_train_separator(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | SeparatorRecipe = SEPARATOR_RECIPE,
    overrides: Sequence[str | Assignment] = (),
    labels: Sequence[str] | None = None,
    use_claimed: bool = False,
    init: str | Path | None = None,
    push_to_hub: str | None = None,
    layout: str | None = None,
    running: Running = Running(),
    **_: Any,
) -> Plan:
    """Return what :func:`train_separator` would do with the same arguments, after the same checks; nothing is written.

    Initial weights of the hub are not downloaded, and so not checked.
    """
    finished.check(output, push_to_hub, running)
    chosen = read_separator(recipe, overrides)
    check_writable(output)
    manifest, folder = layouts.load(data, profile=scanned_for(labels), layout=layout, quiet=running.quiet)
    run = separator_run(
        manifest, folder, chosen, labels=labels, use_claimed=use_claimed, init=local(init), running=running
    )
    return plan_training("train-separator", data, output, manifest, run, running)
