"""MobileNetV3 over a mel spectrogram: a small trunk that may start from what AudioSet taught it.

The network is MobileNetV3-Large (Howard et al. 2019, arXiv 1905.02244) at a width of 0.4, its front end that of
EfficientAT (Schmid et al. 2023, arXiv 2211.04772), whose ``mn04_as`` (MIT) fits it tensor by tensor, see
:func:`from_audioset`. Ours are the level head, batch norms that stay as they were learned, and squeeze-excitation over
a window's length wherever it stands in a long recording, so that the trunk need be run only once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

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
"""Channels after the first convolution, after the last, and of the head's hidden layer."""
STRIDE = 32
"""Frames, and mel bands, to a cell of the trunk."""
SAMPLE_RATE, N_FFT, WINDOW, HOP, N_MELS, HIGHEST_HZ = 32000, 1024, 800, 320, 128, 15000.0
PRE_EMPHASIS = 0.97
POWER_FLOOR, LOG_OFFSET, LOG_SCALE = 1e-5, 4.5, 5.0
"""Features are (ln(power + floor) + offset) / scale."""


class StillNorm(nn.Module):
    """A batch norm in which the statistics stay as they are, while scale and shift are learned.

    Fine-tuned on mixtures that are unlike AudioSet, and by few of them a step, statistics of batches would wander.
    """

    def __init__(self, channels: int, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, cells: Tensor) -> Tensor:
        """``(batch, channel, freq, frame)`` -> the same."""
        scale = self.weight * (self.get_buffer("running_var") + self.eps).rsqrt()
        shift = self.bias - self.get_buffer("running_mean") * scale
        return cells * scale[:, None, None].to(cells.dtype) + shift[:, None, None].to(cells.dtype)


class SqueezeExcitation(nn.Module):
    """Weighs channels by what the window as a whole holds.

    Args:
        channels, squeezed: widths.
        frames: of a window. Longer inputs are squeezed around each frame, over as many.
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
        else:  # an even number of frames, so one more, and the first and last count half
            size = self.frames // 2 * 2 + 1
            means = functional.avg_pool2d(means, (1, size), 1, (0, size // 2), count_include_pad=False)
        weights = torch.sigmoid(self.fc2(functional.relu(self.fc1(means))))
        return cells * weights


def _convolution(
    inside: int, outside: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, activation: nn.Module | None = None
) -> nn.Sequential:
    layers = [
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False),
        StillNorm(outside),
        *([activation] if activation else []),
    ]
    return nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    """Expand, convolve channel by channel, squeeze and excite, project; added to the input where the shape allows."""

    def __init__(self, inside: int, row: tuple[int, int, int, bool, bool, int], frames: int) -> None:
        super().__init__()
        kernel, expanded, outside, squeeze, hard, stride = row
        self.residual = stride == 1 and inside == outside

        def activation() -> nn.Module:
            return nn.Hardswish() if hard else nn.ReLU()

        layers: list[nn.Module] = []
        if expanded != inside:
            layers.append(_convolution(inside, expanded, activation=activation()))
        layers.append(_convolution(expanded, expanded, kernel, stride, groups=expanded, activation=activation()))
        if squeeze:
            layers.append(SqueezeExcitation(expanded, _divisible(expanded // 4), frames))
        layers.append(_convolution(expanded, outside))
        self.block = nn.Sequential(*layers)

    def forward(self, cells: Tensor) -> Tensor:
        """``(batch, channel, freq, frame)`` -> the same, at the block's stride."""
        outputs: Tensor = self.block(cells)
        return cells + outputs if self.residual else outputs


