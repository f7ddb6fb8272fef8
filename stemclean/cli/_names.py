"""Names of formats and recipes for the help, read from files without importing them, which would take seconds."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["formats", "in_words", "layouts", "models"]


def formats() -> list[str]:
    """Return the names of the formats of ``export``: the modules of :mod:`stemclean.layouts` with a ``Format``.

    >>> formats()[:2]
    ['asteroid', 'audiocraft']
    """
    return [path.stem for path in _files("layouts", "*.py") if "(Format):" in path.read_text(encoding="utf-8")]


def layouts() -> list[str]:
    """Return the names of the layouts that are read: the modules of :mod:`stemclean.layouts` with a reader.

    >>> layouts()[:2]
    ['class_folders', 'csv_list']
    """
    found = (path for path in _files("layouts", "*.py") if path.stem != "base")
    return [path.stem for path in found if "def can_read(" in path.read_text(encoding="utf-8")]


def models(kind: str) -> list[str]:
    """Return the models of a kind that have a recipe for two CPU cores and one of a paper.

    >>> models("pitch")
    ['crepe', 'harmof0', 'rmvpe']
    """
    line = f'kind = "{kind}"'
    names = {path.stem for path in _files("recipes", "*.toml") if line in path.read_text(encoding="utf-8")}
    families = {name.removesuffix("-small") for name in names if name.endswith("-small")}
    return sorted(family for family in families if f"{family}-paper" in names)


def in_words(names: list[str]) -> str:
    """Return a list as it is written in a sentence.

    >>> in_words(["csv", "demucs", "zfturbo"])
    'csv, demucs or zfturbo'
    """
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _files(folder: str, pattern: str) -> list[Path]:
    """Return the files of a folder of the package, in alphabetical order."""
    spec = find_spec("stemclean")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return sorted(path for place in places for path in (Path(place) / folder).glob(pattern))
