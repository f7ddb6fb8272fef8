"""Section of ``docs/benchmarks.md`` on how fast and how truly separators are evaluated; see :mod:`benchmarks.page`."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.page import SPREAD, spread, table, verdict

AIM_SDR, AIM_ALL = 500, 15
"""Times faster than museval: the SDR alone, and all four metrics."""
PROMISE_SDR_DB, PROMISE_DB = 1e-3, 1e-2
"""Greatest difference of a frame from museval: the SDR, and the others."""
METRICS = ("sdr", "isr", "sir", "sar")
WAYS = {"all four": "SDR, ISR, SIR, SAR", "SDR alone": "SDR alone"}

Record = dict[str, Any]


def parts(read: Callable[[str], Record]) -> list[str]:
    """The section.

    Args:
        read: name of a result -> what it holds, empty where there is none.
    """
    result, shown = read("eval_speed"), ["## How fast are separators evaluated?", INTRO]
    for name, section in SECTIONS.items():
        missing = [f"Not measured yet: `python -m benchmarks.eval_speed --only {name}`."]
        shown += section(result[name]) if name in result else missing
    bands = read("empty_bands")
    return shown + (empty_band_parts(bands) if bands else ["Not measured yet: `python -m benchmarks.empty_bands`."])


INTRO = """
`stemclean eval separation` and its library function compute BSSEval v4 as [museval](evaluation.md) defines it. Both are
given the same audio: real held-out songs, and two separators that need no training. `mask` is the ideal ratio mask,
`leaky` filters the true stem and lets the others leak in.
"""


def agreement_parts(result: Record) -> list[str]:
    """Every frame against museval's."""
    rows = []
    for separator in dict.fromkeys(case["separator"] for case in result["cases"]):
        for channels, title in ((2, "stereo"), (1, "mono")):
            cases = [c for c in result["cases"] if (c["separator"], c["channels"]) == (separator, channels)]
            frames = sum(case["frames"] for case in cases)
            undefined = sum(case["undefined"] for case in cases)
            worst = [f"{_worst(cases, name, 'max_frame_db'):.1e}" for name in METRICS]
            rows.append([f"`{separator}`", title, len(cases), frames, undefined, *worst])
    worst_sdr = _worst(result["cases"], "sdr", "max_frame_db")
    worst_rest = max(_worst(result["cases"], name, "max_frame_db") for name in METRICS[1:])
    medians = max(_worst(result["cases"], name, "max_median_db") for name in METRICS)
    same = all(case["same_frames_undefined"] for case in result["cases"])
    ranges = [
        f"{name.upper()} {min(c[name]['lowest_db'] for c in result['cases']):.0f} to "
        f"{max(c[name]['highest_db'] for c in result['cases']):.0f}"
        for name in METRICS
    ]
    told = f"The promise is {PROMISE_SDR_DB:g} dB for the SDR and {PROMISE_DB:g} dB for the others in every frame: "
    told += verdict(worst_sdr <= PROMISE_SDR_DB and worst_rest <= PROMISE_DB and same)
    told += f". The medians over frames, which are what is reported, differ by {medians:.1e} dB at most. "
    told += f"Silent frames are undefined in both: {'the same ones' if same else '**not the same ones**'}. "
    told += f"The values lie, in dB, from {', '.join(ranges)}."
    head = ["separator", "channels", "songs", "frames of a stem", "undefined", *(name.upper() for name in METRICS)]
    return [
        "### The same numbers as museval",
        machine(result),
        f"Greatest difference of any frame, in dB. Excerpts of {result['excerpt_seconds']:g} s of each song.",
        table(head, rows),
        told,
    ]


