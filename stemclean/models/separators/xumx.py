"""CrossNet-Open-Unmix, X-UMX (Sawata, Uhlich, Takahashi, Mitsufuji 2021, arXiv 2010.04228).

One Open-Unmix network (Stöter et al. 2019) per class, each a mask on the magnitude spectrogram of the mixture, and two
averages over the classes, before and after the LSTMs, by which the networks hear of one another. The mixture's phase is
kept. The paper also brings two losses, multi-domain and combination; they are options of the training, not of
the network (:class:`stemclean.training.separate.LossConfig`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stemclean.audio.stft import istft, stft
from stemclean.models.contract import ModelSpec

__all__ = ["CrossNetOpenUnmix", "build"]

AMPLITUDE_FLOOR = 1e-5
"""-100 dB: the least deviation of an input bin, so that an empty bin is not blown up."""


class CrossNetOpenUnmix(nn.Module):
    """X-UMX as a :class:`~stemclean.models.contract.Separator`; the defaults are the paper's.

    Args:
        spec: sample rate, channels, labels and segment of the model.
        n_fft: samples of the STFT window.
        hop_length: samples between frames.
        hidden: width of every network.
        layers: of each LSTM.
        bandwidth_hz: what lies above is not looked at, but separated with what is known from below.
        dropout: between the layers of an LSTM.
        crossing: False: independent networks, which is Open-Unmix.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        spec: ModelSpec,
        *,
        n_fft: int = 4096,
        hop_length: int = 1024,
        hidden: int = 512,
        layers: int = 3,
        bandwidth_hz: float = 16_000.0,
        dropout: float = 0.4,
        crossing: bool = True,
    ) -> None:
        super().__init__()
        self.spec, self.n_fft, self.hop_length, self.crossing = spec, n_fft, hop_length, crossing
        self.num_bins = n_fft // 2 + 1
        self.num_heard = min(self.num_bins, int(bandwidth_hz * n_fft / spec.sample_rate) + 1)
        self.mean = nn.Parameter(torch.zeros(self.num_heard))
        self.deviation = nn.Parameter(torch.ones(self.num_heard))
        self.encoders = nn.ModuleList(_Encoder(self.num_heard * spec.channels, hidden) for _ in spec.labels)
        self.lstms = nn.ModuleList(
            nn.LSTM(
                hidden, hidden // 2, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0
            )
            for _ in spec.labels
        )
        self.masks = nn.ModuleList(_Mask(hidden, self.num_bins * spec.channels) for _ in spec.labels)

    def standardise(self, mixtures: Tensor) -> None:
        """Set mean and deviation of every input bin to those of some mixtures, as Open-Unmix does."""
        with torch.no_grad():
            heard = self._magnitudes(stft(mixtures, n_fft=self.n_fft, hop_length=self.hop_length))
            heard = heard[:, :, : self.num_heard].transpose(0, 2).flatten(1)  # -> (freq, everything else)
            self.mean.copy_(heard.mean(1))
            self.deviation.copy_(heard.std(1).clamp_min(AMPLITUDE_FLOOR))

    def forward(self, mixture: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Separator`."""
        device = mixture.device.type
        with torch.autocast(device, enabled=False):
            spectrum = stft(mixture, n_fft=self.n_fft, hop_length=self.hop_length)  # (batch, channel, freq, frame)
            heard = self._magnitudes(spectrum)[:, :, : self.num_heard].permute(0, 3, 1, 2)  # -> frame before channel
            heard = ((heard - self.mean) / self.deviation.clamp_min(AMPLITUDE_FLOOR)).flatten(2)
        encoded = self._crossed([encode(heard) for encode in self.encoders])
        listened = self._crossed([lstm(rows)[0] for lstm, rows in zip(self.lstms, encoded, strict=True)])
        masks = [
            mask(torch.cat([rows, memory], -1))  # the way around the LSTM
            for mask, rows, memory in zip(self.masks, encoded, listened, strict=True)
        ]
        with torch.autocast(device, enabled=False):
            stacked = torch.stack(masks, 1).float()  # (batch, stem, frame, channel * freq)
            stacked = stacked.unflatten(-1, (self.spec.channels, self.num_bins)).permute(0, 1, 3, 4, 2)
            return istft(
                stacked * spectrum[:, None],  # (batch, stem, channel, freq, frame)
                n_fft=self.n_fft,
                hop_length=self.hop_length,
                num_samples=mixture.shape[-1],
            )

    def _crossed(self, rows: list[Tensor]) -> list[Tensor]:
        """The average over the classes, for each of them."""
        return [torch.stack(rows).mean(0)] * len(rows) if self.crossing else rows

    @staticmethod
    def _magnitudes(spectrum: Tensor) -> Tensor:
        return torch.view_as_real(spectrum).square().sum(-1).sqrt()


class _Encoder(nn.Module):
    """Bins of one frame to ``hidden`` numbers within ±1."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, hidden, bias=False)
        self.norm = nn.BatchNorm1d(hidden)

    def forward(self, rows: Tensor) -> Tensor:
        """``(batch, frame, input)`` -> ``(batch, frame, hidden)``."""
        return torch.tanh(_over_rows(self.norm, self.linear(rows)))


class _Mask(nn.Module):
    """What was encoded and remembered to a factor >= 0 on every bin."""

    def __init__(self, hidden: int, outputs: int) -> None:
        super().__init__()
        self.inner = nn.Linear(2 * hidden, hidden, bias=False)
        self.inner_norm = nn.BatchNorm1d(hidden)
        self.outer = nn.Linear(hidden, outputs, bias=False)
        self.outer_norm = nn.BatchNorm1d(outputs)
        self.scale = nn.Parameter(torch.ones(outputs))
        self.offset = nn.Parameter(torch.ones(outputs))

    def forward(self, rows: Tensor) -> Tensor:
        """``(batch, frame, 2 * hidden)`` -> ``(batch, frame, output)``."""
        inner = torch.relu(_over_rows(self.inner_norm, self.inner(rows)))
        return torch.relu(_over_rows(self.outer_norm, self.outer(inner)) * self.scale + self.offset)


def _over_rows(norm: nn.BatchNorm1d, rows: Tensor) -> Tensor:
    """Batch norm over batch and frames alike."""
    normed: Tensor = norm(rows.flatten(0, 1))  # (batch * frame, feature)
    return normed.reshape(rows.shape)  # -> (batch, frame, feature)


def build(spec: ModelSpec, **options: Any) -> CrossNetOpenUnmix:
    """The model of this file; options as for :class:`CrossNetOpenUnmix`."""
    return CrossNetOpenUnmix(spec, **options)
