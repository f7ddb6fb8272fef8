"""MobileNetV3 over a mel spectrogram: a small trunk that can start from weights pretrained on AudioSet.

The network is MobileNetV3-Large (Howard et al. 2019, arXiv 1905.02244) with a width of 0.4; its front end is that of
EfficientAT (Schmid et al. 2023, arXiv 2211.04772). :func:`from_audioset` converts EfficientAT's weights ``mn04_as``
(MIT). The following is ours: the level head, batch norms with frozen statistics, and squeeze-excitation over the length
of a window around each frame of a long recording, so that the trunk runs only once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stemclean.audio.stft import kaldi_filterbank, spectrogram
from stemclean.errors import ConfigError
from stemclean.models.contract import ModelSpec

__all__ = ["MobileNet", "MobileNetClassifier", "build", "from_audioset"]

BLOCKS = (
    # kernel, expanded, out, squeeze-excitation, Hardswish, stride
    (3, 8, 8, False, False, 1),
    (3, 24, 16, False, False, 2),
    (3, 32, 16, False, False, 1),
    (5, 32, 16, True, False, 2),
    (5, 48, 16, True, False, 1),
    (5, 48, 16, True, False, 1),
    (3, 96, 32, False, True, 2),
    (3, 80, 32, False, True, 1),
    (3, 72, 32, False, True, 1),
    (3, 72, 32, False, True, 1),
    (3, 192, 48, True, True, 1),
    (3, 272, 48, True, True, 1),
    (5, 272, 64, True, True, 2),
    (5, 384, 64, True, True, 1),
    (5, 384, 64, True, True, 1),
)
STEM, TRUNK, HIDDEN = 8, 384, 512
"""Channels after the first and the last convolution, and of the head's hidden layer."""
STRIDE = 32
"""Frames and mel bands per cell of the trunk."""
SAMPLE_RATE, N_FFT, WINDOW, HOP, N_MELS, HIGHEST_HZ = 32000, 1024, 800, 320, 128, 15000.0
PRE_EMPHASIS = 0.97
POWER_FLOOR, LOG_OFFSET, LOG_SCALE = 1e-5, 4.5, 5.0
"""Features are (ln(power + floor) + offset) / scale."""


class FrozenBatchNorm(nn.Module):
    """The parameters of a batch norm with frozen statistics and trainable scale and shift.

    In fine-tuning, batches are small and mixtures differ from AudioSet, so the statistics of batches would drift.
    """

    def __init__(self, channels: int, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))


