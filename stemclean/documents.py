"""JSON and TOML from anywhere: read, or refused with the place of what is wrong.

Nothing in such a text makes the parser fail in a way of its own: neither thousands of brackets nor a number of
thousands of digits. What it says may still be wrong; who asked for it checks that.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["FlawError", "json_of", "toml_of"]

LONGEST_NUMBER: Final = 308
"""Digits of a whole number: any with so many is one that a float can be, too."""
TOO_LONG_FOR_INT: Final = 640
"""Digits beyond which :class:`int` may refuse a text, however Python is set up."""
LARGEST_OF_TOML: Final = 2**63
"""TOML 1.0.0, "Integer": 64 bits."""
DEEPEST: Final = 64
"""Lists and objects in one another; whatever is done with such a document goes as deep. Nobody writes as many."""


class FlawError(ValueError):
    """A text that is not what it should be.

    Args:
        at: where; ``line 3, column 5``, or a setting's name.
        what: is wrong there.
        cut: it looks as if the rest were missing.
    """

    def __init__(self, at: str, what: str, *, cut: bool = False) -> None:
        super().__init__(f"{at}: {what}" if at else what)
        self.at = at
        self.what = what
        self.cut = cut


def json_of(text: str, *, line: int = 1, any_depth: bool = False) -> Any:
    """What a JSON text says.

    Args:
        line: of the file, that the text begins in.
        any_depth: as deep as the parser goes, some hundred levels; the caller looks.

    Raises:
        FlawError: no JSON; more than :data:`DEEPEST` lists and objects in one another; a key twice in one object; or a
            whole number of more than :data:`LONGEST_NUMBER` digits.

    >>> json_of('{"a": [1, 2]}')
    {'a': [1, 2]}
    >>> json_of('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    stemclean.documents.FlawError: line 1, column 10: the key "a" stands twice in one object
    """
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_int=_whole)
        if any_depth or not _is_deep(document):
            return document
        raise RecursionError
    except json.JSONDecodeError as error:
        cut = not text[error.pos :].strip() or error.msg.startswith("Unterminated")
        raise FlawError(_place(text, error.pos, line), f"no JSON: {error.msg}", cut=cut) from None
    except (ValueError, RecursionError):
        at, what = next(_flaws_of_json(text), (0, "no JSON that can be read"))
        raise FlawError(_place(text, at, line), what) from None


def toml_of(text: str) -> dict[str, Any]:
    r"""What a TOML text says.

    Raises:
        FlawError: no TOML, a key twice among the reasons; more than :data:`DEEPEST` tables and lists in one another; or
            a whole number of more than 64 bits.

    >>> toml_of("a = 1\n[b]\nc = 99999999999999999999")
    Traceback (most recent call last):
    stemclean.documents.FlawError: b.c: a whole number of more than 64 bits
    """
    for begin, what in _flaws_of_toml(text):  # first, as keys of thousands of parts take the parser hours
        raise FlawError(_place(text, begin), what)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = _SAID.fullmatch(str(error))
        what, at = said.groups() if said else (str(error), None)
        raise FlawError(at or f"line {_line(text, len(text))}", f"no TOML: {_plainly(what)}") from None
    for name, what in _unlike_toml(document):
        raise FlawError(name, what)
    return document


_SAID = re.compile(r"(.*) \(at (?:(line \d+, column \d+)|end of document)\)", re.DOTALL)
_PLAIN = (
    (r"Cannot overwrite a value", "a key stands twice"),
    (r"Cannot declare \((.*?),?\) twice", "the table [{}] stands twice"),
    (r"Cannot mutate immutable namespace \((.*?),?\)", "[{}] is complete already"),
)


def _plainly(said: str) -> str:
    """What the parser says, without a tuple of Python's."""
    for theirs, ours in _PLAIN:
        if match := re.fullmatch(theirs, said, re.DOTALL):
            return ours.format(*(name.replace("'", "").replace(", ", ".")[:80] for name in match.groups()))
    return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(DEEPEST + 1):
        level = [value for value in level if isinstance(value, dict | list)]
        if not level:
            return False
        level = [child for value in level for child in (value.values() if isinstance(value, dict) else value)]
    return True


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > LONGEST_NUMBER:
        raise ValueError("a long number")
    return int(digits)


def _line(text: str, at: int, first: int = 1) -> int:
    return first + text.count("\n", 0, at)


def _place(text: str, at: int, first: int = 1) -> str:
    column = at - text.rfind("\n", 0, at)
    return f"line {_line(text, at, first)}, column {column}"


_JSON = re.compile(r'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{}\[\]:,]|[^\s"{}\[\]:,]++')
_TOML = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)|\'\'\'(?:[^\']|\'(?!\'\'))*+(?:\'\'\'|\Z)'
    r'|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?|\'[^\'\n]*+\'?|#[^\n]*+|[{}\[\]=,\n]|[^\s"\'#{}\[\]=,]++',
    re.DOTALL,
)


def _flaws_of_json(text: str) -> Iterator[tuple[int, str]]:
    """Where a text, JSON as far as it goes, is not what :func:`json_of` reads, and why not."""
    inside: list[set[str] | None] = []  # the keys so far of each object, none of a list
    last, at = "", 0
    for token in _JSON.finditer(text):
        word = token.group()
        if word in "{[":
            inside.append(set() if word == "{" else None)
            if len(inside) > DEEPEST:
                yield token.start(), "nested too deeply"
                return
        elif word in "}]":
            del inside[-1:]
        elif word == ":" and inside and (keys := inside[-1]) is not None:
            key = json.loads(last)
            if key in keys:
                yield at, f'the key "{key[:80]}" stands twice in one object'
            keys.add(key)
        elif len(word) > LONGEST_NUMBER and word.lstrip("-").isdecimal() and len(word.lstrip("-")) > LONGEST_NUMBER:
            yield token.start(), f"a whole number of more than {LONGEST_NUMBER} digits"
        last, at = word, token.start()


def _flaws_of_toml(text: str) -> Iterator[tuple[int, str]]:
    """Where a text, TOML as far as it goes, is not what the parser can read, and why not."""
    depth = parts = 0  # of brackets in one another, and of the key
    for token in _TOML.finditer(text):
        word = token.group()
        depth += (word in "[{") - (word in "]}")
        parts = 0 if word in "[]{}=,\n" else parts + (word.count(".") if word[0] not in "\"'#" else 0)
        if max(depth, parts) > DEEPEST:
            yield token.start(), "nested too deeply"
            return
        if len(word) > TOO_LONG_FOR_INT and re.fullmatch(r"[+-]?\d[\d_]*+", word):
            yield token.start(), "a whole number of more than 64 bits"


def _unlike_toml(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names of settings that have what this parser reads and TOML does not hold."""
    waiting: list[tuple[str, Any, int]] = [("", document, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        if depth > DEEPEST:
            yield name[:80] + "…", "nested too deeply"
            return
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}" if name else key, item, depth + 1) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{name}[{number}]", item, depth + 1) for number, item in enumerate(value)]
        elif isinstance(value, int) and not -LARGEST_OF_TOML <= value < LARGEST_OF_TOML:
            yield name, "a whole number of more than 64 bits"
