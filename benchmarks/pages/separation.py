"""What do refined labels bring a separator? Tables, findings and the plot.

The words are chosen by the numbers, as in :mod:`benchmarks.pages.self_refining`: what is not marked as not
significant holds with a 95 % interval of the paired differences over the seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.pages.paired import Difference, decibels, difference, doubt, figures
from benchmarks.pages.self_refining_plots import ASSETS, COLOURS, STYLE
from benchmarks.pages.tables import (
    Read,
    Record,
    number,
    over_seeds,
    percent,
    table,
    thousands,
    unmeasured,
    verdict,
)
from benchmarks.separation.rows import ROWS

PATH = "docs/benchmarks/separation.md"
QUESTION = "What do refined labels bring a separator?"
RESULT, STEMS = "separation", "separation_stems"
"""Results of parts a to e, and of parts a, d and e on fewer songs."""
PLOT = "separation.svg"

GOAL = 0.64
"""Share of the gap between noisy and true labels that labels refined twice closed for the paper's Demucs."""
METRICS = {"bsseval_v4_sdr_db": "SDR, BSSEval v4", "sdx23_sdr_db": "SDR, SDX'23"}
V4 = "scores/all/bsseval_v4_sdr_db"
NAMES = {
    "clean": "true labels",
    "noisy": "claims",
    "masked": "claims with masked loss",
    "truncated": "claims with truncated loss",
    "by_clean": "relabelled by a classifier trained on true labels",
    "refined1": "refined once",
    "refined2": "refined twice",
}
ABLATIONS = {
    "threshold-paper": "threshold 0.9 for all classes",
    "threshold-0.5": "threshold 0.5",
    "threshold-adaptive": "adaptive thresholds",
    "whole": "multi-label stems as a whole, as in the paper",
    "single": "only stems of a single class",
    "single-then-multi": "single classes for half of the mixtures, then whole multi-label stems too",
}
SEVERAL = {
    "true": {
        "clean": "cut where their classes change (default)",
        "true-whole": "as a whole, as in the paper",
        "true-single": "left out",
        "true-single-then-multi": "left out of half of the mixtures, then as a whole",
    },
    "refined": {
        "refined2": "cut where their classes change (default)",
        "whole": "as a whole, as in the paper",
        "single": "left out",
        "single-then-multi": "left out of half of the mixtures, then as a whole",
    },
}
"""Use of multi-label stems, on true labels and on labels refined twice; the first of each is the baseline."""
MODELS = {"xumx": "X-UMX", "hdemucs": "Hybrid Demucs", "band-split": "band-split transformer"}
PAPER = {
    "Demucs": {"clean": 5.52, "noisy": 1.71, "by_clean": 3.48, "refined1": 3.30, "refined2": 4.16},
    "X-UMX": {"clean": 4.83, "noisy": 1.91, "by_clean": 3.53, "refined1": 3.74, "refined2": 4.28},
}
"""Koo et al. 2023, Table 2: averages, SDR of BSSEval v4."""

Runs = dict[tuple[str, int], list[Record]]
"""Name of a row and how many mixtures its classifiers have seen, 0 where there are none -> its runs by seed."""
SHORT = ("clean", "noisy", "masked", "refined1", "refined2")
"""Rows of the overview."""


def answer(read: Read) -> list[str]:
    """X-UMX, SDR by row."""
    result = read(RESULT)
    if not result:
        return [unmeasured("separation")]
    runs = {key: same for key, same in runs_of(result, "xumx").items() if key[0] in SHORT}
    rows = [
        [NAMES[key[0]], *(scores(runs[key], f"scores/all/{metric}/average") for metric in METRICS)]
        for key in in_order(runs, NAMES)
    ]
    clean, noisy = runs.get(("clean", 0), []), runs.get(("noisy", 0), [])
    lines = [
        f"Refining twice gains {decibels(gain)} over the claims ({name}){doubt(gain)}, where true labels gain "
        f"{decibels(difference(clean, noisy, path))}; on the real songs only, {decibels(real)}{doubt(real)}."
        for metric, name in METRICS.items()
        for path in [f"scores/all/{metric}/average"]
        for key, same in runs.items()
        if key[0] == "refined2"
        for gain in [difference(same, noisy, path)]
        for real in [difference(same, noisy, f"scores/real/{metric}/average")]
    ]
    return [
        table(["X-UMX trained on", *(f"{name}, dB" for name in METRICS.values())], rows),
        f"""
{" ".join(lines)} The separators are small and trained briefly: compare the rows with each other, not with published
values.""",
    ]


