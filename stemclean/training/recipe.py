"""Recipes: all settings of a training run in one TOML file.

A recipe is read in layers: its file, overridden by ``KEY=VALUE`` settings. All keys are checked before anything else is
done: their names, types and ranges (:mod:`stemclean.settings`), the architecture and its options
(:mod:`stemclean.models.options`), and whether they have an effect (:mod:`stemclean.training.idle`).

An override may make a setting of the file idle, as ``--set calibration.excerpts=0`` does with ``calibration.bleed_db``.
A setting that is idle in its own layer is an error that names the setting and its file or ``--set``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from stemclean.data.aligned import AlignedMixing
from stemclean.data.mixing import MixingConfig
from stemclean.data.sources import SourceMixing
from stemclean.models import options
from stemclean.settings import (
    WHOLE,
    Assignment,
    Chance,
    Count,
    SettingError,
    Settings,
    assignments,
    merged,
    shown,
)
from stemclean.training import idle
from stemclean.training.calibrate import CalibrationConfig
from stemclean.training.classify import Loss
from stemclean.training.joint import JointConfig
from stemclean.training.layers import located, read_layers, recipe_names
from stemclean.training.loop import LoopConfig
from stemclean.training.separate import LossConfig

__all__ = [
    "ClassifierRecipe",
    "Joint",
    "SeparatorRecipe",
    "Spec",
    "TrackerRecipe",
    "names",
    "read",
    "read_joint",
    "read_separator",
    "read_tracker",
]

Seed = Annotated[int, Field(ge=0, lt=2**23), WHOLE]
Share = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]


class Spec(Settings):
    """The input of a model; its labels come from the data. It is also a mapping: ``spec["segment"]``.

    Args:
        sample_rate: Sample rate in Hz.
        channels: Number of audio channels.
        segment: Length of a segment, in samples.
    """

    section: ClassVar[str] = "spec"

    sample_rate: Annotated[int, Field(ge=1000, le=384_000), WHOLE]
    channels: Annotated[int, Field(ge=1, le=2), WHOLE]
    segment: Annotated[int, Field(ge=256, le=2**24), WHOLE]

    def keys(self) -> Iterable[str]:
        """Return the names of all fields."""
        return type(self).model_fields

    def __getitem__(self, name: str) -> int:
        return int(getattr(self, name))


class ClassifierRecipe(Settings):
    """Recipe of a classifier; see ``recipes/small.toml`` and ``recipes/paper.toml`` for examples.

    Args:
        name: Name of the recipe.
        kind: ``classifiers``.
        architecture: A name of ``models/classifiers``.
        spec: Sample rate, channels and segment length, see :class:`Spec`.
        options: Options of the architecture.
        loss: ``l1``, ``bce`` or ``gce``.
        equalizer_db, masks, disguised: Data augmentation, see :class:`~stemclean.training.classify.ClassifyTask`.
        validation_share: Share of each class's stems to hold out for validation, by whole tracks, if the data declares
            no split.
        validation_examples: Number of validation mixtures, always the same ones.
        mixing: How mixtures are drawn, see :class:`~stemclean.data.mixing.MixingConfig`.
        loop: Length, optimiser and schedule, see :class:`~stemclean.training.loop.LoopConfig`.
        calibration: See :class:`~stemclean.training.calibrate.CalibrationConfig`.
        seed: Random seed.
    """

    name: Name
    kind: Literal["classifiers"]
    architecture: Name
    spec: Spec
    options: dict[str, Any]
    loss: Loss = "l1"
    equalizer_db: Annotated[float, Field(ge=0, le=60)] = 0.0
    masks: Annotated[int, Field(ge=0, le=100), WHOLE] = 0
    disguised: Chance = 1.0
    validation_share: Share = 0.1
    validation_examples: Count = 512
    mixing: MixingConfig = MixingConfig()
    loop: LoopConfig = LoopConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    seed: Seed = 0


class SeparatorRecipe(Settings):
    """Recipe of a separator; see ``recipes/xumx-small.toml`` and ``recipes/xumx-paper.toml`` for examples.

    Args:
        name: Name of the recipe.
        kind: ``separators``.
        architecture: A name of ``models/separators``.
        spec: Sample rate, channels and segment length, see :class:`Spec`.
        options: Options of the architecture.
        loss: See :class:`~stemclean.training.separate.LossConfig`.
        mixing: How mixtures are drawn, see :class:`~stemclean.data.sources.SourceMixing`.
        loop: Length, optimiser and schedule, see :class:`~stemclean.training.loop.LoopConfig`.
        validation_share: Share of each class's stems to hold out for validation, by whole tracks, if the data declares
            no split.
        validation_examples: Number of validation mixtures, always the same ones.
        seed: Random seed.
    """

    name: Name
    kind: Literal["separators"]
    architecture: Name
    spec: Spec
    options: dict[str, Any] = Field(default_factory=dict)
    loss: LossConfig = LossConfig()
    mixing: SourceMixing = SourceMixing()
    loop: LoopConfig = LoopConfig()
    validation_share: Share = 0.1
    validation_examples: Count = 64
    seed: Seed = 0


class TrackerRecipe(Settings):
    """Recipe of a pitch tracker; see ``recipes/rmvpe-small.toml`` and ``recipes/rmvpe-paper.toml`` for examples.

    Args:
        name: Name of the recipe.
        kind: ``pitch``.
        architecture: A name of ``models/pitch``.
        spec: Sample rate, channels (always 1) and segment length, see :class:`Spec`.
        options: Options of the architecture.
        positive_weight: Weight of the true pitch class in the loss, relative to the other classes; 10 in DJCM.
        blur: Blur the target over neighbouring classes (Gaussian of 25 cents) instead of using a single class.
        mixing: How excerpts are drawn, see :class:`~stemclean.data.aligned.AlignedMixing`. Joint training uses the
            mixing of the separator's recipe.
        loop: Length, optimiser and schedule, see :class:`~stemclean.training.loop.LoopConfig`. Joint training uses the
            loop of the separator's recipe.
        validation_share: Share of the songs to hold out for validation, if the data declares no split.
        validation_examples: Number of validation excerpts, always the same ones.
        seed: Random seed.
    """

    name: Name
    kind: Literal["pitch"]
    architecture: Name
    spec: Spec
    options: dict[str, Any] = Field(default_factory=dict)
    positive_weight: Annotated[float, Field(gt=0, le=1e6)] = 10.0
    blur: bool = False
    mixing: AlignedMixing = AlignedMixing()
    loop: LoopConfig = LoopConfig()
    validation_share: Share = 0.1
    validation_examples: Count = 64
    seed: Seed = 0


class Joint(NamedTuple):
    """The recipes and settings of joint training."""

    separator: SeparatorRecipe
    tracker: TrackerRecipe
    config: JointConfig


def names(kind: str = "classifiers") -> list[str]:
    """Return the names of the package's recipes of a kind."""
    return recipe_names(kind)


