"""What do damaged files, killed runs, full disks and one-sided stems do?"""

from __future__ import annotations

from collections import Counter

from benchmarks.pages.tables import Read, Record, table, thousands, unmeasured
from benchmarks.robustness.__main__ import BATCH
from benchmarks.robustness.audio import FOLDER
from benchmarks.robustness.judging import FAILURES
from benchmarks.robustness.kills import VERBS

PATH = "docs/benchmarks/robustness.md"
QUESTION = "What do damaged files, killed runs and full disks do?"
ONE_SIDED_QUESTION = "Are one-sided and inverted stems kept?"

ABOUT = """
Damaged inputs and interruptions are generated at random from a fixed seed, and every failure is counted. An input may
be refused or skipped, by name and with a reason; nothing else may happen. A killed run is started again until it is
done, and must then have written the same bytes as an undisturbed run, without any leftover files. The same holds for a
run whose disk was full, once there is space again; it must name what it could not write and the next step, and leave no
partial file.
"""

PARTS = {
    "audio": "damaged audio files, each read by `trim` and by `refine`",
    "documents": "damaged manifests, lists, f0 files, recipes, weight cards and journals",
    "kills": "runs that were killed and resumed",
    "disks": "runs with a full, read-only or limited disk, or a closed output, and resumed",
}

ONE_SIDED = """
Clean stems that were recorded on one of two channels, or with one channel inverted, are judged as the mono signal that
they hold. None is dropped for it, and each carries the issue `one_sided` or `polarity_inverted`.
"""


def answer(read: Read) -> list[str]:
    """Cases and failures, part by part."""
    result = read("robustness")
    shown = _measured(result)
    missing = [part for part in PARTS if part not in result]
    missing_line = unmeasured(f"robustness {'|'.join(missing)}") if missing else ""
    if not shown:
        return [missing_line]
    failed = sum(sum(record["failed"].values()) for record in shown.values())
    conclusion = "No failure was found." if not failed else f"**{failed} failures** were found; the page lists them."
    return [
        _summary(shown),
        f"""
{conclusion} A failure is anything but the right result or a refusal that names the input and the reason: a crash, a
hang, other bytes than an undisturbed run writes, a leftover file. {missing_line}""",
    ]


def one_sided_answer(read: Read) -> list[str]:
    """Verdicts by shape."""
    result = read("one_sided")
    if not result:
        return [unmeasured("one_sided")]
    unlike = sum(counts["unlike_mono"] for counts in result["shapes"].values())
    conclusion = (
        "Every stem gets the verdict of its mono signal." if not unlike else f"**{unlike} stems** get another verdict."
    )
    return [
        _shapes(result),
        f"{conclusion} Those not kept are false alarms of the classifier, which the mono signal raises as well.",
    ]


def parts(read: Read) -> list[str]:
    """Return the page."""
    result = read("robustness")
    sections = [f"# {QUESTION}", ABOUT]
    missing = [
        f"- {title[0].upper()}{title[1:]}. {unmeasured(f'robustness {part}')}"
        for part, title in PARTS.items()
        if part not in result
    ]
    sections += ["\n".join(missing)] if missing else []
    if shown := _measured(result):
        sections += [_summary(shown), *_kills(result.get("kills", {})), _failures(shown)]
        sections.append("\n".join(f"`{_command(part, record)}`  " for part, record in shown.items()))
    return sections + _one_sided(read("one_sided"))


def _one_sided(result: Record) -> list[str]:
    if not result:
        return []
    return [f"## {ONE_SIDED_QUESTION}", ONE_SIDED, _shapes(result), f"`{result['command']}`"]


def _shapes(result: Record) -> str:
    titles = {"stems": "stems with sound", "not_kept": "not kept", "unlike_mono": "verdict differs from mono"}
    shapes = ("mono", "left", "right", "inverted")
    rows = [[title, *(result["shapes"][shape][name] for shape in shapes)] for name, title in titles.items()]
    return table(["recorded as", *shapes], rows)


def _measured(result: Record) -> dict[str, Record]:
    """Parts that were measured, put together where they were done in pieces."""
    return {part: _whole(result[part]) for part in PARTS if part in result}


def _whole(part: Record) -> Record:
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
        rows.append([PARTS[part], thousands(_number(part, record)), f"`{record['by']}`", failed or "none"])
    return table(["cases", "number", "version", "failures"], rows)


def _kills(verbs: dict[str, Record]) -> list[str]:
    """When the runs of each command were killed, and by which signal.

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
    head = ["command", "seconds undisturbed", *signals, "kills by fifth of the run", "results compared"]
    return [table(head, rows)]


def _failures(shown: dict[str, Record]) -> str:
    rows = [
        [f"`{name}`", meaning, *(record["failed"].get(name, 0) for record in shown.values())]
        for name, meaning in FAILURES.items()
    ]
    return table(["failure", "meaning", *shown], rows)
