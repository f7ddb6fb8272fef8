"""What an unfinished run has done already, stem by stem, so that the next one need not do it again."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from stemclean.disk import replacing, writing
from stemclean.documents import json_of
from stemclean.manifest import Skip, Stem
from stemclean.progress import warn

__all__ = ["Journal", "sealed", "unsealed", "whole_lines"]

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
        known = whole_lines(self.path, _entry) if resume and self.path.exists() else []
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


def sealed(told: Any) -> str:
    """A line of a journal, with a checksum: a line that can be read may still be damaged, a digit of a score say."""
    return json.dumps({"told": told, "sha256": _checksum(told)}) + "\n"


def unsealed(line: bytes) -> Any:
    """What a line of a journal tells.

    Raises:
        ValueError: it was damaged, or is none.
    """
    entry = json_of(line.decode())
    if not isinstance(entry, dict) or "told" not in entry or entry.get("sha256") != _checksum(entry["told"]):
        raise ValueError("not the line that was written")
    return entry["told"]


def _checksum(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def whole_lines(path: Path, parse: Callable[[Any], T]) -> list[T]:
    """What the lines of a journal tell.

    A killed run may leave half a line at the end, which is passed over. Other lines that are not as they were written
    go into a file beside the journal, ``JOURNAL.damaged``, and what they told is done again.

    Args:
        parse: of what :func:`unsealed` gives; raises :class:`ValueError` at what it cannot use.
    """
    good: list[T] = []
    bad: list[bytes] = []
    with path.open("rb") as lines:
        for line in lines:
            try:
                good.append(parse(unsealed(line)))
            except ValueError:
                bad += [line] if line.endswith(b"\n") else []
    if bad:
        aside = path.with_name(path.name + ".damaged")
        with replacing(aside) as temporary:
            temporary.write_bytes(b"".join(bad))
        warn(f"{path}: {len(bad)} damaged line(s) set aside in {aside.name}; what they told is done again")
    return good


def _line(key: str, result: Stem) -> str:
    return sealed({"key": key, "stem": result.model_dump(mode="json")})


def _entry(told: Any) -> tuple[str, Stem]:
    if not isinstance(told, dict) or told.keys() != {"key", "stem"}:
        raise ValueError("no result of a stem")
    return str(told["key"]), Stem.model_validate(told["stem"])
