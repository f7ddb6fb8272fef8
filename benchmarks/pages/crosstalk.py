"""What does measuring bleed between the stems of a song bring? Faults, levels and shares with crosstalk and without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.pages.tables import (
    KIND_NAMES,
    SPREAD,
    Read,
    Record,
    counted,
    machine,
    mean_sd,
    name_of,
    number,
    of,
    share,
    spread,
    table,
    unmeasured,
    verdict,
)

PATH = "docs/benchmarks/crosstalk.md"
QUESTION = "What does measuring bleed bring?"
GOAL_LEVEL_DB = 3.0
GOAL_SHARE = 0.05
"""Largest acceptable errors: mean absolute error of a level, and error of the share of stems with bleed."""
WAYS = {"measured": "with", "heard": "without"}
VARIANTS = {
    "copy": "a copy",
    "filtered": "filtered (8 dB less below 250 Hz, 10 dB less above 4 kHz)",
    "later": "11 ms later",
    "room": "with room reverberation",
    "filtered_later_room": "filtered, later, and with reverberation",
    "coded": "a copy, and the stem then coded as Ogg Vorbis",
    "panned": "panned (the right channel at a fifth)",
    "comes_and_goes": "comes and goes, in passages of 3 to 15 s",
    "both_ways": "both ways (two stems, each in the other)",
    "chain": "a chain (A in B, and the original B in C)",
    "masked": "what soft masks leave, every stem in every other",
}

INTRO = """
If the source of the bleed is itself a stem of the same song, `refine` measures the bleed. `--no-crosstalk` switches
that off and leaves the decision to the classifier. The bleed here is planted in the held-out songs. **Planted bleed is
the best case**: unless stated otherwise, it is an exact copy of a stem that is in the dataset. Bleed from sources
outside the dataset cannot be measured at all.
"""


def answer(read: Read) -> list[str]:
    """Faults and levels with and without."""
    result, variants = (read("crosstalk").get(name) for name in ("refine", "variants"))
    if not result:
        return [unmeasured("crosstalk")]
    rows = []
    for way, name in WAYS.items():
        report = result["all"][way]
        pooled = report["pooled"]
        share_found = counted(pooled, "fault/bleed", "recall")
        flagged = counted(pooled, "fault/none", "flagged")
        error = number(pooled.get("levels/error_db"))
        rows.append([name, share_found, flagged, mean_sd(report, "detection/f1"), error])
    ways = "Across ways to bleed (copied, filtered, delayed, with reverberation, …), "
    altered = ways + goal_of_variants(variants["variants"]) if variants else ""
    return [
        table(["crosstalk", "bleed found", "correct stems flagged", "F1", "error of the level, dB"], rows),
        f"""
The same faults, refined with crosstalk and without. This is the best case: the bleed is an exact copy of another stem
of the song. {altered} Bleed from a source outside the dataset cannot be measured.""",
    ]


def parts(read: Read) -> list[str]:
    """Return the page."""
    result = read("crosstalk")
    shown = [f"# {QUESTION}"]
    if not result:
        return [*shown, unmeasured("crosstalk")]
    shown.append(INTRO)
    for name, (title, section) in SECTIONS.items():
        shown += [title, *(section(result[name]) if name in result else [unmeasured(f"crosstalk --only {name}")])]
    return shown


def refine_parts(result: Record) -> list[str]:
    """Faults found and levels, with and without."""
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
Faults are drawn {config["seeds"]} times: {share(config["mislabel"])} of the stems get another label, and
{share(config["bleed"])} get bleed at {low:g} to {high:g} dB relative to the stem while both sound. The same draws are
refined with crosstalk and without. Values are mean ± standard deviation over the draws; counts are sums over them.""",
        table(FOUND_HEAD, [_found_row(kind, way, result[kind][way]) for kind, way in lines]),
        compared(every),
        "Stems with bleed that are found, by level relative to the stem in dB:",
        table(
            ["songs", "crosstalk", "all", *(_band(name) for name in bands), "all classes named"],
            [_bleed_row(kind, way, result[kind][way]["pooled"], bands) for kind, way in lines],
        ),
        """
Level of the bleed relative to the class that it bleeds into, over the whole stem, where both classes were found; mean
absolute errors in dB. *A constant* always answers with the mean level of the same stems.""",
        table(
            ["songs", "crosstalk", "stems with a level", "error", "error of a constant"],
            [_level_row(kind, way, result[kind][way]) for kind, way in lines],
        ),
        goal_of_levels({kind: result[kind] for kind in kinds}),
    ]


