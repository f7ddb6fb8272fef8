"""Estimate the label noise of a dataset from scores that may be wrong.

Conventions
    *Scores* are calibrated probabilities ``(stem, label)``; *claimed* is a Boolean array of the same shape with at
    least one class per stem. A claim is *wrong* if its class is absent. A stem has *bleed* if its class and an
    unclaimed one are present. Rates are shares, in [0, 1], of the stems that claim a class.

Rates
    The mean of the beliefs about each stem (:mod:`stemclean.metrics.label_beliefs`) is biased by the classifier's
    errors. :func:`adjusted` corrects this with a reference (:mod:`stemclean.metrics.label_reference`): scores of stems
    whose classes are known. The reference gives the mean belief about right stems, about stems with bleed and about
    wrong stems; the rates are the mixture of the three that explains the observed mean (Bella et al. 2010,
    "Quantification via probability estimators", for three outcomes at once). Without a reference, :func:`prior_shift`
    finds the rates with the highest likelihood (the EM of Saerens et al.); it misses bleed that the classifier does not
    detect.

Measured bleed
    Bleed may be known without a classifier (:class:`Measured`). Stems with a measurement count as measured, and bleed
    is estimated only in the others; knowing that a stem has no bleed also makes wrong claims easier to detect.
    :func:`adjusted` uses the measured stems twice: they also show how the classifier responds to bleed at the levels of
    this dataset, and the reference is shifted accordingly.

Intervals
    A bootstrap over tracks (:mod:`stemclean.metrics.track_bootstrap`): of the dataset, and of the reference, whose size
    limits what is known about the classifier. Without a reference, its calibration is varied instead.

The adjustment for three outcomes and all constants are our choice; ``benchmarks/noise_estimate.py`` compares them with
others on artificial noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemclean.metrics.label_beliefs import Beliefs, Group, Prior, beliefs_of, evidence_of, flat, groups_of
from stemclean.metrics.label_reference import (
    Reference,
    answers_of,
    corners_of,
    mixtures,
    pooled,
    shifted,
    without_bleed,
)
from stemclean.metrics.track_bootstrap import interval, track_weights, with_doubt

__all__ = ["Estimate", "Measured", "adjusted", "prior_shift", "validate"]

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

FLATTER = 0.7
"""Without a reference, log odds are scaled by this: scores are overconfident on stems unlike the calibration data."""
SLOPE_SPREAD, OFFSET_SPREAD = 0.25, 0.5
"""Without a reference, standard deviation of the calibration's slope (its logarithm) and of its offset (logits)."""


@dataclass(frozen=True)
class Measured:
    """Bleed that is known independently of the scores.

    Args:
        known: which stems have a measurement, ``(stem,)``; a stem with several claims cannot have one.
        beside: the unclaimed classes measured beside the claimed one, which is then present, ``(stem, label)``.
    """

    known: Mask
    beside: Mask

    @classmethod
    def nothing(cls, num_stems: int, num_labels: int) -> Measured:
        """Return measurements in which no stem was measured."""
        return cls(np.zeros(num_stems, bool), np.zeros((num_stems, num_labels), bool))

    def applied(self, believed: Beliefs) -> Beliefs:
        """Replace the beliefs about measured stems by the measurements."""
        known, beside = self.known[believed.stem], self.beside[believed.stem]
        return replace(
            believed,
            bleed=np.where(known, beside.any(1), believed.bleed),
            beside=np.where(known[:, None], beside, believed.beside),
        )

    def allowed(self, group: Group) -> Mask:
        """Return which sets of classes the measurements allow for the stems of a group, ``(stem, set)``.

        A stem with measured bleed contains its claim and measured classes; a stem measured to have none contains no
        more than its claim, or lacks the claim, in which case anything is allowed.
        """
        known, beside = self.known[group.rows], self.beside[group.rows]
        added = group.sets & ~group.row
        bleeds = (group.lost == 0) & added.any(1) & ~(added & ~beside[:, None]).any(2)
        none = (group.lost == 1) | ~added.any(1)
        return np.asarray(np.where(beside.any(1)[:, None], bleeds, none) | ~known[:, None])


