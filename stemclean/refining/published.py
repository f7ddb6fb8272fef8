"""Refine exactly as Koo et al. 2023 (ISMIR, arXiv 2307.12576) describe it.

The method first cuts the silence out of every stem, by its peak amplitude (section 4.1). A classifier is trained on
random mixtures (3.1). It judges the remaining audio in whole windows of its input length, with a hop of a quarter; the
scores are averaged, and a class is present above 0.9, claimed or not (4.2). The second classifier is trained only on
stems in which exactly one class was found (4.2). The further steps of ``refine`` are ours and are disabled: thresholds
of claims, measured bleed, calibrated scores, running the trunk once, filling up classes.

The paper leaves some settings open. The recipe ``paper`` has our choices for them, and they may be changed:
:data:`OPEN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stemclean.errors import ConfigError
from stemclean.refining.config import RefineConfig, SelfConfig
from stemclean.settings import flat

if TYPE_CHECKING:
    from stemclean.settings import Assignment
    from stemclean.training.recipe import ClassifierRecipe

__all__ = ["OPEN", "PUBLISHED", "PUBLISHED_SELF", "RECIPE", "published_recipe", "published_self"]

PUBLISHED = RefineConfig(
    threshold=0.9,
    claimed_threshold=0.9,
    max_bleed_db=None,
    crosstalk=False,
    plain_windows=True,
    margin=0.0,
    detector="peak",
    joined=True,
    calibrated=False,
)
"""Settings of judging."""
PUBLISHED_SELF = SelfConfig(rounds=2, folds=1, retrain_on="single", min_single_share=0.0)
"""Settings of self-refining."""
RECIPE = "paper"
"""Recipe that its classifiers are trained with."""
OPEN = ("loop.", "seed", "validation_share", "validation_examples")
"""Keys of the recipe, or prefixes of keys, that the paper leaves open: optimiser, schedule, batch size, number of
mixtures (the paper gives no length of an epoch), random seed and validation tracks."""


def published_recipe(overrides: Sequence[str | Assignment] = ()) -> ClassifierRecipe:
    """Return the paper's recipe.

    Args:
        overrides: ``key=value`` settings that the paper leaves open.

    Raises:
        ConfigError: an override contradicts the paper.
    """
    from stemclean.training.recipe import read  # with torch

    published, wanted = read(RECIPE), read(RECIPE, overrides)
    mine = dict(flat(wanted.to_dict()))
    for key, value in flat(published.to_dict()):
        if mine.get(key) != value and not key.startswith(OPEN):
            raise ConfigError(
                f"--set {key}={mine.get(key)} contradicts --as-published, which has {value}",
                f"settings that the paper leaves open: {', '.join(key + 'KEY' * key.endswith('.') for key in OPEN)}",
            )
    return wanted


def published_self(overrides: Sequence[str | Assignment] = ()) -> dict[str, Any]:
    """Return the arguments of :func:`stemclean.refine.refine_self`, to go with :data:`PUBLISHED` as its ``config``.

    Args:
        overrides: see :func:`published_recipe`.

    Raises:
        ConfigError: an override contradicts the paper.
    """
    return {**PUBLISHED_SELF.to_dict(), "recipe": published_recipe(overrides), "overrides": ()}
