"""The tables that ``stemclean refine`` prints, and its remarks on what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemclean.cli._noise import noise_tables
from stemclean.cli._shared import clock, misfits, passed_over, place, table, typed

if TYPE_CHECKING:
    from rich.table import Table

ROWS = 20
"""Findings that the table shows; the manifest and ``--json`` contain all."""


def tables(report: dict[str, Any]) -> list[Table | str]:
    """All tables: the findings, worst first, the verdicts, the issues, the noise, and the duration per class."""
    findings = report["findings"]
    wrong = table(
        "What is wrong, worst first", "stem", "claimed", "found", "quality", "verdict", "why", numbers=("quality",)
    )
    for finding in findings[:ROWS]:
        wrong.add_row(*_row(finding))
    more = [f"and {len(findings) - ROWS} more in {report['output']}"] if len(findings) > ROWS else []
    held_out = table(
        "Declared test and validation stems, not changed",
        "stem",
        "claimed",
        "found",
        "quality",
        numbers=("quality",),
    )
    for finding in report["held_out"][:ROWS]:
        held_out.add_row(*_row(finding)[:4])
    classes = table("Duration per class (h:mm:ss)", "class", "claimed", "kept", numbers=("claimed", "kept"))
    for label, seconds in report["classes"].items():
        classes.add_row(label, clock(seconds["claimed"]), clock(seconds["kept"]))
    counts = ", ".join(f"{count} {action}" for action, count in report["verdicts"].items())
    shown: list[Table | str] = [wrong, *more] if findings else []
    if report["held_out"]:
        shown.append(held_out)
    noise = noise_tables(report.get("noise"))
    return [
        *shown,
        *rounds_tables(report),
        f"{report['stems']} stems: {counts}",
        *issue_tables(report),
        *noise,
        classes,
    ]


def issue_tables(report: dict[str, Any]) -> list[Table | str]:
    """The table of issues that the checks found, if there are any."""
    if not report["issues"]:
        return []
    issues = table("Issues", "issue", "severity", "stems", "example", numbers=("stems",))
    for row in report["issues"]:
        example = row["examples"][0]
        issues.add_row(
            row["code"].replace("_", " "),
            row["severity"],
            str(row["stems"]),
            f"{example['id']}: {example['detail']}",
        )
    return [issues]


def rounds_tables(report: dict[str, Any]) -> list[Table | str]:
    """With ``--self``: what each round changed and what the next one trains on; adaptive thresholds, if any."""
    rounds: list[dict[str, Any]] = report.get("rounds", [])
    shown: list[Table | str] = []
    if rounds:
        labels = list(rounds[0]["added"])
        changed = table("Stems relabelled in each round", "round", "total", *labels, numbers=("total", *labels))
        trains = table("Training stems of the next round", "round", *labels, numbers=labels)
        for entry in rounds:
            number = str(entry["round"])
            changes = (f"+{entry['added'][label]} -{entry['removed'][label]}" for label in labels)
            changed.add_row(number, str(entry["labels_changed"]), *changes)
            trains.add_row(number, *(_training_stems(entry["trains_next"][label]) for label in labels))
        shown += [changed, trains]
    if "thresholds" in report:
        found = ", ".join(f"{label} {score:.3g}" for label, score in report["thresholds"]["threshold"].items())
        shown.append(f"adaptive thresholds, from {report['thresholds']['stems']} stems: {found}")
    return shown


def _training_stems(class_: dict[str, int]) -> str:
    filled = f", {class_['filled_up']} added by label quality" if class_["filled_up"] else ""
    return f"{class_['stems']} (claimed {class_['claimed']}{filled})"


def next_steps(report: dict[str, Any]) -> list[str]:
    """Remarks on the result and the next command, one per line."""
    lines = [f"wrote {report['output']}", *passed_over(report), *misfits(report.get("decisions")), *_duplicates(report)]
    if report["findings"]:
        worst = report["findings"][0]
        found = " and ".join(worst["found"]) or "no known class"
        where = place(Path(report["output"]), report["root"], worst["path"])
        lines.append(f"listen to {where} first: it claims {' and '.join(worst['claimed'])} and holds {found}")
    elif report["stems"]:
        lines.append("every stem holds what it claims")
    else:
        lines.append("no stem could be judged")
    empty = [label for label, seconds in report["classes"].items() if seconds["claimed"] and not seconds["kept"]]
    if empty:
        lines.append(f"no clean stem is left for {' and '.join(empty)}")
    elif any(seconds["kept"] for seconds in report["classes"].values()):
        lines.append(f"next: {typed('export', report['output'], '--to', 'zfturbo', 'training_set')}")
    return lines


def _duplicates(report: dict[str, Any]) -> list[str]:
    """One line on sounds that occur several times, if there are any."""
    found = report["duplicates"]
    if not found["sounds"]:
        return []
    places = {"in one song": "in_song", "across songs": "across_songs", "across splits": "across_splits"}
    where = ", ".join(f"{found[key]} {place}" for place, key in places.items() if found[key])
    sounds = "1 sound occurs" if found["sounds"] == 1 else f"{found['sounds']} sounds occur"
    return [f"{sounds} in {found['stems']} stems ({where}): see the issues duplicate_… in {report['output']}"]


def _row(finding: dict[str, Any]) -> tuple[str, ...]:
    quality = finding["label_quality"]
    return (
        finding["id"],
        " + ".join(finding["claimed"]),
        " + ".join(_with_level(label, finding) for label in finding["found"]) or "nothing",
        "–" if quality is None else f"{quality:.2f}",
        finding["action"],
        finding["reason"].replace("_", " "),
    )


def _with_level(label: str, finding: dict[str, Any]) -> str:
    """A class with its measured level, or else its score."""
    if label in finding["measured_db"]:
        return f"{label} {finding['measured_db'][label]:.0f} dB"
    return f"{label} {finding['scores'][label]:.2f}" if label in finding["scores"] else label
