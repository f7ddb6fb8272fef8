"""Section of ``docs/benchmarks.md`` on damaged input and killed runs; see :mod:`benchmarks.page`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.page import table, thousands
from benchmarks.robustness.__main__ import BATCH
from benchmarks.robustness.audio import FOLDER
from benchmarks.robustness.judging import FAILURES
from benchmarks.robustness.kills import VERBS

Record = dict[str, Any]

ABOUT = """
Damaged files and sudden ends are drawn by a seed, and everything that should not happen is counted: an input may be
refused or skipped, by name and with a reason, and nothing else. A killed run is started again until it is done; then it
must have written the same bytes as a run that nobody killed, and nothing besides. So must a run whose disk was full,
when there is room again; what it could not write is named, with the next step, and stands nowhere half written.
"""

WHAT = {
    "audio": "mutated audio files, each read by `trim` and by `refine`",
    "documents": "mutated manifests, lists, files of f0, recipes, cards of weights and journals",
    "kills": "runs killed, and gone on with",
    "disks": "runs whose disk was full, read-only or limited, or whose output was closed, and gone on with",
}

ONE_SIDED = """
Clean stems recorded on one channel of two, or with one channel inverted, are judged as the mono that they hold: none is
thrown away for it, and each carries the issue `one_sided` or `polarity_inverted`.
"""


def parts(read: Callable[[str], Record]) -> list[str]:
    """The section.

    Args:
        read: name of a result -> what it holds, empty where there is none.
    """
    result = read("robustness")
    told = ["## What do damaged files, kills and full disks do?", ABOUT]
    for part, what in WHAT.items():
        if part not in result:
            told.append(f"{what[0].upper()}{what[1:]}: not measured yet, `python -m benchmarks.robustness {part}`.")
    shown = {part: _whole(result[part]) for part in WHAT if part in result}
    if shown:
        told += [_summary(shown), *_kills(result.get("kills", {})), _failures(shown)]
        told.append("\n".join(f"`{_command(part, record)}`  " for part, record in shown.items()))
    return told + _one_sided(read("one_sided"))


def _one_sided(result: Record) -> list[str]:
    if not result:
        return []
    columns = {"stems": "stems with sound", "not_kept": "not kept", "unlike_mono": "another verdict than as mono"}
    rows = [
        [shape, *(result["shapes"][shape][name] for name in columns)] for shape in ("mono", "left", "right", "inverted")
    ]
    shown = table(["shape", *columns.values()], rows)
    return ["## Do one-sided and inverted stems survive?", ONE_SIDED, shown, f"`{result['command']}`"]


def _whole(part: Record) -> Record:
    """A part, put together where it was done in pieces."""
    if "counts" in part:
        return part
    pieces = list(part.values())
    counts = {key: sum((Counter(piece[key]) for piece in pieces), Counter()) for key in ("counts", "failed")}
    return {**counts, "by": ", ".join(sorted({piece["by"] for piece in pieces})), "settings": pieces[0]["settings"]}


def _command(part: str, record: Record) -> str:
    songs = " --songs SONGS" if record["settings"]["songs"] else ""
    seed = record["settings"]["seed"]
    return f"python -m benchmarks.robustness {part} benchmarks/results/robustness.json --seed {seed}{songs}"


def _number(part: str, record: Record) -> int:
    """Files, documents, kills or runs that were tried."""
    counts: dict[str, int] = record["counts"]
    if part == "kills":
        return sum(number for name, number in counts.items() if name.startswith("killed/"))
    if part == "disks":
        return counts["cases"]
    each = BATCH if part == "documents" else FOLDER
    return min(int(record["settings"]["cases"]), each * len(record["done"]))


def _summary(shown: dict[str, Record]) -> str:
    rows = []
    for part, record in shown.items():
        failed = sum(record["failed"].values())
        rows.append([WHAT[part], thousands(_number(part, record)), f"`{record['by']}`", failed or "none"])
    return table(["what", "number", "by", "failures"], rows)


def _kills(verbs: dict[str, Record]) -> list[str]:
    """When each verb was killed, and what of.

    Args:
        verbs: verb -> its piece of the result.
    """
    if not verbs:
        return []
    signals = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
    rows = [
        [
            f"`{verb}`",
            f"{verbs[verb]['seconds']:g}",
            *(verbs[verb]["counts"].get(name, 0) for name in signals),
            " ".join(str(number) for number in verbs[verb]["moments"]),
            verbs[verb]["counts"].get(f"end/{verb}", 0),
        ]
        for verb in VERBS
        if verb in verbs
    ]
    header = ["verb", "seconds unkilled", *signals, "kills by fifths of the run", "runs compared in the end"]
    return [table(header, rows)]


def _failures(shown: dict[str, Record]) -> str:
    rows = [
        [f"`{name}`", what, *(record["failed"].get(name, 0) for record in shown.values())]
        for name, what in FAILURES.items()
    ]
    return table(["failure", "what it is", *shown], rows)
