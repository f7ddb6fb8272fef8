"""A command for Typer: options come in dataclasses, and the help shows them in groups."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_type_hints

from typer.core import TyperCommand

from stemclean.cli._config import Config
from stemclean.cli._log import LogJson
from stemclean.cli._options import OUTPUT, RUNNING

__all__ = ["Command", "expanded"]


COMMON: dict[str, tuple[Any, Any]] = {"config_file": (Config, None), "log_json": (LogJson, False)}
"""Options that all commands have and none takes as an argument, since callbacks do all."""


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the fields of its dataclasses of options as parameters, which Typer understands.

    If such a class has a ``title``, its options are a group of that name, unless they have another.
    """
    hints = get_type_hints(command, include_extras=True)
    bundles: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in bundles:
            parameters += _of_bundle(bundles[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name in COMMON:
            values.pop(name, None)
        for name, kind in bundles.items():
            values[name] = kind(**{field.name: values.pop(field.name) for field in fields(kind)})
        command(**values)

    del run.__wrapped__
    parameters += _common()
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _common() -> Iterator[inspect.Parameter]:
    """Yield the parameters of :data:`COMMON`."""
    for name, (option, default) in COMMON.items():
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)


def _of_bundle(kind: Any) -> Iterator[inspect.Parameter]:
    """Yield a parameter for each field."""
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        value, option = get_args(hints[field.name])
        if option.rich_help_panel is None:
            option = copy.copy(option)
            option.rich_help_panel = getattr(kind, "title", None)
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=Annotated[value, option]
        )


class Command(TyperCommand):
    """A command whose help shows its options in groups (``rich_help_panel``), first those that have none."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the groups of options. Context and formatter are those of vendored Click."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                is_argument = parameter.param_type_name == "argument"
                group = getattr(parameter, "rich_help_panel", None) or ("Arguments" if is_argument else "Options")
                groups.setdefault(group, []).append(record)
        for last in (RUNNING, OUTPUT):
            groups[last] = groups.pop(last, [])
        for group, records in groups.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)
