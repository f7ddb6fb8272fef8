"""The task of a cascade: mixtures in, sources and the f0 of the voice out, both learned together.

``loss = w * separation + (2 - w) * pitch`` as in DJCM (Wei et al. 2024, arXiv 2401.03856): separation as in
:mod:`stemclean.training.separate`, pitch the binary cross-entropy over the pitch classes of every frame, the right
class weighted 10. The tracker hears the separated voice, so that its gradient reaches the separator. Examples
are weighted by :mod:`stemclean.training.weighting`; frames of an f0 that a tracker estimated, by their own confidence.
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
from stemclean.training import numbered, track
from stemclean.training.processes import everyones
from stemclean.training.separate import LossConfig, item_losses, sum_of_rows
from stemclean.training.weighting import SampleLosses, Weighting
from stemclean.training.weighting import names as weightings

__all__ = ["JointConfig", "JointTask"]

SCORED_DB = 10.0
"""Decibels that weigh as much as all of the raw pitch accuracy in a validation's ``score`` (ours)."""


class JointConfig(Settings):
    """How two models are trained as one.

    Args:
        weighting: a name of :mod:`stemclean.training.weighting`.
        sep_weight: of separation, in [0, 2]; pitch has the rest of 2.
        confidences: False: every label counts as if a person had given it.
    """

    section: ClassVar[str] = "joint"

    weighting: Annotated[str, OneOf(weightings)] = "uniform"
    sep_weight: Annotated[float, Field(ge=0, le=2)] = 1.0
    confidences: bool = True


