"""The journal of an unfinished run: results of single stems, so that the next run can resume."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from stemclean.disk import replacing, writing
from stemclean.documents import json_of
from stemclean.manifest import Skip, Stem
from stemclean.progress import warn

__all__ = ["Journal", "finished", "sealed", "unsealed", "whole_lines"]

T = TypeVar("T")


class Journal:
    """Results of single stems, one JSON line each, in a file beside the output; a context manager.

    A result is reused for the same stem (with equal fields, including its checksum) and the same settings. The file is
    deleted if the run succeeds, and kept otherwise. Skips are not recorded: a file that was missing or unreadable may
    be readable in the next run.

    Args:
        output: The file that the run will write.
        settings: Everything else that the results depend on, of JSON types.
        resume: Whether to reuse the results of an earlier run.
    """

    def __init__(self, output: Path, settings: Any, *, resume: bool = True) -> None:
        self.path = _path(output)
        self.settings = settings
        earlier = whole_lines(self.path, _entry) if resume and self.path.exists() else []
        self._earlier = dict(earlier)
        self._lock = threading.Lock()
        with writing(self.path):
            output.parent.mkdir(parents=True, exist_ok=True)
            if earlier:  # drop an incomplete last line, or the next line would be appended to it
                with replacing(self.path) as whole, whole.open("w", encoding="utf-8") as file:
                    file.writelines(_line(key, result) for key, result in earlier)
            self._file = self.path.open("a" if earlier else "w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError) if kind else writing(self.path):  # a full disk has been reported already
            self._file.close()
        if kind is None:
            self.path.unlink(missing_ok=True)

    def get(self, stem: Stem, step: str = "") -> Stem | None:
        """Return the result of an earlier run, or None.

        Args:
            stem: The stem before the run.
            step: Name of the step, and everything else that only this result depends on.
        """
        return self._earlier.get(self._key(stem, step))

    def put(self, stem: Stem, result: Stem | Skip, step: str = "") -> Stem | Skip:
        """Write a result at once, and return it. Thread-safe."""
        if isinstance(result, Stem):
            line = _line(self._key(stem, step), result)
            with self._lock, writing(self.path):
                self._file.write(line)
                self._file.flush()
        return result

    def _key(self, stem: Stem, step: str) -> str:
        return _key(self.settings, stem, step)


def finished(output: Path, settings: Any, stems: Iterable[Stem]) -> dict[str, Stem]:
    """Return what a :class:`Journal` with the same output and settings would reuse; nothing is written.

    Args:
        output: The file that the run will write.
        settings: As for the journal.
        stems: The stems before the run.

    Returns:
        Id of a stem -> its result.
    """
    path = _path(output)
    if not path.exists():
        return {}
    earlier = dict(whole_lines(path, _entry, keep_damaged=False))
    results = {stem.id: earlier.get(_key(settings, stem, "")) for stem in stems}
    return {identity: result for identity, result in results.items() if result is not None}


def _path(output: Path) -> Path:
    return output.with_name(output.name + ".partial.jsonl")


def _key(settings: Any, stem: Stem, step: str) -> str:
    document = json.dumps([settings, stem.model_dump(mode="json"), *([step] if step else [])], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


def sealed(content: Any) -> str:
    """Return a journal line with a checksum, because a damaged line may still be valid JSON (a digit of a score)."""
    return json.dumps({"told": content, "sha256": _checksum(content)}) + "\n"


def unsealed(line: bytes) -> Any:
    """Return the content of a journal line.

    Raises:
        ValueError: The line is damaged or not a journal line.
    """
    entry = json_of(line.decode())
    if not isinstance(entry, dict) or "told" not in entry or entry.get("sha256") != _checksum(entry["told"]):
        raise ValueError("damaged journal line")
    return entry["told"]


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def whole_lines(path: Path, parse: Callable[[Any], T], *, keep_damaged: bool = True) -> list[T]:
    """Return the contents of the undamaged lines of a journal.

    A killed run may leave an incomplete last line, which is ignored. Other damaged lines are moved to
    ``JOURNAL.damaged`` beside the journal, with a warning.

    Args:
        path: The journal.
        parse: Converts the content of a line; raises :class:`ValueError` if it is invalid.
        keep_damaged: Move damaged lines aside; otherwise nothing is written, and they are only ignored.
    """
    good: list[T] = []
    bad: list[bytes] = []
    with path.open("rb") as lines:
        for line in lines:
            try:
                good.append(parse(unsealed(line)))
            except ValueError:
                bad += [line] if line.endswith(b"\n") else []
    if bad and keep_damaged:
        aside = path.with_name(path.name + ".damaged")
        with replacing(aside) as temporary:
            temporary.write_bytes(b"".join(bad))
        warn(f"{path}: {len(bad)} damaged line(s) moved to {aside.name}; their results are computed again")
    return good


def _line(key: str, result: Stem) -> str:
    return sealed({"key": key, "stem": result.model_dump(mode="json")})


def _entry(content: Any) -> tuple[str, Stem]:
    if not isinstance(content, dict) or content.keys() != {"key", "stem"}:
        raise ValueError("not the result of a stem")
    return str(content["key"]), Stem.model_validate(content["stem"])
