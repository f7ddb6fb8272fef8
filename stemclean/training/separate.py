"""The task of a separator: estimate the sources of a mixture (Koo et al. 2023, section 3.2).

If a source holds several classes, the sum of their estimates is compared with it. Every other class has a loss of its
own, and the losses are added.

There are two optional losses that are robust to wrong labels, as baselines that cleaning the labels must beat. Both
compare the losses of a class over the batch and drop the largest ones:

* ``masked``: those above the 0.95 quantile, the default of a widely used trainer (Solovyev's);
* ``truncated``: loss truncation (Kang and Hashimoto 2020, arXiv 2004.14589) as used by the winner of the label-noise
  leaderboard of SDX'23 (team CCOM): quantile 0.7, then 0.5, then 0.3, for 5/9, 2/9 and 2/9 of the training.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stemclean.audio.stft import stft
from stemclean.data.sources import SourceMixer
from stemclean.errors import ConfigError
from stemclean.models.contract import Separator
from stemclean.settings import WHOLE, Chance, Settings
from stemclean.training import numbered
from stemclean.training.processes import everyones

__all__ = ["KINDS", "ROBUST", "LossConfig", "SeparateTask", "item_losses", "sum_of_rows"]

Kind = Literal["l1", "mse", "magnitude"]
Robust = Literal["none", "masked", "truncated"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ROBUST: dict[Robust, tuple[tuple[float, float], ...]] = {
    "none": (),
    "masked": ((0.0, 0.95),),
    "truncated": ((0.0, 0.7), (5 / 9, 0.5), (7 / 9, 0.3)),
}
"""Pairs (start, quantile): from this share of the training on, losses above this quantile of the batch are dropped."""

RESOLUTIONS = (4096, 2048, 1024, 512, 256)
RESOLUTION_HOP = 147
MOST_COMBINED = 6
VALIDATION_BATCH = 8


_Quantile = Annotated[float, Field(gt=0, le=1)]
_Weight = Annotated[float, Field(ge=0, le=1e6)]


class LossConfig(Settings):
    """The loss of a separator.

    Args:
        kind: ``l1`` or ``mse`` of the waveforms, or ``magnitude``: squared error of STFT magnitudes.
        n_fft, hop_length: STFT of ``magnitude``.
        multi_domain: Weight of the weighted SDR of the waveforms (X-UMX, equations 2 and 3); 10 in that paper, which
            adds it to the spectral loss; 0: none.
        combination: Compare the sums of sources, too: every combination except the mixture (X-UMX, section 3.2).
        multi_resolution: Weight of the L1 distance of complex spectrograms at five resolutions (BS-RoFormer,
            section 3.4); 0: none.
        robust: A key of :data:`ROBUST`.
        keep: Pairs (share of the training, quantile) to use instead of those of ``robust``.
    """

    section: ClassVar[str] = "loss"

    kind: Kind = "l1"
    n_fft: Annotated[int, Field(ge=16, le=65_536), WHOLE] = 4096
    hop_length: Annotated[int, Field(ge=1, le=65_536), WHOLE] = 1024
    multi_domain: _Weight = 0.0
    combination: bool = False
    multi_resolution: _Weight = 0.0
    robust: Robust = "none"
    keep: Annotated[
        tuple[tuple[Chance, _Quantile], ...],
        Field(max_length=100, description="pairs [share of the training from 0 to 1, quantile above 0 and at most 1]"),
    ] = ()

    def quantile(self, done: float) -> float:
        """Return the quantile of the batch above which losses are dropped.

        Args:
            done: Share of the training that is done, in [0, 1].
        """
        pairs = self.keep or ROBUST[self.robust]
        return next((quantile for share, quantile in sorted(pairs, reverse=True) if done >= share), 1.0)


@dataclass
class SeparateTask:
    """The task of training a separator; see :class:`stemclean.training.loop.Task`.

    Args:
        model: The separator.
        train, validation: Mixers of different tracks.
        loss: The loss.
        batch_size: Examples per step, over all processes.
        examples: Number of examples of the whole training, over all processes.
        processes: Number of processes that share a step.
        seed: Random seed of dropout; the mixers have their own seeds.
        workers: Number of worker processes that mix examples in advance.
        validation_examples: Number of validation mixtures, always the same ones.

    Raises:
        ConfigError: There are too many classes for ``loss.combination``.
    """

    model: Separator
    train: SourceMixer
    validation: SourceMixer
    loss: LossConfig
    batch_size: int
    examples: int
    processes: int = 1
    seed: int = 0
    workers: int = 1
    validation_examples: int = 64

    score_name = "sdr_db"

    def __post_init__(self) -> None:
        if self.loss.combination and len(self.model.spec.labels) > MOST_COMBINED:
            raise ConfigError(
                f"loss.combination supports at most {MOST_COMBINED} classes, not {len(self.model.spec.labels)}",
                "set loss.combination=false, or give fewer --labels",
            )

    def batches(self, rank: int, start_step: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield batches without end, from a step on.

        A mixture is the sum of its targets; the last row may be a background that is not separated. Step k of a run
        always has the same examples, whatever the number of workers, also after resuming.

        Shape:
            Targets ``(batch, row, channel, time)``, rows ``(batch, label)`` and example numbers ``(batch,)``.
        """
        return numbered.batches(
            self.stacked,
            self.batch_size,
            rank=rank,
            processes=self.processes,
            start_step=start_step,
            workers=self.workers,
        )

    def stacked(self, numbers: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the targets and rows of training examples, and their numbers."""
        return *_stacked(self.train, numbers), torch.tensor(numbers)

    @property
    def indivisible(self) -> str | None:
        """Why batches cannot be split: robust losses compare the examples of a batch; None otherwise."""
        if not (self.loss.keep or ROBUST[self.loss.robust]):
            return None
        return "loss.robust and loss.keep compare all losses of a step to drop the largest"

    def totals(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """See :class:`stemclean.training.loop.Task`."""
        return {"examples": torch.tensor(float(len(batch[0])), device=batch[0].device)}

    def losses(
        self, model: nn.Module, batch: tuple[Tensor, ...], totals: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the loss of a batch, and the share of the losses that were kept.

        Dropout depends on the seed and the example numbers only, so that a resumed run equals an uninterrupted one.
        """
        targets, rows, numbers = batch
        first = int(numbers[0])
        share = len(targets) / (totals or self.totals(batch))["examples"]
        torch.manual_seed((self.seed << 40) + first)
        mixture = targets.sum(1)
        estimates, used = sum_of_rows(model(mixture).float(), rows)
        references = targets[:, : estimates.shape[1]]  # without the background
        items, counted = item_losses(self.loss, estimates, references, mixture, used)
        kept = counted & self._small_enough(items.detach(), counted, first / max(1, self.examples))
        loss = torch.where(kept, items, torch.zeros_like(items)).sum() / items.numel()
        return {"loss": share * loss, "kept": share * kept.sum() / counted.sum()}

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...]) -> None:
        """Run the model on the mixtures of a batch."""
        model(batch[0].sum(1))

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the SDR in dB of each class (median over fixed mixtures) and its mean over classes (``score``).

        The SDR is 10 log10 of the energy of a target over the energy of the error, per mixture. Silent targets do not
        count.
        """
        device = next(model.parameters()).device
        ratios = []
        for start in range(0, self.validation_examples, VALIDATION_BATCH):
            numbers = range(start, min(start + VALIDATION_BATCH, self.validation_examples))
            targets, _ = _stacked(self.validation, numbers)
            estimates = model(targets.sum(1).to(device)).float().cpu()
            targets = targets[:, : estimates.shape[1]]  # without the background
            energy, error = targets.square().sum((2, 3)), (estimates - targets).square().sum((2, 3))
            ratio = 10 * torch.log10(energy / error.clamp_min(1e-10))
            ratios.append(torch.where(energy > 0, ratio, torch.full_like(ratio, torch.nan)))
        medians = torch.cat(ratios).nanmedian(0).values
        by_class = {
            f"sdr_db/{label}": float(value)
            for label, value in zip(self.model.spec.labels, medians, strict=True)
            if not value.isnan()
        }
        return {"score": float(np.mean(list(by_class.values()))), **by_class}

    def _small_enough(self, items: Tensor, counted: Tensor, done: float) -> Tensor:
        """Return which losses do not exceed the quantile of their class over all processes; ``(batch, row)``."""
        quantile = self.loss.quantile(done)
        if quantile >= 1:
            return torch.ones_like(counted)
        gathered, _ = everyones(torch.where(counted, items, torch.full_like(items, torch.nan)))
        return items <= gathered.nanquantile(quantile, 0)


def item_losses(
    loss: LossConfig, estimates: Tensor, targets: Tensor, mixture: Tensor, used: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the loss of every example and row (or combination of rows), and which of the losses count.

    Args:
        loss: The loss; ``robust`` and ``keep`` are ignored here.
        estimates: Estimated sources.
        targets: True sources.
        mixture: The mixture.
        used: Which rows belong to a class. Shape: (batch, row)

    Shape:
        Estimates and targets ``(batch, row, channel, time)``, the mixture ``(batch, channel, time)`` ->
        ``(batch, row)`` twice.
    """
    if loss.combination:
        sums = _sums(estimates.shape[1]).to(estimates)  # (sum, row)
        estimates, targets = (torch.einsum("kr,brct->bkct", sums, sounds) for sounds in (estimates, targets))
        used = (used.float() @ sums.T) > 0
    items = _distance(loss, estimates, targets)
    if loss.multi_domain:
        items = items + loss.multi_domain * _weighted_sdr(estimates, targets, mixture[:, None])
    if loss.multi_resolution:
        for n_fft in RESOLUTIONS:
            error = stft(estimates - targets, n_fft=n_fft, hop_length=min(RESOLUTION_HOP, n_fft // 2))
            distance = torch.view_as_real(error).abs().mean((-4, -3, -2, -1)) * (n_fft / 2)
            items = items + loss.multi_resolution * distance
    return items, used


def _distance(loss: LossConfig, estimates: Tensor, targets: Tensor) -> Tensor:
    if loss.kind == "l1":
        return (estimates - targets).abs().mean((-2, -1))
    if loss.kind == "mse":
        return (estimates - targets).square().mean((-2, -1))
    scale = loss.n_fft / 2  # the sum of the window: the scale of torch.stft, as in Open-Unmix
    estimated, true = (
        stft(sounds, n_fft=loss.n_fft, hop_length=loss.hop_length).abs() * scale for sounds in (estimates, targets)
    )
    return (estimated - true).square().mean((-3, -2, -1))


def sum_of_rows(estimates: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the estimates of the classes that share a source, into the row of that source.

    Args:
        estimates: Estimates of all classes.
        rows: Row of each class. Classes in the background's row, after that of the last class, are left out.
            Shape: (batch, label)

    Returns:
        The sums, and which rows belong to a class.

    Shape:
        ``(batch, label, channel, time)`` -> ``(batch, row, channel, time)`` and ``(batch, row)``.
    """
    num_rows = rows.shape[1]
    membership = functional.one_hot(rows, num_rows + 1)[..., :num_rows]  # (batch, label, row)
    return torch.einsum("blr,blct->brct", membership.to(estimates), estimates), membership.any(1)


def _sums(num_rows: int) -> Tensor:
    """Return all combinations of rows except none and all, as 0 and 1, ``(sum, row)``; a single row by itself."""
    chosen = [bits for bits in itertools.product((0.0, 1.0), repeat=num_rows) if 0 < sum(bits) < num_rows]
    return torch.tensor(chosen or [(1.0,)])


def _weighted_sdr(estimates: Tensor, targets: Tensor, mixture: Tensor) -> Tensor:
    """Return the weighted SDR loss (Choi et al. 2019).

    It is minus the cosine similarity of estimate and target, and minus that of the two residuals (mixture less
    source), weighted by the energies of target and residual.

    Shape:
        ``(..., channel, time)`` each -> ``(...)`` in [-1, 1].
    """
    residual, residual_estimate = mixture - targets, mixture - estimates
    energy, residual_energy = targets.square().sum((-2, -1)), residual.square().sum((-2, -1))
    share = energy / (energy + residual_energy).clamp_min(1e-12)
    return -share * _cosine(estimates, targets) - (1 - share) * _cosine(residual_estimate, residual)


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return functional.cosine_similarity(first.flatten(-2), second.flatten(-2), dim=-1, eps=1e-6)


def _stacked(mixer: SourceMixer, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
    examples = [mixer.example(number) for number in numbers]
    return (
        torch.from_numpy(np.stack([example.targets for example in examples])),
        torch.from_numpy(np.stack([example.rows for example in examples])),
    )
