"""How fast is it? Time, memory and start-up of ``refine``."""

from __future__ import annotations

from benchmarks.pages.tables import (
    SPREAD,
    Read,
    Record,
    machine,
    of,
    spread,
    table,
    thousands,
    unmeasured,
    verdict,
)

PATH = "docs/benchmarks/speed.md"
QUESTION = "How fast is it, and how much memory does it take?"
GOAL_SPEED = 60
"""Times real time on two cores."""
GOAL_MEMORY_MB, GOAL_MEMORY_HOURS = 1500, 3.0
"""Peak memory on a file of this length."""
GOAL_HELP = 0.4
"""Seconds of ``stemclean --help``."""

INTRO = """
All times are wall-clock times, and depend on the machine and its load. The ratios were measured side by side and are
more reliable than the seconds. The cost of measuring bleed is on [its own page](crosstalk.md#cost).
"""


def answer(read: Read) -> list[str]:
    """Show the goals and the measured figures."""
    result = read("speed")
    rows: list[list[str | None]] = []
    if "refine" in result:
        speed = result["refine"]["times_real_time"]
        rows.append(["speed on two cores, times real time", spread(speed), f"at least {GOAL_SPEED}"])
    if "memory" in result:
        long = result["memory"]["long"]
        title = f"peak memory on a file of {long['minutes'] / 60:g} hours"
        rows.append([title, f"{thousands(long['peak_mb'])} MB", f"less than {thousands(GOAL_MEMORY_MB)} MB"])
    if "start" in result:
        rows.append(
            [
                "`stemclean --help`, seconds",
                spread(result["start"]["seconds"]["stemclean --help"]),
                f"less than {GOAL_HELP}",
            ]
        )
    for row in read("isolation").get("rows", [])[-1:]:
        low, high = row["cpu"]["quartiles"]
        cost = f"{row['cpu']['added']:+.1%} ({low:+.1%} to {high:+.1%})"
        rows.append(["processor time added by isolated decoders, median (quartiles)", cost, None])
    if not rows:
        return [unmeasured("speed")]
    return [
        table(["", SPREAD, "goal"], rows),
        """
`refine` on two CPU cores, with the classifier alone. Songs with bleed between their stems
[take longer](benchmarks/crosstalk.md#cost), as the bleed is measured. How much memory a
[training step](benchmarks/training-memory.md) takes depends on the recipe.""",
    ]


def parts(read: Read) -> list[str]:
    """Return the page."""
    result = read("speed")
    shown = [f"# {QUESTION}", INTRO]
    for name, section in SECTIONS.items():
        shown += section(result[name]) if name in result else [TITLES[name], unmeasured(f"speed --only {name}")]
    return shown + isolation_parts(read("isolation"))


TITLES = {
    "refine": "## refine",
    "stages": "## Stages, and the shortcut",
    "agreement": "## Does the shortcut change decisions?",
    "memory": "## Memory",
    "start": "## Start-up",
}


def refine_parts(result: Record) -> list[str]:
    """Show the speed of ``refine``."""
    speed, minutes = result["times_real_time"], result["audio_minutes"]
    rows = [
        ["times real time", spread(speed)],
        ["seconds", spread(result["seconds"])],
        ["seconds of the scan, with checksums", spread(result["scan_seconds"])],
    ]
    return [
        TITLES["refine"],
        machine(result),
        f"""
{result["stems"]} stems, {minutes:.0f} minutes of audio, {speed["num"]} runs on {result["workers"]} cores, from the scan
to the manifest. Borderline stems are judged twice. The start of Python is not included.""",
        table(["", SPREAD], rows),
        f"Goal: {GOAL_SPEED} times real time on two cores: {verdict(speed['median'] >= GOAL_SPEED)}.",
    ]


def stages_parts(result: Record) -> list[str]:
    """Time by stage."""
    ways = {"trunk": "trunk once (default)", "plain": "plain windows (`plain_windows`)"}
    per_hour, network, whole = result["seconds_per_hour"], result["network_speed_up"], result["whole_speed_up"]
    rows = [[stage, *(spread(per_hour[way][stage]) for way in ways)] for stage in result["stages"]]
    rows.append(["times real time, all stages", *(spread(result["times_real_time"][way]) for way in ways)])
    return [
        TITLES["stages"],
        machine(result),
        f"""
`refine` runs the trunk of the network once over the whole recording and pools its output per window, instead of running
it for each window; windows overlap by three quarters. Seconds for an hour of audio on one thread; {network["num"]}
interleaved runs over {result["stems"]} stems ({result["audio_minutes"]:.0f} minutes); {SPREAD}.""",
        table(["stage", *ways.values()], rows),
        f"""
The shortcut makes spectrogram and network {spread(network)} times as fast, and all stages together {spread(whole)}
times.""",
    ]


