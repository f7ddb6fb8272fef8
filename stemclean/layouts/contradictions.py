"""Files whose own names contradict the class of the folder that they lie in: ``vocals/song_no_vocals.wav``.

The folder speaks, with two exceptions:

* A name that says that the file is a mixture, or lacks a class, is believed.
* A name that is another class and nothing else in its last part (``drums/song_bass.wav``) leaves the file without a
  class: nobody can tell which of the two is right. A kind of the folder's class (``bass/synth.wav``) is no other class.

Words of a title are neither (``vocals/Drums of War.wav``): those among unknown words, and names that lie in folders of
several classes (``drums/Guitar.wav`` and ``vocals/Guitar.wav``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from stemclean.labels import MIXTURE, Profile, Reading
from stemclean.labels.splitting import cut, normal
from stemclean.layouts.walk import names

__all__ = ["names_another", "settled"]


def settled(
    claim_of: Mapping[Path, Reading | None], own: Mapping[Path, Reading], profile: Profile
) -> dict[Path, tuple[Reading, str]]:
    """What name and folder of each file say together, and why that is no class, where the two contradict each other.

    Args:
        claim_of: file -> what its folder says; None: nothing.
        own: file -> what its name says where its folder says nothing.
        profile: the classes.
    """
    titles = _titles((path, claim.label) for path, claim in claim_of.items() if claim is not None)
    found: dict[Path, tuple[Reading, str]] = {}
    for path, claim in claim_of.items():
        if claim is None:
            found[path] = own[path], ""
            continue
        name = names(path)
        reading = profile.read(name)
        beside = titles[_words(name)] - {claim.label, reading.label}
        if claim.label in (None, MIXTURE):
            found[path] = claim, ""
        elif _is_mixture(reading, claim, shared=bool(beside)):
            found[path] = reading, ""
        elif not beside and names_another(name, claim, profile):
            detail = f'"{name}" says {reading.label}, and its folder says {claim.label}: correct one of the two'
            found[path] = Reading(), detail
        else:
            found[path] = claim, ""
    return found


def names_another(name: str, claim: Reading, profile: Profile) -> bool:
    """Whether a name is another class in its last part, and nothing else there.

    >>> from stemclean.labels import FOUR_STEMS
    >>> drums = FOUR_STEMS.read("drums")
    >>> [names_another(name, drums, FOUR_STEMS) for name in ("song_bass", "kick", "Piano Man_03", "Drum Fx")]
    [True, False, False, False]
    """
    reading = profile.read(name)
    if reading.label in (None, MIXTURE, claim.label) or not reading.apart:
        return False
    words = normal(name)[reading.start :]
    kinds = [f"{claim.label} {words}"] + [f"{words} {claim.label}"] * (reading.label == "other")
    return all(profile.find(kind) != claim.label for kind in kinds)


def _is_mixture(reading: Reading, claim: Reading, *, shared: bool) -> bool:
    """Whether a name says that a class is missing, or that it is the whole song, and is no title."""
    if reading.label == MIXTURE:
        return reading.exact or not shared
    if not reading.partial:
        return False
    missing = reading.absent or ("vocals",)  # an instrumental
    return reading.apart or (reading.at_end and claim.label in missing and not shared)


def _titles(claims: Iterable[tuple[Path, str | None]]) -> defaultdict[tuple[str, ...], set[str | None]]:
    """The words of names, numbers aside -> the classes of the folders that such files lie in."""
    found: defaultdict[tuple[str, ...], set[str | None]] = defaultdict(set)
    for path, label in claims:
        found[_words(names(path))].add(label)
    return found


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.text for word in cut(normal(name)) if not word.text.isdigit())
