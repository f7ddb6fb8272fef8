"""Are wrong stems found? Planted faults in held-out songs, judged by the bundled classifier."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.pages.results import RESULTS
from benchmarks.pages.results import read as read_result
from benchmarks.pages.tables import (
    KIND_NAMES,
    Read,
    Record,
    counted,
    mean_sd,
    name_of,
    number,
    of,
    percent,
    share,
    table,
    thousands,
    unmeasured,
    verdict,
)

PATH = "docs/benchmarks/detection.md"
QUESTION = "Are wrong stems found?"
GOAL_RECALL, GOAL_PRECISION = 0.95, 0.9
"""Share of the swapped labels that should be found, and the share of flagged stems that should be wrong."""

INTRO = """
Known faults are planted with `stemclean corrupt` in songs that the weights were neither trained nor validated on.
`stemclean refine` judges them, and `stemclean eval labels` compares the result with the ground truth. A stem is *wrong*
if its contents differ in any way from its claim, and *found* if its verdict is not `keep`. Only the classifier is used
here (`--no-crosstalk`); [measuring bleed](crosstalk.md) finds more.
"""

ABLATION = """
Each row changes one choice of the recipe `atto`. The number of training examples and the training set are the same in
all rows, and far smaller than for the bundled weights. *Correct class on top* is the share of clean held-out stems
whose highest score belongs to the right class; AUC is the ROC AUC of the mean score, averaged over the classes. Larger
networks learn more slowly, so that a short training shows which variant starts fastest, not which ends best. The robust
losses (L1, generalised cross-entropy) are made for wrong labels, and the labels of this training set are right.
"""


def answer(read: Read) -> list[str]:
    """Faults found, by kind of song."""
    result = read("detection")
    if not result:
        return [unmeasured("detection")]
    rows = []
    for kind, rules in result["planted"].items():
        pooled = rules["default"]["pooled"]
        shares = [counted(pooled, f"fault/{fault}", "recall") for fault in ("swapped", "bleed")]
        flagged = counted(pooled, "fault/none", "flagged")
        rows.append([KIND_NAMES[kind], *shares, flagged, mean_sd(rules["default"], "detection/precision")])
    pooled = result["planted"]["all"]["default"]["pooled"]
    swapped, bleed = (pooled[f"fault/{fault}/recall"] for fault in ("swapped", "bleed"))
    precision = pooled["detection/precision"]
    met = swapped >= GOAL_RECALL and precision >= GOAL_PRECISION
    return [
        table(["songs", "swapped labels found", "bleed found", "correct stems flagged", "precision"], rows),
        f"""
The classifier alone finds {share(swapped)} of the swapped labels, but only {share(bleed)} of the stems with bleed
at {" to ".join(f"{level:g}" for level in result["config"]["bleed_db"])} dB, and {percent(precision, 1)} of the
stems that it flags are wrong. Goal: find {share(GOAL_RECALL)} of the swapped labels at a precision of
{share(GOAL_PRECISION)}: {verdict(met)}. See also [which score finds faults first](benchmarks/ranking.md).
There are only {result["data"]["real"]["songs"]} real songs in the test, some of them by artists who are also in the
training set.""",
    ]


def parts(read: Read) -> list[str]:
    """Return the page."""
    result, ablation = read("detection"), read("ablation")
    title = f"# {QUESTION}"
    shown = [title, INTRO, *(detection_parts(result) if result else [unmeasured("detection")])]
    if ablation:
        shown += ["## What does each choice of the recipe bring?", ABLATION, *ablation_parts(ablation)]
    return shown


def detection_parts(result: Record) -> list[str]:
    """Show the results on planted faults."""
    shown = [about_weights(result["weights"])]
    for section in (data_parts, found_parts, bleed_parts, label_parts, clean_parts):
        shown += section(result)
    shown += singer_parts(result) if result.get("singers") else []
    shown += wrong_parts(result)
    names = [path.stem for path in sorted(RESULTS.glob("detection_*.json"))]
    others = {name_of(other["weights"]).split(" ", maxsplit=1)[0]: other for other in map(read_result, names)}
    return shown + (other_parts({name_of(result["weights"]).split(" ", maxsplit=1)[0]: result, **others}))


def about_weights(weights: Record) -> str:
    """Describe the weights."""
    facts = [f"`{weights['options'].get('backbone') or weights['architecture']}`"]
    facts += [f"{weights['parameters'] / 1e6:.1f} million parameters"] if weights["parameters"] else []
    facts += [f"recipe `{weights['recipe']}`"] if weights["recipe"] else []
    facts += [f"loss `{weights['loss']}`"] if weights["loss"] else []
    facts += [f"{thousands(weights['examples'])} training examples"] if weights["examples"] else []
    facts += ["calibrated scores" if weights["calibrated"] else "uncalibrated scores"]
    return f"Weights: {name_of(weights)}: {', '.join(facts)}."


def data_parts(result: Record) -> list[str]:
    """Describe the held-out songs and the planted faults."""
    config, labels = result["config"], result["labels"]
    head = ["", "songs", "stems", "minutes", *labels, "performer or sound font in the training set"]
    rows = []
    for kind, data in result["data"].items():
        by_class = [data["by_class"][label] for label in labels]
        known = data["performers_in_training"]
        rows.append([KIND_NAMES[kind], data["songs"], data["stems"], f"{data['minutes']:.0f}", *by_class, known])
    low, high = config["bleed_db"]
    mislabel, bleed = share(config["mislabel"]), share(config["bleed"])
    return [
        "## Test data",
        table(head, rows),
        f"""
