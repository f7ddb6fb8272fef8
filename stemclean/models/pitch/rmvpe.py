"""RMVPE (Wei, Cao, Dan, Chen 2023, arXiv 2306.15412), written from the paper; DJCM (2401.03856) is a related model.

It consists of a mel spectrogram, a deep U-Net that keeps its size, a bidirectional GRU along time, and one output per
pitch class.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stemclean.audio.stft import mel_filterbank, stft
from stemclean.models.contract import ModelSpec
from stemclean.models.deep_unet import DeepUNet
from stemclean.models.pitch._classes import NUM_CLASSES, PRIOR_LOGIT, class_cents

__all__ = ["Rmvpe", "build"]

ENERGY_FLOOR = 1e-10
"""Power below which a mel band is silent: -100 dBFS (ours; the paper clamps magnitudes at 1e-5)."""
PLANES = 3
"""Features that the recurrent layer gets from the U-Net for each mel band and frame, as in the paper."""


class Rmvpe(nn.Module):
    """RMVPE as a :class:`~stemclean.models.contract.PitchTracker`; the defaults are the paper's, except for the hop.

    Args:
        spec: Sample rate, segment and the tracked class.
        hop: Samples between frames; 320 (20 ms) as in DJCM; RMVPE has 160.
        n_fft: Length of the STFT window in samples.
        n_mels: Number of mel bands between 30 Hz and half the sample rate.
        channels, depth, blocks, inner_blocks, growth, time_levels: Size of the U-Net, see
            :class:`~stemclean.models.deep_unet.DeepUNet`.
        hidden: Width of the GRU in each direction.
        dropout: Dropout before the last layer (ours; the published code applies it to the outputs).
    """

    filterbank: Tensor
    cents: Tensor

    def __init__(
        self,
        spec: ModelSpec,
        *,
        hop: int = 320,
        n_fft: int = 1024,
        n_mels: int = 128,
        channels: int = 16,
        depth: int = 5,
        blocks: int = 4,
        inner_blocks: int = 16,
        growth: float = 2.0,
        time_levels: int | None = None,
        hidden: int = 256,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.spec, self.hop, self.n_fft = spec, hop, n_fft
        bank = mel_filterbank(spec.sample_rate, n_fft, n_mels, 30.0, spec.sample_rate / 2)
        self.register_buffer("filterbank", bank.clone(), persistent=False)
        self.register_buffer("cents", class_cents(), persistent=False)
        self.unet = DeepUNet(
            1,
            channels,
            depth=depth,
            blocks=blocks,
            inner_blocks=inner_blocks,
            growth=growth,
            time_levels=time_levels,
        )
        self.planes = nn.Conv2d(channels, PLANES, 3, padding=1)
        self.along_time = nn.GRU(PLANES * n_mels, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.classes = nn.Linear(2 * hidden, NUM_CLASSES)
        nn.init.constant_(self.classes.bias, PRIOR_LOGIT)

    def forward(self, waveform: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.PitchTracker`."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = stft(waveform[:, 0], n_fft=self.n_fft, hop_length=self.hop)  # (batch, freq, frame)
            energies = self.filterbank @ torch.view_as_real(spectrum).square().sum(-1)
            mel = 0.5 * energies.clamp_min(ENERGY_FLOOR).log().transpose(1, 2)  # -> (batch, frame, band)
        planes = self.planes(self.unet(mel[:, None]))  # (batch, plane, frame, band)
        rows, _ = self.along_time(planes.transpose(1, 2).flatten(2))  # (batch, frame, feature)
        logits: Tensor = self.classes(self.dropout(rows))
        return logits.float()


def build(spec: ModelSpec, **options: Any) -> Rmvpe:
    """Build the model; options as for :class:`Rmvpe`."""
    return Rmvpe(spec, **options)
