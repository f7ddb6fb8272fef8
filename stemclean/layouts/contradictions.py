"""Resolve contradictions between the name of a file and the class of its folder: ``vocals/song_no_vocals.wav``.

The folder decides, with two exceptions:

* If the name says that the file is a mixture, or that a class is missing, the name decides.
* If the last part of the name consists of another class alone (``drums/song_bass.wav``), the file gets no class,
  because either may be wrong. A kind of the folder's class (``bass/synth.wav``) is not another class.

A name with the mark of an export (``drums/Karaoke - kick.3f2a91bc.flac``) says nothing: the export chose the folder,
and the name holds the title of the song.

Titles do not count (``vocals/Drums of War.wav``): classes among unknown words, and names that occur in folders of
several classes (``drums/Guitar.wav`` and ``vocals/Guitar.wav``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from stemclean.exporting.converting import is_marked
from stemclean.labels import MIXTURE, Profile, Reading
from stemclean.labels.splitting import cut, normal
from stemclean.layouts.walk import names

__all__ = ["names_another", "settled"]


def settled(
    claim_of: Mapping[Path, Reading | None], own: Mapping[Path, Reading], profile: Profile
) -> dict[Path, tuple[Reading, str]]:
    """Combine the readings of file and folder; if they contradict each other, return the reason as well.

    Args:
        claim_of: file -> reading of its folder; None: the folder says nothing.
        own: file -> reading of its name, used if its folder says nothing.
        profile: the classes.

    Returns:
        File -> (reading, reason why it gives no class, or "").
    """
    titles = _titles((path, claim.label) for path, claim in claim_of.items() if claim is not None)
    resolved: dict[Path, tuple[Reading, str]] = {}
    for path, claim in claim_of.items():
        if claim is None:
            resolved[path] = own[path], ""
            continue
        name = names(path)
        reading = profile.read(name)
        other_labels = titles[_words(name)] - {claim.label, reading.label}
        if claim.label in (None, MIXTURE) or is_marked(name):
            resolved[path] = claim, ""
        elif _is_mixture(reading, claim, shared=bool(other_labels)):
            resolved[path] = reading, ""
        elif not other_labels and names_another(name, claim, profile):
            detail = f'"{name}" says {reading.label}, and its folder says {claim.label}: correct one of the two'
            resolved[path] = Reading(), detail
        else:
            resolved[path] = claim, ""
    return resolved


def names_another(name: str, claim: Reading, profile: Profile) -> bool:
    """Return whether the last part of a name consists of another class alone.

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
    """Return whether a name that is not a title says that a class is missing, or that the file is the whole song."""
    if reading.label == MIXTURE:
        return reading.exact or not shared
    if not reading.partial:
        return False
    missing = reading.absent or ("vocals",)  # an instrumental
    return reading.apart or (reading.at_end and claim.label in missing and not shared)


def _titles(claims: Iterable[tuple[Path, str | None]]) -> defaultdict[tuple[str, ...], set[str | None]]:
    """Return the classes of the folders that contain files with the same words, ignoring numbers."""
    labels_of: defaultdict[tuple[str, ...], set[str | None]] = defaultdict(set)
    for path, label in claims:
        labels_of[_words(names(path))].add(label)
    return labels_of


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.text for word in cut(normal(name)) if not word.text.isdigit())
