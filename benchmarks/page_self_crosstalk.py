"""Part e of :mod:`benchmarks.self_refining` on its page: bleed measured before the first training."""

from __future__ import annotations

from benchmarks.self_refining.reading import NAMES, SETS, Runs, difference, doubt, figures, points, spread, table

ABOUT = """
Part a again, with bleed between the stems of a song measured before anything is trained, as `refine --self` does;
above, it is left to the classifier. Stems have the classes that were measured in them among their labels, from the
first training on. The bleed is planted, so that its sources lie beside it.
"""
COMPARED = {
    "clean": NAMES["clean"],
    "noisy": NAMES["noisy"],
    "crosstalk": "the same, with measured bleed",
    "refined1": NAMES["refined1"],
    "crosstalk1": "the same, bleed measured first",
}
PAIRS = {"crosstalk": "noisy", "crosstalk1": "refined1"}


def parts(runs: Runs) -> list[str]:
    """The section; none where it did not run.

    Args:
        runs: of 30 % noise, by name.
    """
    seeds = {run["seed"] for name in PAIRS for run in runs.get(name, [])}
    if not seeds:
        return []
    rows, told = [], []
    head = ["trained on", "seeds", "stems", "of these right", "right stems of all"]
    head += [f"{title}: {metric}" for title in SETS.values() for metric in ("accuracy", "f1", "recall")]
    for name, title in COMPARED.items():
        same = [run for run in runs.get(name, []) if run["seed"] in seeds]
        if not same:
            continue
        row = [title, len(same), spread([run["training"][0]["stems"] for run in same], "{:.0f}")]
        row += [spread([run["training"][0]["right"] for run in same])]
        row += [spread(figures(same, "given/as_trained/exact_match")) if name != "clean" else "–"]
        row += [
            spread(figures(same, f"{key}/0.9/{metric}/average"))
            for key in SETS
            for metric in ("accuracy", "f1", "recall")
        ]
        rows.append(row)
        if name in PAIRS:
            told.append(f"- {_gains(runs, name)}")
    return ["### Bleed measured before the first training", ABOUT, table(head, rows), "\n".join(told)]


def _gains(runs: Runs, name: str) -> str:
    """What measuring brings a classifier, metric by metric."""
    step = "Trained on the claims" if name == "crosstalk" else "Refined once"
    gains = []
    for key, title in SETS.items():
        for metric in ("accuracy", "recall"):
            gain = difference(runs[name], runs.get(PAIRS[name], []), f"{key}/0.9/{metric}/average")
            gains.append(f"{metric} on {title} {points(gain)}{doubt(gain)}")
    labels = difference(runs[name], runs.get(PAIRS[name], []), "given/as_trained/exact_match")
    right = f"; right stems {points(labels)}{doubt(labels)}" if name == "crosstalk1" else ""
    return f"{step}, with bleed measured minus without: {'; '.join(gains)}{right}."
