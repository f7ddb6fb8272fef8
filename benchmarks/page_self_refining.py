"""The section of ``docs/benchmarks.md`` on self-refining, and its plots.

    python -m benchmarks.page_self_refining     # draw the plots under docs/assets; needs matplotlib

Both are made from ``benchmarks/results/self_refining.json``. The words are chosen by the numbers: what is better must
be better in the mean, and what is not marked as within the spread must hold with a 95 % interval of the paired
differences over the seeds (Student's t).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "self_refining.json"
ASSETS = ROOT / "docs" / "assets"

AIM_GAP = 0.01
"""Accuracy that refined labels may cost against clean ones."""
AIM_NOISE = 0.4
"""Share of faulty stems up to which that shall hold."""
LEARNED = 0.05
"""A classifier has learned where its accuracy is this far above always giving the same answer."""
SETS = {"stems/all": "single stems", "mixes": "random mixes"}
METRICS = ("accuracy", "f1", "precision", "recall")
NAMES = {
    "clean": "clean labels",
    "noisy": "noisy labels, as claimed",
    "refined1": "refined once",
    "refined2": "refined twice",
}
STYLE = {"svg.hashsalt": "stemclean", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
"""Of plots, whose bytes must not change without a reason."""
COLOURS = {"clean": "#0072b2", "noisy": "#d55e00", "refined1": "#009e73", "refined2": "#cc79a7"}
PAPER = {
    "single stems": {"clean": (0.951, 0.906), "noisy": (0.925, 0.860), "refined": (0.928, 0.866)},
    "random mixes": {"clean": (0.902, 0.907), "noisy": (0.876, 0.887), "refined": (0.892, 0.901)},
}
"""Koo et al. 2023, Table 1: accuracy and F1 at 0.9; their refined classifier is the one of "refined once" here."""

Record = dict[str, Any]
Runs = dict[str, list[Record]]
"""Name of a classifier -> its runs, one a seed, in the order of the seeds."""


def parts() -> list[str]:
    """The section; what is not measured says so."""
    title = "## Does a noisy dataset clean itself?"
    if not RESULT.exists():
        return [title, "Not measured yet: `python -m benchmarks.self_refining`."]
    return [title, *section(json.loads(RESULT.read_text(encoding="utf-8")))]


def section(result: Record) -> list[str]:
    """The section of a result."""
    told = [INTRO, about(result)]
    both = runs_of(result, half_and_half)
    told += main_parts(both, result["labels"]) if both else []
    swept = {kind: sweep_of(result, kind) for kind in ("mislabel", "bleed")}
    told += sweep_parts(swept, both) if any(any(share for share in runs if share) for runs in swept.values()) else []
    told += round_parts(both) if any(number_of(name) > 2 for name in both) else []
    told += fold_parts(both) if any(name.startswith("folds") for name in both) else []
    return [*told, "### How", f"```bash\n{commands(result)}\n```", HOW]


INTRO = """
The paper's claim (Koo et al. 2023) is that it does: a classifier trained on wrong labels finds better ones, and one
trained on those does better still. Here the faults are planted, so that it can be counted. Four classifiers are trained
alike: on the **true labels**, on the **claims** with their faults, on the stems in which the second found exactly one
class (**refined once**), and on those in which the third did (**refined twice**). These are the rounds of
`stemclean refine --self`, by its own parts and with its own rules. A class is present where the mean of the windows is
above the threshold; nothing is calibrated. Values are means ± standard deviation over the seeds; a seed
draws the faults and starts the networks.
"""

HOW = """
Trained on are songs of the training set: rendered ones of bass, drums and other, each given a singer, and the real
ones; of all of them the same few seconds a song. Judged are stems of songs, renderings and singers that trained
nothing, and random mixes of these with effects as in training, all of them audible. `--part` says what is trained: `a`
30 % noise, `b` the sweep, `c` more rounds, `d` folds. A killed run goes on where it was; `--recipe paper` is for a GPU.
"""


def about(result: Record) -> str:
    """What was trained on and judged."""
    trained, judged = result["data"]["trained"], result["data"]["judged"]
    recipe, settings = result["settings"]["recipe"], result["settings"]
    told = f"{trained['stems']} stems of {trained['songs']} songs ({trained['minutes']:.0f} minutes) train, "
    told += f"{judged['stems']} stems of {judged['songs']} others and {thousands(settings['mixes'])} mixes of them are "
    told += f"judged. Each classifier (`{recipe['options'].get('backbone')}`, recipe `{recipe['name']}`, loss "
    told += f"`{recipe['loss']}`) sees {thousands(recipe['loop']['examples'])} mixtures; the paper trains a network of "
    return told + "27.8 million parameters for 100 epochs."


def main_parts(runs: Runs, labels: Sequence[str]) -> list[str]:
    """Part a: both tables, the labels, what holds."""
    names = [name for name in NAMES if name in runs]
    told = [
        "### 30 % of the stems faulty",
        "Half of them claim another class, half hold another stem of the song as well.",
    ]
    for limit in ("0.9", "0.5"):
        paper = ", the paper's" if limit == "0.9" else ""
        told.append(f"Averages over the classes, threshold {limit}{paper}:")
        told.append(average_table(runs, names, limit))
    told.append(f"![Accuracy and recall of the four classifiers, threshold 0.9](assets/{PLOTS['main']})")
    told += ["Class by class, threshold 0.9:", class_table(runs, names, labels)]
    told.append(paper_table())
    told += ["### Do the labels get better?", LABELS, label_table(runs)]
    if "refined1" in runs:
        told.append(f"![Share of stems with exactly the right labels](assets/{PLOTS['labels']})")
    told += ["### What holds", "\n".join(f"- {line}" for line in findings(runs, labels))]
    return told


LABELS = """
The training stems themselves: what they are said to hold against what they do hold. *Right stems* is the share whose
whole set of classes is right. `default` is the rule of `refine`, by which the next training set is chosen (0.9, the
claimed class 0.3), `paper` is 0.9 for all. The last line is what a classifier trained on the truth makes of the claims:
a ceiling.
"""


def findings(runs: Runs, labels: Sequence[str]) -> list[str]:
    """What the numbers of part a say, sentence by sentence; each can be a no."""
    told = []
    for key, title in SETS.items():
        told += [not_learned(runs.get("clean", []), key, title)]
        told += [gap(runs, key, title), recall_gain(runs, key, title)]
    told += [cleaned(runs), dying(runs, labels), again(runs)]
    return [line for line in told if line]


def knowledge(clean: Sequence[Record], key: str) -> tuple[float, float]:
    """Accuracy of the clean classifier at 0.9, and that of always giving the same answer."""
    accuracy, guessing = figures(clean, f"{key}/0.9/accuracy/average"), figures(clean, f"{key}/guessing")
    return float(np.mean(accuracy)), float(np.mean(guessing))


def not_learned(clean: Sequence[Record], key: str, title: str) -> str:
    """A warning where even the clean classifier knows little."""
    if not clean:
        return ""
    accuracy, guessing = knowledge(clean, key)
    if accuracy >= guessing + LEARNED:
        return ""
    return (
        f"On {title} the classifier trained on the truth is right in {accuracy:.1%} of its decisions at 0.9, where "
        f"always giving the same answer is in {guessing:.1%}: it has **not learned enough** at this scale for its "
        "accuracy to decide anything; see the values at 0.5 and the AUC."
    ).replace("%", " %")


def reached(runs: Runs, key: str, yes: bool) -> str:
    """Whether an aim is; never where the clean classifier has not learned enough to be one."""
    if not_learned(runs["clean"], key, ""):
        return "**not decided**"
    return "reached" if yes else "**not reached**"


def gap(runs: Runs, key: str, title: str) -> str:
    """Whether refining comes within a point of clean labels."""
    if not {"clean", "noisy", "refined1"} <= runs.keys():
        return ""
    loss = difference(runs["clean"], runs["refined1"], f"{key}/0.9/accuracy/average")
    noisy = difference(runs["clean"], runs["noisy"], f"{key}/0.9/accuracy/average")
    if not loss.values:
        return ""
    return (
        f"Aim: refined within {AIM_GAP * 100:g} point of clean accuracy. On {title}: "
        f"{reached(runs, key, loss.mean <= AIM_GAP)}; clean minus refined once is {points(loss)}{doubt(loss)}, clean "
        f"minus noisy {points(noisy)}{doubt(noisy)}."
    )


def recall_gain(runs: Runs, key: str, title: str) -> str:
    """Whether recall rises."""
    if not {"clean", "noisy", "refined1"} <= runs.keys():
        return ""
    gain = difference(runs["refined1"], runs["noisy"], f"{key}/0.9/recall/average")
    return (
        f"Aim: recall of refined above noisy. On {title}: {reached(runs, key, gain.mean > 0)}; refined once minus "
        f"noisy is {points(gain)}{doubt(gain)}."
    )


def cleaned(runs: Runs) -> str:
    """Whether labels get better."""
    if not {"noisy", "refined1"} <= runs.keys():
        return ""
    once = difference(runs["refined1"], runs["noisy"], "given/as_trained/exact_match")
    auc = np.mean(figures(runs["refined1"], "given/auc/average"))
    verb = "more" if once.mean > 0 else "**no more**"
    told = f"One relabelling leaves {verb} stems rightly labelled than the claims: {points(once)}{doubt(once)}. "
    told += f"Its scores rank the classes of the noisy stems with an AUC of {auc:.3f}"
    if once.mean <= 0 and auc > 0.8:
        told += ": the model has learned more than the threshold lets through"
    told += "."
    if "refined2" in runs:
        twice = difference(runs["refined2"], runs["refined1"], "given/as_trained/exact_match")
        verb = "adds" if twice.mean > 0 else "**takes away**" if twice.mean < 0 else "changes"
        told += f" The second relabelling {verb} {points(twice, sign=False)}{doubt(twice)}."
    kept = np.mean([run["training"][0]["right"] for run in runs["refined1"]])
    before = np.mean([run["training"][0]["right"] for run in runs["noisy"]])
    verb = "cleaner" if kept > before else "**no cleaner**"
    told += (
        f" What the refined classifier is trained on is {verb} than the claims: {kept:.1%} right, {before:.1%} before."
    )
    return told.replace("%", " %")


def dying(runs: Runs, labels: Sequence[str]) -> str:
    """Classes of which little is left to train on."""
    if not {"noisy", "refined1"} <= runs.keys():
        return ""
    left: dict[str, float] = {}
    for label in labels:
        stems = [
            [np.mean([run["training"][0]["by_class"][label]["stems"] for run in runs[name]])]
            for name in ("refined1", "noisy")
        ]
        left[label] = float(stems[0][0] / max(stems[1][0], 1))
    few = [f"{label} ({share:.0%})".replace("%", " %") for label, share in left.items() if share < 0.5]
    if not few:
        return "Every class keeps at least half of its stems for the second training."
    return f"For the second training less than half of the stems is **left** of {', '.join(few)}."


def again(runs: Runs) -> str:
    """Whether the second round pays."""
    if not {"refined1", "refined2"} <= runs.keys():
        return ""
    gains = {
        title: difference(runs["refined2"], runs["refined1"], f"{key}/0.9/f1/average") for key, title in SETS.items()
    }
    told = ", ".join(f"{points(gain)} F1 on {title}{doubt(gain)}" for title, gain in gains.items())
    return f"Refining twice instead of once: {told}."


def average_table(runs: Runs, names: Iterable[str], limit: str) -> str:
    """Table 1."""
    head = ["trained on", "stems", "rightly labelled"]
    head += [f"{title}: {metric}" for title in SETS.values() for metric in (*METRICS, "AUC")]
    head.append("stems of real songs alone: accuracy")
    rows = []
    for name in names:
        row = [NAMES[name], spread([run["training"][0]["stems"] for run in runs[name]], "{:.0f}")]
        row.append(spread([run["training"][0]["right"] for run in runs[name]]))
        for key in SETS:
            row += [spread(figures(runs[name], f"{key}/{limit}/{metric}/average")) for metric in METRICS]
            row.append(spread(figures(runs[name], f"{key}/auc/average")))
        rows.append([*row, spread(figures(runs[name], f"stems/real/{limit}/accuracy/average"))])
    first = runs[next(iter(runs))]
    guess = [spread(figures(first, f"{key}/guessing")[:1]) for key in (*SETS, "stems/real")]
    rows.append(
        ["always the same answer", "", "", *(cell for g in guess[:2] for cell in (g, "", "", "", "0.5")), guess[2]]
    )
    return table(head, rows)


def class_table(runs: Runs, names: Sequence[str], labels: Sequence[str]) -> str:
    """Table 4."""
    head = ["class", "trained on", *(f"{title}: {metric}" for title in SETS.values() for metric in METRICS)]
    rows = []
    for label in labels:
        for name in names:
            row = [label if name == names[0] else "", NAMES[name]]
            row += [spread(figures(runs[name], f"{key}/0.9/{metric}/{label}")) for key in SETS for metric in METRICS]
            rows.append(row)
    return table(head, rows)


def paper_table() -> str:
    """The paper's own figures."""
    lines = [
        f"{title}: " + ", ".join(f"{name} {accuracy:.3f} / {f1:.3f}" for name, (accuracy, f1) in values.items())
        for title, values in PAPER.items()
    ]
    return f"The paper's (accuracy / F1, other data, a longer training): {'; '.join(lines)}."


