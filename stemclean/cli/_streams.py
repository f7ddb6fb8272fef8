"""stdout and stderr as they are given: closed, full, or of a terminal that is gone."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

__all__ = ["secure"]


def secure() -> None:
    """Make stdin, stdout and stderr safe to use, for the whole program.

    What is closed (``2>&-``) is opened to nowhere, or the next file would get its number and whatever a library prints.
    Talk that cannot be written goes nowhere and ends no run; data that cannot be written is an error that bears its
    name, once. A pipe that nobody reads stays the caller's affair.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            _to_nowhere(number)
    sys.stdout = _secured(sys.stdout, 1, "stdout")
    sys.stderr = _secured(sys.stderr, 2, None)


class _Stream(io.FileIO):
    """A standard stream that does not stay broken."""

    told_as: str | None = None

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise
        except OSError as error:
            _to_nowhere(self.fileno())
            if self.told_as is None:
                return len(memoryview(data))  # type: ignore[arg-type]
            raise OSError(error.errno, error.strerror, self.told_as) from None


def _secured(stream: TextIO | None, number: int, told_as: str | None) -> TextIO:
    if sys.platform == "win32" and stream is not None:  # a console of Windows is no file
        return stream
    raw = _Stream(number, "w", closefd=False)
    raw.told_as = told_as
    encoding = stream.encoding if stream is not None else "utf-8"
    by_line = told_as is None or raw.isatty()
    with suppress(OSError, ValueError):
        if stream is not None:
            stream.flush()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=by_line)


def _to_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
