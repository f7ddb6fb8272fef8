"""Find stems with the same sound in files that differ: in format, bit depth, sample rate, gain or delay. Ours.

Judging computes a fingerprint of every stem. Stems with similar fingerprints are read again, and their waveforms are
compared, see :mod:`stemclean.audio.copies`. Copies are then treated like identical files, see
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
    """Return the stems with ``same_sound`` filled in, and with the issues that copies raise.

    Args:
        stems: judged stems; silent ones have neither a fingerprint nor copies.
        folder: folder that their paths are relative to.
        files: the state of the files when they were judged.
    """
    bare = [stem.model_copy(update={"same_sound": None}) if stem.same_sound else stem for stem in stems]
    audio = duplicates.same_audio(bare)
    firsts: dict[str, Stem] = {}
    for stem, sound in zip(bare, audio, strict=True):
        if stem.fingerprint:
            firsts.setdefault(sound or f"stem {stem.id}", stem)
    distinct = list(firsts.values())  # one of each group of identical files
    near = copies.alike([stem.fingerprint or "" for stem in distinct])
    pairs = [(distinct[first], distinct[second]) for first, second in near]
    compared = threads.map(_same, pairs, repeat(folder), repeat(files))
    bar = tqdm(compared, "copies", len(pairs), unit="pair", disable=True if quiet or not pairs else None)
    joined: dict[str, str] = {}  # id -> id of an earlier stem with the same sound
    for pair, same in zip(pairs, bar, strict=True):
        if same:
            earlier, later = sorted(_first(stem.id, joined) for stem in pair)
            if earlier != later:
                joined[later] = earlier
    originals = {_first(identity, joined) for identity in joined}
    marked: list[Stem] = []
    for stem, sound in zip(bare, audio, strict=True):
        original = _first(firsts.get(sound or "", stem).id, joined)
        marked.append(stem.model_copy(update={"same_sound": original}) if original in originals else stem)
    return checks.among(marked)


def _first(identity: str, joined: dict[str, str]) -> str:
    while identity in joined:
        identity = joined[identity]
    return identity


def _same(pair: tuple[Stem, Stem], folder: Path, files: Unchanged) -> bool:
    """Return whether two stems are copies; False if one cannot be read any more, which a later step reports."""
    try:
        return copies.same(*(_blocks(stem, folder, files) for stem in pair))
    except AudioError:
        return False


def _blocks(stem: Stem, folder: Path, files: Unchanged) -> Iterator[Waveform]:
    path = folder / stem.path
    with files.reading(path, stem.sha256), of_one_file(path):
        yield from in_time(stem, path, copies.SAMPLE_RATE)
