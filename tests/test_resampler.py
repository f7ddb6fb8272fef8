"""The resampler inside networks, compared with soxr and with physics."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
import torch

from stemclean.audio.resampler import Resampler
from stemclean.errors import ConfigError

RATES = [(44100, 16000), (16000, 44100), (48000, 16000), (22050, 16000), (8000, 11025)]


def level_db(error, of):
    return 10 * np.log10(np.mean(error**2) / np.mean(of**2))


@pytest.mark.parametrize(("old", "new"), RATES)
def test_the_resampler_agrees_with_soxr(old, new):
    """Noise below 0.8 of the lower Nyquist frequency, away from the ends: -60 dB, the ripple of a Hann window."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(old))
    spectrum[int(0.8 * min(old, new) / 2) :] = 0
    noise = np.fft.irfft(spectrum, old).astype(np.float32)
    ours = Resampler(old, new)(torch.from_numpy(noise)).numpy()
    theirs = soxr.resample(noise, old, new, "VHQ")
    assert len(ours) == len(theirs) == new
    inside = slice(300, -300)
    assert level_db((ours - theirs)[inside], theirs[inside]) < -60


def test_frequencies_above_the_new_nyquist_are_removed():
    time = np.arange(44100) / 44100
    tone = torch.from_numpy(np.sin(2 * np.pi * 9000 * time)).float()
    assert Resampler(44100, 16000)(tone)[300:-300].abs().max() < 1e-3  # -60 dB


@pytest.mark.parametrize(("old", "new"), RATES)
def test_a_click_keeps_its_time(old, new):
    click = torch.zeros(1, old)
    click[0, old // 2] = 1.0
    assert int(Resampler(old, new)(click).argmax()) == pytest.approx(new // 2, abs=0.5)


def test_gradients_flow_and_equal_rates_are_the_identity():
    sound = torch.randn(2, 3, 500, requires_grad=True)
    resampled = Resampler(44100, 16000)(sound)
    assert resampled.shape == (2, 3, Resampler(44100, 16000).num_samples(500)) == (2, 3, 182)
    resampled.square().sum().backward()
    assert (sound.grad != 0).all()
    assert Resampler(16000, 16000)(sound) is sound
    assert not list(Resampler(44100, 16000).state_dict())


def test_coprime_rates_need_little_memory():
    """The filter of 384 000 to 383 999 would have 10^11 taps, 1.2 TB."""
    with pytest.raises(ConfigError, match="384000 Hz cannot be made 383999 Hz"):
        Resampler(384_000, 383_999)
