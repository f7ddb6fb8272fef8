"""Architectures by name: a file in ``models/<kind>`` or an entry point of the group ``stemclean.<kind>``."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import torch

from stemclean.errors import ConfigError, StemcleanError
from stemclean.models import bounds
from stemclean.models.contract import ModelSpec

__all__ = ["build", "called", "names", "shapes"]


def names(kind: str) -> list[str]:
    """All architectures of a kind (``classifiers``, …), sorted."""
    package = importlib.import_module(f"stemclean.models.{kind}")
    ours = {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}
    return sorted(ours | {point.name for point in entry_points(group=f"stemclean.{kind}")})


def called(kind: str) -> str:
    """What one of a kind is called: ``classifier``, ``separator``, ``pitch tracker``."""
    return "pitch tracker" if kind == "pitch" else kind.removesuffix("s")


def build(kind: str, name: str, spec: ModelSpec, options: dict[str, Any]) -> Any:
    """Build a model by name.

    What it will be made of is checked before memory is taken for it; see :mod:`~stemclean.models.bounds`.

    Raises:
        ConfigError: no such architecture, options that it does not take or that are out of bounds, or too large a
            model.
    """
    if name not in names(kind):
        raise ConfigError(f'no {called(kind)} named "{name}"', f"known: {', '.join(names(kind))}")
    if _is_ours(kind, name):
        bounds.check(spec, options)
        size = sum(math.prod(shape) for shape in shapes(kind, name, spec, options).values())
        if size > bounds.LARGEST_MODEL:
            raise ConfigError(
                f'{called(kind)} "{name}" would have {size:,} parameters', f"{bounds.LARGEST_MODEL:,} are the most"
            )
    return _built(kind, name, spec, options)


def shapes(kind: str, name: str, spec: ModelSpec, options: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors of an architecture of ours by name, without the memory for them.

    Raises:
        ConfigError: options that it does not take.
    """
    with torch.device("meta"):
        return {key: tuple(tensor.shape) for key, tensor in _built(kind, name, spec, options).state_dict().items()}


def _built(kind: str, name: str, spec: ModelSpec, options: dict[str, Any]) -> Any:
    try:
        return _builder(kind, name)(spec, **options)
    except (StemcleanError, OSError):  # no folder for temporary files, which torch asks for, is no setting's fault
        raise
    except Exception as error:  # whatever a library makes of settings that do not fit one another
        raise ConfigError(f'{called(kind)} "{name}" cannot be built: {type(error).__name__}: {error}') from error


def _is_ours(kind: str, name: str) -> bool:
    """Whether an architecture is one of this package; others set their own bounds."""
    return all(point.name != name for point in entry_points(group=f"stemclean.{kind}"))


def _builder(kind: str, name: str) -> Callable[..., Any]:
    for point in entry_points(group=f"stemclean.{kind}"):
        if point.name == name:
            builder: Callable[..., Any] = point.load()
            return builder
    module = importlib.import_module(f"stemclean.models.{kind}.{name}")
    return module.build  # type: ignore[no-any-return]
