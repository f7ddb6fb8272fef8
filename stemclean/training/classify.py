"""The task of the instrument classifier: predict from a random mixture which classes it holds and how loud each is.

The loss of the paper is L1 on the classes (Koo et al. 2023, section 3.1.1); cross-entropy, the levels and the disguise
are ours. The disguise is data augmentation: a random equaliser, and stripes masked in the spectrum (SpecAugment, Park
et al. 2019, without time warping). After it the levels are unknown; the classes and the shares of the unmasked cells
are still known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stemclean.data.augment import equalizer_curve
from stemclean.data.mixing import REUSE_AMONG, MixingConfig, RandomMixer
from stemclean.data.pool import StemPool
from stemclean.models.contract import Classifier
from stemclean.training import numbered

__all__ = ["LOSSES", "ClassifyTask", "level_loss", "multilabel_f1"]


def l1(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute error of the probabilities, the paper's loss.

    It pushes scores towards 0 and 1 and is robust to wrong labels.
    """
    return (torch.sigmoid(logits) - target).abs().mean()


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Return the binary cross-entropy: better ranking, softer scores."""
    return functional.binary_cross_entropy_with_logits(logits, target)


def gce(logits: Tensor, target: Tensor, q: float = 0.7) -> Tensor:
    """Return the generalised cross-entropy (1 - p^q) / q (Zhang and Sabuncu 2018, eq. 6), between L1 and BCE."""
    right = torch.sigmoid(torch.where(target > 0.5, logits, -logits)).clamp_min(1e-6)
    return ((1 - right**q) / q).mean()


def level_loss(predicted_db: Tensor, levels_db: Tensor, total: Tensor | None = None) -> Tensor:
    """Return the smooth L1 distance of predicted and known levels, in units of 10 dB; 0 if no level is known.

    Levels near that of the whole mixture are easy and have a weight of 0.2.

    Args:
        predicted_db: Levels predicted by the model.
        levels_db: True levels, NaN where unknown.
        total: Sum of the weights of all levels of the step (None: of the levels given).

    Shape:
        Both levels ``(example, label)`` -> ``()``.
    """
    known = levels_db.isfinite()
    if not known.any():
        return predicted_db.sum() * 0
    weights = _level_weights(levels_db)
    losses = functional.smooth_l1_loss(
        predicted_db[known] / 10, levels_db[known].clamp_min(LOWEST_DB) / 10, beta=0.2, reduction="none"
    )
    return (losses * weights[known]).sum() / (weights.sum() if total is None else total)


def _level_weights(levels_db: Tensor) -> Tensor:
    """Return the weight of each level; 0 for unknown levels."""
    return torch.where(levels_db < LOUD_DB, 1.0, 0.2) * levels_db.isfinite()


def cell_loss(logits: Tensor, shares: Tensor, power: Tensor, total: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of predicted and known shares of each cell's power; 0 if no cell is known.

    A cell's weight is its power raised to :data:`CELL_COMPRESSION`: loud cells count more, since they decide the level,
    but quiet ones are not ignored. All examples with known cells have the same weight.

    Args:
        logits: Predicted shares. Shape: (example, label + 1, cell freq, cell frame)
        shares: True shares, NaN where unknown. Shape: as ``logits``
        power: Power of the cells. Shape: (example, cell freq, cell frame)
        total: Number of examples of the step with known cells (None: of the examples given).
    """
    known = shares.isfinite().all(1)
    examples = known.any(2).any(1)
    if not examples.any():
        return logits.sum() * 0
    weight = known * power.clamp_min(torch.finfo(power.dtype).tiny) ** CELL_COMPRESSION
    weight = weight / weight.sum((1, 2), keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    entropies = -(shares.nan_to_num() * logits.float().log_softmax(1)).sum(1)
    return (weight * entropies).sum() / (examples.sum() if total is None else total)


LEVEL_WEIGHT, CELL_WEIGHT = 1.0, 0.5
"""Weights of the level loss and of the cell loss; the loss of the classes has weight 1."""
SCORE_PER_DB = 0.01
"""Penalty on the validation score per dB of level error: one point of F1."""
CELL_COMPRESSION = 0.3
LOWEST_DB, LOUD_DB = -40.0, -3.0
"""Levels are clipped to the first before training; a class above the second dominates the mixture."""

VALIDATION_BATCH = 32
DISGUISE = 1
"""Key of the random stream of the disguise, separate from that of the mixture."""

Loss = Literal["l1", "bce", "gce"]
LOSSES: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1, "bce": bce, "gce": gce}


