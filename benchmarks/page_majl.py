"""The section of ``docs/benchmarks.md`` on separation and pitch learned together; from ``results/majl.json``.

The words are chosen by the numbers: with several seeds a difference is called one where the 95 % interval of the paired
differences (Student's t) leaves out 0; with one seed no difference is called anything but what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "majl.json"
AIM = {"sdr": 0.92, "rpa": 0.0271}
"""What the paper gained over its predecessor, in dB and as a share."""
NAMES = {
    "pipeline": "(a) separator alone, then tracker on clean vocals",
    "sum": "(b) joint, the sum of both losses",
    "dwa": "(c) joint, dynamic weight average",
    "majl": "(d) joint, DWHS: MAJL's first stage",
    "majl_sharp": "(d) with sharper weights",
    "stripped_pipeline": "(a) on the labels that are left",
    "stripped_majl1": "(d) on the clips that kept both labels",
    "stripped_majl2": "(e) both stages",
    "stripped_majl2_uniform": "(e) second stage without DWHS",
    "stripped_majl2_plain": "(e) second stage without confidences",
    "stripped_majl2_uniform_plain": "(e) second stage without either",
}
COLUMNS = {
    "sdr": ("SDR, dB", "{:.2f}", 1),
    "sdr_accompaniment": ("of the rest", "{:.2f}", 1),
    "gnsdr": ("GNSDR, dB", "{:.2f}", 1),
    "rpa": ("RPA, %", "{:.1f}", 100),
    "rca": ("RCA, %", "{:.1f}", 100),
    "oa": ("OA, %", "{:.1f}", 100),
    "rpa_clean": ("RPA on clean vocals, %", "{:.1f}", 100),
}
SPLITS = {
    "singer": "Test singers are in no other clip.",
    "clip": "A fifth of the clips was drawn for the test; their singers are known from others.",
    "djcm": "Test clips are those of the published DJCM split; their singers are known from others.",
}

Record = dict[str, Any]

TITLE = "## Are separation and pitch better learned together?"
TEXT = """
MAJL ([method](pitch.md#how-both-are-joined)) on MIR-1K: real singers over karaoke tracks, voice and accompaniment mixed
as they come, about 0 dB. Each row has the same networks, sees the same number of excerpts of 2.56 s in all and chooses
its weights on the same validation clips; two stages share the excerpts. SDR is 10 log10 of the mean-square ratio over a
clip, the mean of clips; GNSDR is its gain over the mixture, clips weighted by length. Pitch is found in the mixture and
measured as mir_eval does.
"""
STRIPPED = """
Now half of the training clips have lost their f0, and another quarter their vocals: only a quarter is fully labelled.
"""


def parts() -> list[str]:
    """The section; what is not measured says so."""
    if not RESULT.exists():
        return [TITLE, TEXT, "Not measured yet: `python -m benchmarks.majl MIR1K benchmarks/results/majl.json`."]
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    return [TITLE, TEXT, *section(result)]


def section(result: Record) -> list[str]:
    """Tables and words, one pair and split after the other."""
    found = []
    for pair, split in dict.fromkeys((run["pair"], run["split"]) for run in result["runs"]):
        runs = [run for run in result["runs"] if (run["pair"], run["split"]) == (pair, split)]
        found += _one(runs, pair, split, result["settings"])
    return found


def _one(runs: Sequence[Record], pair: str, split: str, settings: Record) -> list[str]:
    seeds = sorted({run["seed"] for run in runs})
    examples = f"{settings['examples']:,}".replace(",", " ")
    about = (
        f"`{pair}`, {examples} excerpts, {len(seeds)} seed{'s' * (len(seeds) > 1)}, {runs[0]['clips']} test clips. "
        f"{SPLITS[split]}"
    )
    if len(seeds) > 1:
        about += (
            " Differences are those of the seeds that both rows have, ± half of their 95 % interval (Student's t); in "
            "tables it is the standard deviation."
        )
    full = [row for row in NAMES if not row.startswith("stripped") and _of(runs, row)]
    stripped = [row for row in NAMES if row.startswith("stripped") and _of(runs, row)]
    said = [f"### {pair.replace('+', ' and ')}, by {split}", about]
    if full:
        said += [table(runs, full), compared(runs, "pipeline", full)]
        said.append(compared(runs, "sum", [row for row in full if row != "pipeline"]))
    if stripped:
        said += [STRIPPED, table(runs, stripped), compared(runs, "stripped_pipeline", stripped), brought(runs)]
    if _shared(runs, "pipeline", "stripped_majl2"):
        said.append(_aim(runs))
    if _shared(runs, "majl", "stripped_majl1"):
        said.append(_scarcity(runs))
    missing = [NAMES[row] for row in NAMES if not _of(runs, row)]
    if missing:
        said.append(f"Not measured yet: {'; '.join(missing)}.")
    return [part for part in said if part]


def table(runs: Sequence[Record], rows: Sequence[str]) -> str:
    """One line per row; the mean of its seeds, and their standard deviation where there are several."""
    head = ["", "seeds", *(name for name, _, _ in COLUMNS.values())]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [str(len(_of(runs, row)))]
        for key, (_, form, factor) in COLUMNS.items():
            values = np.array([run[key] for run in _of(runs, row)]) * factor
            spread = f" ± {form.format(values.std(ddof=1))}" if len(values) > 1 else ""
            cells.append(form.format(values.mean()) + spread)
        lines.append(f"| {NAMES[row]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def compared(runs: Sequence[Record], base: str, rows: Sequence[str]) -> str:
    """What each row brings over the first, in SDR and RPA."""
    if not _of(runs, base):
        return ""
    said = []
    for row in rows:
        if row != base and _shared(runs, base, row):
            gains = [_gain(runs, base, row, key) for key in ("sdr", "rpa")]
            said.append(f"- {NAMES[row]}: SDR {_signed(gains[0], 1, 'dB')}, RPA {_signed(gains[1], 100, 'points')}")
    return "\n".join([f"Over {NAMES[base]}:", "", *said]) if said else ""


def brought(runs: Sequence[Record]) -> str:
    """What DWHS and confidences bring to the second stage, each against a second stage without it."""
    said = []
    for part, without in (("DWHS", "stripped_majl2_uniform"), ("confidences", "stripped_majl2_plain")):
        if _shared(runs, without, "stripped_majl2"):
            gains = [_gain(runs, without, "stripped_majl2", key) for key in ("sdr", "rpa")]
            said.append(f"- {part}: SDR {_signed(gains[0], 1, 'dB')}, RPA {_signed(gains[1], 100, 'points')}")
    return "\n".join(["What a part brings to the second stage:", "", *said]) if said else ""


def _aim(runs: Sequence[Record]) -> str:
    gains = {key: _gain(runs, "pipeline", "stripped_majl2", key) for key in AIM}
    reached = {key: _reached(gain, AIM[key]) for key, gain in gains.items()}
    sdr, rpa = _signed(gains["sdr"], 1, "dB"), _signed(gains["rpa"], 100, "points")
    return (
        f"The paper's own gains over its predecessor were {AIM['sdr']} dB and {AIM['rpa'] * 100:.2f} points. Here both "
        f"stages on a quarter of the full labels, over the pipeline on all of them: SDR {sdr} ({reached['sdr']}), "
        f"RPA {rpa} ({reached['rpa']})."
    )


def _scarcity(runs: Sequence[Record]) -> str:
    """How much the labels that were taken away were worth, which bounds what a second stage can give back."""
    lost = {key: _gain(runs, "majl", "stripped_majl1", key) for key in AIM}
    given = {key: _gain(runs, "stripped_majl1", "stripped_majl2", key) for key in AIM}
    told = [
        f"SDR {_signed(part['sdr'], 1, 'dB')} and RPA {_signed(part['rpa'], 100, 'points')}" for part in (lost, given)
    ]
    return (
        f"What labels are worth here: with a quarter of them instead of all, (d) changes by {told[0]}; the clips that "
        f"are only half labelled, with a second stage, change that by {told[1]}. Whatever the taken labels did not "
        "add, estimates of them cannot give back."
    )


def _reached(gain: tuple[float, float | None], aim: float) -> str:
    """Whether an aim was reached: surely only where the whole interval says so; with one seed, as it was measured."""
    mean, half = gain
    if half is not None and abs(mean - aim) < half:
        return "in the mean, not surely" if mean >= aim else "not reached, not surely missed"
    return "reached" if mean >= aim else "not reached"


def _gain(runs: Sequence[Record], base: str, row: str, key: str) -> tuple[float, float | None]:
    """Mean of the paired differences over the shared seeds, and half of its 95 % interval; None with one of them.

    NaN where no seed is shared.
    """
    of_base = {run["seed"]: run[key] for run in _of(runs, base)}
    differences = [run[key] - of_base[run["seed"]] for run in _of(runs, row) if run["seed"] in of_base]
    if len(differences) < 2:
        return float(np.mean(differences)) if differences else float("nan"), None
    half = student.ppf(0.975, len(differences) - 1) * np.std(differences, ddof=1) / len(differences) ** 0.5
    return float(np.mean(differences)), float(half)


def _signed(gain: tuple[float, float | None], factor: float, unit: str) -> str:
    mean, half = gain
    text = f"{mean * factor:+.2f} {unit}"
    if half is None:
        return text
    sure = "" if abs(mean) > half else ", within the spread"
    return f"{text} (± {half * factor:.2f}{sure})"


def _shared(runs: Sequence[Record], base: str, row: str) -> set[int]:
    """Seeds in which both were measured."""
    return {run["seed"] for run in _of(runs, base)} & {run["seed"] for run in _of(runs, row)}


def _of(runs: Sequence[Record], row: str) -> list[Record]:
    return sorted((run for run in runs if run["row"] == row), key=lambda run: run["seed"])
