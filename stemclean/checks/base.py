"""What a check is: it looks at one thing that may be wrong with a stem, and returns issues.

The file name is the registry: each module of this package that defines ``CHECK`` is a check and has its file's name.
A check looks at one or several of these:

- a file's header, where it has ``of_header`` (:class:`HeaderCheck`); nothing is decoded;
- what one pass over its sound has measured, where it has ``of_sound`` (:class:`SoundCheck`);
- all stems of a dataset, where it has ``of_dataset`` (:class:`DatasetCheck`): songs, splits, copies.

A check never changes a label or a verdict.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, runtime_checkable

from stemclean.audio.stereo import NO_FAULTS, ChannelFaults
from stemclean.audio.stream import AudioInfo
from stemclean.manifest import Issue, Severity, Stem

__all__ = ["Code", "DatasetCheck", "HeaderCheck", "Sound", "SoundCheck", "checks"]


@dataclass(frozen=True)
class Code:
    """A kind of issue.

    Args:
        name: as it is written in the manifest.
        severity: ``note``: good to know; ``warning``: worth a look; ``error``: the stem should not be used as it is.
        meaning: one line for the documentation and the report.
    """

    name: str
    severity: Severity
    meaning: str

    def issue(self, detail: str, score: float = 1.0) -> Issue:
        """An issue of this kind.

        Args:
            detail: the evidence, in one line.
            score: how strong it is, in [0, 1].
        """
        return Issue(code=self.name, severity=self.severity, score=score, detail=detail)


@dataclass(frozen=True)
class Sound:
    """What one pass over a stem's sound has measured.

    Args:
        faults: of its two channels.
    """

    faults: ChannelFaults = NO_FAULTS


@runtime_checkable
class HeaderCheck(Protocol):
    """Looks at a file's header."""

    codes: tuple[Code, ...]

    def of_header(self, info: AudioInfo) -> list[Issue]:
        """What is wrong with it."""
        ...


@runtime_checkable
class SoundCheck(Protocol):
    """Looks at what was measured of a stem's sound."""

    codes: tuple[Code, ...]

    def of_sound(self, sound: Sound) -> list[Issue]:
        """What is wrong with it."""
        ...


@runtime_checkable
class DatasetCheck(Protocol):
    """Looks at all stems of a dataset."""

    codes: tuple[Code, ...]

    def of_dataset(self, stems: Sequence[Stem]) -> Mapping[str, list[Issue]]:
        """Id of a stem -> what is wrong with it. It replaces all that stems have of the check's codes."""
        ...


@cache
def checks() -> dict[str, Any]:
    """Every check by name, in alphabetical order."""
    import stemclean.checks as package

    found = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        check = getattr(importlib.import_module(f"{package.__name__}.{info.name}"), "CHECK", None)
        if isinstance(check, HeaderCheck | SoundCheck | DatasetCheck):
            found[info.name] = check
    return found