def label_table(runs: Runs) -> str:
    """Labels after 0, 1, 2, … relabellings."""
    head = ["relabelled", "by the rule", "right stems", *METRICS, "AUC of the scores"]
    rows = []
    for name, same in sorted(given_labels(runs).items(), key=lambda item: number_of(item[0])):
        times = number_of(name)
        rules = ["as_trained"] if times == 0 else ["default", "paper", "0.5"]
        for rule in rules:
            auc = figures(same, "given/auc/average") if times and rule == rules[0] else []
            first = (
                ["not yet: the claims", "–"]
                if times == 0
                else [plural(times, "time") if rule == rules[0] else "", f"`{rule}`"]
            )
            rows.append([*first, *label_figures(same, f"given/{rule}"), spread(auc)])
    ceiling = [run for run in runs.get("clean", []) if "found" in run]
    if ceiling:
        auc = figures(ceiling, "found/auc/average")
        rows.append(["by the clean classifier", "`default`", *label_figures(ceiling, "found/default"), spread(auc)])
    return table(head, rows)


def label_figures(runs: Sequence[Record], key: str) -> list[str]:
    """Share of right stems, then the averages."""
    values = [spread(figures(runs, f"{key}/exact_match"))]
    return [*values, *(spread(figures(runs, f"{key}/{metric}/average")) for metric in METRICS)]


