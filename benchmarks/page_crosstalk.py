"""Section of ``docs/benchmarks.md`` on bleed that is measured between stems of a song; see :mod:`benchmarks.page`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.page import KIND_NAMES, machine, mean_sd, name_of, of, share, spread, table, verdict

AIM_LEVEL_DB = 3.0
AIM_SHARE = 0.05
"""What the project wants: mean absolute error of a bleed's level, and of the share of stems that hold bleed."""
WAYS = {"measured": "with", "heard": "without"}
VARIANTS = {
    "copy": "a copy",
    "filtered": "filtered: 8 dB less below 250 Hz, 10 dB less above 4 kHz",
    "later": "11 ms later",
    "room": "in a room",
    "filtered_later_room": "filtered, later, and in a room",
    "coded": "a copy; the stem then coded as Ogg Vorbis",
    "panned": "panned: the right channel at a fifth",
    "comes_and_goes": "comes and goes, in stretches of 3 to 15 s",
    "both_ways": "both ways: each of two stems in the other",
    "chain": "a chain: one in the next, which is in a third as it was",
    "masked": "what soft masks leave: every stem in every other",
}

Record = dict[str, Any]


def parts(read: Callable[[str], Record]) -> list[str]:
    """The section.

    Args:
        read: name of a result -> what it holds, empty where there is none.
    """
    result = read("crosstalk")
    told = ["## What does measuring bleed bring?"]
    if not result:
        return [*told, "Not measured yet: `python -m benchmarks.crosstalk`."]
    told.append(ABOUT)
    for name, (title, section) in SECTIONS.items():
        missing = [f"Not measured yet: `python -m benchmarks.crosstalk --only {name}`."]
        told += [title, *(section(result[name]) if name in result else missing)]
    return told


ABOUT = """
Where what bleeds into a stem is itself a stem of the same song, `refine` measures it (`--no-crosstalk` switches that
off, and only the classifier is asked). Here it is planted in the held-out songs. **Planted bleed is the best case**: an
exact copy, but where another thing is said, of a stem that lies beside it. Bleed from sources that are not in the
dataset is not found by this at all.
"""


def refine_parts(result: Record) -> list[str]:
    """Faults found and levels told, with and without."""
    config, every = result["config"], result["all"]
    low, high = config["bleed_db"]
    kinds = [kind for kind in KIND_NAMES if kind in result]
    lines = [(kind, way) for kind in kinds for way in WAYS]
    bands = sorted(
        (name for name in every["measured"]["pooled"] if name.startswith("fault/bleed/-") and name.endswith("/num")),
        key=lambda name: int(name.split("/")[2].split("..")[0]),
    )
    bands = [name.removeprefix("fault/").removesuffix("/num") for name in bands]
    return [
        f"Weights: {name_of(result['weights'])}.",
        f"""
Planted {config["seeds"]} times: {share(config["mislabel"])} of the stems with swapped labels, {share(config["bleed"])}
with bleed at {low:g} to {high:g} dB against the stem while both sound. The same draws are refined with crosstalk and
without. Values are mean ± standard deviation over the draws; *right stems flagged* counts all draws together.""",
        table(FOUND_HEAD, [_found_row(kind, way, result[kind][way]) for kind, way in lines]),
        compared(every),
        "Bleeds found, all draws together; by level against the stem, in dB:",
        table(
            ["songs", "crosstalk", "all", *(_band(name) for name in bands), "all classes named"],
            [_bleed_row(kind, way, result[kind][way]["pooled"], bands) for kind, way in lines],
        ),
        """
Levels of these bleeds, relative to the class that they bleed into and over the whole stem, where both classes were
found; mean absolute errors in dB. *Always the mean* is the error of telling the mean level of all bleeds each time, of
the same ones:""",
        table(
            ["songs", "crosstalk", "level told of", "error", "always the mean"],
            [_level_row(kind, way, result[kind][way]) for kind, way in lines],
        ),
        aim_of_levels({kind: result[kind] for kind in kinds}),
    ]


FOUND_HEAD = [
    "songs", "crosstalk", "precision", "recall", "F1", "average precision", "labels exactly right",
    "right stems flagged",
]  # fmt: skip


