"""Read a file name: which classes the file contains, which it does not, and whether it is a mixture.

The rules, in this order:

1. Names of models (``UVR-MDX-NET-Voc_FT``) are removed, because the words in them are not classes.
2. A class alone in brackets decides (``Song_(Vocals)_model``).
3. Negated classes are not in the file: ``no_vocals``, ``drums removed``, ``all but bass``. It is a mixture of the rest.
4. The same holds for ``instrumental``, ``accompaniment``, ``karaoke`` and ``music``.
5. ``mix`` and ``master`` at the end mean the whole song, unless they belong to a class: ``drum mix``.
6. If there are several classes, the one that fills the last part of the name wins over words of a title before it
   (``Piano Man - Drums``); otherwise the name is not guessed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from stemclean.labels import models as separators
from stemclean.labels import words as lists
from stemclean.labels.splitting import Word, cut, cut_acronym, cut_glued, plain, scattered, written_together

__all__ = ["MIXTURE", "Reader", "Reading", "phrase"]

MIXTURE = "mixture"
"""The label of a file that holds the whole song."""

_GENERIC = lists.WHOLE
_FOREIGN = "\0"
"""Prefix of the name of a class that is not in the profile."""
_SHORT = "abbreviation"
"""The instrument of abbreviations, which mean a class only if they are the only meaningful word."""
MOST_KEPT = 100_000
"""Maximum number of cached words with their parts, because names in datasets repeat words."""
_GAP = "\0"
"""Placeholder for unknown text in a word of a script without spaces."""


@dataclass(frozen=True)
class Reading:
    """Result of reading a name.

    Args:
        label: the class that it claims, :data:`MIXTURE`, or None.
        named: all classes that it claims, in the profile's order; :data:`MIXTURE` only if there is no class.
        absent: the classes that it says are *not* in the file.
        partial: whether it is a mixture of some, but not all, classes; the label is then None.
        pure: whether it has no unknown word, so that it cannot be a title.
        exact: whether it has only words of classes, numbers, and words such as "stems" or "clean".
        start: position of the first word that decided; the length of the name if there is none.
        starts: positions of all words that mean something.
        apart: whether the deciding words form a separate part, as in "Song_drums", not among words of a title.
        at_end: whether only numbers and takes follow the deciding words.
    """

    label: str | None = None
    named: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    partial: bool = False
    pure: bool = False
    exact: bool = False
    start: int = 0
    starts: tuple[int, ...] = ()
    apart: bool = False
    at_end: bool = False

    @property
    def tells(self) -> bool:
        """Whether it says anything about the content of the file."""
        return self.label is not None or bool(self.named) or bool(self.absent) or self.partial


class _Meaning(NamedTuple):
    """Meaning of a phrase.

    Args:
        kind: ``class``, ``rest``, ``mixture``, ``before``, ``after`` or ``both`` (position of a negation), ``leak``,
            ``version``, ``neutral``, ``connector``, ``number``, ``unknown``, or ``none``: known, but ignored.
        label: the class.
        instrument: instrument of the class.
        weak: whether other classes take precedence.
    """

    kind: str
    label: str = ""
    instrument: str = ""
    weak: bool = False


@dataclass
class _Item:
    """A phrase in a name; an unknown word has the kind ``unknown``, a number ``number``."""

    meaning: _Meaning
    words: list[Word]
    negated: bool = False
    negates: bool = False

    def __post_init__(self) -> None:
        self.kind = self.meaning.kind

    def means(self, meaning: _Meaning) -> None:
        """Set another meaning."""
        self.meaning, self.kind = meaning, meaning.kind

    @property
    def start(self) -> int:
        return self.words[0].start

    @property
    def part(self) -> int:
        return self.words[-1].part

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True)
class Reader:
    """Reads names for some classes.

    Args:
        aliases: class -> its synonyms, besides its name.
    """

    aliases: Mapping[str, Collection[str]]
    labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.aliases))

    @cached_property
    def rest(self) -> str | None:
        """The class of everything else in a profile of two classes; None in other profiles."""
        names_of_rest = {"other", "residual", *lists.REST}
        rest = [label for label in self.labels if plain(label) in names_of_rest]
        return rest[0] if len(self.labels) == 2 and len(rest) == 1 else None

    def read(self, name: str, without: Collection[int] = ()) -> Reading:
        """Read a name.

        Args:
            name: name of a file without its extension.
            without: start positions of words that belong to a title.
        """
        name = unicodedata.normalize("NFC", name)
        items = self._items(name, without)
        _negate(items)
        reading = self._read_brackets(items)
        if reading is not None:
            return replace(reading, apart=True, at_end=True)
        reading = self._read_items(items, len(name))
        return replace(reading, apart=_apart(items, reading), at_end=_at_end(items))

    # --- from phrases to meanings

    @cached_property
    def _phrases(self) -> dict[tuple[str, ...], _Meaning]:
        meanings: dict[tuple[str, ...], _Meaning] = {}
        plain_kinds = {
            "neutral": [*lists.NEUTRAL, *lists.NUMBERED],
            "connector": lists.CONNECTORS,
            "before": lists.NEGATED_BEFORE,
            "after": [entry for entry in lists.NEGATED_AFTER if entry not in lists.NEGATED_BEFORE],
            "both": [entry for entry in lists.NEGATED_AFTER if entry in lists.NEGATED_BEFORE],
            "leak": lists.LEAKED,
            "version": lists.VERSIONS,
            "rest": [entry for entry in lists.REST if self.rest or entry not in lists.NOT_ALONE],
            "mixture": lists.MIXTURE,
        }
        for kind, entries in plain_kinds.items():
            for entry in entries:
                meanings[phrase(entry)] = _Meaning(kind)
        known_words = {  # also words of classes that are not in the profile, because a name with one of them is unclear
            entry: _Meaning("class", label, instrument, phrase(entry) in _WEAK)
            for label, instruments in lists.FOUR_STEMS.items()
            for instrument, text in instruments.items()
            for entry in ([label] if instrument == _GENERIC else []) + list(lists.listed(text))
        }
        profile_words = {word for label in self.labels if label not in lists.FOUR_STEMS for word in phrase(label)}
        for entry, meaning in known_words.items():
            if meaning.label not in self.labels and not profile_words & set(phrase(entry)):
                _put(meanings, entry, meaning._replace(label=_FOREIGN + meaning.label))
        for label, entries in self.aliases.items():
            for entry in (label, *entries):
                listed_meaning = known_words.get(entry)
                instrument = listed_meaning.instrument if listed_meaning else _GENERIC
                weak = phrase(entry) in _WEAK and entry != label
                _put(meanings, entry, _Meaning("class", label, instrument, weak), over=True)
        for entry in lists.AMBIGUOUS:
            if phrase(entry) not in meanings or meanings[phrase(entry)].kind != "class" or " " in entry:
                meanings[phrase(entry)] = _Meaning("none")
        return meanings

    @cached_property
    def _longest(self) -> dict[str, int]:
        """Number of words of the longest phrase that begins with each word."""
        longest: dict[str, int] = {}
        for key in self._phrases:
            longest[key[0]] = max(longest.get(key[0], 0), len(key))
        return longest

    @cached_property
    def _parts(self) -> dict[str, _Meaning]:
        """Words that a run of letters may be divided into."""
        kinds = {"class", "rest", "mixture"}
        single = {key[0]: meaning for key, meaning in self._phrases.items() if len(key) == 1}
        return {
            text: meaning
            for text, meaning in single.items()
            if written_together(text)
            or text in lists.GLUED
            or (meaning.kind in kinds and (len(text) > 2 or text in {"bv", "bg", "hh", "oh", "bd", "gt", "sn"}))
        }

    @cached_property
    def _longest_part(self) -> int:
        return max(map(len, self._parts))

    def _items(self, name: str, without: Collection[int]) -> list[_Item]:
        models = separators.spans(name)
        words = []
        for word in cut(name):
            if word.start in without or any(start <= word.start < end for start, end in models):
                continue
            words += self._cut_up(word)
        items: list[_Item] = []
        at = 0
        while at < len(words):
            for length in range(min(self._longest.get(words[at].text, 0), len(words) - at), 0, -1):
                key = tuple(word.text for word in words[at : at + length])
                meaning = self._phrases.get(key)
                if meaning is not None:
                    items.append(_Item(meaning, words[at : at + length]))
                    break
            else:
                length = 1
                kind = "number" if words[at].text.isdigit() else "unknown"
                kind = "connector" if words[at].text in "+&" else kind
                kind = "before" if words[at].text in _MINUS else kind
                items.append(_Item(_Meaning(kind), words[at : at + 1]))
            at += length
        return self._abbreviated(items)

    def _cut_up(self, word: Word) -> list[Word]:
        """Divide an unknown word into known words."""
        if (word.text,) in self._phrases or len(word.text) < 3 or word.text.isdigit():
            return [word]
        key = word.text, word.raw
        parts = self._made_of.get(key)
        if parts is None:  # the parts do not depend on the position of the word
            parts = [(part.text, part.raw) for part in self._parts_of(word)]
            if len(self._made_of) < MOST_KEPT:
                self._made_of[key] = parts
        return [word._replace(text=text, raw=raw) for text, raw in parts]

    @cached_property
    def _made_of(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        return {}

    def _parts_of(self, word: Word) -> list[Word]:
        together = written_together(word.text)
        parts = cut_glued(word.text, self._parts, self._longest_part, sided=word.raw.isupper())
        if parts and not together:
            meanings = (self._parts.get(part) for part in parts)
            if not any(item and item.kind in ("class", "mixture") and not item.weak for item in meanings):
                parts = []
        if not parts and together:
            parts = [*scattered(word.text, self._parts, self._longest_part), _GAP]
        if not parts and len(split := cut_acronym(word)) > 1:
            return [part for item in split for part in self._cut_up(item)]
        return [word._replace(text=part) for part in parts] or [word]

    def _abbreviated(self, items: list[_Item]) -> list[_Item]:
        """Interpret abbreviations that are the only meaningful word of a name."""
        meaningful = [
            item for item in items if item.kind not in ("number", "neutral") or item.text in lists.ABBREVIATIONS
        ]
        if len(meaningful) != 1 or (label := lists.ABBREVIATIONS.get(meaningful[0].text)) is None:
            return items
        label = label if label in self.labels else _FOREIGN + label
        meaningful[0].means(_Meaning("class", label, _SHORT))
        return items

    # --- from meanings to a reading

    def _read_brackets(self, items: Sequence[_Item]) -> Reading | None:
        """Read a pair of brackets that contains a class alone, as before the name of a model or after a title.

        Returns:
            The reading; None if there is no such pair, or if the text outside it is another class alone.
        """
        numbers = sorted({word.bracket for item in items for word in item.words} - {0})
        if not numbers:
            return None
        readings = []
        for number in numbers:
            inside = [item for item in items if all(word.bracket == number for word in item.words)]
            reading = self._read_items(inside, 0)
            if reading.pure and (reading.label is not None or reading.partial):
                readings.append(reading)
        outside = self._read_items([item for item in items if item.words[0].bracket == 0], 0)
        if not readings or len({(result.label, result.partial) for result in readings}) > 1:
            return None
        if outside.pure and outside.tells and outside.label != readings[0].label:
            return None
        starts = tuple(item.start for item in items if item.kind not in _SILENT)
        return replace(readings[0], pure=outside.pure, exact=outside.exact and readings[0].exact, starts=starts)

    def _read_items(self, items: Sequence[_Item], length: int) -> Reading:
        phrases = _Phrases(self.labels, items, length)
        if phrases.negated:
            return self._without(phrases)
        decisive = self._decisive(items, phrases.last)
        mixed = [item for item in items if item.kind == "mixture"]
        if mixed and _ends(items, mixed[-1]) and (not phrases.present or decisive is None):
            return self._mixed(phrases, mixed[-1])
        rest = any(item.kind == "rest" for item in items)
        if decisive is not None and (len(phrases.present) > 1 or rest or mixed):
            label = None if decisive.startswith(_FOREIGN) else decisive
            return phrases.says(label, phrases.last[0].start)
        if rest:
            if self.rest is not None and self._only_rest(phrases.present):
                return phrases.says(self.rest)
            return replace(phrases.says(None), named=phrases.known, partial=not phrases.present)
        if len(phrases.present) == 1 and phrases.known and not _is_numbered_title(items):
            return phrases.says(phrases.present[0])
        if self.rest in phrases.present and self._only_rest(phrases.present):
            return phrases.says(self.rest)
        return replace(phrases.says(None), named=phrases.known)

    def _only_rest(self, present: Sequence[str]) -> bool:
        """Return whether there are only the class of everything else, and classes that are not in the profile."""
        return all(label == self.rest or label.startswith(_FOREIGN) for label in present)

    def _without(self, phrases: _Phrases) -> Reading:
        """Read a name that says what is not in the file."""
        present, absent = phrases.present, phrases.absent
        all_generic = all(item.meaning.instrument == _GENERIC for item in phrases.classes)
        all_specific = all(item.meaning.instrument != _GENERIC for item in phrases.negated)
        if present == absent and len(phrases.known) == 1 and present[0] != "other" and all_generic and all_specific:
            return phrases.says(present[0])  # "drums without kick" are drums
        if self.rest is not None:
            others = tuple(label for label in self.labels if label != self.rest)
            if absent == others:
                return phrases.says(self.rest)
            if self.rest in absent or any(item.kind == "rest" for item in phrases.negated):
                return phrases.says(others[0])
        absent_labels = tuple(label.lstrip(_FOREIGN) for label in absent)
        return replace(phrases.says(None), absent=absent_labels, partial=True)

    def _mixed(self, phrases: _Phrases, mixed: _Item) -> Reading:
        """Read a name that ends in "mix"."""
        beside = [item for item in phrases.items if item.part == mixed.part and item is not mixed]
        if any(item.kind == "rest" for item in beside):
            return replace(phrases.says(None), partial=True)
        has_rest = any(item.kind == "rest" for item in phrases.items)
        if len(phrases.known) == len(phrases.present) == 1 and phrases.pure and not has_rest:
            return phrases.says(phrases.present[0])
        classes = _strong(item for item in beside if item.kind == "class")
        titled = any(item.kind in _UNKNOWN for item in beside)
        if not classes or (titled and phrases.items[phrases.items.index(mixed) - 1] not in classes):
            return phrases.says(MIXTURE, mixed.start)
        labels = {item.meaning.label for item in classes}
        if titled or len(labels) > 1 or not labels <= set(self.labels) - {"vocals"}:
            return phrases.says(None)  # a "Vocal Mix" may be a whole song
        return phrases.says(labels.pop(), classes[0].start)

    def _decisive(self, items: Sequence[_Item], last: Sequence[_Item]) -> str | None:
        """Return the class of the last part of a name if the text before it may be a title; otherwise None."""
        labels = {item.meaning.label for item in _strong(item for item in last if item.kind == "class")}
        if len(labels) != 1 or any(item.kind not in {"class", *_SILENT} - {"unknown"} for item in last):
            return None
        at = items.index(last[0])
        if any(item.kind == "connector" for item in items[max(0, at - 1) : at + 1]):
            return None  # "instrumental_with_backing_vocals"
        parts = {item.part for item in items if item.kind == "class"} - {item.part for item in last}
        for part in parts:
            inside = [item for item in items if item.part == part]
            if not any(item.kind in _UNKNOWN for item in inside):
                part_labels = {item.meaning.label for item in inside if item.kind == "class"}
                if part_labels != labels:
                    return None
        return labels.pop()


class _Phrases:
    """The phrases of a name, and their combined meaning."""

    def __init__(self, labels: Sequence[str], items: Sequence[_Item], length: int) -> None:
        self.labels, self.items = labels, items
        self.negated = [item for item in items if item.negated]
        self.classes = _strong(item for item in items if item.kind == "class" and not item.negated)
        self.present = self._ordered(item.meaning.label for item in self.classes)
        self.known = tuple(label for label in self.present if label in labels)
        self.absent = self._ordered(item.meaning.label for item in self.negated if item.kind == "class")
        self.pure = not any(item.kind in _UNKNOWN for item in items)
        self.exact = self.pure and all(item.kind in _PLAIN or item.text in lists.OF_FOLDERS for item in items)
        self.exact = self.exact and not any(item.meaning.instrument == _SHORT for item in items)
        self.last = _last_part(items)
        self._starts = tuple(item.start for item in items if item.kind not in _SILENT or item.negates)
        self._length = length

    def _ordered(self, labels: Iterable[str]) -> tuple[str, ...]:
        unique = set(labels)
        return tuple(label for label in self.labels if label in unique) + tuple(sorted(unique - set(self.labels)))

    def says(self, label: str | None, start: int | None = None) -> Reading:
        """Return a reading with a label."""
        if start is None:
            start = self._starts[0] if self._starts else self._length
        named = () if label is None else (label,)
        return Reading(label, named, pure=self.pure, exact=self.exact, start=start, starts=self._starts)


_UNKNOWN = frozenset({"unknown", "version"})
_MINUS = frozenset("-\u2212\u2013")
_PLAIN = frozenset({"class", "rest", "mixture", "before", "after", "both", "number"})
_SILENT = frozenset({"unknown", "number", "neutral", "connector", "version", "leak", "none", "before", "after", "both"})
_WEAK = frozenset(tuple(word.text for word in cut(entry)) for entry in lists.WEAK)


def phrase(entry: str) -> tuple[str, ...]:
    """Split a phrase into words in the same way as names."""
    return tuple(word.text for word in cut(unicodedata.normalize("NFC", entry)))


def _put(meanings: dict[tuple[str, ...], _Meaning], entry: str, meaning: _Meaning, *, over: bool = False) -> None:
    """Store a phrase, and its plural unless that is listed itself."""
    key = phrase(entry)
    if not key:
        return
    if over or key not in meanings or meanings[key].kind != "class":
        meanings[key] = meaning
    last = key[-1]
    if len(last) > 2 and last.isascii() and last.isalpha() and last[-1] not in "sxz":
        plural = (*key[:-1], last + "s")
        if plural not in meanings or (over and meanings[plural].label.startswith(_FOREIGN)):
            meanings[plural] = meaning._replace(weak=meaning.weak)


def _strong(items: Iterable[_Item]) -> list[_Item]:
    """Return the words of classes that are not weak; all of them if all are weak."""
    candidates = list(items)
    return [item for item in candidates if not item.meaning.weak] or candidates


def _negate(items: Sequence[_Item]) -> None:
    """Mark classes that are negated or only leak in, and ignore negations without a class."""
    for at, item in enumerate(items):
        if item.kind in ("before", "both") and _negate_following(items, at):
            item.negates = True
            continue
        if item.kind in ("after", "both") and (item.text != "free" or _hyphened(items, at)):
            before = _nearest(items, range(at - 1, -1, -1))
            if before is not None and not (item.text in lists.TECHNIQUES and _is_other(items[before])):
                items[before].negated = item.negates = True
                _chain(items, before, -1)
        elif item.kind == "leak":
            before = _nearest(items, range(at - 1, -1, -1))
            if before is not None:
                items[before].means(_Meaning("none"))


def _negate_following(items: Sequence[_Item], at: int) -> bool:
    """Negate the following classes, up to the end of a list with "and"; return whether there were any."""
    after = _nearest(items, range(at + 1, len(items)))
    if after is None or (after > at + 1 and items[at + 1].kind == "number"):
        return after is not None and items[after].negated
    if items[at].text == "ex" and not _hyphened(items, after):
        return False  # "My Ex_vocals"
    if items[at].text in lists.TECHNIQUES and _is_other(items[after]):
        return True  # a muted trumpet
    if items[after].meaning.weak and items[after].meaning.instrument in ("effects", "room", "overheads"):
        items[after].means(_Meaning("none"))
        return True
    items[after].negated = True
    _chain(items, after, 1)
    return True


def _chain(items: Sequence[_Item], at: int, step: int) -> None:
    """Negate the classes joined to a negated class by "and"."""
    while 0 <= at + 2 * step < len(items) and items[at + step].kind == "connector":
        at += 2 * step
        if items[at].kind not in ("class", "rest"):
            return
        items[at].negated = True


def _nearest(items: Sequence[_Item], order: Iterable[int]) -> int | None:
    """Return the index of the next class or rest in an order; None if there are other than neutral words before it."""
    for at in order:
        if items[at].kind in ("class", "rest"):
            return at
        if items[at].kind != "neutral":
            return None
    return None


def _is_other(item: _Item) -> bool:
    return item.meaning.label.lstrip(_FOREIGN) == "other"


def _hyphened(items: Sequence[_Item], at: int) -> bool:
    """Return whether a word is joined to the previous one, as in "drum-free"."""
    return at > 0 and items[at].start - items[at - 1].words[-1].end <= 1 and items[at].part == items[at - 1].part


def _ends(items: Sequence[_Item], item: _Item) -> bool:
    """Return whether no meaningful item follows."""
    behind = items[items.index(item) + 1 :]
    return all(other.kind in ("number", "neutral", "unknown", "connector") for other in behind)


def _apart(items: Sequence[_Item], reading: Reading) -> bool:
    """Return whether a meaningful part has no unknown word: the last part, or any if a class is negated."""
    parts = {item.part for item in items if item.kind not in _SILENT or item.negates}
    last = {item.part for item in _last_part(items)}
    parts = parts if reading.partial else parts & last
    return any(all(item.kind not in _UNKNOWN for item in items if item.part == part) for part in parts)


def _at_end(items: Sequence[_Item]) -> bool:
    """Return whether the last word that is neither a number nor neutral is meaningful."""
    relevant = [item for item in items if item.negates or item.kind not in ("number", "neutral")]
    return bool(relevant) and (relevant[-1].negates or relevant[-1].kind not in _SILENT)


def _last_part(items: Sequence[_Item]) -> list[_Item]:
    """Return the items of the last part of a name that has more than numbers and neutral words."""
    relevant_parts = [item.part for item in items if item.kind not in ("number", "neutral")]
    return [item for item in items if relevant_parts and item.part == relevant_parts[-1]]


def _is_numbered_title(items: Sequence[_Item]) -> bool:
    """Return whether a name is a title followed by a number, as in "Piano Man_STEM_02"."""
    at = len(items) - 1
    while at >= 0 and items[at].kind == "number":
        at -= 1
    if at in (-1, len(items) - 1) or items[at].text not in lists.NUMBERED:
        return False
    return items[0].part != items[at].part and any(item.kind == "unknown" for item in items[:at])
