"""Instrument classes, and the words in file names that mean them.

A *profile* is a list of classes with their synonyms, which are listed in :mod:`stemclean.labels.words`.
:mod:`stemclean.labels.reading` reads names; a name that fits two classes is not guessed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from stemclean.errors import ConfigError
from stemclean.labels import class_names, words
from stemclean.labels.reading import MIXTURE, Reader, Reading, phrase
from stemclean.labels.words import listed

__all__ = ["FOUR_STEMS", "KARAOKE", "MIXTURE", "PROFILES", "Profile", "Reading", "known_as", "profile", "scanned_for"]


@dataclass(frozen=True)
class Profile:
    """Classes and their synonyms.

    Args:
        name: name of the profile on the command line.
        aliases: class -> words and phrases, in lower case with single spaces; the name of the class is always a
            synonym.

    Raises:
        ConfigError: a class has an invalid name, see :mod:`stemclean.labels.class_names`.
    """

    name: str
    aliases: Mapping[str, frozenset[str]]

    def __post_init__(self) -> None:
        class_names.check(self.aliases)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of scores."""
        return tuple(self.aliases)

    @cached_property
    def _read(self) -> Callable[[str, frozenset[int]], Reading]:
        return lru_cache(maxsize=100_000)(Reader(self.aliases).read)

    def read(self, name: str, without: Collection[int] = ()) -> Reading:
        """Read a name, see :class:`~stemclean.labels.reading.Reading`.

        Args:
            name: file name without its extension.
            without: start positions of words that belong to the song's title and are ignored.

        >>> FOUR_STEMS.read("song_no_vocals").absent, FOUR_STEMS.read("Song_(Vocals)_UVR-MDX-NET-Inst_HQ_3").label
        (('vocals',), 'vocals')
        """
        return self._read(name, frozenset(without))

    def find(self, name: str) -> str | None:
        """Return the class that a name claims: a label, :data:`MIXTURE`, or None if it is unclear.

        >>> FOUR_STEMS.find("03 Lead Vox_2"), FOUR_STEMS.find("Bass Drum"), FOUR_STEMS.find("Stem 4")
        ('vocals', 'drums', None)
        """
        return self.read(name).label

    def named(self, name: str) -> tuple[str, ...]:
        """Return all classes in a name, in the profile's order; :data:`MIXTURE` only if there is no class.

        >>> FOUR_STEMS.named("Drums and Bass"), FOUR_STEMS.named("drum mix"), FOUR_STEMS.named("full mix")
        (('bass', 'drums'), ('drums',), ('mixture',))
        """
        return self.read(name).named

    def exact(self, name: str) -> str | None:
        """Return the class of a name that consists of it alone, apart from numbers and words like "stems" or "clean".

        A *folder* gives its class to the files in it only under this condition, because songs have names like "Piano
        Man".

        >>> FOUR_STEMS.exact("01 Drum Loops"), FOUR_STEMS.exact("Piano Man")
        ('drums', None)
        """
        reading = self.read(name)
        return reading.label if reading.exact else None

    def before(self, name: str) -> str:
        """Return the text before the words of a class: the song, in ``songname_drums``.

        >>> FOUR_STEMS.before("My Song_Lead Vox 2"), FOUR_STEMS.before("drums")
        ('My Song', '')
        """
        name = unicodedata.normalize("NFC", name)
        reading = self.read(name)
        return name[: reading.start].strip(" _-.([") if reading.label != MIXTURE else name


def _profile(name: str, aliases: Mapping[str, str | Mapping[str, str]]) -> Profile:
    texts = {label: [words] if isinstance(words, str) else list(words.values()) for label, words in aliases.items()}
    return Profile(
        name,
        {
            label: frozenset(entry for text in texts_of_label for entry in listed(text))
            for label, texts_of_label in texts.items()
        },
    )


FOUR_STEMS = _profile("4stems", words.FOUR_STEMS)

KARAOKE = _profile(
    "karaoke",
    {
        "vocals": words.FOUR_STEMS["vocals"],
        "accompaniment": """accompaniments; accomp; accompany; accompanying; instrumental; instrumentals; instrument
            instruments; inst; karaoke; backing; backing track; backing tracks; backing music; background music; music
            minus one; no vocal; no vocals; novocals; no vox; without vocals; off vocal; band; playback""",
    },
)
"""Vocals and everything else."""

PROFILES: Mapping[str, Profile] = {entry.name: entry for entry in (FOUR_STEMS, KARAOKE)}


def profile(name: str) -> Profile:
    """Return the profile with a name.

    Raises:
        ConfigError: there is no such profile.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ConfigError(f'no class profile named "{name}"', f"known: {', '.join(PROFILES)}") from None


def known_as(labels: Sequence[str]) -> Profile:
    """Return the profile with exactly these classes, or else a new one, with the synonyms of the four stems.

    >>> known_as(["accompaniment", "vocals"]).name, known_as(["vocals", "other"]).find("Lead Vox")
    ('karaoke', 'vocals')
    """
    for entry in PROFILES.values():
        if set(entry.labels) == set(labels):
            return entry
    return Profile(",".join(labels), {label: _words_of(label) for label in labels})


def scanned_for(labels: Sequence[str] | None) -> Profile:
    """Return the profile to scan files with for some classes: the four stems, and the other classes among them.

    A class besides the four stems no longer counts as "other". For vocals and accompaniment, it is the karaoke profile.

    >>> scanned_for(["vocals", "drums"]).name, scanned_for(["vocals", "accompaniment"]).name, scanned_for(None).name
    ('4stems', 'karaoke', '4stems')
    >>> wanted = scanned_for(["guitar", "drums"])
    >>> wanted.labels, wanted.find("Acoustic Gtr 2"), wanted.find("Piano"), wanted.find("Bass Guitar")
    (('guitar', 'drums', 'vocals', 'bass', 'other'), 'guitar', 'other', 'bass')
    """
    wanted = tuple(labels or ())
    if set(wanted) <= set(FOUR_STEMS.labels):
        return FOUR_STEMS
    if set(wanted) == set(KARAOKE.labels):
        return KARAOKE
    beyond = [label for label in wanted if label not in FOUR_STEMS.labels]
    aliases = {label: _words_of(label) for label in (*wanted, *FOUR_STEMS.labels)}
    reassigned = {entry for label in beyond for entry in (label, *aliases[label])}
    named = {word for label in beyond for word in phrase(label)}
    for label in FOUR_STEMS.labels:
        remaining = (entry for entry in aliases[label] if entry not in reassigned)
        aliases[label] = frozenset(entry for entry in remaining if label != "other" or not named & set(phrase(entry)))
    return Profile(",".join(wanted), aliases)


def _words_of(label: str) -> frozenset[str]:
    """Return the synonyms of one of the four stems, or of an instrument in :mod:`stemclean.labels.words`."""
    if label in FOUR_STEMS.aliases:
        return FOUR_STEMS.aliases[label]
    for instruments in words.FOUR_STEMS.values():
        if label in instruments and label not in (words.WHOLE, "line", "groups"):
            return frozenset(listed(instruments[label]))
    return frozenset()
