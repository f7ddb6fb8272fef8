"""The section of ``docs/benchmarks.md`` on separators trained on refined labels, and its plot.

    python -m benchmarks.page_separation     # draw the plot under docs/assets; needs matplotlib

Both are made from ``benchmarks/results/separation.json``. The words are chosen by the numbers, as in
:mod:`benchmarks.page_self_refining`: what is not marked as within the spread holds with a 95 % interval of the paired
differences over the seeds.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.self_refining.plots import ASSETS, COLOURS, STYLE
from benchmarks.self_refining.reading import ROOT, Difference, difference, doubt, figures, spread, table, thousands

RESULT = ROOT / "benchmarks" / "results" / "separation.json"
STEMS = ROOT / "benchmarks" / "results" / "separation_stems.json"
"""Parts of a, d and e, on fewer songs."""
PLOT = "separation.svg"

AIM = 0.64
"""Of the gap between noisy and clean labels, what labels refined twice closed for the paper's Demucs."""
METRICS = {"bsseval_v4_sdr_db": "SDR, BSSEval v4", "sdx23_sdr_db": "SDR, SDX'23"}
V4 = "scores/all/bsseval_v4_sdr_db"
NAMES = {
    "clean": "true labels",
    "noisy": "noisy labels, as claimed",
    "masked": "noisy, masked loss",
    "truncated": "noisy, truncated loss",
    "by_clean": "relabelled by a classifier of true labels",
    "refined1": "refined once",
    "refined2": "refined twice",
}
ABLATIONS = {
    "threshold-paper": "threshold 0.9 for every class",
    "threshold-0.5": "threshold 0.5",
    "threshold-adaptive": "adaptive thresholds",
    "whole": "stems of several classes whole, as in the paper",
    "single": "stems of a single class alone",
    "single-then-multi": "half of the mixtures of single classes, then with whole ones of several",
}
SEVERAL = {
    "true": {
        "clean": "cut where their classes change, as by default",
        "true-whole": "whole, as in the paper",
        "true-single": "left out",
        "true-single-then-multi": "left out of half of the mixtures, then whole",
    },
    "refined": {
        "refined2": "cut where their classes change, as by default",
        "whole": "whole, as in the paper",
        "single": "left out",
        "single-then-multi": "left out of half of the mixtures, then whole",
    },
}
"""What became of stems of several classes, on true labels and on labels refined twice; others are held to the first."""
MODELS = {"xumx": "X-UMX", "hdemucs": "Hybrid Demucs", "band-split": "band-split transformer"}
PAPER = {
    "Demucs": {"clean": 5.52, "noisy": 1.71, "by_clean": 3.48, "refined1": 3.30, "refined2": 4.16},
    "X-UMX": {"clean": 4.83, "noisy": 1.91, "by_clean": 3.53, "refined1": 3.74, "refined2": 4.28},
}
"""Koo et al. 2023, Table 2: averages, SDR of BSSEval v4."""

Record = dict[str, Any]
Runs = dict[tuple[str, int], list[Record]]
"""Name of a row and how many mixtures its classifiers have seen, 0 where there are none -> its runs by seed."""


def parts() -> list[str]:
    """The section; what is not measured says so."""
    title = "## What do refined labels bring a separator?"
    if not RESULT.exists():
        return [title, "Not measured yet: `python -m benchmarks.separation`."]
    told = section(json.loads(RESULT.read_text(encoding="utf-8")))
    return [title, *told, *(stems_section(json.loads(STEMS.read_text(encoding="utf-8"))) if STEMS.exists() else [])]


def section(result: Record) -> list[str]:
    """The section of a result."""
    told = [INTRO, about(result)]
    for model in MODELS:
        runs = runs_of(result, model)
        if runs:
            told += model_parts(model, runs, result)
    return [*told, "### How", f"```bash\n{commands(result)}\n```", HOW]


def stems_section(result: Record) -> list[str]:
    """What stems of several classes bring, and how: the part of Table 3 that depends on them."""
    runs = runs_of(result, "xumx")
    told = ["### What to do with stems of several classes?", STEMS_INTRO, about(result), recipe_told(runs, result)]
    for kind, names in SEVERAL.items():
        same = {(name, 0): found for (name, _), found in runs.items() if name in names}
        if same:
            told += [f"#### On {kind} labels", *stems_of_labels(kind, same, names, result["labels"])]
    return [*told, PAPER_STEMS, f"```bash\n{stems_commands(result)}\n```"]


