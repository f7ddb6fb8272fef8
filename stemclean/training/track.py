"""The task of a pitch tracker alone: estimate the f0 of clean voices; its loss and its metrics.

The loss is the binary cross-entropy over the pitch classes of every frame, with weight 10 on the true class, as in DJCM
(Wei et al. 2024, arXiv 2401.03856). Frames of an estimated f0 are weighted by their confidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stemclean.data.aligned import AlignedMixer
from stemclean.models.contract import PitchTracker
from stemclean.models.decoding import decode, targets
from stemclean.training import numbered
from stemclean.units import hz_to_cents

__all__ = ["PitchLoss", "TrackTask", "accuracies", "groups", "stacked", "trusted_mean"]

TOLERANCE_CENTS = 50.0
"""Largest error of a correct f0, as in mir_eval.melody."""
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Voicing thresholds to choose from; the best one depends on how long a tracker was trained."""
VALIDATION_BATCH = 8


@dataclass(frozen=True)
class PitchLoss:
    """Binary cross-entropy of pitch classes.

    Args:
        positive_weight: Weight of the true class, relative to the other classes.
        blur: Blur the target over neighbouring classes, see :func:`stemclean.models.decoding.targets`.
    """

    positive_weight: float = 10.0
    blur: bool = False

    def __call__(self, logits: Tensor, f0_hz: Tensor, trust: Tensor, cents: Tensor) -> Tensor:
        """Return the loss of every example, with its frames weighted by their trust; 0 if no frame is trusted.

        Shape:
            ``(batch, frame, bin)``, ``(batch, frame)``, ``(batch, frame)``, ``(bin,)`` -> ``(batch,)``.
        """
        target = torch.from_numpy(targets(f0_hz.cpu().numpy(), cents.cpu().numpy(), blur=self.blur)).to(logits)
        weights = 1 + (self.positive_weight - 1) * target
        items = functional.binary_cross_entropy_with_logits(logits, target, weights, reduction="none").mean(-1)
        return (items * trust).sum(1) / trust.sum(1).clamp_min(1e-6)