def read(name: str | Path | ClassifierRecipe, overrides: Sequence[str | Assignment] = ()) -> ClassifierRecipe:
    """Read a classifier's recipe.

    Args:
        name: Name of a recipe of the package, path of a ``.toml`` file, or a recipe to change.
        overrides: ``key=value`` with dotted keys and TOML values, such as ``loop.batch_size=32``.

    Raises:
        ConfigError: There is no such recipe; or a :class:`~stemclean.settings.SettingError` that names the file or
            option.
    """
    return read_layers(name, assignments(overrides), ClassifierRecipe, _check_classifier, idle.of_classifier)


def read_separator(name: str | Path | SeparatorRecipe, overrides: Sequence[str | Assignment] = ()) -> SeparatorRecipe:
    """Read a separator's recipe, as :func:`read`."""
    return read_layers(name, assignments(overrides), SeparatorRecipe, _check_separator, idle.of_separator)


def read_tracker(name: str | Path | TrackerRecipe, overrides: Sequence[str | Assignment] = ()) -> TrackerRecipe:
    """Read a pitch tracker's recipe, as :func:`read`; ``rmvpe`` is short for ``rmvpe-small``."""
    return read_layers(_tracker_named(name), assignments(overrides), TrackerRecipe, _check_tracker, idle.of_tracker)


def read_joint(
    separator: str | Path | SeparatorRecipe,
    tracker: str | Path | TrackerRecipe,
    overrides: Sequence[str | Assignment] = (),
) -> Joint:
    """Read the recipes and settings of joint training.

    Joint training uses the architecture, options and loss of the tracker's recipe. The other settings of a recipe of
    the package are ignored; in a user's file they are an error, because they have no effect.

    Args:
        separator: The separator's recipe, as for :func:`read`.
        tracker: The tracker's recipe, as for :func:`read_tracker`.
        overrides: As for :func:`read`. Keys that begin with ``tracker.`` override the tracker's recipe; keys that begin
            with ``joint.`` are of :class:`~stemclean.training.joint.JointConfig`; all others override the separator's.

    Raises:
        ConfigError: As for :func:`read`.
    """
    parsed = assignments(overrides)
    sections = ("tracker", "joint")
    by_section: dict[str, list[Assignment]] = {section: [] for section in ("", *sections)}
    for override in parsed:
        section, _, key = override.key.partition(".")
        if section in sections and key:
            by_section[section].append(Assignment(key, override.value, override.source))
        else:
            by_section[""].append(override)
    try:
        config = JointConfig(**merged({}, by_section["joint"]))
    except SettingError as error:
        raise located(error, "", parsed) from None
    of_tracker = by_section["tracker"]
    return Joint(
        read_layers(separator, by_section[""], SeparatorRecipe, _check_separator, idle.of_joint_separator),
        read_layers(
            _tracker_named(tracker), of_tracker, TrackerRecipe, _check_tracker, idle.of_joint_tracker, "tracker"
        ),
        config,
    )


def _tracker_named(name: str | Path | TrackerRecipe) -> str | Path | TrackerRecipe:
    return f"{name}-small" if isinstance(name, str) and f"{name}-small" in names("pitch") else name


def _check_classifier(recipe: ClassifierRecipe) -> None:
    if recipe.spec.channels != 2:
        raise SettingError("spec.channels", "spec.channels is 1; it must be 2, because the mixtures are stereo")


def _check_separator(recipe: SeparatorRecipe) -> None:
    if recipe.spec.channels == 1 and recipe.mixing.effects != "none":
        message = f'mixing.effects is {shown(recipe.mixing.effects)}; it must be "none" where spec.channels is 1'
        raise SettingError("mixing.effects", message)


def _check_tracker(recipe: TrackerRecipe) -> None:
    if recipe.spec.channels != 1:
        message = f"spec.channels is {recipe.spec.channels}; it must be 1, because trackers are mono"
        raise SettingError("spec.channels", message)
    hop = (options.filled("pitch", recipe.architecture, recipe.options) or recipe.options).get("hop")
    segment = recipe.spec.segment
    if hop and (segment < hop or segment % hop):
        raise SettingError("spec.segment", f"spec.segment is {segment}; it must be a multiple of options.hop, {hop}")
