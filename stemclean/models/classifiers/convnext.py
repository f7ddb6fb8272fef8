"""ConvNeXt over a spectrogram: the classifier of Koo et al. 2023 (arXiv 2307.12576, section 3.1).

The paper's network is timm's ``convnext_tiny`` with two input channels on the stereo linear magnitude spectrogram (FFT
2048, hop 512) of 2.97 s. Ours adds a log-mel front end and options for the hop, the patch and the backbone, so that two
CPU cores are enough. The level heads are ours, too: random mixing knows the level of each source, so the same trunk can
learn to estimate it.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import timm
import torch
from torch import Tensor, nn

from stemclean.audio.stft import mel_filterbank, mel_frequencies, spectrogram
from stemclean.errors import ConfigError
from stemclean.models.cells import ClassesAndCells
from stemclean.models.contract import ModelSpec

__all__ = ["ConvNeXtClassifier", "build"]

POWER_FLOOR = 1e-10
"""-100 dB: power of a mel band of digital silence, so that its logarithm is finite."""
DB_OFFSET, DB_SCALE = 70.0, 20.0
"""Log-mel features are (dB + offset) / scale: music at -20 dBFS RMS spreads over about [-1.5, 2]."""
LOWEST_HZ = 20.0


class ConvNeXtClassifier(nn.Module):
    """Multi-label instrument classifier.

    Args:
        spec: sample rate, channels, labels and segment of the model.
        backbone: a timm model name of the ConvNeXt family.
        n_fft: length of the STFT window in samples.
        hop_length: samples between frames.
        n_mels: mel bands of the log-mel front end, 20 Hz to Nyquist; None or 0: linear magnitude, as in the paper.
        patch: size (freq, frame) of the first convolution; (4, 4) is timm's default.
        drop_path: stochastic depth rate in training.
        level_head: estimate the level of each class as well. ``cells``: from the shares of the classes in each cell of
            the spectrogram, see :mod:`~stemclean.models.cells`. True: from the features averaged over the window; the
            outputs then are the logits of the classes, followed by one value per class and one for everything else,
            whose softmax is the share of the power.
        level_dbfs: see :class:`~stemclean.models.contract.Classifier`.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        backbone: str = "convnext_tiny",
        n_fft: int = 2048,
        hop_length: int = 512,
        n_mels: int | None = None,
        patch: tuple[int, int] = (4, 4),
        drop_path: float = 0.0,
        level_head: bool | Literal["cells"] = False,
        level_dbfs: float | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.n_fft, self.hop_length, self.n_mels = n_fft, hop_length, n_mels or None
        self.level_dbfs = level_dbfs
        self.level_head = level_head
        if level_head not in {False, True, "cells"}:
            raise ConfigError(f"no level head {level_head!r}", "options.level_head is false, true or cells")
        outputs = len(spec.labels) + (len(spec.labels) + 1 if level_head is True else 0)
        net: Any = timm.create_model(
            backbone, pretrained=False, in_chans=spec.channels, num_classes=outputs, drop_path_rate=drop_path
        )
        first = net.stem[0]
        if tuple(first.kernel_size) != tuple(patch):
            size = (patch[0], patch[1])
            net.stem[0] = nn.Conv2d(spec.channels, first.out_channels, size, size)
        self.patch = (int(patch[0]), int(patch[1]))
        self.net: Any = ClassesAndCells(net, len(spec.labels)) if level_head == "cells" else net
        self.stride = hop_length * patch[1] * 8  # samples between trunk frames: three halvings after the patch
        if spec.segment % (4 * self.stride):
            raise ConfigError(
                f"a quarter of a segment of {spec.segment} samples is no multiple of the trunk's stride, "
                f"{self.stride} samples",
                "choose segment, hop_length and patch so that it is",
            )

    def features(self, waveform: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`; dB scaled to about [-2, 2], or magnitudes."""
        with torch.autocast(waveform.device.type, enabled=False):
            if self.n_mels is None:  # times half of n_fft: the scale of torch.stft, as in the paper
                return spectrogram(waveform, n_fft=self.n_fft, hop_length=self.hop_length) * (self.n_fft / 2)
            power = spectrogram(waveform, n_fft=self.n_fft, hop_length=self.hop_length, power=2)
            bank = mel_filterbank(self.spec.sample_rate, self.n_fft, self.n_mels, LOWEST_HZ, self.spec.sample_rate / 2)
            power = bank.to(power) @ power
            return (10 * torch.log10(power + POWER_FLOOR) + DB_OFFSET) / DB_SCALE

    @property
    def frequencies(self) -> np.ndarray:
        """Centre of each row of the features in Hz, ``(freq,)``."""
        high_hz = self.spec.sample_rate / 2
        if self.n_mels is None:
            return np.linspace(0, high_hz, self.n_fft // 2 + 1)
        return mel_frequencies(self.n_mels, LOWEST_HZ, high_hz)[1:-1]

    def amplify(self, features: Tensor, gains_db: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`."""
        if self.n_mels is None:
            return features * 10 ** (gains_db / 20)
        return (features + gains_db / DB_SCALE).clamp_min(_scaled(POWER_FLOOR))

    def forward(self, waveform: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`."""
        features = self.features(waveform)
        outputs: Tensor = self.outputs(self.net, features)[0] if self.tells_cells else self.net(features)
        return outputs.float()

    def outputs(self, net: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`~stemclean.models.contract.Classifier`."""
        outputs, cells = net(features, self.cell_power(features))
        return outputs, cells

    @property
    def tells_cells(self) -> bool:
        """See :class:`~stemclean.models.contract.Classifier`."""
        return self.level_head == "cells"

    def cell_power(self, features: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`; a cell is one patch of the first convolution."""
        with torch.autocast(features.device.type, enabled=False):
            if self.n_mels is None:
                power = features.square().mean(1)
            else:
                edges = mel_frequencies(self.n_mels, LOWEST_HZ, self.spec.sample_rate / 2)
                widths = torch.from_numpy((edges[2:] - edges[:-2]).astype(np.float32)).to(features)
                power = (10 ** ((features * DB_SCALE - DB_OFFSET) / 10)).mean(1) * widths[:, None]
            return nn.functional.avg_pool2d(power, self.patch)

    def logits(self, outputs: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`."""
        return outputs[..., : len(self.spec.labels)]

    def levels_db(self, outputs: Tensor) -> Tensor | None:
        """See :class:`~stemclean.models.contract.Classifier`."""
        if not self.level_head:
            return None
        if self.tells_cells:
            return outputs[..., len(self.spec.labels) :]
        shares = outputs[..., len(self.spec.labels) :].float().log_softmax(-1)  # the last one: everything else
        return shares[..., :-1] * (10 / math.log(10))

    def windows(self, waveform: Tensor, hop: int) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`.

        The trunk is convolutional and runs once over the long spectrogram. The result equals that of each window alone,
        except at its borders, where the trunk sees the neighbouring sound instead of zeros. The head then classifies
        the average of each window's frames. ``hop`` must be a multiple of the trunk's stride.
        """
        if hop % self.stride:
            raise ConfigError(f"a hop of {hop} samples is no multiple of the trunk's stride, {self.stride} samples")
        features = self.features(waveform)
        if self.tells_cells:
            length, step = self.spec.segment // self.stride, hop // self.stride
            cell_outputs: Tensor = self.net.windows(features, self.cell_power(features), length, step)
            return cell_outputs
        trunk = self.net.forward_features(features)  # (batch, channel, freq, trunk frame)
        frames = trunk.float().mean(2)  # -> (batch, channel, trunk frame)
        pooled = nn.functional.avg_pool1d(frames, self.spec.segment // self.stride, hop // self.stride)
        batch, channels, num_windows = pooled.shape
        rows = pooled.transpose(1, 2).reshape(batch * num_windows, channels, 1, 1)  # one row per window
        outputs: Tensor = self.net.forward_head(rows).float()
        return outputs.reshape(batch, num_windows, -1)


def _scaled(power: float) -> float:
    return (10 * math.log10(power) + DB_OFFSET) / DB_SCALE


def build(spec: ModelSpec, **options: object) -> ConvNeXtClassifier:
    """Build the model; options as for :class:`ConvNeXtClassifier`."""
    return ConvNeXtClassifier(spec, **options)  # type: ignore[arg-type]
