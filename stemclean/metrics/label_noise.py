"""How noisy the claims of a dataset are, told from scores that can be wrong themselves.

Conventions
    *Scores* are calibrated probabilities ``(stem, label)``, *claimed* is a Boolean array of the same shape with at
    least one class a stem. A claim is *wrong* where its class is absent; a stem *bleeds* where its class is there and
    another, unclaimed one too. Rates are shares of the stems that claim a class, in [0, 1].

Sets of classes
    A stem holds a set of classes: what it claims, with claims lost and classes added. The chance of each set is Bayes'
    rule with the classes independent given the set: the prior odds that the scores were calibrated at are divided out
    (Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori probabilities") and
    those of a claim put in (:class:`Prior`). So a stem that a class is missing from must hold something instead, and a
    classifier that hears nothing is no proof of a wrong claim.

Rates
    Means of such chances are wrong by what the classifier is wrong. With a :class:`Reference`, scores of stems whose
    classes are known, :func:`adjusted` undoes that: what the same chances come to on stems that are right, that bleed
    and that hold something else is known, and the rates are the mixture of the three that gives what was observed
    (Bella et al. 2010, "Quantification via probability estimators", for three outcomes at once). Without one,
    :func:`prior_shift` finds the rates under which the scores are likeliest (the EM of Saerens et al.); bleed that the
    classifier does not hear is missing then.

Intervals
    A Bayesian bootstrap (Rubin 1981) over tracks, as stems of a track are no independent draws: of the dataset, and of
    the reference, whose size bounds what is known of the classifier; without a reference its calibration is varied
    instead. Half a track of each outcome is added (Jeffreys' prior), so that a handful of stems without a fault does
    not pass for proof. They tell the rate of the source that the dataset is a sample of, and not only of its stems.

The three-outcome adjustment, the sets and the choice of all constants are ours; ``benchmarks/noise_estimate.py``
compares them with others on planted noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

__all__ = ["Estimate", "Prior", "Reference", "adjusted", "as_claimed", "beliefs", "prior_shift", "share", "validate"]

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

CLIP = 1e-3
"""Scores are believed this far from 0 and 1: a calibration on some hundred stems knows no more."""
MOST_ADDED = 2
"""Unclaimed classes of a set, at most."""
ONE_OF_MANY = 0.5
"""Chance that nothing stands in for a lost class where another claimed one is there."""
POOL = 8.0
"""Stems for which the average of all classes stands in the reference of each: a class has some twenty."""
FLATTER = 0.7
"""Without a reference, log odds count this much: scores are surer of stems like those that they were calibrated on."""
SLOPE_SPREAD, OFFSET_SPREAD = 0.25, 0.5
"""Without a reference, standard deviation of the calibration's slope (its logarithm) and of its offset (logits)."""
LEVEL = 0.95
"""Of the intervals."""


@dataclass(frozen=True)
class Prior:
    """What is believed of a claim before anything is heard: most are right, and bleed is commoner than a wrong name.

    Of the rates tried, these rank planted faults of the validation stems well at all shares of them.

    Args:
        wrong: chance that a claimed class is absent.
        bleed: chance that one more class is there than claimed, or than stands in for a lost one.
        nothing: chance that no class is there where none of the claimed is: noise, speech, an unknown instrument.
    """

    wrong: float = 0.1
    bleed: float = 0.3
    nothing: float = 0.3


@dataclass(frozen=True)
class Reference:
    """Scores of stems whose classes are known: what the classifier says of stems that are right, and of bleed.

    Args:
        scores: ``(stem, label)``.
        main: index of the class that a stem is of, ``(stem,)``.
        bleed: index of the class that bleeds into it, -1 where none does, ``(stem,)``.
        track: the song that the stem is of, ``(stem,)``.
    """

    scores: Floats
    main: NDArray[np.integer]
    bleed: NDArray[np.integer]
    track: NDArray[np.generic]

    def __len__(self) -> int:
        """How many stems."""
        return len(self.scores)


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