FOUND_HEAD = [
    "songs", "crosstalk", "precision", "recall", "F1", "average precision", "labels exactly right",
    "correct stems flagged",
]  # fmt: skip


def _found_row(kind: str, way: str, report: Record) -> list[str]:
    names = [f"detection/{name}" for name in ("precision", "recall", "f1", "average_precision")]
    return [
        KIND_NAMES[kind],
        WAYS[way],
        *(mean_sd(report, name) for name in (*names, "labels/exact_match")),
        counted(report["pooled"], "fault/none", "flagged"),
    ]


def _bleed_row(kind: str, way: str, pooled: Record, bands: Sequence[str]) -> list[str]:
    shares = [counted(pooled, f"fault/{name}", "recall") for name in ("bleed", *bands)]
    return [KIND_NAMES[kind], WAYS[way], *shares, counted(pooled, "fault/bleed", "labels_right")]


def _level_row(kind: str, way: str, report: Record) -> list[str]:
    pooled = report["pooled"]
    known = of(pooled.get("levels/found", 0), pooled.get("levels/bleeds", 0))
    errors = [number(pooled.get(f"levels/{name}_db")) for name in ("error", "mean_error")]
    return [KIND_NAMES[kind], WAYS[way], known, *errors]


def compared(every: Record) -> str:
    """Show what measuring crosstalk changes, draw by draw."""
    changes = []
    for name, title in (
        ("detection/f1", "F1"),
        ("detection/average_precision", "average precision"),
        ("labels/exact_match", "the share of stems with exactly the right labels"),
    ):
        pairs = [
            (ours[name], theirs[name])
            for ours, theirs in zip(every["measured"]["draws"], every["heard"]["draws"], strict=True)
            if None not in (ours[name], theirs[name])
        ]
        if pairs:
            gain = sum(ours - theirs for ours, theirs in pairs) / len(pairs)
            better = sum(ours > theirs for ours, theirs in pairs)
            changes.append(f"{title} {_direction(gain)} ({better} of {len(pairs)} draws improve)")
    return f"With crosstalk, {'; '.join(changes)}." if changes else ""


def _direction(gain: float) -> str:
    """Describe the change of a figure, as it is rounded."""
    if abs(gain) < 0.005:
        return "does not change"
    return f"{'rises' if gain > 0 else '**falls**'} by {abs(gain):.2f}"


def goal_of_levels(kinds: Record) -> str:
    """Say whether levels are as exact as required, overall and per kind of song, and better than a constant.

    Args:
        kinds: kind of song -> what was found with crosstalk and without; ``all`` is one of them.
    """
    known = {
        kind: report["measured"]["pooled"]
        for kind, report in kinds.items()
        if report["measured"]["pooled"].get("levels/error_db") is not None
    }
    if "all" not in known:
        return f"Goal: {GOAL_LEVEL_DB:g} dB: not measured, as no bleed was found."
    errors = {kind: pooled["levels/error_db"] for kind, pooled in known.items()}
    results = {kind: f"{verdict(error <= GOAL_LEVEL_DB)} ({error:.1f} dB)" for kind, error in errors.items()}
    constant = known["all"]["levels/mean_error_db"]
    than = "better than" if errors["all"] < constant else "**no better than**"
    others = "".join(f"; {KIND_NAMES[kind]}: {result}" for kind, result in results.items() if kind != "all")
    return (
        f"Goal: {GOAL_LEVEL_DB:g} dB for the bleed that is found. With crosstalk, all songs: {results['all']}, "
        f"{than} a constant ({constant:.1f} dB){others}."
    )


