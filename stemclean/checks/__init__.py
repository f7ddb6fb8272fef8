"""Checks of a dataset, one file each; see :mod:`stemclean.checks.base`."""

from __future__ import annotations

from collections import defaultdict
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
    by_code: dict[str, list[tuple[Stem, Issue]]] = defaultdict(list)
    for stem in stems:
        for issue in stem.issues:
            by_code[issue.code].append((stem, issue))
    codes_by_name, rows = codes(), []
    of_files = {str(reason): reason.meaning for reason in SkipReason}
    for name, pairs in by_code.items():
        pairs.sort(key=lambda pair: (-pair[1].score, pair[0].id))
        examples = [{"id": stem.id, "score": issue.score, "detail": issue.detail} for stem, issue in pairs[:most]]
        meaning = codes_by_name[name].meaning if name in codes_by_name else of_files.get(name, "")
        num_stems = len({stem.id for stem, _ in pairs})
        rows.append(
            {
                "code": name,
                "severity": pairs[0][1].severity,
                "meaning": meaning,
                "stems": num_stems,
                "examples": examples,
            }
        )
    return sorted(rows, key=lambda row: (-SEVERITIES.index(row["severity"]), -row["stems"], row["code"]))
