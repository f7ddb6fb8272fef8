"""Check the options of an architecture without building it, so that errors in a recipe are reported at once.

Names and types are those of the arguments of the model, ranges those of :mod:`~stemclean.models.bounds`.
"""

from __future__ import annotations

import inspect
import operator
import types
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import Field, create_model

from stemclean.models import bounds, registry
from stemclean.settings import Settings

__all__ = ["check", "filled", "is_known", "settings_of"]


class _Options(Settings):
    section = "options"


def check(kind: str, architecture: str, options: Mapping[str, Any]) -> None:
    """Check the options of an architecture of this package; other packages check theirs when the model is built.

    Raises:
        SettingError: An option is unknown or invalid; the message says what is allowed.
    """
    if is_known(kind, architecture):
        settings_of(kind, architecture)(**options)


def filled(kind: str, architecture: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return all options, with defaults for those not given; None for an architecture of another package."""
    if not is_known(kind, architecture):
        return None
    return {name: field.default for name, field in settings_of(kind, architecture).model_fields.items()} | dict(options)


@cache
def is_known(kind: str, architecture: str) -> bool:
    """Return whether an architecture belongs to this package."""
    return registry.package_builder(kind, architecture) is not None


@cache
def settings_of(kind: str, architecture: str) -> type[Settings]:
    """Return the options of an architecture of this package as a settings class."""
    model = get_type_hints(registry.package_builder(kind, architecture))["return"]
    hints = get_type_hints(model.__init__)
    fields: dict[str, Any] = {
        name: (_bounded(name, hints[name]), parameter.default)
        for name, parameter in inspect.signature(model.__init__).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    return create_model("Options", __base__=_Options, **fields)


def _bounded(name: str, hint: Any) -> Any:
    """Return a type annotated with the bounds of an option."""
    low, high = bounds.OPTIONS.get(name, bounds.ANY)
    origin = get_origin(hint)
    if hint is int:
        return Annotated[int, Field(ge=int(low), le=int(high))]
    if hint is float:
        return Annotated[float, Field(ge=low, le=high)]
    if hint is str:
        pattern = rf"^(?:{bounds.BACKBONE})$" if name == "backbone" else None
        words = "the name of a ConvNeXt, such as convnext_atto" if name == "backbone" else None
        return Annotated[str, Field(max_length=bounds.LONGEST_TEXT, pattern=pattern, description=words)]
    if origin is tuple:
        return types.GenericAlias(tuple, tuple(_bounded(name, item) for item in get_args(hint)))
    if origin is Sequence:
        (item,) = get_args(hint)
        items = types.GenericAlias(tuple, (_bounded(name, item), ...))
        return Annotated[items, Field(min_length=1, max_length=bounds.LONGEST_LIST)]
    if origin in {Union, types.UnionType}:
        return reduce(operator.or_, (_bounded(name, member) for member in get_args(hint)))
    return hint