def variant_parts(result: Record) -> list[str]:
    """Show the results for bleed that is not an exact copy, and for songs without any."""
    config, variants = result["config"], result["variants"]
    bands = sorted(next(iter(variants.values()))["bands"], key=lambda name: float(name.split("..")[0]))
    names = [name for name in VARIANTS if name in variants]
    low, high = config["levels_db"]
    both = "{:g} to {:g}".format(*config["both_ways_db"])
    return [
        f"""
For each variant, one random stem of each of {result["clean"]["songs"]} songs is mixed into another random stem at
{low:g} to {high:g} dB ({both} dB if both ways), half of the time with inverted polarity. The measured level is compared
with the power of the bleed relative to the whole stem it is in. No classifier is involved, and nothing below
{config["lowest_db"]:g} dB is reported. *Wrong way* counts pairs reported in the opposite direction, and *others* pairs
without planted bleed. In the last row, stems are cut out of their mixture by blurred masks of their true powers, much
as a separator does. Pairs with bleed in the original songs are left out everywhere. Bleed found, by level in dB:""",
        table(
            ["bleed", *(name.replace("..", " to ") for name in bands), "error, dB", "maximum", "wrong way", "others"],
            [_variant_row(name, variants[name], bands) for name in names],
        ),
        f"Goal: {goal_of_variants({name: variants[name] for name in names})}",
        *([chain(variants["chain"])] if "chain" in variants else []),
        *clean_parts(result["clean"]),
    ]


def _variant_row(name: str, counts: Record, bands: Sequence[str]) -> list[Any]:
    shares = [of(counts["bands"][band]["found"], counts["bands"][band]["bleeds"]) for band in bands]
    every = counts["all"]
    others = counts["other"] + counts["through"]
    errors = [number(every[key]) for key in ("error_db", "worst_db")]
    return [VARIANTS[name], *shares, *errors, counts["wrong_way"], others]


def goal_of_variants(variants: Record) -> str:
    """Say which variants are measured as exactly as required."""
    known = {name: counts["all"]["error_db"] for name, counts in variants.items()}
    known = {name: error for name, error in known.items() if error is not None}
    missed = [f"{VARIANTS[name]} ({error:.1f} dB)" for name, error in known.items() if error > GOAL_LEVEL_DB]
    goal = f"an error of {GOAL_LEVEL_DB:g} dB"
    if not known:
        return f"{goal} is the goal; not measured, as no bleed was found."
    if not missed:
        return f"{goal} or less is reached for every variant."
    return (
        f"{goal} or less is reached for {len(known) - len(missed)} of {len(known)} variants, and **not reached** for: "
        f"{'; '.join(missed)}."
    )


def chain(counts: Record) -> str:
    """Say whether bleed is attributed to a stem that is only indirectly its source."""
    songs, through = counts["songs"], counts["through"]
    result = f"**reported in {of(through, songs)}**" if through else f"reported in none of {songs}"
    return f"In a chain, C holds nothing of A; bleed from A into C is {result} songs."


def clean_parts(clean: Record) -> list[str]:
    """Show what is reported of the songs as they are."""
    reported = clean["told"]
    head = f"In the {clean['songs']} original songs, with {clean['pairs']} ordered pairs of stems, "
    if not reported:
        return [head + "no bleed is reported."]
    rows = [
        [f"`{pair['song']}`", pair["from"], pair["into"], number(pair["level_db"]), number(1000 * pair["delay"])]
        for pair in reported
    ]
    return [
        head + f"bleed is reported in {len(reported)}. Nothing was planted there, so it may be real:",
        table(["song", "class that bleeds", "into", "level, dB", "delay, ms"], rows),
    ]


