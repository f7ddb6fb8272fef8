"""Measurements of technical faults, on sounds whose faults are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from stemclean.audio import signal_meter
from stemclean.audio.mixture_fit import fit_mixture
from stemclean.audio.signal_meter import Signal, measure_signal

RATE = 44100
Sound = NDArray[np.float32]


def music(seconds: float = 6.0, seed: int = 0, rate: int = RATE) -> Sound:
    """Decaying notes with overtones and a little breath, in stereo: never constant, and with all frequencies."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    sound = np.zeros((2, len(time)))
    for start in np.arange(0, seconds, 0.25):
        after = np.maximum(time - start, 0)
        tone = sum(np.sin(2 * np.pi * k * generator.uniform(90, 700) * after) / k for k in range(1, 8))
        note = (time >= start) * np.exp(-6 * after) * (tone + 0.3 * generator.standard_normal(len(time)))
        sound += note * generator.uniform(0.3, 1.0, (2, 1))
    return np.asarray(0.5 * sound / np.abs(sound).max(), np.float32)


def blocks(sound: Sound, length: int) -> Iterator[Sound]:
    for start in range(0, sound.shape[1], length):
        yield sound[:, start : start + length]


def test_a_clean_sound_has_no_faults() -> None:
    signal = measure_signal(music(), RATE)
    assert (signal.clipped, signal.dropouts, signal.cutoff and signal.cutoff.fall_db > 20, signal.hum) in {
        (0, (), None, None),
        (0, (), False, None),
    }
    assert signal.offset < 0.01 and signal.noise_dbfs is None
    assert signal.peak == pytest.approx(0.5) and 0.5 <= signal.true_peak < 0.6


@pytest.mark.parametrize("length", [997, 20_000, 1 << 20])
def test_the_length_of_the_blocks_does_not_matter(length: int) -> None:
    sound = np.clip(3 * music(), -1, 1)
    sound[:, 3 * RATE : 3 * RATE + 441] = 0
    whole, parts = measure_signal(sound, RATE), measure_signal(blocks(sound, length), RATE)
    assert (parts.clipped, parts.dropouts, parts.head, parts.tail) == (
        whole.clipped,
        whole.dropouts,
        whole.head,
        whole.tail,
    )
    assert (parts.peak, parts.cutoff) == (whole.peak, whole.cutoff)
    assert (parts.rms, parts.correlation) == (pytest.approx(whole.rms), pytest.approx(whole.correlation))


def test_flat_tops_are_counted_at_the_highest_level_only() -> None:
    sound = music()
    tops = measure_signal(np.clip(3 * sound, -1, 1), RATE).clipped
    assert tops > 10
    assert measure_signal(0.25 * np.clip(3 * sound, -1, 1), RATE).clipped == tops
    louder = np.clip(3 * sound, -1, 1)
    louder[:, RATE] = 1.2  # one sample above: what is flat below it was not clipped there
    assert measure_signal(louder, RATE).clipped == 0


def test_a_peak_between_samples_is_found() -> None:
    time = np.arange(RATE)
    sine = np.sin(2 * np.pi * time / 4 + np.pi / 4).astype(np.float32)  # samples at 0.707 of the peak
    signal = measure_signal(sine[None], RATE)
    assert signal.peak == pytest.approx(np.sqrt(0.5), abs=1e-3)
    assert signal.true_peak == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("milliseconds", [0.5, 5, 50])
