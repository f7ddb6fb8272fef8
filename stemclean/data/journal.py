"""What an unfinished run has done already, stem by stem, so that the next one need not do it again."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stemclean.disk import replacing
from stemclean.manifest import Skip, Stem

__all__ = ["Journal"]


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
        self._known = {entry["key"]: entry["stem"] for entry in known}
        self._lock = threading.Lock()
        output.parent.mkdir(parents=True, exist_ok=True)
        if known:  # without the half line at the end, to which the next one would be glued
            with replacing(self.path) as whole:
                whole.write_text("".join(json.dumps(entry) + "\n" for entry in known), encoding="utf-8")
        self._file = self.path.open("a" if known else "w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None:
            self.path.unlink(missing_ok=True)

    def get(self, stem: Stem, step: str = "") -> Stem | None:
        """The result of an earlier run; None where there is none.

        Args:
            step: what was done, and whatever else this result alone depends on.
        """
        result = self._known.get(self._key(stem, step))
        return None if result is None else Stem.model_validate(result)

    def put(self, stem: Stem, result: Stem | Skip, step: str = "") -> Stem | Skip:
        """Remember a result at once; returns it. Safe from several threads."""
        if isinstance(result, Stem):
            line = json.dumps({"key": self._key(stem, step), "stem": result.model_dump(mode="json")}) + "\n"
            with self._lock:
                self._file.write(line)
                self._file.flush()
        return result

    def _key(self, stem: Stem, step: str) -> str:
        what = json.dumps([self.settings, stem.model_dump(mode="json"), *([step] if step else [])], sort_keys=True)
        return hashlib.sha256(what.encode()).hexdigest()

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line) if line.endswith("\n") else {}  # a killed run may leave half a line
                if "stem" in entry:
                    yield entry
