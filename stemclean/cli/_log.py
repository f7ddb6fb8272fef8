"""Log messages as remarks on stderr, such as the warnings of a decoder, with the name of the file."""

from __future__ import annotations

import contextlib
import logging
import sys

from stemclean.errors import visible

__all__ = ["to_stderr"]


class _AboveTheBar(logging.Handler):
    """Prints one line per record above a progress bar; control characters are escaped."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; a closed stream is ignored."""
        from tqdm import tqdm

        with contextlib.suppress(OSError, ValueError):
            tqdm.write(visible(record.getMessage()), file=sys.stderr)


def to_stderr(*, quiet: bool) -> None:
    """Print log messages from now on; with ``quiet``, print none."""
    logger = logging.getLogger("stemclean")
    logger.handlers = [logging.NullHandler() if quiet else _AboveTheBar()]
    logger.propagate = False
