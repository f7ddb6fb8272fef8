"""Estimate the classes in a stem from its claims and from scores that may be wrong.

A stem contains a set of classes: its claims, minus lost claims, plus added classes. Bayes' rule gives the probability
of each set, with the classes independent given the set. The prior odds that the scores were calibrated at are divided
out (Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori probabilities") and
replaced by those of a claim (:class:`Prior`). As a consequence, a stem that lacks its class must contain something
else, and low scores for all classes are no proof of a wrong claim.

*Scores* are calibrated probabilities ``(stem, label)``; *claimed* is a Boolean array of the same shape with at least
one class per stem. *Evidence* is the log odds of the scores minus the prior log odds. The sets and all constants are
our choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["Beliefs", "Group", "Prior", "as_claimed", "beliefs", "beliefs_of", "evidence_of", "flat", "groups_of"]

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

CLIP = 1e-3
"""Scores are clipped to this distance from 0 and 1: a calibration on some hundred stems is no more certain."""
MOST_ADDED = 2
"""Maximum number of unclaimed classes in a set."""
ONE_OF_MANY = 0.5
"""Probability that nothing replaces a lost class if another claimed class is present."""


@dataclass(frozen=True)
class Prior:
    """Prior probabilities of faults: most claims are right, and bleed is more common than a wrong name.

    Among the rates tried, these rank artificial faults in the validation stems well at all shares of faults.

    Args:
        wrong: probability that a claimed class is absent.
        bleed: probability that one class more is present than claimed, or than replaces a lost one.
        nothing: probability that no class is present if no claimed one is: noise, speech, an unknown instrument.
    """

    wrong: float = 0.1
    bleed: float = 0.3
    nothing: float = 0.3


def as_claimed(scores: Floats, claimed: Mask, chance: float, prior: Prior = Prior()) -> Floats:
    """Return the probability that a stem contains exactly its claims; stems with the lowest values are most suspect.

    Args:
        scores: calibrated probabilities of the classes.
        claimed: the claimed classes.
        chance: prior probability, in (0, 1), of a class in the data that the scores were calibrated on.
        prior: prior probabilities of faults.

    Shape:
        scores, claimed: ``(stem, label)``; result: ``(stem,)``.

    >>> as_claimed(np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[True, False], [True, False]]), 0.5).round(2)
    array([0.95, 0.09])
    """
    result = np.empty(len(scores))
    for group, post in posteriors(evidence_of(scores, chance), claimed, *flat(prior, scores.shape[1])):
        result[group.rows] = post[:, (group.sets == group.row).all(1)].sum(1)
    return result


@dataclass(frozen=True)
class Beliefs:
    """Probabilities of faults, in [0, 1], one row per claim.

    Args:
        stem, label: indices of the stem and of the claimed class, ``(claim,)``.
        wrong: the claimed class is absent, ``(claim,)``.
        bleed: the claimed class and an unclaimed one are present, ``(claim,)``.
        instead, beside: an unclaimed class is present without, or with, the claimed one, ``(claim, label)``.
        nothing: no class is present, ``(claim,)``.
    """

    stem: NDArray[np.integer]
    label: NDArray[np.integer]
    wrong: Floats
    bleed: Floats
    instead: Floats
    beside: Floats
    nothing: Floats


def beliefs(scores: Floats, claimed: Mask, chance: float, prior: Prior = Prior()) -> Beliefs:
    """Return the probabilities of faults for every claim; arguments as for :func:`as_claimed`."""
    return beliefs_of(evidence_of(scores, chance), claimed, *flat(prior, scores.shape[1]))


def evidence_of(scores: Floats, chance: float) -> Floats:
    """Return the log odds of each class minus the prior log odds that the scores were calibrated at."""
    return np.asarray(scipy.special.logit(np.clip(scores, CLIP, 1 - CLIP)) - scipy.special.logit(chance))


def flat(prior: Prior, num_labels: int) -> tuple[Floats, Floats, float]:
    """Expand a prior to all classes: ``wrong`` and ``bleed``, ``(label,)`` each, and ``nothing``."""
    return np.full(num_labels, prior.wrong), np.full(num_labels, prior.bleed), prior.nothing


@dataclass(frozen=True)
class Group:
    """The stems with the same claim, and the sets of classes that they may contain.

    Args:
        rows: indices of the stems.
        row: the claim, ``(label,)``.
        sets: the classes of each set, ``(set, label)``.
        lost: 0: no claimed class is missing, 1: all are, 2: some, ``(set,)``.
        added: number of unclaimed classes in each set, ``(set,)``.
        ways: number of sets with the same number of unclaimed classes, ``(set,)``.
    """

    rows: NDArray[np.integer]
    row: Mask
    sets: Mask
    lost: NDArray[np.integer]
    added: NDArray[np.integer]
    ways: Floats

    def prior(self, wrong: Floats, bleed: Floats, nothing: float) -> Floats:
        """Return the prior probability of each set, up to a factor, ``(set,)``; rates are ``(label,)``."""
        more = float((bleed[self.row] if self.row.any() else bleed).mean())
        chances = np.array(
            [[1 - more, more, 0.0]]
            + [[empty, (1 - empty) * (1 - more), (1 - empty) * more] for empty in (nothing, ONE_OF_MANY)]
        )
        inside = wrong[self.row]
        claims = np.where(self.sets[:, self.row], 1 - inside, inside).prod(1)
        return np.asarray(claims * chances[self.lost, self.added] / self.ways)

    def likelihood(self, evidence: Floats) -> Floats:
        """Return the likelihood of each set, up to a factor for each stem, ``(stem, set)``."""
        log = evidence[self.rows] @ self.sets.T.astype(float)
        return np.asarray(np.exp(log - log.max(1, keepdims=True)))


def groups_of(claimed: Mask) -> list[Group]:
    """Group the stems by their claims."""
    claims, claim_index = np.unique(claimed, axis=0, return_inverse=True)
    return [
        Group(np.flatnonzero(claim_index.reshape(-1) == number), row, *_sets(tuple(row.tolist())))
        for number, row in enumerate(claims)
    ]


@lru_cache(maxsize=4096)
def _sets(claim: tuple[bool, ...]) -> tuple[Mask, NDArray[np.integer], NDArray[np.integer], Floats]:
    """Return sets, lost, added and ways of a :class:`Group`; a stem may gain one class more than it has lost."""
    inside = [index for index, held in enumerate(claim) if held]
    outside = [index for index, held in enumerate(claim) if not held]
    rows, lost, added = [], [], []
    for num_lost in range(len(inside) + 1):
        for kept_labels in combinations(inside, len(inside) - num_lost):
            for num_added in range(min(num_lost + 1, MOST_ADDED, len(outside)) + 1):
                for added_labels in combinations(outside, num_added):
                    rows.append([index in kept_labels or index in added_labels for index in range(len(claim))])
                    lost.append(0 if not num_lost else 1 if not kept_labels else 2)
                    added.append(num_added)
    ways = np.array([comb(len(outside), more) for more in added], float)
    return np.array(rows, bool), np.array(lost), np.array(added), ways


def posteriors(
    evidence: Floats, claimed: Mask, wrong: Floats, bleed: Floats, nothing: float
) -> Iterator[tuple[Group, Floats]]:
    """Yield each group of stems with the posterior probabilities of its sets, ``(stem, set)``."""
    for group in groups_of(claimed):
        chances = group.likelihood(evidence) * group.prior(wrong, bleed, nothing)
        yield group, chances / chances.sum(1, keepdims=True)


def beliefs_of(evidence: Floats, claimed: Mask, wrong: Floats, bleed: Floats, nothing: float) -> Beliefs:
    """Return the probabilities of faults for every claim, under a prior ``(label,)`` as for :meth:`Group.prior`."""
    parts: list[tuple[NDArray[np.generic], ...]] = []
    for group, post in posteriors(evidence, claimed, wrong, bleed, nothing):
        unclaimed = (group.sets & ~group.row).astype(float)
        for label in np.flatnonzero(group.row):
            present = group.sets[:, label]
            parts.append(
                (
                    group.rows,
                    np.full(len(group.rows), label),
                    post[:, ~present].sum(1),
                    post[:, present & unclaimed.any(1)].sum(1),
                    post[:, ~present] @ unclaimed[~present],
                    post[:, present] @ unclaimed[present],
                    post[:, ~group.sets.any(1)].sum(1),
                )
            )
    return Beliefs(*(np.concatenate(column) for column in zip(*parts, strict=True)))
