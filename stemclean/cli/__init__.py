"""The command line, a thin layer over the verbs. A command parses its options, calls one verb and prints the result.

Verbs are imported inside the commands, so that ``stemclean --help`` does not import torch.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stemclean import __version__, stopping
from stemclean.cli import (
    _log,
    _shared,
    _streams,
    check,
    corrupt,
    diff,
    doctor,
    eval,  # noqa: A004  `eval` is a command
    export,
    f0,
    merge,
    models,
    pseudo_label,
    refine,
    report,
    review,
    separate,
    stats,
    train_classifier,
    train_joint,
    train_separator,
    train_tracker,
    trim,
    validate,
)

__all__ = ["app", "main"]

app = _shared.new_app(
    completion=True,
    cls=_shared.Edge,
    help="Find the wrong stems in a music dataset, say why, and write a dataset to train a separator on.",
    epilog=_shared.example("stemclean refine my_stems"),
)
_shared.add(app, refine)
_shared.add(app, check)
_shared.add(app, report)
_shared.add(app, review)
_shared.add(app, export)
_shared.add(app, trim)
_shared.add(app, train_classifier)
_shared.add(app, train_separator)
_shared.add(app, train_tracker)
_shared.add(app, train_joint)
_shared.add(app, pseudo_label)
_shared.add(app, separate)
_shared.add(app, f0)
_shared.add(app, corrupt)
_shared.add(app, merge)
_shared.add(app, validate)
_shared.add(app, stats)
_shared.add(app, diff)
_shared.add(app, doctor)
app.add_typer(models.app, name="models")
app.add_typer(eval.app, name="eval")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"stemclean {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
) -> None:
    """Options that precede the command; :class:`_shared.Edge` reads ``debug``."""


def main() -> None:
    """Run the command line on ``sys.argv`` and exit."""
    stopping.install()
    _streams.secure()
    _log.to_stderr(quiet=not {"-q", "--quiet"}.isdisjoint(sys.argv))
    app(prog_name="stemclean")
