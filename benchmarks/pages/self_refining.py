"""Does a noisy dataset clean itself? Tables and findings on ``refine --self``.

The words are chosen by the numbers: what is better must be better on average, and what is not marked as not
significant must hold with a 95 % interval of the paired differences over the seeds (Student's t).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.pages import self_refining_crosstalk
from benchmarks.pages.paired import difference, doubt, figures, points
from benchmarks.pages.self_refining_plots import PLOTS
from benchmarks.pages.self_refining_runs import (
    GOAL_GAP,
    KINDS,
    LONGER,
    METRICS,
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
from benchmarks.pages.tables import (
    Read,
    Record,
    over_seeds,
    percent,
    plural,
    table,
    thousands,
    unmeasured,
    verdict,
)
from benchmarks.self_refining.planting import SHARES

PATH = "docs/benchmarks/self-refining.md"
QUESTION = "Does a noisy dataset clean itself?"
GOAL_NOISE = 0.4
"""Share of faulty stems up to which the goal shall hold."""
LEARNED = 0.05
"""A classifier has learned if its accuracy is this much above that of a constant answer."""
PAPER = {
    "single stems": {"clean": (0.951, 0.906), "noisy": (0.925, 0.860), "refined1": (0.928, 0.866)},
    "random mixes": {"clean": (0.902, 0.907), "noisy": (0.876, 0.887), "refined1": (0.892, 0.901)},
}
"""Koo et al. 2023, Table 1: accuracy and F1 at 0.9; their refined classifier is this one, refined once."""


def answer(read: Read) -> list[str]:
    """Part a: labels and classifiers, by what they were trained on."""
    result = read(RESULT)
    if not result:
        return [unmeasured("self_refining")]
    runs = runs_of(result, half_and_half)
    rows = []
    for name in (name for name in NAMES if name in runs):
        row = [NAMES[name], over_seeds([run["training"][0]["right"] for run in runs[name]], 2)]
        row += [over_seeds(figures(runs[name], f"{key}/0.9/accuracy/average"), 2) for key in SETS]
        rows.append([*row, over_seeds(figures(runs[name], "mixes/0.9/recall/average"), 2)])
    head = ["trained on", "right labels", *(f"accuracy, {title}" for title in SETS.values()), "recall, random mixes"]
    losses = {
        key: difference(runs.get("clean", []), runs.get("refined1", []), f"{key}/0.9/accuracy/average") for key in SETS
    }
    results = "; ".join(
        f"{reached(runs, key, loss.mean <= GOAL_GAP)} on {SETS[key]}, where the loss is {points(loss)}{doubt(loss)}"
        for key, loss in losses.items()
        if loss.values
    )
    return [
        table(head, rows),
        f"""
