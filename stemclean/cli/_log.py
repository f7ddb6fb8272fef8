"""What our modules log, as remarks on stderr: what a decoder had to say of a file, with the file's name."""

from __future__ import annotations

import contextlib
import logging
import sys

from stemclean.errors import visible

__all__ = ["to_stderr"]


class _AboveTheBar(logging.Handler):
    """A line a record, so that a progress bar stays whole; nothing in it can colour a terminal or begin a line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; nobody may be there to read it."""
        from tqdm import tqdm

        with contextlib.suppress(OSError, ValueError):
            tqdm.write(visible(record.getMessage()), file=sys.stderr)


def to_stderr(*, quiet: bool) -> None:
    """Print what is logged from now on; with ``quiet`` nothing, as of all remarks."""
    logger = logging.getLogger("stemclean")
    logger.handlers = [logging.NullHandler() if quiet else _AboveTheBar()]
    logger.propagate = False
