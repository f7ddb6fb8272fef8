"""``docs/benchmarks.md`` from ``benchmarks/results/*.json``.

    python -m benchmarks.page            # write
    python -m benchmarks.page --check    # exit with 1 where the page is stale

The words stand here, the numbers in the results; a section whose result is missing says so. ``detection.json`` and
``speed.json`` are of the bundled weights; any ``detection_NAME.json`` becomes a line of the comparison.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import page_self_refining, page_separation
from benchmarks.self_refining import plots

ROOT = Path(__file__).resolve().parents[1]
PATH = "docs/benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"

AIM_RECALL, AIM_PRECISION, AIM_SPEED = 0.95, 0.9, 60
AIM_MEMORY_MB, AIM_MEMORY_HOURS, AIM_HELP = 1500, 3.0, 0.4
"""What the project wants: swapped labels found, at that precision; times real time on two cores; peak memory on a file
so long; seconds of ``stemclean --help``."""

SPREAD = "median (least to greatest)"
KIND_NAMES = {"all": "all", "real": "real songs", "sung": "rendered songs with unseen singers"}
Record = dict[str, Any]


def _ablation_table(ablation: Record) -> str:
    """One line per variant and number of examples; the seeds' mean."""
    runs: dict[tuple[str, int], list[Record]] = {}
    for run in ablation["runs"]:
        runs.setdefault((run["variant"], run["examples"]), []).append(run)
    lines = ["| variant | examples | seeds | right class first | AUC |", "|---|---|---|---|---|"]
    for (variant, examples), same in runs.items():
        figures = [sum(run[key] for run in same) / len(same) for key in ("argmax_accuracy", "auc/average")]
        lines.append(f"| {variant} | {examples} | {len(same)} | {figures[0]:.3f} | {figures[1]:.3f} |")
    return "\n".join([*lines, "", f"`{ablation['command']}`"])


def render() -> str:
    """The page."""
    from benchmarks import (
        page_crosstalk,
        page_eval,
        page_levels,
        page_majl,
        page_memory,
        page_noise,
        page_robustness,
    )  # they take its tables

    detection, speed = _read("detection"), _read("speed")
    parts = [INTRO, "## Are wrong stems found?", DATA]
    parts += detection_parts(detection) if detection else ["Not measured yet: `python -m benchmarks.detection`."]
    ablation = _read("ablation")
    if ablation:
        parts += ["## What does each choice bring?", ABLATION, _ablation_table(ablation)]
    parts += page_levels.parts(_read)
    parts += page_crosstalk.parts(_read)
    parts += page_noise.parts(_read)
    parts += page_self_refining.parts()
    parts += page_majl.parts()
    parts += page_separation.parts()
    parts += ["## How fast, at what cost?", SPEED]
    for name, section in SPEED_SECTIONS.items():
        parts += (
            section(speed[name])
            if name in speed
            else [f"Not measured yet: `python -m benchmarks.speed --only {name}`."]
        )
    parts += page_memory.parts(_read)
    parts += page_eval.parts(_read)
    parts += page_robustness.parts(_read)
    return "\n\n".join(part.strip("\n") for part in [*parts, CLAIMS, REPEAT]) + "\n"


INTRO = """
# Benchmarks

Every number on this page is written by a script in `benchmarks/` into a JSON file in `benchmarks/results/`, and put
here by `python -m benchmarks.page`. The [last section](#repeat-it) says how to repeat them. `refine` stands for the
classifier alone (`--no-crosstalk`), but for what [measuring bleed](#what-does-measuring-bleed-bring) brings.
"""

DATA = """
Songs that neither trained nor validated the weights are taken as the truth, known faults are planted in them
(`stemclean corrupt`), and it is counted what `stemclean refine` says of them (`stemclean eval labels`). A stem is
*wrong* where what it holds is not exactly what it claims. A wrong stem is *found* where the verdict is not `keep`.
"""