def sweep_parts(swept: dict[str, dict[float, Runs]], both: Runs) -> list[str]:
    """Part b.

    Args:
        both: runs of part a, whose seeds tell how far one can be believed.
    """
    told = [
        "### How much noise is too much?",
        SWEEP,
        f"![Accuracy over the share of faulty stems](assets/{PLOTS['sweep']})",
    ]
    for kind, by_share in swept.items():
        clean = by_share.get(0.0, {}).get("clean", [])
        rows = []
        for share, runs in sorted(by_share.items()):
            if not share or not {"noisy", "refined1"} <= runs.keys():
                continue
            row = [f"{share:.0%}".replace("%", " %")]
            row += [spread(figures(runs[n], "given/as_trained/exact_match")) for n in ("noisy", "refined1")]
            for key in SETS:
                for metric in ("accuracy", "recall"):
                    row += [spread(figures(runs[n], f"{key}/0.9/{metric}/average")) for n in ("noisy", "refined1")]
            rows.append(row)
        if not rows:
            continue
        head = ["faulty", "right stems: claims", "relabelled"]
        head += [
            f"{title}: {metric}, {name}"
            for title in SETS.values()
            for metric in ("accuracy", "recall")
            for name in ("noisy", "refined once")
        ]
        told += [f"**{KINDS[kind]}**, threshold 0.9:", table(head, rows)]
        if clean:
            told.append(f"Clean: {clean_line(clean)}. {sweep_verdict(by_share, clean)}")
    seeds = {
        run["seed"]
        for by_share in swept.values()
        for runs in by_share.values()
        for same in runs.values()
        for run in same
    }
    if len(seeds) == 1:
        told.append(_of_one_seed(both))
    return [part for part in told if part]


