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

ROOT = Path(__file__).resolve().parents[1]
PATH = "docs/benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"

AIM_RECALL, AIM_PRECISION, AIM_SPEED, AIM_MEMORY_MB, AIM_HELP = 0.95, 0.9, 60, 1500, 0.4
"""What the project wants: swapped labels found, at that precision; times real time on two cores; MB for three hours;
seconds of ``stemclean --help``."""

SPREAD = "median (least to greatest)"
KIND_NAMES = {"all": "all", "real": "recorded songs", "sung": "rendered songs with unseen singers"}
Record = dict[str, Any]


def render() -> str:
    """The page."""
    detection, speed = _read("detection"), _read("speed") or {}
    parts = [INTRO]
    parts += ["## Are wrong stems found?\n\n" + DATA]
    parts += detection_parts(detection) if detection else [missing("detection")]
    parts += ["## How fast, at what cost?\n\n" + SPEED]
    for name, section in SPEED_SECTIONS.items():
        parts.append(section(speed[name]) if name in speed else missing("speed", name))
    parts.append(CLAIMS)
    parts.append(REPEAT)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


INTRO = """
# Benchmarks

Every number on this page is written by a script in `benchmarks/` into a JSON file in `benchmarks/results/`, and put here
by `python -m benchmarks.page`. The [last section](#repeat-it) says how to repeat them.
"""

DATA = """
Songs that neither trained nor validated the weights are taken as the truth, known faults are planted in them
(`stemclean corrupt`), and it is counted what `stemclean refine` says of them (`stemclean eval labels`). A stem is *wrong*
where what it holds is not exactly what it claims. A wrong stem is *found* where the verdict is not `keep`.
"""

SPEED = """
All times are wall clock. They depend on the machine and on what else it does: compare them with each other, and take
the ratios, which were measured side by side, more seriously than the seconds.
"""

CLAIMS = """
## Which claim is measured how

| claim | measured by | on |
|---|---|---|
| wrong stems found, false alarms | `benchmarks.detection` | held-out songs, recorded and rendered; the spread is over the draws of faults, not over songs |
| the ranking (average precision, ROC AUC) | the same, by `1 - label_quality` | the same |
| unseen voices are recognised | `benchmarks.detection --singers` | MIR-1K, which trained nothing |
| faster than real time | `benchmarks.speed`, section `refine` | the recorded held-out songs, the verb from scan to manifest |
| where the time goes; the short cut's gain | sections `stages`, one thread, both ways interleaved | the same |
| the short cut does not change decisions | section `agreement`; on made sound also `tests/test_judge.py` | every held-out stem |
| memory does not grow with the file | section `memory`, peak resident size of a process of its own | one FLAC file of hours |
| the command starts at once | section `start`, pairs with an empty Python | |

What these numbers do not say: how the tool does on genres, languages and recording styles that are not among the few songs
here. [Plant faults in your own](index.md#does-it-work-on-my-music) to find out.
"""

REPEAT = """
## Repeat it

`MATERIAL` is the folder of public recordings that `benchmarks/training_set/README.md` describes. Seeds are fixed; scores can
differ in the last digits between machines.

```bash
python -m benchmarks.training_set MATERIAL SET
python -m benchmarks.heldout SET MATERIAL HELDOUT
python -m benchmarks.detection HELDOUT benchmarks/results/detection.json --seeds 5 --singers MATERIAL
python -m benchmarks.speed HELDOUT benchmarks/results/speed.json
python -m benchmarks.page
```

Both scripts take `--weights URI`; without it they measure the bundled ones.
"""


def detection_parts(result: Record) -> list[str]:
    """Everything about faults found."""
    parts = [
        about_weights(result["weights"]),
        data_part(result),
        found_part(result),
        bleeds_part(result),
        labels_part(result),
        clean_part(result),
    ]
    if result.get("singers"):
        parts.append(singers_part(result))
    parts.append(wrong_part(result))
    others = {path.stem.removeprefix("detection_"): path for path in sorted(RESULTS.glob("detection_*.json"))}
    if others:
        results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in others.items()}
        parts.append(others_part({"this page": result, **results}))
    return parts


