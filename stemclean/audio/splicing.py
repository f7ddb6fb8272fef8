"""Join regions of a sound, with cross-fades that avoid clicks and keep the number of samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from stemclean.audio.waveform import Sound, Waveform, as_blocks

__all__ = ["splice", "subregions"]

Regions = Sequence[tuple[int, int]]
"""Start and end samples, in order, without overlap."""


def splice(sound: Sound, regions: Regions, num_samples: int, fade_samples: int) -> Iterator[Waveform]:
    """Join the regions of a sound: sample n of the result is the n-th sample of the regions.

    At each join, the first region continues for half a cross-fade into the removed sound, and the second one starts
    half a cross-fade earlier, so that the length of the result is exactly the sum of the regions' lengths. The fades
    have equal power (sine and cosine), or equal gain (their squares) if the sum would exceed full scale. If the first
    or last sample of the result is not that of the sound, it fades in or out over half a cross-fade.

    Args:
        sound: a waveform or its blocks.
        regions: the regions to keep.
        num_samples: length of the sound.
        fade_samples: length of a cross-fade; it is shorter if a region or the gap between two regions is shorter.

    Yields:
        Blocks ``(channel, time)``.
    """
    reader = _Reader(sound)
    halves = _halves(regions, fade_samples // 2)
    ending: Waveform | None = None  # end of the previous region, for the cross-fade
    for index, (start, end) in enumerate(regions):
        before = halves[index - 1] if index else 0
        after = halves[index] if index + 1 < len(regions) else 0
        if ending is not None and before:
            yield _joined(ending, reader.take(start - before, start + before))
        first, last = start + before, end - after
        edge = min(fade_samples // 2, (end - start) // 2)
        if not index and start > 0 and edge:
            yield reader.take(first, first + edge) * _rise(edge)
            first += edge
        if index + 1 == len(regions) and end < num_samples and edge:
            yield from reader.play(first, last - edge)
            yield reader.take(last - edge, last) * _rise(edge)[::-1]
        else:
            yield from reader.play(first, last)
        ending = reader.take(last, end + after) if after else None


def subregions(outer: Regions, inner: Regions) -> list[tuple[int, int]]:
    """Map regions of a spliced sound to regions of its source.

    Args:
        outer: regions of the source that were joined.
        inner: regions of the joined sound.

    Returns:
        Regions of the source with the same samples as ``inner``.

    >>> subregions([(10, 20), (50, 60)], [(2, 5), (8, 12)])
    [(12, 15), (18, 20), (50, 52)]
    """
    mapped = []
    for start, end in inner:
        at = 0
        for outer_start, outer_end in outer:
            first, last = max(start, at), min(end, at + outer_end - outer_start)
            if first < last:
                mapped.append((outer_start + first - at, outer_start + last - at))
            at += outer_end - outer_start
    return mapped


def _halves(regions: Regions, half: int) -> list[int]:
    """Return half the length of the cross-fade at each join, in samples."""
    halves = []
    for (start, end), (next_start, next_end) in pairwise(regions):
        halves.append(min(half, (end - start) // 2, (next_end - next_start) // 2, (next_start - end) // 2))
    return halves


def _joined(ending: Waveform, beginning: Waveform) -> Waveform:
    """Cross-fade two sounds; the result exceeds full scale no further than they do. Shape: (channel, time)."""
    rise = _rise(ending.shape[1])
    equal_power: Waveform = ending * rise[::-1] + beginning * rise
    if np.abs(equal_power).max() <= max(1.0, np.abs(ending).max(), np.abs(beginning).max()):
        return equal_power
    return np.asarray(ending * rise[::-1] ** 2 + beginning * rise**2, np.float32)


def _rise(length: int) -> Waveform:
    """Return a quarter of a sine, which has equal power with its mirror image. Shape: (length,)."""
    return np.asarray(np.sin((np.arange(length) + 0.5) * (math.pi / 2 / max(1, length))), np.float32)


class _Reader:
    """Reads a sound forwards: each requested range begins at or after the end of the previous one."""

    def __init__(self, sound: Iterable[Waveform] | Waveform) -> None:
        self._blocks = as_blocks(sound)
        self._block: Waveform | None = None
        self._start = 0  # of the block

    def play(self, start: int, stop: int) -> Iterator[Waveform]:
        """Yield samples ``start`` to ``stop`` in pieces."""
        at = start
        while at < stop:
            if self._block is None:
                self._block = next(self._blocks)
            piece = self._block[:, max(0, at - self._start) : max(0, stop - self._start)]
            if piece.shape[1]:
                yield piece
                at += piece.shape[1]
            if at < stop:
                self._start += self._block.shape[1]
                self._block = None

    def take(self, start: int, stop: int) -> Waveform:
        """Return samples ``start`` to ``stop``."""
        return np.concatenate(list(self.play(start, stop)), axis=1)