class SqueezeExcitation(nn.Module):
    """Weights channels by a summary of the whole window.

    Args:
        channels, squeezed: number of channels, and of channels of the summary.
        frames: number of frames in a window. For longer inputs, the summary of each frame covers this many frames
            around it.
    """

    def __init__(self, channels: int, squeezed: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, cells: Tensor) -> Tensor:
        """``(batch, channel, freq, frame)`` -> the same."""
        means = cells.mean(2, keepdim=True)  # -> (batch, channel, 1, frame)
        if means.shape[-1] <= self.frames:
            means = means.mean(3, keepdim=True)
        else:  # an odd number of frames, so that they are centred
            size = self.frames // 2 * 2 + 1
            means = functional.avg_pool2d(means, (1, size), 1, (0, size // 2), count_include_pad=False)
        weights = torch.sigmoid(self.fc2(functional.relu(self.fc1(means))))
        return cells * weights


class NormedConvolution(nn.Sequential):
    """A convolution and its frozen batch norm, in one pass over the cells, and an activation."""

    def __init__(self, convolution: nn.Conv2d, norm: FrozenBatchNorm, *activation: nn.Module) -> None:
        super().__init__(convolution, norm, *activation)

    def forward(self, cells: Tensor) -> Tensor:
        """``(batch, channel, freq, frame)`` -> the same, with the convolution's stride."""
        convolution, norm = cast("nn.Conv2d", self[0]), cast("FrozenBatchNorm", self[1])
        scale = norm.weight * (norm.get_buffer("running_var") + norm.eps).rsqrt()
        cells = functional.conv2d(
            cells,
            convolution.weight * scale[:, None, None, None],
            norm.bias - norm.get_buffer("running_mean") * scale,
            convolution.stride,
            cast("tuple[int, int]", convolution.padding),
            groups=convolution.groups,
        )
        return cast("Tensor", self[2](cells)) if len(self) > 2 else cells


def _convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, activation: nn.Module | None = None
) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return NormedConvolution(convolution, FrozenBatchNorm(outputs), *([activation] if activation else []))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, squeeze-excitation and projection; a skip connection if the shapes match."""

    def __init__(self, inputs: int, row: tuple[int, int, int, bool, bool, int], frames: int) -> None:
        super().__init__()
        kernel, expanded, outputs, squeeze, hard, stride = row
        self.residual = stride == 1 and inputs == outputs

        def activation() -> nn.Module:
            return nn.Hardswish() if hard else nn.ReLU()

        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(_convolution(inputs, expanded, activation=activation()))
        layers.append(_convolution(expanded, expanded, kernel, stride, groups=expanded, activation=activation()))
        if squeeze:
            layers.append(SqueezeExcitation(expanded, _divisible(expanded // 4), frames))
        layers.append(_convolution(expanded, outputs))
        self.block = nn.Sequential(*layers)

    def forward(self, cells: Tensor) -> Tensor:
        """``(batch, channel, freq, frame)`` -> the same, with the block's stride."""
        outputs: Tensor = self.block(cells)
        return cells + outputs if self.residual else outputs


class MobileNet(nn.Module):
    """The network, from features of a window to outputs.

    Args:
        outputs: number of outputs.
        frames: number of frames in a window.
        dropout: dropout rate before the last layer.
        frozen_blocks: number of blocks at the bottom that are not trained; with 1 or more, neither is the first
            convolution.
        layer_decay: factor on the learning rate from each block to the one below it; 1: all learn alike.
    """

    def __init__(
        self, outputs: int, frames: int, dropout: float = 0.2, *, frozen_blocks: int = 0, layer_decay: float = 1.0
    ) -> None:
        super().__init__()
        self.frozen = min(frozen_blocks, len(BLOCKS)) + 1 if frozen_blocks else 0
        self.layer_decay = layer_decay
        layers: list[nn.Module] = [_convolution(1, STEM, 3, 2, activation=nn.Hardswish())]
        inputs, stride = STEM, 2
        for row in BLOCKS:
            stride *= row[-1]
            layers.append(InvertedResidual(inputs, row, frames // stride))
            inputs = row[2]
        layers.append(_convolution(inputs, TRUNK, activation=nn.Hardswish()))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(TRUNK, HIDDEN), nn.Hardswish(), nn.Dropout(dropout), nn.Linear(HIDDEN, outputs)
        )
        self.features[: self.frozen].requires_grad_(False)

    def learning_rate_scale(self, name: str) -> float:
        """Return a parameter's share of the learning rate, see ``layer_decay``."""
        part, number = name.split(".")[:2]
        return self.layer_decay ** (len(self.features) - int(number)) if part == "features" else 1.0

    def cells(self, features: Tensor) -> Tensor:
        """``(batch, 1, mel, frame)`` -> ``(batch, channel, freq, frame)``, each 32 times shorter."""
        features = features.contiguous(memory_format=torch.channels_last)
        if self.frozen and self.training:
            with torch.no_grad():
                features = self.features[: self.frozen](features)
            return cast("Tensor", self.features[self.frozen :](features))
        return cast("Tensor", self.features(features))

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, 1, mel, frame)`` -> ``(batch, output)``."""
        outputs: Tensor = self.classifier(self.cells(features).mean((2, 3)))
        return outputs


class MobileNetClassifier(nn.Module):
    """Multi-label instrument classifier.

    Args:
        spec: sample rate (32 000), channels (averaged before the trunk), labels and segment of the model.
        dropout: dropout rate in the head.
        level_head: estimate the level of each class as well: the logits of the classes are followed by one value per
            class and one for everything else, whose softmax is the share of the power.
        level_dbfs: see :class:`~stemclean.models.contract.Classifier`.
        frozen_blocks, layer_decay: see :class:`MobileNet`; for training only.

    Raises:
        ConfigError: another sample rate, or a segment that is not a multiple of four cells.
    """

    tells_cells = False

    def __init__(
        self,
        spec: ModelSpec,
        *,
        dropout: float = 0.2,
        level_head: bool = False,
        level_dbfs: float | None = None,
        frozen_blocks: int = 0,
        layer_decay: float = 1.0,
    ) -> None:
        super().__init__()
        self.spec, self.level_head, self.level_dbfs = spec, level_head, level_dbfs
        self.stride = HOP * STRIDE
        if spec.sample_rate != SAMPLE_RATE:
            raise ConfigError(
                f"spec.sample_rate is {spec.sample_rate}; the mel bands of a MobileNet are of {SAMPLE_RATE} Hz",
                f"set it to {SAMPLE_RATE}",
            )
        if spec.segment % (4 * self.stride):
            raise ConfigError(
                f"spec.segment is {spec.segment}, of which a quarter is no multiple of the trunk's stride",
                f"choose a multiple of {4 * self.stride}",
            )
        num_labels = len(spec.labels)
        outputs = num_labels + (num_labels + 1 if level_head else 0)
        self.net = MobileNet(
            outputs, spec.segment // HOP, dropout, frozen_blocks=frozen_blocks, layer_decay=layer_decay
        )

    def features(self, waveform: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`; about [-1.5, 2]."""
        with torch.autocast(waveform.device.type, enabled=False):
            sound = waveform.float().mean(-2, keepdim=True)  # -> (batch, 1, time)
            emphasised = functional.pad(sound[..., 1:] - PRE_EMPHASIS * sound[..., :-1], (0, 1))
            window = torch.hann_window(WINDOW, periodic=False, device=sound.device)
            before = (N_FFT - WINDOW) // 2
            window = functional.pad(window, (before, N_FFT - WINDOW - before))
            power = spectrogram(emphasised, n_fft=N_FFT, hop_length=HOP, power=2, window=window)
            bank = kaldi_filterbank(SAMPLE_RATE, N_FFT, N_MELS, 0.0, HIGHEST_HZ).to(power)
            return _scaled(bank @ power * window.sum().square())  # undo the normalisation of the spectrogram

    @property
    def frequencies(self) -> np.ndarray:
        """Centre of each row of the features in Hz, ``(freq,)``."""
        mel = np.linspace(0, 1127 * np.log1p(HIGHEST_HZ / 700), N_MELS + 2)[1:-1]
        return np.asarray(700 * np.expm1(mel / 1127))

    def amplify(self, features: Tensor, gains_db: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`."""
        power = (features * LOG_SCALE - LOG_OFFSET).exp() - POWER_FLOOR
        return _scaled(power.clamp_min(0) * 10 ** (gains_db / 10))

    def forward(self, waveform: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`."""
        outputs: Tensor = self.net(self.features(waveform))
        return outputs.float()

    def outputs(self, net: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`~stemclean.models.contract.Classifier`; never called, because ``tells_cells`` is False."""
        raise NotImplementedError

    def cell_power(self, features: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`; never called, because ``tells_cells`` is False."""
        raise NotImplementedError

    def logits(self, outputs: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`."""
        return outputs[..., : len(self.spec.labels)]

    def levels_db(self, outputs: Tensor) -> Tensor | None:
        """See :class:`~stemclean.models.contract.Classifier`."""
        if not self.level_head:
            return None
        shares = outputs[..., len(self.spec.labels) :].float().log_softmax(-1)  # the last one: everything else
        return shares[..., :-1] * (10 / math.log(10))

    def windows(self, waveform: Tensor, hop: int) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`.

        The trunk runs once over the long spectrogram. The cells of a window then differ in two ways from those of the
        window alone: at its borders they see the neighbouring sound, and squeeze-excitation covers the sound around
        each frame instead of the window.
        """
        if hop % self.stride:
            raise ConfigError(f"a hop of {hop} samples is no multiple of the trunk's stride, {self.stride} samples")
        trunk = self.net.cells(self.features(waveform))  # (batch, channel, freq, cell)
        cells = trunk.float().mean(2)  # -> (batch, channel, cell)
        pooled = functional.avg_pool1d(cells, self.spec.segment // self.stride, hop // self.stride)
        outputs: Tensor = self.net.classifier(pooled.transpose(1, 2))  # (batch, window, output)
        return outputs.float()


def from_audioset(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert EfficientAT's weights ``mn04_as`` to those of :class:`MobileNet`, including its 527 outputs.

    Args:
        state: name -> tensor, as in the published file.
    """
    renamed = {}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        parts = name.replace("conc_se_layers.0.", "").split(".")
        if parts[0] == "classifier":
            parts[1] = str(int(parts[1]) - 2)  # there, pooling and flattening are part of the head
        squeezes = parts[-2] in {"fc1", "fc2"} and parts[-1] == "weight"
        renamed[".".join(parts)] = tensor[..., None, None] if squeezes else tensor
    return renamed


def _scaled(power: Tensor) -> Tensor:
    return ((power + POWER_FLOOR).log() + LOG_OFFSET) / LOG_SCALE


def _divisible(width: int, divisor: int = 8) -> int:
    """Round to the nearest multiple, but never down by more than a tenth, as MobileNet does."""
    rounded = max(divisor, (width + divisor // 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded


def build(spec: ModelSpec, **options: object) -> MobileNetClassifier:
    """Build the model; options as for :class:`MobileNetClassifier`."""
    return MobileNetClassifier(spec, **options)  # type: ignore[arg-type]