def validate(scores: Floats, claimed: Mask, tracks: Sequence[str] | NDArray[np.generic]) -> None:
    """Check what an estimate is made of.

    Raises:
        ValueError: shapes that differ, scores outside [0, 1], or a stem that claims nothing.
    """
    if scores.ndim != 2 or scores.shape != claimed.shape or len(tracks) != len(scores):
        raise ValueError(f"scores {scores.shape}, claims {claimed.shape} and {len(tracks)} tracks differ in shape")
    if claimed.dtype != np.bool_ or not claimed.any(1).all():
        raise ValueError("claimed: a Boolean array with at least one class a stem is wanted")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores lie outside [0, 1], or are not numbers")


def as_claimed(scores: Floats, claimed: Mask, chance: float, prior: Prior = Prior()) -> Floats:
    """Chance that a stem holds exactly what it claims; it ranks stems, the lowest are wrong most surely.

    Args:
        chance: of a class in the material that the scores were calibrated on, in (0, 1).

    Shape:
        scores, claimed: ``(stem, label)`` -> ``(stem,)``.

    >>> as_claimed(np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[True, False], [True, False]]), 0.5).round(2)
    array([0.95, 0.09])
    """
    result = np.empty(len(scores))
    for group, post in _posteriors(_evidence(scores, chance), claimed, *_flat(prior, scores.shape[1])):
        result[group.rows] = post[:, (group.sets == group.row).all(1)].sum(1)
    return result


@dataclass(frozen=True)
class Beliefs:
    """What the scores make likely of every claim, one row each; all are chances in [0, 1].

    Args:
        stem, label: whose claim and of which class, ``(claim,)``.
        wrong: the class is absent; ``bleed``: it is there and an unclaimed one too, ``(claim,)``.
        instead, beside: an unclaimed class is there without and with the claimed one, ``(claim, label)``.
        nothing: no class is there, ``(claim,)``.
    """

    stem: NDArray[np.integer]
    label: NDArray[np.integer]
    wrong: Floats
    bleed: Floats
    instead: Floats
    beside: Floats
    nothing: Floats


def beliefs(scores: Floats, claimed: Mask, chance: float, prior: Prior = Prior()) -> Beliefs:
    """What the scores make likely of every claim; arguments as for :func:`as_claimed`."""
    return _beliefs(_evidence(scores, chance), claimed, *_flat(prior, scores.shape[1]))


def adjusted(
    scores: Floats,
    claimed: Mask,
    tracks: Sequence[str] | NDArray[np.generic],
    reference: Reference,
    *,
    chance: float,
    draws: int = 200,
    seed: int = 0,
) -> Estimate:
    """Rates of wrong claims and of bleed by what the classifier says of known stems.

    Args:
        tracks: the song that each stem is of, ``(stem,)``.
        chance: see :func:`as_claimed`.
        draws: of the bootstrap; 0: no intervals (they are as wide as nothing).
        seed: of the bootstrap; the same input and seed give the same numbers.

    Shape:
        scores, claimed: ``(stem, label)``.

    Raises:
        ValueError: see :func:`validate`.
    """
    validate(scores, claimed, tracks)
    rng = np.random.default_rng(seed)
    evidence, num_labels = _evidence(scores, chance), scores.shape[1]
    sums = _Sums.of(_beliefs(evidence, claimed, *_flat(Prior(), num_labels)), tracks, num_labels)
    answers = _answers(reference, chance)
    own, references = np.unique(reference.track, return_inverse=True)
    totals: list[Any] = []
    rates: list[Any] = []
    for weights in _weights(rng, sums.num_tracks, draws):
        known = rng.standard_exponential(len(own)) if rates else np.ones(len(own))
        total = sums.weighted(weights)
        means = total[:, 1:3] / np.maximum(total[:, :1], 1e-12)  # (label, (wrong, bleed))
        corners = _corners(answers, reference, known[references])
        rates.append([_shares(mean, triangle) for mean, triangle in zip(means, corners, strict=True)])
        totals.append(total[:, 0])
    return _estimate(evidence, claimed, tracks, sums, np.array(totals), np.array(rates), rng)


