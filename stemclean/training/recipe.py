"""Recipes: every choice of a training run in one TOML file, checked key by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from stemclean.data.aligned import AlignedMixing
from stemclean.data.mixing import MixingConfig
from stemclean.data.sources import SourceMixing
from stemclean.documents import FlawError, toml_of
from stemclean.errors import ConfigError
from stemclean.models.contract import ModelSpec
from stemclean.training import ranges
from stemclean.training.calibrate import CalibrationConfig
from stemclean.training.joint import JointConfig
from stemclean.training.loop import LoopConfig
from stemclean.training.separate import LossConfig

__all__ = [
    "ClassifierRecipe",
    "SeparatorRecipe",
    "TrackerRecipe",
    "names",
    "read",
    "read_joint",
    "read_separator",
    "read_tracker",
    "split_overrides",
]


@dataclass(frozen=True)
class ClassifierRecipe:
    """How a classifier is trained; ``recipes/small.toml`` and ``recipes/paper.toml`` are examples.

    Args:
        name: of the recipe.
        kind: ``classifiers``.
        architecture: a name of ``models/classifiers``.
        spec: ``sample_rate``, ``channels`` and ``segment`` of the model; its labels come from the data.
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

    name: str
    kind: str
    architecture: str
    spec: Mapping[str, int]
    options: Mapping[str, Any]
    loss: str = "l1"
    equalizer_db: float = 0.0
    masks: int = 0
    disguised: float = 1.0
    validation_share: float = 0.1
    validation_examples: int = 512
    mixing: MixingConfig = field(default_factory=MixingConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


@dataclass(frozen=True)
class SeparatorRecipe:
    """How a separator is trained; ``recipes/xumx-small.toml`` and ``recipes/xumx-paper.toml`` are examples.

    Args:
        name: of the recipe.
        kind: ``separators``.
        architecture: a name of ``models/separators``.
        spec: ``sample_rate``, ``channels`` and ``segment`` of the model; its labels come from the data.
        options: of the architecture.
        loss, mixing, loop: see :class:`~stemclean.training.separate.LossConfig`,
            :class:`~stemclean.data.sources.SourceMixing` and :class:`~stemclean.training.loop.LoopConfig`.
        validation_share: of each class's stems, whole tracks, where the data declares no split.
        validation_examples: mixtures of these tracks, always the same ones.
        seed: of everything that is drawn.
    """

    name: str
    kind: str
    architecture: str
    spec: Mapping[str, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    loss: LossConfig = field(default_factory=LossConfig)
    mixing: SourceMixing = field(default_factory=SourceMixing)
    loop: LoopConfig = field(default_factory=LoopConfig)
    validation_share: float = 0.1
    validation_examples: int = 64
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


@dataclass(frozen=True)
class TrackerRecipe:
    """How a pitch tracker is trained; ``recipes/rmvpe-small.toml`` and ``recipes/rmvpe-paper.toml`` are examples.

    Args:
        name: of the recipe.
        kind: ``pitch``.
        architecture: a name of ``models/pitch``.
        spec: ``sample_rate``, ``channels`` (1) and ``segment`` of the model.
        options: of the architecture.
        positive_weight: of the right class in the loss, over that of each other one; DJCM's is 10.
        blur: targets are bells of 25 cents instead of one class.
        mixing, loop: see :class:`~stemclean.data.aligned.AlignedMixing` (of the voice alone: its loudness) and
            :class:`~stemclean.training.loop.LoopConfig`; in joint training the separator's recipe has the word.
        validation_share: of the songs, where the data declares no split.
        validation_examples: excerpts of these songs, always the same ones.
        seed: of everything that is drawn.
    """

    name: str
    kind: str
    architecture: str
    spec: Mapping[str, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    positive_weight: float = 10.0
    blur: bool = False
    mixing: AlignedMixing = field(default_factory=AlignedMixing)
    loop: LoopConfig = field(default_factory=LoopConfig)
    validation_share: float = 0.1
    validation_examples: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.positive_weight <= 0:
            raise ConfigError(f"positive_weight is {self.positive_weight:g}", "give a weight above 0")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


def names(kind: str = "classifiers") -> list[str]:
    """The recipes that come with the package, of one kind."""
    every = [p for p in (files("stemclean") / "recipes").iterdir() if p.name.endswith(".toml")]
    kinds = {p.name.removesuffix(".toml"): toml_of(p.read_text(encoding="utf-8")).get("kind") for p in every}
    return sorted(name for name, its in kinds.items() if its == kind)


def read(name: str | Path | ClassifierRecipe, overrides: Sequence[str] = ()) -> ClassifierRecipe:
    """A recipe by name or path, or one that is there already, with some settings changed.

    Args:
        overrides: ``key=value`` with dotted keys and TOML values, as ``loop.batch_size=32``.

    Raises:
        ConfigError: no such recipe, or a key or value that means nothing.
    """
    parts = {"mixing": MixingConfig, "loop": LoopConfig, "calibration": CalibrationConfig}
    recipe: ClassifierRecipe = _read(name, overrides, ClassifierRecipe, "classifiers", parts)
    if recipe.spec["channels"] != 2:
        raise ConfigError(
            f"recipe {recipe.name}: {recipe.spec['channels']} channels", "mixtures are stereo: spec.channels=2"
        )
    return recipe


def read_separator(name: str | Path | SeparatorRecipe, overrides: Sequence[str] = ()) -> SeparatorRecipe:
    """As :func:`read`, for a separator."""
    parts = {"mixing": SourceMixing, "loop": LoopConfig, "loss": LossConfig}
    recipe: SeparatorRecipe = _read(name, overrides, SeparatorRecipe, "separators", parts)
    if recipe.spec["channels"] not in {1, 2}:
        raise ConfigError(f"recipe {recipe.name}: {recipe.spec['channels']} channels", "give spec.channels=1 or 2")
    return recipe


def split_overrides(overrides: Sequence[str], *prefixes: str) -> list[list[str]]:
    """Settings of several recipes, which their first word tells apart.

    >>> split_overrides(["loop.examples=3", "tracker.options.hop=160", "joint.sep_weight=1.2"], "tracker", "joint")
    [['loop.examples=3'], ['options.hop=160'], ['sep_weight=1.2']]

    Returns:
        Those without any of the prefixes, then those of each prefix, without it.
    """
    rest = [text for text in overrides if not text.startswith(tuple(f"{prefix}." for prefix in prefixes))]
    return [rest, *([t.removeprefix(f"{p}.") for t in overrides if t.startswith(f"{p}.")] for p in prefixes)]


def read_joint(overrides: Sequence[str]) -> JointConfig:
    """How two models are trained as one, from settings alone.

    Args:
        overrides: ``key=value``, as ``weighting=dwa``.

    Raises:
        ConfigError: a key or value that means nothing.
    """
    document: dict[str, Any] = {}
    for override in overrides:
        _apply(document, override)
    config: JointConfig = _typed(JointConfig, document, "joint")
    return config


def read_tracker(name: str | Path | TrackerRecipe, overrides: Sequence[str] = ()) -> TrackerRecipe:
    """As :func:`read`, for a pitch tracker; ``rmvpe`` alone means ``rmvpe-small``."""
    if isinstance(name, str) and f"{name}-small" in names("pitch"):
        name = f"{name}-small"
    parts = {"mixing": AlignedMixing, "loop": LoopConfig}
    recipe: TrackerRecipe = _read(name, overrides, TrackerRecipe, "pitch", parts)
    if recipe.spec["channels"] != 1:
        raise ConfigError(f"recipe {recipe.name}: {recipe.spec['channels']} channels", "trackers hear one channel")
    if "hop" in recipe.options:
        hop: Any = recipe.options["hop"]
        segment: Any = recipe.spec["segment"]  # as they were written
        if not isinstance(hop, int) or isinstance(hop, bool) or hop < 1:
            raise ConfigError(f"recipe {recipe.name}: options.hop is {hop!r}", "give a whole number of samples above 0")
        if not isinstance(segment, int) or segment < hop or segment % hop:
            raise ConfigError(
                f"recipe {recipe.name}: spec.segment is {segment!r}, no whole number of hops of {hop}",
                f"give a multiple of {hop}",
            )
    return recipe


def _read(name: Any, overrides: Sequence[str], recipe_type: type[Any], kind: str, parts: dict[str, type[Any]]) -> Any:
    """A recipe of a kind, whose ``parts`` are dataclasses of their own."""
    if isinstance(name, recipe_type):
        document, name = name.to_dict(), name.name
    else:
        document = _document(str(name), kind)
    for override in overrides:
        _apply(document, override)
    if document.get("kind") != kind:
        raise ConfigError(
            f"recipe {name}: kind is {document.get('kind')}, but {kind} are asked for",
            f"known: {', '.join(names(kind))}",
        )
    document.setdefault("name", Path(str(name)).stem)
    try:
        for key, part in parts.items():
            if not isinstance(document.get(key, {}), Mapping):
                raise ConfigError(f"recipe {name}: {key} holds settings", f"set one of them, as {key}.KEY=VALUE")
            document[key] = _typed(part, document.get(key, {}), key)
        recipe = _typed(recipe_type, document, "")
        spec = recipe.spec if isinstance(recipe.spec, Mapping) else {}
        ranges.check((f"spec.{key}", value) for key, value in spec.items())
    except TypeError as error:
        raise ConfigError(f"recipe {name}: {error}") from None
    wanted = {f.name for f in fields(ModelSpec)} - {"labels"}
    if set(recipe.spec) != wanted:
        raise ConfigError(
            f"recipe {name}: [spec] names {', '.join(recipe.spec)}", f"wanted: {', '.join(sorted(wanted))}"
        )
    return recipe


def _document(name: str, kind: str) -> dict[str, Any]:
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ConfigError(f"{path}: no such recipe file")
        content = path.read_bytes()
    elif name in names("classifiers") + names("separators") + names("pitch"):
        content = (files("stemclean") / "recipes" / f"{name}.toml").read_bytes()
    else:
        raise ConfigError(f'no recipe named "{name}"', f"known: {', '.join(names(kind))}, or give a .toml file")
    try:
        return toml_of(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"recipe {name}: line {line} is not UTF-8", "save the recipe as UTF-8") from None
    except FlawError as error:
        raise ConfigError(f"recipe {name}: {error}", "see the recipes of the documentation") from None


def _apply(document: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f'"{override}" sets nothing', "write --set KEY=VALUE, as in --set loop.batch_size=32")
    try:
        parsed = toml_of(f"value = {value}")["value"]
    except FlawError:  # no TOML: a word, or what the setting's own check refuses
        parsed = value
    *path, last = key.strip().split(".")
    place = document
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise ConfigError(f'"{override}": {part} holds no further keys')
    place[last] = parsed


def _typed(kind: type[Any], values: Mapping[str, Any], where: str) -> Any:
    known = {f.name: f for f in fields(kind)}
    for key, value in values.items():
        if key not in known:
            prefix = f"{where}." if where else ""
            raise ConfigError(
                f'recipe: no setting named "{prefix}{key}"', f"known: {', '.join(prefix + k for k in known)}"
            )
        default = known[key].default
        if isinstance(default, bool) != isinstance(value, bool) and isinstance(default, bool | int | float):
            raise ConfigError(f"recipe: {key} should be {type(default).__name__}, not {value!r}")
        if isinstance(default, int | float) and not isinstance(value, int | float):
            raise ConfigError(f"recipe: {key} should be a number, not {value!r}")
    ranges.check((f"{where}.{key}" if where else key, value) for key, value in values.items())
    whole = kind in {ClassifierRecipe, SeparatorRecipe, TrackerRecipe}
    return kind(**{k: _frozen(v) if isinstance(v, list) and not whole else v for k, v in values.items()})


def _frozen(value: Any) -> Any:
    """Lists made tuples, inner ones as well."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
