"""What a stem holds, told from scores that can be wrong and from what it claims.

A stem holds a set of classes: what it claims, with claims lost and classes added. The chance of each set is Bayes' rule
with the classes independent given the set: the prior odds that the scores were calibrated at are divided out (Saerens,
Latinne and Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori probabilities") and those of a
claim put in (:class:`Prior`). So a stem that a class is missing from must hold something instead, and a classifier that
hears nothing is no proof of a wrong claim.

*Scores* are calibrated probabilities ``(stem, label)``, *claimed* is a Boolean array of the same shape with at least
one class a stem. *Evidence* are log odds of the scores without the prior odds. The sets and the choice of all constants
are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

__all__ = ["Beliefs", "Group", "Prior", "as_claimed", "beliefs", "beliefs_of", "evidence_of", "flat", "groups_of"]

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

CLIP = 1e-3
"""Scores are believed this far from 0 and 1: a calibration on some hundred stems knows no more."""
MOST_ADDED = 2
"""Unclaimed classes of a set, at most."""
ONE_OF_MANY = 0.5
"""Chance that nothing stands in for a lost class where another claimed one is there."""


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
    for group, post in posteriors(evidence_of(scores, chance), claimed, *flat(prior, scores.shape[1])):
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
    return beliefs_of(evidence_of(scores, chance), claimed, *flat(prior, scores.shape[1]))


def evidence_of(scores: Floats, chance: float) -> Floats:
    """Log odds of each class without the prior odds that the scores were calibrated at."""
    return np.asarray(logit(np.clip(scores, CLIP, 1 - CLIP)) - logit(chance))


def flat(prior: Prior, num_labels: int) -> tuple[Floats, Floats, float]:
    """A prior, the same for all classes: ``wrong`` and ``bleed`` ``(label,)``, and ``nothing``."""
    return np.full(num_labels, prior.wrong), np.full(num_labels, prior.bleed), prior.nothing


@dataclass(frozen=True)
class Group:
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


def groups_of(claimed: Mask) -> list[Group]:
    """The stems by what they claim."""
    claims, which = np.unique(claimed, axis=0, return_inverse=True)
    return [
        Group(np.flatnonzero(which.reshape(-1) == number), row, *_sets(tuple(row.tolist())))
        for number, row in enumerate(claims)
    ]


@lru_cache(maxsize=4096)
def _sets(claim: tuple[bool, ...]) -> tuple[Mask, NDArray[np.integer], NDArray[np.integer], Floats]:
    """Sets, lost, added and ways of a :class:`Group`: a stem may have one class more than it claims or has lost."""
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


def posteriors(
    evidence: Floats, claimed: Mask, wrong: Floats, bleed: Floats, nothing: float
) -> Iterator[tuple[Group, Floats]]:
    """Each group of stems with the chances of its sets, ``(stem, set)``."""
    for group in groups_of(claimed):
        chances = group.likelihood(evidence) * group.prior(wrong, bleed, nothing)
        yield group, chances / chances.sum(1, keepdims=True)


def beliefs_of(evidence: Floats, claimed: Mask, wrong: Floats, bleed: Floats, nothing: float) -> Beliefs:
    """What evidence makes likely of every claim, under a prior ``(label,)`` as of :meth:`Group.prior`."""
    parts: list[tuple[NDArray[np.generic], ...]] = []
    for group, post in posteriors(evidence, claimed, wrong, bleed, nothing):
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
