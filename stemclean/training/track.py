"""The task of a pitch tracker alone: clean voices in, their f0 out; and what its loss and its figures are.

The loss is the binary cross-entropy over the pitch classes of every frame, the right class weighted 10, as in DJCM (Wei
et al. 2024, arXiv 2401.03856); frames of an f0 that a tracker estimated are weighted by their own confidence.
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
"""Within which an f0 is right, as in mir_eval.melody."""
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Posteriors that are tried: how sure a tracker is depends on how long it was trained."""
VALIDATION_BATCH = 8


@dataclass(frozen=True)
class PitchLoss:
    """Binary cross-entropy of pitch classes.

    Args:
        positive_weight: of a class as far as it is right, over that of a wrong one.
        blur: see :func:`stemclean.models.decoding.targets`.
    """

    positive_weight: float = 10.0
    blur: bool = False

    def __call__(self, logits: Tensor, f0_hz: Tensor, trust: Tensor, cents: Tensor) -> Tensor:
        """The loss of every example, its frames weighted by their trust; 0 where none is trusted.

        Shape:
            ``(batch, frame, bin)``, ``(batch, frame)``, ``(batch, frame)``, ``(bin,)`` -> ``(batch,)``.
        """
        wanted = torch.from_numpy(targets(f0_hz.cpu().numpy(), cents.cpu().numpy(), blur=self.blur)).to(logits)
        weights = 1 + (self.positive_weight - 1) * wanted
        items = functional.binary_cross_entropy_with_logits(logits, wanted, weights, reduction="none").mean(-1)
        return (items * trust).sum(1) / trust.sum(1).clamp_min(1e-6)


@dataclass
class TrackTask:
    """A tracker alone, on clean voices; see :class:`stemclean.training.loop.Task`.

    Args:
        model: what is trained.
        train, validation: excerpts of the voices of different songs, at the tracker's rate, one channel.
        pitch: what is minimised.
        batch_size: examples a step, over all processes.
        processes: how many share a step.
        seed: of what the model drops.
        workers: processes that cut excerpts ahead.
        validation_examples: excerpts, always the same ones.
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

    def batches(self, rank: int, start_step: int) -> Iterator[tuple[Tensor, ...]]:
        """See :func:`stacked`; step k of a run always has the same examples, with any number of workers."""
        return numbered.batches(
            lambda numbers: stacked(self.train, numbers),
            self.batch_size,
            rank=rank,
            processes=self.processes,
            start_step=start_step,
            workers=self.workers,
        )

    def totals(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """See :class:`stemclean.training.loop.Task`."""
        return {"trust": batch[4].mean(1).sum()}

    def losses(
        self, model: nn.Module, batch: tuple[Tensor, ...], totals: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The pitch loss, examples weighted by the trust in their frames."""
        sources, _, _, f0_hz, f0_trust, numbers = batch
        torch.manual_seed((self.seed << 40) + int(numbers[0]))
        pitch = self.pitch(model(sources.sum(1)), f0_hz, f0_trust, self.model.cents)
        return {"loss": trusted_mean(pitch, f0_trust.mean(1), (totals or self.totals(batch))["trust"])}

    def hear(self, model: nn.Module, batch: tuple[Tensor, ...]) -> None:
        """Give the model a batch's voices."""
        model(batch[0].sum(1))

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Accuracies on fixed excerpts; ``score`` is the raw pitch accuracy."""
        device = next(model.parameters()).device
        heard = []
        for numbers in groups(self.validation_examples):
            sources, _, _, f0_hz, f0_trust, _ = stacked(self.validation, numbers)
            heard.append((model(sources.sum(1).to(device)), f0_hz, f0_trust))
        figures = accuracies(heard, model)
        return {"score": figures.get("rpa", 0.0), **figures}


def stacked(mixer: AlignedMixer, numbers: Sequence[int]) -> tuple[Tensor, ...]:
    """A batch of excerpts.

    Shape:
        Targets ``(batch, row, channel, time)``, rows ``(batch, label)``, trust ``(batch,)``, f0 and its trust
        ``(batch, frame)``, the numbers ``(batch,)``.
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


def accuracies(heard: Sequence[tuple[Tensor, Tensor, Tensor]], tracker: Any) -> dict[str, float]:
    """How right a tracker is over all frames with a wholly trusted f0, and from which posterior on it should be heard.

    As mir_eval.melody has them, but over all excerpts together; nothing where no f0 is known.

    Args:
        heard: logits, f0 and its trust, batch by batch.

    Returns:
        ``rpa``: raw pitch accuracy; ``threshold``: the posterior from which on frames are best held for voiced, of
        :data:`THRESHOLDS`; ``oa``: overall accuracy there.
    """
    cents = tracker.cents.cpu().numpy()
    close, voicing, truth = [], [], []
    for logits, f0_hz, trust in heard:
        posteriors = logits.float().sigmoid().cpu().numpy().reshape(-1, len(cents))
        found = decode(posteriors, cents, tracker.hop, tracker.spec.sample_rate, 0.0)
        wanted, sure = f0_hz.numpy().reshape(-1).astype(np.float64), trust.numpy().reshape(-1) == 1
        close.append((np.abs(hz_to_cents(wanted) - hz_to_cents(found.f0_hz)) <= TOLERANCE_CENTS)[sure])
        voicing.append(found.voicing[sure])
        truth.append(wanted[sure] > 0)
    right, posterior, sung = map(np.concatenate, (close, voicing, truth))
    figures = {"rpa": float(right[sung].mean())} if sung.any() else {}
    if len(sung):
        overall = [float(np.where(posterior >= at, right & sung, ~sung).mean()) for at in THRESHOLDS]
        best = int(np.argmax(overall))
        figures |= {"oa": overall[best], "threshold": THRESHOLDS[best]}
    return figures


def trusted_mean(losses: Tensor, trust: Tensor, total: Tensor) -> Tensor:
    """The mean over a step's examples, by trust, or what some of them have of it; ``(batch,)`` each -> ``()``.

    Args:
        total: the sum of the trust in all of the step's.
    """
    return (losses * trust).sum() / total.clamp_min(1e-6)


def groups(count: int) -> Iterator[range]:
    """The numbers of so many examples, in batches."""
    for start in range(0, count, VALIDATION_BATCH):
        yield range(start, min(start + VALIDATION_BATCH, count))
