"""A spectrogram U-Net for voices, based on the separator of DJCM (Wei et al. 2024, arXiv 2401.03856).

A deep U-Net of residual blocks estimates a mask for each class from the magnitudes of the mixture: on the magnitude
and, optionally, on the phase (Kong et al. 2021, arXiv 2109.05418, section 2.2). Written from the papers; folding of
bins and compression of magnitudes are ours.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from stemclean.audio.stft import istft, stft
from stemclean.errors import ConfigError
from stemclean.models.contract import ModelSpec
from stemclean.models.deep_unet import DeepUNet

__all__ = ["MASKS", "SpectrogramUNet", "build"]

Mask = Literal["magnitude", "complex"]
MASKS: dict[Mask, int] = {"magnitude": 1, "complex": 3}
"""Outputs per class and bin: a factor in [0, 1] on the magnitude; for "complex" also a rotation of the phase."""
AMPLITUDE_FLOOR = 1e-5
"""-100 dBFS, added to magnitudes before taking their logarithm."""


class SpectrogramUNet(nn.Module):
    """A U-Net as a :class:`~stemclean.models.contract.Separator`.

    Args:
        spec: sample rate, channels, labels and segment of the model.
        n_fft: length of the STFT window in samples; 2048 in DJCM.
        hop_length: samples between frames; 320 (20 ms) in DJCM.
        mask: a key of :data:`MASKS`.
        fold: number of neighbouring bins that become input planes of the U-Net, which reduces the size of its first
            level by this factor.
        channels, depth, blocks, inner_blocks, growth, most, time_levels: size of the U-Net, see
            :class:`~stemclean.models.deep_unet.DeepUNet`.

    Raises:
        ConfigError: unknown mask, or a number of bins that ``fold`` does not divide.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        n_fft: int = 2048,
        hop_length: int = 320,
        mask: Mask = "complex",
        fold: int = 1,
        channels: int = 32,
        depth: int = 6,
        blocks: int = 1,
        inner_blocks: int = 1,
        growth: float = 2.0,
        most: int = 384,
        time_levels: int | None = 0,
    ) -> None:
        super().__init__()
        if mask not in MASKS:
            raise ConfigError(f'no mask named "{mask}"', f"known: {', '.join(MASKS)}")
        if n_fft // 2 % fold:
            raise ConfigError(
                f"unet: {n_fft // 2} bins cannot be folded by {fold}", "let options.fold divide n_fft / 2"
            )
        self.spec, self.n_fft, self.hop_length, self.fold = spec, n_fft, hop_length, fold
        self.parts = MASKS[mask]
        self.unet = DeepUNet(
            spec.channels * fold,
            channels,
            depth=depth,
            blocks=blocks,
            inner_blocks=inner_blocks,
            growth=growth,
            most=most,
            time_levels=time_levels,
        )
        self.masks = nn.Conv2d(channels, len(spec.labels) * spec.channels * self.parts * fold, 1)

    def standardise(self, mixtures: Tensor) -> None:
        """Do nothing: the first norm learns the scale."""

    def forward(self, mixture: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Separator`."""
        device = mixture.device.type
        with torch.autocast(device, enabled=False):
            spectrum = stft(mixture, n_fft=self.n_fft, hop_length=self.hop_length)  # (batch, channel, freq, frame)
            power = torch.view_as_real(spectrum[:, :, :-1]).square().sum(-1)  # without the highest bin
            features = 0.5 * (power + AMPLITUDE_FLOOR**2).log()
        planes = features.unflatten(2, (-1, self.fold)).transpose(2, 3).flatten(1, 2)  # (batch, plane, row, frame)
        numbers = self.masks(self.unet(planes.transpose(2, 3)))  # (batch, number, frame, row)
        with torch.autocast(device, enabled=False):
            numbers = numbers.float().unflatten(1, (len(self.spec.labels), self.spec.channels, self.parts, self.fold))
            # (batch, stem, channel, part, fold, frame, row) -> (batch, stem, channel, part, freq, frame)
            numbers = numbers.permute(0, 1, 2, 3, 6, 4, 5).flatten(4, 5)
            numbers = functional.pad(numbers, (0, 0, 0, 1), value=-1e4)  # the mask of the highest bin is 0
            return istft(
                self._mask(numbers) * spectrum[:, None],
                n_fft=self.n_fft,
                hop_length=self.hop_length,
                num_samples=mixture.shape[-1],
            )

    def _mask(self, numbers: Tensor) -> Tensor:
        """``(batch, stem, channel, part, freq, frame)`` -> ``(batch, stem, channel, freq, frame)``, real or complex."""
        magnitude = numbers[:, :, :, 0].sigmoid()
        if self.parts == 1:
            return magnitude
        real, imaginary = numbers[:, :, :, 1].tanh() + 1.0, numbers[:, :, :, 2].tanh()  # no rotation at first
        length = (real.square() + imaginary.square() + 1e-8).sqrt()
        return torch.complex(magnitude * real / length, magnitude * imaginary / length)


def build(spec: ModelSpec, **options: Any) -> SpectrogramUNet:
    """Build the model; options as for :class:`SpectrogramUNet`."""
    return SpectrogramUNet(spec, **options)