def parts(read: Read) -> list[str]:
    """Return the page."""
    result, stems = read(RESULT), read(STEMS)
    title = f"# {QUESTION}"
    if not result:
        return [title, unmeasured("separation")]
    return [title, *section(result), *(stems_section(stems) if stems else [])]


def section(result: Record) -> list[str]:
    """Return the part on Table 2 of the paper, and its method."""
    shown = [INTRO, about(result)]
    for model in MODELS:
        runs = runs_of(result, model)
        if runs:
            shown += model_parts(model, runs, result)
    return [*shown, "## How it was measured", f"```bash\n{commands(result)}\n```", HOW]


def stems_section(result: Record) -> list[str]:
    """Return the part on multi-label stems, Table 3 of the paper."""
    runs = runs_of(result, "xumx")
    shown = ["## How to use multi-label stems?", STEMS_INTRO, about(result), recipe_line(runs, result)]
    for kind, names in SEVERAL.items():
        same = {(name, 0): run for (name, _), run in runs.items() if name in names}
        if same:
            shown += [f"### On {kind} labels", *stems_of_labels(kind, same, names, result["labels"])]
    return [*shown, PAPER_STEMS, f"```bash\n{stems_commands(result)}\n```"]


def stems_of_labels(kind: str, runs: Runs, names: Mapping[str, str], labels: Sequence[str]) -> list[str]:
    """Return the rows for one kind of labels."""
    baseline = runs.get((next(iter(names)), 0), [])
    minutes = [
        [title(key, names), number(sum(data["hours"].values()) * 60), number(data["hours_of_several"] * 60)]
        for key in in_order(runs, names)
        for data in [runs[key][0]["data"]]
    ]
    lines = [
        gain.line(f"Multi-label stems {title(key, names)}")
        for key in in_order(runs, names)
        for gain in [Against(baseline, runs[key])]
        if runs[key] is not baseline and gain.known
    ]
    return [
        *([refined_line(baseline)] if kind == "refined" and baseline else []),
        score_table(runs, names, labels, head="multi-label stems"),
        "Training material, in minutes:",
        table(["multi-label stems", "single class", "several classes"], minutes),
        "\n".join(f"- {line}" for line in lines),
    ]


def refined_line(runs: Sequence[Record]) -> str:
    """Say how many of the refined labels are right."""
    examples, labels = runs[0]["classifier"]["examples"], runs[0]["labels"]
    every, alone = labels["trained_on"], labels["alone"]
    return (
        f"The stems were refined twice, by classifiers trained on {thousands(examples)} mixtures. Of the "
        f"{every['stems']} stems that are trained on, {percent(every['right'])} have exactly the right labels; of the "
        f"{alone['stems']} with a single label, {percent(alone['right'])}."
    )


def stems_commands(result: Record) -> str:
    """Return the commands that make the training set and the results."""
    names_run = {run["name"] for run in result["runs"]}
    names = [name for of in SEVERAL.values() for name in of if name in names_run]
    parts = [part for part, rows in ROWS.items() if any(row.model == "xumx" and row.name in names for row in rows)]
    plain = result["command"].partition(" --row")[0].replace(" SET ", " FEW ")
    return "\n".join(
        [
            "python -m benchmarks.training_set MATERIAL FEW --only songs,voices,singing,midi --few 48",
            "python -m benchmarks.heldout FEW MATERIAL HELDOUT",
            " ".join([plain, *(f"--part {part}" for part in parts), *(f"--row {name}" for name in names)]),
        ]
    )


