"""Seconds, samples, decibels: what one becomes is what it was."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemclean import units


@given(num_samples=st.integers(0, 10**10), sample_rate=st.integers(1_000, 192_000))
def test_samples_survive_seconds(num_samples: int, sample_rate: int) -> None:
    """A manifest holds microseconds; at any rate in use that is finer than half a sample."""
    seconds = units.samples_to_seconds(num_samples, sample_rate)
    assert units.seconds_to_samples(seconds, sample_rate) == num_samples


@given(db=st.floats(-200, 100))
def test_decibels_survive_amplitude(db: float) -> None:
    assert units.amplitude_to_db(units.db_to_amplitude(db)) == pytest.approx(db, abs=1e-9)


def test_known_values() -> None:
    assert units.db_to_amplitude(-6.0206) == pytest.approx(0.5, abs=1e-6)
    assert units.amplitude_to_db(0.0) == -math.inf
    assert units.samples_to_frames(131072, 512) == 256
    assert units.samples_to_frames(131071, 512) == 255
    assert units.round_seconds(1 / 3) == 0.333333