def about_weights(weights: Record) -> str:
    """What judged."""
    backbone = weights["options"].get("backbone") or weights["architecture"]
    told = [f"`{backbone}`", f"{weights['parameters'] / 1e6:.1f} million parameters" if weights["parameters"] else ""]
    told += [f"recipe `{weights['recipe']}`" if weights["recipe"] else ""]
    told += [f"loss {weights['loss']}" if weights["loss"] else ""]
    told += [f"{weights['examples']:,} examples".replace(",", " ") if weights["examples"] else ""]
    told += ["scores calibrated" if weights["calibrated"] else "scores not calibrated"]
    return f"Weights: `{weights['uri']}` (SHA-256 `{weights['sha256'][:12]}…`): {', '.join(filter(None, told))}."


def data_part(result: Record) -> str:
    """The held-out songs."""
    config = result["config"]
    labels = list(result["data"]["all"]["by_class"])
    rows = [
        [
            KIND_NAMES[kind],
            data["songs"],
            data["stems"],
            f"{data['minutes']:.0f}",
            *(data["by_class"][label] for label in labels),
            "" if data["performers_in_training"] is None else data["performers_in_training"],
        ]
        for kind, data in result["data"].items()
    ]
    low, high = config["bleed_db"]
    return f"""### The data

{table(["", "songs", "stems", "minutes", *labels, "stems of a performer or sound font known from training"], rows)}

The recorded songs are few, and some are by artists of whom the training set has other songs. The rendered ones are new music
played by sound fonts that the training set knows, joined by singers that it does not; their melody is not the song's.
All are up to 150 and 60 s long.

Planted, {config["seeds"]} times with seeds 0 to {config["seeds"] - 1}: {config["mislabel"]:.0%} of the stems with swapped labels,
{config["bleed"]:.0%} with another stem of the song mixed in at {low:g} to {high:g} dB. Values are mean ± standard deviation over
these draws; counts are of all draws together. The spread says how much depends on which stems were hit, not how
much depends on the songs."""


def found_part(result: Record) -> str:
    """Precision, recall and the rest, both rules."""
    names = ("precision", "recall", "f1", "average_precision", "roc_auc")
    head = ["songs", "wrong stems", *(["precision", "recall", "F1", "average precision", "ROC AUC"])]
    text = "### Wrong stems found\n"
    for rule, about in result["rules"].items():
        rows = []
        for kind, rules in result["planted"].items():
            report = rules[rule]
            values = [mean_sd(report, f"detection/{name}") for name in names]
            rows.append([KIND_NAMES[kind], report["pooled"]["stems/wrong"], *values])
        text += f"\n{rule_name(rule, about)}:\n\n{table(head, rows)}\n"
    rows = []
    for kind, rules in result["planted"].items():
        for rule in result["rules"]:
            pooled = rules[rule]["pooled"]
            row = [KIND_NAMES[kind] if rule == "default" else "", rule]
            for fault in ("swapped", "bleed"):
                row += [counted(pooled, fault, "recall"), counted(pooled, fault, "labels_right")]
            rows.append([*row, counted(pooled, "none", "flagged")])
    head = [
        "songs",
        "rule",
        "swapped: found",
        "and rightly named",
        "bleeds: found",
        "and all classes named",
        "right stems flagged",
    ]
    text += f"\nBy fault, of all draws together:\n\n{table(head, rows)}\n"
    pooled = result["planted"]["all"]["default"]["pooled"]
    recall, precision = pooled.get("fault/swapped/recall"), pooled["detection/precision"]
    reached = (recall or 0) >= AIM_RECALL and (precision or 0) >= AIM_PRECISION
    text += (
        f"\nThe aim is to find at least {AIM_RECALL:.0%} of the swapped labels with a precision of at least "
        f"{AIM_PRECISION:.0%}: {'reached' if reached else 'not reached'} ({share(recall)} at {share(precision)})."
    )
    ranking = result["planted"]["all"]["default"]["ranking"]
    if ranking["recall"] is not None:
        text += (
            f" Whoever goes through the stems from the lowest label quality up, for as long as {ranking['precision_wanted']:.0%}"
            f" of them are wrong, meets {share(ranking['recall'])} of the wrong stems and {share(ranking['swapped_recall'])}"
            " of the swapped ones."
        )
    return text


def bleeds_part(result: Record) -> str:
    """Bleeds by level and class."""
    bleeds = result["planted"]["all"]["default"]["bleeds"]
    titles = {"level_db": "level against the stem, dB", "from": "what bleeds", "into": "into which stem"}
    text = "### Which bleeds are heard\n\nAll draws, all songs, default rule.\n"
    for name, title in titles.items():
        rows = [
            [
                group.replace("..", " to "),
                counts["num"],
                of(counts.get("flagged", 0), counts["num"]),
                of(counts.get("labels_right", 0), counts["num"]),
            ]
            for group, counts in bleeds[name].items()
        ]
        text += f"\n{table([title, 'bleeds', 'stem found', 'both classes named'], rows)}\n"
    return text