@dataclass(frozen=True)
class Estimate:
    """Estimated rates with intervals: the last axis is (estimate, low, high), NaN for classes that nothing claims.

    Args:
        claims: number of stems that claim each class, ``(label,)``.
        tracks: number of their tracks, ``(label,)``.
        wrong: share of these stems that lack the class, ``(label, 3)``.
        bleed: share of these stems that contain it and an unclaimed class, ``(label, 3)``.
        found: share of the stems claiming the row's class in which the column's class was found unclaimed; on the
            diagonal, the share in which the claimed class was found, ``(label, label, 3)``.
        nothing: share of these stems in which no class was found, ``(label, 3)``.
        all_wrong, all_bleed: the same over all claims, ``(3,)``.
    """

    claims: NDArray[np.integer]
    tracks: NDArray[np.integer]
    wrong: Floats
    bleed: Floats
    found: Floats
    nothing: Floats
    all_wrong: Floats
    all_bleed: Floats


def validate(
    scores: Floats, claimed: Mask, tracks: Sequence[str] | NDArray[np.generic], measured: Measured | None = None
) -> None:
    """Check the inputs of an estimate.

    Raises:
        ValueError: shapes differ, scores are outside [0, 1], a stem claims nothing, or a stem with several claims has
            measured bleed.
    """
    if scores.ndim != 2 or scores.shape != claimed.shape or len(tracks) != len(scores):
        raise ValueError(f"scores {scores.shape}, claims {claimed.shape} and {len(tracks)} tracks differ in shape")
    if claimed.dtype != np.bool_ or not claimed.any(1).all():
        raise ValueError("claimed must be a Boolean array with at least one class per stem")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores lie outside [0, 1], or are not numbers")
    if measured and (measured.known.shape != claimed.shape[:1] or measured.beside.shape != claimed.shape):
        raise ValueError(f"measured: {measured.known.shape} and {measured.beside.shape} do not fit {claimed.shape}")
    if measured and (measured.known & (claimed.sum(1) > 1)).any():
        raise ValueError("measured: bleed beside several claims cannot be counted")


def adjusted(
    scores: Floats,
    claimed: Mask,
    tracks: Sequence[str] | NDArray[np.generic],
    reference: Reference,
    *,
    chance: float,
    measured: Measured | None = None,
    draws: int = 200,
    seed: int = 0,
) -> Estimate:
    """Estimate the rates of wrong claims and of bleed, corrected by the scores of known stems.

    Args:
        scores: calibrated probabilities of the classes.
        claimed: the claimed classes.
        tracks: the track of each stem, ``(stem,)``.
        reference: scores of known stems.
        chance: see :func:`~stemclean.metrics.label_beliefs.as_claimed`.
        measured: measured bleed.
        draws: number of bootstrap draws; 0: no intervals (they become [0, 1]).
        seed: random seed of the bootstrap; the same input and seed give the same result.

    Shape:
        scores, claimed: ``(stem, label)``.

    Raises:
        ValueError: see :func:`validate`.
    """
    validate(scores, claimed, tracks, measured)
    rng = np.random.default_rng(seed)
    evidence, num_labels = evidence_of(scores, chance), scores.shape[1]
    measured = measured or Measured.nothing(*scores.shape)
    believed = beliefs_of(evidence, claimed, *flat(Prior(), num_labels))
    sums = _Sums.of(believed, tracks, num_labels)
    bleeding = measured.known & measured.beside.any(1)
    groups = [
        _Sums.of(believed, tracks, num_labels, among=among)
        for among in (~measured.known, measured.known & ~bleeding, bleeding)
    ]
    known_stems = _known_stems(scores, claimed, tracks, measured, believed)
    reference_answers, known_answers = answers_of(reference, chance), answers_of(known_stems, chance)
    reference_tracks, track_of_reference = np.unique(reference.track, return_inverse=True)
    known_tracks = np.searchsorted(np.unique(np.asarray(tracks)), known_stems.track)
    totals: list[Any] = []
    rates: list[Any] = []
    for weights in track_weights(rng, sums.num_tracks, draws):
        num_reference_tracks = len(reference_tracks)
        drawn = rng.standard_exponential(num_reference_tracks) if rates else np.ones(num_reference_tracks)
        corners = pooled(*corners_of(reference_answers, reference, drawn[track_of_reference]))
        moved = shifted(corners, *corners_of(known_answers, known_stems, weights[known_tracks]))
        unmeasured, clean, mixed = (group.weighted(weights) for group in groups)
        shares = [mixtures(unmeasured, moved), without_bleed(clean, corners), np.tile([0.0, 1.0, 0.0], (num_labels, 1))]
        counts = np.stack([unmeasured[:, 0], clean[:, 0], mixed[:, 0]])
        totals.append(counts.sum(0))
        rates.append(np.einsum("gl,glo->lo", counts, np.stack(shares)) / np.maximum(totals[-1], 1e-12)[:, None])
    return _estimate(evidence, claimed, tracks, sums, measured, np.array(totals), np.array(rates), rng)


