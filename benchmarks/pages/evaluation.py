"""Does eval separation agree with museval, and how much faster is it?"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from benchmarks.pages.tables import SPREAD, Read, Record, machine, spread, table, unmeasured, verdict

PATH = "docs/benchmarks/evaluation.md"
QUESTION = "Does eval separation agree with museval?"
GOAL_SDR, GOAL_ALL = 500, 15
"""Times faster than museval: the SDR alone, and all four metrics."""
PROMISE_SDR_DB, PROMISE_DB = 1e-3, 1e-2
"""Largest difference of a frame from museval: the SDR, and the others."""
METRICS = ("sdr", "isr", "sir", "sar")
WAYS = {"all four": "SDR, ISR, SIR, SAR", "SDR alone": "SDR alone"}

INTRO = """
`stemclean eval separation` and its library function compute BSSEval v4 as [museval](../evaluation.md) defines it. Both
are given the same audio: real held-out songs and two separators that need no training. `mask` is the ideal ratio mask;
`leaky` filters the true stem and lets the others leak in.
"""


def answer(read: Read) -> list[str]:
    """Largest differences and times."""
    result = read("eval_speed")
    if not {"agreement", "command"} <= result.keys():
        return [unmeasured("eval_speed")]
    cases, command = result["agreement"]["cases"], result["command"]
    rows = [
        [
            f"`{' '.join(['stemclean eval separation', *options])}`",
            f"{max(_worst(cases, name, 'max_frame_db') for name in metrics):.1e}",
            spread(command["times_faster"][way]),
            f"{command['peak_mb'][way]} MB",
        ]
        for way, options, metrics in (("all", [], METRICS), ("SDR alone", ["--metrics sdr"], METRICS[:1]))
    ]
    return [
        table(["command", "largest difference of a frame, dB", "times faster than museval", "peak memory"], rows),
        f"""
