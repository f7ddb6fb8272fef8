"""Log messages as remarks on stderr, such as the layout of a dataset, or the warnings of a decoder with their file."""

from __future__ import annotations

import contextlib
import logging
import os
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
    """Print log messages from now on; with ``quiet``, print none. Of several processes, only the first informs."""
    logger = logging.getLogger("stemclean")
    logger.setLevel(logging.WARNING if int(os.environ.get("RANK") or 0) else logging.INFO)
    logger.handlers = [logging.NullHandler() if quiet else _AboveTheBar()]
    logger.propagate = False