def test_a_gap_in_the_sound_is_a_dropout_and_a_pause_is_none(milliseconds: float) -> None:
    sound = 0.2 * np.random.default_rng(1).standard_normal((2, 4 * RATE)).astype(np.float32)
    length = round(milliseconds * RATE / 1000)
    sound[:, 2 * RATE : 2 * RATE + length] = 0
    [gap] = measure_signal(blocks(sound, 30_000), RATE).dropouts
    assert gap.start == pytest.approx(2.0, abs=1e-3) and gap.end - gap.start == pytest.approx(length / RATE, abs=1e-6)
    gated = music()
    gated[:, 2 * RATE : 2 * RATE + length] = 0
    fade = np.linspace(1, 0, RATE // 20, dtype=np.float32)
    gated[:, 2 * RATE - len(fade) : 2 * RATE] *= fade
    assert measure_signal(gated, RATE).dropouts == ()


def test_a_lower_sample_rate_in_the_past_shows_as_a_cutoff() -> None:
    bright = music() + 0.02 * np.random.default_rng(2).standard_normal((2, 6 * RATE)).astype(np.float32)
    assert (cutoff := measure_signal(bright, RATE).cutoff) is None or cutoff.fall_db < 20
    low = soxr.resample(soxr.resample(bright.T, RATE, 22_050), 22_050, RATE).T
    found = measure_signal(low, RATE).cutoff
    assert found is not None and found.hz == pytest.approx(11_025, abs=800) and found.fall_db > 25


def strokes(seconds: float = 40.0) -> Sound:
    """Strokes of noise of many colours, a second apart, whose decays are as flat and as soft as noise in the mean."""
    generator = np.random.default_rng(5)
    after = np.arange(RATE) / RATE
    frequencies = np.fft.rfftfreq(RATE, 1 / RATE)
    sound = []
    for _ in range(round(seconds)):
        gains_db = np.interp(frequencies, np.linspace(0, RATE / 2, 60), generator.uniform(-15, 15, 60))
        spectrum = np.fft.rfft(generator.standard_normal(RATE)) * 10 ** (gains_db / 20)
        sound.append(np.fft.irfft(spectrum, RATE) * 10 ** (-generator.uniform(50, 70) * after / 20))
    return np.asarray(np.concatenate(sound)[None] * 0.05, np.float32)


def test_decays_are_not_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    drums = strokes()
    noise = 1e-3 * np.random.default_rng(6).standard_normal(drums.shape).astype(np.float32)
    assert measure_signal(drums, RATE).noise_dbfs is None
    assert measure_signal(drums + noise, RATE).noise_dbfs == pytest.approx(-60, abs=1.5)
    monkeypatch.setattr(signal_meter, "SPREAD_DB", np.inf)
    assert measure_signal(drums, RATE).noise_dbfs is not None  # level and spectrum alone would not tell


def test_noise_and_hum_are_heard_in_pauses() -> None:
    sound = music(12.0)
    sound[:, : 5 * RATE] = 0
    generator = np.random.default_rng(3)
    hiss = 0.001 * generator.standard_normal(sound.shape).astype(np.float32)
    noisy = measure_signal(sound + hiss, RATE)
    assert noisy.noise_dbfs == pytest.approx(-60, abs=2) and (noisy.hum is None or noisy.hum.above_db < 12)
    time = np.arange(sound.shape[1]) / RATE
    tone = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 9))
    hum = measure_signal(sound + (0.003 * np.asarray(tone)).astype(np.float32) + 0.1 * hiss, RATE).hum
    assert hum is not None and hum.hz == 50 and hum.above_db > 12
    assert hum.level_dbfs == pytest.approx(
        20 * np.log10(0.003 * np.sqrt(0.5 * sum(1 / k**2 for k in range(1, 7)))), abs=3
    )


def test_silence_and_nothing_are_measured() -> None:
    assert measure_signal(np.zeros((2, RATE), np.float32), RATE) == Signal(RATE, 2, RATE)
    assert measure_signal(iter(()), RATE).num_samples == 0
    padded = np.pad(music(), ((0, 0), (2 * RATE, RATE)))
    signal = measure_signal(padded, RATE)
    assert (signal.head, signal.tail) == (pytest.approx(2, abs=0.2), pytest.approx(1, abs=0.5))


class TestMixture:
    """Three parts of a song, and mixtures of them."""

    parts: ClassVar = {name: music(8.0, seed, 8000).mean(axis=0) for seed, name in enumerate(("a", "b", "c"), 10)}

    def test_the_sum_fits(self) -> None:
        fit = fit_mixture(0.5 * np.sum(list(self.parts.values()), axis=0), self.parts)
        assert fit is not None and fit.residual_db < -60
        assert [(part.coherent, round(part.gain, 2), part.delay) for part in fit.parts] == [(True, 1.0, 0.0)] * 3

    def test_a_stem_that_is_missing_inverted_or_late_is_named(self) -> None:
        a, b, c = self.parts.values()
        missing = fit_mixture(a + b, self.parts)
        assert missing is not None and [part.coherent for part in missing.parts] == [True, True, False]
        inverted = fit_mixture(a - b + c, self.parts)
        assert inverted is not None and [part.gain > 0 for part in inverted.parts] == [True, False, True]
        late = fit_mixture(a + b + np.pad(c, (40, 0))[: len(c)], self.parts)
        assert late is not None and [part.delay for part in late.parts] == [0, 0, pytest.approx(0.005)]
        assert late.residual_db > -30 > late.best_residual_db

    def test_silence_cannot_be_compared(self) -> None:
        assert fit_mixture(np.zeros(8000, np.float32), self.parts) is None
        assert fit_mixture(self.parts["a"], {"a": np.zeros(8000, np.float32)}) is None
