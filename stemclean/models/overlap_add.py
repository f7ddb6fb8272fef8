"""Overlap-add: run a model of short segments on sounds of any length, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from stemclean.audio.waveform import Waveform
from stemclean.errors import ConfigError

__all__ = ["fades", "overlap_add"]


def fades(segment: int, fade: int) -> np.ndarray:
    """Return the weights of a segment's samples: a linear fade-in over ``fade`` samples, 1, a linear fade-out.

    Shape:
        ``(segment,)`` float32 in (0, 1].
    """
    positions = np.arange(segment) + 0.5
    weights: np.ndarray = np.minimum(1.0, np.minimum(positions, segment - positions) / max(fade, 1)).astype(np.float32)
    return weights


def overlap_add(
    blocks: Iterable[Waveform],
    model: Callable[[np.ndarray], np.ndarray],
    segment: int,
    *,
    overlap: float = 0.25,
    batch_size: int = 1,
) -> Iterator[np.ndarray]:
    """Yield a model's estimates of a long sound.

    Segments begin ``segment * (1 - overlap)`` samples apart. Where they overlap, estimates are averaged with weights
    that fade in and out; where all segments agree, the result equals their estimates. The last segment is zero-padded.
    Only a batch of segments and a block are kept in memory.

    Args:
        blocks: The sound, in ``(channel, time)`` blocks of any length.
        model: Maps ``(batch, channel, segment)`` to ``(batch, ..., segment)``.
        segment: Length of a segment in samples.
        overlap: Overlap as a share of a segment, in [0, 1).
        batch_size: Number of segments to run at once.

    Yields:
        Estimates ``(..., time)``, together as long as the blocks.

    Raises:
        ConfigError: The overlap is out of range.
    """
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap is {overlap:g}", "give a share of a segment, from 0 to below 1")
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
            for buffer in (summed, weight):
                buffer[..., : segment - hop] = buffer[..., hop:]
                buffer[..., segment - hop :] = 0


def _segments(blocks: Iterable[Waveform], segment: int, hop: int) -> Iterator[tuple[Waveform, int]]:
    """Yield segments, and how many samples are final after each is added: one hop; all in the last one."""
    pending: Waveform | None = None
    for block in blocks:
        pending = block if pending is None else np.concatenate([pending, block], axis=1)
        while pending.shape[1] > segment:
            yield pending[:, :segment], hop
            pending = pending[:, hop:]
    if pending is not None and pending.shape[1]:
        yield np.pad(pending, ((0, 0), (0, segment - pending.shape[1]))), pending.shape[1]