ABLATION = """
One choice of the recipe `atto` changed at a time, all else alike: the same number of examples, drawn from the same
training set, which is far fewer than the bundled weights have seen. Measured on the clean held-out stems: how often the
class with the highest score is the right one, and the ROC AUC of the mean score, averaged over classes. A larger
network learns more slowly, so that so few examples say who starts fastest, not who ends best; and the robust losses
(L1, generalised cross-entropy) are meant for wrong labels, of which there are none here.
"""

SPEED = """
All times are wall clock. They depend on the machine and on what else it does: compare them with each other, and take
the ratios, which were measured side by side, more seriously than the seconds. What crosstalk costs
stands [above](#what-it-costs).
"""

CLAIMS = """
## Which claim is measured how

| claim | measured by | on |
| --- | --- | --- |
| wrong stems found, false alarms | `benchmarks.detection` | held-out songs; the spread is over draws of faults |
| the ranking (average precision, ROC AUC) | the same, by `1 - label_quality` | the same |
| bleed between stems of a song is measured | `benchmarks.crosstalk` | held-out songs, planted: the best case |
| separators gain from refined labels | `benchmarks.separation` | held-out songs; the spread is over trainings |
| unseen voices are recognised | `benchmarks.detection --singers` | MIR-1K, in no training set |
| faster than real time | `benchmarks.speed`, `refine` | real held-out songs, from scan to manifest |
| where the time goes; the short cut's gain | `stages`: one thread, both ways interleaved | the same |
| the short cut says what plain windows say | `agreement` | every held-out stem |
| memory on long files | `memory`: peak resident size of a process of its own | one long FLAC file |
| the command starts at once | `start`: in turn with an empty Python | |

What these numbers do not say: how the tool does on genres, languages and recording styles that are not among the few
songs here. [Plant faults in your own](index.md#does-it-work-on-my-music) to find out.
"""

REPEAT = """
## Repeat it

`MATERIAL` is the folder of public recordings that `benchmarks/training_set/README.md` describes. Seeds are fixed;
scores can differ in the last digits between machines.

```bash
python -m benchmarks.training_set MATERIAL SET
python -m benchmarks.heldout SET MATERIAL HELDOUT
python -m benchmarks.detection HELDOUT benchmarks/results/detection.json --seeds 5 --singers MATERIAL
python -m benchmarks.noise_estimate HELDOUT benchmarks/results/noise_estimate.json
python -m benchmarks.ranking HELDOUT benchmarks/results/ranking.json
python -m benchmarks.crosstalk HELDOUT benchmarks/results/crosstalk.json
python -m benchmarks.speed HELDOUT benchmarks/results/speed.json
python -m benchmarks.eval_speed HELDOUT benchmarks/results/eval_speed.json
python -m benchmarks.majl MIR1K benchmarks/results/majl.json --seeds 3
python -m benchmarks.page
```

Both measuring scripts take `--weights URI`; without it they measure the bundled ones.
"""


def detection_parts(result: Record) -> list[str]:
    """Everything about faults found."""
    parts = [about_weights(result["weights"])]
    parts += data_parts(result)
    parts += found_parts(result)
    parts += bleed_parts(result)
    parts += label_parts(result)
    parts += clean_parts(result)
    parts += singer_parts(result) if result.get("singers") else []
    parts += wrong_parts(result)
    others = {path.stem.removeprefix("detection_"): _load(path) for path in sorted(RESULTS.glob("detection_*.json"))}
    parts += other_parts({"this page": result, **others}) if others else []
    return parts


def about_weights(weights: Record) -> str:
    """What judged."""
    told = [f"`{weights['options'].get('backbone') or weights['architecture']}`"]
    told += [f"{weights['parameters'] / 1e6:.1f} million parameters"] if weights["parameters"] else []
    told += [f"recipe `{weights['recipe']}`"] if weights["recipe"] else []
    told += [f"loss `{weights['loss']}`"] if weights["loss"] else []
    told += [f"{thousands(weights['examples'])} examples"] if weights["examples"] else []
    told += ["scores calibrated" if weights["calibrated"] else "scores not calibrated"]
    return f"Weights: {name_of(weights)}: {', '.join(told)}."


