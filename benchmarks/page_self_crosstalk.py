"""Part e of :mod:`benchmarks.self_refining` on its page: what measured bleed brings the rounds."""

from __future__ import annotations

from benchmarks.self_refining.reading import NAMES, SETS, Runs, difference, doubt, figures, points, spread, table

ABOUT = """
Part a again, with bleed between the stems of a song measured whenever stems are judged, as `refine --self` does; above,
it is left to the classifier. The first training is the same, as nothing was judged before. The bleed is planted, so
that its sources lie beside it.
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
    """The section; none where it did not run.

    Args:
        runs: of 30 % noise, by name.
    """
    seeds = {run["seed"] for name in PAIRS for run in runs.get(name, [])}
    if not seeds:
        return []
    rows, told = [], []
    head = ["trained on", "seeds", "right stems of the labels given", "stems that train", "of these right"]
    head += [f"{title}: {metric}" for title in SETS.values() for metric in METRICS]
    for name, title in TITLES.items():
        same = [run for run in runs.get(name, []) if run["seed"] in seeds]
        if not same:
            continue
        row = [title, len(same)]
        row += [spread(figures(same, "given/as_trained/exact_match"))]
        row += [spread([run["training"][0]["stems"] for run in same], "{:.0f}")]
        row += [spread([run["training"][0]["right"] for run in same])]
        row += [spread(figures(same, f"{key}/0.9/{metric}/average")) for key in SETS for metric in METRICS]
        rows.append(row)
        if name in PAIRS:
            told.append(f"- {_gains(runs, name)}")
    return ["### With bleed that is measured", ABOUT, table(head, rows), "\n".join(told)]


def _gains(runs: Runs, name: str) -> str:
    """What measuring brings to the labels and to a classifier, metric by metric."""
    without = runs.get(PAIRS[name], [])
    labels = difference(runs[name], without, "given/as_trained/exact_match")
    gains = [f"right stems of the labels {points(labels)}{doubt(labels)}"]
    for key, title in SETS.items():
        for metric in ("accuracy", "recall"):
            gain = difference(runs[name], without, f"{key}/0.9/{metric}/average")
            gains.append(f"{metric} on {title} {points(gain)}{doubt(gain)}")
    return f"{NAMES[PAIRS[name]].capitalize()}, with bleed measured minus without: {'; '.join(gains)}."