def prior_shift(
    scores: Floats,
    claimed: Mask,
    tracks: Sequence[str] | NDArray[np.generic],
    *,
    chance: float,
    measured: Measured | None = None,
    draws: int = 200,
    seed: int = 0,
) -> Estimate:
    """Estimate the rates with the highest likelihood; arguments as for :func:`adjusted`, but without a reference.

    Raises:
        ValueError: see :func:`validate`.
    """
    validate(scores, claimed, tracks, measured)
    rng = np.random.default_rng(seed)
    evidence, num_labels = evidence_of(scores, chance), scores.shape[1]
    measured = measured or Measured.nothing(*scores.shape)
    sums = _Sums.of(beliefs_of(evidence, claimed, *flat(Prior(), num_labels)), tracks, num_labels)
    totals: list[Any] = []
    rates: list[Any] = []
    groups = [(group, measured.allowed(group)) for group in groups_of(claimed)]
    best = np.full(num_labels, Prior.wrong), np.full(num_labels, Prior.bleed)
    for weights in track_weights(rng, sums.num_tracks, draws):
        varied, iterations = FLATTER * evidence, 60
        if rates:
            slope = np.exp(SLOPE_SPREAD * rng.standard_normal())
            varied, iterations = slope * varied + OFFSET_SPREAD * rng.standard_normal(num_labels), 8
        likelihoods = [(group, group.likelihood(varied) * allowed) for group, allowed in groups]
        wrong, bleed = _em(likelihoods, weights[sums.track], best, iterations)
        best = best if rates else (wrong, bleed)
        rates.append(np.stack([1 - wrong - bleed, bleed, wrong], axis=1))
        totals.append(sums.weighted(weights)[:, 0])
    return _estimate(FLATTER * evidence, claimed, tracks, sums, measured, np.array(totals), np.array(rates), rng)


@dataclass(frozen=True)
class _Sums:
    """Beliefs summed by track and claimed class, so that a draw of the bootstrap is one product.

    Args:
        table: ``(track, label * feature)``; the features are 1, wrong, bleed, nothing, instead, beside.
        track: index of each stem's track, ``(stem,)``.
        num_labels: number of classes.
    """

    table: Floats
    track: NDArray[np.integer]
    num_labels: int

    @classmethod
    def of(
        cls,
        believed: Beliefs,
        tracks: Sequence[str] | NDArray[np.generic],
        num_labels: int,
        *,
        among: Mask | None = None,
    ) -> _Sums:
        """Sum the beliefs about the claims of all stems, or only of the stems ``among``, ``(stem,)``."""
        names, track = np.unique(np.asarray(tracks), return_inverse=True)
        counted = np.ones(len(believed.stem)) if among is None else among[believed.stem].astype(float)
        columns = (believed.wrong, believed.bleed, believed.nothing, believed.instead, believed.beside)
        features = np.column_stack([counted, *columns]) * counted[:, None]
        table = np.zeros((len(names) * num_labels, features.shape[1]))
        np.add.at(table, track[believed.stem] * num_labels + believed.label, features)
        return cls(table.reshape(len(names), -1), track, num_labels)

    @property
    def num_tracks(self) -> int:
        return len(self.table)

    def weighted(self, weights: Floats) -> Floats:
        """Return weighted sums over the tracks, ``(label, feature)``."""
        return np.asarray((weights @ self.table).reshape(self.num_labels, -1))

    def counts(self) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """Return the number of claims of each class, and of their tracks, ``(label,)`` each."""
        claims = self.table.reshape(self.num_tracks, self.num_labels, -1)[:, :, 0]
        return claims.sum(0).round().astype(int), (claims > 0).sum(0)


def _known_stems(
    scores: Floats,
    claimed: Mask,
    tracks: Sequence[str] | NDArray[np.generic],
    measured: Measured,
    believed: Beliefs,
) -> Reference:
    """Return the stems of the dataset whose classes are known: their claim, and the bleed measured in them."""
    wrong = np.ones(len(scores))
    np.minimum.at(wrong, believed.stem, believed.wrong)
    chosen = measured.known & (measured.beside.sum(1) <= 1) & (wrong < 0.5)
    beside = np.where(measured.beside.any(1), measured.beside.argmax(1), -1)
    return Reference(scores[chosen], claimed.argmax(1)[chosen], beside[chosen], np.asarray(tracks)[chosen])


