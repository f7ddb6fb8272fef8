"""Write the JSON of ``stemclean refine`` or ``check`` as Markdown, for the summary of a job.

python summary.py RESULT.json EXIT_CODE
"""

import json
import sys
from pathlib import Path

MOST = 20


def cell(text: object) -> str:
    """Return text that cannot break out of a cell of a table, nor be read as HTML."""
    flat = " ".join(str(text).split())
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("`", "&#96;")


def table(head: list[str], rows: list[list[object]]) -> list[str]:
    """Return the lines of a table, and how many rows were left out."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(map(cell, row))} |" for row in rows[:MOST]]
    return [*lines, *([f"\n… and {len(rows) - MOST} more"] if len(rows) > MOST else []), ""]


def summary(result: dict, code: int) -> list[str]:
    """Return the lines of the summary."""
    meaning = {0: "passed", 1: "failed: stems meet `fail-on`", 3: "some files could not be used"}
    lines = ["## stemclean", "", f"{result.get('stems', 0)} stems, {meaning.get(code, f'exit code {code}')}", ""]
    if result.get("failed_on"):
        rows = [[stem["id"], ", ".join(stem["reasons"])] for stem in result["failed_on"]]
        lines += ["### Why it failed", "", *table(["stem", "because of"], rows)]
    if result.get("findings"):
        rows = [
            [stem["path"], " + ".join(stem["claimed"]), " + ".join(stem["found"]) or "nothing", stem["action"]]
            for stem in result["findings"]
        ]
        lines += ["### Stems with a wrong label or bleed", "", *table(["stem", "claims", "holds", "verdict"], rows)]
    if result.get("issues"):
        rows = [[issue["code"], issue["severity"], issue["stems"], issue["meaning"]] for issue in result["issues"]]
        lines += ["### Issues", "", *table(["issue", "severity", "stems", "meaning"], rows)]
    if result.get("failures"):
        rows = [[failure["path"], failure["reason"]] for failure in result["failures"]]
        lines += ["### Files that could not be used", "", *table(["file", "reason"], rows)]
    return lines


def main() -> None:
    """Command line."""
    text, code = Path(sys.argv[1]).read_text(encoding="utf-8"), int(sys.argv[2])
    if text.strip():
        print("\n".join(summary(json.loads(text), code)))
    else:
        print(f"## stemclean\n\nno result, exit code {code}; the log of the step has the error\n")


if __name__ == "__main__":
    main()
