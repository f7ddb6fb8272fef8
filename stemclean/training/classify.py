"""The instrument classifier's task: random mixtures in, which classes they hold and how loud each is out.

The paper's loss is L1 on the classes (Koo et al. 2023, section 3.1.1); cross-entropy, the levels and the disguises
are ours. A disguised mixture went through a random equaliser and has stripes cut out of its spectrum (Park et al.
2019, SpecAugment, without the time warping), so its levels are no longer known; its classes are, and the shares of the
cells that are left.
"""

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
from stemclean.training import numbered

__all__ = ["LOSSES", "ClassifyTask", "level_loss", "multilabel_f1"]


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


def level_loss(told: Tensor, levels_db: Tensor) -> Tensor:
    """How far the told levels are from the known ones: smooth L1 in steps of 10 dB; 0 where none is known.

    Levels near that of the whole are easy and count a fifth.

    Shape:
        both ``(example, label)``; unknown levels are NaN.
    """
    known = levels_db.isfinite()
    if not known.any():
        return told.sum() * 0
    true = levels_db[known].clamp_min(LOWEST_DB)
    losses = functional.smooth_l1_loss(told[known] / 10, true / 10, beta=0.2, reduction="none")
    weight = torch.where(true < LOUD_DB, 1.0, 0.2)
    return (losses * weight).sum() / weight.sum()


