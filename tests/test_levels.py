"""Calibration of levels: the line is found, and the power is kept."""

from __future__ import annotations

import numpy as np
import pytest

from stemclean.models.levels import LevelCalibration, fit_levels


def test_levels_keep_the_power_and_learn_the_line():
    rng = np.random.default_rng(0)
    planted = rng.uniform(-25, 0, 200)
    fitted = fit_levels(0.5 * planted - 3 + rng.normal(0, 0.1, 200), planted)
    assert fitted.slope == pytest.approx(2, abs=0.02) and fitted.intercept == pytest.approx(6, abs=0.2)
    predicted = np.where(
        np.arange(200) % 5 == 0, rng.uniform(1, 40, 200), 0.8 * planted - 3
    )  # a fifth taken for the stem
    predicted[np.arange(200) % 10 == 1] = -50.0  # and a tenth is not detected
    bent = fit_levels(predicted, planted)
    assert bent.slope == pytest.approx(1.25, abs=0.01) and bent.intercept == pytest.approx(3.75, abs=0.1)
    assert bent(np.array([0.0, -50.0]))[1] == pytest.approx(bent(np.array([0.0, -30.0]))[1], abs=0.1)
    assert LevelCalibration(**bent.to_card()).lowest_db == -30
    assert "lowest_db" not in LevelCalibration(0.5, -2.0).to_card()
    levels = np.array([[-0.5, -10.0, -20.0], [-8.0, -1.0, -30.0]])
    mapped = LevelCalibration(0.5, -2.0)(levels)
    assert np.allclose((10 ** (mapped / 10)).sum(1), (10 ** (levels / 10)).sum(1))
    assert np.allclose(mapped[0] - mapped[0].max(), [0, 0.5 * -9.5 - 2, 0.5 * -19.5 - 2])
    assert np.allclose(LevelCalibration()(levels), levels)
    assert np.isnan(LevelCalibration(0.5, -2.0)(np.full(3, np.nan))).all()


def test_too_few_bleeds_or_a_constant_answer_fit_nothing():
    assert fit_levels(np.zeros(3), np.full(3, -9.0)) == LevelCalibration()
    planted = np.linspace(-20, 0, 50)
    for level_db in (-60.0, -10.0, 5.0):
        assert fit_levels(np.full(50, level_db), planted) == LevelCalibration()
