"""Compare docs/json.md with real output of ``--json``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "json.md"
COMMON = "Every command that reads audio"
NAMES = {"KEY": r".+", "LEVEL": r"[^/]+", "METRIC": r"[^/\[\]]+", "SONG": r"[^\[\]]+"}
"""Words in capitals that stand for names of any form; others stand for one name without separators."""


class Row:
    """A key of the page: how it is spelt, which places of an object it means, and whether it must be there."""

    def __init__(self, key: str, kind: str, meaning: str) -> None:
        self.key = key
        self.promised = not re.search(r"\bonly\b", meaning)
        parts = re.split(r"\b([A-Z]{3,})\b", key)
        form = "".join(NAMES.get(part, r"[^./\[\]]+") if i % 2 else re.escape(part) for i, part in enumerate(parts))
        free = kind.startswith(("object", "list of objects")) and not self.promised  # documented elsewhere
        self._form = re.compile(form + (r"([.\[].*)?" if free else ""))

    def means(self, path: str) -> bool:
        """Whether a place is meant, or the empty object or list in which such places would be."""
        return any(self._form.fullmatch(path + inside) for inside in ("", ".x", "[].x"))


def rows(command: str) -> list[Row]:
    """The keys of a command, and those that it shares with others."""
    sections = dict(
        re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
    text = sections[f"stemclean {command}"]
    if f"`{command}`" in sections[COMMON]:
        text += sections[COMMON]
    table = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    return [Row(key, kind, meaning) for keys, kind, meaning in table for key in keys.split("`, `")]


def disagreements(command: str, report: dict[str, Any]) -> list[str]:
    """Keys of a real object that the page does not tell, and keys that it promises and the object lacks."""
    untold = [f"{key}: not on the page" for key in undocumented(command, report)]
    return [*untold, *(f"{key}: not in the object" for key in missing(command, report))]


def undocumented(command: str, report: dict[str, Any]) -> list[str]:
    """Keys of a real object that the page does not tell."""
    documented = rows(command)
    return sorted({path for path in _places(report) if not any(row.means(path) for row in documented)})


def missing(command: str, report: dict[str, Any]) -> list[str]:
    """Keys that the page promises and a real object lacks; of what is in an empty list nothing is promised."""
    paths = set(_places(report))
    return [row.key for row in rows(command) if row.promised and not any(_there(row, path) for path in paths)]


def _there(row: Row, path: str) -> bool:
    inside = path.startswith((f"{row.key}.", f"{row.key}[]"))
    return inside or row.means(path) or row.key.startswith((f"{path}.", f"{path}[]"))


def _places(value: Any, at: str = "") -> Iterator[str]:
    """Every place of an object where a value stands, as the page writes it; an empty list or object is a value."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _places(item, f"{at}.{key}" if at else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from _places(item, f"{at}[]")
    else:
        yield at
