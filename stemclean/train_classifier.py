"""Train an instrument classifier on the stems of a dataset, noisy or clean: the ``train-classifier`` verb."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemclean import layouts
from stemclean.errors import ConfigError
from stemclean.training.classifier_run import fit_classifier
from stemclean.training.recipe import ClassifierRecipe, read

__all__ = ["train_classifier"]


def train_classifier(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | ClassifierRecipe = "small",
    overrides: Sequence[str] = (),
    cache: str | Path | None = None,
    init: str | Path | None = None,
    card: dict[str, Any] | None = None,
    resume: bool = True,
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
        cache: folder for decoded audio.
        init: weights to start from (``bundled:``, ``hub:``, ``file:``) instead of random ones; the recipe's
            architecture and options and the data's classes must be theirs. What the model has beyond them, a new head
            for one, starts afresh; the card tells.
        card: more to say in the card (data, licences, …).
        resume: go on from a checkpoint of the same data and recipe beside the output.
        workers: processes that mix ahead of the model; 0 mixes in this one.

    Returns:
        The card, with ``output``, ``seconds`` and ``skipped``.

    Raises:
        ConfigError: a recipe that cannot be meant, or too few stems to learn from.
        WeightsError: weights to start from that cannot be had or do not fit.
    """
    if Path(output).suffix != ".safetensors":
        raise ConfigError(f"{output}: weights are safetensors", f"name it {Path(output).with_suffix('.safetensors')}")
    chosen = recipe if isinstance(recipe, ClassifierRecipe) else read(recipe, overrides)
    manifest, folder = layouts.load(data, quiet=quiet)
    where = Path(cache) if cache else None
    return fit_classifier(
        manifest,
        folder,
        Path(output),
        chosen,
        cache=where,
        init=init,
        card=card,
        resume=resume,
        workers=workers,
        quiet=quiet,
    )
