"""The section of ``docs/benchmarks.md`` on self-refining; see :mod:`benchmarks.page`.

It is made from ``benchmarks/results/self_refining.json``. The words are chosen by the numbers: what is better must
be better in the mean, and what is not marked as within the spread must hold with a 95 % interval of the paired
differences over the seeds (Student's t).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks import page_self_crosstalk
from benchmarks.self_refining.planting import SHARES
from benchmarks.self_refining.plots import PLOTS
from benchmarks.self_refining.reading import (
    AIM_GAP,
    KINDS,
    METRICS,
    NAMES,
    RESULT,
    SETS,
    Record,
    Runs,
    difference,
    doubt,
    figures,
    given_labels,
    half_and_half,
    number_of,
    plural,
    points,
    runs_of,
    spread,
    sweep_of,
    table,
    thousands,
)

LONGER = RESULT.with_name("self_refining_longer.json")
"""The same with more examples, of some shares."""
AIM_NOISE = 0.4
"""Share of faulty stems up to which that shall hold."""
LEARNED = 0.05
"""A classifier has learned where its accuracy is this far above always giving the same answer."""
PAPER = {
    "single stems": {"clean": (0.951, 0.906), "noisy": (0.925, 0.860), "refined": (0.928, 0.866)},
    "random mixes": {"clean": (0.902, 0.907), "noisy": (0.876, 0.887), "refined": (0.892, 0.901)},
}
"""Koo et al. 2023, Table 1: accuracy and F1 at 0.9; their refined classifier is the one of "refined once" here."""


def parts() -> list[str]:
    """The section; what is not measured says so."""
    title = "## Does a noisy dataset clean itself?"
    if not RESULT.exists():
        return [title, "Not measured yet: `python -m benchmarks.self_refining`."]
    longer = json.loads(LONGER.read_text(encoding="utf-8")) if LONGER.exists() else None
    return [title, *section(json.loads(RESULT.read_text(encoding="utf-8")), longer)]


def section(result: Record, longer: Record | None = None) -> list[str]:
    """The section of a result.

    Args:
        longer: that of the same benchmark with more examples.
    """
    told = [INTRO, about(result)]
    both = runs_of(result, half_and_half)
    told += main_parts(both, result["labels"]) if both else []
    swept = {kind: sweep_of(result, kind) for kind in KINDS}
    told += sweep_parts(swept, both) if any(any(share for share in runs if share) for runs in swept.values()) else []
    told += round_parts(both) if any(number_of(name) > 2 for name in both) else []
    told += fold_parts(both) if any(name.startswith("folds") for name in both) else []
    told += page_self_crosstalk.parts(both)
    told += longer_parts(result, longer) if longer else []
    done = "\n".join(commands(each) for each in (result, longer) if each)
    return [*told, "### How", f"```bash\n{done}\npython -m benchmarks.page\n```", HOW]


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
30 % noise, `b` the sweep (or some `--shares` of it), `c` more rounds, `d` folds, `e` bleed measured. A killed run goes
on where it was; `--recipe paper` is for a GPU.
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


def longer_parts(short: Record, longer: Record) -> list[str]:
    """Does the gap to clean labels close with the length of the training?"""
    few, many = (result["settings"]["recipe"]["loop"]["examples"] for result in (short, longer))
    head = [
        "faults",
        "trained on",
        "mixtures seen",
        *(f"{t}: {m}" for t in SETS.values() for m in ("accuracy", "recall")),
    ]
    rows, told = [], []
    for kind, title in KINDS.items():
        less, more = sweep_of(short, kind), sweep_of(longer, kind)
        clean = {few: less.get(0.0, {}), many: more.get(0.0, {})}
        for share, runs in sorted(more.items()):
            before = less.get(share, {})
            for name in NAMES:
                for examples, same in ((few, before.get(name, [])), (many, runs.get(name, []))):
                    cells = [
                        spread(figures(same, f"{key}/0.9/{metric}/average"))
                        for key in SETS
                        for metric in ("accuracy", "recall")
                    ]
                    faults = f"{title.lower()}, {share:.0%}".replace("%", " %") if share else "none"
                    if same and (share or kind == "mislabel"):
                        rows.append([faults, NAMES[name], thousands(examples), *cells])
            for name in ("refined1", "refined2") if share else ():
                gaps = {
                    examples: difference(
                        clean[examples].get("clean", []), same.get(name, []), "stems/all/0.9/accuracy/average"
                    )
                    for examples, same in ((few, before), (many, runs))
                }
                if not gaps[many].values:
                    continue
                list_of = " and ".join(
                    f"{points(gap)} with {thousands(n)} mixtures" for n, gap in gaps.items() if gap.values
                )
                verb = reached(clean[many], "stems/all", gaps[many].mean <= AIM_GAP)
                told.append(
                    f"- {title}, {share:.0%}: clean minus {NAMES[name]} is {list_of}, on single stems; with more "
                    f"mixtures, the aim is {verb}{doubt(gaps[many])}.".replace("%", " %")
                )
    return [
        "### With longer trainings",
        f"The same with {thousands(many)} mixtures a training instead of {thousands(few)}, threshold 0.9:",
        table(head, rows),
        "\n".join(told),
    ]


def fold_parts(runs: Runs) -> list[str]:
    """Part d."""
    rows, told = [], []
    for name in sorted(name for name in runs if name.startswith("folds")):
        folds, number = name.removeprefix("folds").split("-")
        seeds = {run["seed"] for run in runs[name]}
        plain = [run for run in runs.get(f"refined{number}", []) if run["seed"] in seeds]
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
With `--folds` a stem is judged by a classifier that never heard its song, and so cannot have remembered its wrong
label; each of them trains on fewer songs instead.
"""


def commands(result: Record) -> str:
    """What was run: a line for each part, and for each share of the sweep that has other seeds or rounds."""
    seeds: dict[tuple[str, float], int] = {}
    rounds: dict[tuple[str, float], int] = {}
    for run in result["runs"]:
        if run["name"] != "clean":  # which several parts have
            of = part_of(run), 0.0 if half_and_half(run) else max(run["noise"].values())
            seeds[of] = max(seeds.get(of, 0), run["seed"] + 1)
            rounds[of] = max(rounds.get(of, 1), number_of(run["name"])) if of[0] == "b" else 1
    alike: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    for of, count in sorted(seeds.items()):
        alike[of[0], count, rounds[of]].append(of[1])
    lines = []
    for (part, count, times), shares in alike.items():
        line = f"{result['command']} --part {part} --seeds {count}"
        if part == "b" and tuple(shares) != SHARES:
            line += f" --shares {' '.join(f'{share:g}' for share in shares)}"
        lines.append(line + (f" --rounds {times}" if times > 1 else ""))
    return "\n".join(lines)


def part_of(run: Record) -> str:
    """The part of the benchmark that a run is of."""
    if not half_and_half(run):
        return "b"
    if run["name"].startswith("folds"):
        return "d"
    if run["name"].startswith("crosstalk"):
        return "e"
    return "c" if number_of(run["name"]) > 2 else "a"
