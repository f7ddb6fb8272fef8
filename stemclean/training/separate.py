"""The separator's task: mixtures of known sources in, the sources out (Koo et al. 2023, section 3.2).

Where one source holds several classes, the sum of their estimates is compared with it; every other class keeps its own
loss; the losses are added.

Two ways to live with wrong labels without cleaning them are here as well, as options, since cleaning must beat them.
Both compare the losses of a class over the batch and let the largest ones go:

* ``masked``: those above the 0.95 quantile, the default of a widely used trainer (Solovyev's);
* ``truncated``: loss truncation (Kang and Hashimoto 2020, arXiv 2004.14589) as the winner of the label-noise board of
  SDX'23 had it (team CCOM): quantile 0.7, then 0.5, then 0.3, for 5/9, 2/9 and 2/9 of the training.
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
"""From which share of the training on, losses up to which quantile of the batch count."""

RESOLUTIONS = (4096, 2048, 1024, 512, 256)
RESOLUTION_HOP = 147
MOST_COMBINED = 6
VALIDATION_BATCH = 8


_Quantile = Annotated[float, Field(gt=0, le=1)]
_Weight = Annotated[float, Field(ge=0, le=1e6)]


class LossConfig(Settings):
    """What is minimised.

    Args:
        kind: ``l1`` or ``mse`` of the waveforms, or ``magnitude``: squared error of STFT magnitudes.
        n_fft, hop_length: of the STFT of ``magnitude``.
        multi_domain: weight of the weighted SDR of the waveforms (X-UMX, its equation 2 and 3), which that paper adds
            to the spectral loss with weight 10; 0: none.
        combination: compare sums of sources as well, all of them but the mixture itself (X-UMX, section 3.2).
        multi_resolution: weight of the L1 distance of complex spectrograms at five resolutions (BS-RoFormer,
            section 3.4); 0: none.
        robust: a key of :data:`ROBUST`.
        keep: pairs (share of the training, quantile) instead of those of ``robust``.
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
        """Losses up to this quantile of the batch count.

        Args:
            done: share of the training, in [0, 1].
        """
        pairs = self.keep or ROBUST[self.robust]
        return next((quantile for share, quantile in sorted(pairs, reverse=True) if done >= share), 1.0)