def prior_shift(
    scores: Floats,
    claimed: Mask,
    tracks: Sequence[str] | NDArray[np.generic],
    *,
    chance: float,
    draws: int = 200,
    seed: int = 0,
) -> Estimate:
    """Rates under which the scores are likeliest; arguments as for :func:`adjusted`, but without a reference.

    Raises:
        ValueError: see :func:`validate`.
    """
    validate(scores, claimed, tracks)
    rng = np.random.default_rng(seed)
    evidence, num_labels = _evidence(scores, chance), scores.shape[1]
    sums = _Sums.of(_beliefs(evidence, claimed, *_flat(Prior(), num_labels)), tracks, num_labels)
    totals: list[Any] = []
    rates: list[Any] = []
    groups = _groups(claimed)
    best = np.full(num_labels, Prior.wrong), np.full(num_labels, Prior.bleed)
    for weights in _weights(rng, sums.num_tracks, draws):
        varied, iterations = FLATTER * evidence, 60
        if rates:
            slope = np.exp(SLOPE_SPREAD * rng.standard_normal())
            varied, iterations = slope * varied + OFFSET_SPREAD * rng.standard_normal(num_labels), 8
        heard = [(group, group.likelihood(varied)) for group in groups]
        wrong, bleed = _em(heard, weights[sums.track], best, iterations)
        best = best if rates else (wrong, bleed)
        rates.append(np.stack([1 - wrong - bleed, bleed, wrong], axis=1))
        totals.append(sums.weighted(weights)[:, 0])
    return _estimate(FLATTER * evidence, claimed, tracks, sums, np.array(totals), np.array(rates), rng)


def _evidence(scores: Floats, chance: float) -> Floats:
    """Log odds of each class without the prior odds that the scores were calibrated at."""
    return np.asarray(logit(np.clip(scores, CLIP, 1 - CLIP)) - logit(chance))


def _flat(prior: Prior, num_labels: int) -> tuple[Floats, Floats, float]:
    """A prior, the same for all classes: ``wrong`` and ``bleed`` ``(label,)``, and ``nothing``."""
    return np.full(num_labels, prior.wrong), np.full(num_labels, prior.bleed), prior.nothing


@dataclass(frozen=True)
class _Group:
    """The stems with one claim, and what they may hold.

    Args:
        rows: indices of the stems; ``row``: the claim, ``(label,)``.
        sets: the classes of each set, ``(set, label)``.
        lost: 0: no claimed class is missing, 1: all are, 2: some; ``added``: how many unclaimed ones are there,
            ``(set,)`` both.
        ways: how many sets there are with as many unclaimed ones, ``(set,)``.
    """

    rows: NDArray[np.integer]
    row: Mask
    sets: Mask
    lost: NDArray[np.integer]
    added: NDArray[np.integer]
    ways: Floats

    def prior(self, wrong: Floats, bleed: Floats, nothing: float) -> Floats:
        """Chance of each set before anything is heard, up to a factor, ``(set,)``; rates are ``(label,)``."""
        more = float((bleed[self.row] if self.row.any() else bleed).mean())
        others = np.array(
            [[1 - more, more, 0.0]]
            + [[empty, (1 - empty) * (1 - more), (1 - empty) * more] for empty in (nothing, ONE_OF_MANY)]
        )
        inside = wrong[self.row]
        kept = np.where(self.sets[:, self.row], 1 - inside, inside).prod(1)
        return np.asarray(kept * others[self.lost, self.added] / self.ways)

    def likelihood(self, evidence: Floats) -> Floats:
        """Chance of the evidence given each set, up to a factor for each stem, ``(stem, set)``."""
        log = evidence[self.rows] @ self.sets.T.astype(float)
        return np.asarray(np.exp(log - log.max(1, keepdims=True)))


def _groups(claimed: Mask) -> list[_Group]:
    """The stems by what they claim."""
    claims, which = np.unique(claimed, axis=0, return_inverse=True)
    return [
        _Group(np.flatnonzero(which.reshape(-1) == number), row, *_sets(tuple(row.tolist())))
        for number, row in enumerate(claims)
    ]