There are few real songs, and the training set has other songs by some of their artists. The rendered songs are new
pieces, played with sound fonts that are in the training set and joined with singers that are not; voice and
accompaniment are from different pieces.

Faults are drawn {config["seeds"]} times, with the seeds 0 to {config["seeds"] - 1}: {mislabel} of the stems get another
label, and {bleed} get another stem of the song mixed in at {low:g} to {high:g} dB relative to the stem. Values are mean
± standard deviation over the draws, and counts are sums over them. The deviation shows how much the result depends on
which stems have faults, not how much it depends on the songs.""",
    ]


def found_parts(result: Record) -> list[str]:
    """Precision, recall and ranking by both rules."""
    shown = ["## Wrong stems found"]
    names = ("precision", "recall", "f1", "average_precision", "roc_auc")
    head = ["songs", "wrong stems", "precision", "recall", "F1", "average precision", "ROC AUC"]
    for rule, about in result["rules"].items():
        rows = []
        for kind, rules in result["planted"].items():
            values = [mean_sd(rules[rule], f"detection/{name}") for name in names]
            rows.append([KIND_NAMES[kind], rules[rule]["pooled"]["stems/wrong"], *values])
        shown += [f"{rule_name(rule, about)}:", table(head, rows)]
    head = [
        "songs",
        "rule",
        "swapped labels found",
        "and named correctly",
        "bleed found",
        "and all classes named",
        "correct stems flagged",
    ]
    rows = []
    for kind, rules in result["planted"].items():
        for rule in result["rules"]:
            pooled = rules[rule]["pooled"]
            faults = [
                counted(pooled, f"fault/{fault}", metric)
                for fault in ("swapped", "bleed")
                for metric in ("recall", "labels_right")
            ]
            rows.append([KIND_NAMES[kind], f"`{rule}`", *faults, counted(pooled, "fault/none", "flagged")])
    shown += ["By kind of fault, sums over all draws:", table(head, rows)]
    report = result["planted"]["all"]["default"]
    recall, precision = report["pooled"].get("fault/swapped/recall"), report["pooled"]["detection/precision"]
    met = verdict((recall or 0) >= GOAL_RECALL and (precision or 0) >= GOAL_PRECISION)
    conclusion = f"Goal: find at least {share(GOAL_RECALL)} of the swapped labels with a precision of at least "
    conclusion += f"{share(GOAL_PRECISION)}: {met} ({share(recall)} with {percent(precision, 1)})."
    ranking = report["ranking"]
    if ranking["recall"] is not None:
        conclusion += (
            " A reviewer who starts with the lowest label quality, and stops when fewer than "
            f"{share(ranking['precision_wanted'])} of the stems reviewed are wrong, has then seen "
            f"{share(ranking['recall'])} of the wrong stems and {share(ranking['swapped_recall'])} of those with a "
            "swapped label."
        )
    return [*shown, conclusion]


def bleed_parts(result: Record) -> list[str]:
    """Bleed found, by level and class."""
    shown = ["## Which bleed is found?", "All draws and all songs, rule `default`."]
    titles = {"level_db": "level relative to the stem, dB", "from": "class that bleeds", "into": "stem with the bleed"}
    for name, title in titles.items():
        rows = []
        for group, counts in sorted(result["planted"]["all"]["default"]["bleeds"][name].items(), key=_band):
            num = counts["num"]
            shares = [of(counts.get(metric, 0), num) for metric in ("flagged", "labels_right")]
            rows.append([group.replace("..", " to "), num, *shares])
        shown.append(table([title, "stems", "found", "both classes named"], rows))
    return shown


def label_parts(result: Record) -> list[str]:
    """Per-class metrics, with the claims as the baseline."""
    metrics = ("accuracy", "precision", "recall", "f1")
    shown = [
        "## By class",
        """
