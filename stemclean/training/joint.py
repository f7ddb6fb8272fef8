"""The task of a cascade: learn to separate mixtures and to track the f0 of the voice at the same time.

``loss = w * separation + (2 - w) * pitch`` as in DJCM (Wei et al. 2024, arXiv 2401.03856). The separation loss is that
of :mod:`stemclean.training.separate`. The pitch loss is the binary cross-entropy over the pitch classes of every frame,
with weight 10 on the true class. The tracker's input is the separated voice, so its gradient reaches the separator.
Examples are weighted by :mod:`stemclean.training.weighting`; frames of an estimated f0 by their confidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stemclean.data.aligned import AlignedMixer
from stemclean.models.cascade import Cascade
from stemclean.settings import OneOf, Settings
from stemclean.training import SEP_WEIGHT, WEIGHTING, track
from stemclean.training.processes import everyones
from stemclean.training.separate import LossConfig, item_losses, sum_of_rows
from stemclean.training.weighting import SampleLosses, Weighting
from stemclean.training.weighting import names as weightings

__all__ = ["JointConfig", "JointTask"]

SCORED_DB = 10.0
"""SDR in dB that counts as much as a raw pitch accuracy of 1 in the validation's ``score`` (our choice)."""


class JointConfig(Settings):
    """Settings of joint training.

    Args:
        weighting: How examples are weighted, a name of :mod:`stemclean.training.weighting`.
        sep_weight: Weight ``w`` of the separation loss, in [0, 2]; the pitch loss has weight ``2 - w``.
        confidences: Weight labels by their confidence. If false, estimated labels count as much as annotated ones.
    """

    section: ClassVar[str] = "joint"

    weighting: Annotated[str, OneOf(weightings)] = WEIGHTING
    sep_weight: Annotated[float, Field(ge=0, le=2)] = SEP_WEIGHT
    confidences: bool = True