def _found_row(kind: str, way: str, report: Record) -> list[str]:
    names = [f"detection/{name}" for name in ("precision", "recall", "f1", "average_precision")]
    pooled = report["pooled"]
    return [
        KIND_NAMES[kind],
        WAYS[way],
        *(mean_sd(report, name) for name in (*names, "labels/exact_match")),
        _counted(pooled, "fault/none", "flagged"),
    ]


def _bleed_row(kind: str, way: str, pooled: Record, bands: Sequence[str]) -> list[str]:
    found = [_counted(pooled, f"fault/{name}", "recall") for name in ("bleed", *bands)]
    return [KIND_NAMES[kind], WAYS[way], *found, _counted(pooled, "fault/bleed", "labels_right")]


def _level_row(kind: str, way: str, report: Record) -> list[str]:
    pooled = report["pooled"]
    told = of(pooled.get("levels/found", 0), pooled.get("levels/bleeds", 0))
    return [KIND_NAMES[kind], WAYS[way], told, *(_db(pooled.get(f"levels/{n}_db")) for n in ("error", "mean_error"))]


def compared(every: Record) -> str:
    """What crosstalk changes, draw by draw."""
    told = []
    for name, what in (
        ("detection/f1", "F1"),
        ("detection/average_precision", "average precision"),
        ("labels/exact_match", "the share of stems whose labels are exactly right"),
    ):
        pairs = [
            (ours[name], theirs[name])
            for ours, theirs in zip(every["measured"]["draws"], every["heard"]["draws"], strict=True)
            if None not in (ours[name], theirs[name])
        ]
        if pairs:
            gain = sum(ours - theirs for ours, theirs in pairs) / len(pairs)
            better = sum(ours > theirs for ours, theirs in pairs)
            told.append(f"{what} {_direction(gain)} ({better} of {len(pairs)} draws are better)")
    return f"With crosstalk, {'; '.join(told)}." if told else ""


def _direction(gain: float) -> str:
    """What happens to a figure, as it is rounded."""
    if abs(gain) < 0.005:
        return "stays as it is"
    return f"{'rises' if gain > 0 else '**falls**'} by {abs(gain):.2f}"


def aim_of_levels(kinds: Record) -> str:
    """Whether levels are told as near as wanted, of all songs and of each kind; and better than by their mean.

    Args:
        kinds: kind of song -> what was found with crosstalk and without; ``all`` is one of them.
    """
    known = {
        kind: report["measured"]["pooled"]
        for kind, report in kinds.items()
        if report["measured"]["pooled"].get("levels/error_db") is not None
    }
    if "all" not in known:
        return f"The aim is {AIM_LEVEL_DB:g} dB: not measured, as no bleed was found."
    errors = {kind: pooled["levels/error_db"] for kind, pooled in known.items()}
    told = {kind: f"{verdict(error <= AIM_LEVEL_DB)} ({error:.1f} dB)" for kind, error in errors.items()}
    by_mean = known["all"]["levels/mean_error_db"]
    than = "better than" if errors["all"] < by_mean else "**no better than**"
    others = "".join(f"; {KIND_NAMES[kind]}: {said}" for kind, said in told.items() if kind != "all")
    return (
        f"The aim is {AIM_LEVEL_DB:g} dB. With crosstalk, of the bleeds that are found, all songs: {told['all']}, "
        f"which is {than} always telling the mean ({by_mean:.1f} dB){others}."
    )


def variant_parts(result: Record) -> list[str]:
    """What is told of bleeds that are no exact copies, and of nothing."""
    config, variants = result["config"], result["variants"]
    bands = sorted(next(iter(variants.values()))["bands"], key=lambda name: float(name.split("..")[0]))
    names = [name for name in VARIANTS if name in variants]
    low, high = config["levels_db"]
    both = "{:g} to {:g}".format(*config["both_ways_db"])
    return [
        f"""
One stem of each of {result["clean"]["songs"]} songs, and one other that it is mixed into, are picked by chance, once
for each variant, at {low:g} to {high:g} dB ({both} dB where both ways), turned upside down half of the time. What the
measurement tells is compared with the power of the bleed relative to the whole stem that it is in. No classifier is
asked. Nothing softer than {config["lowest_db"]:g} dB is told. *Wrong way* is the other direction of what was planted;
*others* are pairs of which nothing was planted. In the last row the stems are cut out of their mixture by the masks of
their true powers, blurred, as a separator cuts them out. Pairs of which bleed is told in the songs as they are count in
none of these. Found by level, in dB:""",
        table(
            ["bleed", *(name.replace("..", " to ") for name in bands), "error, dB", "greatest", "wrong way", "others"],
            [_variant_row(name, variants[name], bands) for name in names],
        ),
        aim_of_variants({name: variants[name] for name in names}),
        *([chain(variants["chain"])] if "chain" in variants else []),
        *clean_parts(result["clean"]),
    ]