def data_parts(result: Record) -> list[str]:
    """The held-out songs, and what is planted."""
    config, labels = result["config"], result["labels"]
    head = ["", "songs", "stems", "minutes", *labels, "stems of a performer or sound font that trained"]
    rows = []
    for kind, data in result["data"].items():
        by_class = [data["by_class"][label] for label in labels]
        known = data["performers_in_training"]
        rows.append([KIND_NAMES[kind], data["songs"], data["stems"], f"{data['minutes']:.0f}", *by_class, dash(known)])
    low, high = config["bleed_db"]
    mislabel, bleed = share(config["mislabel"]), share(config["bleed"])
    return [
        "### The data",
        table(head, rows),
        f"""
The real songs are few, and some are by artists of whom the training set has other songs. The rendered ones are new
music, played by sound fonts that the training set knows, with singers that it does not; what they sing is another tune.

Planted, {config["seeds"]} times, with seeds from 0 on: {mislabel} of the stems with swapped labels, {bleed} with
another stem of the song mixed in, at {low:g} to {high:g} dB against the stem. Values are mean ± standard deviation over
these draws; counts are of all draws together. The spread says how much depends on which stems were hit, not how much
depends on the songs.""",
    ]


def found_parts(result: Record) -> list[str]:
    """Precision, recall and the rest, both rules."""
    parts = ["### Wrong stems found"]
    names = ("precision", "recall", "f1", "average_precision", "roc_auc")
    head = ["songs", "wrong stems", "precision", "recall", "F1", "average precision", "ROC AUC"]
    for rule, about in result["rules"].items():
        rows = []
        for kind, rules in result["planted"].items():
            values = [mean_sd(rules[rule], f"detection/{name}") for name in names]
            rows.append([KIND_NAMES[kind], rules[rule]["pooled"]["stems/wrong"], *values])
        parts += [f"{rule_name(rule, about)}:", table(head, rows)]
    head = [
        "songs",
        "rule",
        "swapped: found",
        "rightly named",
        "bleeds: found",
        "all classes named",
        "right stems flagged",
    ]
    rows = []
    for kind, rules in result["planted"].items():
        for rule in result["rules"]:
            pooled = rules[rule]["pooled"]
            faults = [counted(pooled, f, what) for f in ("swapped", "bleed") for what in ("recall", "labels_right")]
            rows.append([KIND_NAMES[kind], f"`{rule}`", *faults, counted(pooled, "none", "flagged")])
    parts += ["By fault, all draws together:", table(head, rows)]
    report = result["planted"]["all"]["default"]
    recall, precision = report["pooled"].get("fault/swapped/recall"), report["pooled"]["detection/precision"]
    aim = verdict((recall or 0) >= AIM_RECALL and (precision or 0) >= AIM_PRECISION)
    told = f"The aim is to find at least {share(AIM_RECALL)} of the swapped labels with a precision of at least "
    told += f"{share(AIM_PRECISION)}: {aim} ({share(recall)} at {share(precision)})."
    ranking = report["ranking"]
    if ranking["recall"] is not None:
        told += " Whoever goes through the stems from the lowest label quality up, for as long as "
        told += (
            f"{share(ranking['precision_wanted'])} of them are wrong, meets {share(ranking['recall'])} of the wrong "
        )
        told += f"stems and {share(ranking['swapped_recall'])} of the swapped ones."
    return [*parts, told]


def bleed_parts(result: Record) -> list[str]:
    """Bleeds by level and class."""
    parts = ["### Which bleeds are heard", "All draws, all songs, rule `default`."]
    titles = {"level_db": "level against the stem, dB", "from": "what bleeds", "into": "into which stem"}
    for name, title in titles.items():
        rows = []
        for group, counts in sorted(result["planted"]["all"]["default"]["bleeds"][name].items(), key=_band):
            num = counts["num"]
            shares = [of(counts.get(what, 0), num) for what in ("flagged", "labels_right")]
            rows.append([group.replace("..", " to "), num, *shares])
        parts.append(table([title, "bleeds", "stem found", "both classes named"], rows))
    return parts


