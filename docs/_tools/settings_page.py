"""docs/settings.md: all settings with their defaults and allowed values, from the classes that check them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from pydantic_core import PydanticUndefined

from stemclean.layouts import base
from stemclean.models import options, registry
from stemclean.settings import Settings, allowed, shown
from stemclean.training.joint import JointConfig
from stemclean.training.recipe import ClassifierRecipe, SeparatorRecipe, TrackerRecipe

PATH = "docs/settings.md"

HEAD = """\
<!-- Written by docs/_tools/settings_page.py; change the classes of settings instead. -->
# Settings

A recipe is a TOML file. `--recipe` takes the name of one in `stemclean/recipes/`, or the path of your own.
`--set KEY=VALUE` changes a key of the recipe and can be repeated. The value is TOML (`32`, `0.5`, `true`,
`[-12.0, 6.0]`); words need no quotes. Numbers without a fraction count as whole numbers (`loop.examples=1e6`).

All keys are checked before any data are read: their names, their values, and whether they have an effect. The error
names the recipe file or the option, and the exit code is 2:

```text
error: my.toml: loop.warmup is -1; it must be a number from 0 to 1
error: --set: no setting named "loop.batchsize"
  did you mean "loop.batch_size"?
error: my.toml: loss.n_fft is 2048, but does nothing where loss.kind is "l1"
  leave it out
```

An option may switch off a part of the training that the recipe configures. For example,
`--recipe atto --set calibration.excerpts=0` is accepted, although the recipe sets `calibration.bleed_db`.
`train-joint` only uses the model and the loss of the tracker's recipe. The recipes of the package may contain other
keys, your own recipe file may not.
"""

KINDS: dict[str, type[Settings]] = {
    "Classifiers (`train-classifier`, `refine --self`)": ClassifierRecipe,
    "Separators (`train-separator`)": SeparatorRecipe,
    "Trackers (`train-tracker`; for `train-joint` as `tracker.KEY`)": TrackerRecipe,
}
TAIL = (("classifiers", "Classifiers"), ("separators", "Separators"), ("pitch", "Trackers"))


def render() -> str:
    """The page."""
    parts = [HEAD]
    for title, kind in KINDS.items():
        parts += [f"## {title}\n", _table(_of_recipe(kind))]
    parts += ["## Joint training (`train-joint`)\n", _table(_of(JointConfig))]
    parts.append(
        "## Options of the models\n\nOptions of an architecture of another package are checked by the architecture.\n"
    )
    for plural, title in TAIL:
        for name in registry.names(plural):
            model = options.settings_of(plural, name)
            parts += [f"### {title.removesuffix('s')} `{name}`\n", _table(_of(model))]
    parts.append("## Formats (`export --to FORMAT --set KEY=VALUE`)\n")
    for name, layout in base.layouts().items():
        if isinstance(layout, Settings) and type(layout).model_fields:
            parts += [f"### `{name}`\n", _table(_of(type(layout)))]
    return "\n".join(parts)


def _of_recipe(kind: type[Settings]) -> Iterator[tuple[str, str, str]]:
    for name, field in kind.model_fields.items():
        part = field.annotation
        if inspect.isclass(part) and issubclass(part, Settings):
            yield from _of(part)
        elif name not in ("kind", "options"):
            yield _row(kind, name)


def _of(kind: type[Settings]) -> Iterator[tuple[str, str, str]]:
    for name in kind.model_fields:
        yield _row(kind, name)


def _row(kind: type[Settings], name: str) -> tuple[str, str, str]:
    default = kind.model_fields[name].default
    text = "" if default is PydanticUndefined else "none" if default is None else shown(default)
    return f"`{kind.key(name)}`", f"`{text}`" if text else "", re.sub(r'"(\w+)"', r"`\1`", allowed(kind, name))


def _table(rows: Iterator[tuple[str, str, str]]) -> str:
    lines = ["| key | default | allowed values |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])
