"""Train an instrument classifier on the stems of a dataset, noisy or clean: the ``train-classifier`` verb."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemclean import layouts
from stemclean.models import addresses, hub
from stemclean.outputs import only_writer
from stemclean.settings import Assignment
from stemclean.training import finished
from stemclean.training.classifier_run import fit_classifier
from stemclean.training.recipe import ClassifierRecipe, read

__all__ = ["train_classifier"]


def train_classifier(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | ClassifierRecipe = "small",
    overrides: Sequence[str | Assignment] = (),
    cache: str | Path | None = None,
    cache_limit_gb: float | None = None,
    init: str | Path | None = None,
    card: dict[str, Any] | None = None,
    resume: bool = True,
    keep_checkpoint: bool = False,
    push_to_hub: str | None = None,
    workers: int = 1,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train a classifier and write its weights and card.

    Random mixtures of the stems, as labelled, are the examples (Koo et al. 2023, section 3.1); whole tracks are held
    out for validation; the running mean of the weights that validates best is kept.

    Args:
        data: a folder, a list or a manifest of stems; stems whose verdict is ``drop`` and declared test stems are left
            out.
        output: the ``.safetensors`` file to write; the card stands beside it as ``.json``.
        recipe: a name (``small``, ``paper``), a ``.toml`` file or a recipe.
        overrides: ``key=value`` settings over the recipe.
        cache: folder for decoded audio; default ``$XDG_CACHE_HOME/stemclean/pools``.
        cache_limit_gb: when that folder holds more, what was used longest ago is removed, but nothing that is in use;
            None: 50 in the default folder, and no limit in a folder that is named.
        init: weights to start from (``bundled:``, ``hub:``, ``file:``) instead of random ones; the recipe's
            architecture and options and the data's classes must be theirs. What the model has beyond them, a new head
            for one, starts afresh; the card tells.
        card: more to say in the card (data, licences, …).
        resume: go on from a checkpoint of the same data, recipe and start beside the output; weights that such a run
            has finished are not trained again.
        keep_checkpoint: leave it there when the weights are written, so that the run can be made longer.
        push_to_hub: ``ORG/REPO`` on the Hugging Face Hub to publish the weights in, with their card and a page.
        workers: processes that mix ahead of the model; 0 mixes in this one.

    Returns:
        The card, with ``output``, ``seconds`` and ``skipped``, and ``published``, the URI on the hub, if pushed.

    Raises:
        ConfigError: a recipe that cannot be meant, or too few stems to learn from.
        WeightsError: weights to start from that cannot be had or do not fit; or the hub cannot be reached or refuses,
            which leaves the weights on disk.
    """
    addresses.check_output(output)
    if push_to_hub:
        hub.check_publishing(push_to_hub)  # before the work, not after it
    chosen = read(recipe, overrides)
    with only_writer(output):
        manifest, folder = layouts.load(data, quiet=quiet)
        where = Path(cache) if cache else None
        result = fit_classifier(
            manifest,
            folder,
            Path(output),
            chosen,
            cache=where,
            cache_limit_gb=cache_limit_gb,
            init=init,
            card=card,
            resume=resume,
            keep_checkpoint=keep_checkpoint,
            workers=workers,
            quiet=quiet,
        )
        return finished.published(result, push_to_hub, quiet=quiet)