class Against:
    """Gain of a row over the baseline, in both metrics and on the real songs.

    Args:
        baseline: its runs.
        same: runs of the row.
    """

    def __init__(self, baseline: Sequence[Record], same: Sequence[Record]) -> None:
        self.paths = {
            **{label: f"scores/all/{metric}/average" for metric, label in METRICS.items()},
            "real songs only, v4": f"scores/real/{next(iter(METRICS))}/average",
        }
        self.gains = {label: difference(same, baseline, path) for label, path in self.paths.items()}
        self.known = all(gain.values for gain in self.gains.values())

    def line(self, name: str) -> str:
        """Return a sentence."""
        parts = [f"{decibels(gain)} ({label}){doubt(gain)}" for label, gain in self.gains.items()]
        return f"{name}, compared with cutting: {'; '.join(parts)}."


STEMS_INTRO = """
A multi-label stem can be cut where its classes change, so that its clean passages count as single-label stems (the
default); it can be one source with all of its classes from start to end, as in the paper (`--whole-stems`); or it can
be left out (`--multi-label-probability 0`). In the tables above, stems are cut. The planted bleed lasts for most of a
stem, so that cutting makes little difference here; its effect on stems with short bleed was not measured.

All rows are trained on a small part of the training set, which the command below makes: the real songs, and rendered
songs with the original voices, whereas the full set also has voices with shifted formants. They see half as many
mixtures. Compare them with each other, not with the tables above.
"""

PAPER_STEMS = """
In the paper, X-UMX on labels refined twice reaches 4.28 dB with whole stems, 4.09 dB with only stems of a single class,
and 4.00 dB with those first and then both.
"""

INTRO = """
The second half of the claim of Koo et al. (2023, Table 2) is that a separator trained on refined labels separates
better than one trained on the original labels. The faults are [planted](self-refining.md), so that the ground truth is
known. The separators of a table differ only in their labels or their loss: the **true labels** of the noisy stems (the
best that refining could reach), the **claims** (`--use-claimed`), **refined** labels, and the claims with a **robust
loss**, the alternative to cleaning. They are small and trained briefly: compare the rows with each other, not with
published values. Differences are paired by seed, and are *not significant* if their 95 % interval includes 0.
"""

HOW = """
The seed determines the initial weights and the mixtures, so that rows with the same seed are paired; the faults have a
seed of their own (`--faults`). The songs and singers of the test are in no training set. *SDR, BSSEval v4* is
museval's: the median over frames of 1 s, then over songs, then the mean over the classes. *SDR, SDX'23* is `10
log10(Σs² / Σ(s − ŝ)²)` over a song, averaged over its classes and over the songs. A silent estimate has 0 dB in both.
The settings of X-UMX were chosen on validation tracks with true labels. One run with true labels had already been
evaluated on the test songs when two errors were fixed (in its batch norms, and in the trimming of its stems); the
settings were not changed afterwards. `--part` selects what is trained: `a` and `b` are Table 2 with X-UMX, `c` two
other separators, `d` and `e` Table 3. A killed run resumes where it stopped.
"""


def about(result: Record) -> str:
    """Training and test material."""
    trained, test, settings = result["data"]["trained"], result["data"]["test"], result["settings"]
    noise, (low, high) = settings["noise"], settings["bleed_db"]
    text = (
        f"Training: {trained['stems']} stems of {trained['songs']} songs ({trained['minutes']:.0f} minutes), of which "
        f"{percent(noise['mislabel'])} have a swapped label and {percent(noise['bleed'])} have bleed from another stem "
        f"of the song at {low:g} to {high:g} dB. Test: {test['songs']} other songs, {test['real']} of them real; the "
        f"{test['seconds']:g} s of each with the most activity."
    )
    if len({run["faults"] for run in result["runs"]}) == 1:
        text += " The faults are planted once, so that the spread over seeds is that of the training."
    return text


