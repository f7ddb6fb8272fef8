"""What ``stemclean refine`` shows of a refined dataset: its tables, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemclean.cli._noise import noise_tables
from stemclean.cli._shared import clock, passed_over, place, table, typed

if TYPE_CHECKING:
    from rich.table import Table

ROWS = 20
"""Findings that the table shows; the manifest and ``--json`` hold all."""


def tables(report: dict[str, Any]) -> list[Table | str]:
    """What is wrong, worst first; how many of each verdict; seconds per class."""
    findings = report["findings"]
    wrong = table(
        "What is wrong, worst first", "stem", "claimed", "found", "quality", "verdict", "why", numbers=("quality",)
    )
    for finding in findings[:ROWS]:
        wrong.add_row(*_row(finding))
    more = [f"and {len(findings) - ROWS} more in {report['output']}"] if len(findings) > ROWS else []
    held_out = table(
        "Declared test and validation stems, left as they are",
        "stem",
        "claimed",
        "heard",
        "quality",
        numbers=("quality",),
    )
    for finding in report["held_out"][:ROWS]:
        held_out.add_row(*_row(finding)[:4])
    classes = table("Sound per class (h:mm:ss)", "class", "claimed", "kept", numbers=("claimed", "kept"))
    for label, seconds in report["classes"].items():
        classes.add_row(label, clock(seconds["claimed"]), clock(seconds["kept"]))
    counts = ", ".join(f"{count} {action}" for action, count in report["verdicts"].items())
    shown: list[Table | str] = [wrong, *more] if findings else []
    if report["held_out"]:
        shown.append(held_out)
    noise = noise_tables(report.get("noise"))
    return [*shown, *rounds_tables(report), f"{report['stems']} stems: {counts}", *_issues(report), *noise, classes]


def _issues(report: dict[str, Any]) -> list[Table | str]:
    """What the checks found; nothing where they found nothing."""
    if not report["issues"]:
        return []
    issues = table("Issues", "issue", "severity", "stems", "for example", numbers=("stems",))
    for row in report["issues"]:
        example = row["examples"][0]
        what = f"{example['id']}: {example['detail']}"
        issues.add_row(row["code"].replace("_", " "), row["severity"], str(row["stems"]), what)
    return [issues]


def rounds_tables(report: dict[str, Any]) -> list[Table | str]:
    """Of ``--self``, what each round changed and left to train on; the thresholds that were found."""
    rounds: list[dict[str, Any]] = report.get("rounds", [])
    shown: list[Table | str] = []
    if rounds:
        labels = list(rounds[0]["added"])
        changed = table("Stems relabelled in each round", "round", "in all", *labels, numbers=("in all", *labels))
        trains = table("Stems for the next round", "round", *labels, numbers=labels)
        for told in rounds:
            number = str(told["round"])
            moves = (f"+{told['added'][label]} -{told['removed'][label]}" for label in labels)
            changed.add_row(number, str(told["labels_changed"]), *moves)
            trains.add_row(number, *(_left(told["trains_next"][label]) for label in labels))
        shown += [changed, trains]
    if "thresholds" in report:
        found = ", ".join(f"{label} {score:.3g}" for label, score in report["thresholds"]["threshold"].items())
        shown.append(f"adaptive thresholds, from {report['thresholds']['stems']} stems: {found}")
    return shown


def _left(class_: dict[str, int]) -> str:
    filled = f", {class_['filled_up']} filled up" if class_["filled_up"] else ""
    return f"{class_['stems']} (claimed {class_['claimed']}{filled})"


def next_steps(report: dict[str, Any]) -> list[str]:
    """What to do now, with the next command, line by line."""
    lines = [f"wrote {report['output']}", *passed_over(report), *_twice(report)]
    if report["findings"]:
        worst = report["findings"][0]
        found = " and ".join(worst["found"]) or "nothing that is known"
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


def _twice(report: dict[str, Any]) -> list[str]:
    """What is there several times, in one line; nothing where nothing is."""
    found = report["duplicates"]
    if not found["sounds"]:
        return []
    places = {"in one song": "in_song", "across songs": "across_songs", "across splits": "across_splits"}
    where = ", ".join(f"{found[key]} {place}" for place, key in places.items() if found[key])
    sounds = "1 sound stands" if found["sounds"] == 1 else f"{found['sounds']} sounds stand"
    return [f"{sounds} in {found['stems']} stems ({where}): see their issues, duplicate_…, in {report['output']}"]


def _row(finding: dict[str, Any]) -> tuple[str, ...]:
    quality = finding["label_quality"]
    return (
        finding["id"],
        " + ".join(finding["claimed"]),
        " + ".join(_told(label, finding) for label in finding["found"]) or "nothing",
        "–" if quality is None else f"{quality:.2f}",
        finding["action"],
        finding["reason"].replace("_", " "),
    )


def _told(label: str, finding: dict[str, Any]) -> str:
    """A class with its measured level, or else its score."""
    if label in finding["measured_db"]:
        return f"{label} {finding['measured_db'][label]:.0f} dB"
    return f"{label} {finding['scores'][label]:.2f}" if label in finding["scores"] else label
