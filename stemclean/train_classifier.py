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

    The training examples are random mixtures of the stems with their labels (Koo et al. 2023, section 3.1). Whole
    tracks are held out for validation, and the running mean of the weights with the best validation score is kept.

    Args:
        data: a folder, a list or a manifest of stems; stems with the verdict ``drop`` and declared test stems are left
            out.
        output: the ``.safetensors`` file to write; the model card is written beside it as ``.json``.
        recipe: a name (``small``, ``paper``), a ``.toml`` file or a recipe object.
        overrides: ``key=value`` settings that override the recipe.
        cache: folder for decoded audio; default: ``$XDG_CACHE_HOME/stemclean/pools``.
        cache_limit_gb: maximum size of the cache; least recently used files are removed, but none that are in use.
            None: 50 for the default folder, and no limit for a given folder.
        init: weights to start from (``bundled:``, ``hub:``, ``file:``) instead of random ones. They must have the
            recipe's architecture and options and the classes of the data. New parts of the model, such as a new head,
            are initialised randomly; the card lists them.
        card: further entries for the model card (data, licences, …).
        resume: continue from the checkpoint beside the output, if it has the same data, recipe and initial weights;
            finished weights of such a run are not trained again.
        keep_checkpoint: keep the checkpoint after the weights are written, so that training can be extended later.
        push_to_hub: ``ORG/REPO`` on the Hugging Face Hub to publish the weights to, with their model card.
        workers: number of processes that prepare mixtures; 0: prepare them in this process.
        quiet: show no progress.

    Returns:
        The model card, with ``output``, ``seconds`` and ``skipped``, and ``published``, the URI on the hub, if pushed.

    Raises:
        ConfigError: an invalid recipe, or too few stems to train on.
        WeightsError: the initial weights cannot be loaded or do not fit; or the hub cannot be reached or refuses the
            upload, in which case the weights stay on disk.
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
