"""Stems that a separator made from one mixture."""

from __future__ import annotations

from collections.abc import Mapping

from stemclean.checks.base import Code
from stemclean.manifest import Issue

__all__ = ["CHECK", "Separated"]

SEPARATED = Code("separated", "warning", "a separator made it and another stem of the song from one mixture")


class Separated:
    """The check. The agreement is measured by :mod:`stemclean.audio.phase_agreement`."""

    codes = (SEPARATED,)

    def of_phases(self, agreement: Mapping[tuple[str, str], float]) -> dict[str, list[Issue]]:
        """Return an issue for each stem of the pairs, which names the stem that it agrees with most."""
        most: dict[str, tuple[float, str]] = {}
        for pair, value in agreement.items():
            for stem, other in (pair, pair[::-1]):
                most[stem] = max(most.get(stem, (0.0, "")), (value, other))
        return {
            stem: [SEPARATED.issue(f"phase agreement {value:.2f} with {other} at all ratios of level", round(value, 4))]
            for stem, (value, other) in most.items()
        }


CHECK = Separated()
