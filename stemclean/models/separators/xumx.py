"""CrossNet-Open-Unmix, X-UMX (Sawata, Uhlich, Takahashi, Mitsufuji 2021, arXiv 2010.04228).

One Open-Unmix network (Stöter et al. 2019) per class estimates a mask on the magnitude spectrogram of the mixture. The
networks are connected by averages over the classes before and after the LSTMs. The phase is that of the mixture. The
paper's multi-domain and combination losses are options of the training
(:class:`stemclean.training.separate.LossConfig`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stemclean.audio.stft import istft, stft
from stemclean.models.contract import ModelSpec

__all__ = ["CrossNetOpenUnmix", "build"]

AMPLITUDE_FLOOR = 1e-5
"""-100 dB: minimum deviation of an input bin, so that an empty bin is not amplified."""


class CrossNetOpenUnmix(nn.Module):
    """X-UMX as a :class:`~stemclean.models.contract.Separator`; the defaults are the paper's.

    Args:
        spec: Sample rate, channels, labels and segment of the model.
        n_fft: Length of the STFT window in samples.
        hop_length: Samples between frames.
        hidden: Width of every network.
        layers: Layers of each LSTM.
        bandwidth_hz: Bins above this frequency are not part of the input, but are masked, too.
        dropout: Dropout between the layers of an LSTM.
        crossing: Whether the networks are connected; if false, the model is Open-Unmix.
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
        self.num_inputs = min(self.num_bins, int(bandwidth_hz * n_fft / spec.sample_rate) + 1)
        self.mean = nn.Parameter(torch.zeros(self.num_inputs))
        self.deviation = nn.Parameter(torch.ones(self.num_inputs))
        self.encoders = nn.ModuleList(_Encoder(self.num_inputs * spec.channels, hidden) for _ in spec.labels)
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
            magnitudes = self._magnitudes(stft(mixtures, n_fft=self.n_fft, hop_length=self.hop_length))
            magnitudes = magnitudes[:, :, : self.num_inputs].transpose(0, 2).flatten(1)  # -> (freq, everything else)
            self.mean.copy_(magnitudes.mean(1))
            self.deviation.copy_(magnitudes.std(1).clamp_min(AMPLITUDE_FLOOR))

    def forward(self, mixture: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Separator`."""
        device = mixture.device.type
        with torch.autocast(device, enabled=False):
            spectrum = stft(mixture, n_fft=self.n_fft, hop_length=self.hop_length)  # (batch, channel, freq, frame)
            rows = self._magnitudes(spectrum)[:, :, : self.num_inputs].permute(0, 3, 1, 2)  # -> frame before channel
            rows = ((rows - self.mean) / self.deviation.clamp_min(AMPLITUDE_FLOOR)).flatten(2)
        encoded = self._crossed([encode(rows) for encode in self.encoders])
        hidden = self._crossed([lstm(codes)[0] for lstm, codes in zip(self.lstms, encoded, strict=True)])
        masks = [
            mask(torch.cat([codes, memory], -1))  # skip connection around the LSTM
            for mask, codes, memory in zip(self.masks, encoded, hidden, strict=True)
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
        """Replace the features of each class by the average over classes."""
        return [torch.stack(rows).mean(0)] * len(rows) if self.crossing else rows

    @staticmethod
    def _magnitudes(spectrum: Tensor) -> Tensor:
        return torch.view_as_real(spectrum).square().sum(-1).sqrt()


class _Encoder(nn.Module):
    """Encodes the bins of a frame into ``hidden`` features in [-1, 1]."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, hidden, bias=False)
        self.norm = nn.BatchNorm1d(hidden)

    def forward(self, rows: Tensor) -> Tensor:
        """``(batch, frame, input)`` -> ``(batch, frame, hidden)``."""
        return torch.tanh(_over_rows(self.norm, self.linear(rows)))


class _Mask(nn.Module):
    """Estimates a mask >= 0 for every bin from the encoder's and the LSTM's features."""

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
    """Apply batch norm over batch and frames."""
    normed: Tensor = norm(rows.flatten(0, 1))  # (batch * frame, feature)
    return normed.reshape(rows.shape)  # -> (batch, frame, feature)


def build(spec: ModelSpec, **options: Any) -> CrossNetOpenUnmix:
    """Build the model; options as for :class:`CrossNetOpenUnmix`."""
    return CrossNetOpenUnmix(spec, **options)
