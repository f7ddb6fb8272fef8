"""Settings that have no effect because of other settings, such as ``loss.n_fft`` with an L1 loss.

Each rule takes a whole recipe and yields the settings that nothing reads. Setting one of them is an error, unless its
value turns the feature off anyway, as a chance of 0 does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from stemclean.models import options
from stemclean.settings import shown

if TYPE_CHECKING:
    from stemclean.training.recipe import ClassifierRecipe, SeparatorRecipe, TrackerRecipe

__all__ = ["Idle", "of_classifier", "of_joint_separator", "of_joint_tracker", "of_separator", "of_tracker"]

ANY: Any = object()
"""Sentinel for :attr:`Idle.off`: the setting may not be given, whatever its value."""


class Idle(NamedTuple):
    """A setting that has no effect.

    Args:
        key: Full name of the setting; a name that ends in a dot stands for all settings of that section.
        why: The reason, to be read after "does nothing".
        off: The value that turns the feature off, which is allowed.
    """

    key: str
    why: str
    off: Any = ANY


def of_classifier(recipe: ClassifierRecipe) -> Iterator[Idle]:
    """Yield the idle settings of a classifier's training."""
    mixing, calibration = recipe.mixing, recipe.calibration
    if not mixing.level:
        yield Idle("mixing.quiet_chance", "where mixing.level is false", 0)
    if not mixing.level or not mixing.quiet_chance:
        yield Idle("mixing.quiet_db", "without mixing.level and a mixing.quiet_chance")
    filled = options.filled("classifiers", recipe.architecture, recipe.options)
    if filled is not None and filled.get("level_dbfs") is None:
        yield Idle("mixing.peak_db", "without options.level_dbfs, to which it is relative")
    if not recipe.disguised:
        yield Idle("equalizer_db", "where disguised is 0", 0)
        yield Idle("masks", "where disguised is 0", 0)
    if not recipe.equalizer_db and not recipe.masks and not recipe.options.get("level_head"):
        yield Idle("disguised", "without equalizer_db, masks or options.level_head", 0)
    if not calibration.excerpts:
        for name in ("segments", "bleed_chance", "bleed_db"):
            yield Idle(f"calibration.{name}", "where calibration.excerpts is 0")
    elif not calibration.bleed_chance:
        yield Idle("calibration.bleed_db", "where calibration.bleed_chance is 0")
    yield from _of_loop(recipe)


def of_separator(recipe: SeparatorRecipe) -> Iterator[Idle]:
    """Yield the idle settings of a separator's training, alone or with a tracker."""
    yield from _of_loss(recipe)
    yield from _of_loop(recipe)
    if recipe.spec.channels == 1:
        yield Idle("mixing.swap_chance", "where spec.channels is 1", 0)
    if not recipe.mixing.multi_label_probability:
        yield Idle("mixing.whole_stems", "where mixing.multi_label_probability is 0", off=False)
        yield Idle("mixing.min_piece", "where mixing.multi_label_probability is 0")
    elif recipe.mixing.whole_stems:
        yield Idle("mixing.min_piece", "where mixing.whole_stems is true")
    filled = options.filled("separators", recipe.architecture, recipe.options) or {}
    if filled.get("layers") == 1:
        yield Idle("options.dropout", "where options.layers is 1", 0)
    if filled.get("dconv_depth") == 0:
        for name in ("attn", "lstm", "comp"):
            yield Idle(f"options.dconv_{name}", "where options.dconv_depth is 0")


def of_tracker(recipe: TrackerRecipe) -> Iterator[Idle]:
    """Yield the idle settings of a pitch tracker's training."""
    yield Idle("mixing.swap_chance", "where spec.channels is 1", 0)
    yield from _of_loop(recipe)


def of_joint_separator(recipe: SeparatorRecipe) -> Iterator[Idle]:
    """Yield the idle settings of a separator in joint training."""
    songs = "in joint training, which uses songs as they are"
    yield Idle("mixing.multi_label_probability", songs, 0)
    yield Idle("mixing.whole_stems", songs, off=False)
    yield Idle("mixing.min_piece", songs)
    yield Idle("mixing.effects", songs, "none")
    yield Idle("mixing.absent_chance", songs, 0)
    yield Idle("loss.robust", "in joint training, which uses joint.weighting instead", "none")
    yield Idle("loss.keep", "in joint training, which uses joint.weighting instead", ())
    yield from of_separator(recipe)


def of_joint_tracker(_: TrackerRecipe) -> Iterator[Idle]:
    """Yield the idle settings of a pitch tracker in joint training."""
    yield Idle("loop.", "in joint training: the separator's loop trains both")
    yield Idle("mixing.", "in joint training: the separator's excerpts are the tracker's")
    yield Idle("validation_share", "in joint training: the separator's validation is the tracker's")
    yield Idle("validation_examples", "in joint training: the separator's validation is the tracker's")
    yield Idle("seed", "in joint training: the separator's seed is the tracker's")


def _of_loop(recipe: ClassifierRecipe | SeparatorRecipe | TrackerRecipe) -> Iterator[Idle]:
    if recipe.loop.micro_batch_size > recipe.loop.batch_size:
        yield Idle("loop.micro_batch_size", f"where loop.batch_size is {recipe.loop.batch_size}")


def _of_loss(recipe: SeparatorRecipe) -> Iterator[Idle]:
    if recipe.loss.kind != "magnitude":
        for name in ("n_fft", "hop_length"):
            yield Idle(f"loss.{name}", f"where loss.kind is {shown(recipe.loss.kind)}")
    if recipe.loss.keep:
        yield Idle("loss.robust", "beside loss.keep", "none")
