"""What ``stemclean refine --explain`` prints."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from stemclean.cli._shared import clock, data, remark, table

if TYPE_CHECKING:
    from rich.table import Table

    from stemclean.refining.config import RefineConfig
    from stemclean.refining.explaining import Explanation
    from stemclean.running import Running

SPANS = 5
"""Spans of a bleed that the table shows; ``--json`` contains all."""


def print_explanation(
    stems: Path,
    name: str,
    config: RefineConfig | None,
    weights: str | None,
    plot: Path | None,
    running: Running,
    *,
    layout: str | None,
    as_json: bool,
) -> None:
    """Explain the verdict on a stem, print the explanation, and draw it."""
    from stemclean.explain import explain

    drawable = importlib.util.find_spec("matplotlib") is not None
    if plot is None and drawable:
        plot = Path(name.rstrip("/").replace("/", "_").replace("\\", "_")).with_suffix(".png")
    explanation = explain(stems, name, config, weights_uri=weights, plot=plot, layout=layout, running=running)
    data({**explanation.to_dict(), "plot": str(plot) if plot else None}, tables(explanation), as_json=as_json)
    note = f"wrote {plot}" if plot else 'note: no picture without matplotlib: python -m pip install "stemclean[plots]"'
    remark(note, quiet=running.quiet)


def tables(explanation: Explanation) -> list[Table | str]:
    """The rule and its reasons, the strongest windows, and the measured bleed."""
    quality = explanation.verdict.label_quality
    head = f"{explanation.path}: {explanation.rule}" + ("" if quality is None else f" (label quality {quality:.2f})")
    shown: list[Table | str] = ["\n".join([head, *(f"  {reason}" for reason in explanation.reasons)])]
    if explanation.windows:
        windows = table(
            "Strongest windows", "from", "to", "class", "score", "level, dB", numbers=("score", "level, dB")
        )
        for window in explanation.windows:
            level = "–" if window.level_db is None else f"{window.level_db:.1f}"
            kind = "measured" if window.measured else "estimated"
            windows.add_row(clock(window.start), clock(window.end), window.label, f"{window.score:.3f}", level, kind)
        shown.append(windows)
    if explanation.bleed:
        bleeds = table("Measured bleed", "source", "class", "level, dB", "delay, ms", "when", numbers=("level, dB",))
        for bleed in explanation.bleed:
            when = [f"{clock(span.start)}–{clock(span.end)}" for span in bleed.spans]
            more = [f"and {len(when) - SPANS} more"] if len(when) > SPANS else []
            source = explanation.source_paths.get(bleed.stem, bleed.stem)
            bleeds.add_row(
                source, bleed.label or "unclear", f"{bleed.level_db:.1f}", f"{1000 * bleed.delay:.1f}",
                ", ".join([*when[:SPANS], *more]),
            )  # fmt: skip
        shown.append(bleeds)
    return shown