@dataclass
class SeparateTask:
    """See :class:`stemclean.training.loop.Task`.

    Args:
        model: its spec says what a batch is.
        train, validation: mixers of different tracks.
        loss: what is minimised.
        batch_size: examples a step, over all processes.
        examples: how many in all, over all processes.
        processes: how many share a step.
        seed: of what the model drops; the mixers have their own.
        workers: processes that mix ahead.
        validation_examples: mixtures, always the same ones.
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
                f"loss.combination with {len(self.model.spec.labels)} classes has too many sums",
                f"it is for {MOST_COMBINED} classes at most",
            )

    def batches(self, rank: int, start_step: int) -> Iterator[tuple[Tensor, ...]]:
        """Targets ``(batch, row, channel, time)``, rows ``(batch, label)`` and the examples' numbers ``(batch,)``.

        A mixture is the sum of its rows, of which the last may be a background that is not separated.

        Step k of a run always has the same examples, with any number of workers, and whether or not the run was broken
        off before.
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
        """Targets and rows of some training examples, and their numbers."""
        return *_stacked(self.train, numbers), torch.tensor(numbers)

    @property
    def indivisible(self) -> str | None:
        """Robust losses compare the examples of a batch."""
        if not (self.loss.keep or ROBUST[self.loss.robust]):
            return None
        return "loss.robust and loss.keep compare all losses of a step, and let the largest go"

    def totals(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """See :class:`stemclean.training.loop.Task`."""
        return {"examples": torch.tensor(float(len(batch[0])), device=batch[0].device)}

    def losses(
        self, model: nn.Module, batch: tuple[Tensor, ...], totals: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The loss of some examples, and the share of the single losses that count in it.

        What the model drops (dropout) depends on the seed and the examples alone, so that a run that was broken off
        goes on as if it had not been.
        """
        targets, rows, numbers = batch
        first = int(numbers[0])
        share = len(targets) / (totals or self.totals(batch))["examples"]
        torch.manual_seed((self.seed << 40) + first)
        mixture = targets.sum(1)
        estimates, there = sum_of_rows(model(mixture).float(), rows)
        wanted = targets[:, : estimates.shape[1]]  # without the background
        items, counted = item_losses(self.loss, estimates, wanted, mixture, there)
        kept = counted & self._small_enough(items.detach(), counted, first / max(1, self.examples))
        loss = torch.where(kept, items, torch.zeros_like(items)).sum() / items.numel()
        return {"loss": share * loss, "kept": share * kept.sum() / counted.sum()}

    def hear(self, model: nn.Module, batch: tuple[Tensor, ...]) -> None:
        """Give the model a batch's mixtures."""
        model(batch[0].sum(1))

    def validate(self, model: nn.Module) -> dict[str, float]:
        """SDR in dB on fixed mixtures: the median of a class's mixtures, and their mean over the classes (``score``).

        It is 10 log10 of the energy of a target over the energy of the error, per mixture; silent targets do not count.
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
        """Where a loss is not above the quantile of its class in the batch of all processes; ``(batch, row)``."""
        quantile = self.loss.quantile(done)
        if quantile >= 1:
            return torch.ones_like(counted)
        every, _ = everyones(torch.where(counted, items, torch.full_like(items, torch.nan)))
        return items <= every.nanquantile(quantile, 0)


def item_losses(
    loss: LossConfig, estimates: Tensor, targets: Tensor, mixture: Tensor, there: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss of every example and row (or sum of rows), and whether it means anything; both ``(batch, row)``.

    Args:
        loss: what is minimised; ``robust`` and ``keep`` are the caller's.
        there: which rows are any class's. Shape: (batch, row)

    Shape:
        ``(batch, row, channel, time)`` each, the mixture ``(batch, channel, time)``.
    """
    if loss.combination:
        sums = _sums(estimates.shape[1]).to(estimates)  # (sum, row)
        estimates, targets = (torch.einsum("kr,brct->bkct", sums, sounds) for sounds in (estimates, targets))
        there = (there.float() @ sums.T) > 0
    items = _distance(loss, estimates, targets)
    if loss.multi_domain:
        items = items + loss.multi_domain * _weighted_sdr(estimates, targets, mixture[:, None])
    if loss.multi_resolution:
        for n_fft in RESOLUTIONS:
            error = stft(estimates - targets, n_fft=n_fft, hop_length=min(RESOLUTION_HOP, n_fft // 2))
            distance = torch.view_as_real(error).abs().mean((-4, -3, -2, -1)) * (n_fft / 2)
            items = items + loss.multi_resolution * distance
    return items, there


def _distance(loss: LossConfig, estimates: Tensor, targets: Tensor) -> Tensor:
    if loss.kind == "l1":
        return (estimates - targets).abs().mean((-2, -1))
    if loss.kind == "mse":
        return (estimates - targets).square().mean((-2, -1))
    scale = loss.n_fft / 2  # the window's sum: magnitudes as torch.stft has them, as in Open-Unmix
    heard, wanted = (
        stft(sounds, n_fft=loss.n_fft, hop_length=loss.hop_length).abs() * scale for sounds in (estimates, targets)
    )
    return (heard - wanted).square().mean((-3, -2, -1))


def sum_of_rows(estimates: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Estimates of classes that share a source, added up in its row.

    Args:
        rows: in which row each class is, ``(batch, label)``; those in the background's row, after the last class's,
            are left out.

    Shape:
        ``(batch, label, channel, time)`` -> ``(batch, row, channel, time)`` and ``(batch, row)``: which rows are any
        class's.
    """
    num_rows = rows.shape[1]
    places = functional.one_hot(rows, num_rows + 1)[..., :num_rows]  # (batch, label, row)
    return torch.einsum("blr,blct->brct", places.to(estimates), estimates), places.any(1)


def _sums(num_rows: int) -> Tensor:
    """Every choice of rows but none and all, ``(sum, row)`` of 0 and 1; of one row, that row."""
    chosen = [bits for bits in itertools.product((0.0, 1.0), repeat=num_rows) if 0 < sum(bits) < num_rows]
    return torch.tensor(chosen or [(1.0,)])


def _weighted_sdr(estimates: Tensor, targets: Tensor, mixture: Tensor) -> Tensor:
    """Minus the cosine of estimate and target and that of the two rests, by their energies (Choi et al. 2019).

    Shape:
        ``(..., channel, time)`` each -> ``(...)`` in [-1, 1].
    """
    rest, rest_estimate = mixture - targets, mixture - estimates
    energy, rest_energy = targets.square().sum((-2, -1)), rest.square().sum((-2, -1))
    share = energy / (energy + rest_energy).clamp_min(1e-12)
    return -share * _cosine(estimates, targets) - (1 - share) * _cosine(rest_estimate, rest)


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return functional.cosine_similarity(one.flatten(-2), other.flatten(-2), dim=-1, eps=1e-6)


def _stacked(mixer: SourceMixer, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
    examples = [mixer.example(number) for number in numbers]
    return (
        torch.from_numpy(np.stack([example.targets for example in examples])),
        torch.from_numpy(np.stack([example.rows for example in examples])),
    )
