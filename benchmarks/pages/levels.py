"""How loud is the bleed, and when does it sound? Levels and regions by the classifier, on planted bleed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.pages.tables import (
    KIND_NAMES,
    Read,
    Record,
    deviation,
    mean_sd,
    name_of,
    number,
    of,
    percent,
    share,
    table,
    unmeasured,
    verdict,
)

PATH = "docs/benchmarks/levels.md"
QUESTION = "How loud is the bleed, and when does it sound?"
OTHERS = ("levels_v4",)
"""Results of other weights, whose levels stand beside those of the default."""
GOAL_LEVEL_DB = 3.0
"""Largest acceptable mean absolute error of a level, from -25 to 0 dB."""
DRAWS = 2000
"""Number of resamples of the songs, for the confidence interval."""

INTRO = """
Here levels are predicted by the classifier's level head, which does not see the other stems of the song
(`--no-crosstalk`). If those are in the dataset, `refine` [measures the level](crosstalk.md) instead.
"""
PAIRS = """
By the class that bleeds (rows) and the class of the stem (columns): mean absolute error of the level head, its bias,
and in brackets the number of stems.
"""
LEVEL_HEAD = [
    "songs",
    "stems",
    "found",
    "error of refine",
    "bias",
    "error of a constant",
    "error of the level head",
    "bias of the level head",
    "error of a constant, all stems",
]
"""Columns of the tables of levels."""


def answer(read: Read) -> list[str]:
    """Errors of the levels by both weights, against a constant."""
    results = [result for result in map(read, ("levels", *OTHERS)) if result]
    if not results:
        return [unmeasured("levels")]
    rows = []
    for result in results:
        every = result["all"]
        share_found = of(every["found"], every["bleeds"])
        weights = f"`{result['weights']['uri']}`"
        rows.append([weights, share_found, *(number(every[key]) for key in ("head_error_db", "head_mean_error_db"))])
    met = min(result["all"]["head_error_db"] for result in results) <= GOAL_LEVEL_DB
    verbs = [_verb(*gain_over_a_constant(_sorted(result)[2])[1:]) for result in results]
    beats = "; ".join(f"`{result['weights']['uri']}` {verb} it" for result, verb in zip(results, verbs, strict=True))
    timed = read("regions")
    borders = timed["bleeds"]["all"] if timed else None
    times = (
        f" Of the passages with bleed, {percent(borders['found'] / borders['stretches'])} are found, with a median "
        f"error of {number(borders['border'], 2)} s at their borders."
        if borders
        else ""
    )
    return [
        table(["weights", "bleed found", "error of the level, dB", "error of a constant, dB"], rows),
        f"""
Levels from the classifier alone, without the other stems of the song. *A constant* always answers with the mean level:
{beats}. Goal: a mean absolute error of {GOAL_LEVEL_DB:g} dB: {verdict(met)}.{times}""",
    ]


def parts(read: Read) -> list[str]:
    """Return the page."""
    result, others, timed = read("levels"), [read(name) for name in OTHERS], read("regions")
    return [
        f"# {QUESTION}",
        INTRO,
        "## How loud is the bleed?",
        *(level_parts(result) if result else [unmeasured("levels")]),
        *(part for other in others if result and other for part in other_parts(other)),
        "## When does it sound?",
        *(region_parts(timed) if timed else [unmeasured("regions")]),
    ]


def level_parts(result: Record) -> list[str]:
    """Errors of the levels, by songs, level, class and pair of classes."""
    config, every = result["config"], result["all"]
    low, high = config["bleed_db"]
    reached = every["error_db"] is not None and every["error_db"] <= GOAL_LEVEL_DB
    groups, bands, inside = _sorted(result)
    limits = sorted(result["limits"].items(), key=lambda item: float(item[0]))
    return [
        f"Weights: {name_of(result['weights'])}.",
        f"""
