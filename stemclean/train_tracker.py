"""Train a pitch tracker on clean voices: the ``train-tracker`` verb."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemclean import layouts
from stemclean.models import addresses, hub
from stemclean.outputs import only_writer
from stemclean.settings import Assignment
from stemclean.training import finished
from stemclean.training.joint_run import fit_tracker
from stemclean.training.recipe import TrackerRecipe, read_tracker
from stemclean.training.songs import Running

__all__ = ["train_tracker"]


def train_tracker(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | TrackerRecipe = "rmvpe-small",
    overrides: Sequence[str | Assignment] = (),
    init: str | Path | None = None,
    card: dict[str, Any] | None = None,
    push_to_hub: str | None = None,
    running: Running = Running(),
) -> dict[str, Any]:
    """Train a pitch tracker and write its weights and card.

    Args:
        data: a manifest, or a folder of songs, with the f0 of vocals: what a stem's ``f0`` says, or files beside the
            stems. Nothing else in it is heard. Declared test stems are left out.
        output: the ``.safetensors`` file to write; the card stands beside it as ``.json``.
        recipe: a name (``rmvpe``, ``crepe-paper``, …), a ``.toml`` file or a recipe.
        overrides: ``key=value`` settings over the recipe.
        init: weights of a tracker, or of a cascade, to start from.
        card: more to say in the card.
        push_to_hub: ``ORG/REPO`` on the Hugging Face Hub to publish the weights in, with their card and a page.
        running: cache, workers, logs, resuming.

    Returns:
        The card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``, and ``published``, the URI on the hub,
        if pushed.

    Raises:
        ConfigError: a recipe that cannot be meant, or too few voices with an f0.
        WeightsError: weights to start from that cannot be had or do not fit; or the hub cannot be reached or refuses,
            which leaves the weights on disk.
    """
    addresses.check_output(output)
    if push_to_hub:
        hub.check_publishing(push_to_hub)  # before the work, not after it
    chosen = read_tracker(recipe, overrides)
    with only_writer(output):
        manifest, folder = layouts.load(data, quiet=running.quiet)
        result = fit_tracker(manifest, folder, Path(output), chosen, init=init, card=card, running=running)
        return finished.published(result, push_to_hub, quiet=running.quiet)