def noise_parts(result: Record) -> list[str]:
    """Shares of stems with bleed."""
    config, rates = result["config"], sorted(result["rates"].items(), key=lambda item: float(item[0]))
    low, high = config["bleed_db"]
    rows = [
        [share(float(rate)), counts["draws"], *(cell for name in COMPARED for cell in _estimate(counts, name))]
        for rate, counts in rates
    ]
    draws = result["draws"]
    bleeds, measured, others = (sum(d[key] for d in draws) for key in ("bleeds", "bleeds_measured", "others_measured"))
    rest = sum(draw["stems"] for draw in draws) - bleeds
    return [
        f"Weights: {name_of(result['weights'])}.",
        f"""
Bleed at {low:g} to {high:g} dB relative to the stem is planted in known shares of the stems, without any other fault.
The table compares these shares with `summary.noise.bleed`. A stem that was compared with the others of its song counts
by its measurement, if that is {config["present_db"]:g} dB or more relative to the whole stem; for stems that stand
alone the share is estimated from the classifier's scores. Three cases are shown: all stems compared; half of the songs
split into stems that stand alone; and all of them split. Shares are in percent and errors in percentage points;
*maximum* is the largest error of a single draw.""",
        table(["planted", "draws", *_compared_heads()], rows),
        f"Goal: {100 * GOAL_SHARE:g} points in every draw. "
        + " ".join(_share_verdict([counts for _, counts in rates], name) for name in COMPARED),
        f"""
Over all draws, bleed is measured in {of(measured, bleeds)} of the stems in which it was planted, and in
{of(others, rest)} of the others.""",
        *_both_faults(result["both"]),
    ]


def _both_faults(both: Record) -> list[str]:
    """Show both estimates if both faults are planted."""
    config = both["config"]
    low, high = config["bleed_db"]
    titles = {"wrong": "wrong claims", "bleed": "bleed"}
    rows = [
        [
            title,
            number(100 * both[fault]["planted"]),
            *(cell for name in COMPARED for cell in _estimate(both[fault], name)),
        ]
        for fault, title in titles.items()
    ]
    return [
        f"""
With {share(config["mislabel"])} of the labels swapped and bleed at {low:g} to {high:g} dB in {share(config["bleed"])}
of the stems, {len(both["draws"])} draws:""",
        table(["", "planted", *_compared_heads()], rows),
        " ".join(
            f"Goal for {title}: {_share_verdict([both[fault]], 'all', title=False)}" for fault, title in titles.items()
        ),
    ]


COMPARED = {"all": "all compared", "half": "half of the songs compared", "none": "no song compared"}


def _compared_heads() -> list[str]:
    return [head for title in COMPARED.values() for head in (title, "error", "maximum")]


def _estimate(counts: Record, name: str) -> list[str]:
    """Format a share, and its mean and largest error."""
    case = counts[name]
    return [number(100 * case["rate"]), *(number(100 * case[key], sign=True) for key in ("error", "worst"))]


def _share_verdict(rates: Sequence[Record], name: str, *, title: bool = True) -> str:
    worst, mean = (max((counts[name][key] for counts in rates), key=abs) for key in ("worst", "error"))
    inside, num = sum(counts[name]["inside"] for counts in rates), sum(counts["draws"] for counts in rates)
    result = verdict(abs(worst) <= GOAL_SHARE + 1e-9)
    head = f"{COMPARED[name].capitalize()}: " if title else ""
    return (
        f"{head}{result} (largest error of a draw {100 * worst:+.1f}, largest mean error of a row {100 * mean:+.1f}; "
        f"the interval contains the planted share in {of(inside, num)} draws)."
    )


def speed_parts(result: Record) -> list[str]:
    """Show the cost."""
    config = result["config"]
    names = {"heard": "`refine` without", "measured": "`refine` with", "alone": "measuring alone, on one thread"}
    cases = {"clean": "without bleed", "bleed": f"with bleed in {share(config['bleed'])} of the stems"}
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
{result["songs"]} songs with {result["stems"]} stems, {result["audio_minutes"]:.0f} minutes of audio; {runs} interleaved
runs each; {SPREAD}. `refine` runs on {result["workers"]} cores. Pairs of stems that seem to
have nothing in common are skipped early, so that songs with bleed take longer.""",
        table(["songs", "", "seconds", "times real time"], rows),
        "With crosstalk `refine` takes "
        + " and ".join(f"{spread(ratio)} times as long {name}" for name, ratio in ratios.items())
        + ".",
    ]


SECTIONS: dict[str, tuple[str, Callable[[Record], list[str]]]] = {
    "refine": ("## Faults found, and levels", refine_parts),
    "variants": ("## Bleed that is not an exact copy", variant_parts),
    "noise": ("## How much of the dataset has bleed?", noise_parts),
    "speed": ("## Cost", speed_parts),
}


def _band(name: str) -> str:
    return name.removeprefix("bleed/").removesuffix("_db").replace("..", " to ")
