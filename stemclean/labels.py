"""Instrument classes: what they are called, and which words in a file name mean them.

A *profile* is a list of classes with the words that people use for them. A name is told by whole
words, longest phrase first ("bass drum" is drums, "bass" is bass); a name whose words point to two
classes is not guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from stemclean.errors import ConfigError

__all__ = ["FOUR_STEMS", "KARAOKE", "MIXTURE", "PROFILES", "Profile", "known_as", "profile", "scanned_for"]

MIXTURE = "mixture"
"""What :meth:`Profile.find` says of a file that holds the whole song."""

_MIXTURE_WORDS = frozenset(
    "mixture;mix;full mix;fullmix;mixdown;mix down;master;mastered;full song;whole song;stereo mix;premaster".split(";")
)


@dataclass(frozen=True)
class Profile:
    """Classes and the words that mean them.

    Args:
        name: how the profile is called on the command line.
        aliases: class -> words and phrases in lower case, single spaces; the class's own name
            is always among them.
    """

    name: str
    aliases: Mapping[str, frozenset[str]]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order in which scores are written."""
        return tuple(self.aliases)

    @cached_property
    def _phrases(self) -> dict[tuple[str, ...], str]:
        phrases = {_phrase(word): MIXTURE for word in _MIXTURE_WORDS}
        for label, words in self.aliases.items():
            for word in (label, *words):
                phrases[_phrase(word)] = label
        return phrases

    def find(self, name: str) -> str | None:
        """The class that a name claims: a label, :data:`MIXTURE`, or None where it cannot be told.

        >>> FOUR_STEMS.find("03 Lead Vox_2"), FOUR_STEMS.find("Bass Drum"), FOUR_STEMS.find("Stem 4")
        ('vocals', 'drums', None)
        """
        found = self.named(name)
        return found[0] if len(found) == 1 else None

    def named(self, name: str) -> tuple[str, ...]:
        """Every class that words of a name mean, in the profile's order; :data:`MIXTURE` only where none is.

        >>> FOUR_STEMS.named("Drums and Bass"), FOUR_STEMS.named("drum mix"), FOUR_STEMS.named("full mix")
        (('bass', 'drums'), ('drums',), ('mixture',))
        """
        found = {label for label, _, _ in self._matches(_words(name))}
        return tuple(label for label in self.labels if label in found) or tuple(found)

    def exact(self, name: str) -> str | None:
        """The class that a name is and nothing else, but for numbers and words such as "stems" or "clean".

        It is what a *folder* must satisfy to speak for the files in it, since songs are called "Piano Man" too.

        >>> FOUR_STEMS.exact("01 Drum Loops"), FOUR_STEMS.exact("Piano Man")
        ('drums', None)
        """
        words = [word for word in _words(name) if not word.text.isdigit() and word.text not in _NEUTRAL_WORDS]
        matches = self._matches(words)
        covered = sum(stop - start for _, start, stop in matches)
        return self.find(name) if covered == len(words) else None

    def before(self, name: str) -> str:
        """What stands before the first word that tells a class: the song, in ``songname_drums``.

        >>> FOUR_STEMS.before("My Song_Lead Vox 2"), FOUR_STEMS.before("drums")
        ('My Song', '')
        """
        name = unicodedata.normalize("NFC", name)
        words = _words(name)
        classes = [start for label, start, _ in self._matches(words) if label != MIXTURE]
        return name[: words[classes[0]].start].strip(" _-.([") if classes else name

    def _matches(self, words: Sequence[_Word]) -> list[tuple[str, int, int]]:
        """Classes with the first word and the word after the last that tell them; the longest phrase wins."""
        texts = [word.text for word in words]
        longest = max(map(len, self._phrases))
        found = []
        at = 0
        while at < len(texts):
            for length in range(min(longest, len(texts) - at), 0, -1):
                label = self._phrases.get(tuple(texts[at : at + length]))
                if label is not None:
                    found.append((label, at, at + length))
                    at += length
                    break
            else:
                at += 1
        return found


class _Word(NamedTuple):
    text: str
    start: int


_NEUTRAL_WORDS = frozenset(
    "stem stems sample samples loop loops audio wav files only clean dry wet raw solo all".split()
)


def _words(name: str) -> list[_Word]:
    """Lower-case words of a name and where they start: cut at anything but letters and digits and at case changes."""
    name = unicodedata.normalize("NFC", name)
    words = []
    for run in re.finditer(r"[^\W\d_]+|\d+", name):
        cuts = [0, *(cut.start() for cut in re.finditer(r"(?<=[a-z])(?=[A-Z])", run.group())), len(run.group())]
        words += [_Word(run.group()[i:j].lower(), run.start() + i) for i, j in pairwise(cuts)]
    return words


def _phrase(text: str) -> tuple[str, ...]:
    return tuple(word.text for word in _words(text))


def _set(text: str) -> frozenset[str]:
    return frozenset(" ".join(part.split()) for part in text.replace("\n", " ").split(";") if part.strip())


