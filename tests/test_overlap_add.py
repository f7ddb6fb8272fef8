"""Long sounds in segments: where segments agree the sound is unchanged, for any block size, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemclean.errors import ConfigError
from stemclean.models.overlap_add import fades, overlap_add


def halves(batch):
    """Two stems that each hold half of the mixture."""
    return np.stack([0.5 * batch, 0.5 * batch], 1)


def cut(sound, lengths):
    at = 0
    for length in lengths:
        yield sound[:, at : at + length]
        at += length
    yield sound[:, at:]


@settings(max_examples=50, deadline=None)
@given(
    length=st.integers(0, 700),
    segment=st.integers(1, 200),
    overlap=st.floats(0, 0.99),
    batch_size=st.integers(1, 5),
    lengths=st.lists(st.integers(0, 300), max_size=6),
)
def test_an_identity_like_model_is_transparent(length, segment, overlap, batch_size, lengths):
    sound = np.random.default_rng(0).standard_normal((2, length)).astype(np.float32)
    parts = list(overlap_add(cut(sound, lengths), halves, segment, overlap=overlap, batch_size=batch_size))
    whole = np.concatenate(parts, -1) if parts else np.zeros((2, 2, 0))
    assert whole.shape == (2, 2, length)
    # float32 sums of up to a hundred overlapping segments
    np.testing.assert_allclose(whole, np.broadcast_to(0.5 * sound, whole.shape), atol=1e-5)


def test_neighbouring_segments_are_cross_faded():
    """A model that numbers its segments: where two overlap, a straight line leads from one to the next."""
    count = iter(range(100))

    def numbered(batch):
        return np.stack([np.full((1, 1, batch.shape[-1]), next(count), np.float32) for _ in batch])

    out = np.concatenate(list(overlap_add([np.zeros((1, 250), np.float32)], numbered, 100, overlap=0.5)), -1)[0, 0]
    np.testing.assert_allclose(out[:50], 0)
    np.testing.assert_allclose(out[50:100], (np.arange(50) + 0.5) / 50, atol=1e-5)
    np.testing.assert_allclose(np.diff(out[50:100]), 0.02, atol=1e-5)  # no step at any border
    assert abs(out[100] - out[99]) < 0.021


def test_only_one_batch_is_read_ahead():
    taken = []

    def blocks():
        for number in range(100):
            taken.append(number)
            yield np.ones((2, 50), np.float32)

    stream = overlap_add(blocks(), halves, 100, overlap=0.5, batch_size=2)
    next(stream)
    assert len(taken) <= 4  # two segments of 100 with a hop of 50, and one sample more to know that it goes on
    for _ in range(20):
        next(stream)
    assert len(taken) <= 26


def test_weights_are_never_zero_and_symmetric():
    weights = fades(10, 4)
    np.testing.assert_allclose(weights, [0.125, 0.375, 0.625, 0.875, 1, 1, 0.875, 0.625, 0.375, 0.125])
    assert fades(5, 0).tolist() == [1] * 5 or (fades(5, 0) > 0).all()


def test_invalid_arguments_are_refused():
    with pytest.raises(ConfigError, match="overlap is 1"):
        next(overlap_add([], halves, 10, overlap=1.0))
