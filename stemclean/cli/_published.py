"""Options that contradict ``stemclean refine --as-published``."""

from __future__ import annotations

from typing import Any

import typer


def refuse_contradictions(ctx: typer.Context) -> None:
    """Refuse the first option that was given and differs from the paper.

    Raises:
        typer.BadParameter: there is such an option.
    """
    from stemclean.refining.published import PUBLISHED, PUBLISHED_SELF, RECIPE

    published: dict[str, Any] = {**PUBLISHED.to_dict(), **PUBLISHED_SELF.to_dict(), "recipe": RECIPE}
    for name, value in published.items():
        source = ctx.get_parameter_source(name)
        if source and source.name in ("COMMANDLINE", "DEFAULT_MAP") and not _agrees(ctx.params[name], value):
            has = value if not _is_switch(value) else "it off" if value is False else "none"
            raise typer.BadParameter(
                f"it contradicts --as-published, which has {has}", param_hint=f"--{name.replace('_', '-')}"
            )


def _is_switch(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _agrees(given: Any, published: Any) -> bool:
    """Whether a value given on the command line, which may still be text, is that of the paper."""
    if _is_switch(published):
        return given is published
    try:
        return bool(float(given) == float(published))
    except ValueError:
        return bool(getattr(given, "value", given) == published)
