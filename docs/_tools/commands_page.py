"""docs/commands.md: the ``--help`` of every command."""

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
"""Other versions of Typer may format help differently; a test compares the page for this one."""

HEAD = f"""\
<!-- Written by docs/_tools/commands_page.py with Typer {TYPER}; change stemclean/cli instead. -->
# Commands

Data are written to stdout, messages to stderr, so `stemclean refine my_stems --json > report.json` separates them.
Progress bars and colours only appear on terminals. A file that cannot be read does not end a run: it is listed under
`skipped` in the manifest, with a [reason](manifest.md#reasons-of-a-skipped-file), and the exit code is 3. See [Your
data](datasets.md) for the input formats and [JSON output](json.md) for the output of `--json`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | findings, with `--fail-on` |
| 2 | usage or configuration error; nothing was done |
| 3 | finished, but some inputs failed |
| 70 | a bug in stemclean |
| 130, 143, 129 | interrupted (Ctrl-C), terminated or hung up; the same command continues the run |
| 141 | the reader of the output is gone, as in `stemclean … \\| head` |

Every command takes `--config FILE` and `--log-json`; see [In CI and batch jobs](howto/ci.md).
"""


def names() -> list[tuple[str, ...]]:
    """The words of every command, groups before their members; ``()`` is the program itself."""
    return [(), *_below(get_command(app), ())]


def help_text(name: tuple[str, ...]) -> str:
    """The output of ``stemclean NAME --help`` in 80 columns."""
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
