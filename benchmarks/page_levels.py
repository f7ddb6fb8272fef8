"""Sections of ``docs/benchmarks.md`` on how loud a bleed is said to be, and when; see :mod:`benchmarks.page`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.page import KIND_NAMES, dash, mean_sd, name_of, of, share, table, verdict

OTHERS = ("levels_v4",)
"""Results of other weights, whose levels stand beside those of the bundled default."""
AIM_LEVEL_DB = 3.0
"""What the project wants: mean absolute error of a bleed's level, from -25 to 0 dB."""

Record = dict[str, Any]


def parts(read: Callable[[str], Record]) -> list[str]:
    """Both sections.

    Args:
        read: name of a result -> what it holds, empty where there is none.
    """
    told, others, timed = read("levels"), [read(name) for name in OTHERS], read("regions")
    return [
        "## How loud is the bleed?",
        *(level_parts(told) if told else ["Not measured yet: `python -m benchmarks.levels`."]),
        *(part for other in others if told and other for part in other_parts(other)),
        "## When does it sound?",
        *(region_parts(timed) if timed else ["Not measured yet: `python -m benchmarks.regions`."]),
    ]


def level_parts(result: Record) -> list[str]:
    """Errors of the levels that are told."""
    config, every = result["config"], result["all"]
    low, high = config["bleed_db"]
    reached = every["error_db"] is not None and every["error_db"] <= AIM_LEVEL_DB
    groups, bands, inside = _sorted(result)
    limits = sorted(result["limits"].items(), key=lambda item: float(item[0]))
    return [
        f"Weights: {name_of(result['weights'])}.",
        f"""
Bleed is planted in {share(config["bleed"])} of the held-out stems, {config["seeds"]} times, at {low:g} to {high:g} dB
against the stem while both sound. Compared are levels over the whole stem, pauses and all: the power of the bleed
relative to that of the class that it bleeds into, as mixed and as told. *refine* tells the level of the classes that it
finds; *the level head* was asked about every bleed, found or not. Errors are mean absolute errors in dB; *always the
mean* is the error of telling the mean level of the same bleeds each time.""",
        table(LEVEL_HEAD, [_level_row(name, errors) for name, errors in groups.items()]),
        f"""
The aim is {AIM_LEVEL_DB:g} dB from -25 to 0 dB: {verdict(reached)} ({_db(every["error_db"])} dB; the level head on
every bleed: {_db(every["head_error_db"])} dB). {against_the_mean(inside)}""",
        "By level; *louder* and *softer* lie outside of what is counted above:",
        table(["level, dB", *LEVEL_HEAD[1:]], [_level_row(_band(name), errors) for name, errors in bands]),
        "By the class that bleeds:",
        table(
            ["bleeds", *LEVEL_HEAD[1:]], [_level_row(name, result["label"][name]) for name in sorted(result["label"])]
        ),
        PAIRS,
        pair_table(inside),
        """
What `--max-bleed-db` would decide about these stems: a stem is kept where its bleed is told softer than the limit, or
not heard at all.""",
        table(
            ["limit, dB", "softer bleeds: stem kept", "louder bleeds: stem flagged"],
            [
                [limit, of(counts["softer_kept"], counts["softer"]), of(counts["louder_flagged"], counts["louder"])]
                for limit, counts in limits
            ],
        ),
    ]


def against_the_mean(bleeds: Sequence[Record]) -> str:
    """Whether levels are told better than by their mean, with a 95 % interval: songs, and the mean, drawn again."""
    songs = sorted({bleed["track"] for bleed in bleeds})
    by_song = [np.array([(b["head_db"], b["true_db"]) for b in bleeds if b["track"] == song]) for song in songs]
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(DRAWS):
        told, true = np.concatenate([by_song[k] for k in rng.integers(len(songs), size=len(songs))]).T
        gains.append(np.abs(true - true.mean()).mean() - np.abs(told - true).mean())
    told, true = np.concatenate(by_song).T
    gain = np.abs(true - true.mean()).mean() - np.abs(told - true).mean()
    low, high = np.percentile(gains, [2.5, 97.5])
    clear = "clearly better than" if low > 0 else "worse than" if high < 0 else "**not clearly better** than"
    return (
        f"On every bleed that is {clear} always telling the mean: by {gain:.2f} dB ({low:.2f} to {high:.2f}, 95 %, "
        f"songs drawn again). Half of the errors are less than {np.median(np.abs(told - true)):.1f} dB."
    )


PAIRS = "By what bleeds (rows) into what (columns), the error of the level head, its bias, and the number of bleeds:"


