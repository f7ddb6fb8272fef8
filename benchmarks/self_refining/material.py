"""The songs for training, and the stems and mixtures for scoring.

Training uses songs of the training split: rendered ones of bass, drums and other, each with a different singer, and the
few real ones. The held-out songs and the validation split are scored. A short excerpt of every stem is kept, the same
seconds of all stems of a song, so that many songs can be used at little cost.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stemclean import layouts
from stemclean.audio import files
from stemclean.data.corrupt import FRAME, level
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Stem

SAMPLE_RATE = 44100
MIN_ACTIVE = 5.0
"""Active seconds that an excerpt must have to be used."""
SUNG = ("singing", "sung_speech")
BAND = ("bass", "drums", "other")
REAL = "real__"
"""Prefix of the names of real songs, as in :mod:`benchmarks.heldout`."""
DONE = "excerpts.json"
"""File that marks a complete folder of excerpts."""

Songs = dict[str, list[tuple[str, Path]]]
"""Track -> its stems: class, file."""


def training_songs(data: Manifest, folder: Path, num_songs: int, seed: int = 0) -> Songs:
    """Songs of the training split: the real ones, then rendered ones in random order, each with another singer.

    Raises:
        ConfigError: there are not so many songs or singers.
    """
    train = [stem for stem in data.stems if stem.split == "train" and len(stem.labels) == 1]
    tracks = _tracks(train)
    rng = np.random.default_rng(seed)
    real = {track: stems for track, stems in tracks.items() if _kind(stems) == "songs" and len(stems) > 1}
    rendered = {
        track: stems
        for track, stems in tracks.items()
        if _kind(stems) == "midi" and sorted(stem.labels[0] for stem in stems) == sorted(BAND)
    }
    singers = [stems for stems in tracks.values() if _kind(stems) in SUNG]
    chosen_songs = max(0, num_songs - len(real))
    if chosen_songs > min(len(rendered), len(singers)):
        raise ConfigError(
            f"{num_songs} songs are wanted, but there are {len(real)} real ones, {len(rendered)} rendered ones and "
            f"{len(singers)} singers",
            "ask for fewer: --songs",
        )
    songs = {f"{REAL}{track}": _paths(stems, folder) for track, stems in list(real.items())[:num_songs]}
    order = sorted(rendered)
    chosen = [order[index] for index in rng.permutation(len(order))[:chosen_songs]]
    for track, index in zip(chosen, rng.permutation(len(singers)), strict=False):
        sung = singers[index][int(rng.integers(len(singers[index])))]
        songs[track] = [*_paths(rendered[track], folder), ("vocals", folder / sung.path)]
    return songs


def judged_songs(data: Manifest, folder: Path, heldout: Manifest, heldout_folder: Path) -> Songs:
    """Held-out songs, and the songs and singers of the validation split; speech is no music and is left out."""
    validation = [
        stem
        for stem in data.stems
        if stem.split == "validation" and len(stem.labels) == 1 and stem.extra.get("kind") != "speech"
    ]
    songs: Songs = {}
    for track, stems in _tracks(validation).items():
        real = REAL if _kind(stems) == "songs" else ""
        songs[f"{real}validation__{track}"] = _paths(stems, folder)
    for track, stems in _tracks(heldout.stems).items():
        songs[track] = _paths(stems, heldout_folder)
    return songs


def excerpts(songs: Songs, destination: Path, duration: float) -> Manifest:
    """Write an excerpt of every stem that sounds as ``TRACK/CLASS[_n].flac``, unless it is there.

    Returns:
        What a scan of the folder finds.
    """
    if not (destination / DONE).exists():
        for track, stems in tqdm(sorted(songs.items()), "excerpts", unit="song", disable=None):
            _write(stems, destination / track, duration)
        destination.mkdir(parents=True, exist_ok=True)
        (destination / DONE).write_text(json.dumps({"songs": len(songs), "duration": duration}) + "\n")
    return layouts.scan(destination, quiet=True)


def digest(songs: Songs, duration: float) -> str:
    """Return the name of a folder of excerpts, by its content."""
    content = [[track, label, path.name] for track, stems in sorted(songs.items()) for label, path in stems]
    return hashlib.sha256(json.dumps([content, duration]).encode()).hexdigest()[:8]


def best_start(active: Sequence[np.ndarray], num_frames: int) -> int:
    """Return the frame from which the least active stem is active longest; the first of equal ones.

    Args:
        active: of each stem, whether each frame sounds, ``(frame,)``; where one ends, silence follows.
        num_frames: of the excerpt.

    >>> best_start([np.array([0, 0, 1, 1, 1], bool), np.array([1, 1, 1, 0, 0], bool)], 2)
    1
    """
    longest = max(len(frames) for frames in active)
    padded = np.array([np.pad(frames, (0, longest - len(frames))) for frames in active])
    before = np.pad(np.cumsum(padded, axis=1), ((0, 0), (1, 0)))  # (stem, frame + 1)
    starts = np.arange(max(1, longest - num_frames + 1))
    sounding = before[:, np.minimum(starts + num_frames, longest)] - before[:, starts]  # (stem, start)
    least, whole = sounding.min(0), sounding.sum(0)
    return int(np.lexsort((starts, -whole, -least))[0])


def counts(data: Manifest) -> dict[str, object]:
    """Describe a dataset in counts."""
    return {
        "songs": len({stem.track for stem in data.stems}),
        "stems": len(data.stems),
        "minutes": round(sum(stem.duration for stem in data.stems) / 60, 1),
        "by_class": {label: sum(stem.claimed == [label] for stem in data.stems) for label in data.labels},
    }


def _write(stems: Sequence[tuple[str, Path]], folder: Path, duration: float) -> None:
    sounds = [(label, files.read(path, sample_rate=SAMPLE_RATE, channels=2)) for label, path in stems]
    num_frames = round(duration / FRAME)
    measured = [level(sound, SAMPLE_RATE).frames for _, sound in sounds]
    together = [index for index, (label, _) in enumerate(sounds) if label != "vocals"]
    starts = [best_start([frames], num_frames) for frames in measured]
    if together:  # the band plays the same seconds; a singer sings another tune anyway
        start = best_start([measured[index] for index in together], num_frames)
        starts = [start if index in together else own for index, own in enumerate(starts)]
    taken: Counter[str] = Counter()
    for (label, sound), first in zip(sounds, starts, strict=True):
        at = round(first * FRAME * SAMPLE_RATE)
        excerpt = sound[:, at : at + round(duration * SAMPLE_RATE)]
        if level(excerpt, SAMPLE_RATE).active < MIN_ACTIVE:
            continue
        taken[label] += 1
        name = label if taken[label] == 1 else f"{label}_{taken[label]}"
        if not (folder / f"{name}.flac").exists():
            files.write(folder / f"{name}.flac", excerpt, SAMPLE_RATE, subtype="PCM_16")


def _tracks(stems: Sequence[Stem]) -> dict[str, list[Stem]]:
    tracks: dict[str, list[Stem]] = defaultdict(list)
    for stem in stems:
        tracks[stem.track].append(stem)
    return dict(sorted(tracks.items()))


def _kind(stems: Sequence[Stem]) -> str:
    return str(stems[0].extra.get("kind"))


def _paths(stems: Sequence[Stem], folder: Path) -> list[tuple[str, Path]]:
    return [(stem.labels[0], folder / stem.path) for stem in stems]
