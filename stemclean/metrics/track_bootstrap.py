"""Confidence intervals of rates over stems, by a Bayesian bootstrap (Rubin 1981) over their tracks.

The stems of a track are not independent, so the bootstrap draws tracks. Half a track of each outcome is added
(Jeffreys' prior), so that a few stems without a fault do not count as proof. The intervals are those of the population
that the dataset is a sample of, not only of its own stems.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVEL", "interval", "share", "track_weights", "with_doubt"]

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

LEVEL = 0.95
"""Confidence level of the intervals."""


def share(held: Mask, tracks: Sequence[str], *, draws: int = 200, seed: int = 0) -> Floats:
    """Return the share of stems with a property, and its interval: ``(rate, low, high)``.

    Args:
        held: whether each stem has the property, ``(stem,)``.
        tracks: the track of each stem.
        draws, seed: number of draws and random seed of the bootstrap.

    >>> float(share(np.array([True, False]), ["a", "b"])[0])
    0.5
    """
    names, track = np.unique(tracks, return_inverse=True)
    rng = np.random.default_rng(seed)
    rates = []
    for weights in track_weights(rng, len(names), draws):
        stem_weights = weights[track]
        rate = float(stem_weights @ held / stem_weights.sum())
        rates.append([rate, 1 - rate])
    smoothed = with_doubt(np.array(rates)[:, None], np.array([len(names)]), rng)
    return np.asarray(interval(smoothed[:, 0, 0], np.array(False)))


def track_weights(rng: np.random.Generator, num_tracks: int, draws: int) -> Iterator[Floats]:
    """Yield weights of the tracks: equal weights first, then those of each draw of a Bayesian bootstrap."""
    yield np.ones(num_tracks)
    for _ in range(draws):
        yield rng.standard_exponential(num_tracks)


def with_doubt(rates: Floats, num_tracks: NDArray[np.integer], rng: np.random.Generator) -> Floats:
    """Add half a track of each outcome to the drawn rates; the first one, the estimate, is left unchanged."""
    size = np.maximum(num_tracks, 1)[None, :, None]
    half = rng.standard_gamma(0.5, rates[1:].shape)
    return np.concatenate([rates[:1], (size * rates[1:] + half) / (size + half.sum(-1, keepdims=True))])


def interval(values: Floats, unknown: Mask) -> Floats:
    """Return (estimate, low, high) on a new last axis: the first value, and quantiles of the others."""
    estimate = values[0]
    drawn = values[1:] if len(values) > 1 else np.stack([np.zeros_like(estimate), np.ones_like(estimate)])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    result = np.stack([estimate, np.minimum(low, estimate), np.maximum(high, estimate)], axis=-1)
    result[unknown] = np.nan
    return result
