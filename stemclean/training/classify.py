"""The instrument classifier's task: random mixtures in, multi-label targets, L1 or cross-entropy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from stemclean.data.augment import equalizer_curve
from stemclean.data.mixing import MixingConfig, RandomMixer
from stemclean.data.pool import StemPool
from stemclean.models.contract import Classifier

__all__ = ["LOSSES", "ClassifyTask", "multilabel_f1"]


def l1(logits: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the probabilities, the paper's loss; pushes scores to 0 and 1, forgives wrong labels."""
    return (torch.sigmoid(logits) - target).abs().mean()


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy: better ranking, softer scores."""
    return functional.binary_cross_entropy_with_logits(logits, target)


def gce(logits: Tensor, target: Tensor, q: float = 0.7) -> Tensor:
    """Generalised cross-entropy, (1 - p^q) / q (Zhang and Sabuncu 2018, eq. 6): between the two."""
    right = torch.sigmoid(torch.where(target > 0.5, logits, -logits)).clamp_min(1e-6)
    return ((1 - right**q) / q).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1, "bce": bce, "gce": gce}


@dataclass
class ClassifyTask:
    """See :class:`stemclean.training.loop.Task`.

    Args:
        model: its front end and spec say what a batch is.
        train, validation: pools of different tracks.
        mixing: how mixtures are drawn.
        loss: a key of :data:`LOSSES`.
        batch_size: examples a step in this process.
        equalizer_db: depth of the random equaliser on the mixture's spectrum; 0: none.
        seed: of everything that is drawn.
        workers: processes that mix ahead.
        validation_examples: mixtures, always the same ones.
    """

    model: Classifier
    train: StemPool
    validation: StemPool
    mixing: MixingConfig
    loss: str = "l1"
    batch_size: int = 64
    equalizer_db: float = 6.0
    seed: int = 0
    workers: int = 1
    validation_examples: int = 512
    _validation: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def batches(self, rank: int, start_step: int) -> Iterator[tuple[Tensor, ...]]:
        """Features ``(batch, channel, freq, frame)`` and targets ``(batch, label)``."""
        stream = _Stream(self, rank, start_step)
        context = "fork" if self.workers and hasattr(os, "fork") else None
        loader = DataLoader(
            stream,
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
            multiprocessing_context=context,
        )
        yield from loader

    def losses(self, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The loss of one batch of features."""
        features, target = batch
        return {"loss": LOSSES[self.loss](model(features).float(), target)}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Macro F1 on fixed mixtures at 0.5 (``score``) and at 0.9, and the loss."""
        if not self._validation:
            mixer = self.mixer(self.validation, (self.seed, 0xF1))
            for _ in range(max(1, self.validation_examples // 32)):
                self._validation.append(self.batch(mixer, 32, equalize=False))
        device = next(model.parameters()).device
        logits = torch.cat([model(features.to(device)).float().cpu() for features, _ in self._validation])
        target = torch.cat([target for _, target in self._validation])
        probabilities = torch.sigmoid(logits)
        return {
            "score": multilabel_f1(probabilities > 0.5, target),
            "f1_at_0.9": multilabel_f1(probabilities > 0.9, target),
            "val_loss": float(LOSSES[self.loss](logits, target)),
        }

    def mixer(self, pool: StemPool, seed: Sequence[int]) -> RandomMixer:
        """Mixtures of a pool as the model hears them."""
        spec = self.model.spec
        return RandomMixer(pool, spec.labels, self.mixing, spec.segment, seed=seed, level_dbfs=self.model.level_dbfs)

    def batch(self, mixer: RandomMixer, size: int, *, equalize: bool = True) -> tuple[Tensor, Tensor]:
        """Features ``(batch, channel, freq, frame)`` and targets ``(batch, label)`` of so many mixtures."""
        examples = [mixer.example() for _ in range(size)]
        with torch.inference_mode():
            features = torch.cat([self.model.features(torch.from_numpy(waveform)[None]) for waveform, _ in examples])
        if equalize and self.equalizer_db:
            features = self._equalized(features, mixer.rng)
        target = torch.from_numpy(np.stack([target for _, target in examples]))
        return features.contiguous(memory_format=torch.channels_last), target

    def _equalized(self, features: Tensor, rng: np.random.Generator) -> Tensor:
        """Spectra through a random equaliser each; a band limit is applied above the feature's own floor."""
        frequencies = self.model.frequencies
        curves = np.stack([equalizer_curve(frequencies, rng, depth_db=self.equalizer_db) for _ in features])
        gains = torch.from_numpy(curves.astype(np.float32))[:, None, :, None]  # (batch, 1, freq, 1)
        return self.model.amplify(features, gains)


class _Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches made in a worker process, from a seed of the worker's own."""

    def __init__(self, task: ClassifyTask, rank: int, start_step: int) -> None:
        self.task, self.rank, self.start_step = task, rank, start_step

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        if worker is not None:
            torch.set_num_threads(1)
        mixer = self.task.mixer(
            self.task.train, (self.task.seed, self.rank, worker.id if worker else 0, self.start_step)
        )
        while True:
            features, target = self.task.batch(mixer, self.task.batch_size)
            yield features.clone(), target  # out of inference mode


def multilabel_f1(predicted: Tensor, target: Tensor) -> float:
    """Mean over classes of 2 TP / (2 TP + FP + FN); a class that neither has counts 1.

    Shape:
        both ``(example, label)``.
    """
    truth = target > 0.5
    hits = (predicted & truth).sum(0).float()
    errors = (predicted ^ truth).sum(0).float()
    return float(
        torch.where(hits + errors > 0, 2 * hits / (2 * hits + errors).clamp_min(1), torch.ones_like(hits)).mean()
    )
