"""The instrument classifier's task: random mixtures in, which classes they hold and how loud each is out.

The paper's loss is L1 on the classes (Koo et al. 2023, section 3.1.1); cross-entropy, the levels and the disguises
are ours. A disguised mixture went through a random equaliser and has stripes cut out of its spectrum (Park et al.
2019, SpecAugment, without the time warping), so its levels are no longer known; its classes are, and the shares of the
cells that are left.
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
    """Mean absolute error of the probabilities, the paper's loss; pushes scores to 0 and 1, forgives wrong labels."""
    return (torch.sigmoid(logits) - target).abs().mean()


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy: better ranking, softer scores."""
    return functional.binary_cross_entropy_with_logits(logits, target)


def gce(logits: Tensor, target: Tensor, q: float = 0.7) -> Tensor:
    """Generalised cross-entropy, (1 - p^q) / q (Zhang and Sabuncu 2018, eq. 6): between the two."""
    right = torch.sigmoid(torch.where(target > 0.5, logits, -logits)).clamp_min(1e-6)
    return ((1 - right**q) / q).mean()


def level_loss(told: Tensor, levels_db: Tensor, total: Tensor | None = None) -> Tensor:
    """How far the told levels are from the known ones: smooth L1 in steps of 10 dB; 0 where none is known.

    Levels near that of the whole are easy and count a fifth.

    Args:
        total: the sum of the weights of all levels of a step; None: these are all.

    Shape:
        both ``(example, label)``; unknown levels are NaN.
    """
    known = levels_db.isfinite()
    if not known.any():
        return told.sum() * 0
    weights = _level_weights(levels_db)
    losses = functional.smooth_l1_loss(
        told[known] / 10, levels_db[known].clamp_min(LOWEST_DB) / 10, beta=0.2, reduction="none"
    )
    return (losses * weights[known]).sum() / (weights.sum() if total is None else total)


def _level_weights(levels_db: Tensor) -> Tensor:
    """How much each level counts; one that is not known, nothing."""
    return torch.where(levels_db < LOUD_DB, 1.0, 0.2) * levels_db.isfinite()


def cell_loss(told: Tensor, shares: Tensor, power: Tensor, total: Tensor | None = None) -> Tensor:
    """Cross-entropy of the told shares of each cell's power with the known ones; 0 where none is known.

    Cells weigh by a power of their power, so that the loud ones count more, as they decide the level, and no other is
    forgotten; all examples that have known cells weigh alike.

    Args:
        told: logits, ``(example, label + 1, cell freq, cell frame)``.
        shares: the same shape; NaN where they are not known.
        power: ``(example, cell freq, cell frame)``.
        total: how many examples of a step have known cells; None: these are all.
    """
    known = shares.isfinite().all(1)
    examples = known.any(2).any(1)
    if not examples.any():
        return told.sum() * 0
    weight = known * power.clamp_min(torch.finfo(power.dtype).tiny) ** CELL_COMPRESSION
    weight = weight / weight.sum((1, 2), keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    entropies = -(shares.nan_to_num() * told.float().log_softmax(1)).sum(1)
    return (weight * entropies).sum() / (examples.sum() if total is None else total)


LEVEL_WEIGHT, CELL_WEIGHT = 1.0, 0.5
"""Of the losses of levels and of cells beside the classes'."""
SCORE_PER_DB = 0.01
"""What a dB of error costs the score that decides which weights are kept: a point of F1."""
CELL_COMPRESSION = 0.3
LOWEST_DB, LOUD_DB = -40.0, -3.0
"""Levels are learned down to the first; above the second, a class is most of what is heard."""

VALIDATION_BATCH = 32
DISGUISE = 1
"""What a disguise is drawn for; the mixture itself is drawn for nothing more."""

Loss = Literal["l1", "bce", "gce"]
LOSSES: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1, "bce": bce, "gce": gce}


