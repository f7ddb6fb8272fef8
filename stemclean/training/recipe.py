"""Recipes: every choice of a training run in one TOML file.

A recipe is read in layers: its file, then ``KEY=VALUE`` over it. Each key is checked before anything else is done: its
name, its type and range (:mod:`stemclean.settings`), the architecture and its options
(:mod:`stemclean.models.options`), and whether it does anything beside the others (:mod:`stemclean.training.idle`).

A key of the file that does something there may be made idle by a later layer, as ``--set calibration.excerpts=0`` does
with ``calibration.bleed_db``. One that nothing ever reads is refused, with the file or ``--set`` and its name.
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
from stemclean.training.layers import known, located, read_layers
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
    """What a model is fed with; its labels come from the data. Also a mapping, as ``spec["segment"]``.

    Args:
        sample_rate: in Hz.
        channels: audio channels.
        segment: samples of one judged or separated segment.
    """

    section: ClassVar[str] = "spec"

    sample_rate: Annotated[int, Field(ge=1000, le=384_000), WHOLE]
    channels: Annotated[int, Field(ge=1, le=2), WHOLE]
    segment: Annotated[int, Field(ge=256, le=2**24), WHOLE]

    def keys(self) -> Iterable[str]:
        """Names of all."""
        return type(self).model_fields

    def __getitem__(self, name: str) -> int:
        return int(getattr(self, name))


class ClassifierRecipe(Settings):
    """How a classifier is trained; ``recipes/small.toml`` and ``recipes/paper.toml`` are examples.

    Args:
        name: of the recipe.
        kind: ``classifiers``.
        architecture: a name of ``models/classifiers``.
        spec: see :class:`Spec`.
        options: of the architecture.
        loss: ``l1``, ``bce`` or ``gce``.
        equalizer_db, masks, disguised: how mixtures are disguised, see
            :class:`~stemclean.training.classify.ClassifyTask`.
        validation_share: of each class's stems, whole tracks, where the data declares no split.
        validation_examples: mixtures of these tracks, always the same ones.
        mixing, loop, calibration: see :class:`~stemclean.data.mixing.MixingConfig`,
            :class:`~stemclean.training.loop.LoopConfig` and :class:`~stemclean.training.calibrate.CalibrationConfig`.
        seed: of everything that is drawn.
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
    """How a separator is trained; ``recipes/xumx-small.toml`` and ``recipes/xumx-paper.toml`` are examples.

    Args:
        name: of the recipe.
        kind: ``separators``.
        architecture: a name of ``models/separators``.
        spec: see :class:`Spec`.
        options: of the architecture.
        loss, mixing, loop: see :class:`~stemclean.training.separate.LossConfig`,
            :class:`~stemclean.data.sources.SourceMixing` and :class:`~stemclean.training.loop.LoopConfig`.
        validation_share: of each class's stems, whole tracks, where the data declares no split.
        validation_examples: mixtures of these tracks, always the same ones.
        seed: of everything that is drawn.
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
    """How a pitch tracker is trained; ``recipes/rmvpe-small.toml`` and ``recipes/rmvpe-paper.toml`` are examples.

    Args:
        name: of the recipe.
        kind: ``pitch``.
        architecture: a name of ``models/pitch``.
        spec: see :class:`Spec`; ``channels`` is 1.
        options: of the architecture.
        positive_weight: of the right class in the loss, over that of each other one; DJCM's is 10.
        blur: targets are bells of 25 cents instead of one class.
        mixing, loop: see :class:`~stemclean.data.aligned.AlignedMixing` (of the voice alone: its loudness) and
            :class:`~stemclean.training.loop.LoopConfig`; in joint training the separator's recipe has the word.
        validation_share: of the songs, where the data declares no split.
        validation_examples: excerpts of these songs, always the same ones.
        seed: of everything that is drawn.
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
    """What two models are trained by as one."""

    separator: SeparatorRecipe
    tracker: TrackerRecipe
    config: JointConfig