class Excerpts:
    """The batches of a task that trains on excerpts of songs."""

    train: AlignedMixer
    batch_size: int
    processes: int
    workers: int

    def batches(self, rank: int, start_step: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield batches without end, see :func:`stacked`.

        Step k of a run always has the same examples, whatever the number of workers.
        """
        return numbered.batches(
            lambda numbers: stacked(self.train, numbers),
            self.batch_size,
            rank=rank,
            processes=self.processes,
            start_step=start_step,
            workers=self.workers,
        )

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...]) -> None:
        """Run the model on the sums of the sources of a batch."""
        model(batch[0].sum(1))


@dataclass
class TrackTask(Excerpts):
    """The task of training a tracker on clean voices; see :class:`stemclean.training.loop.Task`.

    Args:
        model: The tracker.
        train, validation: Mixers of mono excerpts of the voices of different songs, at the tracker's sample rate.
        pitch: The loss.
        batch_size: Examples per step, over all processes.
        processes: Number of processes that share a step.
        seed: Random seed of dropout.
        workers: Number of worker processes that cut excerpts in advance.
        validation_examples: Number of validation excerpts, always the same ones.
    """

    model: PitchTracker
    train: AlignedMixer
    validation: AlignedMixer
    pitch: PitchLoss
    batch_size: int
    processes: int = 1
    seed: int = 0
    workers: int = 1
    validation_examples: int = 64

    score_name = "rpa"

    def totals(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """See :class:`stemclean.training.loop.Task`."""
        return {"trust": batch[4].mean(1).sum()}

    def losses(
        self, model: nn.Module, batch: tuple[Tensor, ...], totals: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the pitch loss of a batch, with the examples weighted by the trust in their frames."""
        sources, _, _, f0_hz, f0_trust, numbers = batch
        torch.manual_seed((self.seed << 40) + int(numbers[0]))
        pitch = self.pitch(model(sources.sum(1)), f0_hz, f0_trust, self.model.cents)
        return {"loss": trusted_mean(pitch, f0_trust.mean(1), (totals or self.totals(batch))["trust"])}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the accuracies on fixed excerpts; ``score`` is the raw pitch accuracy."""
        device = next(model.parameters()).device
        tracked = []
        for numbers in groups(self.validation_examples):
            sources, _, _, f0_hz, f0_trust, _ = stacked(self.validation, numbers)
            tracked.append((model(sources.sum(1).to(device)), f0_hz, f0_trust))
        figures = accuracies(tracked, model)
        return {"score": figures.get("rpa", 0.0), **figures}


def stacked(mixer: AlignedMixer, numbers: Sequence[int]) -> tuple[Tensor, ...]:
    """Return a batch of the excerpts with the given numbers.

    Shape:
        Targets ``(batch, row, channel, time)``, rows ``(batch, label)``, trust ``(batch,)``, f0 and its trust
        ``(batch, frame)``, example numbers ``(batch,)``.
    """
    examples = [mixer.example(number) for number in numbers]
    arrays = (
        np.stack([example.targets for example in examples]),
        np.stack([example.rows for example in examples]),
        np.array([example.trust for example in examples], np.float32),
        np.stack([example.f0_hz for example in examples]),
        np.stack([example.f0_trust for example in examples]),
    )
    return *(torch.from_numpy(array) for array in arrays), torch.tensor(numbers)


def accuracies(batches: Sequence[tuple[Tensor, Tensor, Tensor]], tracker: Any) -> dict[str, float]:
    """Compute the accuracies of a tracker over all frames with a fully trusted f0, and its best voicing threshold.

    The accuracies are those of mir_eval.melody, but over all excerpts together.

    Args:
        batches: Logits, true f0 and its trust of every batch.
        tracker: The tracker, for its pitch classes, hop and sample rate.

    Returns:
        ``rpa``: raw pitch accuracy; ``threshold``: the value of :data:`THRESHOLDS` with the highest overall accuracy;
        ``oa``: that overall accuracy. Empty if no f0 is known.
    """
    cents = tracker.cents.cpu().numpy()
    close, voicing, truth = [], [], []
    for logits, f0_hz, trust in batches:
        posteriors = logits.float().sigmoid().cpu().numpy().reshape(-1, len(cents))
        estimate = decode(posteriors, cents, tracker.hop, tracker.spec.sample_rate, 0.0)
        true_hz, trusted = f0_hz.numpy().reshape(-1).astype(np.float64), trust.numpy().reshape(-1) == 1
        close.append((np.abs(hz_to_cents(true_hz) - hz_to_cents(estimate.f0_hz)) <= TOLERANCE_CENTS)[trusted])
        voicing.append(estimate.voicing[trusted])
        truth.append(true_hz[trusted] > 0)
    correct, posterior, voiced = map(np.concatenate, (close, voicing, truth))
    figures = {"rpa": float(correct[voiced].mean())} if voiced.any() else {}
    if len(voiced):
        overall = [float(np.where(posterior >= t, correct & voiced, ~voiced).mean()) for t in THRESHOLDS]
        best = int(np.argmax(overall))
        figures |= {"oa": overall[best], "threshold": THRESHOLDS[best]}
    return figures


def trusted_mean(losses: Tensor, trust: Tensor, total: Tensor) -> Tensor:
    """Return the trust-weighted mean loss of a step, or the contribution of some of its examples to it.

    Args:
        losses: Losses of the examples.
        trust: Their trust.
        total: Sum of the trust over all examples of the step.

    Shape:
        ``(batch,)`` twice, ``()`` -> ``()``.
    """
    return (losses * trust).sum() / total.clamp_min(1e-6)


def groups(count: int) -> Iterator[range]:
    """Yield the numbers ``0`` to ``count - 1`` in validation batches."""
    for start in range(0, count, VALIDATION_BATCH):
        yield range(start, min(start + VALIDATION_BATCH, count))
