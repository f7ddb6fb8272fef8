"""What does stemclean do with damaged files and interruptions?

    python -m benchmarks.robustness audio|documents|kills|disks OUT.json [--seed 0] [--cases N] [--songs DIR]
    python -m benchmarks.robustness audio|documents OUT.json --case N

    audio      damaged audio files in folders of a hundred, scanned, decoded and judged by the command line
    documents  damaged manifests, lists, f0 files, recipes, weight cards and journals
    kills      runs of six verbs that are killed at random moments, resumed, and compared with undisturbed runs
    disks      commands with a full, read-only or limited disk, resumed, and compared with undisturbed runs

Everything is drawn at random from the seed. A stopped run resumes unless the code has changed; parts, and the verbs of
kills (``--only``), can be run one by one or in parallel. Failing inputs are kept in OUT.work. ``--case`` repeats one
document, or one folder of audio files, and prints the outcome.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.robustness import audio, disks, documents, kills, results, watching

Record = dict[str, Any]
CASES = {"audio": 3000, "documents": 10_000, "kills": 30, "disks": 12}
BATCH = 500
"""Documents that one process reads."""
BY_COMMAND = 200
"""Of so many documents, one is read by the command line itself as well."""
LIMIT_SECONDS = 120.0


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, prog="robustness"
    )
    parser.add_argument("part", choices=CASES)
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--cases",
        type=int,
        metavar="N",
        help=f"files, documents, kills of a verb, or sizes of a disk; default: {CASES}",
    )
    parser.add_argument("--case", type=int, metavar="N", help="only this one, told in full")
    parser.add_argument("--songs", type=Path, metavar="DIR", help="folders of stems; without it, the example's")
    parser.add_argument("--only", action="append", metavar="NAME", help="of kills and disks, commands")
    given = parser.parse_args(arguments)
    given.output = given.output.absolute()
    given.cases = given.cases or CASES[given.part]
    given.work = given.output.with_suffix(".work") / given.part
    return given


def read_documents(given: argparse.Namespace) -> None:
    """The part of documents."""
    base = given.work / "base"
    documents.prepare(base)
    if given.case is not None:
        _repeat(given.seed, given.case, given.work)
        return
    result = results.Result(given.output, given.part, {"seed": given.seed, "cases": given.cases, "songs": False})
    for first in range(0, given.cases, BATCH):
        if first in result.done:
            continue
        last = min(first + BATCH, given.cases)
        told = list(watching.worker_cases(given.seed, first, last, given.work))
        told += [by_command(given.seed, number, given.work) for number in range(first, last, BY_COMMAND)]
        for one in told:
            if one["failures"]:
                drawn = documents.case(given.seed, one["case"], base)
                one |= {"kind": drawn.kind, "faults": drawn.faults}
                documents.write(drawn, given.work / "failed" / f"{given.seed}-{one['case']}", base)
        result.add(first, told)
        print(result.told(), file=sys.stderr)


def by_command(seed: int, number: int, work: Path) -> Record:
    """A case through the command line, in a process of its own."""
    from benchmarks.robustness import judging

    drawn = documents.case(seed, number, work / "base")
    words = drawn.command or ["trim", drawn.name, "out", "--regions-only", "--json"]
    folder = work / "case of a command"
    documents.write(drawn, folder, work / "base")
    done = watching.run(words, folder, {"TMPDIR": str(folder)}, LIMIT_SECONDS)
    told = judging.of_command(done.exit_code, done.stdout, done.stderr, drawn.name)
    told |= {"case": number, "kind": drawn.kind, "way": f"command {words[0]}", "faults": drawn.faults}
    told |= {"cpu_seconds": round(done.cpu_seconds, 2), "memory_mb": done.memory_mb}
    told["failures"] += judging.of_cost(told) + ["hang"] * done.hung + ["leftovers"] * bool(done.orphans)
    told["failures"] += judging.of_leftovers(folder)
    return told


def _repeat(seed: int, number: int, work: Path) -> None:
    drawn = documents.case(seed, number, work / "base")
    documents.write(drawn, work / "failed" / f"{seed}-{number}", work / "base")
    print(
        f"files: {work / 'failed' / f'{seed}-{number}'}\ncommand: stemclean {' '.join(drawn.command or [drawn.call])}"
    )
    for told in watching.worker_cases(seed, number, number + 1, work):
        print(json.dumps(told, indent=1))


def main() -> None:
    """Command line."""
    given = parsed()
    given.work.mkdir(parents=True, exist_ok=True)
    {
        "audio": audio.work_through,
        "documents": read_documents,
        "kills": kills.work_through,
        "disks": disks.work_through,
    }[given.part](given)


if __name__ == "__main__":
    main()
