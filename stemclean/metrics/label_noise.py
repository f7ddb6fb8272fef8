"""How noisy the claims of a dataset are, told from scores that can be wrong themselves.

Conventions
    *Scores* are calibrated probabilities ``(stem, label)``, *claimed* is a Boolean array of the same shape with at
    least one class a stem. A claim is *wrong* where its class is absent; a stem *bleeds* where its class is there and
    another, unclaimed one too. Rates are shares of the stems that claim a class, in [0, 1].

Rates
    Means of what is believed of each stem (:mod:`stemclean.metrics.label_beliefs`) are wrong by what the classifier is
    wrong. With a reference (:mod:`stemclean.metrics.label_reference`), scores of stems whose classes are known,
    :func:`adjusted` undoes that: what the same beliefs come to on stems that are right, that bleed and that hold
    something else is known, and the rates are the mixture of the three that gives what was observed (Bella et al. 2010,
    "Quantification via probability estimators", for three outcomes at once). Without one, :func:`prior_shift` finds the
    rates under which the scores are likeliest (the EM of Saerens et al.); bleed that the classifier does not hear is
    missing then.

Measured bleed
    What bleeds into a stem may be known without a classifier (:class:`Measured`). Such stems count as they were
    measured, and only in the others is bleed estimated; which of those without bleed are wrong is more easily told,
    too. :func:`adjusted` uses the measured ones twice: they say what the classifier makes of bleed in this dataset, at
    the levels that it has here, by which the reference is moved.

Intervals
    A bootstrap over tracks (:mod:`stemclean.metrics.track_bootstrap`): of the dataset, and of the reference, whose size
    bounds what is known of the classifier; without a reference its calibration is varied instead.

The three-outcome adjustment and the choice of all constants are ours; ``benchmarks/noise_estimate.py``
compares them with others on planted noise.
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
"""Without a reference, log odds count this much: scores are surer of stems like those that they were calibrated on."""
SLOPE_SPREAD, OFFSET_SPREAD = 0.25, 0.5
"""Without a reference, standard deviation of the calibration's slope (its logarithm) and of its offset (logits)."""


@dataclass(frozen=True)
class Measured:
    """Bleed that is known whatever the scores say.

    Args:
        known: of which stems, ``(stem,)``; of several claims it is not known which of them a class is beside.
        beside: the unclaimed classes that are in them beside the claimed one, which is there then, ``(stem, label)``.
    """

    known: Mask
    beside: Mask

    @classmethod
    def nothing(cls, num_stems: int, num_labels: int) -> Measured:
        """No stem was measured."""
        return cls(np.zeros(num_stems, bool), np.zeros((num_stems, num_labels), bool))

    def applied(self, what: Beliefs) -> Beliefs:
        """Beliefs with what is known in place of what was believed of it."""
        known, beside = self.known[what.stem], self.beside[what.stem]
        return replace(
            what,
            bleed=np.where(known, beside.any(1), what.bleed),
            beside=np.where(known[:, None], beside, what.beside),
        )

    def allowed(self, group: Group) -> Mask:
        """Which sets of classes the stems of a group may hold, ``(stem, set)``.

        One with bleed holds what it claims and what was measured; one without holds no more than it claims, or has
        lost that, of which nothing is known.
        """
        known, beside = self.known[group.rows], self.beside[group.rows]
        added = group.sets & ~group.row
        bleeds = (group.lost == 0) & added.any(1) & ~(added & ~beside[:, None]).any(2)
        none = (group.lost == 1) | ~added.any(1)
        return np.asarray(np.where(beside.any(1)[:, None], bleeds, none) | ~known[:, None])


@dataclass(frozen=True)
class Estimate:
    """Rates, each with the ends of its interval: the last axis is (estimate, low, high), NaN where nothing is claimed.

    Args:
        claims: stems that claim each class, ``(label,)``; ``tracks``: of how many tracks they are.
        wrong: share of them in which the class is absent, ``(label, 3)``.
        bleed: share of them that hold it and an unclaimed class, ``(label, 3)``.
        found: share of the stems that claim the row's class in which the column's was found without being claimed; on
            the diagonal, in which the claimed one was found, ``(label, label, 3)``.
        nothing: share of them in which no class was found, ``(label, 3)``.
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
    """Check what an estimate is made of.

    Raises:
        ValueError: shapes that differ, scores outside [0, 1], a stem that claims nothing, or measured bleed in one that
            claims several classes.
    """
    if scores.ndim != 2 or scores.shape != claimed.shape or len(tracks) != len(scores):
        raise ValueError(f"scores {scores.shape}, claims {claimed.shape} and {len(tracks)} tracks differ in shape")
    if claimed.dtype != np.bool_ or not claimed.any(1).all():
        raise ValueError("claimed: a Boolean array with at least one class a stem is wanted")
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
    """Rates of wrong claims and of bleed by what the classifier says of known stems.

    Args:
        tracks: the song that each stem is of, ``(stem,)``.
        chance: see :func:`~stemclean.metrics.label_beliefs.as_claimed`.
        measured: bleed that is known.
        draws: of the bootstrap; 0: no intervals (they are as wide as nothing).
        seed: of the bootstrap; the same input and seed give the same numbers.

    Shape:
        scores, claimed: ``(stem, label)``.

    Raises:
        ValueError: see :func:`validate`.
    """
    validate(scores, claimed, tracks, measured)
    rng = np.random.default_rng(seed)
    evidence, num_labels = evidence_of(scores, chance), scores.shape[1]
    measured = measured or Measured.nothing(*scores.shape)
    what = beliefs_of(evidence, claimed, *flat(Prior(), num_labels))
    sums = _Sums.of(what, tracks, num_labels)
    bleeding = measured.known & measured.beside.any(1)
    groups = [
        _Sums.of(what, tracks, num_labels, among=among)
        for among in (~measured.known, measured.known & ~bleeding, bleeding)
    ]
    here = _of_dataset(scores, claimed, tracks, measured, what)
    answers, answers_here = answers_of(reference, chance), answers_of(here, chance)
    own, references = np.unique(reference.track, return_inverse=True)
    tracks_here = np.searchsorted(np.unique(np.asarray(tracks)), here.track)
    totals: list[Any] = []
    rates: list[Any] = []
    for weights in track_weights(rng, sums.num_tracks, draws):
        known = (rng.standard_exponential(len(own)) if rates else np.ones(len(own)))[references]
        corners = pooled(*corners_of(answers, reference, known))
        moved = shifted(corners, *corners_of(answers_here, here, weights[tracks_here]))
        unknown, whole, mixed = (group.weighted(weights) for group in groups)
        shares = [mixtures(unknown, moved), without_bleed(whole, corners), np.tile([0.0, 1.0, 0.0], (num_labels, 1))]
        counts = np.stack([unknown[:, 0], whole[:, 0], mixed[:, 0]])
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
    """Rates under which the scores are likeliest; arguments as for :func:`adjusted`, but without a reference.

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
        heard = [(group, group.likelihood(varied) * allowed) for group, allowed in groups]
        wrong, bleed = _em(heard, weights[sums.track], best, iterations)
        best = best if rates else (wrong, bleed)
        rates.append(np.stack([1 - wrong - bleed, bleed, wrong], axis=1))
        totals.append(sums.weighted(weights)[:, 0])
    return _estimate(FLATTER * evidence, claimed, tracks, sums, measured, np.array(totals), np.array(rates), rng)


