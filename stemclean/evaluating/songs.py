"""Compute the metrics of a song, reading its files in stretches of a few seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stemclean.audio import files
from stemclean.audio.waveform import Waveform
from stemclean.errors import AudioError
from stemclean.evaluating.pairing import Failure, Song, Source, failure
from stemclean.metrics import separation

__all__ = ["Measured", "measure"]


@dataclass(frozen=True)
class Measured:
    """A song and its metrics.

    Args:
        song: the song, without classes that could not be read.
        scores: its scores, in the order of ``song.labels``.
    """

    song: Song
    scores: separation.Scores


def measure(song: Song, metrics: Sequence[str], threads: int) -> tuple[Measured | None, list[Failure]]:
    """Compute the metrics of a song; if a file cannot be read, only its class is left out.

    Returns:
        (the song and its metrics, or None if no class is left; failures)
    """
    failures: list[Failure] = []
    while song.labels:
        try:
            window = round(separation.WINDOW_SECONDS * song.sample_rate)
            return Measured(song, separation.measure(_stretches(song, window), window, metrics, threads)), failures
        except AudioError as error:
            label = song.owner(error.path)
            failures.append(failure(error.path.as_posix(), error.reason, error.detail))
            song = song.without(song.labels if label is None else [label])
    return None, failures


def _stretches(song: Song, window: int) -> separation.Stretches:
    step = window * separation.FRAMES_A_STRETCH
    sides = (song.references, song.estimates)

    def stretches() -> Iterator[tuple[separation.Audio, separation.Audio]]:
        readers = [_read(side[label], song, step) for side in sides for label in song.labels]
        for blocks in zip(*readers, strict=True):
            joined = np.stack(blocks)  # (reference and estimate, channel, time)
            yield joined[: len(song.labels)], joined[len(song.labels) :]

    return stretches


def _read(source: Source, song: Song, step: int) -> Iterator[Waveform]:
    """Yield a source in stretches, cut or padded to the length of the song. Shape: (channel, time)."""
    parts = [
        files.blocks(path, channels=song.channels, block_duration=step / song.sample_rate, stream=stream)
        for path, stream in source.files
    ]
    silence: Waveform = np.zeros((song.channels, 0), np.float32)
    for start in range(0, song.num_samples, step):
        length = min(step, song.num_samples - start)
        blocks = [separation.fit(next(part, silence), length) for part in parts]
        yield blocks[0] if len(blocks) == 1 else np.sum(blocks, axis=0)
