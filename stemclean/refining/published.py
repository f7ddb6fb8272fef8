"""Refining as Koo et al. 2023 (ISMIR, arXiv 2307.12576) published it, to the letter, where the letter says anything.

Their silence is cut out of every stem before anything else, by its peak amplitude (section 4.1). A classifier is
trained on random mixtures (3.1) and hears all that is left in whole windows of its own input length, at a hop of a
quarter; their scores are averaged, and a class is present above 0.9, claimed or not (4.2). The second classifier is
trained on the stems that came out with one class, and no others (4.2). What else ``refine`` does by itself is ours, and
off here: thresholds of claims, bleed that is measured, calibrated scores, the trunk run once, filling up of classes.

Some of it the paper leaves open; there the recipe ``paper`` says what we chose, and may be changed: :data:`OPEN`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stemclean.errors import ConfigError
from stemclean.refining.config import RefineConfig, SelfConfig

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
"""How stems are judged."""
PUBLISHED_SELF = SelfConfig(rounds=2, folds=1, retrain_on="single", min_single_share=0.0)
"""How a dataset refines itself."""
RECIPE = "paper"
"""How its classifiers are trained."""
OPEN = ("loop.", "seed", "validation_share", "validation_examples")
"""Keys of the recipe, or how they begin, of which the paper says nothing: optimiser, schedule, batch and number of
mixtures (an epoch has no length there), random numbers, and the tracks that validate."""


def published_recipe(overrides: Sequence[str | Assignment] = ()) -> ClassifierRecipe:
    """The paper's recipe.

    Args:
        overrides: ``key=value`` settings of what the paper leaves open.

    Raises:
        ConfigError: one of them changes what the paper says.
    """
    from stemclean.training.recipe import read  # with torch

    published, wanted = read(RECIPE), read(RECIPE, overrides)
    mine = dict(_flat(wanted.to_dict()))
    for key, value in _flat(published.to_dict()):
        if mine.get(key) != value and not key.startswith(OPEN):
            raise ConfigError(
                f"--set {key}={mine.get(key)} contradicts --as-published, which has {value}",
                f"what the paper leaves open may be set: {', '.join(key + 'KEY' * key.endswith('.') for key in OPEN)}",
            )
    return wanted


def published_self(overrides: Sequence[str | Assignment] = ()) -> dict[str, Any]:
    """Arguments of :func:`stemclean.refine.refine_self`, besides :data:`PUBLISHED` as its ``config``.

    Args:
        overrides: see :func:`published_recipe`.

    Raises:
        ConfigError: as there.
    """
    return {**PUBLISHED_SELF.to_dict(), "recipe": published_recipe(overrides), "overrides": ()}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of nested settings."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