FOUR_STEMS = Profile(
    "4stems",
    {
        "vocals": _set(
            """vocal; vox; voc; vocs; voice; voices; lead vocal; lead vocals; lead vox; lead voice;
            backing vocal; backing vocals; backing vox; background vocals; bgv; bgvs; bv; bvs;
            choir; singer; singing; acapella; a cappella; acappella; harmony vocal; harmony vocals;
            vocal harmony; vocal harmonies; female vocal; male vocal; rap; rapper; adlib; adlibs; ad libs; chant;
            vocal chop; vocal chops; vocal double; vocal doubles; vocal fx; vocal fxs; talkbox"""
        ),
        "bass": _set(
            """bass di; bass amp; bass guitar; bassguitar; bass gtr; ebass; electric bass; upright bass;
            double bass; doublebass; contrabass; synth bass; synthbass; bass synth; sub; sub bass; subbass;
            fretless; slap bass; bassline; bass line; reese; moog bass; acid bass; 808 bass; bass 808"""
        ),
        "drums": _set(
            """drum; drumset; drum set; drum kit; drumkit; kit; kick; kick drum; kickdrum; kik; bd; bass drum; bassdrum;
            snare; snare drum; snr; sd; hat; hats; hi hat; hihat; hihats; hi hats; hh; tom; toms; floor tom; rack tom;
            cymbal; cymbals; ride; crash; overhead; overheads; oh; ohs; room mics; drum room; drum bus;
            percussion; perc; percs; percussions; shaker; tambourine; conga; congas; bongo; bongos; cowbell; clap;
            claps; handclap; snap; snaps; rimshot; rim; cajon; djembe; tabla; timbale; timbales; timpani; beat; beats;
            drum loop; breakbeat; drum machine; tr 808; tr 909; 808 kick; 909; kick in; kick out; snare top;
            snare bottom"""
        ),
        "other": _set(
            """others; guitar; guitars; gtr; gtrs; gt; acoustic guitar; electric guitar; ac gtr; el gtr; lead guitar;
            rhythm guitar; agtr; egtr; piano; pianos; pno; keys; keyboard; keyboards; rhodes; wurli; wurlitzer;
            epiano; e piano; electric piano; organ; hammond; synth; synths; synthesizer; synth lead; synth pad;
            lead synth; pad; pads; lead; arp; arps; pluck; strings; string; violin; violins; viola; cello; orchestra;
            brass; horn; horns; trumpet; trombone; tuba; sax; saxophone; woodwind; woodwinds; flute; clarinet; oboe;
            harp; banjo; mandolin; ukulele; accordion; harmonica; bells; glockenspiel; marimba; xylophone;
            vibraphone; clav; clavinet; mellotron; sitar; melody; chords; music; instruments; accompaniment; bass
            clarinet; bass flute; fx; sfx; sound effects"""
        ),
    },
)

KARAOKE = Profile(
    "karaoke",
    {
        "vocals": FOUR_STEMS.aliases["vocals"],
        "accompaniment": _set(
            """accompaniments; accomp; accompany; accompanying; instrumental; instrumentals; instrument; instruments;
            inst; karaoke; backing; backing track; backing tracks; backing music; background music; music; minus one;
            no vocal; no vocals; novocals; no vox; without vocals; off vocal; band; playback"""
        ),
    },
)
"""A voice and all that is not the voice."""

PROFILES: Mapping[str, Profile] = {known.name: known for known in (FOUR_STEMS, KARAOKE)}


def profile(name: str) -> Profile:
    """A profile by name.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ConfigError(f'no class profile named "{name}"', f"known: {', '.join(PROFILES)}") from None


def known_as(labels: Sequence[str]) -> Profile:
    """The profile that has exactly these classes; where there is none, one of them with the words of the four stems.

    >>> known_as(["accompaniment", "vocals"]).name, known_as(["vocals", "other"]).find("Lead Vox")
    ('karaoke', 'vocals')
    """
    for known in PROFILES.values():
        if set(known.labels) == set(labels):
            return known
    return Profile(",".join(labels), {label: FOUR_STEMS.aliases.get(label, frozenset()) for label in labels})


def scanned_for(labels: Sequence[str] | None) -> Profile:
    """What names of files are read by when these classes are wanted: the four stems, and any others that are.

    What is wanted besides the four stems is no longer "other", but for a voice and all that is not the voice.

    >>> scanned_for(["vocals", "drums"]).name, scanned_for(["vocals", "accompaniment"]).name, scanned_for(None).name
    ('4stems', 'karaoke', '4stems')
    >>> wanted = scanned_for(["guitar", "drums"])
    >>> wanted.labels, wanted.find("Acoustic Guitar 2"), wanted.find("Piano"), wanted.find("Bass Guitar")
    (('guitar', 'drums', 'vocals', 'bass', 'other'), 'guitar', 'other', 'bass')
    """
    wanted = tuple(labels or ())
    if set(wanted) <= set(FOUR_STEMS.labels):
        return FOUR_STEMS
    if set(wanted) == set(KARAOKE.labels):
        return KARAOKE
    beyond = [label for label in wanted if label not in FOUR_STEMS.labels]
    aliases = {label: FOUR_STEMS.aliases.get(label, frozenset()) - {*beyond} for label in (*wanted, *FOUR_STEMS.labels)}
    taken = {word for label in beyond for word in _phrase(label)}
    aliases["other"] = frozenset(words for words in aliases["other"] if not taken & set(_phrase(words)))
    return Profile(",".join(wanted), aliases)