def model_parts(model: str, runs: Runs, result: Record) -> list[str]:
    """Tables and findings of one separator."""
    main = {key: same for key, same in runs.items() if key[0] in NAMES}
    shown = [f"## {MODELS[model]}", recipe_line(runs, result, model)]
    if main:
        shown += [score_table(main, NAMES, result["labels"])]
        shown += [paper_line(), f"![SDR of every run]({asset()})"] if model == "xumx" else []
        shown += ["\n".join(f"- {line}" for line in findings(main))]
        shown += ["Labels that the separators were trained with, compared with the ground truth:", label_table(main)]
    ablated = {key: same for key, same in runs.items() if key[0] in ABLATIONS}
    if ablated:
        both = {key: same for key, same in runs.items() if key[0] in {*ABLATIONS, "refined2"}}
        names = {"refined2": "refined twice, as above", **ABLATIONS}
        shown += ["### Which choices matter?", score_table(both, names, result["labels"])]
        shown += ["\n".join(f"- {line}" for line in ablation_findings(both))]
    return shown


def recipe_line(runs: Runs, result: Record, model: str = "xumx") -> str:
    """Size of the model and length of its training."""
    recipe = result["settings"]["recipes"][model]
    first = next(iter(runs.values()))[0]
    overrides = ", ".join(f"`{setting}`" for setting in recipe["overrides"])
    seconds = recipe["spec"]["segment"] / recipe["spec"]["sample_rate"]
    return (
        f"Recipe `{recipe['name']}`{f' with {overrides}' if overrides else ''}: {first['parameters'] / 1e6:.1f} "
        f"million parameters, {thousands(first['examples'])} mixtures of {seconds:.1f} s with a batch size of "
        f"{recipe['loop']['batch_size']}."
    )


def asset() -> str:
    """Return the plot's path as the page links it."""
    return f"../assets/{PLOT}"


def score_table(runs: Runs, names: Mapping[str, str], labels: Sequence[str], head: str = "trained on") -> str:
    """Show SDR per class, averages, and real songs only, a line per row."""
    titles = [head, "seeds", *labels, "**SDR, BSSEval v4**", "SDR, SDX'23", "real songs: v4", "real songs: SDX'23"]
    rows = []
    for key in in_order(runs, names):
        same = runs[key]
        row = [title(key, names), len(same), *(scores(same, f"{V4}/{label}") for label in labels)]
        row += [scores(same, f"scores/{kind}/{metric}/average") for kind in ("all", "real") for metric in METRICS]
        rows.append(row)
    return table(titles, rows)


def label_table(runs: Runs) -> str:
    """Show how right the labels are, and how many stems were trained on."""
    head = [
        "labels",
        "stems trained on",
        "exactly right",
        "with a single class",
        "of these exactly right",
        "recall",
        "precision",
    ]
    rows, seen = [], set()
    for key in in_order(runs, NAMES):
        if key[0] in ROBUST or key in seen:
            continue
        seen.add(key)
        same = runs[key]
        row: list[str | None] = [title(key, NAMES)]
        row += [over_seeds(figures(same, "labels/trained_on/stems"), 0)]
        row += [percents(figures(same, "labels/trained_on/right"))]
        row += [over_seeds(figures(same, "labels/alone/stems"), 0), percents(figures(same, "labels/alone/right"))]
        row += [percents(figures(same, f"labels/labels/{metric}/average")) for metric in ("recall", "precision")]
        rows.append(row)
    return table(head, rows)


def paper_line() -> str:
    """Show the paper's figures."""
    lines = []
    for model, values in PAPER.items():
        listed = ", ".join(f"{NAMES[name]} {value:.2f}" for name, value in values.items())
        lines.append(f"{model}: {listed} (refining twice closes {percent(closed(values))} of the gap)")
    return f"Averages in the paper (other data, full size, SDR of BSSEval v4): {'; '.join(lines)}."


def closed(values: Mapping[str, float], name: str = "refined2") -> float:
    """Return the share of the gap between noisy and true labels that a row closes.

    >>> closed({"clean": 5.0, "noisy": 1.0, "refined2": 4.0})
    0.75
    """
    return (values[name] - values["noisy"]) / (values["clean"] - values["noisy"])


