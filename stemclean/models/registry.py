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

__all__ = ["build", "called", "check", "names", "own"]


def names(kind: str) -> list[str]:
    """All architectures of a kind (``classifiers``, …), sorted."""
    return sorted(_ours(kind) | _plugged_in(kind).keys())


def _ours(kind: str) -> set[str]:
    package = importlib.import_module(f"stemclean.models.{kind}")
    return {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}


def _plugged_in(kind: str) -> dict[str, EntryPoint]:
    """Architectures of other packages, which set their own bounds; it takes a look at every package there is."""
    return {point.name: point for point in entry_points(group=f"stemclean.{kind}")}


def _builder(kind: str, name: str) -> Any:
    return importlib.import_module(f"stemclean.models.{kind}.{name}").build


def own(kind: str, name: str) -> Callable[..., Any] | None:
    """What builds an architecture of this package; None: it is another's, or there is none of that name."""
    return _builder(kind, name) if name in _ours(kind) - _plugged_in(kind).keys() else None


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
    theirs, ours = _plugged_in(kind), _ours(kind)
    if name not in ours | theirs.keys():
        raise ConfigError(f'no {called(kind)} named "{name}"', f"known: {', '.join(sorted(ours | theirs.keys()))}")
    if name in theirs:
        return _built(theirs[name].load, kind, name, spec, options)
    check(kind, name, spec, options)
    return _built(lambda: _builder(kind, name), kind, name, spec, options)


def check(kind: str, name: str, spec: ModelSpec, options: dict[str, Any]) -> None:
    """Refuse what an architecture of this package cannot be built from, without the memory for it.

    Raises:
        ConfigError: options that it does not take, that are out of bounds or do not fit one another, or too large a
            model.
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
            f'{called(kind)} "{name}" would have {size:,} parameters', f"{bounds.LARGEST_MODEL:,} are the most"
        )


def _check_types(architecture: type, options: Mapping[str, Any]) -> None:
    """Hold options against the types that an architecture declares: a text for a number fails only when it is used.

    Raises:
        ConfigError: one is of another type.
    """
    declared = get_type_hints(architecture.__init__)  # type: ignore[misc]
    for name, value in options.items():
        try:
            TypeAdapter(declared.get(name, Any), config=ConfigDict(strict=True)).validate_python(frozen(value))
        except ValidationError as error:
            raise ConfigError(
                f"options.{name} {in_plain_words(error.errors()[0]['msg'])}", "put it right in the recipe or the card"
            ) from None


@contextmanager
def _bounded(kind: str, name: str) -> Iterator[None]:
    """End the building of a model that takes no memory when it grows too large: else it may take minutes to find out.

    Raises:
        ConfigError: it does.
    """
    size = count = 0

    def add(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal size, count
        size += 0 if parameter is None else parameter.numel()
        count += 1
        if size > bounds.LARGEST_MODEL or count > bounds.MOST_TENSORS:
            raise ConfigError(
                f'{called(kind)} "{name}" would have {size:,} parameters or more, in {count:,} tensors',
                f"{bounds.LARGEST_MODEL:,} in {bounds.MOST_TENSORS:,} tensors are the most",
            )

    hook = register_module_parameter_registration_hook(add)
    try:
        yield
    finally:
        hook.remove()


def _built(load: Callable[[], Any], kind: str, name: str, spec: ModelSpec, options: dict[str, Any]) -> Any:
    try:
        return load()(spec, **options)
    except (StemcleanError, OSError):  # no folder for temporary files, which torch asks for, is no setting's fault
        raise
    except Exception as error:  # whatever a library makes of settings that do not fit one another
        what = f'{called(kind)} "{name}" cannot be built: {type(error).__name__}: {error}'
        raise ConfigError(what, "are its options of the right kind, and do they fit one another?") from error
