"""Recipes: every choice of a training run in one TOML file, checked key by key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from stemclean.data.mixing import MixingConfig
from stemclean.errors import ConfigError
from stemclean.models.contract import ModelSpec
from stemclean.training.calibrate import CalibrationConfig
from stemclean.training.loop import LoopConfig

__all__ = ["ClassifierRecipe", "names", "read"]


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
    mixing: MixingConfig = field(default_factory=MixingConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(
        p.name.removesuffix(".toml") for p in (files("stemclean") / "recipes").iterdir() if p.name.endswith(".toml")
    )


def read(name: str | Path, overrides: Sequence[str] = ()) -> ClassifierRecipe:
    """A recipe by name or path.

    Args:
        overrides: ``key=value`` with dotted keys and TOML values, as ``loop.batch_size=32``.

    Raises:
        ConfigError: no such recipe, or a key or value that means nothing.
    """
    document = _document(str(name))
    for override in overrides:
        _apply(document, override)
    document.setdefault("name", Path(str(name)).stem)
    try:
        document["mixing"] = _typed(MixingConfig, document.get("mixing", {}), "mixing")
        document["loop"] = _typed(LoopConfig, document.get("loop", {}), "loop")
        document["calibration"] = _typed(CalibrationConfig, document.get("calibration", {}), "calibration")
        recipe: ClassifierRecipe = _typed(ClassifierRecipe, document, "")
    except TypeError as error:
        raise ConfigError(f"recipe {name}: {error}") from None
    wanted = {f.name for f in fields(ModelSpec)} - {"labels"}
    if set(recipe.spec) != wanted:
        raise ConfigError(
            f"recipe {name}: [spec] names {', '.join(recipe.spec)}", f"wanted: {', '.join(sorted(wanted))}"
        )
    if recipe.spec["channels"] != 2:
        raise ConfigError(f"recipe {name}: {recipe.spec['channels']} channels", "mixtures are stereo: spec.channels=2")
    if recipe.kind != "classifiers":
        raise ConfigError(f"recipe {name}: kind is {recipe.kind}, but a classifier is asked for")
    return recipe


def _document(name: str) -> dict[str, Any]:
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ConfigError(f"{path}: no such recipe file")
        text = path.read_text()
    elif name in names():
        text = (files("stemclean") / "recipes" / f"{name}.toml").read_text()
    else:
        raise ConfigError(f'no recipe named "{name}"', f"known: {', '.join(names())}, or give a .toml file")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"recipe {name}: {error}") from None


def _apply(document: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f'"{override}" sets nothing', "write --set KEY=VALUE, as in --set loop.batch_size=32")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
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
    return kind(
        **{k: tuple(v) if isinstance(v, list) and kind is not ClassifierRecipe else v for k, v in values.items()}
    )
