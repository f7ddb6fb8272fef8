"""Stems that hold the same sound in files of other bytes: another format, bit depth, rate or gain, or later. Ours.

Every stem's fingerprint was taken when it was judged. Those whose fingerprints are near are read again and compared by
their waveforms, see :mod:`stemclean.audio.copies`; what is found is used as files of the same bytes are, see
:mod:`stemclean.duplicates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from itertools import repeat
from pathlib import Path

from tqdm import tqdm

from stemclean import checks, duplicates
from stemclean.audio import copies
from stemclean.audio.unchanged import Unchanged
from stemclean.audio.waveform import Waveform
from stemclean.errors import AudioError, of_one_file
from stemclean.manifest import Stem
from stemclean.refining.crosstalk import in_time

__all__ = ["with_copies"]


def with_copies(stems: Sequence[Stem], folder: Path, threads: Executor, files: Unchanged, *, quiet: bool) -> list[Stem]:
    """Stems with what other stems have the same sound, and remarks on these.

    Args:
        stems: judged; silent ones have no fingerprint, and no copies.
        folder: what their paths are relative to.
        files: as they were when they were judged.
    """
    bare = [stem.model_copy(update={"same_sound": None}) if stem.same_sound else stem for stem in stems]
    audio = duplicates.same_audio(bare)
    firsts: dict[str, Stem] = {}
    for stem, one in zip(bare, audio, strict=True):
        if stem.fingerprint and stem.scores:
            firsts.setdefault(one or f"stem {stem.id}", stem)
    unlike = list(firsts.values())  # of files with the same bytes, one is compared
    near = copies.alike([stem.fingerprint or "" for stem in unlike])
    pairs = [(unlike[one], unlike[other]) for one, other in near]
    looked = threads.map(_same, pairs, repeat(folder), repeat(files))
    bar = tqdm(looked, "copies", len(pairs), unit="pair", disable=True if quiet or not pairs else None)
    joined: dict[str, str] = {}  # id -> id of an earlier stem with the same sound
    for pair, same in zip(pairs, bar, strict=True):
        if same:
            first, second = sorted(_first(stem.id, joined) for stem in pair)
            if first != second:
                joined[second] = first
    sounds = {_first(identity, joined) for identity in joined}
    found: list[Stem] = []
    for stem, one in zip(bare, audio, strict=True):
        compared = firsts.get(one or "", stem)
        sound = _first(compared.id, joined)
        found.append(stem.model_copy(update={"same_sound": sound}) if sound in sounds else stem)
    return checks.among(found)


def _first(identity: str, joined: dict[str, str]) -> str:
    while identity in joined:
        identity = joined[identity]
    return identity


def _same(pair: tuple[Stem, Stem], folder: Path, files: Unchanged) -> bool:
    """Whether two stems are copies; not where one can be read no more, which is told where it is missed."""
    try:
        return copies.same(*(_blocks(stem, folder, files) for stem in pair))
    except AudioError:
        return False


def _blocks(stem: Stem, folder: Path, files: Unchanged) -> Iterator[Waveform]:
    path = folder / stem.path
    with files.reading(path, stem.sha256), of_one_file(path):
        yield from in_time(stem, path, copies.SAMPLE_RATE)
