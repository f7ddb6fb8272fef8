"""The interface of a check, which looks for one kind of fault and returns issues.

Every module of this package that defines ``CHECK`` is a check, named after its file; there is no other registry. A
check has one or more of these methods:

- ``of_header`` (:class:`HeaderCheck`) checks the header of a file, without decoding it;
- ``of_sound`` (:class:`SoundCheck`) checks what was measured in one pass over the sound, by every command that decodes;
- ``of_signal`` (:class:`SignalCheck`) checks the technical measurements of ``stemclean check``, which other commands do
  not take;
- ``of_song`` (:class:`SongCheck`) compares the stems of a song, and its mixture if there is one; only ``stemclean
  check`` does;
- ``of_phases`` (:class:`PhaseCheck`) checks how far the phases of the stems of a song agree, which ``stemclean refine``
  measures together with the bleed between them;
- ``of_dataset`` (:class:`DatasetCheck`) checks all stems of a dataset: songs, splits, copies.

A check never changes a label or a verdict.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, runtime_checkable

from stemclean.audio.mixture_fit import MixtureFit
from stemclean.audio.signal_meter import Signal
from stemclean.audio.stereo import NO_FAULTS, ChannelFaults
from stemclean.audio.stream import AudioInfo
from stemclean.manifest import Issue, Severity, Stem

__all__ = [
    "Code",
    "DatasetCheck",
    "HeaderCheck",
    "PhaseCheck",
    "SignalCheck",
    "Song",
    "SongCheck",
    "Sound",
    "SoundCheck",
    "checks",
]


@dataclass(frozen=True)
class Code:
    """A kind of issue.

    Args:
        name: as written in the manifest.
        severity: ``note`` (information), ``warning`` (worth a look) or ``error`` (the stem should not be used as is).
        meaning: one line for the documentation and the report.
    """

    name: str
    severity: Severity
    meaning: str

    def issue(self, detail: str, score: float = 1.0) -> Issue:
        """Return an issue of this kind.

        Args:
            detail: the evidence, in one line.
            score: strength of the evidence, in [0, 1].
        """
        return Issue(code=self.name, severity=self.severity, score=score, detail=detail)


@dataclass(frozen=True)
class Sound:
    """Measurements from one pass over the sound of a stem.

    Args:
        faults: faults of its two channels.
    """

    faults: ChannelFaults = NO_FAULTS


@dataclass(frozen=True)
class Song:
    """Measurements of the stems of a song.

    Args:
        stems: its stems.
        silence: id of a stem with sound -> seconds of silence before and after it.
        fit: comparison with the mixture; None if there is no mixture.
    """

    stems: Sequence[Stem]
    silence: Mapping[str, tuple[float, float]]
    fit: MixtureFit | None = None


@runtime_checkable
class HeaderCheck(Protocol):
    """A check of the header of a file."""

    codes: tuple[Code, ...]

    def of_header(self, info: AudioInfo) -> list[Issue]:
        """Return the issues found."""
        ...


@runtime_checkable
class SoundCheck(Protocol):
    """A check of the sound of a stem."""

    codes: tuple[Code, ...]

    def of_sound(self, sound: Sound) -> list[Issue]:
        """Return the issues found."""
        ...


@runtime_checkable
class SignalCheck(Protocol):
    """A check of the technical measurements of a stem."""

    codes: tuple[Code, ...]

    def of_signal(self, signal: Signal) -> list[Issue]:
        """Return the issues found."""
        ...


@runtime_checkable
class SongCheck(Protocol):
    """A check of the stems of a song together."""

    codes: tuple[Code, ...]

    def of_song(self, song: Song) -> Mapping[str, list[Issue]]:
        """Id of a stem -> its issues."""
        ...


@runtime_checkable
class PhaseCheck(Protocol):
    """A check of the phases that stems of a song have in common."""

    codes: tuple[Code, ...]

    def of_phases(self, agreement: Mapping[tuple[str, str], float]) -> Mapping[str, list[Issue]]:
        """Ids of two stems that a separator made -> their agreement, in [0, 1]; returns id of a stem -> its issues."""
        ...


@runtime_checkable
class DatasetCheck(Protocol):
    """A check of all stems of a dataset."""

    codes: tuple[Code, ...]

    def of_dataset(self, stems: Sequence[Stem]) -> Mapping[str, list[Issue]]:
        """Return the issues of each stem by id. They replace all earlier issues with the codes of the check."""
        ...


@cache
def checks() -> dict[str, Any]:
    """Return all checks by name, in alphabetical order."""
    import stemclean.checks as package

    by_name = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        check = getattr(importlib.import_module(f"{package.__name__}.{info.name}"), "CHECK", None)
        if isinstance(check, HeaderCheck | SoundCheck | SignalCheck | SongCheck | PhaseCheck | DatasetCheck):
            by_name[info.name] = check
    return by_name
