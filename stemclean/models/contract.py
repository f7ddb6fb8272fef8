"""The interfaces of models: classifiers, separators and pitch trackers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

__all__ = ["Classifier", "ModelSpec", "PitchTracker", "Separator"]


@dataclass(frozen=True)
class ModelSpec:
    """Input format and classes of a model.

    Args:
        sample_rate: Sample rate in Hz.
        channels: Number of audio channels.
        labels: Classes, in the order of the outputs.
        segment: Length of a segment in samples.
    """

    sample_rate: int
    channels: int
    labels: tuple[str, ...]
    segment: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in JSON types."""
        return {**asdict(self), "labels": list(self.labels)}


@runtime_checkable
class Classifier(Protocol):
    """Classifies which classes sound in a waveform. Also a ``torch.nn.Module``.

    An architecture is registered by its file in ``models/classifiers`` or by an entry point of the group
    ``stemclean.classifiers``; it is built by ``build(spec, **options)``.
    """

    spec: ModelSpec
    level_dbfs: float | None
    """RMS level in dBFS to which a stem is normalised before it is classified; None: no normalisation."""
    net: nn.Module
    """The network to train. It maps the features of one segment each to outputs ``(batch, output)``, see
    :meth:`logits`; if the model :attr:`tells_cells`, it is called by :meth:`outputs` instead."""
    frequencies: np.ndarray
    """Centre frequency of each row of the features in Hz."""

    def __call__(self, waveform: Tensor) -> Tensor:
        """Return the outputs of one segment each.

        Shape:
            ``(batch, channel, segment)`` -> ``(batch, output)``.
        """

    tells_cells: bool
    """Whether the network also estimates the share of each class in the power of each cell of the features."""

    def outputs(self, net: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs and cells of one segment each; only needed if the model :attr:`tells_cells`.

        Args:
            net: :attr:`net`, or its wrapper in training.
            features: Features of the segments. Shape: (batch, channel, freq, frame)

        Returns:
            Outputs ``(batch, output)``, and logits of the shares, the last of which belongs to no class,
            ``(batch, label + 1, cell freq, cell frame)``.
        """

    def cell_power(self, features: Tensor) -> Tensor:
        """Return the power of each cell, up to a constant factor; only needed if the model :attr:`tells_cells`.

        Shape:
            ``(batch, channel, freq, frame)`` -> ``(batch, cell freq, cell frame)``.
        """

    def logits(self, outputs: Tensor) -> Tensor:
        """Return the logits of the classes: ``(..., output)`` -> ``(..., label)``."""

    def levels_db(self, outputs: Tensor) -> Tensor | None:
        """Return the level of each class: its power in dB relative to that of the segment, <= 0.

        Unless the model :attr:`tells_cells`, this is the level of the class on condition that it is present.

        Shape:
            ``(..., output)`` -> ``(..., label)``; None if the model has no level head.
        """

    def features(self, waveform: Tensor) -> Tensor:
        """Return the input of the network.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, channel, freq, frame)``.
        """

    def amplify(self, features: Tensor, gains_db: Tensor) -> Tensor:
        """Return the features of the sound after an equaliser.

        Args:
            features: Features of the sound.
            gains_db: Gains, broadcast against the features; usually ``(batch, 1, freq, 1)``.
        """

    def windows(self, waveform: Tensor, hop: int) -> Tensor:
        """Return the outputs of all overlapping segments of a long waveform, running the trunk once.

        Args:
            waveform: Waveform of ``segment + k * hop`` samples, which gives ``k + 1`` windows.
            hop: Samples between windows.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, window, output)``.
        """


@runtime_checkable
class Separator(Protocol):
    """Separates a mixture into its classes. Also a ``torch.nn.Module``.

    An architecture is registered by its file in ``models/separators`` or by an entry point of the group
    ``stemclean.separators``; it is built by ``build(spec, **options)``.
    """

    spec: ModelSpec

    def __call__(self, mixture: Tensor) -> Tensor:
        """Return the estimates of all classes, in the order of ``spec.labels``.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, stem, channel, time)``. Any length is possible, but the model is
            trained on segments of ``spec.segment`` samples and works best on these.
        """

    def standardise(self, mixtures: Tensor) -> None:
        """Estimate the scale of the input from some mixtures, once before training. Most models do nothing here.

        Shape:
            ``(batch, channel, time)``.
        """


@runtime_checkable
class PitchTracker(Protocol):
    """Estimates the pitch of a voice, frame by frame. Also a ``torch.nn.Module``.

    An architecture is registered by its file in ``models/pitch`` or by an entry point of the group
    ``stemclean.pitch``; it is built by ``build(spec, **options)``. ``spec.labels`` is the one class that it tracks,
    ``spec.channels`` is 1, and ``spec.segment`` is a multiple of the hop.
    """

    spec: ModelSpec
    hop: int
    """Samples between frames."""
    cents: Tensor
    """Centre of each pitch class in cents above 10 Hz, increasing, ``(bin,)``. It is not saved with the weights."""

    def __call__(self, waveform: Tensor) -> Tensor:
        """Return the logits of the pitch classes of each frame; a frame without a likely class is unvoiced.

        Frame k is centred on sample ``k * hop``. The result is differentiable, so that it can train a separator.

        Shape:
            ``(batch, 1, time)`` -> ``(batch, time // hop + 1, bin)``, float32; any length.
        """