The classes that `refine` finds in each stem, compared with the ground truth. The row *claims* evaluates the labels of
the dataset as they are, without any cleaning.""",
    ]
    for kind, rules in result["planted"].items():
        report, paper = rules["default"], rules["paper"]
        rows = [[label, *(mean_sd(report, f"labels/{m}/{label}") for m in metrics)] for label in result["labels"]]
        rows.append(["average", *(mean_sd(report, f"labels/{m}/average") for m in metrics)])
        rows.append(["average, rule `paper`", *(mean_sd(paper, f"labels/{m}/average") for m in metrics)])
        rows.append(["average, claims", *(mean_sd(report, f"claims/{m}/average") for m in metrics)])
        right, before = mean_sd(report, "labels/exact_match"), mean_sd(report, "claims/exact_match")
        name = KIND_NAMES[kind]
        name = "all songs" if kind == "all" else name
        shown.append(
            f"{name[0].upper()}{name[1:]}; share of stems with exactly the right classes: {right} (claims: {before})."
        )
        shown.append(table(["class", "accuracy", "precision", "recall", "F1"], rows))
    return shown


def clean_parts(result: Record) -> list[str]:
    """False alarms in songs without faults."""
    rows = []
    for kind, rules in result["clean"].items():
        for rule, report in rules.items():
            groups = [report, *(report["by_class"][label] for label in result["labels"])]
            rows.append(
                [KIND_NAMES[kind], f"`{rule}`", *(of(group["false_alarms"], group["stems"]) for group in groups)]
            )
    return [
        "## False alarms in clean songs",
        "Stems of the clean songs that are flagged:",
        table(["songs", "rule", "all", *result["labels"]], rows),
    ]


def singer_parts(result: Record) -> list[str]:
    """MIR-1K."""
    singers, rule = result["singers"], result["rules"]["default"]
    names = {"voice": "voice alone", "accompaniment": "accompaniment alone", "both": "mixture of both"}
    rows = []
    for kind, title in names.items():
        found_by_rule = singers["vocals_found"][kind]
        counts = [of(found_by_rule[limit], singers["singers"]) for limit in ("threshold", "claimed_threshold")]
        values = sorted(scores[kind] for scores in singers["scores"].values())
        rows.append([title, *counts, f"{values[0]:.2f} / {values[len(values) // 2]:.2f} / {values[-1]:.2f}"])
    limits = [f"vocals above {rule[limit]:g}" for limit in ("threshold", "claimed_threshold")]
    return [
        "## Unseen singers",
        f"""
MIR-1K has {singers["singers"]} amateurs who sing karaoke songs, sampled at 16 kHz; up to {singers["clips"]} clips of
each are joined to one recording. The table shows the scores of the class vocals, which should be low for the
accompaniment.""",
        table(["sound", *limits, "score: minimum / median / maximum"], rows),
    ]


def wrong_parts(result: Record) -> list[str]:
    """List the errors."""
    return [
        "## Errors, stem by stem",
        "False alarms in the clean songs (rule `default`):",
        cases(result["false_alarms"]),
        "Swapped labels that were missed in any draw:",
        cases(result["missed_swaps"]),
    ]


def other_parts(results: dict[str, Record]) -> list[str]:
    """Other weights on the same songs."""
    if len(results) < 2:
        return []
    head = ["weights", "swapped found", "precision", "recall", "F1", "average precision", "accuracy", "unseen singers"]
    rows = []
    for name, result in results.items():
        report, singers = result["planted"]["all"]["default"], result.get("singers")
        share_found = of(singers["vocals_found"]["voice"]["threshold"], singers["singers"]) if singers else None
        values = [mean_sd(report, f"detection/{key}") for key in ("precision", "recall", "f1", "average_precision")]
        accuracy = mean_sd(report, "labels/accuracy/average")
        rows.append([name, mean_sd(report, "fault/swapped/recall"), *values, accuracy, share_found])
    return [
        "## Other weights",
        "The same faults in the same songs, rule `default`; *unseen singers* counts voices above the threshold.",
        table(head, rows),
    ]


def cases(records: Sequence[Record]) -> str:
    """Wrong verdicts, stem by stem."""
    if not records:
        return "None."
    rows = [
        [
            f"`{case['stem']}`",
            " + ".join(case["claimed"]),
            " + ".join(case["truth"]),
            " + ".join(case["found"]) or "nothing",
            ", ".join(f"{label} {score:.2f}" for label, score in case["scores"].items()),
            case["times"],
        ]
        for case in records
    ]
    return table(["stem", "claimed", "ground truth", "found", "scores", "times"], rows)


def rule_name(rule: str, about: Record) -> str:
    """Return a rule in words."""
    threshold, claimed = about["threshold"], about["claimed_threshold"]
    if threshold == claimed:
        return f"Rule `{rule}`, as in the paper: a class is present if its score is above {threshold:g}"
    return f"Rule `{rule}`: a class is present if its score is above {threshold:g}, or {claimed:g} if it is claimed"


def ablation_parts(ablation: Record) -> list[str]:
    """One line per variant and number of examples, the mean of its seeds; and the command."""
    runs: dict[tuple[str, int], list[Record]] = {}
    for run in ablation["runs"]:
        runs.setdefault((run["variant"], run["examples"]), []).append(run)
    rows = []
    for (variant, examples), same in runs.items():
        figures = [sum(run[key] for run in same) / len(same) for key in ("argmax_accuracy", "auc/average")]
        rows.append([variant, thousands(examples), len(same), *(number(figure, 3) for figure in figures)])
    head = ["variant", "examples", "seeds", "correct class on top", "AUC"]
    return [table(head, rows), f"`{ablation['command']}`"]


def _band(group: tuple[str, Record]) -> tuple[int, str]:
    """Return the sort key: level bands by level, others by name."""
    low = group[0].split("..")[0]
    return int(low) if low.lstrip("-").isdigit() else 0, low
