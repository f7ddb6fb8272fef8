"""Conversions between seconds, samples and decibels round-trip."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemclean import units


@given(num_samples=st.integers(0, 10**10), sample_rate=st.integers(1_000, 192_000))
def test_samples_round_trip_through_seconds(num_samples: int, sample_rate: int) -> None:
    """A manifest holds microseconds; at any rate in use that is finer than half a sample."""
    seconds = units.samples_to_seconds(num_samples, sample_rate)
    assert units.seconds_to_samples(seconds, sample_rate) == num_samples


@given(db=st.floats(-200, 100))
def test_decibels_round_trip_through_amplitude(db: float) -> None:
    assert units.amplitude_to_db(units.db_to_amplitude(db)) == pytest.approx(db, abs=1e-9)


def test_known_values_are_converted() -> None:
    assert units.db_to_amplitude(-6.0206) == pytest.approx(0.5, abs=1e-6)
    assert units.amplitude_to_db(0.0) == -math.inf
    assert units.samples_to_frames(131072, 512) == 256
    assert units.samples_to_frames(131071, 512) == 255
    assert units.round_seconds(1 / 3) == 0.333333


@given(hz=st.floats(11.0, 20_000.0))
def test_pitches_round_trip_through_midi_and_cents(hz: float) -> None:
    """From 11 Hz, as 10 Hz are 0 cents, which says that there is no pitch. 1e-11 is what a logarithm costs."""
    assert float(units.midi_to_hz(units.hz_to_midi(hz))) == pytest.approx(hz, rel=1e-11)
    assert float(units.cents_to_hz(units.hz_to_cents(hz))) == pytest.approx(hz, rel=1e-11)


@given(hz=st.floats(20.0, 5_000.0), semitones=st.integers(-12, 12))
def test_a_semitone_is_100_cents_and_one_midi_note(hz: float, semitones: int) -> None:
    moved = hz * 2 ** (semitones / 12)
    assert float(units.hz_to_midi(moved) - units.hz_to_midi(hz)) == pytest.approx(semitones, abs=1e-9)
    assert float(units.hz_to_cents(moved) - units.hz_to_cents(hz)) == pytest.approx(100 * semitones, abs=1e-9)


def test_known_and_unvoiced_pitches_are_converted() -> None:
    assert units.midi_to_hz([60, 0]) == pytest.approx([261.6255653005986, 0.0], abs=1e-9)  # middle C
    frames = np.array([[0.0, 440.0], [880.0, 0.0]])
    assert units.hz_to_midi(frames).tolist() == [[0.0, 69.0], [81.0, 0.0]]
    assert units.cents_to_hz(units.hz_to_cents(frames)) == pytest.approx(frames, abs=1e-9)
