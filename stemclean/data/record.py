"""The record of a folder of results: a JSON file that lists the finished songs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from stemclean.disk import replacing
from stemclean.documents import json_of
from stemclean.errors import ConfigError
from stemclean.manifest import Skip

__all__ = ["Record"]


class Record:
    """The finished songs of a run, written after each song, so that the next run can resume.

    Args:
        path: The JSON file.
        settings: Everything that the results depend on besides the songs, in JSON types.
        files_of: Returns the output files of a song by its name.
        resume: Whether to reuse the results of an earlier run.

    Raises:
        ConfigError: The file is not a record.
    """

    def __init__(
        self, path: Path, settings: dict[str, Any], files_of: Callable[[str], Sequence[Path]], *, resume: bool
    ) -> None:
        self._path = path
        self._settings = settings
        self._files_of = files_of
        earlier = self._read()
        self._ours = set(earlier["songs"]) if earlier else set()
        same = earlier and resume and all(earlier[key] == value for key, value in settings.items())
        self._earlier: dict[str, Any] = earlier["songs"] if earlier and same else {}
        self._songs: dict[str, Any] = {}
        self._skipped: list[dict[str, Any]] = []

    def check(self, songs: Iterable[str]) -> None:
        """Refuse to overwrite files that no earlier run wrote.

        Raises:
            ConfigError: There is such a file.
        """
        for name in songs:
            for path in self._files_of(name):
                if name not in self._ours and path.exists():
                    raise ConfigError(f"{path} is there already and no earlier run wrote it", "give a new folder")

    def has(self, name: str) -> bool:
        """Return whether an earlier run with the same settings finished a song, whose sound may have changed since."""
        return name in self._earlier

    def holds(self, name: str, sha256: str) -> bool:
        """Return whether a song with this checksum is finished; its result is then reused."""
        entry = self._earlier.get(name)
        exists = all(path.is_file() for path in self._files_of(name))
        if entry is None or entry.get("sha256") != sha256 or not exists:
            return False
        self._songs[name] = entry
        return True

    def add(self, name: str, entry: dict[str, Any]) -> None:
        """Record a finished song; ``entry`` holds its ``sha256``."""
        self._songs[name] = entry
        self._write()

    def skip(self, skip: Skip) -> None:
        """Record a skipped file."""
        self._skipped.append(skip.model_dump(exclude_none=True))
        self._write()

    def written(self) -> dict[str, Any]:
        """Write the record, and return it: the settings, ``songs`` and ``skipped``."""
        self._write()
        return self._document()

    def _document(self) -> dict[str, Any]:
        return {**self._settings, "songs": {**self._earlier, **self._songs}, "skipped": self._skipped}

    def _write(self) -> None:
        text = json.dumps(self._document(), sort_keys=True, indent=1, ensure_ascii=False) + "\n"
        with replacing(self._path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _read(self) -> dict[str, Any] | None:
        try:
            document = json_of(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            document = None
        if not isinstance(document, dict) or not {*self._settings, "songs"} <= document.keys():
            raise ConfigError(f"{self._path} is not what an earlier run wrote", "give a new folder")
        songs = document["songs"]
        if not isinstance(songs, dict) or not all(isinstance(song, dict) for song in songs.values()):
            raise ConfigError(f"{self._path} is not what an earlier run wrote", "give a new folder")
        return document