def agreement_parts(result: Record) -> list[str]:
    """Say whether both ways give the same decisions."""
    mean, most = result["mean_difference"], result["max_difference"]
    again = of(result["judged_again"], result["stems"])
    rows = [[f"`{r}`", flips["trunk"], flips["refine"], result["decisions"]] for r, flips in result["flips"].items()]
    return [
        TITLES["agreement"],
        f"""
Scores with the shortcut differ from those of plain windows by {mean:.4f} on average and by {most:.4f} at most
({result["stems"]} stems). Stems with a score within {result["margin"]:g} logits of its threshold are therefore judged
again with plain windows: {again}. Decisions (one per stem and class) that differ from those of plain windows:""",
        table(["rule", "shortcut alone", "after judging again (`refine`)", "decisions"], rows),
    ]


def memory_parts(result: Record) -> list[str]:
    """Peak memory."""
    rows = []
    for name in ("short", "long"):
        run = result[name]
        rows.append([f"{run['minutes']:g} min", f"{thousands(run['peak_mb'])} MB", f"{run['seconds']:.0f}"])
    goal = f"Goal: less than {thousands(GOAL_MEMORY_MB)} MB for {GOAL_MEMORY_HOURS:g} hours: "
    short = result["long"]["minutes"] < GOAL_MEMORY_HOURS * 60
    goal += "not measured." if short else f"{verdict(result['long']['peak_mb'] < GOAL_MEMORY_MB)}."
    return [
        TITLES["memory"],
        machine(result),
        f"""
Peak resident memory of `stemclean refine` on one stem ({result["format"]}, {result["stem_sample_rate"]} Hz,
{result["stem_channels"]} channels), including Python, torch and the weights. The long file repeats the short one. A
dataset of many files takes more, as one file per core is judged at a time.""",
        table(["length", "peak memory", "seconds, with start-up"], rows),
        goal,
    ]


def start_parts(result: Record) -> list[str]:
    """Start-up."""
    seconds, ratios = result["seconds"], result["times_empty_python"]
    names = sorted(seconds, key=lambda name: float(seconds[name]["median"]))
    rows = [[f"`{name}`", spread(seconds[name]), spread(ratios[name])] for name in names]
    met = verdict(seconds["stemclean --help"]["median"] < GOAL_HELP)
    return [
        TITLES["start"],
        machine(result),
        f"{result['runs']} interleaved runs each; {SPREAD}.",
        table(["command", "seconds", "times as long as an empty Python"], rows),
        f"Goal: less than {GOAL_HELP} s for `--help`: {met}.",
    ]


def isolation_parts(result: Record) -> list[str]:
    """Show the cost of decoding in separate processes."""
    title = "## Isolated decoders"
    if not result:
        return [title, unmeasured("isolation SONGS benchmarks/results/isolation.json")]
    columns = ["stems", "seconds each", "pairs", "processor time without, s", "added", "wall-clock time without, s"]
    rows = []
    for row in result["rows"]:
        cells = [row["stems"], f"{row['seconds_each']:g}", row["pairs"]]
        for kind in ("cpu", "wall"):
            low, high = row[kind]["quartiles"]
            cells += [f"{row[kind]['plain_s']:.1f}", f"{row[kind]['added']:+.1%} ({low:+.1%} to {high:+.1%})"]
        rows.append(cells)
    return [
        title,
        """
Decoders run in worker processes, so that a file that crashes one costs only that file. `refine` was run on real stems
(a third each WAV, FLAC and MP3) with workers and without, in pairs; both wrote the same manifest. *Added* is the cost
of the workers within a pair, relative to the run without them: median (quartiles). Processor time includes the
workers; wall-clock time was taken on a loaded machine.""",
        table([*columns, "added"], rows),
    ]


SECTIONS = {
    "refine": refine_parts,
    "stages": stages_parts,
    "agreement": agreement_parts,
    "memory": memory_parts,
    "start": start_parts,
}