def _em(
    groups: Sequence[tuple[Group, Floats]], weights: Floats, start: tuple[Floats, Floats], iterations: int
) -> tuple[Floats, Floats]:
    """Return the rates of wrong claims and of bleed with the highest likelihood, ``(label,)`` each.

    Args:
        groups: the groups and the likelihoods of their sets, ``(stem, set)``.
        weights: weights of the stems, ``(stem,)``.
        start: initial rates.
        iterations: number of EM steps.
    """
    wrong, bleed = start
    num_labels = len(wrong)
    claims = np.sum([weights[group.rows].sum() * group.row for group, _ in groups], axis=0)
    for _ in range(iterations):
        safe = np.clip(wrong, 1e-4, 1 - 1e-4)
        among = np.clip(bleed / (1 - safe), 1e-4, 1 - 1e-4)  # share of the stems whose class is present
        lost, more = np.zeros(num_labels), np.zeros(num_labels)
        for group, likelihood in groups:
            prior = group.prior(safe, among, Prior.nothing)
            mass = prior * ((weights[group.rows] / (likelihood @ prior)) @ likelihood)  # (set,)
            lost += np.where(group.row, mass @ ~group.sets, 0.0)
            more += np.where(group.row, (mass * (group.sets & ~group.row).any(1)) @ group.sets, 0.0)
        wrong, bleed = (value / np.maximum(claims, 1e-12) for value in (lost, more))
    return wrong, bleed


def _estimate(
    evidence: Floats,
    claimed: Mask,
    tracks: Sequence[str] | NDArray[np.generic],
    sums: _Sums,
    measured: Measured,
    totals: Floats,
    rates: Floats,
    rng: np.random.Generator,
) -> Estimate:
    """Compute rates and intervals from all draws, and the classes found instead of the claimed ones.

    Args:
        totals: weighted numbers of claims, ``(1 + draw, label)``.
        rates: shares of right stems, stems with bleed and wrong stems, ``(1 + draw, label, 3)``.
    """
    num_labels = sums.num_labels
    claims, num_tracks = sums.counts()
    all_rates = np.einsum("dl,dlo->do", totals, rates) / np.maximum(totals.sum(1, keepdims=True), 1e-12)
    all_rates = with_doubt(all_rates[:, None], np.array([sums.num_tracks]), rng)[:, 0]
    rates = with_doubt(rates, num_tracks, rng)
    wrong, bleed = np.clip(rates[0, :, 2], 0.005, 0.995), np.clip(rates[0, :, 1], 0.0, 0.99)
    sharper = beliefs_of(evidence, claimed, wrong, np.clip(bleed / (1 - wrong), 0.005, 0.995), Prior.nothing)
    sharper = measured.applied(sharper)
    found = np.empty((len(rates), num_labels, num_labels))
    nothing = np.empty((len(rates), num_labels))
    shared = _Sums.of(sharper, tracks, num_labels)
    for number, weights in enumerate(track_weights(rng, sums.num_tracks, len(rates) - 1)):
        total = shared.weighted(weights)
        instead, beside = total[:, 4 : 4 + num_labels], total[:, 4 + num_labels :]
        per_wrong = rates[number, :, 2] / np.maximum(total[:, 1], 1e-12)
        per_bleed = rates[number, :, 1] / np.maximum(total[:, 2], 1e-12)
        found[number] = instead * per_wrong[:, None] + beside * per_bleed[:, None]
        np.fill_diagonal(found[number], 1 - rates[number, :, 2])
        nothing[number] = total[:, 3] * per_wrong
    unknown = claims == 0
    return Estimate(
        claims=claims,
        tracks=num_tracks,
        wrong=interval(rates[:, :, 2], unknown),
        bleed=interval(rates[:, :, 1], unknown),
        found=interval(np.clip(found, 0, 1), unknown),
        nothing=interval(np.clip(nothing, 0, 1), unknown),
        all_wrong=interval(all_rates[:, 2], np.array(len(claimed) == 0)),
        all_bleed=interval(all_rates[:, 1], np.array(len(claimed) == 0)),
    )
