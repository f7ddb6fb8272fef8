"""What a model must offer, whoever wrote it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

__all__ = ["Classifier", "ModelSpec", "PitchTracker", "Separator"]


@dataclass(frozen=True)
class ModelSpec:
    """What a model eats and speaks of.

    Args:
        sample_rate: in Hz.
        channels: audio channels.
        labels: classes, in the order of the outputs.
        segment: samples of one judged or separated segment.
    """

    sample_rate: int
    channels: int
    labels: tuple[str, ...]
    segment: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return {**asdict(self), "labels": list(self.labels)}


@runtime_checkable
class Classifier(Protocol):
    """Tells which classes sound in a waveform. Also a ``torch.nn.Module``.

    A class name is registered by its file in ``models/classifiers`` or by an entry point of the group
    ``stemclean.classifiers``; it is built as ``build(spec, **options)``.
    """

    spec: ModelSpec
    level_dbfs: float | None
    """RMS level in dBFS that a stem is brought to before it is judged; None: left as it is."""
    net: nn.Module
    """What is trained: features of one segment each in, outputs ``(batch, output)`` out, see :meth:`logits`; where the
    model :attr:`tells_cells`, it is called by :meth:`outputs`."""
    frequencies: np.ndarray
    """Centre of each row of the features in Hz."""

    def __call__(self, waveform: Tensor) -> Tensor:
        """Outputs of one segment each.

        Shape:
            ``(batch, channel, segment)`` -> ``(batch, output)``.
        """

    tells_cells: bool
    """Whether the net also tells the share that each class has in the power of each cell of the features."""

    def outputs(self, net: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of one segment each and its cells; needed only where the model :attr:`tells_cells`.

        Args:
            net: :attr:`net`, or what stands for it in training.
            features: ``(batch, channel, freq, frame)``.

        Returns:
            (``(batch, output)``; logits of the shares, the last one that of no class, ``(batch, label + 1, cell freq,
            cell frame)``)
        """

    def cell_power(self, features: Tensor) -> Tensor:
        """Power of each cell, up to a factor; needed only where the model :attr:`tells_cells`.

        Shape:
            ``(batch, channel, freq, frame)`` -> ``(batch, cell freq, cell frame)``.
        """

    def logits(self, outputs: Tensor) -> Tensor:
        """How sure the outputs are of each class: ``(..., output)`` -> ``(..., label)``."""

    def levels_db(self, outputs: Tensor) -> Tensor | None:
        """How loud each class is: power in dB relative to the segment's, <= 0.

        Unless the model :attr:`tells_cells`, this is how loud the class is if it is there at all.

        Shape:
            ``(..., output)`` -> ``(..., label)``; None where the model has no level head.
        """

    def features(self, waveform: Tensor) -> Tensor:
        """The network's input.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, channel, freq, frame)``.
        """

    def amplify(self, features: Tensor, gains_db: Tensor) -> Tensor:
        """Features as if the sound had gone through an equaliser.

        Args:
            gains_db: broadcast against the features, usually ``(batch, 1, freq, 1)``.
        """

    def windows(self, waveform: Tensor, hop: int) -> Tensor:
        """Outputs of all overlapping segments of a long waveform, the trunk run once.

        Args:
            waveform: ``segment + k * hop`` samples give ``k + 1`` windows.
            hop: samples between windows.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, window, output)``.
        """


@runtime_checkable
class Separator(Protocol):
    """Takes a mixture apart. Also a ``torch.nn.Module``.

    A separator is registered by its file in ``models/separators`` or by an entry point of the group
    ``stemclean.separators``; it is built as ``build(spec, **options)``.
    """

    spec: ModelSpec

    def __call__(self, mixture: Tensor) -> Tensor:
        """Estimates of every class, in the order of ``spec.labels``.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, stem, channel, time)``; any length, though it learns from segments
            of ``spec.segment`` samples and is at its best there.
        """

    def standardise(self, mixtures: Tensor) -> None:
        """Learn the scale of the input from some mixtures, once, before training; most models need not.

        Shape:
            ``(batch, channel, time)``.
        """


@runtime_checkable
class PitchTracker(Protocol):
    """Tells which pitch a voice has, frame by frame. Also a ``torch.nn.Module``.

    A tracker is registered by its file in ``models/pitch`` or by an entry point of the group ``stemclean.pitch``; it
    is built as ``build(spec, **options)``. ``spec.labels`` names the one class that it follows, ``spec.channels`` is 1,
    and ``spec.segment`` is a whole number of hops.
    """

    spec: ModelSpec
    hop: int
    """Samples from one frame to the next."""
    cents: Tensor
    """Centre of each pitch class in cents above 10 Hz, rising, ``(bin,)``; not a weight, and not on disk."""

    def __call__(self, waveform: Tensor) -> Tensor:
        """How sure each frame is of each pitch class, as logits; a frame in which none is likely is unvoiced.

        Frame k is centred on sample ``k * hop``. Differentiable, so that a separator before it can learn from it.

        Shape:
            ``(batch, 1, time)`` -> ``(batch, time // hop + 1, bin)``, float32; any length.
        """