def names(kind: str = "classifiers") -> list[str]:
    """The recipes that come with the package, of one kind."""
    return known(kind)


def read(name: str | Path | ClassifierRecipe, overrides: Sequence[str | Assignment] = ()) -> ClassifierRecipe:
    """A recipe by name or path, or one that is there already, with some settings changed.

    Args:
        overrides: ``key=value`` with dotted keys and TOML values, as ``loop.batch_size=32``.

    Raises:
        ConfigError: no such recipe; or a :class:`~stemclean.settings.SettingError` with the file or option.
    """
    return read_layers(name, assignments(overrides), ClassifierRecipe, _check_classifier, idle.of_classifier)


def read_separator(name: str | Path | SeparatorRecipe, overrides: Sequence[str | Assignment] = ()) -> SeparatorRecipe:
    """As :func:`read`, for a separator."""
    return read_layers(name, assignments(overrides), SeparatorRecipe, _check_separator, idle.of_separator)


def read_tracker(name: str | Path | TrackerRecipe, overrides: Sequence[str | Assignment] = ()) -> TrackerRecipe:
    """As :func:`read`, for a pitch tracker; ``rmvpe`` alone means ``rmvpe-small``."""
    return read_layers(_tracker_named(name), assignments(overrides), TrackerRecipe, _check_tracker, idle.of_tracker)


def read_joint(
    separator: str | Path | SeparatorRecipe,
    tracker: str | Path | TrackerRecipe,
    overrides: Sequence[str | Assignment] = (),
) -> Joint:
    """How a separator and a tracker are trained as one.

    Of a tracker's recipe that comes with the package, the architecture, its options and its loss count, and nothing is
    said of the rest, by which it is trained alone; in a file of one's own, what does nothing here is refused.

    Args:
        overrides: as for :func:`read`, of the separator; those that begin with ``tracker.`` are over the tracker's
            recipe, those that begin with ``joint.`` of :class:`~stemclean.training.joint.JointConfig`.

    Raises:
        ConfigError: as for :func:`read`.
    """
    given = assignments(overrides)
    sections = ("tracker", "joint")
    apart: dict[str, list[Assignment]] = {section: [] for section in ("", *sections)}
    for one in given:
        section, _, key = one.key.partition(".")
        belongs = section in sections and key
        apart[section if belongs else ""].append(Assignment(key, one.value, one.source) if belongs else one)
    try:
        config = JointConfig(**merged({}, apart["joint"]))
    except SettingError as error:
        raise located(error, "", given) from None
    return Joint(
        read_layers(separator, apart[""], SeparatorRecipe, _check_separator, idle.of_joint_separator),
        read_layers(
            _tracker_named(tracker), apart["tracker"], TrackerRecipe, _check_tracker, idle.of_joint_tracker, "tracker"
        ),
        config,
    )


def _tracker_named(name: str | Path | TrackerRecipe) -> str | Path | TrackerRecipe:
    return f"{name}-small" if isinstance(name, str) and f"{name}-small" in names("pitch") else name


def _check_classifier(recipe: ClassifierRecipe) -> None:
    if recipe.spec.channels != 2:
        raise SettingError("spec.channels", "spec.channels is 1; it must be 2, as the mixtures are stereo")


def _check_separator(recipe: SeparatorRecipe) -> None:
    if recipe.spec.channels == 1 and recipe.mixing.effects != "none":
        told = shown(recipe.mixing.effects)
        raise SettingError("mixing.effects", f'mixing.effects is {told}; it must be "none" where spec.channels is 1')


def _check_tracker(recipe: TrackerRecipe) -> None:
    if recipe.spec.channels != 1:
        told = recipe.spec.channels
        raise SettingError("spec.channels", f"spec.channels is {told}; it must be 1: trackers hear one channel")
    hop = (options.filled("pitch", recipe.architecture, recipe.options) or recipe.options).get("hop")
    segment = recipe.spec.segment
    if hop and (segment < hop or segment % hop):
        raise SettingError("spec.segment", f"spec.segment is {segment}; it must be a multiple of options.hop, {hop}")
