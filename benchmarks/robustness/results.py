"""The result of a part: the run, the versions, and every failure with the case that repeats it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import stemclean
from benchmarks import resumable
from benchmarks.resumable import write_json
from benchmarks.robustness import judging

__all__ = ["Result", "keep"]

Record = dict[str, Any]
PACKAGES = ("torch", "soundfile", "av", "numpy", "pydantic", "typer")
KEPT = 200
"""Number of failures that a result lists; all are counted."""


def code_digest() -> str:
    """Return a digest of the package and of this benchmark; a result of other code is not resumed."""
    digest = hashlib.sha256()
    for folder in (Path(stemclean.__file__).parent, Path(__file__).parent):
        for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.toml")]):
            digest.update(path.relative_to(folder.parent).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


class Result:
    """One part of OUT.json, with the batches that the same code has already finished.

    Args:
        path: OUT.json; other parts are kept, including those that another process writes at the same time.
        part: name of the part.
        settings: all else that the cases depend on.
        piece: name of a piece, for parts that are divided into independent pieces.
    """

    def __init__(self, path: Path, part: str, settings: Record, piece: str = "") -> None:
        self.path, self.part, self.piece = path, part, piece
        whole = resumable.read(path)
        before = whole.get(part, {})
        if piece:
            before = before.get(piece, {})
        now = {"settings": settings, "code": code_digest()}
        if any(before.get(key) != value for key, value in now.items()):
            before = {}
        self.fresh = not before
        self.record: Record = before or {
            **now,
            "done": [],
            "counts": {},
            "failures": [],
            "failed": {},
            "cpu_seconds": {},
        }
        self.record |= {
            "by": f"stemclean {stemclean.__version__}",
            "python": platform.python_version(),
            "system": platform.system(),
            "cores": os.cpu_count(),
            "packages": {name: version(name) for name in PACKAGES},
        }

    @property
    def batches(self) -> list[Any]:
        """Names of the finished batches."""
        batches: list[Any] = self.record["done"]
        return batches

    def add(self, batch: Any, cases: Iterable[Record], **figures: Any) -> None:
        """Record a finished batch.

        Args:
            cases: each with ``kind``, ``way``, ``exit_code`` and ``failures``.
            figures: further figures of the part.
        """
        counts = Counter(self.record["counts"])
        failed = Counter(self.record["failed"])
        seconds: Counter[str] = Counter(self.record["cpu_seconds"])
        for case in cases:
            counts["cases"] += 1
            counts[f"kind/{case['kind']}"] += 1
            counts[case.get("outcome") or f"exit/{case['exit_code']}"] += 1
            failed.update(case["failures"])
            seconds[case["way"]] += case.get("cpu_seconds", 0.0)
            if case["failures"] and len(self.record["failures"]) < KEPT:
                self.record["failures"].append(case)
        self.record["counts"] = dict(counts)
        self.record["failed"] = {name: failed[name] for name in judging.FAILURES}
        self.record["cpu_seconds"] = {way: round(number, 2) for way, number in seconds.items()}
        self.record |= figures
        self.batches.append(batch)
        self.save()

    def save(self) -> None:
        """Write OUT.json with this part."""
        with _locked(self.path):
            whole = resumable.read(self.path)
            mine = {**whole.get(self.part, {}), self.piece: self.record} if self.piece else self.record
            write_json(self.path, {**whole, self.part: mine})

    def summary(self) -> str:
        """Return the counts in one line."""
        failed = {name: number for name, number in self.record["failed"].items() if number}
        return (
            f"{self.part} {self.piece}".strip()
            + f": {self.record['counts'].get('cases', 0)} cases; "
            + (", ".join(f"{name} {number}" for name, number in failed.items()) or "no failures")
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes out of this block."""
    work = path.with_suffix(".work")
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def keep(source: Path, target: Path) -> None:
    """Keep the input of a failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)
