"""Architectures by name: a file in ``models/<kind>`` or an entry point of the group ``stemclean.<kind>``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from stemclean.errors import ConfigError, StemcleanError, in_plain_words
from stemclean.models import bounds
from stemclean.models.contract import ModelSpec
from stemclean.settings import frozen

__all__ = ["build", "called", "check", "names", "package_builder"]


def names(kind: str) -> list[str]:
    """Return the names of all architectures of a kind (``classifiers``, …), sorted."""
    return sorted(_ours(kind) | _plugged_in(kind).keys())


def _ours(kind: str) -> set[str]:
    package = importlib.import_module(f"stemclean.models.{kind}")
    return {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}


def _plugged_in(kind: str) -> dict[str, EntryPoint]:
    """Return the architectures of other packages, which have bounds of their own. This scans all installed packages."""
    return {point.name: point for point in entry_points(group=f"stemclean.{kind}")}


def _builder(kind: str, name: str) -> Any:
    return importlib.import_module(f"stemclean.models.{kind}.{name}").build


def package_builder(kind: str, name: str) -> Callable[..., Any] | None:
    """Return the build function of an architecture of this package; None for all other names."""
    return _builder(kind, name) if name in _ours(kind) - _plugged_in(kind).keys() else None


def called(kind: str) -> str:
    """Return the singular noun of a kind: ``classifier``, ``separator``, ``pitch tracker``."""
    return "pitch tracker" if kind == "pitch" else kind.removesuffix("s")


def build(kind: str, name: str, spec: ModelSpec, options: dict[str, Any]) -> Any:
    """Build a model by name.

    Its spec and options are checked before memory is allocated; see :mod:`~stemclean.models.bounds`.

    Args:
        kind: ``classifiers``, ``separators`` or ``pitch``.
        name: Name of the architecture.
        spec: Input format and classes.
        options: Options of the architecture.

    Raises:
        ConfigError: There is no such architecture, an option is unknown or out of bounds, or the model is too large.
    """
    plugins, ours = _plugged_in(kind), _ours(kind)
    if name not in ours | plugins.keys():
        raise ConfigError(f'no {called(kind)} named "{name}"', f"known: {', '.join(sorted(ours | plugins.keys()))}")
    if name in plugins:
        return _built(plugins[name].load, kind, name, spec, options)
    check(kind, name, spec, options)
    return _built(lambda: _builder(kind, name), kind, name, spec, options)


def check(kind: str, name: str, spec: ModelSpec, options: dict[str, Any]) -> None:
    """Check that an architecture of this package can be built, without allocating memory for it.

    Raises:
        ConfigError: An option is unknown or out of bounds, options contradict each other, or the model is too large.
    """
    bounds.check(spec, options)

    def load() -> Any:
        return _builder(kind, name)

    with torch.device("meta"), _bounded(kind, name):
        model = _built(load, kind, name, spec, options)
    _check_types(type(model), options)
    size = sum(tensor.numel() for tensor in model.state_dict().values())
    if size > bounds.LARGEST_MODEL:
        raise ConfigError(
            f'{called(kind)} "{name}" would have {size:,} parameters', f"the limit is {bounds.LARGEST_MODEL:,}"
        )


def _check_types(architecture: type, options: Mapping[str, Any]) -> None:
    """Check options against the types that an architecture declares, as wrong types may fail only when they are used.

    Raises:
        ConfigError: An option has the wrong type.
    """
    declared = get_type_hints(architecture.__init__)  # type: ignore[misc]
    for name, value in options.items():
        try:
            TypeAdapter(declared.get(name, Any), config=ConfigDict(strict=True)).validate_python(frozen(value))
        except ValidationError as error:
            raise ConfigError(
                f"options.{name} {in_plain_words(error.errors()[0]['msg'])}", "correct it in the recipe or the card"
            ) from None


@contextmanager
def _bounded(kind: str, name: str) -> Iterator[None]:
    """Stop building a model on the meta device as soon as it is too large, because to finish it could take minutes.

    Raises:
        ConfigError: The model is too large.
    """
    size = count = 0

    def add(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal size, count
        size += 0 if parameter is None else parameter.numel()
        count += 1
        if size > bounds.LARGEST_MODEL or count > bounds.MOST_TENSORS:
            raise ConfigError(
                f'{called(kind)} "{name}" would have {size:,} parameters or more, in {count:,} tensors',
                f"the limits are {bounds.LARGEST_MODEL:,} parameters and {bounds.MOST_TENSORS:,} tensors",
            )

    hook = register_module_parameter_registration_hook(add)
    try:
        yield
    finally:
        hook.remove()


def _built(load: Callable[[], Any], kind: str, name: str, spec: ModelSpec, options: dict[str, Any]) -> Any:
    try:
        return load()(spec, **options)
    except (StemcleanError, OSError):  # OSError: torch found no temporary folder, which is no fault of the options
        raise
    except Exception as error:  # libraries raise many kinds if options contradict each other
        message = f'{called(kind)} "{name}" cannot be built: {type(error).__name__}: {error}'
        raise ConfigError(message, "check that its options have the right types and fit together") from error