def _of_one_seed(both: Runs) -> str:
    """How much the seeds of part a differ; nothing where it has one."""
    told = []
    for key, title in SETS.items():
        for metric in ("accuracy", "recall"):
            rows = [figures(both.get(name, []), f"{key}/0.9/{metric}/average") for name in ROUNDS_A]
            variances = [np.var(row, ddof=1) for row in rows if len(row) > 1]
            if variances:
                told.append(f"{metric} on {title} {100 * np.mean(variances) ** 0.5:.1f}")
    if not told:
        return ""
    return (
        "This is one seed. Between the seeds of 30 % noise, above, the same row differs by so many points (pooled "
        f"standard deviation): {', '.join(told)}. Differences of that size mean nothing here."
    )


ROUNDS_A = ("clean", "noisy", "refined1", "refined2")


KINDS = {"mislabel": "Swapped labels", "bleed": "Bleed"}
SWEEP = """
One kind of fault at a time; the paper could not do this, since the noise rate of its data was not known. The clean
classifier is trained on the same songs with nothing planted.
"""


def clean_line(clean: Sequence[Record]) -> str:
    """Accuracy and recall of the clean classifier."""
    told = []
    for key, title in SETS.items():
        accuracy, recall = (spread(figures(clean, f"{key}/0.9/{metric}/average")) for metric in ("accuracy", "recall"))
        told.append(f"{title} accuracy {accuracy}, recall {recall}")
    return "; ".join(told)


