"""Show waiting messages and warnings on the terminal.

Progress bars are made by tqdm where the work is counted: ``tqdm(…, disable=True if quiet else None)``, which shows
nothing if stderr is not a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stemclean.errors import visible

__all__ = ["waiting", "warn"]


@contextmanager
def waiting(text: str, *, quiet: bool = False) -> Iterator[None]:
    """Show a line such as ``loading bundled:atto.v2 …`` on stderr while the block runs.

    Args:
        text: one line without a full stop.
        quiet: show nothing. Nothing is shown either if stderr is not a terminal.
    """
    from tqdm import tqdm

    line = visible(text).replace("{", "{{").replace("}", "}}")  # tqdm would read braces in a path as fields
    with tqdm(bar_format=line, leave=False, disable=True if quiet else None):
        yield


def warn(text: str) -> None:
    """Print a warning to stderr, above any progress bar.

    Args:
        text: one line without a full stop.
    """
    from tqdm import tqdm

    tqdm.write(f"warning: {visible(text)}", file=sys.stderr)
