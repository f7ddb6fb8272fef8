"""Calibration: what it promises is checked against counts, and scikit-learn's log loss."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from stemclean.models.calibration import Calibration, fit


def test_fitted_scores_mean_what_they_say():
    rng = np.random.default_rng(0)
    truth_probability = expit(rng.normal(0, 3, (20000, 1)))
    truth = rng.random((20000, 1)) < truth_probability
    raw = expit(0.5 * logit(truth_probability) - 1.0)  # timid and biased
    calibrated = fit(raw, truth)(raw)
    for low in (0.1, 0.5, 0.85):
        band = (calibrated > low) & (calibrated < low + 0.1)
        assert abs(truth[band].mean() - calibrated[band].mean()) < 0.04  # 3 standard errors of some 700 draws
    order = np.argsort(raw[:, 0])
    assert np.all(np.diff(calibrated[order, 0]) >= 0)


def test_separable_scores_stay_finite():
    calibration = fit(np.array([[0.1], [0.2], [0.8], [0.9]]), np.array([[False], [False], [True], [True]]))
    assert np.all(np.isfinite(calibration.slope))
    assert calibration(np.array([[0.1], [0.9]])).round()[:, 0].tolist() == [0, 1]


def test_card_round_trip_and_identity():
    calibration = Calibration(np.array([2.0, 1.0]), np.array([0.5, 0.0]))
    card = {"spec": {"labels": ["a", "b"]}, "calibration": calibration.to_card(["a", "b"])}
    scores = np.array([[0.3, 0.7]])
    assert np.allclose(Calibration.of_card(card)(scores), calibration(scores), atol=1e-4)
    assert np.allclose(Calibration.of_card({"spec": {"labels": ["a", "b"]}})(scores), scores)
    assert np.isnan(calibration(np.array([[np.nan, 0.5]]))[0, 0])