def sweep_verdict(by_share: dict[float, Runs], clean: Sequence[Record]) -> str:
    """Up to which share the aim holds without a gap in between."""
    told = []
    for key, title in SETS.items():
        held = 0.0
        for share, runs in sorted(by_share.items()):
            if not share or "refined1" not in runs:
                continue
            if not difference(clean, runs["refined1"], f"{key}/0.9/accuracy/average").mean <= AIM_GAP:
                break  # nor where nothing can be compared
            held = share
        upto = f"holds up to {held:.0%}" if held else "holds at no share"
        told.append(f"on {title} {reached({'clean': list(clean)}, key, held >= AIM_NOISE)} ({upto})".replace("%", " %"))
    return (
        f"Aim: within {AIM_GAP * 100:g} point of clean accuracy up to {AIM_NOISE * 100:g} % noise: {'; '.join(told)}."
    )


def _against_twice(runs: Runs, name: str) -> str:
    """What more rounds bring: F1 of the classifiers, and right stems of the labels that train them."""
    keys = {f"points F1 on {title}": f"{key}/0.9/f1/average" for key, title in SETS.items()}
    keys["points of right stems in the labels given"] = "given/as_trained/exact_match"
    gains = {unit: difference(runs[name], runs["refined2"], key) for unit, key in keys.items()}
    shown = [points(gain).replace("points", unit) for unit, gain in gains.items()]
    return ", ".join(shown) + doubt(next(iter(gains.values())))


def round_parts(runs: Runs) -> list[str]:
    """Part c."""
    head = ["trained on", "right stems of the labels given", *(f"{t}: {m}" for t in SETS.values() for m in METRICS)]
    rows, told = [], []
    for name in sorted(given_labels(runs), key=number_of):
        row = [NAMES.get(name, f"refined {number_of(name)} times")]
        row.append(spread(figures(runs[name], "given/as_trained/exact_match")))
        row += [spread(figures(runs[name], f"{key}/0.9/{metric}/average")) for key in SETS for metric in METRICS]
        rows.append(row)
        if number_of(name) > 2:
            told.append(f"- {row[0].capitalize()} against twice, the same seeds: {_against_twice(runs, name)}.")
    return [
        "### More rounds",
        table(head, rows),
        f"![F1 and right labels over the rounds](assets/{PLOTS['rounds']})",
        "\n".join(told),
        "The paper's separators, trained on the labels of 1 to 5 rounds: 3.74, 4.28, 3.98, 4.09, 4.12 dB.",
    ]