def stems_of_labels(kind: str, runs: Runs, names: Mapping[str, str], labels: Sequence[str]) -> list[str]:
    """The rows on one kind of labels."""
    usual = runs.get((next(iter(names)), 0), [])
    minutes = [
        [title(key, names), f"{sum(data['hours'].values()) * 60:.1f}", f"{data['hours_of_several'] * 60:.1f}"]
        for key in in_order(runs, names)
        for data in [runs[key][0]["data"]]
    ]
    lines = [
        gain.line(f"Stems of several classes {title(key, names)}")
        for key in in_order(runs, names)
        for gain in [Against(usual, runs[key])]
        if runs[key] is not usual and gain.known
    ]
    return [
        *([refined_told(usual)] if kind == "refined" and usual else []),
        score_table(runs, names, labels, head="stems of several classes"),
        "What there was to train on, in minutes:",
        table(["stems of several classes", "of a single class", "of several"], minutes),
        "\n".join(f"- {line}" for line in lines),
    ]


def refined_told(runs: Sequence[Record]) -> str:
    """How right refined labels were."""
    examples, labels = runs[0]["classifier"]["examples"], runs[0]["labels"]
    told = f"The stems were refined twice, by classifiers that saw {thousands(examples)} mixtures: "
    told += f"{labels['trained_on']['right']:.0%} of the {labels['trained_on']['stems']} that train are labelled "
    told += (
        f"wholly right, of the {labels['alone']['stems']} to which one class was given {labels['alone']['right']:.0%}."
    )
    return told.replace("%", " %")


def stems_commands(result: Record) -> str:
    """What makes the set and all that is shown of it."""
    from benchmarks.separation.rows import ROWS

    done = {run["name"] for run in result["runs"]}
    names = [name for of in SEVERAL.values() for name in of if name in done]
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
    """A row's gain over another, in both measures and on the real songs.

    Args:
        usual: the other's runs.
        same: the row's.
    """

    def __init__(self, usual: Sequence[Record], same: Sequence[Record]) -> None:
        self.paths = {
            **{label: f"scores/all/{metric}/average" for metric, label in METRICS.items()},
            "real songs alone, v4": f"scores/real/{next(iter(METRICS))}/average",
        }
        self.gains = {label: difference(same, usual, path) for label, path in self.paths.items()}
        self.known = all(gain.values for gain in self.gains.values())

    def line(self, name: str) -> str:
        """A sentence."""
        parts = [f"{points(gain)} ({label}){doubt(gain)}" for label, gain in self.gains.items()]
        return f"{name}, against cut ones: {'; '.join(parts)}."


STEMS_INTRO = """
A stem of several classes can be cut where its classes change, so that its clean stretches count as single stems (ours),
or be one source of all its classes from end to end (the paper, `--whole-stems`), or be left out with all that is in it
(`--multi-label-probability 0`). In the tables above they are cut. The planted bleed lasts for most of a stem, so cut
and whole stems are nearly the same; what cutting brings where stems bleed for a short while is not measured.

All rows were trained on a small part of the training set, which the command below makes: the real songs, and rendered
ones with a voice each as it was recorded, while the full set has voices moved to other throats as well. They see half
of the mixtures: compare them with one another, not with the tables above.
"""

PAPER_STEMS = """
The paper's figures for X-UMX, on labels refined twice: whole stems 4.28, stems of a single class alone 4.09, single
ones first and then both 4.00 dB.
"""

INTRO = """
The second half of the paper's claim (Koo et al. 2023, Table 2): a separator that is trained on refined labels takes
songs apart better than one that is trained on the labels as they came. The faults are
[planted](#does-a-noisy-dataset-clean-itself), so that the truth is known. All separators of a table are trained alike,
but for the labels or the loss: with the **true labels** of the noisy stems (what refining could reach at best), with
the **claims** (`--use-claimed`), with labels that were **refined**, and with the claims and a **robust loss**, which is
what one would do instead of cleaning. They are small and trained briefly: compare the rows with each other, not with
published values.
"""

