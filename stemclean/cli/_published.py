"""Which options contradict ``stemclean refine --as-published``."""

from __future__ import annotations

from typing import Any

import typer


def refuse_contradictions(ctx: typer.Context) -> None:
    """Refuse the first option that was typed and says anything but what the paper says.

    Raises:
        typer.BadParameter: there is one.
    """
    from stemclean.refining.published import PUBLISHED, PUBLISHED_SELF, RECIPE

    published: dict[str, Any] = {**PUBLISHED.to_dict(), **PUBLISHED_SELF.to_dict(), "recipe": RECIPE}
    for name, agreed in published.items():
        source = ctx.get_parameter_source(name)
        if source and source.name == "COMMANDLINE" and not _agrees(ctx.params[name], agreed):
            has = agreed if not _is_switch(agreed) else "it off" if agreed is False else "none"
            raise typer.BadParameter(
                f"it contradicts --as-published, which has {has}", param_hint=f"--{name.replace('_', '-')}"
            )


def _is_switch(agreed: Any) -> bool:
    return agreed is None or isinstance(agreed, bool)


def _agrees(given: Any, agreed: Any) -> bool:
    """Whether a value as it was typed, a text perhaps, is that of the paper."""
    if _is_switch(agreed):
        return given is agreed
    try:
        return bool(float(given) == float(agreed))
    except ValueError:
        return bool(getattr(given, "value", given) == agreed)