def labels_part(result: Record) -> str:
    """Per-class metrics, with the claims as the baseline."""
    metrics = ("accuracy", "precision", "recall", "f1")
    labels = [*result["data"]["all"]["by_class"], "average"]
    text = "### Classes\n\nWhat refine says each stem holds, against what it does hold. `claims` is the dataset before: what"
    text += " the labels are worth without any cleaning.\n"
    for kind, rules in result["planted"].items():
        report = rules["default"]
        rows = [[label, *(mean_sd(report, f"labels/{metric}/{label}") for metric in metrics)] for label in labels]
        rows.append(["paper's rule, average", *(mean_sd(rules["paper"], f"labels/{m}/average") for m in metrics)])
        rows.append(["claims, average", *(mean_sd(report, f"claims/{metric}/average") for metric in metrics)])
        name = KIND_NAMES[kind]
        text += f"\n{name[0].upper() + name[1:]}; stems whose whole set of classes is right: "
        text += f"{mean_sd(report, 'labels/exact_match')}, before {mean_sd(report, 'claims/exact_match')}.\n"
        text += f"\n{table(['class', 'accuracy', 'precision', 'recall', 'F1'], rows)}\n"
    return text


def clean_part(result: Record) -> str:
    """False alarms without faults."""
    labels = list(result["data"]["all"]["by_class"])
    rows = []
    for kind, rules in result["clean"].items():
        for rule, report in rules.items():
            by_class = [report["by_class"][label] for label in labels]
            rows.append(
                [
                    KIND_NAMES[kind] if rule == "default" else "",
                    rule,
                    of(report["false_alarms"], report["stems"]),
                    *(of(counts["false_alarms"], counts["stems"]) for counts in by_class),
                ]
            )
    return f"""### Nothing planted

Stems of the clean songs that are flagged all the same:

{table(["songs", "rule", "all", *labels], rows)}"""


def singers_part(result: Record) -> str:
    """MIR-1K."""
    singers, rule = result["singers"], result["rules"]["default"]
    num = singers["singers"]
    names = {"voice": "the voice alone", "accompaniment": "the accompaniment alone", "both": "both, as recorded"}
    rows = [
        [
            title,
            of(singers["vocals_found"][kind]["threshold"], num),
            of(singers["vocals_found"][kind]["claimed_threshold"], num),
            f"{min(values):.2f} / {sorted(values)[len(values) // 2]:.2f} / {max(values):.2f}",
        ]
        for kind, title in names.items()
        for values in [[scores[kind] for scores in singers["scores"].values()]]
    ]
    head = ["sound", f"vocals above {rule['threshold']:g}", f"above {rule['claimed_threshold']:g}, as if claimed"]
    return f"""### Unseen singers

MIR-1K: {num} amateurs who sing Chinese pop, 16 kHz, {singers["clips"]} clips each, joined to one recording a singer. What the weights
say of the class vocals; in the accompaniment there is none.

{table([*head, "score: least / middle / greatest"], rows)}"""


def wrong_part(result: Record) -> str:
    """The errors themselves."""
    return f"""### What goes wrong

Stems of the clean songs that are flagged (default rule):

{cases(result["false_alarms"])}

Swapped stems that were not found, in all draws:

{cases(result["missed_swaps"])}"""


def others_part(results: dict[str, Record]) -> str:
    """Other weights on the same songs."""
    rows = []
    for name, result in results.items():
        report = result["planted"]["all"]["default"]
        singers = result.get("singers")
        heard = of(singers["vocals_found"]["voice"]["threshold"], singers["singers"]) if singers else ""
        rows.append(
            [
                name,
                mean_sd(report, "fault/swapped/recall"),
                *(mean_sd(report, f"detection/{key}") for key in ("precision", "recall", "f1", "average_precision")),
                mean_sd(report, "labels/accuracy/average"),
                heard,
            ]
        )
    head = [
        "weights",
        "swapped found",
        "precision",
        "recall",
        "F1",
        "average precision",
        "accuracy",
        "unseen voices found",
    ]
    return f"### Other weights\n\nThe same songs and rules, all songs.\n\n{table(head, rows)}"


