"""BS.1770 against the standard's own numbers and EBU Tech 3341's tones; pyloudnorm as a second opinion."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest

from stemclean.audio.loudness import LoudnessMeter, integrated_lufs, k_weighting, peak_dbfs
from stemclean.units import db_to_amplitude

RATE = 48000


def tone(seconds: float, level_dbfs: float, hz: float = 1000.0, rate: int = RATE, channels: int = 2) -> np.ndarray:
    """A sine whose peak is at ``level_dbfs``, the same in every channel."""
    wave = db_to_amplitude(level_dbfs) * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave, (channels, 1)).astype(np.float32)


def test_the_filters_are_those_of_the_standard() -> None:
    """ITU-R BS.1770-4, tables 1 and 2."""
    shelf, high_pass = k_weighting(48000)
    np.testing.assert_allclose(shelf[:3], [1.53512485958697, -2.69169618940638, 1.19839281085285], atol=1e-8)
    np.testing.assert_allclose(shelf[3:], [1.0, -1.69065929318241, 0.73248077421585], atol=1e-8)
    np.testing.assert_allclose(high_pass[:3], [1.0, -2.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(high_pass[3:], [1.0, -1.99004745483398, 0.99007225036621], atol=1e-8)


def test_full_scale_sine_in_one_channel() -> None:
    """BS.1770-4, annex 1: 0 dB FS at 997 Hz in the left channel is -3.01 LKFS."""
    sound = tone(20, 0.0, hz=997)
    sound[1] = 0
    assert integrated_lufs(sound, RATE) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(20, -23.0)], -23.0),  # case 1
        ([(20, -33.0)], -33.0),  # case 2
        ([(10, -36.0), (60, -23.0), (10, -36.0)], -23.0),  # case 3: the relative gate
        ([(10, -72.0), (10, -36.0), (60, -23.0), (10, -36.0), (10, -72.0)], -23.0),  # case 4: and the absolute one
        ([(20, -26.0), (20.1, -20.0), (20, -26.0)], -23.0),  # case 5
    ],
)
def test_tones_of_ebu_tech_3341(parts: list[tuple[float, float]], expected: float) -> None:
    sound = np.concatenate([tone(*part) for part in parts], axis=1)
    assert integrated_lufs(sound, RATE) == pytest.approx(expected, abs=0.1)  # the tolerance of Tech 3341


def test_five_channels_of_ebu_tech_3341() -> None:
    """Case 6: 1 kHz in five channels, -28 front, -24 centre, -30 behind."""
    sound = np.stack([tone(20, level, channels=1)[0] for level in (-28.0, -28.0, -24.0, -30.0, -30.0)])
    assert integrated_lufs(sound, RATE) == pytest.approx(-23.0, abs=0.1)
    with_bass = np.insert(sound, 3, tone(20, 0.0, channels=1)[0], axis=0)  # the LFE channel counts for nothing
    assert integrated_lufs(with_bass, RATE) == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 96000])
def test_loudness_is_independent_of_the_sample_rate(rate: int) -> None:
    assert integrated_lufs(tone(5, -20.0, rate=rate), rate) == pytest.approx(-20.0, abs=0.1)


def test_pyloudnorm_agrees(sounds) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(5)
    for make in (sounds.drums, sounds.bass, sounds.vocals, sounds.other):
        sound = make(6.0, rng, rate=44100)
        second_opinion = pyloudnorm.Meter(44100).integrated_loudness(sound.T)
        # Its filters are other approximations of the same curve: 0.05 dB apart on music.
        assert integrated_lufs(sound, 44100) == pytest.approx(second_opinion, abs=0.1)


def test_a_gain_changes_loudness_by_its_decibels(sounds) -> None:  # type: ignore[no-untyped-def]
    sound = sounds.drums(4.0, np.random.default_rng(0))
    before, after = integrated_lufs(sound, 22050), integrated_lufs(0.5 * sound, 22050)
    assert before is not None
    assert after == pytest.approx(before - 6.02, abs=0.01)


def test_silence_and_too_short_have_no_loudness() -> None:
    assert integrated_lufs(np.zeros((2, RATE), np.float32), RATE) is None
    assert integrated_lufs(tone(1, -75.0), RATE) is None  # below the absolute gate
    assert integrated_lufs(tone(0.39, -10.0), RATE) is None
    assert integrated_lufs(tone(0.4, -10.0), RATE) is not None
    assert integrated_lufs([], RATE) is None


@pytest.mark.parametrize("block", [1000, 4801, 48000])
def test_blocks_give_the_loudness_of_the_whole(block: int) -> None:
    sound = np.concatenate([tone(2, -30.0), tone(2, -20.0)], axis=1)
    parts = [sound[:, start : start + block] for start in range(0, sound.shape[1], block)]
    assert integrated_lufs(iter(parts), RATE) == pytest.approx(integrated_lufs(sound, RATE), abs=1e-9)
    assert peak_dbfs(iter(parts)) == peak_dbfs(sound)


def test_peak_is_measured() -> None:
    sound = np.zeros((2, 100), np.float32)
    assert peak_dbfs(sound) is None
    sound[1, 50] = -0.5
    assert peak_dbfs(sound) == pytest.approx(-6.0206, abs=1e-4)
    meter = LoudnessMeter(RATE)
    meter.add(sound)
    assert meter.peak_dbfs() == peak_dbfs(sound)
    assert meter.integrated_lufs() is None
