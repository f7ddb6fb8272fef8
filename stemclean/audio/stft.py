"""Spectrograms; this module defines all STFT conventions of stemclean.

Frame k is centred at sample ``k * hop_length``; the signal is zero outside its ends; the window is
a periodic Hann window of ``n_fft`` samples. Magnitudes are divided by the window's sum, so that a sine of amplitude A
in the middle of a bin has a magnitude of A / 2 for any ``n_fft``. A segment of ``n * hop_length`` samples has n frames:
the frame centred on its end belongs to the next segment. Only the complex pair :func:`stft` and :func:`istft` keeps
that frame, because the last half window cannot be reconstructed without it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["istft", "kaldi_filterbank", "mel_filterbank", "mel_frequencies", "spectrogram", "stft"]


def spectrogram(
    waveform: Tensor, *, n_fft: int, hop_length: int, power: float = 1.0, window: Tensor | None = None
) -> Tensor:
    """Compute the magnitudes of the STFT, or their squares.

    Args:
        waveform: any real waveform.
        n_fft: window and transform length in samples.
        hop_length: samples between frame centres; the waveform's length should be a multiple.
        power: 1 for magnitudes, 2 for powers.
        window: ``(n_fft,)``; None: the periodic Hann window.

    Shape:
        ``(..., time)`` -> ``(..., n_fft // 2 + 1, time // hop_length)``.

    Returns:
        float32 >= 0, in the amplitude unit of the waveform to the given power.
    """
    if window is None:
        window = torch.hann_window(n_fft, device=waveform.device, dtype=torch.float32)
    padded = functional.pad(waveform.float(), (n_fft // 2, n_fft - n_fft // 2))
    num_frames = waveform.shape[-1] // hop_length
    frames = padded.unfold(-1, n_fft, hop_length)[..., :num_frames, :]  # (..., time) -> (..., frame, sample)
    spectrum = torch.fft.rfft(frames * (window / window.sum()))
    squares: Tensor = spectrum.real.square() + spectrum.imag.square()  # three times faster than a sum over the two
    return (squares if power == 2 else squares.pow(power / 2)).transpose(-1, -2)  # -> (..., freq, frame)


def stft(waveform: Tensor, *, n_fft: int, hop_length: int) -> Tensor:
    """Compute a complex spectrogram that :func:`istft` inverts; its magnitudes are those of :func:`spectrogram`.

    Args:
        waveform: any real waveform.
        n_fft: window and transform length in samples, even.
        hop_length: samples between frame centres, at most half of ``n_fft``.

    Shape:
        ``(..., time)`` -> ``(..., n_fft // 2 + 1, time // hop_length + 1)``, complex64.
    """
    window = torch.hann_window(n_fft, device=waveform.device, dtype=torch.float32)
    flat = waveform.float().reshape(-1, waveform.shape[-1])  # torch.stft takes (row, time)
    spectrum = torch.stft(flat, n_fft, hop_length, window=window, center=True, pad_mode="constant", return_complex=True)
    return (spectrum / window.sum()).reshape(*waveform.shape[:-1], *spectrum.shape[-2:])  # -> (..., freq, frame)


def istft(spectrum: Tensor, *, n_fft: int, hop_length: int, num_samples: int) -> Tensor:
    """Return the waveform of a complex spectrogram: the least-squares inverse of :func:`stft` (Griffin and Lim 1984).

    Shape:
        ``(..., freq, frame)`` -> ``(..., num_samples)``, float32.
    """
    window = torch.hann_window(n_fft, device=spectrum.device, dtype=torch.float32)
    flat = spectrum.reshape(-1, *spectrum.shape[-2:]) * window.sum()  # torch.istft takes (row, freq, frame)
    waveform: Tensor = torch.istft(flat, n_fft, hop_length, window=window, center=True, length=num_samples)
    return waveform.reshape(*spectrum.shape[:-2], num_samples)  # -> (..., time)


def mel_frequencies(n_mels: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Return the edges and centres of ``n_mels`` triangular bands, ``n_mels + 2`` frequencies in Hz.

    Equally spaced on the mel scale of O'Shaughnessy (1987), 2595 log10(1 + f / 700), as in HTK.
    """
    mel = np.linspace(2595 * np.log10(1 + low_hz / 700), 2595 * np.log10(1 + high_hz / 700), n_mels + 2)
    return 700 * (10 ** (mel / 2595) - 1)


@lru_cache(maxsize=8)
def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int, low_hz: float, high_hz: float) -> Tensor:
    """Return triangular mel bands that sum bins to band energies.

    Each band has unit sum, so that a flat power spectrum has a flat mel spectrum. Bands narrower than a bin use the
    nearest bin, so that no band is empty.

    Shape:
        ``(n_mels, n_fft // 2 + 1)``, float32, rows sum to 1.
    """
    edges = mel_frequencies(n_mels, low_hz, high_hz)
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    bank = np.empty((n_mels, len(bins)), np.float32)
    for row in range(n_mels):  # in a loop, because all rows at once need nine times the memory of the result
        low, centre, high = edges[row : row + 3]
        band = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
        if band.sum() < 1e-3:
            band[np.argmin(np.abs(bins - centre))] = 1
        bank[row] = band / band.sum()
    return torch.from_numpy(bank)


@lru_cache(maxsize=8)
def kaldi_filterbank(sample_rate: int, n_fft: int, n_mels: int, low_hz: float, high_hz: float) -> Tensor:
    """Return mel bands as in Kaldi: triangles that are linear on the mel scale, each with a peak of 1.

    Shape:
        ``(n_mels, n_fft // 2 + 1)``, float32.
    """
    mel = 1127 * np.log1p(np.arange(n_fft // 2 + 1) * sample_rate / n_fft / 700)
    low, high = (1127 * np.log1p(edge / 700) for edge in (low_hz, high_hz))
    edges = np.linspace(low, high, n_mels + 2)
    rising = (mel - edges[:-2, None]) / (edges[1] - edges[0])
    falling = (edges[2:, None] - mel) / (edges[1] - edges[0])
    bank = np.maximum(0, np.minimum(rising, falling))
    bank[:, -1] = 0  # Kaldi has no Nyquist bin
    return torch.from_numpy(bank.astype(np.float32))
