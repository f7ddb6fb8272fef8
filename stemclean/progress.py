"""Show waiting messages, warnings and progress on the terminal, or as JSON lines.

Progress bars are made by tqdm where the work is counted: ``tqdm(…, disable=True if quiet else None)``, which shows
nothing if stderr is not a terminal. After :func:`use_json`, all bars write JSON lines instead, terminal or not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from stemclean.errors import visible

__all__ = ["as_json", "tell", "use_json", "waiting", "warn"]

EVERY = 5.0
"""Seconds between two JSON lines on the progress of a task, besides the first and the last."""

_before: dict[str, Any] = {}
"""What :func:`use_json` replaced; empty if it is off."""


def as_json() -> bool:
    """Return whether messages are written as JSON lines."""
    return bool(_before)


def tell(event: str, message: str = "", **fields: Any) -> None:
    """Write a JSON line to stderr.

    Args:
        event: ``progress``, ``remark``, ``log``, ``warning`` or ``error``.
        message: what a person would read.
        fields: anything else, of JSON types.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {"time": now, "event": event, **({"message": message} if message else {}), **fields}
    with suppress(OSError, ValueError):  # a closed stream
        sys.stderr.write(json.dumps(line, allow_nan=False) + "\n")
        sys.stderr.flush()


def use_json(wanted: bool) -> None:
    """Write messages as JSON lines from now on, or no longer. To be called before the verbs import tqdm."""
    if wanted == as_json():
        return
    import tqdm

    if wanted:
        _before["tqdm"] = tqdm.tqdm
        tqdm.tqdm = _json_bar(tqdm.tqdm)
    else:
        tqdm.tqdm = _before.pop("tqdm")


def _json_bar(bar: Any) -> Any:
    """Return a kind of tqdm whose bars and messages are JSON lines."""

    class JsonBar(bar):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            options |= {"file": _Nowhere(), "mininterval": EVERY, "disable": bool(options.get("disable"))}
            super().__init__(*args, **options)

        def display(self, msg: str | None = None, pos: int | None = None) -> bool:
            shown = self.format_dict
            rate = shown["rate"] or (shown["n"] / shown["elapsed"] if shown["elapsed"] else None)
            left = (shown["total"] - shown["n"]) / rate if shown["total"] is not None and rate else None
            tell(
                "progress",
                task=(self.desc or "").removesuffix(": "),
                done=shown["n"],
                total=shown["total"],
                unit=self.unit,
                per_second=None if rate is None else round(rate, 3),
                seconds_left=None if left is None else round(max(left, 0.0), 1),
            )
            return True

        @classmethod
        def write(cls, s: str, *_: Any, **__: Any) -> None:
            tell("log", s.strip(), level="info")

    return JsonBar


class _Nowhere:
    """A stream for the bars, which draw themselves besides their lines."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Do nothing."""


@contextmanager
def waiting(text: str, *, quiet: bool = False) -> Iterator[None]:
    """Show a line such as ``loading bundled:atto.v2 …`` on stderr while the block runs.

    Args:
        text: one line without a full stop.
        quiet: show nothing. Nothing is shown either if stderr is not a terminal.
    """
    if as_json():
        if not quiet:
            tell("remark", text)
        yield
        return
    from tqdm import tqdm

    line = visible(text).replace("{", "{{").replace("}", "}}")  # tqdm would read braces in a path as fields
    with tqdm(bar_format=line, leave=False, disable=True if quiet else None):
        yield


def warn(text: str) -> None:
    """Print a warning to stderr, above any progress bar.

    Args:
        text: one line without a full stop.
    """
    if as_json():
        tell("warning", text)
        return
    from tqdm import tqdm

    tqdm.write(f"warning: {visible(text)}", file=sys.stderr)