The promise of {PROMISE_SDR_DB:g} dB for the SDR and {PROMISE_DB:g} dB for ISR, SIR and SAR in every frame is
{verdict(_kept(cases))}. Times include start-up and reading a song of {command["audio_seconds"]:g} s; museval takes
{command["peak_mb"]["bsseval"]} MB. For references with
[empty bands](benchmarks/evaluation.md#references-with-empty-bands), such as decoded Ogg Vorbis, SIR and SAR depend on
rounding in either program, and are marked.""",
    ]


def parts(read: Read) -> list[str]:
    """Return the page."""
    result, shown = read("eval_speed"), [f"# {QUESTION}", INTRO]
    for name, section in SECTIONS.items():
        shown += section(result[name]) if name in result else [unmeasured(f"eval_speed --only {name}")]
    bands = read("empty_bands")
    return shown + (empty_band_parts(bands) if bands else [unmeasured("empty_bands")])


def _kept(cases: list[Record]) -> bool:
    """Return whether every frame is within the promised distance of museval."""
    worst_rest = max(_worst(cases, name, "max_frame_db") for name in METRICS[1:])
    same = all(case["same_frames_undefined"] for case in cases)
    return _worst(cases, "sdr", "max_frame_db") <= PROMISE_SDR_DB and worst_rest <= PROMISE_DB and same


def agreement_parts(result: Record) -> list[str]:
    """Compare every frame with museval."""
    rows = []
    for separator in dict.fromkeys(case["separator"] for case in result["cases"]):
        for channels, title in ((2, "stereo"), (1, "mono")):
            cases = [c for c in result["cases"] if (c["separator"], c["channels"]) == (separator, channels)]
            frames = sum(case["frames"] for case in cases)
            undefined = sum(case["undefined"] for case in cases)
            worst = [f"{_worst(cases, name, 'max_frame_db'):.1e}" for name in METRICS]
            rows.append([f"`{separator}`", title, len(cases), frames, undefined, *worst])
    medians = max(_worst(result["cases"], name, "max_median_db") for name in METRICS)
    same = all(case["same_frames_undefined"] for case in result["cases"])
    ranges = [
        f"{name.upper()} {min(c[name]['lowest_db'] for c in result['cases']):.0f} to "
        f"{max(c[name]['highest_db'] for c in result['cases']):.0f}"
        for name in METRICS
    ]
    head = ["separator", "channels", "songs", "frames of a stem", "undefined", *(name.upper() for name in METRICS)]
    return [
        "## Differences from museval",
        machine(result),
        f"Largest difference of any frame, in dB, on an excerpt of {result['excerpt_seconds']:g} s of each song.",
        table(head, rows),
        f"""
Promise: at most {PROMISE_SDR_DB:g} dB for the SDR and {PROMISE_DB:g} dB for the other metrics in every frame:
{verdict(_kept(result["cases"]))}. The medians over frames, which are what is reported, differ by {medians:.1e} dB at
most. Silent frames are undefined in both programs; {"they are the same ones" if same else "**they differ**"}. The
values range over, in dB: {", ".join(ranges)}.""",
    ]


def speed_parts(result: Record) -> list[str]:
    """Times against museval's."""
    rows = []
    faster: dict[str, list[float]] = {way: [] for way in WAYS}
    for length in result["lengths"]:
        rows.append([_song(length), "museval", spread(length["seconds"]["museval"]), None, None])
        for way, title in WAYS.items():
            ratios = [spread(length[key][way]) for key in ("times_faster", "times_less_cpu")]
            rows.append([_song(length), title, spread(length["seconds"][way]), *ratios])
            faster[way].append(length["times_faster"][way]["median"])
    met = [verdict(min(faster[way]) >= goal) for way, goal in (("all four", GOAL_ALL), ("SDR alone", GOAL_SDR))]
    return [
        "## Time",
        machine(result),
        f"""
Arrays in memory, {result["channels"]} channels, {result["sample_rate"]} Hz, {result["threads"]} threads. The programs
take turns; {SPREAD} of {result["lengths"][0]["seconds"]["museval"]["num"]} runs each. Ratios are between consecutive
runs.""",
        table(["song", "metrics", "seconds", "times faster", "times less processor time"], rows),
        f"Goal: {GOAL_ALL} times faster for all four metrics: {met[0]}; {GOAL_SDR} times for the SDR alone: {met[1]}.",
    ]


def command_parts(result: Record) -> list[str]:
    """Whole programs."""
    names = {
        "bsseval": "museval's `bsseval`",
        "all": "`stemclean eval separation`",
        "SDR alone": "`stemclean eval separation --metrics sdr`",
    }
    rows = []
    for way, title in names.items():
        faster = result["times_faster"].get(way)
        ratio = spread(faster) if faster else None
        rows.append([title, spread(result["seconds"][way]), ratio, f"{result['peak_mb'][way]} MB"])
    return [
        "## Whole programs",
        machine(result),
        f"""
One song of {result["audio_seconds"]:g} s with {result["sources"]} stereo stems, 16-bit WAV, each program in a process
of its own. Start-up, reading and checking the files, and writing the result are included.""",
        table(["program", "seconds", "times faster", "peak memory"], rows),
    ]


def memory_parts(result: Record) -> list[str]:
    """Long songs."""
    rows = [[f"{song['minutes']:g} min", f"{song['peak_mb']} MB", f"{song['seconds']:.1f}"] for song in result["songs"]]
    return [
        "## Memory",
        machine(result),
        f"""
Peak resident memory of `stemclean eval separation` on one song of {result["sources"]} stereo stems, all metrics,
{result["workers"]} workers, including Python and its libraries. Files are read twice, in blocks of four seconds. Each
further song that is evaluated at the same time takes as much again.""",
        table(["length", "peak memory", "seconds, with start-up"], rows),
    ]


def empty_band_parts(result: Record) -> list[str]:
    """Show the effect of references without a noise floor on ISR, SIR and SAR."""
    rows = []
    for kind in dict.fromkeys(case["kind"] for case in result["cases"]):
        cases = [case for case in result["cases"] if case["kind"] == kind]
        marked = {name: sum(name in case["not_determined"] for case in cases) for name in METRICS[1:]}
        order = [max(case["museval_order_db"][index] for case in cases) for index in range(3)]
        rows.append([kind, len(cases), *(f"{apart:.2f}" for apart in order), *marked.values(), *_moved(result, cases)])
    names = [name.upper() for name in METRICS[1:]]
    head = ["references", "songs", *(f"{name}: order, dB" for name in names)]
    head += [*(f"{name}: n/d in" for name in names), *(f"{name}-reg from 16 bits, dB" for name in names)]
    return [
        "## References with empty bands",
        machine(result),
        f"""
[Empty bands](../evaluation.md#empty-bands) leave ISR, SIR and SAR undetermined. The references are excerpts of
{result["seconds"]:g} s of songs in Ogg Vorbis, as decoded and rounded to 24 and to 16 bits, each with an estimate of
the same kind. *Order* is the largest change of museval's median when the sources are given in the opposite order. *n/d
in* is the number of songs with a value marked as not determined. *From 16 bits* is the median and the maximum
difference of the regularised metric from the same metric with 16-bit references.""",
        table(head, rows),
    ]


def _moved(result: Record, cases: list[Record]) -> list[str | None]:
    """Show how far the regularised metrics differ from those of the same songs at 16 bits."""
    at_16_bits = {case["song"]: case["regularised_db"] for case in result["cases"] if case["kind"] == "16 bits"}
    shown = []
    for index in range(3):
        apart = [
            abs(a - b)
            for case in cases
            if case["song"] in at_16_bits
            for a, b in zip(case["regularised_db"][index], at_16_bits[case["song"]][index], strict=True)
        ]
        shown.append(f"{median(apart):.2f}, {max(apart):.2f}" if apart else None)
    return shown


SECTIONS: dict[str, Callable[[Record], list[str]]] = {
    "agreement": agreement_parts,
    "speed": speed_parts,
    "command": command_parts,
    "memory": memory_parts,
}


def _song(length: Record) -> str:
    return f"{length['audio_seconds']:g} s, {length['sources']} stems"


def _worst(cases: list[Record], metric: str, statistic: str) -> float:
    return float(max(case[metric][statistic] for case in cases))