def pair_table(bleeds: Sequence[Record]) -> str:
    """Errors pair by pair of classes."""
    labels = sorted({bleed["label"] for bleed in bleeds})
    return table(["bleeds", *labels], [[label, *(_pair(bleeds, label, into) for into in labels)] for label in labels])


def other_parts(result: Record) -> list[str]:
    """The same bleeds by other weights, in short."""
    groups, bands, inside = _sorted(result)
    head = "cells of the spectrogram" if result["weights"]["options"]["level_head"] == "cells" else "averages"
    return [
        f"### By {name_of(result['weights']).split(' ')[0]}",
        f"Weights: {name_of(result['weights'])}, whose level head tells by {head}. The same bleeds:",
        table(LEVEL_HEAD, [_level_row(name, errors) for name, errors in groups.items()]),
        against_the_mean(inside),
        table(["level, dB", *LEVEL_HEAD[1:]], [_level_row(_band(name), errors) for name, errors in bands]),
        PAIRS,
        pair_table(inside),
    ]


DRAWS = 2000
"""Of the songs, for the interval."""


def _sorted(result: Record) -> tuple[Record, list[tuple[str, Record]], list[Record]]:
    """Errors by kind of song and, from soft to loud, by band; and the bleeds in the range that was planted."""
    low, high = result["config"]["bleed_db"]
    groups = {"all": result["all"]} | {KIND_NAMES[kind]: result[kind] for kind in ("real", "sung") if kind in result}
    bands = sorted(result["bands"].items(), key=lambda item: _low(item[0]))
    return groups, bands, [bleed for bleed in result["bleeds"] if low <= bleed["true_db"] <= high]


def _pair(bleeds: Sequence[Record], label: str, into: str) -> str:
    errors = [b["head_db"] - b["true_db"] for b in bleeds if b["label"] == label and b["into"] == into]
    return f"{np.abs(errors).mean():.1f}, {np.mean(errors):+.1f} ({len(errors)})" if errors else "–"


LEVEL_HEAD = [
    "songs",
    "bleeds",
    "found",
    "error of refine",
    "bias",
    "always the mean",
    "error of the level head",
    "bias of it",
    "always the mean, of all",
]
"""Columns of the tables of levels."""


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
            _two(result["throughout"][f"f1/{label}"]),
        ]
        for label in labels
    ]
    groups = {"all": bleeds["all"], "of bleeds that the verdict names": bleeds["named"]}
    groups |= {f"{name.replace('..', ' to ')} dB": counts for name, counts in bleeds["bands"].items()}
    groups |= {f"{name} s long": counts for name, counts in bleeds["lengths"].items()}
    return [
        f"Weights: {name_of(result['weights'])}.",
        f"""
Bleed that comes and goes is planted in {share(config["bleed"])} of the held-out stems, {config["seeds"]} times: heard
{share(least)} to {share(most)} of the time, in stretches of 3 to 30 s, at {low:g} to {high:g} dB against the stem
meanwhile. The regions that `refine` writes are held against the true ones in segments of one second
(`stemclean eval labels`); *unclaimed* are the classes that a stem does not claim, all together: the bleed alone.
*Throughout* is the F1 if every class found were taken to sound wherever the stem does. Values are mean ± standard
deviation over the draws.""",
        table(["class", "F1", "precision", "recall", "F1 throughout"], rows),
        "Borders of the stretches of bleed, pauses under 3 s left out. Errors in seconds; positive is too late:",
        table(
            ["stretches", "found", "start, median", "end, median", "error, median", "within 1 s", "within 2 s"],
            [
                [
                    name,
                    of(counts["found"], counts["stretches"]),
                    *(dash(_signed(counts[key])) for key in ("start", "end")),
                    dash(_two(counts["border"])),
                    *(share(counts[key]) for key in ("within_1", "within_2")),
                ]
                for name, counts in groups.items()
            ],
        ),
        f"""
In stems without bleed, a class that they do not hold is placed somewhere in
{of(absent["stems_with"], absent["stems"])}, and {_percent(absent["share"])} of the time.""",
    ]


def _level_row(name: str, errors: Record) -> list[Any]:
    keys = ("error_db", "bias_db", "mean_error_db", "head_error_db", "head_bias_db", "head_mean_error_db")
    told = [_signed(errors[key], 1) if "bias" in key else _db(errors[key]) for key in keys]
    return [name, errors["bleeds"], of(errors["found"], errors["bleeds"]), *told]


def _band(name: str) -> str:
    return name.replace("..", " to ")


def _low(name: str) -> float:
    return {"softer": -1e9, "louder": 1e9}.get(name) or float(name.split("..", maxsplit=1)[0])


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _signed(value: float | None, decimals: int = 2) -> str:
    return "–" if value is None else f"{value:+.{decimals}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
