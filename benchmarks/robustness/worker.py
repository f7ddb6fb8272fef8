"""Runs cases of mutated documents one by one, in this process; started by :mod:`benchmarks.robustness.watching`.

    python -m benchmarks.robustness.worker SEED FIRST LAST WORK

Two lines of JSON a case on stdout, before and after it. Whatever else is printed belongs to the case.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from benchmarks.robustness import documents, judging
from stemclean.errors import StemcleanError

Record = dict[str, Any]
ROOM = 6 << 30
"""Bytes that a case may allocate beyond those of the process; less than the machine has."""


def main() -> None:
    """Command line."""
    seed, first, last = map(int, sys.argv[1:4])
    work = Path(sys.argv[4]).absolute()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    _warm_up()
    limit = _status("VmSize") + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in range(first, last):
        print(json.dumps({"case": number}), file=out)
        print(json.dumps(run(seed, number, work)), file=out)


def run(seed: int, number: int, work: Path) -> Record:
    """One case: what it was, and what was wrong with what came of it."""
    base, folder = work / "base", work / f"case {os.getpid()}"
    drawn = documents.case(seed, number, base)
    documents.write(drawn, folder, base)
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of the memory begins anew
    before, began = _status("VmRSS"), time.process_time()
    outcome = _command(drawn.command, drawn.name) if drawn.command else _call(drawn.call, drawn.name)
    outcome |= {
        "case": number,
        "kind": drawn.kind,
        "way": " ".join(drawn.command[:2]) if drawn.command[:1] == ["eval"] else (drawn.command or [drawn.call])[0],
        "faults": drawn.faults,
        "cpu_seconds": round(time.process_time() - began, 2),
        "memory_mb": max(0, _status("VmHWM") - before) >> 20,
    }
    outcome["failures"] += judging.of_cost(outcome)
    if outcome["exit_code"] != judging.INTERRUPTED:
        outcome["failures"] += judging.of_leftovers(folder)
    os.chdir(work)
    shutil.rmtree(folder)
    return outcome


def _command(words: list[str], name: str) -> Record:
    from stemclean.cli import app

    result = CliRunner().invoke(app, words, prog_name="stemclean")
    stdout = result.stdout_bytes.decode("utf-8", "replace")
    stderr = result.stderr_bytes.decode("utf-8", "replace")
    outcome = judging.of_command(result.exit_code, stdout, stderr, name)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        outcome["failures"].append("foreign_exception")
        outcome["error"] = repr(result.exception)
    return outcome


def _call(function: str, name: str) -> Record:
    from benchmarks.robustness import library

    try:
        getattr(library, function)(Path(name))
    except StemcleanError as error:
        return {"exit_code": 2, "error": error.message, "failures": judging.of_message(error.message, name)}
    except Exception as error:  # noqa: BLE001 - what it is for
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"[:300]
        return {"exit_code": 70, "error": text, "failures": ["foreign_exception"]}
    return {"exit_code": 0, "failures": []}


def _warm_up() -> None:
    """Import what cases need, so that none pays for another."""
    import torch

    import stemclean.refine
    import stemclean.train_classifier
    import stemclean.trim  # noqa: F401

    torch.set_num_threads(1)


def _status(key: str) -> int:
    """Bytes of a figure of this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    main()