def _variant_row(name: str, told: Record, bands: Sequence[str]) -> list[Any]:
    found = [of(told["bands"][band]["found"], told["bands"][band]["bleeds"]) for band in bands]
    every = told["all"]
    others = told["other"] + told["through"]
    return [VARIANTS[name], *found, _db(every["error_db"]), _db(every["worst_db"]), told["wrong_way"], others]


def aim_of_variants(variants: Record) -> str:
    """Which of them are told as near as wanted."""
    known = {name: told["all"]["error_db"] for name, told in variants.items() if told["all"]["error_db"] is not None}
    missed = [f"{VARIANTS[name]} ({error:.1f} dB)" for name, error in known.items() if error > AIM_LEVEL_DB]
    if not known:
        return f"The aim of {AIM_LEVEL_DB:g} dB: not measured, as no bleed was found."
    if not missed:
        return f"The aim of {AIM_LEVEL_DB:g} dB is reached by every variant, of the bleeds that are found."
    count = f"{len(known) - len(missed)} of {len(known)}"
    named = "; ".join(missed)
    return f"The aim of {AIM_LEVEL_DB:g} dB is reached by {count} variants, and **not reached** by: {named}."


def chain(told: Record) -> str:
    """Whether the first sound of a chain is told where it never was."""
    songs, through = told["songs"], told["through"]
    heard = f"**told in {of(through, songs)}**" if through else f"told in none of {songs}"
    return f"In a chain, the first sound is {heard} third stems, which hold nothing of it."


def clean_parts(clean: Record) -> list[str]:
    """What is told of the songs as they are."""
    told = clean["told"]
    head = f"Of the {clean['songs']} songs as they are, with {clean['pairs']} ordered pairs of stems, "
    if not told:
        return [head + "no bleed is told."]
    rows = [
        [f"`{one['song']}`", one["from"], one["into"], f"{one['level_db']:.1f}", f"{1000 * one['delay']:.1f}"]
        for one in told
    ]
    return [
        head + f"bleed is told in {len(told)}; whether it is there is not known, as nothing was planted:",
        table(["song", "bleeds", "into", "level, dB", "later by, ms"], rows),
    ]


def noise_parts(result: Record) -> list[str]:
    """Shares of stems with bleed."""
    config, rates = result["config"], sorted(result["rates"].items(), key=lambda item: float(item[0]))
    low, high = config["bleed_db"]
    rows = [
        [share(float(rate)), told["draws"], *(cell for name in COMPARED for cell in _answer(told, name))]
        for rate, told in rates
    ]
    draws = result["draws"]
    bleeds, found, others = (sum(d[key] for d in draws) for key in ("bleeds", "bleeds_measured", "others_measured"))
    rest = sum(draw["stems"] for draw in draws) - bleeds
    return [
        f"Weights: {name_of(result['weights'])}.",
        f"""
Bleed at {low:g} to {high:g} dB against the stem while both sound is planted in known shares of the stems, and nothing
else; held against it is `summary.noise.bleed`. Stems that were compared with others of their song count by what was
measured, at {config["present_db"]:g} dB or louder relative to the whole stem; of stems that stand alone it is estimated
by the classifier's scores. So it is told three times: as it is, as if half of the songs had stems that stand alone, and
as if all had. Shares in percent, errors in points; the greatest error is that of a single draw.""",
        table(
            ["planted", "draws", *(head for title in COMPARED.values() for head in (title, "error", "greatest"))], rows
        ),
        f"The aim is {100 * AIM_SHARE:g} points in every draw. "
        + " ".join(_share_verdict([told for _, told in rates], name) for name in COMPARED),
        f"""
In all draws, bleed is measured in {of(found, bleeds)} of the stems that it was planted in, and in {of(others, rest)} of
the others.""",
        *_both_faults(result["both"]),
    ]


