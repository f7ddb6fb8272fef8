"""docs/commands.md: what ``--help`` says, of every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command
from typer.testing import CliRunner

from stemclean.cli import app

PATH = "docs/commands.md"

TYPER = ".".join(typer.__version__.split(".")[:2])
"""Another Typer may word and wrap its help otherwise; a test compares the page for this one."""

HEAD = f"""\
<!-- Written by docs/_tools/commands_page.py with Typer {TYPER}; change stemclean/cli instead. -->
# Commands

stdout carries data, stderr carries talk: `stemclean refine my_stems --json > report.json` keeps them apart. Progress
bars and colours appear on terminals only. One file that cannot be read never ends a run: it is listed under `skipped`
in the manifest, with a [reason](manifest.md#reasons-of-a-skipped-file), and the exit code says so. What may be given as
data is told in [Your data](datasets.md), what `--json` prints in [JSON output](json.md).

| exit code | means |
|---|---|
| 0 | done |
| 1 | findings, where `--fail-on` asked for them |
| 2 | usage or configuration: nothing was done |
| 3 | finished, but some inputs failed |
| 70 | a bug in stemclean |
| 130, 143, 129 | interrupted (Ctrl-C), terminated or hung up; the same command goes on where it was |
| 141 | nobody reads the output any more, as in `stemclean … \\| head` |
"""


def names() -> list[tuple[str, ...]]:
    """Every command as it is typed, groups before their members; ``()`` is the program itself."""
    return [(), *_below(get_command(app), ())]


def help_text(name: tuple[str, ...]) -> str:
    """What ``stemclean NAME --help`` prints on 80 columns."""
    result = CliRunner().invoke(app, [*name, "--help"], prog_name="stemclean", env={"COLUMNS": "80", "NO_COLOR": "1"})
    if result.exit_code:
        raise RuntimeError(f"stemclean {' '.join(name)} --help: exit {result.exit_code}\n{result.output}")
    return re.sub(r"[ \t]+$", "", result.stdout, flags=re.MULTILINE).strip()


def render() -> str:
    """The page's text."""
    sections = [f"## {' '.join(('stemclean', *name))}\n\n```text\n{help_text(name)}\n```\n" for name in names()]
    return "\n".join([HEAD, *sections])


def _below(command: Any, name: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for word, child in getattr(command, "commands", {}).items():
        yield (*name, word)
        yield from _below(child, (*name, word))
