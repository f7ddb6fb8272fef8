"""Calibration, compared with counts and with scikit-learn's log loss."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from stemclean.models.calibration import Calibration, fit, pool


def test_fitted_scores_are_calibrated():
    rng = np.random.default_rng(0)
    truth_probability = expit(rng.normal(0, 3, (20000, 1)))
    truth = rng.random((20000, 1)) < truth_probability
    mean = expit(0.5 * logit(truth_probability) - 1.0)  # timid and biased
    raw = np.stack([mean, np.clip(mean + 0.1, 0, 1)])
    calibrated = fit(raw, truth)(raw)
    for low in (0.1, 0.5, 0.85):
        band = (calibrated > low) & (calibrated < low + 0.1)
        assert abs(truth[band].mean() - calibrated[band].mean()) < 0.04  # 3 standard errors of some 700 draws
    order = np.argsort(mean[:, 0])
    assert np.all(np.diff(calibrated[order, 0]) >= 0)


def test_separable_scores_stay_finite():
    scores = np.array([[0.1], [0.2], [0.8], [0.9]])
    calibration = fit(np.stack([scores, scores]), np.array([[False], [False], [True], [True]]))
    assert np.all(np.isfinite(calibration.slope))
    assert calibration.of_windows(np.array([[0.1], [0.9]])).round()[:, 0].tolist() == [0, 1]


def test_occasional_sound_is_detected_by_the_highest_quarter():
    """A class in one window of five has a low mean; the fitted map learns to listen to the highest windows instead."""
    rng = np.random.default_rng(0)
    truth = rng.random((400, 1)) < 0.5
    windows = np.where(rng.random((400, 20)) < 0.2 * truth, 0.95, rng.uniform(0.02, 0.3, (400, 20)))
    pooled = np.stack([pool(w[:, None], np.ones(20)) for w in windows], axis=1)
    calibration = fit(pooled, truth)
    assert calibration.high_slope[0] > calibration.slope[0] >= 0
    assert np.mean((calibration(pooled) > 0.5) == truth) > 0.95


def test_pooling_respects_weights_and_silence():
    windows = np.array([[0.0, 1.0], [0.4, 0.5], [1.0, 0.2], [0.9, 0.9]])
    mean, high = pool(windows, np.array([1.0, 1.0, 2.0, 0.0]))
    assert np.allclose(mean, [0.6, 0.475]) and np.allclose(high, [1.0, 1.0])
    assert not pool(windows, np.zeros(4)).any()


def test_calibration_round_trips_through_a_card():
    calibration = Calibration(np.array([2.0, 1.0]), np.array([0.0, 0.3]), np.array([0.5, 0.0]))
    card = {"spec": {"labels": ["a", "b"]}, "calibration": calibration.to_card(["a", "b"])}
    scores = np.array([[0.3, 0.7], [0.4, 0.9]])
    assert np.allclose(Calibration.of_card(card)(scores), calibration(scores), atol=1e-4)
    assert np.allclose(Calibration.of_card({"spec": {"labels": ["a", "b"]}})(scores), scores[0])
    assert np.isnan(calibration.of_windows(np.array([[np.nan, 0.5]]))[0, 0])
