"""Are separation and pitch better learned together? MAJL on MIR-1K.

The words are chosen by the numbers: with several seeds, a difference counts only if the 95 % interval of the paired
differences (Student's t) excludes 0; with one seed, it is given as measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.pages.paired import Difference, difference
from benchmarks.pages.tables import Read, Record, over_seeds, plural, table, thousands, unmeasured

PATH = "docs/benchmarks/joint.md"
QUESTION = "Are separation and pitch better learned together?"
RESULT = "majl"
GOAL = {"sdr": 0.92, "rpa": 0.0271}
"""Gain of the paper over its predecessor, in dB and as a share."""
NAMES = {
    "pipeline": "(a) separator alone, then tracker on clean vocals",
    "sum": "(b) joint, sum of both losses",
    "dwa": "(c) joint, dynamic weight average",
    "majl": "(d) joint, DWHS: MAJL's first stage",
    "majl_sharp": "(d) with sharper weights",
    "stripped_pipeline": "(a) on the remaining labels",
    "stripped_majl1": "(d) on the clips with both labels",
    "stripped_majl2": "(e) both stages",
    "stripped_majl2_uniform": "(e) second stage without DWHS",
    "stripped_majl2_plain": "(e) second stage without confidences",
    "stripped_majl2_uniform_plain": "(e) second stage without either",
}
COLUMNS = {
    "sdr": ("SDR, dB", 2, 1),
    "sdr_accompaniment": ("SDR of the accompaniment", 2, 1),
    "gnsdr": ("GNSDR, dB", 2, 1),
    "rpa": ("RPA, %", 1, 100),
    "rca": ("RCA, %", 1, 100),
    "oa": ("OA, %", 1, 100),
    "rpa_clean": ("RPA on clean vocals, %", 1, 100),
}
"""Metric -> title, decimals and factor."""
SHORT = ("pipeline", "sum", "majl")
"""Rows of the overview."""
SPLITS = {
    "singer": "Singers of the test clips are in no other clip.",
    "clip": "A random fifth of the clips is the test set; other clips of its singers are trained on.",
    "djcm": "The test clips are those of the published DJCM split; other clips of their singers are trained on.",
}
EARLIER = {
    "unet+harmof0": " Measured before the first convolutions of HarmoF0 became 3x3, as in its authors' code.",
}
"""Pairs whose figures are those of an earlier version of a network."""

TEXT = """
MAJL ([method](../pitch.md#joint-training)) is trained on MIR-1K: amateur singers over karaoke tracks, with voice
and accompaniment mixed as recorded, at about 0 dB. All rows have the same networks, see the same number of excerpts of
2.56 s in total, and choose their weights on the same validation clips; two stages share the excerpts. SDR is 10 log10
of the mean-square ratio over a clip, averaged over clips. GNSDR is its gain over the mixture, with clips weighted by
length. Pitch is tracked in the mixture and evaluated as by mir_eval.
"""
STRIPPED = """
Here, half of the training clips have no f0, and another quarter has no vocals: only a quarter is fully labelled.
"""


def answer(read: Read) -> list[str]:
    """Summarise the pair of networks with the most seeds."""
    result = read(RESULT)
    if not result:
        return [unmeasured("majl MIR1K benchmarks/results/majl.json")]
    runs = max(_groups(result).values(), key=lambda same: len({run["seed"] for run in same}))
    keys = ("sdr", "rpa", "rpa_clean")
    rows = [[NAMES[row], *(_figure(runs, row, key) for key in keys)] for row in SHORT if _of(runs, row)]
    clean = _signed(_gain(runs, "pipeline", "majl", "rpa_clean"), 100, "points")
    return [
        table(["", *(COLUMNS[key][0] for key in keys)], rows),
        f"""
With `{runs[0]["pair"]}`, joint training (d) changes the results of (a) by {_both(runs, "pipeline", "majl")}; RPA on
clean vocals changes by {clean}. The tracker of (a) has never been trained on mixtures, and those of (b) and (d) have.
The networks are small and trained briefly, on one public set of amateur singers.""",
    ]


def parts(read: Read) -> list[str]:
    """Return the page."""
    result = read(RESULT)
    title = f"# {QUESTION}"
    if not result:
        return [title, TEXT, unmeasured("majl MIR1K benchmarks/results/majl.json")]
    return [title, TEXT, *section(result)]


def section(result: Record) -> list[str]:
    """Tables and findings, by pair of networks and split."""
    return [
        part for (pair, split), runs in _groups(result).items() for part in _one(runs, pair, split, result["settings"])
    ]


def _groups(result: Record) -> dict[tuple[str, str], list[Record]]:
    """Pair and split -> their runs."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for run in result["runs"]:
        groups.setdefault((run["pair"], run["split"]), []).append(run)
    return groups


def _one(runs: Sequence[Record], pair: str, split: str, settings: Record) -> list[str]:
    seeds = sorted({run["seed"] for run in runs})
    about = (
        f"`{pair}`, {thousands(settings['examples'])} excerpts, {plural(len(seeds), 'seed')}, {runs[0]['clips']} test "
        f"clips. {SPLITS[split]}"
    )
    about += EARLIER.get(pair, "")
    if len(seeds) > 1:
        about += (
            " Tables show mean ± standard deviation over the seeds. Differences are between runs with the same seed, "
            "± half of their 95 % interval (Student's t); they are not significant if that includes 0."
        )
    full = [row for row in NAMES if not row.startswith("stripped") and _of(runs, row)]
    stripped = [row for row in NAMES if row.startswith("stripped") and _of(runs, row)]
    shown = [f"## {pair.replace('+', ' and ')}, split by {split}", about]
    if full:
        shown += [score_table(runs, full), compared(runs, "pipeline", full)]
        shown.append(compared(runs, "sum", [row for row in full if row != "pipeline"]))
    if stripped:
        shown += [STRIPPED, score_table(runs, stripped), compared(runs, "stripped_pipeline", stripped), ablated(runs)]
    if _shared(runs, "pipeline", "stripped_majl2"):
        shown.append(_goal(runs))
    if _shared(runs, "majl", "stripped_majl1"):
        shown.append(_scarcity(runs))
    missing = [NAMES[row] for row in NAMES if not _of(runs, row)]
    if missing:
        shown.append(f"Not measured yet: {'; '.join(missing)}.")
    return [part for part in shown if part]


def score_table(runs: Sequence[Record], rows: Sequence[str]) -> str:
    """One line per row: the mean over its seeds, and their standard deviation if there are several."""
    head = ["", "seeds", *(title for title, _, _ in COLUMNS.values())]
    return table(
        head, [[NAMES[row], len(_of(runs, row)), *(_figure(runs, row, key) for key in COLUMNS)] for row in rows]
    )


def _figure(runs: Sequence[Record], row: str, key: str) -> str:
    _, decimals, factor = COLUMNS[key]
    return over_seeds([run[key] * factor for run in _of(runs, row)], decimals)


def compared(runs: Sequence[Record], base: str, rows: Sequence[str]) -> str:
    """Show the gain of each row over the first, in SDR and RPA."""
    gains = [f"- {NAMES[row]}: {_both(runs, base, row)}" for row in rows if row != base and _shared(runs, base, row)]
    return "\n".join([f"Compared with {NAMES[base]}:", "", *gains]) if gains else ""


def ablated(runs: Sequence[Record]) -> str:
    """Show the effect of DWHS and of confidences in the second stage."""
    gains = [
        f"- {part}: {_both(runs, without, 'stripped_majl2')}"
        for part, without in (("DWHS", "stripped_majl2_uniform"), ("confidences", "stripped_majl2_plain"))
        if _shared(runs, without, "stripped_majl2")
    ]
    return "\n".join(["Contribution of each part to the second stage:", "", *gains]) if gains else ""


def _goal(runs: Sequence[Record]) -> str:
    gains = {key: _gain(runs, "pipeline", "stripped_majl2", key) for key in GOAL}
    reached = {key: _reached(gain, GOAL[key]) for key, gain in gains.items()}
    sdr, rpa = _signed(gains["sdr"], 1, "dB"), _signed(gains["rpa"], 100, "points")
    return (
        f"The paper gained {GOAL['sdr']} dB and {GOAL['rpa'] * 100:.2f} points over its predecessor. Here, both stages "
        f"with a quarter of the full labels are compared with the pipeline on all labels: SDR {sdr} "
        f"({reached['sdr']}), RPA {rpa} ({reached['rpa']})."
    )


def _scarcity(runs: Sequence[Record]) -> str:
    """Show the value of the removed labels, which bounds what a second stage can recover."""
    lost, recovered = _both(runs, "majl", "stripped_majl1"), _both(runs, "stripped_majl1", "stripped_majl2")
    return (
        f"Value of the labels: with a quarter of them instead of all, (d) changes by {lost}. A second stage, which "
        f"adds the partly labelled clips, changes that by {recovered}. Estimated labels cannot recover more than the "
        "removed labels were worth."
    )


def _reached(gain: Difference, goal: float) -> str:
    """Say whether a goal was reached: with several seeds only if the whole interval agrees, with one as measured."""
    if gain.sd is not None and abs(gain.mean - goal) < gain.half:
        return "reached on average, not for certain" if gain.mean >= goal else "not reached, but not for certain"
    return "reached" if gain.mean >= goal else "not reached"


def _gain(runs: Sequence[Record], base: str, row: str, key: str) -> Difference:
    """Return a row minus the base, over their common seeds."""
    return difference(_of(runs, row), _of(runs, base), key)


def _both(runs: Sequence[Record], base: str, row: str) -> str:
    """Return the gains in SDR and RPA."""
    sdr, rpa = (_gain(runs, base, row, key) for key in ("sdr", "rpa"))
    return f"SDR {_signed(sdr, 1, 'dB')}, RPA {_signed(rpa, 100, 'points')}"


def _signed(gain: Difference, factor: float, unit: str) -> str:
    """``+0.05 dB (± 0.15, not significant)``: the mean, and half of its interval."""
    text = f"{gain.mean * factor:+.2f} {unit}"
    if gain.sd is None:
        return text
    return f"{text} (± {gain.half * factor:.2f}{'' if gain.clear else ', not significant'})"


def _shared(runs: Sequence[Record], base: str, row: str) -> set[int]:
    """Return the seeds that both rows have."""
    return {run["seed"] for run in _of(runs, base)} & {run["seed"] for run in _of(runs, row)}


def _of(runs: Sequence[Record], row: str) -> list[Record]:
    return sorted((run for run in runs if run["row"] == row), key=lambda run: run["seed"])
