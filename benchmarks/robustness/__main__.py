"""How does stemclean handle damaged files and interruptions?

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
"""One in so many documents is read through the command line as well."""
LIMIT_SECONDS = 120.0


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
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
    parser.add_argument("--case", type=int, metavar="N", help="only this case, reported in full")
    parser.add_argument("--songs", type=Path, metavar="DIR", help="folders of stems; without it, the example's")
    parser.add_argument("--only", action="append", metavar="NAME", help="of kills and disks, commands")
    args = parser.parse_args(arguments)
    args.output = args.output.absolute()
    args.cases = args.cases or CASES[args.part]
    args.work = args.output.with_suffix(".work") / args.part
    return args


def read_documents(arguments: argparse.Namespace) -> None:
    """Run the part on documents."""
    base = arguments.work / "base"
    documents.prepare(base)
    if arguments.case is not None:
        _repeat(arguments.seed, arguments.case, arguments.work)
        return
    result = results.Result(
        arguments.output, arguments.part, {"seed": arguments.seed, "cases": arguments.cases, "songs": False}
    )
    for first in range(0, arguments.cases, BATCH):
        if first in result.batches:
            continue
        last = min(first + BATCH, arguments.cases)
        outcomes = list(watching.worker_cases(arguments.seed, first, last, arguments.work))
        outcomes += [by_command(arguments.seed, number, arguments.work) for number in range(first, last, BY_COMMAND)]
        for outcome in outcomes:
            if outcome["failures"]:
                drawn = documents.case(arguments.seed, outcome["case"], base)
                outcome |= {"kind": drawn.kind, "faults": drawn.faults}
                documents.write(drawn, arguments.work / "failed" / f"{arguments.seed}-{outcome['case']}", base)
        result.add(first, outcomes)
        print(result.summary(), file=sys.stderr)


def by_command(seed: int, number: int, work: Path) -> Record:
    """Run a case through the command line, in its own process."""
    from benchmarks.robustness import judging

    drawn = documents.case(seed, number, work / "base")
    words = drawn.command or ["trim", drawn.name, "out", "--regions-only", "--json"]
    folder = work / "case of a command"
    documents.write(drawn, folder, work / "base")
    process = watching.run(words, folder, {"TMPDIR": str(folder)}, LIMIT_SECONDS)
    outcome = judging.of_command(process.exit_code, process.stdout, process.stderr, drawn.name)
    outcome |= {"case": number, "kind": drawn.kind, "way": f"command {words[0]}", "faults": drawn.faults}
    outcome |= {"cpu_seconds": round(process.cpu_seconds, 2), "memory_mb": process.memory_mb}
    outcome["failures"] += judging.of_cost(outcome) + ["hang"] * process.hung + ["leftovers"] * bool(process.orphans)
    outcome["failures"] += judging.of_leftovers(folder)
    return outcome


def _repeat(seed: int, number: int, work: Path) -> None:
    drawn = documents.case(seed, number, work / "base")
    documents.write(drawn, work / "failed" / f"{seed}-{number}", work / "base")
    print(
        f"files: {work / 'failed' / f'{seed}-{number}'}\ncommand: stemclean {' '.join(drawn.command or [drawn.call])}"
    )
    for outcome in watching.worker_cases(seed, number, number + 1, work):
        print(json.dumps(outcome, indent=1))


def main() -> None:
    """Command line."""
    arguments = parsed()
    arguments.work.mkdir(parents=True, exist_ok=True)
    {
        "audio": audio.work_through,
        "documents": read_documents,
        "kills": kills.work_through,
        "disks": disks.work_through,
    }[arguments.part](arguments)


if __name__ == "__main__":
    main()
