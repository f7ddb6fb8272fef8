"""Physics of the spectrogram, and agreement with the conventions of librosa and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stemclean.audio.stft import istft, mel_filterbank, mel_frequencies, spectrogram, stft


def test_a_sine_has_half_its_amplitude_for_any_window():
    time = torch.arange(44100) / 44100
    for n_fft in (1024, 2048):
        bin_hz = 40 * 44100 / n_fft
        magnitude = spectrogram(0.6 * torch.sin(2 * torch.pi * bin_hz * time), n_fft=n_fft, hop_length=512)
        middle = magnitude[:, magnitude.shape[1] // 2]
        assert int(middle.argmax()) == 40
        assert float(middle.max()) == pytest.approx(0.3, abs=1e-4)


def test_frames_per_segment_and_shape():
    magnitude = spectrogram(torch.zeros(3, 2, 131072), n_fft=2048, hop_length=512)
    assert magnitude.shape == (3, 2, 1025, 256)


def test_agrees_with_torch_stft():
    waveform = torch.randn(2, 16384, generator=torch.Generator().manual_seed(0))
    window = torch.hann_window(2048)
    theirs = torch.stft(waveform, 2048, 512, window=window, center=True, pad_mode="constant", return_complex=True)
    ours = spectrogram(waveform, n_fft=2048, hop_length=512)
    torch.testing.assert_close(ours, theirs.abs()[..., :32] / window.sum(), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(
        spectrogram(waveform, n_fft=2048, hop_length=512, power=2), ours**2, atol=1e-9, rtol=1e-4
    )


def test_a_click_lands_in_the_frame_at_its_time():
    waveform = torch.zeros(32768)
    waveform[10 * 1024] = 1
    magnitude = spectrogram(waveform, n_fft=2048, hop_length=1024)
    assert int(magnitude.sum(0).argmax()) == 10


def test_mel_bank_keeps_a_flat_spectrum_flat_and_no_band_is_empty():
    bank = mel_filterbank(44100, 2048, 128, 20.0, 22050.0)
    assert bank.shape == (128, 1025)
    assert np.allclose(bank.sum(1), 1, atol=1e-5)  # float32 sums of up to 60 bins
    centres = mel_frequencies(128, 20.0, 22050.0)[1:-1]
    peaks = bank.argmax(1).numpy() * 44100 / 2048
    assert np.all(np.abs(peaks - centres) <= 44100 / 2048)  # within one bin


@pytest.mark.parametrize(("n_fft", "hop_length", "num_samples"), [(256, 64, 4096), (128, 50, 3001)])
def test_a_complex_spectrogram_is_inverted(n_fft, hop_length, num_samples):
    waveform = torch.randn(2, 3, num_samples, generator=torch.Generator().manual_seed(0))
    spectrum = stft(waveform, n_fft=n_fft, hop_length=hop_length)
    assert spectrum.shape == (2, 3, n_fft // 2 + 1, num_samples // hop_length + 1)
    again = istft(spectrum, n_fft=n_fft, hop_length=hop_length, num_samples=num_samples)
    inside = num_samples // hop_length * hop_length  # behind the last frame's centre the window fades out
    torch.testing.assert_close(again[..., :inside], waveform[..., :inside], atol=1e-5, rtol=0)  # float32


def test_complex_and_plain_spectrogram_agree():
    waveform = torch.randn(2, 4096, generator=torch.Generator().manual_seed(0))
    plain = spectrogram(waveform, n_fft=256, hop_length=64)
    torch.testing.assert_close(stft(waveform, n_fft=256, hop_length=64)[..., :-1].abs(), plain, atol=1e-6, rtol=1e-4)
