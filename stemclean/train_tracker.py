"""Train a pitch tracker on clean vocals: the ``train-tracker`` verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stemclean import layouts
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import Plan
from stemclean.running import Running
from stemclean.settings import Assignment
from stemclean.training import TRACKER_RECIPE, finished
from stemclean.training.planned import local, plan_training
from stemclean.training.recipe import TrackerRecipe, read_tracker
from stemclean.training.tracker_run import fit_tracker, tracker_run

__all__ = ["plan_train_tracker", "train_tracker"]


def train_tracker(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | TrackerRecipe = TRACKER_RECIPE,
    overrides: Sequence[str | Assignment] = (),
    init: str | Path | None = None,
    card: Mapping[str, Any] | None = None,
    push_to_hub: str | None = None,
    layout: str | None = None,
    running: Running = Running(),
) -> dict[str, Any]:
    """Train a pitch tracker and write its weights and card.

    Args:
        data: a manifest, or a folder of songs, with the f0 of vocals: the ``f0`` of stems in the manifest, or files
            beside the stems. Other stems are not used, nor are declared test stems.
        output: the ``.safetensors`` file to write; the model card is written beside it as ``.json``.
        recipe: a name (``rmvpe``, ``crepe-paper``, …), a ``.toml`` file or a recipe object.
        overrides: ``key=value`` settings that override the recipe.
        init: weights of a tracker, or of a cascade, to start from.
        card: further entries for the model card.
        push_to_hub: ``ORG/REPO`` on the Hugging Face Hub to publish the weights to, with their model card.
        layout: layout of the data, such as ``class_folders``; None: detect it.
        running: how to run; by default, two processes prepare excerpts.

    Returns:
        The model card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``, and ``published``, the URI on the
        hub, if pushed.

    Raises:
        ConfigError: an invalid recipe, or too few vocal stems with an f0.
        WeightsError: the initial weights cannot be loaded or do not fit; or the hub cannot be reached or refuses the
            upload, in which case the weights stay on disk.
    """
    finished.check(output, push_to_hub, running)
    chosen = read_tracker(recipe, overrides)
    with only_writer(output):
        manifest, folder = layouts.load(data, layout=layout, quiet=running.quiet)
        result = fit_tracker(manifest, folder, Path(output), chosen, init=init, card=card, running=running)
        return finished.published(result, push_to_hub, quiet=running.quiet)


def plan_train_tracker(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | TrackerRecipe = TRACKER_RECIPE,
    overrides: Sequence[str | Assignment] = (),
    init: str | Path | None = None,
    push_to_hub: str | None = None,
    layout: str | None = None,
    running: Running = Running(),
    **_: Any,
) -> Plan:
    """Return what :func:`train_tracker` would do with the same arguments, after the same checks; nothing is written.

    Initial weights of the hub are not downloaded, and so not checked.
    """
    finished.check(output, push_to_hub, running)
    chosen = read_tracker(recipe, overrides)
    check_writable(output)
    manifest, folder = layouts.load(data, layout=layout, quiet=running.quiet)
    run = tracker_run(manifest, folder, chosen, init=local(init), running=running)
    return plan_training("train-tracker", data, output, manifest, run, running)