30 % of the stems are faulty; accuracy and recall are on held-out stems, at a threshold of 0.9. Goal: refining once
loses at most {GOAL_GAP * 100:g} point of accuracy against true labels: {results}. The networks are small and trained
briefly; the page also has [longer trainings](benchmarks/self-refining.md#with-longer-trainings) and other noise
rates.""",
    ]


def parts(read: Read) -> list[str]:
    """Return the page."""
    result, title = read(RESULT), f"# {QUESTION}"
    return [title, *(section(result, read(LONGER)) if result else [unmeasured("self_refining")])]


def section(result: Record, longer: Record | None = None) -> list[str]:
    """Return the text of a result.

    Args:
        longer: the same benchmark with more examples.
    """
    shown = [INTRO, about(result)]
    both = runs_of(result, half_and_half)
    shown += main_parts(both, result["labels"]) if both else []
    swept = {kind: sweep_of(result, kind) for kind in KINDS}
    shown += sweep_parts(swept, both) if any(any(share for share in runs if share) for runs in swept.values()) else []
    shown += round_parts(both) if any(number_of(name) > 2 for name in both) else []
    shown += fold_parts(both) if any(name.startswith("folds") for name in both) else []
    shown += self_refining_crosstalk.parts(both)
    shown += longer_parts(result, longer) if longer else []
    all_commands = "\n".join(commands(each) for each in (result, longer) if each)
    return [*shown, "## How it was measured", f"```bash\n{all_commands}\npython -m benchmarks.page\n```", HOW]


INTRO = """
Koo et al. (2023) claim that it does: a classifier trained on wrong labels finds better ones, and one trained on those
does better still. Here the faults are planted, so that the ground truth is known. Four classifiers are trained alike:
on the **true labels**, on the **claims** with their faults, on the stems in which the second found exactly one class
(**refined once**), and on those in which the third did (**refined twice**). These are the rounds of `stemclean refine
--self`, run by the same code. A class counts as present if the mean of the window scores is above the threshold; scores
are not calibrated. Values are mean ± standard deviation over the seeds; a seed determines the faults and the initial
weights. Differences are paired by seed, and are *not significant* if their 95 % interval includes 0.
"""

HOW = """
The training songs are from the training set: rendered songs of bass, drums and other, each with a singer added, and the
real songs, with the same number of seconds from every song. The test consists of stems of other songs, renderings and
singers, and of random mixes of these with the effects used in training, in which every stem is audible. `--part`
selects what is trained: `a` 30 % noise, `b` the sweep (or some `--shares` of it), `c` more rounds, `d` folds, `e`
measured bleed. A killed run resumes where it stopped; `--recipe paper` is for a GPU.
"""


def about(result: Record) -> str:
    """Training and test material."""
    trained, judged = result["data"]["trained"], result["data"]["judged"]
    recipe, settings = result["settings"]["recipe"], result["settings"]
    return (
        f"Training: {trained['stems']} stems of {trained['songs']} songs ({trained['minutes']:.0f} minutes). Test: "
        f"{judged['stems']} stems of {judged['songs']} other songs, and {thousands(settings['mixes'])} mixes of them. "
        f"Each classifier (`{recipe['options'].get('backbone')}`, recipe `{recipe['name']}`, loss `{recipe['loss']}`) "
        f"is trained on {thousands(recipe['loop']['examples'])} mixtures. The paper trains a network of 27.8 million "
        "parameters for 100 epochs."
    )


def main_parts(runs: Runs, labels: Sequence[str]) -> list[str]:
    """Part a: both tables, the labels, what holds."""
    names = [name for name in NAMES if name in runs]
    shown = [
        "## With 30 % of the stems faulty",
        "Half of the faulty stems claim another class, and half have bleed from another stem of the song.",
    ]
    for limit in ("0.9", "0.5"):
        paper = " as in the paper" if limit == "0.9" else ""
        shown.append(f"Averages over the classes, threshold {limit}{paper}:")
        shown.append(average_table(runs, names, limit))
    shown.append(f"![Accuracy and recall of the four classifiers, threshold 0.9](../assets/{PLOTS['main']})")
    shown += ["By class, threshold 0.9:", class_table(runs, names, labels)]
    shown.append(paper_table())
    shown += ["## Do the labels get better?", LABELS, label_table(runs)]
    if "refined1" in runs:
        shown.append(f"![Share of stems with exactly the right labels](../assets/{PLOTS['labels']})")
    shown += ["## Findings", "\n".join(f"- {line}" for line in findings(runs, labels))]
    return shown


LABELS = """
Labels of the training stems, compared with the ground truth. *Exactly right* is the share of stems whose whole set of
classes is right. `default` is the rule of `refine` that selects the next training set (0.9, and 0.3 for the claimed
class); `paper` is 0.9 for all classes. The last row is a ceiling: the labels found by a classifier trained on the true
labels.
"""


def findings(runs: Runs, labels: Sequence[str]) -> list[str]:
    """Return the conclusions of part a, one sentence each; each may be negative."""
    lines = []
    for key, title in SETS.items():
        lines += [not_learned(runs.get("clean", []), key, title)]
        lines += [gap(runs, key, title), recall_gain(runs, key, title)]
    lines += [cleaned(runs), dying(runs, labels), again(runs)]
    return [line for line in lines if line]


def knowledge(clean: Sequence[Record], key: str) -> tuple[float, float]:
    """Return the accuracy of the classifier of true labels at 0.9, and that of a constant answer."""
    accuracy, guessing = figures(clean, f"{key}/0.9/accuracy/average"), figures(clean, f"{key}/guessing")
    return float(np.mean(accuracy)), float(np.mean(guessing))


def not_learned(clean: Sequence[Record], key: str, title: str) -> str:
    """Return a warning if even the classifier of true labels performs poorly."""
    if not clean:
        return ""
    accuracy, guessing = knowledge(clean, key)
    if accuracy >= guessing + LEARNED:
        return ""
    return (
        f"On {title}, the classifier trained on true labels has an accuracy of {percent(accuracy, 1)} at 0.9, and a "
        f"constant answer has {percent(guessing, 1)}. It has **not learned enough** at this scale for its accuracy to "
        "decide anything; see the values at 0.5 and the AUC."
    )


def reached(runs: Runs, key: str, yes: bool) -> str:
    """Say whether a goal is reached; undecided if the classifier of true labels has not learned enough."""
    return "**undecided**" if not_learned(runs["clean"], key, "") else verdict(yes)


def gap(runs: Runs, key: str, title: str) -> str:
    """Say whether refining comes within a point of true labels."""
    if not {"clean", "noisy", "refined1"} <= runs.keys():
        return ""
    loss = difference(runs["clean"], runs["refined1"], f"{key}/0.9/accuracy/average")
    noisy = difference(runs["clean"], runs["noisy"], f"{key}/0.9/accuracy/average")
    if not loss.values:
        return ""
    return (
        f"Goal: refining once loses at most {GOAL_GAP * 100:g} point of accuracy against true labels. On {title}: "
        f"{reached(runs, key, loss.mean <= GOAL_GAP)}; true labels minus refined once is {points(loss)}{doubt(loss)}, "
        f"true labels minus claims {points(noisy)}{doubt(noisy)}."
    )


def recall_gain(runs: Runs, key: str, title: str) -> str:
    """Say whether recall rises."""
    if not {"clean", "noisy", "refined1"} <= runs.keys():
        return ""
    gain = difference(runs["refined1"], runs["noisy"], f"{key}/0.9/recall/average")
    return (
        f"Goal: refining once has a higher recall than the claims. On {title}: {reached(runs, key, gain.mean > 0)}; "
        f"refined once minus claims is {points(gain)}{doubt(gain)}."
    )


def cleaned(runs: Runs) -> str:
    """Say whether labels improve."""
    if not {"noisy", "refined1"} <= runs.keys():
        return ""
    once = difference(runs["refined1"], runs["noisy"], "given/as_trained/exact_match")
    auc = np.mean(figures(runs["refined1"], "given/auc/average"))
    verb = "more" if once.mean > 0 else "**no more**"
    text = f"Relabelling once gives {verb} stems exactly the right labels: {points(once)}{doubt(once)}. "
    text += f"The scores rank the classes of the noisy stems with an AUC of {auc:.3f}"
    if once.mean <= 0 and auc > 0.8:
        text += ": the model has learned more than the threshold shows"
    text += "."
    if "refined2" in runs:
        twice = difference(runs["refined2"], runs["refined1"], "given/as_trained/exact_match")
        verb = "adds" if twice.mean > 0 else "**loses**" if twice.mean < 0 else "changes"
        text += f" Relabelling a second time {verb} {points(twice, sign=False)}{doubt(twice)}."
    kept = float(np.mean([run["training"][0]["right"] for run in runs["refined1"]]))
    before = float(np.mean([run["training"][0]["right"] for run in runs["noisy"]]))
    verb = "cleaner" if kept > before else "**no cleaner**"
    return (
        f"{text} The training set of the refined classifier is {verb} than the claims: {percent(kept, 1)} right, "
        f"{percent(before, 1)} before."
    )


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
    few = [f"{label} ({percent(share)})" for label, share in left.items() if share < 0.5]
    if not few:
        return "Every class keeps at least half of its stems for the second training."
    return f"Less than half of the stems are **left** for the second training of {', '.join(few)}."


def again(runs: Runs) -> str:
    """Say whether the second round improves the result."""
    if not {"refined1", "refined2"} <= runs.keys():
        return ""
    gains = {
        title: difference(runs["refined2"], runs["refined1"], f"{key}/0.9/f1/average") for key, title in SETS.items()
    }
    listed = ", ".join(f"{points(gain)} F1 on {title}{doubt(gain)}" for title, gain in gains.items())
    return f"Refining twice instead of once: {listed}."


def average_table(runs: Runs, names: Iterable[str], limit: str) -> str:
    """Table 1."""
    head = ["trained on", "stems", "exactly right"]
    head += [f"{title}: {metric}" for title in SETS.values() for metric in (*METRICS, "AUC")]
    head.append("stems of real songs: accuracy")
    rows = []
    for name in names:
        row = [NAMES[name], over_seeds([run["training"][0]["stems"] for run in runs[name]], 0)]
        row.append(over_seeds([run["training"][0]["right"] for run in runs[name]]))
        for key in SETS:
            row += [over_seeds(figures(runs[name], f"{key}/{limit}/{metric}/average")) for metric in METRICS]
            row.append(over_seeds(figures(runs[name], f"{key}/auc/average")))
        rows.append([*row, over_seeds(figures(runs[name], f"stems/real/{limit}/accuracy/average"))])
    first = runs[next(iter(runs))]
    guess = [over_seeds(figures(first, f"{key}/guessing")[:1]) for key in (*SETS, "stems/real")]
    rows.append(["constant answer", "", "", *(cell for g in guess[:2] for cell in (g, "", "", "", "0.5")), guess[2]])
    return table(head, rows)


def class_table(runs: Runs, names: Sequence[str], labels: Sequence[str]) -> str:
    """Table 4."""
    head = ["class", "trained on", *(f"{title}: {metric}" for title in SETS.values() for metric in METRICS)]
    rows = []
    for label in labels:
        for name in names:
            row = [label if name == names[0] else "", NAMES[name]]
            row += [
                over_seeds(figures(runs[name], f"{key}/0.9/{metric}/{label}")) for key in SETS for metric in METRICS
            ]
            rows.append(row)
    return table(head, rows)


def paper_table() -> str:
    """Show the paper's figures."""
    lines = [
        f"{title}: " + ", ".join(f"{NAMES[name]} {accuracy:.3f} / {f1:.3f}" for name, (accuracy, f1) in values.items())
        for title, values in PAPER.items()
    ]
    return f"In the paper (accuracy / F1; other data, longer training): {'; '.join(lines)}."


def label_table(runs: Runs) -> str:
    """Labels after 0, 1, 2, … relabellings."""
    head = ["relabelled", "rule", "exactly right", *METRICS, "AUC of the scores"]
    rows = []
    for name, same in sorted(given_labels(runs).items(), key=lambda item: number_of(item[0])):
        times = number_of(name)
        rules = ["as_trained"] if times == 0 else ["default", "paper", "0.5"]
        for rule in rules:
            auc = figures(same, "given/auc/average") if times and rule == rules[0] else []
            first = (
                ["no: the claims", None]
                if times == 0
                else [plural(times, "time") if rule == rules[0] else "", f"`{rule}`"]
            )
            rows.append([*first, *label_figures(same, f"given/{rule}"), over_seeds(auc)])
    ceiling = [run for run in runs.get("clean", []) if "found" in run]
    if ceiling:
        auc = figures(ceiling, "found/auc/average")
        rows.append(
            ["by the classifier of true labels", "`default`", *label_figures(ceiling, "found/default"), over_seeds(auc)]
        )
    return table(head, rows)


def label_figures(runs: Sequence[Record], key: str) -> list[str]:
    """Share of stems with exactly the right labels, then the averages."""
    values = [over_seeds(figures(runs, f"{key}/exact_match"))]
    return [*values, *(over_seeds(figures(runs, f"{key}/{metric}/average")) for metric in METRICS)]


def sweep_parts(swept: dict[str, dict[float, Runs]], both: Runs) -> list[str]:
    """Part b.

    Args:
        both: runs of part a, whose seeds show how reliable one is.
    """
    shown = [
        "## How much noise is too much?",
        SWEEP,
        f"![Accuracy over the share of faulty stems](../assets/{PLOTS['sweep']})",
    ]
    for kind, by_share in swept.items():
        clean = by_share.get(0.0, {}).get("clean", [])
        rows = []
        for share, runs in sorted(by_share.items()):
            if not share or not {"noisy", "refined1"} <= runs.keys():
                continue
            row = [percent(share)]
            row += [over_seeds(figures(runs[n], "given/as_trained/exact_match")) for n in ("noisy", "refined1")]
            for key in SETS:
                for metric in ("accuracy", "recall"):
                    row += [over_seeds(figures(runs[n], f"{key}/0.9/{metric}/average")) for n in ("noisy", "refined1")]
            rows.append(row)
        if not rows:
            continue
        head = ["faulty", "exactly right: claims", "relabelled"]
        head += [
            f"{title}: {metric}, {name}"
            for title in SETS.values()
            for metric in ("accuracy", "recall")
            for name in ("claims", "refined once")
        ]
        shown += [f"**{KINDS[kind]}**, threshold 0.9:", table(head, rows)]
        if clean:
            shown.append(f"True labels: {clean_line(clean)}. {sweep_verdict(by_share, clean)}")
    seeds = {
        run["seed"]
        for by_share in swept.values()
        for runs in by_share.values()
        for same in runs.values()
        for run in same
    }
    if len(seeds) == 1:
        shown.append(_of_one_seed(both))
    return [part for part in shown if part]


def _of_one_seed(both: Runs) -> str:
    """Show how much the seeds of part a differ; nothing for one seed."""
    deviations = []
    for key, title in SETS.items():
        for metric in ("accuracy", "recall"):
            rows = [figures(both.get(name, []), f"{key}/0.9/{metric}/average") for name in ROUNDS_A]
            variances = [np.var(row, ddof=1) for row in rows if len(row) > 1]
            if variances:
                deviations.append(f"{metric} on {title} {100 * np.mean(variances) ** 0.5:.1f}")
    if not deviations:
        return ""
    return (
        "The sweep has one seed. With 30 % noise, above, the pooled standard deviation over the seeds is, in points: "
        f"{', '.join(deviations)}. Differences of that size mean nothing here."
    )


ROUNDS_A = ("clean", "noisy", "refined1", "refined2")


SWEEP = """
One kind of fault at a time. The paper could not measure this, as the noise rate of its data was unknown. The classifier
of true labels is trained on the same songs without faults.
"""


def clean_line(clean: Sequence[Record]) -> str:
    """Show accuracy and recall of the classifier of true labels."""
    lines = []
    for key, title in SETS.items():
        values = (over_seeds(figures(clean, f"{key}/0.9/{metric}/average")) for metric in ("accuracy", "recall"))
        lines.append("{} accuracy {}, recall {}".format(title, *values))
    return "; ".join(lines)


def sweep_verdict(by_share: Mapping[float, Runs], clean: Sequence[Record]) -> str:
    """Up to which share the goal is reached without a gap in between."""
    results = []
    for key, title in SETS.items():
        held = 0.0
        for share, runs in sorted(by_share.items()):
            if not share or "refined1" not in runs:
                continue
            if not difference(clean, runs["refined1"], f"{key}/0.9/accuracy/average").mean <= GOAL_GAP:
                break  # nor where nothing can be compared
            held = share
        upto = f"reached up to {percent(held)}" if held else "reached at no share"
        results.append(f"on {title} {reached({'clean': list(clean)}, key, held >= GOAL_NOISE)} ({upto})")
    return (
        f"Goal: within {GOAL_GAP * 100:g} point of the accuracy with true labels up to {GOAL_NOISE * 100:g} % noise: "
        f"{'; '.join(results)}."
    )


def _against_twice(runs: Runs, name: str) -> str:
    """Show the effect of more rounds on the classifiers' F1 and on the labels of their training sets."""
    keys = {f"points F1 on {title}": f"{key}/0.9/f1/average" for key, title in SETS.items()}
    keys["points of exactly right labels to train on"] = "given/as_trained/exact_match"
    gains = {unit: difference(runs[name], runs["refined2"], key) for unit, key in keys.items()}
    shown = [points(gain).replace("points", unit) for unit, gain in gains.items()]
    return ", ".join(shown) + doubt(next(iter(gains.values())))


def round_parts(runs: Runs) -> list[str]:
    """Part c."""
    head = ["trained on", "exactly right", *(f"{t}: {m}" for t in SETS.values() for m in METRICS)]
    rows, lines = [], []
    for name in sorted(given_labels(runs), key=number_of):
        row = [NAMES.get(name, f"refined {number_of(name)} times")]
        row.append(over_seeds(figures(runs[name], "given/as_trained/exact_match")))
        row += [over_seeds(figures(runs[name], f"{key}/0.9/{metric}/average")) for key in SETS for metric in METRICS]
        rows.append(row)
        if number_of(name) > 2:
            lines.append(f"- {row[0].capitalize()} instead of twice, same seeds: {_against_twice(runs, name)}.")
    return [
        "## More rounds",
        table(head, rows),
        f"![F1 and right labels over the rounds](../assets/{PLOTS['rounds']})",
        "\n".join(lines),
        "SDR of the paper's separators, trained on the labels of 1 to 5 rounds: 3.74, 4.28, 3.98, 4.09, 4.12 dB.",
    ]


def longer_parts(short: Record, longer: Record) -> list[str]:
    """Show whether the gap to true labels closes with longer training."""
    few, many = (result["settings"]["recipe"]["loop"]["examples"] for result in (short, longer))
    head = ["faults", "trained on", "mixtures"]
    head += [f"{title}: {metric}" for title in SETS.values() for metric in ("accuracy", "recall")]
    rows: list[list[str]] = []
    lines: list[str] = []
    for kind, title in KINDS.items():
        less, more = sweep_of(short, kind), sweep_of(longer, kind)
        clean = {few: less.get(0.0, {}), many: more.get(0.0, {})}
        for share, runs in sorted(more.items()):
            by_length = {few: less.get(share, {}), many: runs}
            if share or kind == "mislabel":
                rows += _longer_rows(f"{title.lower()}, {percent(share)}" if share else "none", by_length)
            if share:
                lines += _longer_lines(f"{title}, {percent(share)}", by_length, clean)
    return [
        "## With longer trainings",
        f"The same with {thousands(many)} mixtures per training instead of {thousands(few)}, threshold 0.9:",
        table(head, rows),
        "\n".join(lines),
    ]


def _longer_rows(faults: str, by_length: Mapping[int, Runs]) -> list[list[str]]:
    """Return a row for each classifier and number of mixtures."""
    keys = [f"{key}/0.9/{metric}/average" for key in SETS for metric in ("accuracy", "recall")]
    return [
        [faults, NAMES[name], thousands(examples), *(over_seeds(figures(runs[name], key)) for key in keys)]
        for name in NAMES
        for examples, runs in by_length.items()
        if name in runs
    ]


def _longer_lines(faults: str, by_length: Mapping[int, Runs], clean: Mapping[int, Runs]) -> list[str]:
    """Say whether the goal is reached with more mixtures, for each number of rounds."""
    many = max(by_length)
    lines = []
    for name in ("refined1", "refined2"):
        gaps = {
            examples: difference(clean[examples].get("clean", []), runs.get(name, []), "stems/all/0.9/accuracy/average")
            for examples, runs in by_length.items()
        }
        if not gaps[many].values:
            continue
        listed = " and ".join(f"{points(gap)} with {thousands(n)} mixtures" for n, gap in gaps.items() if gap.values)
        met = reached(clean[many], "stems/all", gaps[many].mean <= GOAL_GAP)
        lines.append(
            f"- {faults}: on single stems, true labels minus {NAMES[name]} is {listed}; with more mixtures, the goal "
            f"is {met}{doubt(gaps[many])}."
        )
    return lines


def fold_parts(runs: Runs) -> list[str]:
    """Part d."""
    rows, lines = [], []
    for name in sorted(name for name in runs if name.startswith("folds")):
        folds, times = name.removeprefix("folds").split("-")
        seeds = {run["seed"] for run in runs[name]}
        plain = [run for run in runs.get(f"refined{times}", []) if run["seed"] in seeds]
        for count, same, key in (("none", plain, "given"), (folds, runs[name], "found")):
            if same:
                auc = over_seeds(figures(same, f"{key}/auc/average"))
                rows.append([times, count, *label_figures(same, f"{key}/default"), auc])
        if plain:
            gain = difference(runs[name], plain, "found/default/exact_match", "given/default/exact_match")
            help_ = "help" if gain.mean > 0 else "**do not help**"
            lines.append(
                f"After {plural(int(times), 'relabelling')}, folds {help_}: {points(gain)} of exactly right labels"
                f"{doubt(gain)}."
            )
    head = ["times relabelled", "folds", "exactly right", *METRICS, "AUC of the scores"]
    return ["## With folds", FOLDS, table(head, rows), " ".join(lines)]


FOLDS = """
With `--folds`, a stem is judged by a classifier that was not trained on its song, and cannot have memorised its wrong
label. In return, each classifier is trained on fewer songs.
"""


def commands(result: Record) -> str:
    """Return a command for each part, and for each share of the sweep with other seeds or rounds."""
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
    """Return the part of the benchmark that a run belongs to."""
    if not half_and_half(run):
        return "b"
    if run["name"].startswith("folds"):
        return "d"
    if run["name"].startswith("crosstalk"):
        return "e"
    return "c" if number_of(run["name"]) > 2 else "a"