class MobileNet(nn.Module):
    """The network: features of a window in, outputs out.

    Args:
        outputs: how many.
        frames: of a window.
        dropout: before the last layer, in training.
    """

    def __init__(self, outputs: int, frames: int, dropout: float = 0.2) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(1, STEM, 3, 2, activation=nn.Hardswish())]
        inside, stride = STEM, 2
        for row in BLOCKS:
            stride *= row[-1]
            layers.append(InvertedResidual(inside, row, frames // stride))
            inside = row[2]
        layers.append(_convolution(inside, TRUNK, activation=nn.Hardswish()))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(TRUNK, HIDDEN), nn.Hardswish(), nn.Dropout(dropout), nn.Linear(HIDDEN, outputs)
        )

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, 1, mel, frame)`` -> ``(batch, output)``."""
        outputs: Tensor = self.classifier(self.features(features).mean((2, 3)))
        return outputs


class MobileNetClassifier(nn.Module):
    """Multi-label instrument classifier.

    Args:
        spec: sample rate (32 000), channels (the trunk hears their mean), labels and segment of the model.
        dropout: in the head, in training.
        level_head: tell how loud each class is as well: after the logits of the classes, the outputs are one value per
            class and one for everything else, whose softmax is the share of the power.
        level_dbfs: see :class:`~stemclean.models.contract.Classifier`.

    Raises:
        ConfigError: another sample rate, or a segment whose quarter is no whole number of cells.
    """

    tells_cells = False

    def __init__(
        self,
        spec: ModelSpec,
        *,
        dropout: float = 0.2,
        level_head: bool = False,
        level_dbfs: float | None = None,
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
        self.net = MobileNet(outputs, spec.segment // HOP, dropout)

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
            return _scaled(bank @ power * window.sum().square())  # the transform's own scale

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
        """See :class:`~stemclean.models.contract.Classifier`; never called, as the model tells no cells."""
        raise NotImplementedError

    def cell_power(self, features: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`; never called, as the model tells no cells."""
        raise NotImplementedError

    def logits(self, outputs: Tensor) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`."""
        return outputs[..., : len(self.spec.labels)]

    def levels_db(self, outputs: Tensor) -> Tensor | None:
        """See :class:`~stemclean.models.contract.Classifier`."""
        if not self.level_head:
            return None
        shares = outputs[..., len(self.spec.labels) :].float().log_softmax(-1)  # of the power, the last one the rest's
        return shares[..., :-1] * (10 / math.log(10))

    def windows(self, waveform: Tensor, hop: int) -> Tensor:
        """See :class:`~stemclean.models.contract.Classifier`.

        The trunk is run once over the long spectrogram. A window's cells then differ from those that it would have
        alone in two ways: at its borders they see the neighbouring sound, and channels are weighed by the sound around
        each frame instead of by that of the window.
        """
        if hop % self.stride:
            raise ConfigError(f"a hop of {hop} samples is no multiple of the trunk's stride, {self.stride} samples")
        trunk = self.net.features(self.features(waveform))  # (batch, channel, freq, cell)
        cells = trunk.float().mean(2)  # -> (batch, channel, cell)
        pooled = functional.avg_pool1d(cells, self.spec.segment // self.stride, hop // self.stride)
        outputs: Tensor = self.net.classifier(pooled.transpose(1, 2))  # (batch, window, output)
        return outputs.float()


def from_audioset(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of EfficientAT's ``mn04_as`` under the names of :class:`MobileNet`, its 527 outputs included.

    Args:
        state: name -> tensor, as in its file.
    """
    renamed = {}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        part = name.replace("conc_se_layers.0.", "").split(".")
        if part[0] == "classifier":
            part[1] = str(int(part[1]) - 2)  # the pooling and the flattening stand before it there
        squeezes = part[-2] in {"fc1", "fc2"} and part[-1] == "weight"
        renamed[".".join(part)] = tensor[..., None, None] if squeezes else tensor
    return renamed


def _scaled(power: Tensor) -> Tensor:
    return ((power + POWER_FLOOR).log() + LOG_OFFSET) / LOG_SCALE


def _divisible(width: int, by: int = 8) -> int:
    """The nearest multiple, but never a tenth below; MobileNet's own rounding."""
    near = max(by, (width + by // 2) // by * by)
    return near + by if near < 0.9 * width else near


def build(spec: ModelSpec, **options: object) -> MobileNetClassifier:
    """Build the model; options as for :class:`MobileNetClassifier`."""
    return MobileNetClassifier(spec, **options)  # type: ignore[arg-type]