def fold_parts(runs: Runs) -> list[str]:
    """Part d."""
    rows, told = [], []
    for name in sorted(name for name in runs if name.startswith("folds")):
        folds, number = name.removeprefix("folds").split("-")
        plain = runs.get(f"refined{number}", [])
        rows += (
            [[number, "none", *label_figures(plain, "given/default"), spread(figures(plain, "given/auc/average"))]]
            if plain
            else []
        )
        rows.append(
            [
                number,
                folds,
                *label_figures(runs[name], "found/default"),
                spread(figures(runs[name], "found/auc/average")),
            ]
        )
        if plain:
            gain = difference(runs[name], plain, "found/default/exact_match", "given/default/exact_match")
            pays = "pay" if gain.mean > 0 else "**do not pay**"
            told.append(
                f"After {plural(int(number), 'relabelling')} folds {pays}: {points(gain)} of right stems{doubt(gain)}."
            )
    head = ["relabelled, times", "folds", "right stems", *METRICS, "AUC of the scores"]
    return ["### With folds", FOLDS, table(head, rows), " ".join(told)]


FOLDS = """
With `--folds` a stem is judged by a classifier that never heard its song. That matters where a network remembers wrong
labels, which takes a longer training than this one.
"""


class Difference:
    """Paired differences over the seeds.

    Args:
        values: one a seed.
    """

    def __init__(self, values: Sequence[float]) -> None:
        self.values = list(values)
        self.mean = float(np.mean(values)) if values else float("nan")
        num = len(values)
        self.half = float(student.ppf(0.975, num - 1) * np.std(values, ddof=1) / num**0.5) if num > 1 else float("inf")
        """Half of the 95 % interval."""

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return abs(self.mean) > self.half


def difference(first: Sequence[Record], second: Sequence[Record], key: str, other: str | None = None) -> Difference:
    """A figure of the first runs minus that of the second, seed by seed."""
    minuend = {run["seed"]: value_of(run, key) for run in first}
    subtrahend = {run["seed"]: value_of(run, other or key) for run in second}
    pairs = [(minuend[seed], subtrahend[seed]) for seed in sorted(minuend.keys() & subtrahend.keys())]
    return Difference([a - b for a, b in pairs if a is not None and b is not None])


def points(value: Difference, *, sign: bool = True) -> str:
    """``+1.2 ± 0.3 points``: the mean and the standard deviation over the seeds."""
    mean = value.mean * 100 if sign else abs(value.mean) * 100
    told = f"{mean:+.1f}" if sign else f"{mean:.1f}"
    sd = f" ± {np.std(value.values, ddof=1) * 100:.1f}" if len(value.values) > 1 else ""
    return f"{told}{sd} points"


def doubt(value: Difference) -> str:
    """A remark where the seeds do not agree well enough."""
    if len(value.values) < 2:
        return " (one seed: no spread known)"
    return "" if value.clear else " (within the spread of the seeds)"


def half_and_half(run: Record) -> bool:
    """Whether a run is of part a, c or d."""
    return bool(run["noise"]["mislabel"] and run["noise"]["bleed"])


def runs_of(result: Record, wanted: Any) -> Runs:
    """Runs by name, those that are wanted."""
    runs: Runs = defaultdict(list)
    for run in sorted(result["runs"], key=lambda run: run["seed"]):
        if wanted(run):
            runs[run["name"]].append(run)
    return dict(runs)


def sweep_of(result: Record, kind: str) -> dict[float, Runs]:
    """Share -> runs, of one kind of fault alone; 0 is what has no fault."""
    other = {"mislabel": "bleed", "bleed": "mislabel"}[kind]
    shares = sorted({run["noise"][kind] for run in result["runs"] if not run["noise"][other]})
    return {
        share: runs_of(result, lambda run, s=share: run["noise"][kind] == s and not run["noise"][other])
        for share in shares
    }


def given_labels(runs: Runs) -> Runs:
    """Runs that were given claims or found labels."""
    return {name: same for name, same in runs.items() if name == "noisy" or name.startswith("refined")}


def number_of(name: str) -> int:
    """How often the labels were refined; -1 for those that are no round.

    >>> number_of("noisy"), number_of("refined3"), number_of("clean")
    (0, 3, -1)
    """
    if name == "noisy":
        return 0
    return int(name.removeprefix("refined")) if name.startswith("refined") else -1


