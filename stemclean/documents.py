"""JSON, TOML and YAML from untrusted sources: parsed, or refused with the position of the error.

No text makes the parser fail in any other way, not even thousands of brackets or a number of thousands of digits. The
values may still be wrong; the caller checks them.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["FlawError", "json_of", "toml_of", "yaml_of"]

LONGEST_NUMBER: Final = 308
"""Maximum number of digits of an integer, so that it fits into a float, too."""
TOO_LONG_FOR_INT: Final = 640
"""Number of digits beyond which :class:`int` may refuse a text, depending on the settings of Python."""
LARGEST_OF_TOML: Final = 2**63
"""TOML 1.0.0, "Integer": 64 bits."""
DEEPEST: Final = 64
"""Maximum nesting depth of lists and objects, since functions recurse as deep as the document."""


class FlawError(ValueError):
    """A text that cannot be parsed, or has contents that are refused.

    Args:
        at: the position, such as ``line 3, column 5``, or the name of a setting.
        problem: what is wrong there.
        cut: whether the end seems to be missing.
    """

    def __init__(self, at: str, problem: str, *, cut: bool = False) -> None:
        super().__init__(f"{at}: {problem}" if at else problem)
        self.at = at
        self.problem = problem
        self.cut = cut


def json_of(text: str, *, line: int = 1, any_depth: bool = False) -> Any:
    """Parse a JSON text.

    Args:
        line: line of the file in which the text begins.
        any_depth: allow any depth that the parser can handle, some hundred levels; the caller checks it.

    Raises:
        FlawError: the text is not JSON, is nested deeper than :data:`DEEPEST`, has a duplicate key in an object, or an
            integer of more than :data:`LONGEST_NUMBER` digits.

    >>> json_of('{"a": [1, 2]}')
    {'a': [1, 2]}
    >>> json_of('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    stemclean.documents.FlawError: line 1, column 10: duplicate key "a" in an object
    """
    try:
        document = json.loads(text, object_pairs_hook=_unique_keys, parse_int=_integer)
        if any_depth or not _is_deep(document):
            return document
        raise RecursionError
    except json.JSONDecodeError as error:
        cut = not text[error.pos :].strip() or error.msg.startswith("Unterminated")
        raise FlawError(_position(text, error.pos, line), f"not JSON: {error.msg}", cut=cut) from None
    except (ValueError, RecursionError):
        at, problem = next(_flaws_of_json(text), (0, "not JSON that can be read"))
        raise FlawError(_position(text, at, line), problem) from None


def toml_of(text: str) -> dict[str, Any]:
    r"""Parse a TOML text.

    Raises:
        FlawError: the text is not TOML, has a duplicate key, is nested deeper than :data:`DEEPEST`, or contains an
            integer of more than 64 bits.

    >>> toml_of("a = 1\n[b]\nc = 99999999999999999999")
    Traceback (most recent call last):
    stemclean.documents.FlawError: b.c: a whole number of more than 64 bits
    """
    for begin, problem in _flaws_of_toml(text):  # first, since keys of thousands of parts take the parser hours
        raise FlawError(_position(text, begin), problem)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _PARSER_MESSAGE.fullmatch(str(error))
        message, at = match.groups() if match else (str(error), None)
        raise FlawError(at or f"line {_line(text, len(text))}", f"not TOML: {_in_plain_words(message)}") from None
    for name, problem in _unlike_toml(document):
        raise FlawError(name, problem)
    return document


def yaml_of(text: str) -> Any:
    """Parse a YAML text of plain values; no tag can make an object.

    Aliases are allowed, so the result may hold the same object several times; it must not be walked through as a whole.

    Raises:
        FlawError: the text is not YAML, or is nested too deep.

    >>> yaml_of("stems: {S01: {instrument: viola}}")
    {'stems': {'S01': {'instrument': 'viola'}}}
    """
    import yaml  # only datasets with such files need it

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise FlawError(at, f"not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise FlawError("", f"not YAML: {str(error).partition(chr(10))[0]}") from None


_PARSER_MESSAGE = re.compile(r"(.*) \(at (?:(line \d+, column \d+)|end of document)\)", re.DOTALL)
_PLAIN = (
    (r"Cannot overwrite a value", "duplicate key"),
    (r"Cannot declare \((.*?),?\) twice", "duplicate table [{}]"),
    (r"Cannot mutate immutable namespace \((.*?),?\)", "the table [{}] is already complete"),
)


def _in_plain_words(message: str) -> str:
    """Return a message of the parser without Python tuples."""
    for theirs, ours in _PLAIN:
        if match := re.fullmatch(theirs, message, re.DOTALL):
            return ours.format(*(name.replace("'", "").replace(", ", ".")[:80] for name in match.groups()))
    return message


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("duplicate key")
    return document


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(DEEPEST + 1):
        level = [value for value in level if isinstance(value, dict | list)]
        if not level:
            return False
        level = [child for value in level for child in (value.values() if isinstance(value, dict) else value)]
    return True


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > LONGEST_NUMBER:
        raise ValueError("a long number")
    return int(digits)


def _line(text: str, at: int, first: int = 1) -> int:
    return first + text.count("\n", 0, at)


def _position(text: str, at: int, first: int = 1) -> str:
    column = at - text.rfind("\n", 0, at)
    return f"line {_line(text, at, first)}, column {column}"


_JSON = re.compile(r'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{}\[\]:,]|[^\s"{}\[\]:,]++')
_TOML = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)|\'\'\'(?:[^\']|\'(?!\'\'))*+(?:\'\'\'|\Z)'
    r'|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?|\'[^\'\n]*+\'?|#[^\n]*+|[{}\[\]=,\n]|[^\s"\'#{}\[\]=,]++',
    re.DOTALL,
)


def _flaws_of_json(text: str) -> Iterator[tuple[int, str]]:
    """Yield the positions in a text at which :func:`json_of` refuses it, and the reasons."""
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
                yield at, f'duplicate key "{key[:80]}" in an object'
            keys.add(key)
        elif len(word) > LONGEST_NUMBER and word.lstrip("-").isdecimal() and len(word.lstrip("-")) > LONGEST_NUMBER:
            yield token.start(), f"a whole number of more than {LONGEST_NUMBER} digits"
        last, at = word, token.start()


def _flaws_of_toml(text: str) -> Iterator[tuple[int, str]]:
    """Yield the positions in a text that the TOML parser cannot handle, and the reasons."""
    depth = parts = 0  # nesting of brackets, and parts of the key
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
    """Yield the names of settings whose values this parser accepts but TOML does not allow, and the reasons."""
    pending: list[tuple[str, Any, int]] = [("", document, 0)]
    while pending:
        name, value, depth = pending.pop()
        if depth > DEEPEST:
            yield name[:80] + "…", "nested too deeply"
            return
        if isinstance(value, dict):
            pending += [(f"{name}.{key}" if name else key, item, depth + 1) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [(f"{name}[{number}]", item, depth + 1) for number, item in enumerate(value)]
        elif isinstance(value, int) and not -LARGEST_OF_TOML <= value < LARGEST_OF_TOML:
            yield name, "a whole number of more than 64 bits"
