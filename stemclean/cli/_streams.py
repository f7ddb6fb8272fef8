"""Standard streams that may be closed, full, or belong to a terminal that is gone."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

__all__ = ["secure"]


def secure() -> None:
    """Make stdin, stdout and stderr safe to use, for the whole program.

    A closed stream (``2>&-``) is redirected to the null device; otherwise, the next file that is opened would get its
    number and whatever a library prints. Messages that cannot be written are discarded and do not end a run. Data that
    cannot be written raise an error with the name of the stream, once. Closed pipes are left to the caller.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            _redirect_to_null(number)
    sys.stdout = _secured(sys.stdout, 1, "stdout")
    sys.stderr = _secured(sys.stderr, 2, None)


class _Stream(io.FileIO):
    """A standard stream that is redirected to the null device when it breaks."""

    name_in_errors: str | None = None

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise
        except OSError as error:
            _redirect_to_null(self.fileno())
            if self.name_in_errors is None:
                return len(memoryview(data))  # type: ignore[arg-type]
            raise OSError(error.errno, error.strerror, self.name_in_errors) from None


def _secured(stream: TextIO | None, number: int, name_in_errors: str | None) -> TextIO:
    if sys.platform == "win32" and stream is not None:  # a Windows console is not a file
        return stream
    raw = _Stream(number, "w", closefd=False)
    raw.name_in_errors = name_in_errors
    encoding = stream.encoding if stream is not None else "utf-8"
    line_buffering = name_in_errors is None or raw.isatty()
    with suppress(OSError, ValueError):
        if stream is not None:
            stream.flush()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=line_buffering)


def _redirect_to_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