@lru_cache(maxsize=4096)
def _sets(claim: tuple[bool, ...]) -> tuple[Mask, NDArray[np.integer], NDArray[np.integer], Floats]:
    """Sets, lost, added and ways of a :class:`_Group`: a stem may have one class more than it claims or has lost."""
    inside = [index for index, held in enumerate(claim) if held]
    outside = [index for index, held in enumerate(claim) if not held]
    rows, lost, added = [], [], []
    for num_lost in range(len(inside) + 1):
        for kept in combinations(inside, len(inside) - num_lost):
            for num_added in range(min(num_lost + 1, MOST_ADDED, len(outside)) + 1):
                for others in combinations(outside, num_added):
                    rows.append([index in kept or index in others for index in range(len(claim))])
                    lost.append(0 if not num_lost else 1 if not kept else 2)
                    added.append(num_added)
    ways = np.array([comb(len(outside), more) for more in added], float)
    return np.array(rows, bool), np.array(lost), np.array(added), ways


def _posteriors(
    evidence: Floats, claimed: Mask, wrong: Floats, bleed: Floats, nothing: float
) -> Iterator[tuple[_Group, Floats]]:
    """Each group of stems with the chances of its sets, ``(stem, set)``."""
    for group in _groups(claimed):
        chances = group.likelihood(evidence) * group.prior(wrong, bleed, nothing)
        yield group, chances / chances.sum(1, keepdims=True)


def _beliefs(evidence: Floats, claimed: Mask, wrong: Floats, bleed: Floats, nothing: float) -> Beliefs:
    parts: list[tuple[NDArray[np.generic], ...]] = []
    for group, post in _posteriors(evidence, claimed, wrong, bleed, nothing):
        unclaimed = (group.sets & ~group.row).astype(float)
        for label in np.flatnonzero(group.row):
            there = group.sets[:, label]
            parts.append(
                (
                    group.rows,
                    np.full(len(group.rows), label),
                    post[:, ~there].sum(1),
                    post[:, there & unclaimed.any(1)].sum(1),
                    post[:, ~there] @ unclaimed[~there],
                    post[:, there] @ unclaimed[there],
                    post[:, ~group.sets.any(1)].sum(1),
                )
            )
    return Beliefs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


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
    def of(cls, what: Beliefs, tracks: Sequence[str] | NDArray[np.generic], num_labels: int) -> _Sums:
        names, track = np.unique(np.asarray(tracks), return_inverse=True)
        ones = np.ones(len(what.stem))
        features = np.column_stack([ones, what.wrong, what.bleed, what.nothing, what.instead, what.beside])
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


def share(held: Mask, tracks: Sequence[str], *, draws: int = 200, seed: int = 0) -> Floats:
    """Share of stems of which something is known for sure, with its interval: ``(rate, low, high)``.

    Args:
        held: whether it is so, ``(stem,)``.
        tracks: of each stem.
        draws, seed: of the bootstrap.

    >>> float(share(np.array([True, False]), ["a", "b"])[0])
    0.5
    """
    names, track = np.unique(tracks, return_inverse=True)
    rng = np.random.default_rng(seed)
    rates = []
    for weights in _weights(rng, len(names), draws):
        each = weights[track]
        rate = float(each @ held / each.sum())
        rates.append([rate, 1 - rate])
    doubted = _with_doubt(np.array(rates)[:, None], np.array([len(names)]), rng)
    return np.asarray(_interval(doubted[:, 0, 0], np.array(False)))


def _weights(rng: np.random.Generator, num_tracks: int, draws: int) -> Iterator[Floats]:
    """Weights of the tracks: all alike first, then those of each draw of a Bayesian bootstrap."""
    yield np.ones(num_tracks)
    for _ in range(draws):
        yield rng.standard_exponential(num_tracks)


def _answers(reference: Reference, chance: float) -> Floats:
    """What is believed of each known stem if it claims each class: ``(label, stem, (wrong, bleed))``."""
    num_labels = reference.scores.shape[1]
    result = np.empty((num_labels, len(reference), 2))
    for label in range(num_labels):
        claimed = np.zeros(reference.scores.shape, bool)
        claimed[:, label] = True
        what = beliefs(reference.scores, claimed, chance)
        result[label, what.stem] = np.stack([what.wrong, what.bleed], axis=1)
    return result