def label_parts(result: Record) -> list[str]:
    """Per-class metrics, with the claims as the baseline."""
    metrics = ("accuracy", "precision", "recall", "f1")
    parts = [
        "### Classes",
        """
What refine says each stem holds, against what it does hold. *Claims* are what the dataset says: what its labels are
worth without any cleaning.""",
    ]
    for kind, rules in result["planted"].items():
        report, paper = rules["default"], rules["paper"]
        rows = [[label, *(mean_sd(report, f"labels/{m}/{label}") for m in metrics)] for label in result["labels"]]
        rows.append(["average", *(mean_sd(report, f"labels/{m}/average") for m in metrics)])
        rows.append(["average by rule `paper`", *(mean_sd(paper, f"labels/{m}/average") for m in metrics)])
        rows.append(["average of the claims", *(mean_sd(report, f"claims/{m}/average") for m in metrics)])
        right, before = mean_sd(report, "labels/exact_match"), mean_sd(report, "claims/exact_match")
        name = KIND_NAMES[kind]
        parts.append(
            f"{name[0].upper()}{name[1:]}; stems whose whole set of classes is right: {right}, claims {before}."
        )
        parts.append(table(["class", "accuracy", "precision", "recall", "F1"], rows))
    return parts


def clean_parts(result: Record) -> list[str]:
    """False alarms without faults."""
    rows = []
    for kind, rules in result["clean"].items():
        for rule, report in rules.items():
            groups = [report, *(report["by_class"][label] for label in result["labels"])]
            rows.append(
                [KIND_NAMES[kind], f"`{rule}`", *(of(group["false_alarms"], group["stems"]) for group in groups)]
            )
    return [
        "### Nothing planted",
        "Stems of the clean songs that are flagged all the same:",
        table(["songs", "rule", "all", *result["labels"]], rows),
    ]


def singer_parts(result: Record) -> list[str]:
    """MIR-1K."""
    singers, rule = result["singers"], result["rules"]["default"]
    names = {"voice": "the voice alone", "accompaniment": "the accompaniment alone", "both": "both, as recorded"}
    rows = []
    for kind, title in names.items():
        found = singers["vocals_found"][kind]
        counts = [of(found[limit], singers["singers"]) for limit in ("threshold", "claimed_threshold")]
        values = sorted(scores[kind] for scores in singers["scores"].values())
        rows.append([title, *counts, f"{values[0]:.2f} / {values[len(values) // 2]:.2f} / {values[-1]:.2f}"])
    limits = [f"vocals above {rule[limit]:g}" for limit in ("threshold", "claimed_threshold")]
    return [
        "### Unseen singers",
        f"""
MIR-1K: {singers["singers"]} amateurs who sing karaoke songs, 16 kHz, up to {singers["clips"]} clips each, joined to one
recording a singer. What the weights say of the class vocals, of which the accompaniment should hold none.""",
        table(["sound", *limits, "score: least / middle / greatest"], rows),
    ]


def wrong_parts(result: Record) -> list[str]:
    """The errors themselves."""
    return [
        "### What goes wrong",
        "Stems of the clean songs that are flagged (rule `default`):",
        cases(result["false_alarms"]),
        "Swapped stems that were not found, in all draws:",
        cases(result["missed_swaps"]),
    ]


def other_parts(results: dict[str, Record]) -> list[str]:
    """Other weights on the same songs."""
    head = ["weights", "swapped found", "precision", "recall", "F1", "average precision", "accuracy", "unseen voices"]
    rows = []
    for name, result in results.items():
        report, singers = result["planted"]["all"]["default"], result.get("singers")
        heard = of(singers["vocals_found"]["voice"]["threshold"], singers["singers"]) if singers else "–"
        values = [mean_sd(report, f"detection/{key}") for key in ("precision", "recall", "f1", "average_precision")]
        accuracy = mean_sd(report, "labels/accuracy/average")
        rows.append([name, mean_sd(report, "fault/swapped/recall"), *values, accuracy, heard])
    return ["### Other weights", "The same faults in the same songs, rule `default`.", table(head, rows)]


