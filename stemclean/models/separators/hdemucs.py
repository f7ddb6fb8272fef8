"""Hybrid Demucs, known as Demucs v3 (Défossez 2021, arXiv 2111.03600), as torchaudio holds it.

A U-Net over the spectrogram and one over the waveform that share their innermost layers; the outputs are summed. This
is the one module that imports torchaudio, whose last line is 2.11: everything else works without it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stemclean.errors import ConfigError
from stemclean.models.contract import ModelSpec

__all__ = ["HybridDemucs", "build"]


class HybridDemucs(nn.Module):
    """Hybrid Demucs as a :class:`~stemclean.models.contract.Separator`; the defaults are the paper's.

    Args:
        spec: sample rate, channels, labels and segment of the model.
        channels: of the first layer; 48 gives 83 million parameters.
        growth: factor on the channels from layer to layer.
        depth: layers of the encoder.
        n_fft: window of the spectrogram branch; torchaudio's layers fit 4096 with depth 6, 2048 with 6, 1024 with 5.
        dconv_depth: convolutions in each residual branch.
        dconv_comp: factor by which a residual branch is narrower than its layer.
        dconv_attn, dconv_lstm: the first layer whose residual branches hold local attention, and an LSTM.
        norm_starts: the first layer with group norms.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        channels: int = 48,
        growth: int = 2,
        depth: int = 6,
        n_fft: int = 4096,
        dconv_depth: int = 2,
        dconv_comp: int = 4,
        dconv_attn: int = 4,
        dconv_lstm: int = 4,
        norm_starts: int = 4,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.net: Any = _torchaudio()(
            list(spec.labels),
            audio_channels=spec.channels,
            channels=channels,
            growth=growth,
            nfft=n_fft,
            depth=depth,
            dconv_depth=dconv_depth,
            dconv_comp=dconv_comp,
            dconv_attn=dconv_attn,
            dconv_lstm=dconv_lstm,
            norm_starts=norm_starts,
        )

    def forward(self, mixture: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Separator`; in float32, as its complex numbers know no other."""
        with torch.autocast(mixture.device.type, enabled=False):
            estimates: Tensor = self.net(mixture.float())
        return estimates

    def standardise(self, mixtures: Tensor) -> None:
        """Nothing to do: every input is brought to one mean and deviation in the network."""


def _torchaudio() -> Any:
    try:
        from torchaudio.models import HDemucs
    except (ImportError, OSError) as error:  # OSError: its libraries do not fit this torch
        raise ConfigError(
            f"hdemucs needs torchaudio, which cannot be imported: {error}",
            "install the torchaudio of the same version as torch, or choose another separator",
        ) from None
    return HDemucs


def build(spec: ModelSpec, **options: Any) -> HybridDemucs:
    """The model of this file; options as for :class:`HybridDemucs`."""
    return HybridDemucs(spec, **options)