Bleed is planted in {share(config["bleed"])} of the held-out stems, {config["seeds"]} times, at {low:g} to {high:g} dB
relative to the stem while both sound. The level compared is that over the whole stem, pauses included: the power of the
bleed relative to the power of the class it bleeds into. *refine* gives a level for each class that it finds; the *level
head* was asked about all bleed, found or not. Errors are mean absolute errors in dB. *A constant* always answers with
the mean level of the same stems.""",
        table(LEVEL_HEAD, [_level_row(name, errors) for name, errors in groups.items()]),
        f"""
Goal: {GOAL_LEVEL_DB:g} dB from -25 to 0 dB: {verdict(reached)} ({number(every["error_db"])} dB; level head on all
bleed: {number(every["head_error_db"])} dB). {against_a_constant(inside)}""",
        "By level, in dB; *softer* and *louder* are outside the range above:",
        table(["level", *LEVEL_HEAD[1:]], [_level_row(_band(name), errors) for name, errors in bands]),
        "By the class that bleeds:",
        table(
            ["class", *LEVEL_HEAD[1:]], [_level_row(name, result["label"][name]) for name in sorted(result["label"])]
        ),
        PAIRS,
        pair_table(inside),
        """
What `--max-bleed-db` would decide about these stems. A stem is kept if the level of its bleed is predicted below the
limit, or if no bleed is found.""",
        table(
            ["limit, dB", "softer bleed: stem kept", "louder bleed: stem flagged"],
            [
                [limit, of(counts["softer_kept"], counts["softer"]), of(counts["louder_flagged"], counts["louder"])]
                for limit, counts in limits
            ],
        ),
    ]


def against_a_constant(bleeds: Sequence[Record]) -> str:
    """Say whether predicted levels beat their mean, with the gain and its 95 % interval."""
    gain, low, high = gain_over_a_constant(bleeds)
    errors = [abs(bleed["head_db"] - bleed["true_db"]) for bleed in bleeds]
    return (
        f"On all bleed, the level head {_verb(low, high)} a constant (gain {gain:.2f} dB, 95 % interval {low:.2f} to "
        f"{high:.2f}, bootstrap over songs). The median of its absolute errors is {np.median(errors):.1f} dB."
    )


def gain_over_a_constant(bleeds: Sequence[Record]) -> tuple[float, float, float]:
    """By how many dB predicted levels beat their mean, with a 95 % interval: songs, and the mean, drawn again."""
    songs = sorted({bleed["track"] for bleed in bleeds})
    by_song = [np.array([(b["head_db"], b["true_db"]) for b in bleeds if b["track"] == song]) for song in songs]
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(DRAWS):
        predicted, true = np.concatenate([by_song[k] for k in rng.integers(len(songs), size=len(songs))]).T
        gains.append(np.abs(true - true.mean()).mean() - np.abs(predicted - true).mean())
    predicted, true = np.concatenate(by_song).T
    gain = np.abs(true - true.mean()).mean() - np.abs(predicted - true).mean()
    low, high = np.percentile(gains, [2.5, 97.5])
    return float(gain), float(low), float(high)


def _verb(low: float, high: float) -> str:
    return "clearly beats" if low > 0 else "is worse than" if high < 0 else "**does not clearly beat**"


def pair_table(bleeds: Sequence[Record]) -> str:
    """Errors by pair of classes."""
    labels = sorted({bleed["label"] for bleed in bleeds})
    return table(["bleed", *labels], [[label, *(_pair(bleeds, label, into) for into in labels)] for label in labels])


def other_parts(result: Record) -> list[str]:
    """Summarise the same bleed with other weights."""
    groups, bands, inside = _sorted(result)
    cells = result["weights"]["options"]["level_head"] == "cells"
    head = "the cells of the spectrogram" if cells else "averages over the spectrogram"
    return [
        f"### By `{result['weights']['uri']}`",
        f"Weights: {name_of(result['weights'])}, whose level head works on {head}. The same stems:",
        table(LEVEL_HEAD, [_level_row(name, errors) for name, errors in groups.items()]),
        against_a_constant(inside),
        table(["level", *LEVEL_HEAD[1:]], [_level_row(_band(name), errors) for name, errors in bands]),
        PAIRS,
        pair_table(inside),
    ]


def _sorted(result: Record) -> tuple[Record, list[tuple[str, Record]], list[Record]]:
    """Errors by kind of song and, from soft to loud, by band; and the bleeds in the range that was planted."""
    low, high = result["config"]["bleed_db"]
    groups = {"all": result["all"]} | {KIND_NAMES[kind]: result[kind] for kind in ("real", "sung") if kind in result}
    bands = sorted(result["bands"].items(), key=lambda item: _low(item[0]))
    return groups, bands, [bleed for bleed in result["bleeds"] if low <= bleed["true_db"] <= high]


def _pair(bleeds: Sequence[Record], label: str, into: str) -> str | None:
    errors = [b["head_db"] - b["true_db"] for b in bleeds if b["label"] == label and b["into"] == into]
    return f"{np.abs(errors).mean():.1f}, {np.mean(errors):+.1f} ({len(errors)})" if errors else None


def region_parts(result: Record) -> list[str]:
    """Segment-based metrics and borders."""
    config, bleeds, absent = result["config"], result["bleeds"], result["absent"]
    low, high = config["bleed_db"]
    least, most = config["bleed_share"]
    labels = [name.removeprefix("f1/") for name in result["mean"] if name.startswith("f1/")]
    labels = [label for label in labels if label not in ("average", "unclaimed")] + ["average", "unclaimed"]
    metrics = ("f1", "precision", "recall")
    rows = [
        [
            label,
            *(mean_sd(result, f"{metric}/{label}") for metric in metrics),
            deviation(result["throughout"][f"f1/{label}"], None),
        ]
        for label in labels
    ]
    groups = {"all": bleeds["all"], "bleed named by the verdict": bleeds["named"]}
    groups |= {f"{name.replace('..', ' to ')} dB": counts for name, counts in bleeds["bands"].items()}
    groups |= {f"{name} s long": counts for name, counts in bleeds["lengths"].items()}
    return [
        f"Weights: {name_of(result['weights'])}.",
        f"""