@dataclass
class ClassifyTask:
    """See :class:`stemclean.training.loop.Task`.

    Args:
        model: its front end and spec say what a batch is.
        train, validation: pools of different tracks.
        mixing: how mixtures are drawn.
        loss: a key of :data:`LOSSES`.
        batch_size: examples a step, over all processes.
        equalizer_db: depth of the random equaliser of a disguise; 0: none.
        masks: stripes of a disguise, as many along time as along frequency; each up to an eighth of the axis.
        disguised: share of the mixtures that are disguised.
        processes: how many share a step.
        seed: of everything that is drawn.
        workers: processes that mix ahead.
        validation_examples: mixtures, always the same ones.
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
        """Features ``(batch, channel, freq, frame)``, targets and levels in dB ``(batch, label)``, the numbers.

        Where the model tells cells, last the classes' shares in them ``(batch, label + 1, cell freq, cell frame)``.
        Step k of a run always has the same examples, with any number of workers, and whether or not the run was broken
        off before.
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
        found = {"examples": torch.tensor(float(len(target)), device=target.device)}
        found["levels"] = _level_weights(levels_db).sum()
        if shares:
            found["cells"] = shares[0].isfinite().all(1).flatten(1).any(1).sum().float()
        return found

    def losses(
        self, model: nn.Module, batch: tuple[Tensor, ...], totals: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The losses of some examples' features.

        What the model drops depends on the seed and the examples alone, so that a run that was broken off goes on as if
        it had not been.
        """
        features, target, levels_db, numbers, *shares = batch
        totals = totals or self.totals(batch)
        torch.manual_seed((self.seed << 40) + int(numbers[0]))
        outputs, cells = self._heard(model, features)
        share = len(target) / totals["examples"]
        found = {"loss/classes": share * LOSSES[self.loss](self.model.logits(outputs), target)}
        told = self.model.levels_db(outputs)
        if told is not None:
            found["loss/levels"] = LEVEL_WEIGHT * level_loss(told, levels_db.to(told.device), totals["levels"])
        if cells is not None:
            power = self.model.cell_power(features.to(cells.device))
            found["loss/cells"] = CELL_WEIGHT * cell_loss(cells, shares[0].to(cells.device), power, totals["cells"])
        return {"loss": torch.stack(list(found.values())).sum(), **found}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Macro F1 on fixed mixtures at 0.5 and at 0.9, the classes' loss, the levels' mean error in dB.

        ``score`` is the F1 at 0.5; of a model that tells levels, less :data:`SCORE_PER_DB` for each dB they are off.
        """
        if not self._validation:
            mixer = self.mixer(self.validation, (self.seed, 0xF1))
            for first in range(0, self.validation_examples, VALIDATION_BATCH):
                numbers = range(first, min(first + VALIDATION_BATCH, self.validation_examples))
                self._validation.append(self.batch(mixer, numbers, disguise=False)[:3])
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

    def batch(self, mixer: RandomMixer, numbers: Sequence[int], *, disguise: bool = True) -> tuple[Tensor, ...]:
        """Some mixtures by their numbers, as :meth:`batches` gives them."""
        examples = [self._example(mixer, number, disguise=disguise) for number in numbers]
        features, target, levels_db, *shares = (torch.stack(column) for column in zip(*examples, strict=True))
        features = features.contiguous(memory_format=torch.channels_last)
        return features, target, levels_db, torch.tensor(numbers), *shares

    def _example(self, mixer: RandomMixer, number: int, *, disguise: bool) -> list[Tensor]:
        """Features, target, levels and shares of one mixture."""
        example = mixer.example(number)
        with torch.no_grad():
            features = self.model.features(torch.from_numpy(example.waveform)[None])
        target, levels_db = torch.from_numpy(example.target), torch.from_numpy(example.levels_db)
        shares = [] if example.shares is None else [torch.from_numpy(example.shares)]
        rng = mixer.rng(number, DISGUISE)
        if disguise and rng.random() < self.disguised:
            features, hidden = self._disguised(features, rng)
            levels_db = torch.full_like(levels_db, torch.nan)  # the equaliser changes them, not the shares of a cell
            shares = [
                known.masked_fill(nn.functional.adaptive_max_pool2d(hidden[0], known.shape[-2:]) > 0, torch.nan)
                for known in shares
            ]
        return [features[0], target, levels_db, *shares]

    def _disguised(self, features: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A spectrum through a random equaliser, never below the features' own floor, and with stripes cut out.

        Returns:
            (features ``(1, channel, freq, frame)``; 1 where a stripe is, ``(1, 1, freq, frame)``)
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
