"""What do manifests of a million stems cost?"""

from __future__ import annotations

from typing import Any

from benchmarks.pages.tables import Read, Record, number, table, thousands, unmeasured, verdict

PATH = "docs/benchmarks/large-manifests.md"
QUESTION = "What do manifests of a million stems cost?"
RESULT = "large_manifests"
GOAL_STEMS, GOAL_SECONDS, GOAL_MB = 1_000_000, 60, 2000
TITLES = {
    "validate": "`validate --no-audio`",
    "headers": "`validate`, which opens every file",
    "merge": "`merge` of four parts",
    "report": "`report`, with pictures of the worst 5000",
    "resume": "`refine`, until it judges the first stem that an interrupted run has not judged",
    "export": "`export --to zfturbo`, which decodes every file",
}

ABOUT = """
Commands on manifests in JSON lines with invented stems, as `refine` writes them: about 1 kB each, four in a song, one
in eight with a fault. Where files are opened, they are a quarter of a second long, so that the figures show what a stem
costs besides its audio. *Peak memory* is the largest sum over all processes of a command. *Processor time* is the sum
over all processes, start-up included; it depends far less on other load than the wall-clock time does. The load average
before each run is in the table: on two cores, a load of 2 halves the speed of a command that uses both.
"""


def parts(read: Read) -> list[str]:
    """Return the page."""
    result = read(RESULT)
    command = f"{RESULT} benchmarks/results/{RESULT}.json"
    if not result:
        return [f"# {QUESTION}", unmeasured(command)]
    shown = [f"# {QUESTION}", ABOUT]
    for name, title in TITLES.items():
        if name in result["stages"]:
            shown += [f"## {title}", _table(result["stages"][name])]
    return [*shown, "## Goals", _goals(result["stages"]), f"`python -m benchmarks.{command}`"]


def _table(sizes: Record) -> str:
    rows = []
    for stems, run in sorted(sizes.items(), key=lambda pair: int(pair[0])):
        each = run["cpu_seconds"] / int(stems) * 1e6
        rows.append(
            [
                thousands(int(stems)),
                number(run["seconds"]),
                number(run["cpu_seconds"]),
                f"{each:.0f}",
                thousands(run["peak_mb"]),
                number(run["load_before"][0]),
            ]
        )
    head = ["stems", "seconds", "processor time, s", "per stem, µs", "peak memory, MB", "load before"]
    return table(head, rows)


def _goals(stages: Record) -> str:
    rows: list[list[Any]] = []
    for name, title in TITLES.items():
        run = stages.get(name, {}).get(str(GOAL_STEMS))
        within = [None, None] if run is None else [run["seconds"] < GOAL_SECONDS, run["peak_mb"] < GOAL_MB]
        rows.append([title, *("not measured" if met is None else verdict(met) for met in within)])
    return table(
        [f"{thousands(GOAL_STEMS)} stems", f"less than {GOAL_SECONDS} s", f"less than {thousands(GOAL_MB)} MB"], rows
    )