def refine_parts(result: Record) -> list[str]:
    """The verb."""
    speed, minutes = result["times_real_time"], result["audio_minutes"]
    rows = [
        ["times real time", spread(speed)],
        ["seconds", spread(result["seconds"])],
        ["of these the scan, with checksums", spread(result["scan_seconds"])],
    ]
    return [
        "### refine",
        machine(result),
        f"""
{result["stems"]} stems, {minutes:.0f} minutes of audio, {speed["num"]} runs on {result["workers"]} cores; from the scan
to the manifest, borderline stems judged twice, without the start of Python.""",
        table(["", SPREAD], rows),
        f"The aim is {AIM_SPEED} times real time on two cores: {verdict(speed['median'] >= AIM_SPEED)}.",
    ]


def stages_parts(result: Record) -> list[str]:
    """Where the time goes."""
    ways = {"trunk": "trunk once (what refine does)", "plain": "plain windows (`--windows`)"}
    per_hour, network, whole = result["seconds_per_hour"], result["network_speed_up"], result["whole_speed_up"]
    rows = [[stage, *(spread(per_hour[way][stage]) for way in ways)] for stage in result["stages"]]
    rows.append(["times real time, all stages", *(spread(result["times_real_time"][way]) for way in ways)])
    return [
        "### Stages, and the short cut",
        machine(result),
        f"""
The network's trunk is run once over the whole recording and pooled per window, instead of once for each of the windows,
which overlap by three quarters. Seconds for an hour of audio on one thread; {network["num"]} runs over
{result["stems"]} stems ({result["audio_minutes"]:.0f} minutes), both ways interleaved; {SPREAD}.""",
        table(["stage", *ways.values()], rows),
        f"Spectrogram and network are {spread(network)} times as fast, all stages together {spread(whole)} times.",
    ]


def agreement_parts(result: Record) -> list[str]:
    """Both ways say the same."""
    mean, most = result["mean_difference"], result["max_difference"]
    again = of(result["judged_again"], result["stems"])
    rows = [[f"`{r}`", flips["trunk"], flips["refine"], result["decisions"]] for r, flips in result["flips"].items()]
    return [
        "### Does the short cut say the same?",
        f"""
Scores of a stem with the trunk run once differ from those by plain windows by {mean:.4f} in the mean and {most:.4f} at
most ({result["stems"]} stems). Stems with a score within {result["margin"]:g} logits of its threshold are therefore
judged again by plain windows: {again}. Decisions (stem and class) that differ from those by plain windows:""",
        table(["rule", "trunk once", "after judging again: refine", "of"], rows),
    ]


def memory_parts(result: Record) -> list[str]:
    """Peak memory."""
    rows = []
    for name in ("short", "long"):
        run = result[name]
        rows.append([f"{run['minutes']:g} min", f"{thousands(run['peak_mb'])} MB", f"{run['seconds']:.0f}"])
    told = f"The aim is less than {thousands(AIM_MEMORY_MB)} MB for {AIM_MEMORY_HOURS:g} hours: "
    short = result["long"]["minutes"] < AIM_MEMORY_HOURS * 60
    told += "not measured." if short else f"{verdict(result['long']['peak_mb'] < AIM_MEMORY_MB)}."
    return [
        "### Memory",
        machine(result),
        f"""
Peak resident memory of `stemclean refine` on one stem ({result["format"]}, {result["stem_sample_rate"]} Hz,
{result["stem_channels"]} channels), the long one being the short one repeated. Python, torch and the weights are in it.
A dataset of many files takes more, since one file a core is judged at a time.""",
        table(["length", "peak", "seconds, start included"], rows),
        told,
    ]


def start_parts(result: Record) -> list[str]:
    """Start-up."""
    seconds, ratios = result["seconds"], result["times_empty_python"]
    names = sorted(seconds, key=lambda name: float(seconds[name]["median"]))
    rows = [[f"`{name}`", spread(seconds[name]), spread(ratios[name])] for name in names]
    return [
        "### Start",
        machine(result),
        f"{result['runs']} runs each, in turn; {SPREAD}.",
        table(["command", "seconds", "times an empty Python"], rows),
        f"The aim for `--help` is less than {AIM_HELP} s: {verdict(seconds['stemclean --help']['median'] < AIM_HELP)}.",
    ]