HOW = """
A seed draws the first weights and the mixtures, so that rows of one seed are paired; the faults have a seed of their
own (`--faults`). Test songs are none of those trained on; singers and songs are of no training set. *SDR, BSSEval v4*
is museval's: the median of frames of 1 s, then of songs, then the mean over the classes. *SDR, SDX'23* is
10 log10(Σs² / Σ(s − ŝ)²) over a song, the mean of its classes and of the songs. An estimate of silence has 0 dB in
both. The settings of X-UMX were chosen on validation tracks with true labels, before any test song was heard. One run
on true labels, whose batch norms were wrong and whose stems were not trimmed as in other rows, had been measured on the
test songs before both were put right; the settings stayed. `--part` says what is trained: `a` and `b` Table 2 with
X-UMX, `c` two other separators, `d` and `e` Table 3. A killed run goes on where it was.
"""


def about(result: Record) -> str:
    """What was trained on and tried."""
    trained, test, settings = result["data"]["trained"], result["data"]["test"], result["settings"]
    noise = settings["noise"]
    told = f"{trained['stems']} stems of {trained['songs']} songs ({trained['minutes']:.0f} minutes) train: "
    told += (
        f"{noise['mislabel']:.0%} of them have their label swapped, {noise['bleed']:.0%} hold another stem of the song "
    )
    told += f"as well, at {settings['bleed_db'][0]:g} to {settings['bleed_db'][1]:g} dB. "
    told += f"{test['songs']} others are taken apart, {test['real']} of them real songs: of each the "
    told += f"{test['seconds']:g} s in which most of it sounds."
    if len({run["faults"] for run in result["runs"]}) == 1:
        told += " The faults are planted once: what is told as a spread over seeds is that of the training."
    return told.replace("%", " %")


def model_parts(model: str, runs: Runs, result: Record) -> list[str]:
    """Tables and findings of one separator."""
    told = recipe_told(runs, result, model)
    main = {key: same for key, same in runs.items() if key[0] in NAMES}
    shown = [f"### {MODELS[model]}", told]
    if main:
        shown += [score_table(main, NAMES, result["labels"])]
        shown += [paper_line(), f"![SDR of every run]({asset()})"] if model == "xumx" else []
        shown += ["\n".join(f"- {line}" for line in findings(main))]
        shown += ["What the separators were told, held against the truth:", label_table(main)]
    ablated = {key: same for key, same in runs.items() if key[0] in ABLATIONS}
    if ablated:
        both = {key: same for key, same in runs.items() if key[0] in {*ABLATIONS, "refined2"}}
        names = {"refined2": "refined twice, as above", **ABLATIONS}
        shown += ["#### Which choices matter?", score_table(both, names, result["labels"])]
        shown += ["\n".join(f"- {line}" for line in ablation_findings(both))]
    return shown


def recipe_told(runs: Runs, result: Record, model: str = "xumx") -> str:
    """How large the model is, and how long it was trained."""
    recipe = result["settings"]["recipes"][model]
    first = next(iter(runs.values()))[0]
    told = f"Recipe `{recipe['name']}` with {settings_told(recipe)}: {first['parameters'] / 1e6:.1f} million "
    told += f"parameters, {thousands(first['examples'])} mixtures of {duration(recipe):.1f} s in steps of "
    return f"{told}{recipe['loop']['batch_size']}."


def asset() -> str:
    """The plot as the page links it."""
    return f"assets/{PLOT}"


def settings_told(recipe: Record) -> str:
    """The settings that are not the recipe's own."""
    return ", ".join(f"`{setting}`" for setting in recipe["overrides"]) or "its own settings"


def duration(recipe: Record) -> float:
    """Seconds of a mixture."""
    return float(recipe["spec"]["segment"] / recipe["spec"]["sample_rate"])


def score_table(runs: Runs, names: Mapping[str, str], labels: Sequence[str], head: str = "trained on") -> str:
    """A line a row: SDR per class, averages, the real songs alone."""
    titles = [head, "seeds", *(f"{label}" for label in labels), "**SDR, BSSEval v4**", "SDR, SDX'23"]
    titles += ["real songs: v4", "SDX'23"]
    rows = []
    for key in in_order(runs, names):
        same = runs[key]
        row = [title(key, names), len(same), *(decibels(same, f"{V4}/{label}") for label in labels)]
        row += [decibels(same, f"scores/{kind}/{metric}/average") for kind in ("all", "real") for metric in METRICS]
        rows.append(row)
    return table(titles, rows)