@dataclass
class JointTask(track.Excerpts):
    """The task of joint training; see :class:`stemclean.training.loop.Task`.

    Args:
        model: The cascade to train.
        train, validation: Mixers of excerpts of different songs.
        loss: Loss of the separator.
        pitch: Loss of the tracker.
        config: Settings of joint training.
        weighting: Weights the examples; its state, if any, is saved in the checkpoint.
        batch_size: Examples per step, over all processes.
        processes: Number of processes that share a step.
        seed: Random seed of dropout.
        workers: Number of worker processes that cut excerpts in advance.
        validation_examples: Number of validation excerpts, always the same ones.
    """

    model: Cascade
    train: AlignedMixer
    validation: AlignedMixer
    loss: LossConfig
    pitch: track.PitchLoss
    config: JointConfig
    weighting: Weighting
    batch_size: int
    processes: int = 1
    seed: int = 0
    workers: int = 1
    validation_examples: int = 64

    score_name = "score"

    indivisible = "the weights of joint training compare all examples of a step"

    def totals(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """See :class:`stemclean.training.loop.Task`."""
        sources, _, trust, _, f0_trust, _ = batch
        trust, f0_trust = self._trusts(trust, f0_trust)
        return {"examples": trust.new_tensor(len(sources)), "trust": trust.sum(), "f0_trust": f0_trust.mean(1).sum()}

    def losses(
        self, model: nn.Module, batch: tuple[Tensor, ...], totals: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the joint loss of a batch, and the separation and pitch losses weighted by trust only."""
        sources, rows, trust, f0_hz, f0_trust, numbers = batch
        totals = totals or self.totals(batch)
        torch.manual_seed((self.seed << 40) + int(numbers[0]))
        mixture = sources.sum(1)
        estimates, logits = model(mixture)
        summed, used = sum_of_rows(estimates.float(), rows)
        items, used = item_losses(self.loss, summed, sources, mixture, used)
        separation = (items * used).sum(1) / items.shape[1]
        trust, f0_trust = self._trusts(trust, f0_trust)
        cascade = cast("Cascade", model)
        cents = cascade.tracker.cents
        pitch = self.pitch(logits, f0_hz, f0_trust, cents)
        with torch.no_grad():
            compares = self.weighting.needs_reference
            reference = self._reference(cascade, sources, rows, f0_hz, f0_trust) if compares else None
            weights = self._weights(separation, pitch, reference, trust, f0_trust.mean(1))
        share = self.config.sep_weight
        parts = [(w * loss).sum() / totals["examples"] for w, loss in zip(weights, (separation, pitch), strict=True)]
        return {
            "loss": share * parts[0] + (2 - share) * parts[1],
            "separation": track.trusted_mean(separation, trust, totals["trust"]),
            "pitch": track.trusted_mean(pitch, f0_trust.mean(1), totals["f0_trust"]),
        }

    def _trusts(self, trust: Tensor, f0_trust: Tensor) -> tuple[Tensor, Tensor]:
        """Return the trust in sources and f0; without ``confidences``, 1 for every label there is."""
        if self.config.confidences:
            return trust, f0_trust
        return (trust > 0).to(trust), (f0_trust > 0).to(f0_trust)

    def _weights(
        self, separation: Tensor, pitch: Tensor, reference: Tensor | None, trust: Tensor, f0_trust: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the weights of this process's examples within the batch of all processes; ``(batch,)`` each."""
        columns = [separation, pitch, trust, f0_trust, *([] if reference is None else [reference])]
        gathered, mine = everyones(torch.stack(columns, 1))
        separation, pitch, trust, f0_trust, *references = gathered.unbind(1)
        losses = SampleLosses(separation, pitch, references[0] if references else None, trust, f0_trust)
        separation_weights, pitch_weights = self.weighting.weights(losses)
        return separation_weights[mine], pitch_weights[mine]

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the SDR in dB and the pitch accuracies on the separated voice, on fixed excerpts.

        The SDR of a class is the median over its excerpts. ``score`` is the SDR, averaged over classes and divided by
        :data:`SCORED_DB`, plus the raw pitch accuracy (our choice).
        """
        cascade: Any = model
        device = next(model.parameters()).device
        ratios, tracked = [], []
        for numbers in track.groups(self.validation_examples):
            sources, rows, trust, f0_hz, f0_trust, _ = track.stacked(self.validation, numbers)
            estimates, logits = cascade(sources.sum(1).to(device))
            summed, used = sum_of_rows(estimates.float().cpu(), rows)
            ratios.append(_sdr_db(summed, sources, used & (trust[:, None] == 1)))
            tracked.append((logits, f0_hz, f0_trust))
        figures = _medians(torch.cat(ratios), cascade.spec.labels)
        accuracies = track.accuracies(tracked, cascade.tracker)
        score = figures.get("sdr_db", 0.0) / SCORED_DB + accuracies.get("rpa", 0.0)
        return {"score": score, **figures, **accuracies}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the weighting."""
        return self.weighting.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of the weighting."""
        self.weighting.load_state_dict(state)

    def _reference(self, cascade: Cascade, sources: Tensor, rows: Tensor, f0_hz: Tensor, f0_trust: Tensor) -> Tensor:
        """Return the pitch loss on the reference voice; NaN if the voice shares its row with other classes.

        It has no gradient and does not update the running statistics of batch norms.
        """
        row = rows[:, self.model.pitched_row]
        voice = sources[torch.arange(len(sources), device=sources.device), row]
        with still_norms(cascade.tracker):
            logits = cascade.track(voice)
        losses = self.pitch(logits, f0_hz, f0_trust, cascade.tracker.cents)
        alone = (rows == row[:, None]).sum(1) == 1
        return torch.where(alone, losses, torch.full_like(losses, torch.nan))


@contextmanager
def still_norms(model: nn.Module) -> Iterator[None]:
    """Let batch norms normalise by the statistics of the batch without updating their running statistics."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.track_running_stats, norm.running_mean, norm.running_var) for norm in norms]
    try:
        for norm in norms:
            if norm.training:
                norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None
        yield
    finally:
        for norm, (tracks, mean, variance) in zip(norms, before, strict=True):
            norm.track_running_stats, norm.running_mean, norm.running_var = tracks, mean, variance


def _sdr_db(estimates: Tensor, sources: Tensor, known: Tensor) -> Tensor:
    """Return 10 log10 of the energy of a source over that of the error; NaN where it is silent or unknown."""
    energy, error = sources.square().sum((2, 3)), (estimates - sources).square().sum((2, 3))
    ratio = 10 * torch.log10(energy / error.clamp_min(1e-10))
    return torch.where(known & (energy > 0), ratio, torch.full_like(ratio, torch.nan))


def _medians(ratios: Tensor, labels: Sequence[str]) -> dict[str, float]:
    """Return the median over excerpts of each class, and their mean as ``sdr_db``; empty if all are NaN."""
    medians = ratios.nanmedian(0).values
    by_class = {f"sdr_db/{label}": float(v) for label, v in zip(labels, medians, strict=True) if not v.isnan()}
    return {"sdr_db": float(np.mean(list(by_class.values()))), **by_class} if by_class else {}
