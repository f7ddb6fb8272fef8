"""The table of ``stemclean refine`` that estimates how noisy a dataset is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stemclean.cli._shared import table

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["noise_tables"]

FEW_TRACKS = 30
"""With fewer tracks of a class, its interval is always wide: +-13 points at a rate of 15 %."""


def noise_tables(noise: Mapping[str, Any] | None) -> list[Table | str]:
    """Rates of wrong claims and of bleed per class, with their intervals, and remarks on their reliability.

    Args:
        noise: see :data:`stemclean.refining.noise.KEYS`; None if there is no estimate.
    """
    if not noise:
        return []
    shown = table(
        f"Estimated noise of the claims ({noise['level'] * 100:g} % intervals)",
        "class",
        "claimed stems",
        "wrong %",
        "bleed %",
        numbers=("claimed stems", "wrong %", "bleed %"),
    )
    for label, rates in noise["classes"].items():
        shown.add_row(label, str(rates["claims"]), _percent(rates["wrong"]), _percent(rates["bleed"]))
    if len(noise["classes"]) > 1:
        claims = sum(rates["claims"] for rates in noise["classes"].values())
        shown.add_row("all", str(claims), _percent(noise["wrong"]), _percent(noise["bleed"]))
    remarks = []
    if noise["confusion"]:
        most = noise["confusion"]
        claims = noise["classes"][most["claimed"]]["claims"]
        remarks.append(
            f"most common: {most['found']} in about {most['stems']:.0f} of the {claims} stems "
            f"that claim {most['claimed']}"
        )
    compared = noise.get("measured")
    if compared:
        remarks.append(
            f"{compared['stems']} stems were compared with others of their song; bleed was measured in "
            f"{_percent(compared['bleed'])} % of them"
        )
    few = [label for label, rates in noise["classes"].items() if rates["tracks"] < FEW_TRACKS]
    if few:
        remarks.append(f"fewer than {FEW_TRACKS} tracks of {', '.join(few)}: rely on the intervals, not the estimates")
    if noise["method"] == "prior_shift" and (not compared or compared["stems"] < noise["stems"]):
        remarks.append("bleed that these weights do not detect is not included, since their card has no reference")
    return [shown, *(["\n".join(remarks)] if remarks else [])]


def _percent(rate: Mapping[str, float]) -> str:
    """``12 (3-25)``: whole percents, as more would be false precision."""
    return f"{100 * rate['rate']:.0f} ({100 * rate['low']:.0f}–{100 * rate['high']:.0f})"
