"""What can go wrong, in words a user can act on.

Every error that a user may meet is a :class:`StemcleanError`: a message that says what and where,
and a hint that says the next step. The command line prints both and exits with ``exit_code``.
"""

from __future__ import annotations

import errno
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "AudioError",
    "ConfigError",
    "LabelError",
    "ManifestError",
    "OutputError",
    "StemcleanError",
    "WeightsError",
    "in_plain_words",
    "of_one_file",
    "visible",
]


class StemcleanError(Exception):
    """An error with a next step.

    Args:
        message: what is wrong and where, in one line, without a full stop.
        hint: what to do next; may hold several lines. Empty when there is nothing to add.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(StemcleanError):
    """A flag, a recipe or a combination of them that cannot be meant."""


class ManifestError(StemcleanError):
    """A manifest that breaks its schema or contradicts itself; the message holds the address."""


class WeightsError(StemcleanError):
    """Weights that cannot be found, trusted or used."""


class OutputError(StemcleanError):
    """A file or folder that cannot be written. It ends a run: what comes after it could not be written either.

    Args:
        path: what was to be written.
        error: what the system said; its number tells the next step.
    """

    def __init__(self, path: str | Path, error: OSError) -> None:
        what, hint = _UNWRITABLE.get(
            error.errno or 0, ("cannot be written", "is the path right, and may you write there?")
        )
        said = "" if error.errno in _SAID else f": {error.strerror or error}"
        super().__init__(f"{path}: {what}{said}", hint)
        self.path = Path(path)
        self.errno = error.errno


_AGAIN = "then run the same command again: it goes on where it was"
_ELSEWHERE = "write to another folder"
_UNWRITABLE = {
    errno.ENOSPC: ("the disk is full", f"make room or {_ELSEWHERE}, {_AGAIN}"),
    errno.EDQUOT: ("the disk quota is used up", f"make room or {_ELSEWHERE}, {_AGAIN}"),
    errno.EFBIG: ("it would grow larger than files may be here", f"raise the limit (ulimit -f) or {_ELSEWHERE}"),
    errno.EROFS: ("the disk is read-only", _ELSEWHERE),
    errno.EACCES: ("you may not write there", f"{_ELSEWHERE}, or change its permissions"),
    errno.EPERM: ("you may not write there", f"{_ELSEWHERE}, or change its permissions"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.EIO: ("the disk does not take it", "is it still there and whole? look at the system's log"),
}
"""Number of the system's error -> what is wrong with an output, and the next step."""
_SAID = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG})
"""Those of which the system has nothing to add."""


class AudioError(StemcleanError):
    """One audio file that cannot be used. It never ends a run: callers turn it into a skip.

    Args:
        path: the file.
        reason: a reason code of :data:`stemclean.manifest.SKIP_REASONS`.
        detail: what was found, in one line.
    """

    def __init__(self, path: str | Path, reason: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}", f"reason: {reason}")
        self.path = Path(path)
        self.reason = reason
        self.detail = detail


_DISK = frozenset({errno.EIO, getattr(errno, "ESTALE", errno.EIO)})
_GONE = {errno.ENOENT: "not_found", errno.EACCES: "no_permission"}
_OF_THE_MACHINE = frozenset({"OutOfMemoryError", "AcceleratorError"})
"""torch's names for a GPU that is full, and for one that failed."""


@contextmanager
def of_one_file(path: Path) -> Iterator[None]:
    """Make an error that nobody foresaw the fault of the file that is at work, so that it costs this file alone.

    What is no file's fault passes: a full or broken GPU, a disk that cannot be written to.

    Raises:
        AudioError: ``unexpected_error`` with the name of what was raised; ``not_found`` and ``no_permission`` of a file
            that was there a moment ago; ``unreadable`` where the disk failed.
    """
    try:
        yield
    except StemcleanError:
        raise
    except OSError as error:
        if error.errno in _DISK or (error.filename is not None and str(error.filename) == str(path)):
            reason = _GONE.get(error.errno or 0, "unreadable")
            raise AudioError(path, reason, error.strerror or str(error)) from error
        raise
    except Exception as error:
        if type(error).__name__ in _OF_THE_MACHINE:
            raise
        raise AudioError(path, "unexpected_error", f"{type(error).__name__}: {error}"[:500]) from error


class LabelError(StemcleanError):
    """One file of labels that cannot be used. It never ends a scan: callers turn it into a skip.

    Args:
        path: the file.
        reason: a reason code of :data:`stemclean.manifest.SKIP_REASONS`.
        detail: what was found, in one line.
        hint: the next step.
    """

    def __init__(self, path: str | Path, reason: str, detail: str, hint: str = "") -> None:
        super().__init__(f"{path}: {detail}", hint)
        self.path = Path(path)
        self.reason = reason
        self.detail = detail


_WORDS = (
    (r"Field required", "is missing"),
    (r"Value error, (.*)", r"\1"),
    (r"Input should be a valid string.*", "must be text"),
    (r"Input should be a valid integer.*", "must be a whole number"),
    (r"Input should be a valid (?:number|decimal).*", "must be a number"),
    (r"Input should be a (?:finite|valid) number.*", "must be a finite number"),
    (r"Input should be a valid (?:list|tuple|array).*", "must be a list"),
    (r"Input should be a valid (?:dictionary|mapping|object).*", "must be an object"),
    (r"Input should be a valid boolean.*", "must be true or false"),
    (r"Input should be greater than or equal to (.*)", r"must be \1 or more"),
    (r"Input should be greater than (.*)", r"must be more than \1"),
    (r"Input should be less than or equal to (.*)", r"must be \1 or less"),
    (r"Input should be less than (.*)", r"must be less than \1"),
    (r"(?:List|Tuple) should have (.*?)(?: after validation)?, not (.*)", r"must have \1, not \2"),
    (r"Input should be (.*)", r"must be \1"),
)


def in_plain_words(message: str) -> str:
    """What pydantic says of a value, in words that follow the value's name.

    >>> in_plain_words("Input should be greater than or equal to 0"), in_plain_words("Field required")
    ('must be 0 or more', 'is missing')
    """
    for theirs, ours in _WORDS:
        if match := re.fullmatch(theirs, message):
            return match.expand(ours)
    return message


def visible(text: str) -> str:
    r"""A text as it may be shown: what a terminal would obey, and what cannot be seen, stands there escaped.

    Names of files and texts in them come from anywhere; none may colour, hide, turn round or begin a line.

    >>> visible("a" + chr(27) + "b" + chr(0x202E)) == r"a\x1bb\u202e"
    True
    """
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or unicodedata.category(letter) == "Zs"
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