@dataclass(frozen=True)
class _Sums:
    """Beliefs added up by track and claimed class, so that a draw of the bootstrap is one product.

    Args:
        table: ``(track, label * feature)``; the features are 1, wrong, bleed, nothing, instead, beside.
        track: index of each stem's track, ``(stem,)``.
        num_labels: how many classes.
    """

    table: Floats
    track: NDArray[np.integer]
    num_labels: int

    @classmethod
    def of(
        cls,
        what: Beliefs,
        tracks: Sequence[str] | NDArray[np.generic],
        num_labels: int,
        *,
        among: Mask | None = None,
    ) -> _Sums:
        """Sums of the claims of all stems, or of those ``among``, ``(stem,)``."""
        names, track = np.unique(np.asarray(tracks), return_inverse=True)
        ones = np.ones(len(what.stem)) if among is None else among[what.stem].astype(float)
        features = np.column_stack([ones, what.wrong, what.bleed, what.nothing, what.instead, what.beside])
        features = features * ones[:, None]
        table = np.zeros((len(names) * num_labels, features.shape[1]))
        np.add.at(table, track[what.stem] * num_labels + what.label, features)
        return cls(table.reshape(len(names), -1), track, num_labels)

    @property
    def num_tracks(self) -> int:
        return len(self.table)

    def weighted(self, weights: Floats) -> Floats:
        """Sums over the tracks, ``(label, feature)``."""
        return np.asarray((weights @ self.table).reshape(self.num_labels, -1))

    def counts(self) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """Claims of each class, and the tracks that they are of, ``(label,)`` both."""
        claims = self.table.reshape(self.num_tracks, self.num_labels, -1)[:, :, 0]
        return claims.sum(0).round().astype(int), (claims > 0).sum(0)


def _of_dataset(
    scores: Floats,
    claimed: Mask,
    tracks: Sequence[str] | NDArray[np.generic],
    measured: Measured,
    what: Beliefs,
) -> Reference:
    """The stems of which is known what they hold: the class that they claim, and what was measured in them."""
    wrong = np.ones(len(scores))
    np.minimum.at(wrong, what.stem, what.wrong)
    chosen = measured.known & (measured.beside.sum(1) <= 1) & (wrong < 0.5)
    beside = np.where(measured.beside.any(1), measured.beside.argmax(1), -1)
    return Reference(scores[chosen], claimed.argmax(1)[chosen], beside[chosen], np.asarray(tracks)[chosen])


def _em(
    groups: Sequence[tuple[Group, Floats]], weights: Floats, start: tuple[Floats, Floats], iterations: int
) -> tuple[Floats, Floats]:
    """Rates of wrong claims and of bleed under which the evidence is likeliest, ``(label,)`` each.

    Args:
        groups: with their likelihoods, ``(stem, set)``.
        weights: of the stems, ``(stem,)``.
        start: rates to begin with.
    """
    wrong, bleed = start
    num_labels = len(wrong)
    claims = np.sum([weights[group.rows].sum() * group.row for group, _ in groups], axis=0)
    for _ in range(iterations):
        safe = np.clip(wrong, 1e-4, 1 - 1e-4)
        among = np.clip(bleed / (1 - safe), 1e-4, 1 - 1e-4)  # of the stems whose class is there
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
    """Rates and intervals from those of all draws, and what was found instead.

    Args:
        totals: weighted claims, ``(1 + draw, label)``.
        rates: shares that are right, bleed, are wrong, ``(1 + draw, label, 3)``.
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
        of_wrong = rates[number, :, 2] / np.maximum(total[:, 1], 1e-12)
        of_bleed = rates[number, :, 1] / np.maximum(total[:, 2], 1e-12)
        found[number] = instead * of_wrong[:, None] + beside * of_bleed[:, None]
        np.fill_diagonal(found[number], 1 - rates[number, :, 2])
        nothing[number] = total[:, 3] * of_wrong
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