def label_table(runs: Runs) -> str:
    """How right the labels were, and what was left to train on."""
    head = ["labels", "stems that train", "wholly right", "of a single class", "of these right", "recall", "precision"]
    rows, seen = [], set()
    for key in in_order(runs, NAMES):
        if key[0] in {"masked", "truncated"} or key in seen:
            continue
        seen.add(key)
        same = runs[key]
        row = [title(key, NAMES)]
        row += [spread(figures(same, "labels/trained_on/stems"), "{:.0f}")]
        row += [percent(figures(same, "labels/trained_on/right"))]
        row += [spread(figures(same, "labels/alone/stems"), "{:.0f}"), percent(figures(same, "labels/alone/right"))]
        row += [percent(figures(same, f"labels/labels/{metric}/average")) for metric in ("recall", "precision")]
        rows.append(row)
    return table(head, rows)


def paper_line() -> str:
    """The paper's own figures."""
    lines = []
    for model, values in PAPER.items():
        told = ", ".join(f"{NAMES[name]} {value:.2f}" for name, value in values.items())
        lines.append(f"{model}: {told} (refining twice closes {closed(values):.0%} of the gap)".replace("%", " %"))
    return f"The paper's averages (other data, full size, SDR of BSSEval v4): {'; '.join(lines)}."


def closed(values: Mapping[str, float], name: str = "refined2") -> float:
    """The share of the gap between noisy and clean labels that a row closes.

    >>> closed({"clean": 5.0, "noisy": 1.0, "refined2": 4.0})
    0.75
    """
    return (values[name] - values["noisy"]) / (values["clean"] - values["noisy"])


def findings(runs: Runs) -> list[str]:
    """What the numbers say, sentence by sentence; each can be a no."""
    clean, noisy = runs.get(("clean", 0), []), runs.get(("noisy", 0), [])
    told = []
    for metric, name in METRICS.items():
        gap = difference(clean, noisy, f"scores/all/{metric}/average")
        if not gap.values:
            continue
        told.append(f"True labels bring {points(gap)} over the claims ({name}){doubt(gap)}.")
        for key in in_order(runs, NAMES):
            if key[0].startswith("refined") or key[0] == "by_clean":
                told.append(closing(clean, noisy, runs[key], key, metric, name, gap))
    told += [on_real_songs(clean, noisy, runs[key], key) for key in in_order(runs, NAMES) if key[0] == "refined2"]
    for key in in_order(runs, NAMES):
        if key[0] == "refined2":
            told += [against(runs[key], runs[other], key, other) for other in runs if other[0] in ROBUST]
    for other in runs:
        if other[0] in ROBUST and noisy:
            gain = difference(runs[other], noisy, f"{V4}/average")
            told.append(f"{title(other, NAMES).capitalize()} against the plain loss: {points(gain)}{doubt(gain)}.")
    return [line for line in told if line]


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
    """How much of the gap a row closes; undecided where there is no gap to speak of."""
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
    told = f"{title(key, NAMES).capitalize()}: {points(gain)} over the claims ({name}){doubt(gain)}"
    if means["clean"] <= means["noisy"]:
        return f"{told}; there is **no gap** to close."
    by_seed = [
        closed({row: figures([run for run in runs if run["seed"] == seed], path)[0] for row, runs in rows.items()})
        for seed in sorted(seeds)
    ]
    told += f", which is {closed(means):.0%} of the gap"
    told += f" (seed by seed {', '.join(f'{share:.0%}' for share in by_seed)})" if len(by_seed) > 1 else ""
    if key[0] == "refined2" and metric == "bsseval_v4_sdr_db":
        decided = gap.clear or len(gap.values) < 2
        verdict = ("reached" if closed(means) >= AIM else "**not reached**") if decided else "**not decided**"
        told += f". Aim, {AIM:.0%}: {verdict}"
    return f"{told}.".replace("%", " %")


def on_real_songs(
    clean: Sequence[Record], noisy: Sequence[Record], refined: Sequence[Record], key: tuple[str, int]
) -> str:
    """The same of the real songs alone."""
    told = []
    for metric, name in METRICS.items():
        gains = [difference(same, noisy, f"scores/real/{metric}/average") for same in (clean, refined)]
        if all(gain.values for gain in gains):
            first, second = (f"{points(gain)}{doubt(gain)}" for gain in gains)
            told.append(f"true labels {first}, {title(key, NAMES)} {second} ({name})")
    return f"On the real songs alone, over the claims: {'; '.join(told)}." if told else ""


