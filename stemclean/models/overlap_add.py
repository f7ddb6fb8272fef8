"""A model of short segments on sounds of any length: overlapping segments, cross-faded, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from stemclean.audio.waveform import Waveform
from stemclean.errors import ConfigError

__all__ = ["fades", "overlap_add"]


def fades(segment: int, fade: int) -> np.ndarray:
    """Weights of a segment's samples: a straight rise over ``fade`` samples, one, a straight fall; never zero.

    Shape:
        ``(segment,)`` float32 in (0, 1].
    """
    place = np.arange(segment) + 0.5
    weights: np.ndarray = np.minimum(1.0, np.minimum(place, segment - place) / max(fade, 1)).astype(np.float32)
    return weights


def overlap_add(
    blocks: Iterable[Waveform],
    model: Callable[[np.ndarray], np.ndarray],
    segment: int,
    *,
    overlap: float = 0.25,
    batch_size: int = 1,
) -> Iterator[np.ndarray]:
    """A model's estimates of a long sound.

    Segments begin ``segment * (1 - overlap)`` samples apart. Where they overlap, estimates are averaged with weights
    that fade in and out, so that what all segments agree on comes out unchanged. Zeros stand after the end in the last
    segment. No more is held than a batch of segments and a block.

    Args:
        blocks: the sound, ``(channel, time)`` each, of any length.
        model: ``(batch, channel, segment)`` -> ``(batch, ..., segment)``.
        segment: samples.
        overlap: share of a segment, in [0, 1).
        batch_size: segments that go through the model at once.

    Yields:
        ``(..., time)``, as many samples in all as the blocks have.
    """
    if not 0 <= overlap < 1:
        raise ConfigError(f"an overlap of {overlap:g}", "give a share of a segment, from 0 to below 1")
    hop = max(1, round(segment * (1 - overlap)))
    weights = fades(segment, segment - hop)
    summed: np.ndarray | None = None
    weight = np.zeros(segment, np.float32)
    segments = _segments(blocks, segment, hop)
    while group := list(islice(segments, batch_size)):
        for estimate, (_, num_new) in zip(model(np.stack([sound for sound, _ in group])), group, strict=True):
            if summed is None:
                summed = np.zeros(estimate.shape, np.float32)
            summed += estimate * weights
            weight += weights
            yield summed[..., :num_new] / weight[:num_new]
            for held in (summed, weight):
                held[..., : segment - hop] = held[..., hop:]
                held[..., segment - hop :] = 0


def _segments(blocks: Iterable[Waveform], segment: int, hop: int) -> Iterator[tuple[Waveform, int]]:
    """Segments, and how many samples of each are final when it is added: a hop, in the last one all."""
    waiting: Waveform | None = None
    for block in blocks:
        waiting = block if waiting is None else np.concatenate([waiting, block], axis=1)
        while waiting.shape[1] > segment:
            yield waiting[:, :segment], hop
            waiting = waiting[:, hop:]
    if waiting is not None and waiting.shape[1]:
        yield np.pad(waiting, ((0, 0), (0, segment - waiting.shape[1]))), waiting.shape[1]