def refine_part(result: Record) -> str:
    """The verb."""
    speed = result["times_real_time"]
    reached = "reached" if speed["median"] >= AIM_SPEED else "not reached"
    return f"""### refine

{machine(result)}

{result["stems"]} stems, {result["audio_minutes"]:.0f} minutes of audio, {result["workers"]} cores, {
        speed["num"]
    } runs; from the scan
to the manifest, with borderline stems judged twice, without the start of Python. {SPREAD}:

{
        table(
            ["", SPREAD],
            [
                ["times real time", spread(speed)],
                ["seconds", spread(result["seconds"])],
                ["of these the scan, with checksums", spread(result["scan_seconds"])],
            ],
        )
    }

The aim is {AIM_SPEED} times real time on two cores: {reached}."""


def stages_part(result: Record) -> str:
    """Where the time goes."""
    ways = {"trunk": "trunk once (what refine does)", "plain": "plain windows (`--windows`)"}
    per_hour = result["seconds_per_hour"]
    rows = [[stage, *(spread(per_hour[way][stage]) for way in ways)] for stage in per_hour["trunk"]]
    rows.append(["times real time, all stages", *(spread(result["times_real_time"][way]) for way in ways)])
    return f"""### Stages, and the short cut

{machine(result)}

The network's trunk is run once over the whole recording and pooled per window, instead of once for each of the windows,
which overlap by three quarters. Seconds for an hour of audio on one thread, {result["network_speed_up"]["num"]} runs over
{result["stems"]} stems ({result["audio_minutes"]:.0f} minutes), both ways interleaved; {SPREAD}:

{table(["stage", *ways.values()], rows)}

The network is {spread(result["network_speed_up"])} times as fast, the whole {spread(result["whole_speed_up"])} times."""


def agreement_part(result: Record) -> str:
    """Both ways say the same."""
    rows = [[rule, flips["trunk"], flips["refine"], result["decisions"]] for rule, flips in result["flips"].items()]
    return f"""### Does the short cut say the same?

A stem's scores with the trunk run once differ from those by plain windows by {result["mean_difference"]:.4f} in the mean and
{result["max_difference"]:.4f} at most ({result["stems"]} stems). Stems with a score within {result["margin"]:g} of a threshold are therefore
judged again by plain windows: {of(result["judged_again"], result["stems"])}. Decisions (stem and class) that differ from plain windows:

{table(["rule", "trunk once", "after judging again: refine", "of"], rows)}"""


def memory_part(result: Record) -> str:
    """Peak memory."""
    rows = [
        [
            f"{result[name]['minutes']:g} min",
            f"{result[name]['peak_mb']:,} MB".replace(",", " "),
            result[name]["seconds"],
        ]
        for name in ("short", "long")
    ]
    reached = "reached" if result["long"]["peak_mb"] < AIM_MEMORY_MB else "not reached"
    return f"""### Memory

{machine(result)}

Peak resident memory of `stemclean refine` on one stem ({result["format"].upper()}, {result["stem_sample_rate"]} Hz,
{result["stem_channels"]} channels), the long one being the short one repeated. Python, torch and the weights are in it. A
dataset of many files takes more, since one file a core is judged at a time.

{table(["length", "peak", "seconds, start included"], rows)}

The aim is less than {AIM_MEMORY_MB} MB: {reached}."""


def start_part(result: Record) -> str:
    """Start-up."""
    rows = [
        [f"`{name}`", spread(result["seconds"][name]), spread(result["times_empty_python"][name])]
        for name in result["seconds"]
    ]
    seconds = result["seconds"]["stemclean --help"]["median"]
    return f"""### Start

{machine(result)}

{result["runs"]} runs each, in turn; {SPREAD}.

{table(["command", "seconds", "times an empty Python"], rows)}

The aim for `--help` is less than {AIM_HELP} s: {"reached" if seconds < AIM_HELP else "not reached"}."""


SPEED_SECTIONS = {
    "refine": refine_part,
    "stages": stages_part,
    "agreement": agreement_part,
    "memory": memory_part,
    "start": start_part,
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
    weights = result["weights"]
    return (
        f"*{where['cores']} cores ({where['architecture']}, {where['system']}), Python {where['python']}, torch {where['torch']}; "
        f"load average before: {where['load_before'][0]:g}; weights `{weights['uri']}` (`{weights['sha256'][:12]}…`).*"
    )


def missing(script: str, section: str = "") -> str:
    """What stands where nothing was measured."""
    return f"{f'### {section}' if section else ''}\n\nNot measured yet: `python -m benchmarks.{script}`.".strip()


def _read(name: str) -> Record | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


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
        print(f"wrote {PATH}")


if __name__ == "__main__":
    main()
