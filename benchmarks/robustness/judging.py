"""Failures that no input may cause, by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["BUG", "FAILURES", "INTERRUPTED", "of_command", "of_cost", "of_leftovers", "of_message"]

FAILURES = {
    "crash": "the process was ended by a signal",
    "hang": "it did not end",
    "foreign_exception": "an exception that is not ours came out, as exit code 70 or a traceback",
    "exit_code": "an exit code that means nothing here",
    "slow": "more than 10 s of processor time",
    "memory": "more than 2 GB of memory",
    "not_json": "stdout was not one JSON object, with --json",
    "unnamed": "an error that does not name the file",
    "control_characters": "control characters reached the terminal",
    "forged": "a name made a line of its own",
    "native_noise": "a decoder printed by itself",
    "unaccounted": "a file stood neither in the stems nor among the skipped",
    "leftovers": "temporary files, locks or processes stayed behind",
    "source_changed": "the source was touched",
    "other_bytes": "the result differs from that of a run that was not killed",
    "unsaid": "ended by a signal without a word",
    "no_step": "an error that does not say what to do",
    "half_written": "a file stood under its own name before it was whole",
    "never_done": "no run came to its end",
}
"""Name -> what it means."""

BUG = 70
INTERRUPTED = 130
SLOW_SECONDS = 10.0
MUCH_MB = 2048
FINE = frozenset({0, 2, 3})
FORGED = "error: a forged line"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ADDRESS = re.compile(r'^(?:error: )?recipe[ :]|line \d+|stems\b|named "|"[\w -]+" cannot be built', re.MULTILINE)
_NATIVE = re.compile(
    r"^(?:\[[\w ,]+ @ 0x[0-9a-f]+\]|\[[./\w-]+\.c:|(?:warning|error|note):? .*mpg123|\[src/)", re.IGNORECASE
)

Record = dict[str, Any]


def of_command(exit_code: int, stdout: str, stderr: str, name: str) -> Record:
    """Return the outcome of a command, with its failures.

    Args:
        exit_code: of the process; negative: the signal that ended it.
        stdout, stderr: what it printed, with ``--json``.
        name: of the file that an error must name; empty: any.
    """
    first = next((line for line in stderr.splitlines() if line.startswith("error: ")), "")
    failures = []
    if exit_code < 0:
        failures.append("crash")
    elif exit_code == BUG or "Traceback (most recent call last)" in stderr:
        failures.append("foreign_exception")
    elif exit_code not in FINE:
        failures.append("exit_code")
    if exit_code in {0, 3} and not _is_json(stdout):
        failures.append("not_json")
    if exit_code == 2 and name:
        failures += of_message(stderr, name)
    failures += of_text(stdout, stderr)
    outcome: Record = {"exit_code": exit_code, "failures": failures}
    if first or failures:
        outcome["error"] = (first.removeprefix("error: ") or stderr.strip()[-300:])[:300]
    return outcome


def of_text(stdout: str, stderr: str) -> list[str]:
    """Return the failures in printed text."""
    failures = []
    if _CONTROL.search(stderr) or "\x1b" in stdout:
        failures.append("control_characters")
    if any(line.startswith(FORGED) for line in stderr.splitlines() + stdout.splitlines()):
        failures.append("forged")
    if any(_NATIVE.match(line) for line in stderr.splitlines() + stdout.splitlines()):
        failures.append("native_noise")
    return failures


def of_message(message: str, name: str) -> list[str]:
    """Return a failure unless the message names the file, the line, the stem, or the setting."""
    return [] if Path(name).name in message or _ADDRESS.search(message) else ["unnamed"]


def of_cost(outcome: Record) -> list[str]:
    """Return failures of time and memory."""
    failures = ["slow"] if outcome["cpu_seconds"] > SLOW_SECONDS else []
    return failures + (["memory"] if outcome["memory_mb"] > MUCH_MB else [])


def of_leftovers(folder: Path) -> list[str]:
    """Return a failure if a folder has unfinished files; a journal is none, because the next run resumes from it."""
    left = (path for path in folder.rglob(".*") if path.name.endswith((".tmp", ".lock")))
    return ["leftovers"] if any(left) else []


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