def against(refined: Sequence[Record], robust: Sequence[Record], key: tuple[str, int], other: tuple[str, int]) -> str:
    """Whether cleaning beats a robust loss."""
    gain = difference(refined, robust, f"{V4}/average")
    if not gain.values:
        return ""
    verdict = "reached" if gain.mean > 0 else "**not reached**"
    return f"Aim, {title(key, NAMES)} above {title(other, NAMES)}: {verdict}, {points(gain)}{doubt(gain)}."


def ablation_findings(runs: Runs) -> list[str]:
    """Each choice against labels refined twice by the rule of ``refine``."""
    told = []
    for key in in_order(runs, ABLATIONS):
        usual = next((same for other, same in runs.items() if other == ("refined2", key[1])), [])
        gain = difference(runs[key], usual, f"{V4}/average")
        if gain.values:
            told.append(f"{title(key, ABLATIONS).capitalize()}: {points(gain)} against the usual way{doubt(gain)}.")
    return told


def runs_of(result: Record, model: str) -> Runs:
    """The runs of a separator by row."""
    runs: Runs = defaultdict(list)
    for run in result["runs"]:
        if run["model"] == model:
            key = run["name"], run["classifier"]["examples"] if run["classifier"] else 0
            runs[key].append({**run, "seed": (run["faults"], run["seed"])})  # rows are paired by both
    return {key: sorted(same, key=lambda run: run["seed"]) for key, same in runs.items()}


def in_order(runs: Runs, names: Iterable[str]) -> list[tuple[str, int]]:
    """Rows in the order of their names, those of shorter classifiers first."""
    order = list(names)
    return sorted((key for key in runs if key[0] in order), key=lambda key: (order.index(key[0]), key[1]))


def title(key: tuple[str, int], names: Mapping[str, str]) -> str:
    """A row's name; how long its classifiers were trained."""
    return names[key[0]] + (f" (classifiers of {thousands(key[1])} mixtures)" if key[1] else "")


def decibels(runs: Sequence[Record], key: str) -> str:
    """``3.21 ± 0.12``."""
    return spread(figures(runs, key), "{:.2f}")


def percent(values: Sequence[float]) -> str:
    """``71 %``, with the spread."""
    return f"{spread([100 * value for value in values], '{:.0f}')} %" if values else "–"


def points(value: Difference) -> str:
    """``+0.52 ± 0.10 dB``."""
    sd = f" ± {np.std(value.values, ddof=1):.2f}" if len(value.values) > 1 else ""
    return f"{value.mean:+.2f}{sd} dB" if value.values else "–"


def commands(result: Record) -> str:
    """What was run, part by part."""
    from benchmarks.separation.rows import ROWS

    done = {(run["model"], run["name"]) for run in result["runs"]}
    parts = [part for part, rows in ROWS.items() if any((row.model, row.name) in done for row in rows)]
    told = [f"{result['command']} {' '.join(f'--part {part}' for part in parts)}", "python -m benchmarks.page"]
    if "--refined" in result["command"]:
        plain = result["command"].partition(" --seeds")[0]
        told = [f"{plain} --plant-only  # prints FOLDER", "stemclean refine FOLDER --self -o REFINED.json", *told]
    return "\n".join(told)


def draw() -> list[Path]:
    """Draw the plot of the result; none where there is no result."""
    if not RESULT.exists():
        return []
    runs = runs_of(json.loads(RESULT.read_text(encoding="utf-8")), "xumx")
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
            for place, key in enumerate(keys):
                values = figures(runs[key], f"scores/all/{metric}/average")
                colour = COLOURS.get(key[0], "grey")
                axis.vlines(np.mean(values), place - 0.3, place + 0.3, color=colour, linewidth=3)
                axis.plot(values, [place] * len(values), "o", color=colour, alpha=0.6, markersize=5)
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
    """A name in two lines, if need be."""
    return text.replace(" (", "\n(")


if __name__ == "__main__":
    for written in draw():
        print(f"wrote {written.relative_to(ROOT)}")
