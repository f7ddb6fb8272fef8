"""The block Toeplitz solver compared with dense matrices and with least squares on the signals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from stemclean.metrics import toeplitz

NUM_TAPS = 24


def delayed(sounds: np.ndarray) -> np.ndarray:
    """Every signal at every delay. Shape: (channel, time) -> (time, tap * channel)."""
    padded = np.pad(sounds, ((0, 0), (0, NUM_TAPS - 1)))
    return np.stack([np.roll(padded, tap, axis=1) for tap in range(NUM_TAPS)]).reshape(-1, padded.shape[1]).T


def problem(sounds: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the solver is given. Shape: (tap, channel, channel), (tap, channel, 1)."""
    length = sounds.shape[1]
    among = np.stack([sounds[:, : length - tap] @ sounds[:, tap:].T for tap in range(NUM_TAPS)])
    expected = np.stack([sounds[:, : length - tap] @ target[tap:] for tap in range(NUM_TAPS)])
    return among, expected[..., None]


def explained(sounds: np.ndarray, filters: np.ndarray) -> np.ndarray:
    return delayed(sounds) @ filters.reshape(-1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_solutions_equal_a_dense_solver(rng: np.random.Generator, channels: int) -> None:
    sounds = signal.lfilter([1.0, 0.5], [1.0, -0.8], rng.standard_normal((channels, 600)))
    target = rng.standard_normal(600)
    among, expected = problem(sounds, target)
    matrix = delayed(sounds)
    dense = np.linalg.solve(matrix.T @ matrix, expected.reshape(-1))
    filters = toeplitz.solve(among, expected).filters.reshape(-1)
    # The condition number is a few hundred: rounding of 1e-16 grows to 1e-13.
    np.testing.assert_allclose(filters, dense, rtol=0, atol=1e-12)


def test_the_filters_of_the_target_are_recovered(rng: np.random.Generator) -> None:
    sounds = rng.standard_normal((3, 800))
    taps = rng.standard_normal((NUM_TAPS, 3))
    target = explained(sounds, taps)  # longer than the signals: the tail is inside the model
    among, _ = problem(sounds, sounds[0])
    expected = (delayed(sounds).T @ target).reshape(NUM_TAPS, 3, 1)
    # White signals: the condition number is near 1.
    np.testing.assert_allclose(toeplitz.solve(among, expected).filters[..., 0], taps, rtol=0, atol=1e-12)


def test_an_empty_band_is_solved(rng: np.random.Generator) -> None:
    """Where the matrix is singular to rounding, filters are not unique, but what they make of the signals is."""
    sounds = signal.sosfilt(signal.butter(10, 0.15, output="sos"), rng.standard_normal((2, 4000)))
    sounds[:, -NUM_TAPS:] = 0.0
    target = sounds[0] + 0.1 * np.roll(sounds[1], 3)
    assert np.linalg.cond(delayed(sounds)) ** 2 > 1e13  # or the test would show nothing
    ours = explained(sounds, toeplitz.solve(*problem(sounds, target)).filters)[:4000]
    # The normal equations lose half of the digits: 1e-8 of the amplitude, times what lies between ridge and rounding.
    assert np.linalg.norm(ours - target) < 1e-6 * np.linalg.norm(target)


@pytest.mark.parametrize("copy", [0.0, 1.0, -0.5])
def test_silent_channels_and_copies_do_not_change_the_result(rng: np.random.Generator, copy: float) -> None:
    sounds = rng.standard_normal((2, 500))
    target = rng.standard_normal(500)
    more = np.insert(sounds, 1, copy * sounds[0], axis=0)
    alone = explained(sounds, toeplitz.solve(*problem(sounds, target)).filters)
    # Exact copies are left out before anything is computed, so only rounding remains.
    np.testing.assert_allclose(
        explained(more, toeplitz.solve(*problem(more, target)).filters), alone, rtol=0, atol=1e-12
    )


def test_a_delayed_copy_is_solved(rng: np.random.Generator) -> None:
    """No copy at the same time, and yet the matrix is singular but for the signal's ends."""
    sounds = np.zeros((2, 500))
    sounds[:, :480] = rng.standard_normal(480)
    sounds[1] = np.roll(sounds[0], 5)
    target = rng.standard_normal(500)
    best = np.linalg.lstsq(delayed(sounds), np.pad(target, (0, NUM_TAPS - 1)))[0]
    ours = explained(sounds, toeplitz.solve(*problem(sounds, target)).filters)
    # The ridge that makes it positive definite is at most 1e-8 of the energy.
    np.testing.assert_allclose(ours, delayed(sounds) @ best, rtol=0, atol=1e-6)


def test_silence_is_solved() -> None:
    assert not toeplitz.solve(np.zeros((NUM_TAPS, 2, 2)), np.zeros((NUM_TAPS, 2, 3))).filters.any()


def test_zero_correlations_are_solved() -> None:
    growing = np.stack([np.eye(1), 5 * np.eye(1)])  # no signal resembles its past more than itself
    with pytest.raises(np.linalg.LinAlgError, match="no ridge"):
        toeplitz.solve(growing, np.ones((2, 1, 1)))