def _corners(answers: Floats, reference: Reference, weights: Floats) -> Floats:
    """Mean belief in (wrong, bleed) about stems that are right, that bleed, that are wrong: ``(label, 3, 2)``.

    Wrong ones are of every other class in equal parts. Where a class has few known stems, the mean of all classes
    stands in.
    """
    num_labels = len(answers)
    means, sizes = np.zeros((num_labels, 3, 2)), np.zeros((num_labels, 3))
    for label in range(num_labels):
        own = reference.main == label
        for corner, chosen in enumerate(
            (own & (reference.bleed < 0), own & (reference.bleed >= 0), ~own & (reference.bleed != label))
        ):
            share = weights * chosen
            for other in range(num_labels) if corner == 2 else ():
                of_it = reference.main == other
                share[of_it] /= max(float(share[of_it].sum()), 1e-12)
            if share.sum() > 0:
                means[label, corner] = share @ answers[label] / share.sum()
                sizes[label, corner] = chosen.sum()
    known = sizes.sum(0)[:, None]
    ideal = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # of a classifier that is always right
    average = np.where(known > 0, np.einsum("lco,lc->co", means, sizes) / np.maximum(known, 1), ideal)
    return np.asarray((means * sizes[:, :, None] + POOL * average) / (sizes[:, :, None] + POOL))


def _shares(mean: Floats, corners: Floats) -> Floats:
    """The mixture of three corners that comes nearest to a mean, ``(3,)``: not negative, sum 1.

    Shape:
        mean: ``(2,)``; corners: ``(3, 2)``.
    """
    best, smallest = np.array([1.0, 0.0, 0.0]), np.inf
    for used in ([0, 1, 2], [0, 1], [0, 2], [1, 2], [0], [1], [2]):
        base, rest = corners[used[0]], used[1:]
        away = (corners[rest] - base).T  # (2, other corners)
        solved = np.linalg.lstsq(away, mean - base, rcond=None)[0] if rest else np.zeros(0)
        if (solved < 0).any() or solved.sum() > 1:
            continue
        distance = float(np.sum((base + away @ solved - mean) ** 2)) if rest else float(np.sum((base - mean) ** 2))
        if distance < smallest - 1e-12:
            best, smallest = np.zeros(3), distance
            best[rest] = solved
            best[used[0]] = 1 - solved.sum()
    return best


def _em(
    groups: Sequence[tuple[_Group, Floats]], weights: Floats, start: tuple[Floats, Floats], iterations: int
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
    all_rates = _with_doubt(all_rates[:, None], np.array([sums.num_tracks]), rng)[:, 0]
    rates = _with_doubt(rates, num_tracks, rng)
    wrong, bleed = np.clip(rates[0, :, 2], 0.005, 0.995), np.clip(rates[0, :, 1], 0.0, 0.99)
    sharper = _beliefs(evidence, claimed, wrong, np.clip(bleed / (1 - wrong), 0.005, 0.995), Prior.nothing)
    found = np.empty((len(rates), num_labels, num_labels))
    nothing = np.empty((len(rates), num_labels))
    shared = _Sums.of(sharper, tracks, num_labels)
    for number, weights in enumerate(_weights(rng, sums.num_tracks, len(rates) - 1)):
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
        wrong=_interval(rates[:, :, 2], unknown),
        bleed=_interval(rates[:, :, 1], unknown),
        found=_interval(np.clip(found, 0, 1), unknown),
        nothing=_interval(np.clip(nothing, 0, 1), unknown),
        all_wrong=_interval(all_rates[:, 2], np.array(len(claimed) == 0)),
        all_bleed=_interval(all_rates[:, 1], np.array(len(claimed) == 0)),
    )


def _with_doubt(rates: Floats, num_tracks: NDArray[np.integer], rng: np.random.Generator) -> Floats:
    """The draws' rates with half a track of each outcome added; the first, which is the estimate, as it is."""
    size = np.maximum(num_tracks, 1)[None, :, None]
    half = rng.standard_gamma(0.5, rates[1:].shape)
    return np.concatenate([rates[:1], (size * rates[1:] + half) / (size + half.sum(-1, keepdims=True))])


def _interval(values: Floats, unknown: Mask) -> Floats:
    """(estimate, low, high) on a new last axis: the first of the values and the quantiles of the rest."""
    estimate = values[0]
    drawn = values[1:] if len(values) > 1 else np.stack([np.zeros_like(estimate), np.ones_like(estimate)])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    result = np.stack([estimate, np.minimum(low, estimate), np.maximum(high, estimate)], axis=-1)
    result[unknown] = np.nan
    return result