def cell_loss(told: Tensor, shares: Tensor, power: Tensor) -> Tensor:
    """Cross-entropy of the told shares of each cell's power with the known ones; 0 where none is known.

    Cells weigh by a power of their power, so that the loud ones count more, as they decide the level, and no other is
    forgotten; all examples that have known cells weigh alike.

    Args:
        told: logits, ``(example, label + 1, cell freq, cell frame)``.
        shares: the same shape; NaN where they are not known.
        power: ``(example, cell freq, cell frame)``.
    """
    known = shares.isfinite().all(1)
    examples = known.any(2).any(1)
    if not examples.any():
        return told.sum() * 0
    weight = known * power.clamp_min(torch.finfo(power.dtype).tiny) ** CELL_COMPRESSION
    weight = weight / weight.sum((1, 2), keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    entropies = -(shares.nan_to_num() * told.float().log_softmax(1)).sum(1)
    return (weight * entropies).sum() / examples.sum()


LEVEL_WEIGHT, CELL_WEIGHT = 1.0, 0.5
"""Of the losses of levels and of cells beside the classes'."""
SCORE_PER_DB = 0.01
"""What a dB of error costs the score that decides which weights are kept: a point of F1."""
CELL_COMPRESSION = 0.3
LOWEST_DB, LOUD_DB = -40.0, -3.0
"""Levels are learned down to the first; above the second, a class is most of what is heard."""

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
        equalizer_db: depth of the random equaliser of a disguise; 0: none.
        masks: stripes of a disguise, as many along time as along frequency; each up to an eighth of the axis.
        disguised: share of the mixtures that are disguised.
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
    masks: int = 0
    disguised: float = 1.0
    seed: int = 0
    workers: int = 1
    validation_examples: int = 512
    _validation: list[tuple[Tensor, ...]] = field(default_factory=list)

    def batches(self, rank: int, start_step: int) -> Iterator[tuple[Tensor, ...]]:
        """Features ``(batch, channel, freq, frame)``, targets and levels in dB ``(batch, label)``.

        Where the model tells cells, last the classes' shares in them ``(batch, label + 1, cell freq, cell frame)``.
        """
        stream = _Stream(self, rank, start_step)
        context = "fork" if self.workers and hasattr(os, "fork") else None
        loader = DataLoader(
            stream,
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
            multiprocessing_context=context,
        )
        yield from numbered.loaded(loader)

    def losses(self, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The losses of one batch of features."""
        features, target, levels_db, *shares = batch
        outputs, cells = self._heard(model, features)
        classes = LOSSES[self.loss](self.model.logits(outputs), target)
        found = {"loss/classes": classes}
        told = self.model.levels_db(outputs)
        if told is not None:
            found["loss/levels"] = LEVEL_WEIGHT * level_loss(told, levels_db.to(told.device))
        if cells is not None:
            power = self.model.cell_power(features.to(cells.device))
            found["loss/cells"] = CELL_WEIGHT * cell_loss(cells, shares[0].to(cells.device), power)
        return {"loss": torch.stack(list(found.values())).sum(), **found}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Macro F1 on fixed mixtures at 0.5 and at 0.9, the classes' loss, the levels' mean error in dB.

        ``score`` is the F1 at 0.5; of a model that tells levels, less :data:`SCORE_PER_DB` for each dB they are off.
        """
        if not self._validation:
            mixer = self.mixer(self.validation, (self.seed, 0xF1))
            for _ in range(max(1, self.validation_examples // 32)):
                self._validation.append(self.batch(mixer, 32, disguise=False)[:3])
        device = next(model.parameters()).device
        outputs = torch.cat([self._heard(model, batch[0].to(device))[0].cpu() for batch in self._validation])
        target, levels_db = (torch.cat([batch[place] for batch in self._validation]) for place in (1, 2))
        logits, told = self.model.logits(outputs), self.model.levels_db(outputs)
        probabilities = torch.sigmoid(logits)
        f1 = multilabel_f1(probabilities > 0.5, target)
        figures = {
            "score": f1,
            "f1_at_0.5": f1,
            "f1_at_0.9": multilabel_f1(probabilities > 0.9, target),
            "val_loss": float(LOSSES[self.loss](logits, target)),
        }
        known = levels_db.isfinite()
        if told is None or not known.any():
            return figures
        figures["level_error_db"] = float((told - levels_db.clamp_min(LOWEST_DB))[known].abs().mean())
        figures["score"] -= SCORE_PER_DB * figures["level_error_db"]
        return figures

    def _heard(self, model: nn.Module, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Outputs, and the logits of the shares of cells where the model tells them."""
        outputs, cells = self.model.outputs(model, features) if self.model.tells_cells else (model(features), None)
        return outputs.float(), cells

    def mixer(self, pool: StemPool, seed: Sequence[int]) -> RandomMixer:
        """Mixtures of a pool as the model hears them."""
        spec = self.model.spec
        return RandomMixer(
            pool,
            spec.labels,
            self.mixing,
            spec.segment,
            seed=seed,
            level_dbfs=self.model.level_dbfs,
            cells=self._cells if self.model.tells_cells else None,
        )

    def _cells(self, waveform: np.ndarray) -> np.ndarray:
        """Power of each cell of a waveform: ``(channel, segment)`` -> ``(cell freq, cell frame)``."""
        with torch.no_grad():
            return self.model.cell_power(self.model.features(torch.from_numpy(waveform)[None]))[0].numpy()

    def batch(self, mixer: RandomMixer, size: int, *, disguise: bool = True) -> tuple[Tensor, ...]:
        """Some mixtures, as :meth:`batches` gives them."""
        examples = [mixer.example() for _ in range(size)]
        with torch.no_grad():
            features = torch.cat([self.model.features(torch.from_numpy(one.waveform)[None]) for one in examples])
        target = torch.from_numpy(np.stack([example.target for example in examples]))
        levels_db = torch.from_numpy(np.stack([example.levels_db for example in examples]))
        shares = [example.shares for example in examples if example.shares is not None]
        cells = [torch.from_numpy(np.stack(shares))] if shares else []
        if disguise:
            chosen = np.flatnonzero(mixer.rng.random(size) < self.disguised)
            features[chosen], hidden = self._disguised(features[chosen], mixer.rng)
            levels_db[chosen] = torch.nan  # the equaliser changes them, but not the shares of a cell
            for known in cells:
                covered = nn.functional.adaptive_max_pool2d(hidden, known.shape[-2:]) > 0
                known[chosen] = known[chosen].masked_fill(covered, torch.nan)
        return features.contiguous(memory_format=torch.channels_last), target, levels_db, *cells

    def _disguised(self, features: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Spectra through a random equaliser each, never below the features' own floor, and with stripes cut out.

        Returns:
            (features; 1 where a stripe is, ``(batch, 1, freq, frame)``)
        """
        if self.equalizer_db and len(features):
            frequencies = self.model.frequencies
            curves = np.array([equalizer_curve(frequencies, rng, depth_db=self.equalizer_db) for _ in features])
            gains = torch.from_numpy(curves.astype(np.float32))[:, None, :, None]  # (batch, 1, freq, 1)
            features = self.model.amplify(features, gains)
        hidden = torch.zeros_like(features[:, :1])
        for example, covered in zip(features, hidden, strict=True):
            for axis in (1, 2) * self.masks:
                size = example.shape[axis]
                width = int(rng.integers(0, size // 8 + 1))
                start = int(rng.integers(0, size - width + 1))
                example.narrow(axis, start, width).fill_(example.mean())
                covered.narrow(axis, start, width).fill_(1)
        return features, hidden


class _Stream(IterableDataset[tuple[Tensor, ...]]):
    """Batches made in a worker process, from a seed of the worker's own."""

    def __init__(self, task: ClassifyTask, rank: int, start_step: int) -> None:
        self.task, self.rank, self.start_step = task, rank, start_step

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        worker = get_worker_info()
        if worker is not None:
            torch.set_num_threads(1)
        mixer = self.task.mixer(
            self.task.train, (self.task.seed, self.rank, worker.id if worker else 0, self.start_step)
        )
        while True:
            yield self.task.batch(mixer, self.task.batch_size)


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
