"""Pitch classes to f0 and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stemclean.models.decoding import decode, targets
from stemclean.models.pitch._classes import class_cents
from stemclean.units import cents_to_hz, hz_to_cents

CENTS = class_cents().numpy()


def test_pitch_classes_equal_those_of_crepe():
    """360 of them, 20 cents apart, from 1997.38 cents above 10 Hz on (Kim et al. 2018): 31.7 Hz to 2006 Hz."""
    assert len(CENTS) == 360 and set(np.diff(CENTS).round(9)) == {20.0}
    assert cents_to_hz(CENTS[[0, -1]]) == pytest.approx([31.70, 2005.5], abs=0.1)


def test_a_blurred_target_is_decoded_to_its_own_f0():
    """The mean around the peak finds what lies between two classes; 1 cent, as the bell is cut lopsidedly."""
    f0_hz = np.array([0.0, 100.0, 220.5, 441.3, 1234.5])
    decoded = decode(targets(f0_hz, CENTS, blur=True), CENTS, 320, 16000)
    assert (decoded.f0_hz > 0).tolist() == [False, True, True, True, True]
    assert hz_to_cents(decoded.f0_hz[1:]) == pytest.approx(hz_to_cents(f0_hz[1:]), abs=1.0)
    assert decoded.hop == 0.02 and decoded.start == 0


def test_a_single_class_decodes_within_half_a_class():
    f0_hz = cents_to_hz(np.linspace(CENTS[0] - 9.9, CENTS[-1] + 9.9, 1000))
    decoded = decode(targets(f0_hz, CENTS), CENTS, 160, 16000)
    assert np.abs(hz_to_cents(decoded.f0_hz) - hz_to_cents(f0_hz)).max() <= 10 + 1e-6


def test_f0_outside_the_classes_has_no_target():
    f0_hz = np.array([20.0, 31.0, 2100.0])
    assert not targets(f0_hz, CENTS).any() and not targets(f0_hz, CENTS, blur=True).any()
    assert targets(np.zeros((2, 3)), CENTS).shape == (2, 3, 360)


def test_threshold_voicing_and_confidence():
    posteriors = np.zeros((3, 360))
    posteriors[0, 100], posteriors[1, 100], posteriors[2, 100] = 0.9, 0.4, 0.5
    decoded = decode(posteriors, CENTS, 320, 16000, start=1.0)
    assert decoded.voiced.tolist() == [True, False, True]
    assert decoded.voicing.tolist() == [0.9, 0.4, 0.5] and decoded.confidence.tolist() == [0.9, 0.6, 0.5]
    assert decoded.f0_hz[[0, 2]] == pytest.approx(cents_to_hz(CENTS[[100, 100]])) and decoded.times.tolist() == [
        1.0,
        1.02,
        1.04,
    ]
    assert decode(posteriors, CENTS, 320, 16000, threshold=0.3).voiced.all()


def test_silence_is_unvoiced_at_any_threshold():
    assert not decode(np.zeros((4, 360)), CENTS, 320, 16000, threshold=0.0).voiced.any()


def test_float32_posteriors_are_accepted():
    posteriors = torch.rand(5, 360, generator=torch.Generator().manual_seed(0)).numpy()
    assert decode(posteriors, CENTS, 320, 16000).voiced.all()
