"""Intervals of rates over stems, by a Bayesian bootstrap (Rubin 1981) over their tracks.

Stems of a track are no independent draws, so tracks are drawn. Half a track of each outcome is added (Jeffreys' prior),
so that a handful of stems without a fault does not pass for proof. The intervals tell the rate of the source that the
dataset is a sample of, and not only of its stems.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVEL", "interval", "share", "track_weights", "with_doubt"]

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

LEVEL = 0.95
"""Of the intervals."""


def share(held: Mask, tracks: Sequence[str], *, draws: int = 200, seed: int = 0) -> Floats:
    """Share of stems of which something is known for sure, with its interval: ``(rate, low, high)``.

    Args:
        held: whether it is so, ``(stem,)``.
        tracks: of each stem.
        draws, seed: of the bootstrap.

    >>> float(share(np.array([True, False]), ["a", "b"])[0])
    0.5
    """
    names, track = np.unique(tracks, return_inverse=True)
    rng = np.random.default_rng(seed)
    rates = []
    for weights in track_weights(rng, len(names), draws):
        each = weights[track]
        rate = float(each @ held / each.sum())
        rates.append([rate, 1 - rate])
    doubted = with_doubt(np.array(rates)[:, None], np.array([len(names)]), rng)
    return np.asarray(interval(doubted[:, 0, 0], np.array(False)))


def track_weights(rng: np.random.Generator, num_tracks: int, draws: int) -> Iterator[Floats]:
    """Weights of the tracks: all alike first, then those of each draw of a Bayesian bootstrap."""
    yield np.ones(num_tracks)
    for _ in range(draws):
        yield rng.standard_exponential(num_tracks)


def with_doubt(rates: Floats, num_tracks: NDArray[np.integer], rng: np.random.Generator) -> Floats:
    """The draws' rates with half a track of each outcome added; the first, which is the estimate, as it is."""
    size = np.maximum(num_tracks, 1)[None, :, None]
    half = rng.standard_gamma(0.5, rates[1:].shape)
    return np.concatenate([rates[:1], (size * rates[1:] + half) / (size + half.sum(-1, keepdims=True))])


def interval(values: Floats, unknown: Mask) -> Floats:
    """(estimate, low, high) on a new last axis: the first of the values and the quantiles of the rest."""
    estimate = values[0]
    drawn = values[1:] if len(values) > 1 else np.stack([np.zeros_like(estimate), np.ones_like(estimate)])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    result = np.stack([estimate, np.minimum(low, estimate), np.maximum(high, estimate)], axis=-1)
    result[unknown] = np.nan
    return result
