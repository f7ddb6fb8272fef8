"""The journal of an unfinished run: results of single stems, so that the next run can resume.

The results stay on disk. In memory, a journal is only the place of each line, so that a run of a million stems resumes
in little memory.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self, TypeVar

from stemclean.disk import replacing, writing
from stemclean.documents import json_of
from stemclean.manifest import Skip, Stem
from stemclean.progress import warn

__all__ = ["Journal", "finished", "sealed", "unsealed", "whole_lines"]

T = TypeVar("T")


class _Place(NamedTuple):
    """Where a line begins in a journal, and its size in bytes."""

    start: int
    size: int


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
        self._lock = threading.Lock()
        with writing(self.path):
            output.parent.mkdir(parents=True, exist_ok=True)
            self._earlier = _kept(self.path) if resume and self.path.exists() else {}
            self._file = self.path.open("a" if self._earlier else "w", encoding="utf-8")
        self._lines = self.path.open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        with suppress(OSError) if kind else writing(self.path):  # a full disk has been reported already
            self._file.close()
        if kind is None:
            self.path.unlink(missing_ok=True)

    def get(self, stem: Stem, step: str = "") -> Stem | None:
        """Return the result of an earlier run, or None. Thread-safe.

        Args:
            stem: The stem before the run.
            step: Name of the step, and everything else that only this result depends on.
        """
        place = self._earlier.get(self._key(stem, step))
        if place is None:
            return None
        with self._lock:
            line = _line_at(self._lines, place)
        return _entry(unsealed(line))[1]

    def put(self, stem: Stem, result: Stem | Skip, step: str = "") -> Stem | Skip:
        """Write a result at once, and return it. Thread-safe."""
        if isinstance(result, Stem):
            line = _line(self._key(stem, step), result)
            with self._lock, writing(self.path):
                self._file.write(line)
                self._file.flush()
        return result

    def _key(self, stem: Stem, step: str) -> bytes:
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
    places = {key: place for (key, _), place in _good_lines(path, _entry, [])}
    with path.open("rb") as lines:
        return {
            stem.id: _entry(unsealed(_line_at(lines, places[key])))[1]
            for stem in stems
            if (key := _key(settings, stem, "")) in places
        }


def _kept(path: Path) -> dict[bytes, _Place]:
    """Return the places of the undamaged lines of a journal, and move the others aside."""
    damaged: list[bytes] = []
    places = {key: place for (key, _), place in _good_lines(path, _entry, damaged)}
    last = max(places.values(), default=_Place(0, 0))
    if not damaged and last.start + last.size == path.stat().st_size:
        return places
    with path.open("rb") as lines, replacing(path) as whole, whole.open("wb") as file:
        for key, place in places.items():
            line = _line_at(lines, place)
            places[key] = _Place(file.tell(), len(line))
            file.write(line)
    _move_aside(path, damaged)
    return places


def _path(output: Path) -> Path:
    return output.with_name(output.name + ".partial.jsonl")


def _key(settings: Any, stem: Stem, step: str) -> bytes:
    document = json.dumps([settings, stem.model_dump(mode="json"), *([step] if step else [])], sort_keys=True)
    return hashlib.sha256(document.encode()).digest()


def sealed(content: Any) -> str:
    """Return a journal line with a checksum, because a damaged line may still be valid JSON (a digit of a score)."""
    return json.dumps({"content": content, "sha256": _checksum(content)}) + "\n"


def unsealed(line: bytes) -> Any:
    """Return the content of a journal line.

    Raises:
        ValueError: The line is damaged or not a journal line.
    """
    entry = json_of(line.decode())
    if not isinstance(entry, dict) or "content" not in entry or entry.get("sha256") != _checksum(entry["content"]):
        raise ValueError("damaged journal line")
    return entry["content"]


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def whole_lines(path: Path, parse: Callable[[Any], T], *, keep_damaged: bool = True) -> Iterator[T]:
    """Yield the contents of the undamaged lines of a journal.

    A killed run may leave an incomplete last line, which is ignored. Other damaged lines are copied to
    ``JOURNAL.damaged`` beside the journal after the last line, with a warning.

    Args:
        path: The journal.
        parse: Converts the content of a line; raises :class:`ValueError` if it is invalid.
        keep_damaged: Copy damaged lines; otherwise nothing is written, and they are only ignored.
    """
    damaged: list[bytes] = []
    for content, _ in _good_lines(path, parse, damaged):
        yield content
    if keep_damaged:
        _move_aside(path, damaged)


def _good_lines(path: Path, parse: Callable[[Any], T], damaged: list[bytes]) -> Iterator[tuple[T, _Place]]:
    """Yield the contents of the undamaged lines and their places; others are added to a list, if they are complete."""
    start = 0
    with path.open("rb") as lines:
        for line in lines:
            place = _Place(start, len(line))
            start += len(line)
            if not line.endswith(b"\n"):  # the run was killed while it wrote
                return
            try:
                content = parse(unsealed(line))
            except ValueError:
                damaged.append(line)
            else:
                yield content, place


def _line_at(lines: BinaryIO, place: _Place) -> bytes:
    lines.seek(place.start)
    return lines.read(place.size)


def _move_aside(path: Path, damaged: list[bytes]) -> None:
    if not damaged:
        return
    aside = path.with_name(path.name + ".damaged")
    with replacing(aside) as temporary:
        temporary.write_bytes(b"".join(damaged))
    warn(f"{path}: {len(damaged)} damaged line(s) moved to {aside.name}; their results are computed again")


def _line(key: bytes, result: Stem) -> str:
    return sealed({"key": key.hex(), "stem": result.model_dump(mode="json")})


def _entry(content: Any) -> tuple[bytes, Stem]:
    if not isinstance(content, dict) or content.keys() != {"key", "stem"}:
        raise ValueError("not the result of a stem")
    return bytes.fromhex(str(content["key"])), Stem.model_validate(content["stem"])
