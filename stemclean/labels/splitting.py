"""Split names into words, however they are joined: ``Lead Vox``, ``LeadVox``, ``LEADVOX``, ``lead_vox``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

__all__ = ["LONGEST_RUN", "Word", "cut", "cut_acronym", "cut_glued", "normal", "plain", "scattered", "written_together"]

LONGEST_RUN = 40
"""Maximum number of letters in a run that is split into glued words."""

_RUN = re.compile(r"[^\W\d_]+|\d+|[+&]|(?<=[(\[{])[-\u2212\u2013](?=[^\W\d_])")
_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ACRONYM = re.compile(r"(?<=[A-Z])(?=[A-Z][a-z])")
_WRITTEN_TOGETHER = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff66-\uff9f]")
_CLOSING = {"(": ")", "[": "]", "{": "}", "\uff08": "\uff09", "\u3010": "\u3011"}


class Word(NamedTuple):
    """A word of a name.

    Args:
        text: lower case, without accents.
        start: where it starts in the name.
        end: where it ends.
        part: number of its part of the name; parts are separated by ``_``, `` - ``, commas and brackets.
        bracket: number of its pair of brackets, from 1; 0: not in brackets.
        raw: the original spelling.
    """

    text: str
    start: int
    end: int
    part: int
    bracket: int
    raw: str = ""


def normal(name: str) -> str:
    """Return a name in NFC, because macOS writes accents as separate characters."""
    return unicodedata.normalize("NFC", name)


@lru_cache(maxsize=100_000)
def plain(text: str) -> str:
    """Return a text in lower case, without full-width forms and accents on Latin, Greek and Cyrillic letters.

    >>> plain("Bater\u00eda"), plain("Ch\u0153urs"), plain("\uff8d\uff9e\uff70\uff7d")
    ('bateria', 'choeurs', '\u30d9\u30fc\u30b9')
    """
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u0153", "oe")
    if text.isascii():
        return text
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not "\u0300" <= c <= "\u036f")
    return unicodedata.normalize("NFC", bare)


def cut(name: str) -> list[Word]:
    """Split a name in NFC into words, at everything but letters and digits, and where lower case becomes upper case.

    A minus sign at the start of a pair of brackets is a word: ``(-Drums)``.
    """
    words: list[Word] = []
    part, bracket, brackets, inside, last = 0, 0, 0, "", 0
    for run in _RUN.finditer(name):
        between = name[last : run.start()]
        last = run.end()
        for sign in between:
            if sign == inside:
                bracket, inside, part = 0, "", part + 1
            elif sign in _CLOSING and not inside:
                brackets += 1
                bracket, inside, part = brackets, _CLOSING[sign], part + 1
        part += _parts(between)
        begin = run.start()
        words += [Word(text, begin + i, begin + j, part, bracket, raw) for text, i, j, raw in _cut_run(run.group())]
    return words


@lru_cache(maxsize=10_000)
def _parts(between: str) -> bool:
    """Return whether the text between two words separates two parts of a name."""
    return re.search(r"[_,;:|/\\\u2013\u2014]|\s-|-\s", between) is not None


@lru_cache(maxsize=100_000)
def _cut_run(run: str) -> tuple[tuple[str, int, int, str], ...]:
    """Split a run of letters and digits into words: plain text, start, end and original spelling of each."""
    if _WRITTEN_TOGETHER.search(run) or run.isdigit() or len(run) == 1:
        return ((plain(run), 0, len(run), run),)
    cuts = [0, *(match.start() for match in _CASE.finditer(run)), len(run)]
    return tuple((plain(run[i:j]), i, j, run[i:j]) for i, j in pairwise(cuts))


def cut_glued(text: str, known: Collection[str], longest: int, *, sided: bool = False) -> list[str]:
    """Split a text into as few known words as possible; empty if it contains anything else.

    Args:
        text: a run of letters.
        known: the known words.
        longest: length of the longest known word.
        sided: whether a final ``l`` or ``r`` is allowed, as in ``KICKL``.

    >>> cut_glued("leadvox", {"lead", "vox"}, 4), cut_glued("therapist", {"rap"}, 4)
    (['lead', 'vox'], [])
    """
    if len(text) > LONGEST_RUN:
        return []
    best: list[list[str] | None] = [[], *[None] * len(text)]
    for end in range(1, len(text) + 1):
        for start in range(max(0, end - longest), end):
            before, piece = best[start], text[start:end]
            fits = piece in known or (sided and piece in ("l", "r") and end == len(text) and start > 0)
            if before is not None and fits and (best[end] is None or len(before) + 1 < len(best[end] or [])):
                best[end] = [*before, piece]
    return best[-1] or []


def cut_acronym(word: Word) -> list[Word]:
    """Split a word after an acronym: ``SFX`` and ``Wolf``.

    >>> [part.text for part in cut_acronym(Word("sfxwolf", 0, 7, 0, 0, "SFXWolf"))]
    ['sfx', 'wolf']
    """
    return [word._replace(text=plain(part), raw=part) for part in _ACRONYM.split(word.raw)]


def scattered(text: str, known: Collection[str], longest: int) -> Iterator[str]:
    """Yield known words of two or more characters in a script without spaces, longest match first, from the left."""
    at = 0
    while at < len(text):
        size = next((size for size in range(min(longest, len(text) - at), 1, -1) if text[at : at + size] in known), 0)
        if size:
            yield text[at : at + size]
        at += size or 1


def written_together(text: str) -> bool:
    """Return whether a word is in a script without spaces between words."""
    return _WRITTEN_TOGETHER.search(text) is not None
