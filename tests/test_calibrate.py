"""Calibrating a classifier: excerpts have the intended classes, and a timid model becomes confident."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from stemclean.data.pool import FULL_SCALE, PooledStem, StemPool
from stemclean.models.contract import ModelSpec
from stemclean.training.calibrate import CalibrationConfig, _donor, calibrate

RATE, SEGMENT = 8000, 8000
TONES = {"low": 200.0, "high": 3000.0}


class Timid(nn.Module):
    """Knows which tones sound, down to -30 dB, and says so with 0.6 and 0.4."""

    spec = ModelSpec(RATE, 2, tuple(TONES), SEGMENT)
    level_dbfs = None
    tells_cells = False

    def windows(self, waveform, hop):
        pieces = waveform.mean(1).unfold(-1, SEGMENT, hop)
        spectrum = torch.fft.rfft(pieces * torch.hann_window(SEGMENT)).abs()
        powers = torch.stack([spectrum[..., int(hz * SEGMENT / RATE)] for hz in TONES.values()], -1)
        return torch.where(powers > 0.03 * powers.amax(-1, keepdim=True), 0.4, -0.4)

    def logits(self, outputs):
        return outputs

    def levels_db(self, outputs):
        return torch.where(outputs > 0, -2.0, -30.0)  # knows what sounds, and nothing of how loud


def test_calibration_makes_a_timid_model_confident():
    time = np.arange(RATE * 8) / RATE
    sounds = [np.sin(2 * np.pi * hz * time) * 0.3 for hz in TONES.values()]
    audio = np.concatenate([np.stack([sound, sound], 1) for sound in sounds]) * FULL_SCALE
    stems = [
        PooledStem(label, label, (label,), index * len(time), len(time), 0.2, 1.0) for index, label in enumerate(TONES)
    ]
    pool = StemPool(stems, audio.astype(np.int16), RATE)
    fitted, _ = calibrate(Timid(), pool, CalibrationConfig(excerpts=80, segments=3), seed=0, quiet=True)
    scores = 1 / (1 + np.exp(-np.array([[-0.4, -0.4], [0.4, 0.4]])))
    low, high = fitted.of_windows(scores)
    assert (low < 0.1).all() and (high > 0.9).all()
    again, _ = calibrate(Timid(), pool, CalibrationConfig(excerpts=80, segments=3), seed=0, quiet=True)
    assert np.array_equal(again.slope, fitted.slope)


def test_half_of_the_bleed_comes_from_the_same_song():
    """Songs of a low and a high tone and a third class, which is not asked for; what is silent does not bleed."""
    rng = np.random.default_rng(1)
    stems = [
        PooledStem(f"{song}/{label}", song, (label,), 0, RATE, 0.2, 1.0)
        for song in ("a", "b", "c", "d")
        for label in (*TONES, "unknown")
    ]
    pool = StemPool(stems, np.zeros((RATE, 2), np.int16), RATE)
    donors = [_donor(pool, stems[0], list(TONES), rng) for _ in range(400)]
    assert {donor.labels for donor in donors} == {("low",), ("high",)}
    own = sum(donor.track == "a" and donor.labels == ("high",) for donor in donors)
    assert 200 < own < 300  # half, and an eighth of the other half: 225
    _, levels = calibrate(
        Timid(), pool, CalibrationConfig(excerpts=20, segments=1, bleed_chance=1.0), seed=0, quiet=True
    )
    assert levels.slope == 1 and levels.intercept == 0  # nothing has bled
