"""Band-split RoPE transformer, BS-RoFormer (Lu, Wang, Kong, Hung 2023, arXiv 2309.02612), written from the paper.

The complex spectrogram is split into bands, narrow at low and wide at high frequencies; each band of each frame becomes
one vector. Transformers attend along time and along bands in turn, with rotary position embeddings. A small network per
class and band then estimates a complex mask. The only difference from the paper is that all classes share one trunk;
the paper trains one model per class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from stemclean.audio.stft import istft, stft
from stemclean.errors import ConfigError
from stemclean.models.contract import ModelSpec

__all__ = ["PAPER_BANDS", "BandSplitRoformer", "build"]

PAPER_BANDS = ((24, 2), (12, 4), (8, 12), (8, 24), (8, 48), (1, 128), (1, 129))
"""The paper's 62 bands at ``n_fft`` 2048 and 44.1 kHz: (how many, bins of each)."""

ROTARY_BASE = 10_000.0
"""Base of the rotary embedding: its slowest rotation has a period of about 2 pi times this many positions (Su et al.
2021)."""


class BandSplitRoformer(nn.Module):
    """BS-RoFormer as a :class:`~stemclean.models.contract.Separator`; the defaults are the paper's.

    Args:
        spec: sample rate, channels, labels and segment of the model.
        n_fft: length of the STFT window in samples.
        hop_length: samples between frames.
        bands: pairs (number of bands, bins per band) from low to high, which must add up to all bins; None: the
            paper's bands.
        width: size of the vector that represents one band in one frame.
        depth: number of pairs of transformers, one along time and one along bands.
        heads: number of attention heads; ``width / heads`` must be even, for the rotary embedding.
        expansion: size of the inner layer of feed-forward and mask networks, as a multiple of ``width``.
        dropout: dropout rate in attention and feed-forward networks.
        checkpoint_activations: in training, store only the inputs of each transformer and mask network, and recompute
            their activations in the backward pass; estimates and gradients do not change.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        n_fft: int = 2048,
        hop_length: int = 441,
        bands: Sequence[tuple[int, int]] | None = None,
        width: int = 384,
        depth: int = 12,
        heads: int = 8,
        expansion: int = 4,
        dropout: float = 0.1,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.checkpoint_activations = checkpoint_activations
        if width % heads or width // heads % 2:
            raise ConfigError(f"band_split: width {width} with {heads} heads", "give each head an even width")
        sizes = [bins for count, bins in bands or PAPER_BANDS for _ in range(count)]
        if sum(sizes) != n_fft // 2 + 1:
            raise ConfigError(
                f"band_split: the bands hold {sum(sizes)} bins, the spectrum has {n_fft // 2 + 1}",
                "let options.bands, pairs of [how many, bins of each], add up to n_fft / 2 + 1",
            )
        self.spec, self.n_fft, self.hop_length = spec, n_fft, hop_length
        self.edges = list(pairwise(np.cumsum([0, *sizes]).tolist()))
        numbers = [2 * spec.channels * size for size in sizes]  # real and imaginary parts
        self.split = nn.ModuleList(nn.Sequential(_Norm(n), nn.Linear(n, width)) for n in numbers)
        self.along_time = nn.ModuleList(_Transformer(width, heads, expansion, dropout) for _ in range(depth))
        self.along_bands = nn.ModuleList(_Transformer(width, heads, expansion, dropout) for _ in range(depth))
        self.norm = _Norm(width)
        self.masks = nn.ModuleList(
            nn.ModuleList(_mask(width, expansion * width, n) for n in numbers) for _ in spec.labels
        )

    def standardise(self, mixtures: Tensor) -> None:
        """Do nothing: every band is normalised in the network."""

    def forward(self, mixture: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Separator`."""
        device = mixture.device.type
        with torch.autocast(device, enabled=False):
            spectrum = stft(mixture, n_fft=self.n_fft, hop_length=self.hop_length)  # (batch, channel, freq, frame)
            parts = torch.view_as_real(spectrum).permute(0, 3, 2, 1, 4)  # -> (batch, frame, freq, channel, part)
        band_features = [parts[:, :, low:high].flatten(2) for low, high in self.edges]
        hidden = torch.stack([split(band) for split, band in zip(self.split, band_features, strict=True)], dim=2)
        # (batch, frame, band, width)
        for time, bands in zip(self.along_time, self.along_bands, strict=True):
            hidden = self._through(time, hidden.transpose(1, 2)).transpose(1, 2)  # attends along frames, and back
            hidden = self._through(bands, hidden)
        hidden = self.norm(hidden)
        masks = torch.stack([self._through(self._mask, mask_networks, hidden) for mask_networks in self.masks], 1)
        with torch.autocast(device, enabled=False):
            return istft(
                torch.view_as_complex(masks) * spectrum[:, None],  # (batch, stem, channel, freq, frame)
                n_fft=self.n_fft,
                hop_length=self.hop_length,
                num_samples=mixture.shape[-1],
            )

    def _through(self, part: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """Run a part of the network, with activation checkpointing if it is enabled."""
        if self.checkpoint_activations and self.training and torch.is_grad_enabled():
            result: Tensor = checkpoint(part, *inputs, use_reentrant=False)  # the dropout masks are the same again
            return result
        return part(*inputs)

    def _mask(self, networks: Any, hidden: Tensor) -> Tensor:
        """Return the mask of one class, ``(batch, channel, freq, frame, part)`` float32."""
        bands = [
            network(hidden[:, :, index]).float().unflatten(-1, (-1, self.spec.channels, 2))
            for index, network in enumerate(networks)
        ]
        return torch.cat(bands, 2).permute(0, 3, 2, 1, 4).contiguous()  # from (batch, frame, freq, channel, part)


class _Norm(nn.RMSNorm):
    """Root mean square norm (Zhang and Sennrich 2019), computed in float32 for inputs of any precision."""

    def forward(self, rows: Tensor) -> Tensor:
        """``(..., width)`` -> the same, float32."""
        return functional.rms_norm(rows.float(), self.normalized_shape, self.weight, self.eps)


class _Transformer(nn.Module):
    """Attention along the second-to-last axis, then a feed-forward network, each with a norm and a skip connection."""

    def __init__(self, width: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm = _Norm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.feed_forward = nn.Sequential(
            _Norm(width),
            nn.Linear(width, expansion * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(expansion * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, rows: Tensor) -> Tensor:
        """``(batch, row, position, width)`` -> the same."""
        rows = rows + self._attend(self.attention_norm(rows))
        return rows + self.feed_forward(rows)  # type: ignore[no-any-return]

    def _attend(self, rows: Tensor) -> Tensor:
        batch, num_rows, positions, width = rows.shape
        projected = self.query_key_value(rows).reshape(batch * num_rows, positions, 3, self.heads, width // self.heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # each (batch * row, head, place, width of a head)
        attended = functional.scaled_dot_product_attention(
            _rotated(query), _rotated(key), value, dropout_p=self.dropout if self.training else 0.0
        )
        joined = attended.transpose(1, 2).reshape(batch, num_rows, positions, width)
        return self.out(joined)  # type: ignore[no-any-return]


def _rotated(rows: Tensor) -> Tensor:
    """Apply the rotary embedding: rotate pairs of numbers by an angle proportional to the position.

    Source: Su et al. 2021, section 3.2.

    Shape:
        ``(..., position, width)`` -> the same.
    """
    half = rows.shape[-1] // 2
    speeds = ROTARY_BASE ** (-torch.arange(half, device=rows.device, dtype=torch.float32) / half)
    angles = torch.arange(rows.shape[-2], device=rows.device, dtype=torch.float32)[:, None] * speeds
    cosine, sine = angles.cos().to(rows.dtype), angles.sin().to(rows.dtype)
    first, second = rows[..., :half], rows[..., half:]
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


def _mask(width: int, inner: int, outputs: int) -> nn.Sequential:
    """Return the mask network of one band of one class."""
    return nn.Sequential(nn.Linear(width, inner), nn.Tanh(), nn.Linear(inner, 2 * outputs), nn.GLU(-1))


def build(spec: ModelSpec, **options: Any) -> BandSplitRoformer:
    """Build the model; options as for :class:`BandSplitRoformer`."""
    return BandSplitRoformer(spec, **options)