def findings(runs: Runs) -> list[str]:
    """Return the conclusions, one sentence each; each may be negative."""
    clean, noisy = runs.get(("clean", 0), []), runs.get(("noisy", 0), [])
    lines = []
    for metric, name in METRICS.items():
        gap = difference(clean, noisy, f"scores/all/{metric}/average")
        if not gap.values:
            continue
        lines.append(f"True labels gain {decibels(gap)} over the claims ({name}){doubt(gap)}.")
        for key in in_order(runs, NAMES):
            if key[0].startswith("refined") or key[0] == "by_clean":
                lines.append(closing(clean, noisy, runs[key], key, metric, name, gap))
    lines += [on_real_songs(clean, noisy, runs[key], key) for key in in_order(runs, NAMES) if key[0] == "refined2"]
    for key in in_order(runs, NAMES):
        if key[0] == "refined2":
            lines += [against(runs[key], runs[other], key, other) for other in runs if other[0] in ROBUST]
    for other in runs:
        if other[0] in ROBUST and noisy:
            gain = difference(runs[other], noisy, f"{V4}/average")
            loss = title(other, NAMES).partition(" with ")[2]
            lines.append(f"On the claims, {loss} instead of the plain loss: {decibels(gain)}{doubt(gain)}.")
    return [line for line in lines if line]


ROBUST = ("masked", "truncated")


def closing(
    clean: Sequence[Record],
    noisy: Sequence[Record],
    same: Sequence[Record],
    key: tuple[str, int],
    metric: str,
    name: str,
    gap: Difference,
) -> str:
    """Say how much of the gap a row closes; undecided if there is no clear gap."""
    path = f"scores/all/{metric}/average"
    seeds = {run["seed"] for run in clean} & {run["seed"] for run in noisy} & {run["seed"] for run in same}
    rows = {
        row: [run for run in runs if run["seed"] in seeds]
        for row, runs in (("clean", clean), ("noisy", noisy), ("refined2", same))
    }
    means = {row: float(np.mean(figures(runs, path))) for row, runs in rows.items() if runs}
    if len(means) < 3:
        return ""
    gain = difference(same, noisy, path)
    text = f"{title(key, NAMES).capitalize()}: {decibels(gain)} over the claims ({name}){doubt(gain)}"
    if means["clean"] <= means["noisy"]:
        return f"{text}; there is **no gap** to close."
    by_seed = [
        closed({row: figures([run for run in runs if run["seed"] == seed], path)[0] for row, runs in rows.items()})
        for seed in sorted(seeds)
    ]
    text += f", which closes {percent(closed(means))} of the gap to true labels"
    text += f" (by seed: {', '.join(map(percent, by_seed))})" if len(by_seed) > 1 else ""
    if key[0] == "refined2" and metric == "bsseval_v4_sdr_db":
        decided = gap.clear or len(gap.values) < 2
        text += f". Goal, {percent(GOAL)}: {verdict(closed(means) >= GOAL) if decided else '**undecided**'}"
    return f"{text}."


def on_real_songs(
    clean: Sequence[Record], noisy: Sequence[Record], refined: Sequence[Record], key: tuple[str, int]
) -> str:
    """Say the same for the real songs only."""
    lines = []
    for metric, name in METRICS.items():
        gains = [difference(same, noisy, f"scores/real/{metric}/average") for same in (clean, refined)]
        if all(gain.values for gain in gains):
            first, second = (f"{decibels(gain)}{doubt(gain)}" for gain in gains)
            lines.append(f"true labels {first}, {title(key, NAMES)} {second} ({name})")
    return f"On the real songs only, compared with the claims: {'; '.join(lines)}." if lines else ""


def against(refined: Sequence[Record], robust: Sequence[Record], key: tuple[str, int], other: tuple[str, int]) -> str:
    """Say whether cleaning beats a robust loss."""
    gain = difference(refined, robust, f"{V4}/average")
    if not gain.values:
        return ""
    met = verdict(gain.mean > 0)
    return f"Goal: {title(key, NAMES)} is better than {title(other, NAMES)}: {met}, {decibels(gain)}{doubt(gain)}."


