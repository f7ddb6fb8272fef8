"""The table of ``stemclean refine`` that tells how noisy a dataset is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stemclean.cli._shared import table

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["noise_tables"]

FEW_TRACKS = 30
"""Below so many tracks of a class its interval is wide whatever was heard: +-13 points at a rate of 15 %."""


def noise_tables(noise: Mapping[str, Any] | None) -> list[Table | str]:
    """Rates of wrong claims and of bleed per class with their intervals; remarks on what they are worth.

    Args:
        noise: :data:`stemclean.refining.noise.KEYS` explain it; None: nothing to tell.
    """
    if not noise:
        return []
    shown = table(
        f"How noisy the claims are, estimated ({noise['level'] * 100:g} % intervals)",
        "class",
        "claimed stems",
        "wrong %",
        "bleed %",
        numbers=("claimed stems", "wrong %", "bleed %"),
    )
    for label, told in noise["classes"].items():
        shown.add_row(label, str(told["claims"]), _percent(told["wrong"]), _percent(told["bleed"]))
    if len(noise["classes"]) > 1:
        claims = sum(told["claims"] for told in noise["classes"].values())
        shown.add_row("all", str(claims), _percent(noise["wrong"]), _percent(noise["bleed"]))
    remarks = []
    if noise["confusion"]:
        most = noise["confusion"]
        claims = noise["classes"][most["claimed"]]["claims"]
        remarks.append(
            f"most often: {most['found']} in about {most['stems']:.0f} of the {claims} stems "
            f"that claim {most['claimed']}"
        )
    compared = noise.get("measured")
    if compared:
        remarks.append(
            f"{compared['stems']} stems were compared with others of their song: in {_percent(compared['bleed'])} % of "
            "them bleed was measured"
        )
    few = [label for label, told in noise["classes"].items() if told["tracks"] < FEW_TRACKS]
    if few:
        remarks.append(f"fewer than {FEW_TRACKS} tracks of {', '.join(few)}: read the intervals, not the estimates")
    if noise["method"] == "prior_shift" and (not compared or compared["stems"] < noise["stems"]):
        remarks.append("bleed that these weights do not hear is not in it: their card has no reference")
    return [shown, *(["\n".join(remarks)] if remarks else [])]


def _percent(rate: Mapping[str, float]) -> str:
    """``12 (3-25)``: whole percents, as more would be false precision."""
    return f"{100 * rate['rate']:.0f} ({100 * rate['low']:.0f}–{100 * rate['high']:.0f})"
