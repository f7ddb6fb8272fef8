"""Train a separator and a pitch tracker jointly: the ``train-joint`` verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stemclean import layouts
from stemclean.labels import known_as, scanned_for
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import Plan
from stemclean.running import Running
from stemclean.settings import Assignment
from stemclean.training import JOINT_RECIPE, TRACKER_RECIPE, finished
from stemclean.training.joint_run import fit_joint, joint_run
from stemclean.training.planned import local, plan_training
from stemclean.training.recipe import SeparatorRecipe, TrackerRecipe, read_joint
from stemclean.training.songs import Start

__all__ = ["plan_train_joint", "train_joint"]


def train_joint(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | SeparatorRecipe = JOINT_RECIPE,
    tracker: str | Path | TrackerRecipe = TRACKER_RECIPE,
    overrides: Sequence[str | Assignment] = (),
    labels: Sequence[str] | None = None,
    start: Start = Start(),
    card: Mapping[str, Any] | None = None,
    push_to_hub: str | None = None,
    layout: str | None = None,
    running: Running = Running(),
) -> dict[str, Any]:
    """Train a cascade and write its weights and card.

    The training examples are excerpts of songs with time-aligned stems and the f0 of the vocals, given by the ``f0`` of
    a stem in the manifest. Songs with only the stems, or only the mixture and an f0, are used for the losses that they
    allow. Estimated stems and f0 are weighted by their confidence (MAJL, Wei et al. 2025, arXiv 2501.03689: its second
    stage is this verb on a manifest written by ``pseudo-label``). The gradient of the pitch loss reaches the
    separator.

    Args:
        data: a manifest, or a folder of songs. Declared test stems and stems with the verdict ``drop`` are left out.
        output: the ``.safetensors`` file to write; the model card is written beside it as ``.json``.
        recipe: recipe of the separator, as for ``train-separator``.
        tracker: recipe of the pitch tracker: ``rmvpe``, ``crepe``, ``harmof0`` (their small recipes), a file or a
            recipe object.
        overrides: ``key=value`` settings that override the separator's recipe. Keys that begin with ``tracker.``
            override the tracker's recipe; keys that begin with ``joint.`` set fields of
            :class:`~stemclean.training.joint.JointConfig`.
        labels: the classes; None: those of stems that do not contain all classes of the manifest.
        start: weights to start from.
        card: further entries for the model card.
        push_to_hub: ``ORG/REPO`` on the Hugging Face Hub to publish the weights to, with their model card.
        layout: layout of the data, such as ``class_folders``; None: detect it.
        running: how to run; by default, two processes prepare excerpts.

    Returns:
        The model card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``, and ``published``, the URI on the
        hub, if pushed.

    Raises:
        ConfigError: invalid recipes, or too few songs to train on.
        WeightsError: the initial weights cannot be loaded or do not fit; or the hub cannot be reached or refuses the
            upload, in which case the weights stay on disk.
    """
    finished.check(output, push_to_hub, running)
    both = read_joint(recipe, tracker, overrides)
    profile = known_as(labels) if labels else scanned_for(None)  # a mixture contains exactly the separated classes
    with only_writer(output):
        manifest, folder = layouts.load(data, profile=profile, layout=layout, quiet=running.quiet)
        result = fit_joint(
            manifest,
            folder,
            Path(output),
            both.separator,
            both.tracker,
            both.config,
            labels=labels,
            start=start,
            card=card,
            running=running,
        )
        return finished.published(result, push_to_hub, quiet=running.quiet)


def plan_train_joint(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | SeparatorRecipe = JOINT_RECIPE,
    tracker: str | Path | TrackerRecipe = TRACKER_RECIPE,
    overrides: Sequence[str | Assignment] = (),
    labels: Sequence[str] | None = None,
    start: Start = Start(),
    push_to_hub: str | None = None,
    layout: str | None = None,
    running: Running = Running(),
    **_: Any,
) -> Plan:
    """Return what :func:`train_joint` would do with the same arguments, after the same checks; nothing is written.

    Initial weights of the hub are not downloaded, and so not checked.
    """
    finished.check(output, push_to_hub, running)
    both = read_joint(recipe, tracker, overrides)
    check_writable(output)
    profile = known_as(labels) if labels else scanned_for(None)
    manifest, folder = layouts.load(data, profile=profile, layout=layout, quiet=running.quiet)
    start = Start(local(start.separator), local(start.tracker))
    run = joint_run(
        manifest, folder, both.separator, both.tracker, both.config, labels=labels, start=start, running=running
    )
    return plan_training("train-joint", data, output, manifest, run, running)
