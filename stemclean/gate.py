"""Conditions under which a stem fails a dataset, for CI: verdicts, and codes or severities of issues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from stemclean import checks
from stemclean.errors import ConfigError
from stemclean.manifest import Stem

__all__ = ["VERDICTS", "check", "failing"]

VERDICTS = {
    "wrong": "only classes that it does not claim were found",
    "relabel": "it is one of another class",
    "mixed": "several classes were found",
    "drop": "no class was found, or it is silent",
    "any": "it is not as it claims, in whatever way",
}
"""Conditions on the verdict of a stem -> meaning. Declared test and validation stems have no such verdict."""


def check(names: Iterable[str]) -> None:
    """Check names of conditions.

    Raises:
        ConfigError: there is no such condition.
    """
    known = [*VERDICTS, *checks.SEVERITIES, *checks.codes()]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?\n" if near else ""
            raise ConfigError(f"--fail-on: no verdict or issue '{name}'", f"{hint}known: {', '.join(known)}")


def failing(stems: Iterable[Stem], conditions: Sequence[str]) -> list[dict[str, Any]]:
    """Return the stems that meet a condition, each with its ``id`` and the ``reasons``: conditions or codes of issues.

    Args:
        stems: stems of a manifest.
        conditions: verdicts of :data:`VERDICTS`, severities (this one and higher) and codes of issues.
    """
    found = ((stem.id, _reasons(stem, conditions)) for stem in stems) if conditions else ()
    return [{"id": identity, "reasons": reasons} for identity, reasons in found if reasons]


def _reasons(stem: Stem, conditions: Sequence[str]) -> list[str]:
    verdicts = [name for name in conditions if name in VERDICTS and _meets(stem, name)]
    issues = [
        issue.code
        for issue in stem.issues
        if any(checks.matches(issue.code, issue.severity, name) for name in conditions)
    ]
    return list(dict.fromkeys([*verdicts, *issues]))


def _meets(stem: Stem, verdict: str) -> bool:
    if stem.verdict is None or stem.verdict.action == "keep":
        return False
    if verdict == "wrong":
        return bool(stem.found) and not set(stem.claimed) & set(stem.found or [])
    return verdict in ("any", stem.verdict.action)