Bleed that comes and goes is planted in {share(config["bleed"])} of the held-out stems, {config["seeds"]} times. It
sounds {share(least)} to {share(most)} of the time, in passages of 3 to 30 s, at {low:g} to {high:g} dB relative to the
stem. `stemclean eval labels` compares the regions that `refine` writes with the true ones, in segments of one second.
*unclaimed* stands for all classes that a stem does not claim, that is, for the bleed. *F1 throughout* is the F1 if
every class found counted as present wherever the stem sounds. Values are mean ± standard deviation over the draws.""",
        table(["class", "F1", "precision", "recall", "F1 throughout"], rows),
        """
Borders of the passages with bleed, with pauses under 3 s filled. Errors are in seconds, and positive where the border
is found too late.""",
        table(
            ["passages", "found", "start, median", "end, median", "error, median", "within 1 s", "within 2 s"],
            [
                [
                    name,
                    of(counts["found"], counts["stretches"]),
                    *(number(counts[key], 2, sign=True) for key in ("start", "end")),
                    number(counts["border"], 2),
                    *(share(counts[key]) for key in ("within_1", "within_2")),
                ]
                for name, counts in groups.items()
            ],
        ),
        f"""
Of the stems without bleed, {of(absent["stems_with"], absent["stems"])} have a region with a class that they do not
hold. Such regions make up {percent(absent["share"], 1)} of the time of all of these stems.""",
    ]


def _level_row(name: str, errors: Record) -> list[Any]:
    keys = ("error_db", "bias_db", "mean_error_db", "head_error_db", "head_bias_db", "head_mean_error_db")
    values = [number(errors[key], sign="bias" in key) for key in keys]
    return [name, errors["bleeds"], of(errors["found"], errors["bleeds"]), *values]


def _band(name: str) -> str:
    return name.replace("..", " to ")


def _low(name: str) -> float:
    return {"softer": -1e9, "louder": 1e9}.get(name) or float(name.split("..", maxsplit=1)[0])
