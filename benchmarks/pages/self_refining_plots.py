"""Plots of the page on self-refining, as SVG under ``docs/assets``; they need matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pages.paired import figures
from benchmarks.pages.results import ROOT
from benchmarks.pages.self_refining_runs import (
    GOAL_GAP,
    KINDS,
    NAMES,
    RESULT,
    SETS,
    Runs,
    given_labels,
    half_and_half,
    number_of,
    runs_of,
    sweep_of,
)
from benchmarks.pages.tables import Read, Record

ASSETS = ROOT / "docs" / "assets"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "stemclean",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
"""Metadata of plots, whose bytes must not change without a reason."""
COLOURS = {"clean": "#0072b2", "noisy": "#d55e00", "refined1": "#009e73", "refined2": "#cc79a7"}
PLOTS = {key: f"self_refining_{key}.svg" for key in ("main", "labels", "sweep", "rounds")}


def draw(read: Read) -> list[Path]:
    """Draw the plots of the result; none where there is no result."""
    result = read(RESULT)
    return plots(result, ASSETS) if result else []


def plots(result: Record, folder: Path) -> list[Path]:
    """Draw what a result has runs for, as SVG whose bytes depend on the numbers and matplotlib's version alone."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    both = runs_of(result, half_and_half)
    swept = {kind: sweep_of(result, kind) for kind in KINDS}
    selected: dict[str, tuple[Callable[[Any, Any], Any], Any, Any]] = {
        "main": (_draw_main, both, {"clean", "noisy"} & both.keys()),
        "labels": (_draw_labels, both, "refined1" in both),
        "sweep": (_draw_sweep, swept, any(share for runs in swept.values() for share in runs)),
        "rounds": (_draw_rounds, both, any(number_of(name) > 2 for name in both)),
    }
    written = []
    with mpl.rc_context(STYLE):
        for name, (drawn, data, there) in selected.items():
            if there:
                figure = drawn(plt, data)
                folder.mkdir(parents=True, exist_ok=True)
                written.append(folder / PLOTS[name])
                figure.savefig(written[-1], format="svg", metadata={"Date": None}, bbox_inches="tight")
                plt.close(figure)
    return written


def _draw_main(plt: Any, runs: Runs) -> Any:
    """Draw accuracy and recall of every classifier, a point per seed and a bar for the mean."""
    figure, axes = plt.subplots(2, 2, figsize=(8, 5), sharex=True)
    names = [name for name in NAMES if name in runs]
    for row, metric in enumerate(("accuracy", "recall")):
        for column, (key, title) in enumerate(SETS.items()):
            axis = axes[row, column]
            for position, name in enumerate(names):
                values = figures(runs[name], f"{key}/0.9/{metric}/average")
                axis.hlines(np.mean(values), position - 0.3, position + 0.3, color=COLOURS[name], linewidth=3)
                axis.plot([position] * len(values), values, "o", color=COLOURS[name], alpha=0.6, markersize=5)
            axis.set_title(f"{title}: {metric}")
            axis.set_xticks(range(len(names)), [NAMES[name].split(",")[0].replace(" ", "\n") for name in names])
    figure.tight_layout()
    return figure


def _draw_labels(plt: Any, runs: Runs) -> Any:
    """Share of stems whose labels are right, after so many relabellings."""
    figure, axis = plt.subplots(figsize=(6, 3.5))
    rounds = sorted(given_labels(runs), key=number_of)
    claims = figures(runs.get("noisy", []), "given/as_trained/exact_match")
    for rule, style in (("default", "-o"), ("paper", "--s"), ("0.5", ":^")):
        at, mean, sd = ([0], [np.mean(claims)], [_sd(claims)]) if claims else ([], [], [])
        for name in rounds:
            values = figures(runs[name], f"given/{rule}/exact_match")
            if values:
                at, mean, sd = [*at, number_of(name)], [*mean, np.mean(values)], [*sd, _sd(values)]
        axis.errorbar(at, mean, sd, fmt=style, capsize=3, label=f"rule {rule}")
    ceiling = figures(runs.get("clean", []), "found/default/exact_match")
    if ceiling:
        axis.axhline(np.mean(ceiling), color="grey", linewidth=1, label="by the clean classifier, rule default")
    axis.set_xticks(range(max(map(number_of, rounds)) + 1))
    axis.set_xlabel("relabellings")
    axis.set_ylabel("stems with the right labels")
    axis.legend(fontsize=8)
    return figure


def _draw_sweep(plt: Any, swept: dict[str, dict[float, Runs]]) -> Any:
    """Draw accuracy over the share of faulty stems."""
    figure, axes = plt.subplots(2, 2, figsize=(8, 5), sharex=True, sharey="col")
    for row, (kind, by_share) in enumerate(swept.items()):
        for column, (key, title) in enumerate(SETS.items()):
            axis = axes[row, column]
            for name in ("noisy", "refined1"):
                lines = [
                    (s, figures(r.get(name, []), f"{key}/0.9/accuracy/average")) for s, r in sorted(by_share.items())
                ]
                lines = [(share, values) for share, values in lines if values]
                shares, means = [100 * s for s, _ in lines], [np.mean(v) for _, v in lines]
                axis.errorbar(
                    shares,
                    means,
                    [_sd(v) for _, v in lines],
                    fmt="-o",
                    capsize=3,
                    color=COLOURS[name],
                    label=NAMES[name],
                )
            clean = figures(by_share.get(0.0, {}).get("clean", []), f"{key}/0.9/accuracy/average")
            if clean:
                axis.axhline(np.mean(clean), color=COLOURS["clean"], label=NAMES["clean"])
                axis.axhline(
                    np.mean(clean) - GOAL_GAP, color=COLOURS["clean"], linewidth=0.8, linestyle=":", label="goal"
                )
            axis.set_title(f"{KINDS[kind]}, {title}")
            axis.set_xlabel("faulty stems, %")
            axis.set_ylabel("accuracy")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    return figure


def _draw_rounds(plt: Any, runs: Runs) -> Any:
    """F1 and right labels over the rounds."""
    figure, axis = plt.subplots(figsize=(6, 3.5))
    rounds = sorted(given_labels(runs), key=number_of)
    curves = {f"F1, {title}": f"{key}/0.9/f1/average" for key, title in SETS.items()}
    curves["right labels that it was given"] = "given/as_trained/exact_match"
    for title, key in curves.items():
        known = [(number_of(name), figures(runs[name], key)) for name in rounds]
        known = [(number, values) for number, values in known if values]
        means, spreads = [np.mean(v) for _, v in known], [_sd(v) for _, v in known]
        axis.errorbar([number for number, _ in known], means, spreads, fmt="-o", capsize=3, label=title)
    axis.set_xticks(range(max(map(number_of, rounds)) + 1))
    axis.set_xlabel("times refined")
    axis.legend(fontsize=8)
    return figure


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
