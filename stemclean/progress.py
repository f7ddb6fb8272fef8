"""What a person at a terminal sees while no bar moves yet, and remarks from below the command line.

Bars themselves are tqdm's, made where the work is counted: ``tqdm(…, disable=True if quiet else None)``, which shows
nothing where stderr is no terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stemclean.errors import visible

__all__ = ["waiting", "warn"]


@contextmanager
def waiting(text: str, *, quiet: bool = False) -> Iterator[None]:
    """A line on stderr such as ``loading bundled:atto.v2 …``, there while the block runs and gone after it.

    Args:
        text: one line; no full stop.
        quiet: nothing at all, as where stderr is no terminal.
    """
    from tqdm import tqdm

    line = visible(text).replace("{", "{{").replace("}", "}}")  # a path may hold braces, which are fields to tqdm
    with tqdm(bar_format=line, leave=False, disable=True if quiet else None):
        yield


def warn(text: str) -> None:
    """A line on stderr that a run goes on in spite of; above the bars, if any moves.

    Args:
        text: one line; no full stop.
    """
    from tqdm import tqdm

    tqdm.write(f"warning: {visible(text)}", file=sys.stderr)