@dataclass
class JointTask:
    """See :class:`stemclean.training.loop.Task`.

    Args:
        model: what is trained.
        train, validation: excerpts of different songs.
        loss: of separation.
        pitch: of the tracker.
        config: how both are joined.
        weighting: of the examples; it may have a state, which the checkpoint holds.
        batch_size: examples a step, over all processes.
        processes: how many share a step.
        seed: of what the model drops.
        workers: processes that cut excerpts ahead.
        validation_examples: excerpts, always the same ones.
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

    def batches(self, rank: int, start_step: int) -> Iterator[tuple[Tensor, ...]]:
        """Targets, rows, trust of the sources, f0, its trust, and the examples' numbers.

        Step k of a run always has the same examples, with any number of workers.
        """
        return numbered.batches(
            lambda numbers: track.stacked(self.train, numbers),
            self.batch_size,
            rank=rank,
            processes=self.processes,
            start_step=start_step,
            workers=self.workers,
        )

    indivisible = "the weights of joint training compare all examples of a step"

    def totals(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """See :class:`stemclean.training.loop.Task`."""
        sources, _, trust, _, f0_trust, _ = batch
        trust, f0_trust = self._trusts(trust, f0_trust)
        return {"examples": trust.new_tensor(len(sources)), "trust": trust.sum(), "f0_trust": f0_trust.mean(1).sum()}

    def losses(
        self, model: nn.Module, batch: tuple[Tensor, ...], totals: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The joint loss of some examples, and both losses apart, weighted by trust alone."""
        sources, rows, trust, f0_hz, f0_trust, numbers = batch
        totals = totals or self.totals(batch)
        torch.manual_seed((self.seed << 40) + int(numbers[0]))
        mixture = sources.sum(1)
        estimates, logits = model(mixture)
        summed, there = sum_of_rows(estimates.float(), rows)
        items, there = item_losses(self.loss, summed, sources, mixture, there)
        separation = (items * there).sum(1) / items.shape[1]
        trust, f0_trust = self._trusts(trust, f0_trust)
        cascade = cast("Cascade", model)
        cents = cascade.tracker.cents
        pitch = self.pitch(logits, f0_hz, f0_trust, cents)
        with torch.no_grad():
            compares = self.weighting.needs_reference
            reference = self._reference(cascade, sources, rows, f0_hz, f0_trust) if compares else None
            of_separation, of_pitch = self._weights(separation, pitch, reference, trust, f0_trust.mean(1))
        share = self.config.sep_weight
        parts = [(w * each).sum() / totals["examples"] for w, each in ((of_separation, separation), (of_pitch, pitch))]
        return {
            "loss": share * parts[0] + (2 - share) * parts[1],
            "separation": track.trusted_mean(separation, trust, totals["trust"]),
            "pitch": track.trusted_mean(pitch, f0_trust.mean(1), totals["f0_trust"]),
        }

    def _trusts(self, trust: Tensor, f0_trust: Tensor) -> tuple[Tensor, Tensor]:
        """As they are, or whole wherever there is a label at all."""
        if self.config.confidences:
            return trust, f0_trust
        return (trust > 0).to(trust), (f0_trust > 0).to(f0_trust)

    def _weights(
        self, separation: Tensor, pitch: Tensor, reference: Tensor | None, trust: Tensor, f0_trust: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of this process's examples, weighed among those of all; ``(batch,)`` each."""
        known = [separation, pitch, trust, f0_trust, *([] if reference is None else [reference])]
        every, mine = everyones(torch.stack(known, 1))
        separation, pitch, trust, f0_trust, *compared = every.unbind(1)
        told = SampleLosses(separation, pitch, compared[0] if compared else None, trust, f0_trust)
        of_separation, of_pitch = self.weighting.weights(told)
        return of_separation[mine], of_pitch[mine]

    def hear(self, model: nn.Module, batch: tuple[Tensor, ...]) -> None:
        """Give the model a batch's mixtures."""
        model(batch[0].sum(1))

    def validate(self, model: nn.Module) -> dict[str, float]:
        """SDR in dB (median of a class's excerpts) and pitch accuracies on the separated voice, on fixed excerpts.

        ``score`` is the SDR, averaged over classes, in tens of dB, and the raw pitch accuracy, together (ours).
        """
        cascade: Any = model
        device = next(model.parameters()).device
        ratios, heard = [], []
        for numbers in track.groups(self.validation_examples):
            sources, rows, trust, f0_hz, f0_trust, _ = track.stacked(self.validation, numbers)
            estimates, logits = cascade(sources.sum(1).to(device))
            summed, there = sum_of_rows(estimates.float().cpu(), rows)
            known = there & (trust[:, None] == 1)
            ratios.append(_sdr_db(summed, sources, known))
            heard.append((logits, f0_hz, f0_trust))
        figures = _medians(torch.cat(ratios), cascade.spec.labels)
        accuracies = track.accuracies(heard, cascade.tracker)
        score = figures.get("sdr_db", 0.0) / SCORED_DB + accuracies.get("rpa", 0.0)
        return {"score": score, **figures, **accuracies}

    def state_dict(self) -> dict[str, Any]:
        """The weighting's."""
        return self.weighting.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where a run was."""
        self.weighting.load_state_dict(state)

    def _reference(self, cascade: Cascade, sources: Tensor, rows: Tensor, f0_hz: Tensor, f0_trust: Tensor) -> Tensor:
        """The pitch loss on the reference voice, NaN where the voice shares its row with other classes.

        Nothing is learned from it, running statistics included.
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
    """Batch norms that measure a batch and remember nothing of it."""
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
    """10 log10 of the energy of a source over that of the error; NaN where it is silent or not known."""
    energy, error = sources.square().sum((2, 3)), (estimates - sources).square().sum((2, 3))
    ratio = 10 * torch.log10(energy / error.clamp_min(1e-10))
    return torch.where(known & (energy > 0), ratio, torch.full_like(ratio, torch.nan))


def _medians(ratios: Tensor, labels: Sequence[str]) -> dict[str, float]:
    """Median of each class's excerpts, and their mean as ``sdr_db``; nothing where nothing is known."""
    medians = ratios.nanmedian(0).values
    found = {f"sdr_db/{label}": float(v) for label, v in zip(labels, medians, strict=True) if not v.isnan()}
    return {"sdr_db": float(np.mean(list(found.values()))), **found} if found else {}