def _both_faults(both: Record) -> list[str]:
    """Both estimates where both faults are planted."""
    config = both["config"]
    low, high = config["bleed_db"]
    rows = [
        [
            title,
            f"{100 * both[what]['planted']:.1f}",
            *(cell for name in COMPARED for cell in _answer(both[what], name)),
        ]
        for what, title in (("wrong", "wrong claims"), ("bleed", "bleed"))
    ]
    heads = (head for title in COMPARED.values() for head in (title, "error", "greatest"))
    return [
        f"""
With {share(config["mislabel"])} of the labels swapped and bleed at {low:g} to {high:g} dB in {share(config["bleed"])}
of the stems, {len(both["draws"])} draws:""",
        table(["", "planted", *heads], rows),
        " ".join(
            f"The aim for {title}: {_share_verdict([both[what]], 'all')}"
            for what, title in (("wrong", "wrong claims"), ("bleed", "bleed"))
        ),
    ]


COMPARED = {"all": "compared", "half": "half of the songs compared", "none": "no song compared"}


def _answer(told: Record, name: str) -> list[str]:
    """A share, and its mean and greatest error."""
    one = told[name]
    return [f"{100 * one['rate']:.1f}", f"{100 * one['error']:+.1f}", f"{100 * one['worst']:+.1f}"]


def _share_verdict(rates: Sequence[Record], name: str) -> str:
    worst, mean = (max((told[name][key] for told in rates), key=abs) for key in ("worst", "error"))
    inside, num = sum(told[name]["inside"] for told in rates), sum(told["draws"] for told in rates)
    said = verdict(abs(worst) <= AIM_SHARE + 1e-9)
    return (
        f"{COMPARED[name].capitalize()}: {said} (at most {100 * worst:+.1f}; the mean of a row's draws "
        f"{100 * mean:+.1f}), and {of(inside, num)} of the intervals hold the planted share."
    )


def speed_parts(result: Record) -> list[str]:
    """What it costs."""
    config = result["config"]
    names = {"heard": "`refine` without", "measured": "`refine` with", "alone": "measuring alone, on one thread"}
    cases = {"clean": "as they are", "bleed": f"with bleed in {share(config['bleed'])} of the stems"}
    rows = [
        [cases[case], title, spread(timed["seconds"][name]), spread(timed["times_real_time"][name])]
        for case, timed in sorted(result["cases"].items(), reverse=True)
        for name, title in names.items()
    ]
    ratios = {cases[case]: timed["ratio"] for case, timed in sorted(result["cases"].items(), reverse=True)}
    runs = next(iter(ratios.values()))["num"]
    return [
        machine(result),
        f"""
{result["songs"]} songs of {result["stems"]} stems, {result["audio_minutes"]:.0f} minutes of audio, {runs} runs each, in
turn; median (least to greatest). `refine` runs on {result["workers"]} cores. Where no two stems seem to share a sound,
there is little to measure, so that songs with bleed take longer.""",
        table(["songs", "", "seconds", "times real time"], rows),
        "Refining with crosstalk takes, times as long as without, run by run: "
        + "; ".join(f"{spread(ratio)} {name}" for name, ratio in ratios.items())
        + ".",
    ]


SECTIONS: dict[str, tuple[str, Callable[[Record], list[str]]]] = {
    "refine": ("### Faults found, and levels", refine_parts),
    "variants": ("### Bleed that is no exact copy", variant_parts),
    "noise": ("### How much of the dataset holds bleed", noise_parts),
    "speed": ("### What it costs", speed_parts),
}


def _counted(pooled: Record, group: str, what: str) -> str:
    """A share of the stems of a group, with the counts."""
    num, value = pooled.get(f"{group}/num", 0), pooled.get(f"{group}/{what}")
    return "–" if value is None else of(round(value * num), num)


def _band(name: str) -> str:
    return name.removeprefix("bleed/").removesuffix("_db").replace("..", " to ")


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
