"""The result of a part: what was run, with which versions, and every failure with what repeats it."""

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
"""Failures that a result lists; all are counted."""


def code_digest() -> str:
    """Of what is tested and of what tests it: a result of other code is not gone on with."""
    digest = hashlib.sha256()
    for folder in (Path(stemclean.__file__).parent, Path(__file__).parent):
        for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.toml")]):
            digest.update(path.relative_to(folder.parent).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


class Result:
    """One part of OUT.json; what was done of it before by the same code stands there already.

    Args:
        path: OUT.json; other parts in it are left alone, also those that another process writes meanwhile.
        part: of the result.
        settings: what else the cases depend on.
        piece: of the part, where it is done in pieces that do not depend on one another.
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
    def done(self) -> list[Any]:
        """Names of the batches that are."""
        done: list[Any] = self.record["done"]
        return done

    def add(self, batch: Any, told: Iterable[Record], **figures: Any) -> None:
        """A batch is done.

        Args:
            told: of each case ``kind``, ``way``, ``exit_code`` and ``failures``.
            figures: more to be told of the part.
        """
        counts = Counter(self.record["counts"])
        failed = Counter(self.record["failed"])
        seconds: Counter[str] = Counter(self.record["cpu_seconds"])
        for one in told:
            counts["cases"] += 1
            counts[f"kind/{one['kind']}"] += 1
            counts[one.get("outcome") or f"exit/{one['exit_code']}"] += 1
            failed.update(one["failures"])
            seconds[one["way"]] += one.get("cpu_seconds", 0.0)
            if one["failures"] and len(self.record["failures"]) < KEPT:
                self.record["failures"].append(one)
        self.record["counts"] = dict(counts)
        self.record["failed"] = {name: failed[name] for name in judging.FAILURES}
        self.record["cpu_seconds"] = {way: round(number, 2) for way, number in seconds.items()}
        self.record |= figures
        self.done.append(batch)
        self.save()

    def save(self) -> None:
        """Write the whole of OUT.json, with this part."""
        with _locked(self.path):
            whole = resumable.read(self.path)
            mine = {**whole.get(self.part, {}), self.piece: self.record} if self.piece else self.record
            write_json(self.path, {**whole, self.part: mine})

    def told(self) -> str:
        """The counts, in a line or more."""
        failed = {name: number for name, number in self.record["failed"].items() if number}
        return (
            f"{self.part} {self.piece}".strip()
            + f": {self.record['counts'].get('cases', 0)} cases; "
            + (", ".join(f"{name} {number}" for name, number in failed.items()) or "no failures")
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """While the block runs, no other process is in it."""
    work = path.with_suffix(".work")
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def keep(source: Path, place: Path) -> None:
    """Keep the input of a failure."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
    else:
        shutil.copy(source, place)
