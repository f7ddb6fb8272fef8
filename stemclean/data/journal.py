"""What an unfinished run has done already, stem by stem, so that the next one need not do it again."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from stemclean.disk import replacing, writing
from stemclean.manifest import Skip, Stem, loads
from stemclean.progress import warn

__all__ = ["Journal", "whole_lines"]

T = TypeVar("T")


class Journal:
    """Results of single stems, one JSON line each, beside the output; a context manager.

    A result is found again for the same stem (all its fields, its checksum among them) under the same settings. The
    file goes when the run ends well, and stays when it does not. Skips are not remembered: what was missing or
    forbidden may be there now.

    Args:
        output: the file that the run will write.
        settings: JSON-able; whatever else the results depend on.
        resume: False: what an earlier run has done is forgotten.
    """

    def __init__(self, output: Path, settings: Any, *, resume: bool = True) -> None:
        self.path = output.with_name(output.name + ".partial.jsonl")
        self.settings = settings
        known = list(self._lines()) if resume and self.path.exists() else []
        self._known = dict(known)
        self._lock = threading.Lock()
        with writing(self.path):
            output.parent.mkdir(parents=True, exist_ok=True)
            if known:  # without the half line at the end, to which the next one would be glued
                with replacing(self.path) as whole, whole.open("w", encoding="utf-8") as file:
                    file.writelines(_line(key, result) for key, result in known)
            self._file = self.path.open("a" if known else "w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError) if kind else writing(self.path):  # of a full disk it was told already
            self._file.close()
        if kind is None:
            self.path.unlink(missing_ok=True)

    def get(self, stem: Stem, step: str = "") -> Stem | None:
        """The result of an earlier run; None where there is none.

        Args:
            step: what was done, and whatever else this result alone depends on.
        """
        return self._known.get(self._key(stem, step))

    def put(self, stem: Stem, result: Stem | Skip, step: str = "") -> Stem | Skip:
        """Remember a result at once; returns it. Safe from several threads."""
        if isinstance(result, Stem):
            line = _line(self._key(stem, step), result)
            with self._lock, writing(self.path):
                self._file.write(line)
                self._file.flush()
        return result

    def _key(self, stem: Stem, step: str) -> str:
        what = json.dumps([self.settings, stem.model_dump(mode="json"), *([step] if step else [])], sort_keys=True)
        return hashlib.sha256(what.encode()).hexdigest()

    def _lines(self) -> Iterator[tuple[str, Stem]]:
        return (entry for entry in whole_lines(self.path, _entry) if entry is not None)


def whole_lines(path: Path, parse: Callable[[str], T]) -> list[T]:
    """What the lines of a journal say.

    A killed run may leave half a line at the end, which is passed over. Other lines that cannot be read were damaged:
    they go into a file beside the journal, ``JOURNAL.damaged``, and what they told is done again.

    Args:
        parse: raises :class:`ValueError` at a line that it cannot read.
    """
    good: list[T] = []
    bad: list[bytes] = []
    with path.open("rb") as lines:
        for line in lines:
            try:
                good.append(parse(line.decode()))
            except ValueError:
                bad += [line] if line.endswith(b"\n") else []
    if bad:
        aside = path.with_name(path.name + ".damaged")
        with replacing(aside) as temporary:
            temporary.write_bytes(b"".join(bad))
        warn(f"{path}: {len(bad)} damaged line(s) set aside in {aside.name}; what they told is done again")
    return good


def _line(key: str, result: Stem) -> str:
    return json.dumps({"key": key, "stem": result.model_dump(mode="json")}) + "\n"


def _entry(line: str) -> tuple[str, Stem] | None:
    entry = loads(line)
    if not isinstance(entry, dict):
        raise ValueError("no object")
    if "stem" not in entry:
        return None
    return str(entry.get("key")), Stem.model_validate(entry["stem"])
