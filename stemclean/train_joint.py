"""Train a separator and a pitch tracker as one: ``train-separator --joint``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemclean import layouts
from stemclean.labels import known_as, scanned_for
from stemclean.models import addresses, hub
from stemclean.outputs import only_writer
from stemclean.settings import Assignment
from stemclean.training import finished
from stemclean.training.joint_run import fit_joint
from stemclean.training.recipe import SeparatorRecipe, TrackerRecipe, read_joint
from stemclean.training.songs import Running, Start

__all__ = ["train_joint"]


def train_joint(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | SeparatorRecipe = "unet-vocals-small",
    tracker: str | Path | TrackerRecipe = "rmvpe-small",
    overrides: Sequence[str | Assignment] = (),
    labels: Sequence[str] | None = None,
    start: Start = Start(),
    card: dict[str, Any] | None = None,
    push_to_hub: str | None = None,
    running: Running = Running(),
) -> dict[str, Any]:
    """Train a cascade and write its weights and card.

    The examples are excerpts of songs whose stems lie in time with one another, with the f0 of the vocals: a stem's
    ``f0`` in the manifest. Songs of which only the stems are known, or only the mixture and an f0, are learned from as
    far as they go; estimated sounds and f0 as far as they are trusted (MAJL, Wei et al. 2025, arXiv 2501.03689: its
    second stage is this verb on a manifest that ``refine --pitch`` wrote). The gradient of the pitch loss reaches
    the separator.

    Args:
        data: a manifest, or a folder of songs. Declared test stems and those whose verdict is ``drop`` are left out.
        output: the ``.safetensors`` file to write; the card stands beside it as ``.json``.
        recipe: of the separator: any that ``train-separator`` takes.
        tracker: of the pitch tracker: ``rmvpe``, ``crepe``, ``harmof0`` (their small recipes), a recipe or a file.
        overrides: ``key=value`` settings over the separator's recipe; those that begin with ``tracker.`` are over the
            tracker's, those that begin with ``joint.`` of :class:`~stemclean.training.joint.JointConfig`.
        labels: the classes; None: those that a stem holds without holding all of the manifest's.
        start: weights to start from.
        card: more to say in the card.
        push_to_hub: ``ORG/REPO`` on the Hugging Face Hub to publish the weights in, with their card and a page.
        running: cache, workers, logs, resuming.

    Returns:
        The card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``, and ``published``, the URI on the hub,
        if pushed.

    Raises:
        ConfigError: recipes that cannot be meant, or too few songs to learn from.
        WeightsError: weights to start from that cannot be had or do not fit; or the hub cannot be reached or refuses,
            which leaves the weights on disk.
    """
    addresses.check_output(output)
    if push_to_hub:
        hub.check_publishing(push_to_hub)  # before the work, not after it
    both = read_joint(recipe, tracker, overrides)
    profile = known_as(labels) if labels else scanned_for(None)  # a mixture holds what is separated, and nothing else
    with only_writer(output):
        manifest, folder = layouts.load(data, profile=profile, quiet=running.quiet)
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
