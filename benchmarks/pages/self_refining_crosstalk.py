"""Part e of :mod:`benchmarks.self_refining` on its page: what measured bleed brings to the rounds."""

from __future__ import annotations

from benchmarks.pages.paired import difference, doubt, figures, points
from benchmarks.pages.self_refining_runs import NAMES, SETS, Runs
from benchmarks.pages.tables import over_seeds, table

ABOUT = """
Part a again, but bleed between the stems of a song is measured whenever stems are judged, as `refine --self` does by
default. Above, it is left to the classifier. The first training is the same in both, as no stem was judged before it.
The bleed is planted, so that its sources are in the dataset.
"""
TITLES = {
    "clean": NAMES["clean"],
    "noisy": NAMES["noisy"],
    "refined1": NAMES["refined1"],
    "crosstalk1": f"{NAMES['refined1']}, bleed measured",
    "refined2": NAMES["refined2"],
    "crosstalk2": f"{NAMES['refined2']}, bleed measured",
}
PAIRS = {"crosstalk1": "refined1", "crosstalk2": "refined2"}
METRICS = ("accuracy", "f1", "recall")


def parts(runs: Runs) -> list[str]:
    """Return the section; empty if the part was not run.

    Args:
        runs: those with 30 % noise, by name.
    """
    seeds = {run["seed"] for name in PAIRS for run in runs.get(name, [])}
    if not seeds:
        return []
    rows, lines = [], []
    head = ["trained on", "seeds", "all stems: exactly right", "stems trained on", "of these exactly right"]
    head += [f"{title}: {metric}" for title in SETS.values() for metric in METRICS]
    for name, title in TITLES.items():
        same = [run for run in runs.get(name, []) if run["seed"] in seeds]
        if not same:
            continue
        row = [title, len(same)]
        row += [over_seeds(figures(same, "given/as_trained/exact_match"))]
        row += [over_seeds([run["training"][0]["stems"] for run in same], 0)]
        row += [over_seeds([run["training"][0]["right"] for run in same])]
        row += [over_seeds(figures(same, f"{key}/0.9/{metric}/average")) for key in SETS for metric in METRICS]
        rows.append(row)
        if name in PAIRS:
            lines.append(f"- {_gains(runs, name)}")
    return ["## With measured bleed", ABOUT, table(head, rows), "\n".join(lines)]


def _gains(runs: Runs, name: str) -> str:
    """Show the effect of measuring on the labels and on a classifier, by metric."""
    without = runs.get(PAIRS[name], [])
    labels = difference(runs[name], without, "given/as_trained/exact_match")
    gains = [f"exactly right labels {points(labels)}{doubt(labels)}"]
    for key, title in SETS.items():
        for metric in ("accuracy", "recall"):
            gain = difference(runs[name], without, f"{key}/0.9/{metric}/average")
            gains.append(f"{metric} on {title} {points(gain)}{doubt(gain)}")
    return f"{NAMES[PAIRS[name]].capitalize()}, with measured bleed minus without: {'; '.join(gains)}."