def speed_parts(result: Record) -> list[str]:
    """In memory."""
    rows, reached = [], {}
    for length in result["lengths"]:
        times = length["seconds"]
        rows.append([_song(length), "museval", spread(times["museval"]), "–", "–"])
        for way, title in WAYS.items():
            ratio, cpu = length["times_faster"][way], length["times_less_cpu"][way]
            rows.append([_song(length), title, spread(times[way]), spread(ratio), spread(cpu)])
            aim = AIM_ALL if way == "all four" else AIM_SDR
            reached.setdefault(way, []).append(ratio["median"] >= aim)
    told = f"The aim is {AIM_ALL} times for all four: {verdict(all(reached['all four']))}; "
    told += f"and {AIM_SDR} times for the SDR alone: {verdict(all(reached['SDR alone']))}."
    return [
        "### Times",
        machine(result),
        f"""
Arrays in memory, {result["channels"]} channels, {result["sample_rate"]} Hz, {result["threads"]} threads. museval and
this take turns; {SPREAD} of {result["lengths"][0]["seconds"]["museval"]["num"]} runs each. Every ratio is of two runs
that follow one another.""",
        table(["song", "what", "seconds", "times faster", "times less processor time"], rows),
        told,
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
        ratio = spread(faster) if faster else "–"
        rows.append([title, spread(result["seconds"][way]), ratio, f"{result['peak_mb'][way]} MB"])
    return [
        "### From files to numbers",
        machine(result),
        f"""
One song of {result["audio_seconds"]:g} s and {result["sources"]} stereo stems, WAV of 16 bits, each program in a
process of its own: its start, reading and checking the files, and writing the result are in the time.""",
        table(["program", "seconds", "times faster", "peak memory"], rows),
    ]


def memory_parts(result: Record) -> list[str]:
    """Long songs."""
    rows = [[f"{song['minutes']:g} min", f"{song['peak_mb']} MB", f"{song['seconds']:.1f}"] for song in result["songs"]]
    return [
        "### Memory",
        machine(result),
        f"""
Peak resident memory of `stemclean eval separation` on one song of {result["sources"]} stereo stems, all metrics,
{result["workers"]} workers. Python and its libraries are in it. Files are read in stretches of four seconds, twice.
Each song that is evaluated at once takes as much again.""",
        table(["length", "peak", "seconds, start included"], rows),
    ]


def empty_band_parts(result: Record) -> list[str]:
    """What references without a floor of noise do to ISR, SIR and SAR."""
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
        "### References with empty bands",
        machine(result),
        f"""
[Empty bands](evaluation.md#empty-bands) leave ISR, SIR and SAR open. The references are excerpts of
{result["seconds"]:g} s of songs in Ogg Vorbis, as the decoder gives them and with the rounding of 24 and of 16 bits;
an estimate of the same kind is made for each. *Order*: by how much museval's median changes at most when the sources
come in the opposite order. *n/d in*: songs in which a value is marked as not determined. *From 16 bits*: median and
greatest difference of the regularised metric from the same metric with references of 16 bits.""",
        table(head, rows),
    ]


def _moved(result: Record, cases: list[Record]) -> list[str]:
    """How far the regularised metrics of some cases lie from those of the same songs at 16 bits."""
    at_16_bits = {case["song"]: case["regularised_db"] for case in result["cases"] if case["kind"] == "16 bits"}
    shown = []
    for index in range(3):
        apart = [
            abs(a - b)
            for case in cases
            if case["song"] in at_16_bits
            for a, b in zip(case["regularised_db"][index], at_16_bits[case["song"]][index], strict=True)
        ]
        shown.append(f"{median(apart):.2f}, {max(apart):.2f}" if apart else "–")
    return shown


SECTIONS: dict[str, Callable[[Record], list[str]]] = {
    "agreement": agreement_parts,
    "speed": speed_parts,
    "command": command_parts,
    "memory": memory_parts,
}


def machine(result: Record) -> str:
    """Where a section was measured, and against what."""
    where = result["machine"]
    told = f"{where['cores']} cores ({where['architecture']}, {where['system']}), Python {where['python']}, "
    return f"*{told}museval {where['museval']}; load average before: {where['load_before'][0]:g}.*"


def _song(length: Record) -> str:
    return f"{length['audio_seconds']:g} s, {length['sources']} stems"


def _worst(cases: list[Record], metric: str, what: str) -> float:
    return float(max(case[metric][what] for case in cases))