def ablation_findings(runs: Runs) -> list[str]:
    """Compare each choice with labels refined twice by the rule of ``refine``."""
    lines = []
    for key in in_order(runs, ABLATIONS):
        baseline = next((same for other, same in runs.items() if other == ("refined2", key[1])), [])
        gain = difference(runs[key], baseline, f"{V4}/average")
        if gain.values:
            lines.append(f"{title(key, ABLATIONS).capitalize()}: {decibels(gain)} from the default{doubt(gain)}.")
    return lines


def runs_of(result: Record, model: str) -> Runs:
    """Return the runs of a separator by row."""
    runs: Runs = defaultdict(list)
    for run in result["runs"]:
        if run["model"] == model:
            key = run["name"], run["classifier"]["examples"] if run["classifier"] else 0
            runs[key].append({**run, "seed": (run["faults"], run["seed"])})  # rows are paired by both
    return {key: sorted(same, key=lambda run: run["seed"]) for key, same in runs.items()}


def in_order(runs: Runs, names: Iterable[str]) -> list[tuple[str, int]]:
    """Rows in the order of their names, those with shorter trained classifiers first."""
    order = list(names)
    return sorted((key for key in runs if key[0] in order), key=lambda key: (order.index(key[0]), key[1]))


def title(key: tuple[str, int], names: Mapping[str, str]) -> str:
    """Return a row's name, and how long its classifiers were trained."""
    return names[key[0]] + (f" (classifiers trained on {thousands(key[1])} mixtures)" if key[1] else "")


def scores(runs: Sequence[Record], key: str) -> str:
    """``3.21 ± 0.12``."""
    return over_seeds(figures(runs, key), 2)


def percents(values: Sequence[float]) -> str | None:
    """``71 ± 2 %``."""
    return f"{over_seeds([100 * value for value in values], 0)} %" if values else None


def commands(result: Record) -> str:
    """Return the commands that were run, part by part."""
    finished = {(run["model"], run["name"]) for run in result["runs"]}
    parts = [part for part, rows in ROWS.items() if any((row.model, row.name) in finished for row in rows)]
    lines = [f"{result['command']} {' '.join(f'--part {part}' for part in parts)}", "python -m benchmarks.page"]
    if "--refined" in result["command"]:
        plain = result["command"].partition(" --seeds")[0]
        lines = [f"{plain} --plant-only  # prints FOLDER", "stemclean refine FOLDER --self -o REFINED.json", *lines]
    return "\n".join(lines)


def draw(read: Read) -> list[Path]:
    """Draw the plot of the result; none where there is no result."""
    runs = runs_of(read(RESULT), "xumx") if read(RESULT) else {}
    return [plot({key: same for key, same in runs.items() if key[0] in NAMES}, ASSETS / PLOT)] if runs else []


def plot(runs: Runs, path: Path) -> Path:
    """Draw the average SDR of every row, a point a seed and a bar for the mean, as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    keys = in_order(runs, NAMES)
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9, 0.45 * len(keys) + 1.2), sharey=True)
        for axis, (metric, name) in zip(axes, METRICS.items(), strict=True):
            for position, key in enumerate(keys):
                values = figures(runs[key], f"scores/all/{metric}/average")
                colour = COLOURS.get(key[0], "grey")
                axis.vlines(np.mean(values), position - 0.3, position + 0.3, color=colour, linewidth=3)
                axis.plot(values, [position] * len(values), "o", color=colour, alpha=0.6, markersize=5)
            axis.set_title(f"{name}, average")
            axis.set_xlabel("dB")
        axes[0].set_yticks(range(len(keys)), [wrapped(title(key, NAMES)) for key in keys])
        axes[0].invert_yaxis()
        figure.tight_layout()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
    return path


def wrapped(text: str) -> str:
    """Return a name in two lines, if it is long."""
    return text.replace(" (", "\n(")