def value_of(run: Record, key: str) -> float | None:
    """A figure by its path; ``stems/all/0.9/accuracy/average`` ends in a name with a slash."""
    place: Any = run
    words = key.split("/")
    while words:
        if not isinstance(place, dict):
            return None
        whole = "/".join(words)
        if whole in place:
            found: float | None = place[whole]
            return found
        place = place.get(words.pop(0))
    return None


def figures(runs: Iterable[Record], key: str) -> list[float]:
    """The figures that exist."""
    return [value for value in (value_of(run, key) for run in runs) if value is not None]


def spread(values: Sequence[float], form: str = "{:.3f}") -> str:
    """``0.931 ± 0.012``."""
    if not values:
        return "–"
    sd = f" ± {form.format(np.std(values, ddof=1))}" if len(values) > 1 else ""
    return form.format(np.mean(values)) + sd


def plural(number: int, word: str) -> str:
    """``1 time``, ``2 times``."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def thousands(value: float) -> str:
    """``12 000``."""
    return f"{value:,.0f}".replace(",", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def commands(result: Record) -> str:
    """What was run, part by part."""
    done = {"a"} if runs_of(result, half_and_half) else set()
    names = {run["name"] for run in result["runs"]}
    done |= {"b"} if any(not half_and_half(run) for run in result["runs"]) else set()
    done |= {"c"} if any(number_of(name) > 2 for name in names) else set()
    done |= {"d"} if any(name.startswith("folds") for name in names) else set()
    return f"{result['command']} {' '.join(f'--part {part}' for part in sorted(done))}\npython -m benchmarks.page"


PLOTS = {key: f"self_refining_{key}.svg" for key in ("main", "labels", "sweep", "rounds")}


def draw() -> list[Path]:
    """Draw the plots of the result; none where there is no result."""
    return plots(json.loads(RESULT.read_text(encoding="utf-8")), ASSETS) if RESULT.exists() else []


def plots(result: Record, folder: Path) -> list[Path]:
    """Draw what a result has runs for, as SVG whose bytes depend on the numbers and matplotlib's version alone."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    both = runs_of(result, half_and_half)
    swept = {kind: sweep_of(result, kind) for kind in KINDS}
    wanted = {
        "main": (_draw_main, both, {"clean", "noisy"} & both.keys()),
        "labels": (_draw_labels, both, "refined1" in both),
        "sweep": (_draw_sweep, swept, any(share for runs in swept.values() for share in runs)),
        "rounds": (_draw_rounds, both, any(number_of(name) > 2 for name in both)),
    }
    written = []
    with mpl.rc_context(STYLE):
        for name, (drawn, data, there) in wanted.items():
            if there:
                figure = drawn(plt, data)
                folder.mkdir(parents=True, exist_ok=True)
                written.append(folder / PLOTS[name])
                figure.savefig(written[-1], format="svg", metadata={"Date": None}, bbox_inches="tight")
                plt.close(figure)
    return written


def _draw_main(plt: Any, runs: Runs) -> Any:
    """Accuracy and recall of every classifier, a point a seed and a bar for the mean."""
    figure, axes = plt.subplots(2, 2, figsize=(8, 5), sharex=True)
    names = [name for name in NAMES if name in runs]
    for row, metric in enumerate(("accuracy", "recall")):
        for column, (key, title) in enumerate(SETS.items()):
            axis = axes[row, column]
            for place, name in enumerate(names):
                values = figures(runs[name], f"{key}/0.9/{metric}/average")
                axis.hlines(np.mean(values), place - 0.3, place + 0.3, color=COLOURS[name], linewidth=3)
                axis.plot([place] * len(values), values, "o", color=COLOURS[name], alpha=0.6, markersize=5)
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
    """Accuracy over the share of faulty stems."""
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
                    np.mean(clean) - AIM_GAP, color=COLOURS["clean"], linewidth=0.8, linestyle=":", label="aim"
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


if __name__ == "__main__":
    for path in draw():
        print(f"wrote {path.relative_to(ROOT)}")
