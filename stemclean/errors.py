"""Errors with messages that a user can act on.

Every error that a user can cause is a :class:`StemcleanError`: a message that says what is wrong and where, and a hint
for the next step. The command line prints both and exits with ``exit_code``.
"""

from __future__ import annotations

import errno
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Self

__all__ = [
    "AudioError",
    "ConfigError",
    "LabelError",
    "ManifestError",
    "OutputError",
    "SkipReason",
    "StemcleanError",
    "WeightsError",
    "in_plain_words",
    "of_one_file",
    "visible",
]


class StemcleanError(Exception):
    """An error with a hint for the next step.

    Args:
        message: what is wrong and where, in one line, without a full stop.
        hint: what to do next, in one or more lines; may be empty.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(StemcleanError):
    """An invalid option, recipe or combination of them."""


class ManifestError(StemcleanError):
    """A manifest that violates its schema or is inconsistent; the message contains the address."""


class WeightsError(StemcleanError):
    """Weights that cannot be found, trusted or used."""


class OutputError(StemcleanError):
    """A file or folder that cannot be written. It ends the run, since later output could not be written either.

    Args:
        path: the file or folder.
        error: the error of the system; its number determines the hint.
    """

    def __init__(self, path: str | Path, error: OSError) -> None:
        problem, hint = _UNWRITABLE.get(error.errno or 0, ("cannot be written", "check the path and its permissions"))
        reason = "" if error.errno in _SELF_EXPLANATORY else f": {error.strerror or error}"
        super().__init__(f"{path}: {problem}{reason}", hint)
        self.path = Path(path)
        self.errno = error.errno


_AGAIN = "then run the same command again to continue"
_ELSEWHERE = "write to another folder"
_UNWRITABLE = {
    errno.ENOSPC: ("the disk is full", f"make room or {_ELSEWHERE}, {_AGAIN}"),
    errno.EDQUOT: ("the disk quota is exhausted", f"make room or {_ELSEWHERE}, {_AGAIN}"),
    errno.EFBIG: ("the file would exceed the maximum file size", f"raise the limit (ulimit -f) or {_ELSEWHERE}"),
    errno.EROFS: ("the disk is read-only", _ELSEWHERE),
    errno.EACCES: ("no permission to write", f"{_ELSEWHERE}, or change its permissions"),
    errno.EPERM: ("no permission to write", f"{_ELSEWHERE}, or change its permissions"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
    errno.EIO: ("the disk failed", "check that it is connected and intact, and look at the system log"),
}
"""Error number -> what is wrong with an output, and the next step."""
_SELF_EXPLANATORY = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG})
"""Errors to which the message of the system adds nothing."""


class SkipReason(StrEnum):
    """Reason for skipping a file, as written in the manifest.

    Attributes:
        meaning: explanation for the documentation.
    """

    meaning: str

    CLASS_UNKNOWN = "class_unknown", "the file name contains no class name, or two"
    MIXTURE = "mixture", "the file contains the whole song, or the song without one of its classes; it is not a stem"
    NOT_FOUND = "not_found", "the file does not exist (any more)"
    NO_PERMISSION = "no_permission", "no permission to read the file"
    EMPTY = "empty", "the file has no bytes or no samples"
    NOT_AUDIO = "not_audio", "the content is not audio that can be decoded"
    WRONG_EXTENSION = "wrong_extension", "the content has a different format than the file extension"
    TRUNCATED = "truncated", "the file is shorter than its header states"
    NON_FINITE = "non_finite", "the file contains NaN or infinite samples"
    NO_AUDIO_STREAM = "no_audio_stream", "a container without an audio stream"
    UNREADABLE = "unreadable", "decoding failed for another reason"
    DECODER_CRASHED = "decoder_crashed", "the decoder crashed, did not respond, or exceeded the memory limit for a file"
    CHANGED_WHILE_READING = "changed_while_reading", "the file was changed, replaced or removed while it was being read"
    CHANGED_SINCE_SCAN = "changed_since_scan", "the checksum differs from that of the file that was scanned"
    UNEXPECTED_ERROR = (
        "unexpected_error",
        "an unexpected error, named in the detail, while the file was being processed",
    )
    DUPLICATE_ID = "duplicate_id", "another stem has the same id"
    CONFLICTING_ROWS = "conflicting_rows", "a list has contradictory rows for the file"
    OUTSIDE_ROOT = "outside_root", "the path leads out of the folder of the dataset"
    NOT_IN_MANIFEST = "not_in_manifest", "an audio file next to a manifest that does not list it"
    SILENT = "silent", "no part of the file is loud enough to be kept"
    F0_UNREADABLE = "f0_unreadable", "an f0 file that cannot be read"
    F0_WRONG_UNIT = "f0_wrong_unit", "an f0 file whose numbers are not in the unit of its format"
    F0_WRONG_LENGTH = (
        "f0_wrong_length",
        "an f0 file with voiced frames after the end of its stem, or in a part that trimming removed",
    )
    F0_WITHOUT_STEM = "f0_without_stem", "an f0 file with no vocals and no mixture next to it"
    F0_AMBIGUOUS = "f0_ambiguous", "another f0 file for the same stem"

    def __new__(cls, value: str, meaning: str) -> Self:
        """Create a member from its value and meaning."""
        member = str.__new__(cls, value)
        member._value_, member.meaning = value, meaning
        return member


class AudioError(StemcleanError):
    """An audio file that cannot be used. It does not end a run; callers turn it into a skip.

    Args:
        path: the file.
        reason: why the file is skipped.
        detail: details in one line.
    """

    def __init__(self, path: str | Path, reason: SkipReason, detail: str) -> None:
        super().__init__(f"{path}: {detail}", f"reason: {reason}")
        self.path = Path(path)
        self.reason = reason
        self.detail = detail


_DISK = frozenset({errno.EIO, getattr(errno, "ESTALE", errno.EIO)})
_GONE = {errno.ENOENT: SkipReason.NOT_FOUND, errno.EACCES: SkipReason.NO_PERMISSION}
_OF_THE_MACHINE = frozenset({"OutOfMemoryError", "AcceleratorError"})
"""Errors of torch for a GPU that is out of memory or has failed."""


@contextmanager
def of_one_file(path: Path) -> Iterator[None]:
    """Attribute unexpected errors to the file that is being processed, so that only this file is lost.

    Errors that no file can cause are not changed, such as those of a GPU or a disk that cannot be written.

    Raises:
        AudioError: ``unexpected_error`` with the name of the exception; ``not_found`` or ``no_permission`` if the file
            has just become unreadable; ``unreadable`` if the disk failed.
    """
    try:
        yield
    except StemcleanError:
        raise
    except OSError as error:
        if error.errno in _DISK or (error.filename is not None and str(error.filename) == str(path)):
            reason = _GONE.get(error.errno or 0, SkipReason.UNREADABLE)
            raise AudioError(path, reason, error.strerror or str(error)) from error
        raise
    except Exception as error:
        if type(error).__name__ in _OF_THE_MACHINE:
            raise
        raise AudioError(path, SkipReason.UNEXPECTED_ERROR, f"{type(error).__name__}: {error}"[:500]) from error


class LabelError(StemcleanError):
    """A label file that cannot be used. It does not end a scan; callers turn it into a skip.

    Args:
        path: the file.
        reason: why the file is skipped.
        detail: details in one line.
        hint: the next step.
    """

    def __init__(self, path: str | Path, reason: SkipReason, detail: str, hint: str = "") -> None:
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
    """Rephrase a message of pydantic about a value, to be written after the name of the value.

    >>> in_plain_words("Input should be greater than or equal to 0"), in_plain_words("Field required")
    ('must be 0 or more', 'is missing')
    """
    for theirs, ours in _WORDS:
        if match := re.fullmatch(theirs, message):
            return match.expand(ours)
    return message


def visible(text: str) -> str:
    r"""Escape control characters and invisible characters in a text.

    File names and texts in files are untrusted: they must not be able to colour, hide, reverse or break a line.

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
