"""Results of the benchmarks, by name."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.pages.tables import Record

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def read(name: str) -> Record:
    """Return the content of ``benchmarks/results/NAME.json``, empty if it is missing."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    result: Record = json.loads(path.read_text(encoding="utf-8"))
    return result