SPEED_SECTIONS = {
    "refine": refine_parts,
    "stages": stages_parts,
    "agreement": agreement_parts,
    "memory": memory_parts,
    "start": start_parts,
}


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def mean_sd(report: Record, key: str) -> str:
    """``0.93 ± 0.02``."""
    mean, sd = report["mean"].get(key), report["sd"].get(key)
    return "–" if mean is None else f"{mean:.2f}" + ("" if sd is None else f" ± {sd:.2f}")


def counted(pooled: Record, fault: str, what: str) -> str:
    """A share of the stems with a fault, with the counts."""
    num, value = pooled.get(f"fault/{fault}/num", 0), pooled.get(f"fault/{fault}/{what}")
    return "–" if value is None else of(round(value * num), num)


def of(part: int, whole: int) -> str:
    """``3 of 4 (75 %)``."""
    return f"{part} of {whole} ({part / whole:.0%})".replace("%", " %") if whole else "–"


def share(value: float | None) -> str:
    """``93 %``; one decimal where it would round to all."""
    if value is None:
        return "–"
    return f"{value * 100:.1f} %" if 0.99 <= value < 1 else f"{value * 100:.0f} %"


def spread(values: Record) -> str:
    """``3.9 (3.6 to 4.2)``."""
    return f"{values['median']:.3g} ({values['min']:.3g} to {values['max']:.3g})"


def cases(found: Sequence[Record]) -> str:
    """Wrong verdicts, stem by stem."""
    if not found:
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
        for case in found
    ]
    return table(["stem", "claims", "holds", "found", "scores", "times"], rows)


def rule_name(rule: str, about: Record) -> str:
    """A rule in words."""
    threshold, claimed = about["threshold"], about["claimed_threshold"]
    if threshold == claimed:
        return f"Rule `{rule}`, to the letter: a class is present above {threshold:g}, whatever is claimed"
    return f"Rule `{rule}`: a class is present above {threshold:g}, the claimed one above {claimed:g}"


def machine(result: Record) -> str:
    """Where a section was measured, and with what."""
    where = result["machine"]
    told = f"{where['cores']} cores ({where['architecture']}, {where['system']}), Python {where['python']}, "
    told += f"torch {where['torch']}; load average before: {where['load_before'][0]:g}"
    return f"*{told}; weights {name_of(result['weights'])}.*"


def name_of(weights: Record) -> str:
    """Weights by URI and hash."""
    return f"`{weights['uri']}` (SHA-256 `{weights['sha256'][:12]}…`)"


def verdict(reached: bool) -> str:
    """Whether an aim is."""
    return "reached" if reached else "**not reached**"


def thousands(value: float) -> str:
    """``12 000``."""
    return f"{value:,.0f}".replace(",", " ")


def dash(value: Any) -> Any:
    """A dash for what is unknown."""
    return "–" if value is None else value


def _band(group: tuple[str, Record]) -> tuple[int, str]:
    """Level bands by level, the rest by name."""
    low = group[0].split("..")[0]
    return int(low) if low.lstrip("-").isdigit() else 0, low


def _load(path: Path) -> Record:
    result: Record = json.loads(path.read_text(encoding="utf-8"))
    return result


def _read(name: str) -> Record:
    """A result, empty where there is none."""
    path = RESULTS / f"{name}.json"
    return _load(path) if path.exists() else {}


def main() -> None:
    """Command line."""
    path, text = ROOT / PATH, render()
    if sys.argv[1:] == ["--check"]:
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{PATH} is stale; run: python -m benchmarks.page")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        path.write_text(text, encoding="utf-8")
        plots.draw(page_self_refining.RESULT)
        page_separation.draw()
        print(f"wrote {PATH}")


if __name__ == "__main__":
    main()