@dataclass
class ClassifyTask:
    """The task of training a classifier; see :class:`stemclean.training.loop.Task`.

    Args:
        model: The classifier; its front end and spec determine what a batch holds.
        train, validation: Pools of different tracks.
        mixing: How mixtures are drawn.
        loss: A key of :data:`LOSSES`.
        batch_size: Examples per step, over all processes.
        equalizer_db: Depth of the random equaliser of the disguise; 0: no equaliser.
        masks: Number of masked stripes along time, and as many along frequency; each covers up to 1/8 of its axis.
        disguised: Share of the mixtures that are disguised.
        processes: Number of processes that share a step.
        seed: Random seed.
        workers: Number of worker processes that mix examples in advance.
        validation_examples: Number of validation mixtures, always the same ones.
    """

    model: Classifier
    train: StemPool
    validation: StemPool
    mixing: MixingConfig
    loss: Loss = "l1"
    batch_size: int = 64
    equalizer_db: float = 6.0
    masks: int = 0
    disguised: float = 1.0
    processes: int = 1
    seed: int = 0
    workers: int = 1
    validation_examples: int = 512
    _validation: list[tuple[Tensor, ...]] = field(default_factory=list)

    def batches(self, rank: int, start_step: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield batches without end, from a step on.

        Step k of a run always has the same examples, whatever the number of workers, also after resuming.

        Shape:
            Features ``(batch, channel, freq, frame)``, targets and levels in dB ``(batch, label)``, example numbers
            ``(batch,)``; if the model predicts cells, also their shares ``(batch, label + 1, cell freq, cell frame)``.
        """
        mixer = self.mixer(self.train, (self.seed, 0))
        yield from numbered.batches(
            lambda numbers: self.batch(mixer, numbers),
            self.batch_size,
            rank=rank,
            processes=self.processes,
            start_step=start_step,
            workers=self.workers,
            group=1 if self.mixing.reuse == 1 else max(1, REUSE_AMONG // self.batch_size),
        )

    def totals(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """See :class:`stemclean.training.loop.Task`."""
        _, target, levels_db, _, *shares = batch
        totals = {"examples": torch.tensor(float(len(target)), device=target.device)}
        totals["levels"] = _level_weights(levels_db).sum()
        if shares:
            totals["cells"] = shares[0].isfinite().all(1).flatten(1).any(1).sum().float()
        return totals

    def losses(
        self, model: nn.Module, batch: tuple[Tensor, ...], totals: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the losses of a batch.

        Dropout depends on the seed and the example numbers only, so that a resumed run equals an uninterrupted one.
        """
        features, target, levels_db, numbers, *shares = batch
        totals = totals or self.totals(batch)
        torch.manual_seed((self.seed << 40) + int(numbers[0]))
        outputs, cells = self._outputs(model, features)
        share = len(target) / totals["examples"]
        losses = {"loss/classes": share * LOSSES[self.loss](self.model.logits(outputs), target)}
        predicted_db = self.model.levels_db(outputs)
        if predicted_db is not None:
            levels_db = levels_db.to(predicted_db.device)
            losses["loss/levels"] = LEVEL_WEIGHT * level_loss(predicted_db, levels_db, totals["levels"])
        if cells is not None:
            power = self.model.cell_power(features.to(cells.device))
            losses["loss/cells"] = CELL_WEIGHT * cell_loss(cells, shares[0].to(cells.device), power, totals["cells"])
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the macro F1 at 0.5 and at 0.9, the loss of the classes and the mean level error in dB.

        All are computed on the same fixed mixtures. ``score`` is the F1 at 0.5, less :data:`SCORE_PER_DB` per dB of
        level error if the model predicts levels.
        """
        if not self._validation:
            mixer = self.mixer(self.validation, (self.seed, 0xF1))
            for first in range(0, self.validation_examples, VALIDATION_BATCH):
                numbers = range(first, min(first + VALIDATION_BATCH, self.validation_examples))
                self._validation.append(self.batch(mixer, numbers, disguise=False)[:3])
        device = next(model.parameters()).device
        outputs = torch.cat([self._outputs(model, batch[0].to(device))[0].cpu() for batch in self._validation])
        target, levels_db = (torch.cat([batch[column] for batch in self._validation]) for column in (1, 2))
        logits, predicted_db = self.model.logits(outputs), self.model.levels_db(outputs)
        probabilities = torch.sigmoid(logits)
        f1 = multilabel_f1(probabilities > 0.5, target)
        figures = {
            "score": f1,
            "f1_at_0.5": f1,
            "f1_at_0.9": multilabel_f1(probabilities > 0.9, target),
            "val_loss": float(LOSSES[self.loss](logits, target)),
        }
        known = levels_db.isfinite()
        if predicted_db is None or not known.any():
            return figures
        figures["level_error_db"] = float((predicted_db - levels_db.clamp_min(LOWEST_DB))[known].abs().mean())
        figures["score"] -= SCORE_PER_DB * figures["level_error_db"]
        return figures

    def _outputs(self, model: nn.Module, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Run the model; returns its outputs, and the logits of the cells' shares if it predicts them."""
        outputs, cells = self.model.outputs(model, features) if self.model.tells_cells else (model(features), None)
        return outputs.float(), cells

    def mixer(self, pool: StemPool, seed: Sequence[int]) -> RandomMixer:
        """Return a mixer of a pool's stems, with the segment, level and cells that the model expects."""
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
        """Return the power of each cell of a waveform: ``(channel, segment)`` -> ``(cell freq, cell frame)``."""
        with torch.no_grad():
            return self.model.cell_power(self.model.features(torch.from_numpy(waveform)[None]))[0].numpy()

    def batch(self, mixer: RandomMixer, numbers: Sequence[int], *, disguise: bool = True) -> tuple[Tensor, ...]:
        """Return the mixtures with the given numbers, in the format of :meth:`batches`."""
        examples = [self._example(mixer, number, disguise=disguise) for number in numbers]
        features, target, levels_db, *shares = (torch.stack(column) for column in zip(*examples, strict=True))
        features = features.contiguous(memory_format=torch.channels_last)
        return features, target, levels_db, torch.tensor(numbers), *shares

    def _example(self, mixer: RandomMixer, number: int, *, disguise: bool) -> list[Tensor]:
        """Return the features, target, levels and shares of one mixture."""
        example = mixer.example(number)
        with torch.no_grad():
            features = self.model.features(torch.from_numpy(example.waveform)[None])
        target, levels_db = torch.from_numpy(example.target), torch.from_numpy(example.levels_db)
        shares = [] if example.shares is None else [torch.from_numpy(example.shares)]
        rng = mixer.rng(number, DISGUISE)
        if disguise and rng.random() < self.disguised:
            features, hidden = self._disguised(features, rng)
            levels_db = torch.full_like(levels_db, torch.nan)  # the equaliser changes levels, but not a cell's shares
            shares = [
                share.masked_fill(nn.functional.adaptive_max_pool2d(hidden[0], share.shape[-2:]) > 0, torch.nan)
                for share in shares
            ]
        return [features[0], target, levels_db, *shares]

    def _disguised(self, features: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Apply a random equaliser, never below the floor of the features, and mask random stripes.

        Returns:
            Features ``(1, channel, freq, frame)``, and a mask ``(1, 1, freq, frame)`` that is 1 in the stripes.
        """
        if self.equalizer_db:
            curve = equalizer_curve(self.model.frequencies, rng, depth_db=self.equalizer_db)
            features = self.model.amplify(features, torch.from_numpy(curve.astype(np.float32))[:, None])
        features = features.clone()
        hidden = torch.zeros_like(features[:, :1])
        for axis in (2, 3) * self.masks:
            size = features.shape[axis]
            width = int(rng.integers(0, size // 8 + 1))
            start = int(rng.integers(0, size - width + 1))
            features.narrow(axis, start, width).fill_(features.mean())
            hidden.narrow(axis, start, width).fill_(1)
        return features, hidden


def multilabel_f1(predicted: Tensor, target: Tensor) -> float:
    """Return the macro F1, the mean over classes of 2 TP / (2 TP + FP + FN).

    A class that is in neither the prediction nor the target counts as 1.

    Shape:
        Both ``(example, label)``.
    """
    truth = target > 0.5
    hits = (predicted & truth).sum(0).float()
    errors = (predicted ^ truth).sum(0).float()
    return float(
        torch.where(hits + errors > 0, 2 * hits / (2 * hits + errors).clamp_min(1), torch.ones_like(hits)).mean()
    )
