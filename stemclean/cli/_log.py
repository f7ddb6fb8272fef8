"""Log messages on stderr, such as the layout of a dataset, or the warnings of a decoder with their file."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Annotated

import typer

from stemclean import progress
from stemclean.errors import visible

__all__ = ["LogJson", "to_stderr"]


class _AboveTheBar(logging.Handler):
    """Prints one line per record above a progress bar; control characters are escaped."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; a closed stream is ignored."""
        if progress.as_json():
            progress.tell("log", record.getMessage(), level=record.levelname.lower())
            return
        from tqdm import tqdm

        with contextlib.suppress(OSError, ValueError):
            tqdm.write(visible(record.getMessage()), file=sys.stderr)


def to_stderr(*, quiet: bool) -> None:
    """Print log messages from now on; with ``quiet``, print none. Of several processes, only the first informs."""
    logger = logging.getLogger("stemclean")
    logger.setLevel(logging.WARNING if int(os.environ.get("RANK") or 0) else logging.INFO)
    logger.handlers = [logging.NullHandler() if quiet else _AboveTheBar()]
    logger.propagate = False


def _switch(wanted: bool) -> None:
    progress.use_json(wanted)  # until the program ends, since errors are reported last


LogJson = Annotated[
    bool,
    typer.Option(
        "--log-json",
        is_eager=True,
        expose_value=False,
        callback=_switch,
        help="Write progress, remarks, warnings and errors to stderr as JSON lines.",
        rich_help_panel="Output",
    ),
]
"""The option; commands do not take it as an argument."""
