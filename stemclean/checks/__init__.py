"""Checks of a dataset, one file each; see :mod:`stemclean.checks.base`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stemclean.audio.signal_meter import Signal
from stemclean.audio.stream import AudioInfo
from stemclean.checks.base import (
    Code,
    DatasetCheck,
    HeaderCheck,
    SignalCheck,
    Song,
    SongCheck,
    Sound,
    SoundCheck,
    checks,
)
from stemclean.errors import SkipReason
from stemclean.manifest import Issue, Stem

__all__ = [
    "REMARKS",
    "SEVERITIES",
    "Song",
    "Sound",
    "Tally",
    "after_sound",
    "among",
    "codes",
    "codes_of",
    "matches",
    "of_header",
    "of_signal",
    "of_song",
    "of_sound",
    "table",
    "with_issues",
]

SEVERITIES = ("note", "warning", "error")
"""Severities of issues, the lowest first."""

REMARKS = (
    Code(
        "turned_down",
        "note",
        "all stems of the song were written softer, by the same gain, since one of them exceeded full scale",
    ),
    Code("kept_in_float", "note", "the sound exceeds full scale, so it was written in float"),
)
"""What a command did to a stem that it wrote. No check reports these."""


def codes() -> dict[str, Code]:
    """Return all issue codes by name. An unusable f0 file is also an issue, with the code of a skipped file."""
    all_codes = [code for check in checks().values() for code in check.codes]
    return {code.name: code for code in sorted([*all_codes, *REMARKS], key=lambda code: code.name)}


def of_header(info: AudioInfo) -> list[Issue]:
    """Return the issues that the checks find in the header of a file."""
    return [issue for check in checks().values() if isinstance(check, HeaderCheck) for issue in check.of_header(info)]


def of_sound(sound: Sound) -> list[Issue]:
    """Return the issues that the checks find in the sound of a stem."""
    return [issue for check in checks().values() if isinstance(check, SoundCheck) for issue in check.of_sound(sound)]


def after_sound(before: Sequence[Issue], sound: Sound) -> list[Issue]:
    """Return the issues of a stem, with those that depend on its sound replaced."""
    return with_issues(before, of_sound(sound), codes_of(SoundCheck))


def of_signal(signal: Signal) -> list[Issue]:
    """Return the issues that the checks find in the technical measurements of a stem."""
    found = checks().values()
    return [issue for check in found if isinstance(check, SignalCheck) for issue in check.of_signal(signal)]


def of_song(song: Song) -> dict[str, list[Issue]]:
    """Return the issues that the checks of a song find: id of a stem -> issues."""
    issues: dict[str, list[Issue]] = {}
    for check in checks().values():
        if isinstance(check, SongCheck):
            for identity, found in check.of_song(song).items():
                issues.setdefault(identity, []).extend(found)
    return issues


def codes_of(*kinds: type) -> set[str]:
    """Return the names of the codes of all checks of some kinds, such as ``SignalCheck``."""
    of_kinds: list[Any] = [check for check in checks().values() if isinstance(check, kinds)]
    return {code.name for check in of_kinds for code in check.codes}


def among(stems: Sequence[Stem]) -> list[Stem]:
    """Return the stems of a dataset with the issues of the checks that compare stems."""
    stems = list(stems)
    for check in checks().values():
        if not isinstance(check, DatasetCheck):
            continue
        names, issues_of = {code.name for code in check.codes}, check.of_dataset(stems)
        for index, stem in enumerate(stems):
            issues = with_issues(stem.issues, issues_of.get(stem.id, ()), names)
            if issues != stem.issues:
                stems[index] = stem.model_copy(update={"issues": issues})
    return stems


def with_issues(before: Iterable[Issue], now: Iterable[Issue], names: Iterable[str]) -> list[Issue]:
    """Return the issues of a stem, with those of the named codes replaced."""
    replaced = set(names)
    return [*(issue for issue in before if issue.code not in replaced), *now]


def matches(code: str, severity: str, wanted: str) -> bool:
    """Return whether an issue has the wanted code, or at least the wanted severity."""
    if wanted in SEVERITIES:
        return SEVERITIES.index(severity) >= SEVERITIES.index(wanted)
    return code == wanted


def table(stems: Iterable[Stem], most: int = 3) -> list[dict[str, Any]]:
    """Return the issues of a dataset by code, the most severe first, then the most frequent.

    Args:
        most: maximum number of examples of each code.

    Returns:
        For each code, ``code``, ``severity``, ``meaning``, ``stems`` (their number) and ``examples``: the issues with
        the highest scores, each with ``id``, ``score`` and ``detail``.
    """
    tally = Tally(most)
    for stem in stems:
        tally.add(stem)
    return tally.table()


class Tally:
    """Counts the issues of stems; the counts of parts of a dataset can be joined.

    Args:
        most: maximum number of examples of each code.
    """

    def __init__(self, most: int = 3) -> None:
        self.most = most
        self._stems: dict[str, int] = {}
        self._worst: dict[str, list[tuple[float, str, str, str]]] = {}  # code -> -score, id, severity, detail

    def add(self, stem: Stem) -> None:
        """Count the issues of a stem."""
        for code in {issue.code for issue in stem.issues}:
            self._stems[code] = self._stems.get(code, 0) + 1
        for issue in stem.issues:
            self._keep(issue.code, [(-issue.score, stem.id, issue.severity, issue.detail)])

    def join(self, other: Tally) -> None:
        """Add what another has counted in later stems."""
        for code, number in other._stems.items():
            self._stems[code] = self._stems.get(code, 0) + number
            self._keep(code, other._worst[code])

    def _keep(self, code: str, found: list[tuple[float, str, str, str]]) -> None:
        both = [*self._worst.get(code, []), *found]
        self._worst[code] = sorted(both, key=lambda entry: entry[:2])[: self.most]

    def table(self) -> list[dict[str, Any]]:
        """Return the issues by code, see :func:`table`."""
        codes_by_name, rows = codes(), []
        of_files = {str(reason): reason.meaning for reason in SkipReason}
        for name, worst in self._worst.items():
            meaning = codes_by_name[name].meaning if name in codes_by_name else of_files.get(name, "")
            examples = [{"id": identity, "score": -score, "detail": detail} for score, identity, _, detail in worst]
            rows.append(
                {
                    "code": name,
                    "severity": worst[0][2],
                    "meaning": meaning,
                    "stems": self._stems[name],
                    "examples": examples,
                }
            )
        return sorted(rows, key=lambda row: (-SEVERITIES.index(row["severity"]), -row["stems"], row["code"]))
