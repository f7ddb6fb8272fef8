"""Estimated noise of claims: Bayes' rule by enumeration, planted noise, cleanlab, and invariances."""

from __future__ import annotations

import itertools
import warnings
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import beta

from stemclean.metrics.label_beliefs import ONE_OF_MANY, Prior, as_claimed, beliefs
from stemclean.metrics.label_noise import Measured, adjusted, prior_shift
from stemclean.metrics.label_reference import Reference

K = 4
CHANCE = 0.5


def noisy_scores(truth: np.ndarray, rng: np.random.Generator, *, faint: np.ndarray | None = None) -> np.ndarray:
    """Calibrated scores at even chances: normal log odds of mean m and variance 2 m are their own likelihood ratio.

    With m = 8 one class in fifty is on the wrong side of 0.5. If ``faint``, a class is practically undetectable.
    """
    z = np.where(truth, 8.0, -8.0) + 4.0 * rng.standard_normal(truth.shape)
    return expit(z if faint is None else np.where(faint, -4.0 + rng.standard_normal(truth.shape), z))


def planted(
    num_stems: int, wrong: float, bleed: float = 0.0, *, seed: int = 0, per_track: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(claims, truth, tracks) with exact rates: a swapped stem holds the next class, a bleed the one after it."""
    rng = np.random.default_rng(seed)
    held = np.eye(K, dtype=bool)[np.arange(num_stems) % K]
    order = rng.permutation(num_stems)
    swapped, bled = np.split(order, [round(wrong * num_stems)])[0], order[num_stems - round(bleed * num_stems) :]
    truth = held.copy()
    truth[swapped] = np.roll(held[swapped], 1, axis=1)
    truth[bled] |= np.roll(held[bled], 2, axis=1)
    return held, truth, np.arange(num_stems) // per_track


def known_stems_reference(num_stems: int, seed: int, *, unheard: float = 0.0) -> Reference:
    """Stems of known classes, every other one with bleed; a share of the bleeds is practically undetectable."""
    rng = np.random.default_rng(seed)
    main = np.arange(num_stems) % K
    bleed = np.where(np.arange(num_stems) // K % 2 == 0, (main + 2) % K, -1)
    truth = np.eye(K, dtype=bool)[main] | ((np.arange(K) == bleed[:, None]) & (bleed[:, None] >= 0))
    faint = (np.arange(K) == bleed[:, None]) & (rng.random((num_stems, 1)) < unheard)
    return Reference(noisy_scores(truth, rng, faint=faint), main, bleed, np.arange(num_stems) // 2)


def by_enumeration(scores: list[float], claimed: list[bool], chance: float) -> dict[tuple[int, ...], float]:
    """Bayes' rule written out: every set of classes that the module's head allows, with its chance."""
    prior = Prior()
    inside = {k for k, held in enumerate(claimed) if held}
    outside = set(range(len(claimed))) - inside
    chances = {}
    for size in range(len(claimed) + 1):
        for held in map(set, itertools.combinations(range(len(claimed)), size)):
            lost, added = inside - held, held - inside
            if len(added) > min(len(lost) + 1, 2):
                continue
            kept = np.prod([prior.wrong if k in lost else 1 - prior.wrong for k in inside])
            if not lost:
                more = [1 - prior.bleed, prior.bleed][len(added)]
            else:
                empty = ONE_OF_MANY if held & inside else prior.nothing
                rest = 1 - empty
                more = [empty, rest * (1 - prior.bleed), rest * prior.bleed][len(added)]
            odds = np.prod([scores[k] / (1 - scores[k]) * (1 - chance) / chance for k in held])
            chances[tuple(sorted(held))] = float(kept * more / comb(len(outside), len(added)) * odds)
    total = sum(chances.values())
    return {held: value / total for held, value in chances.items()}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0.01, 0.99), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
    st.floats(0.1, 0.9),
)
def test_beliefs_follow_bayes_rule(scores, claimed, chance):
    sets = by_enumeration(scores, claimed, chance)
    mine = np.array(scores)[None], np.array(claimed)[None]
    own = tuple(k for k, held in enumerate(claimed) if held)
    assert as_claimed(*mine, chance)[0] == pytest.approx(sets[own], abs=1e-9)
    computed = beliefs(*mine, chance)
    for row, label in enumerate(computed.label):
        absent = {held: p for held, p in sets.items() if label not in held}
        with_bleed = {held: p for held, p in sets.items() if label in held and set(held) - set(own)}
        assert computed.wrong[row] == pytest.approx(sum(absent.values()), abs=1e-9)
        assert computed.bleed[row] == pytest.approx(sum(with_bleed.values()), abs=1e-9)
        assert computed.nothing[row] == pytest.approx(sets[()], abs=1e-9)
        for other in set(range(4)) - set(own):
            assert computed.instead[row, other] == pytest.approx(
                sum(p for h, p in absent.items() if other in h), abs=1e-9
            )
            assert computed.beside[row, other] == pytest.approx(
                sum(p for h, p in with_bleed.items() if other in h), abs=1e-9
            )


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.4, 0.6])
def test_planted_swaps_are_counted(rate):
    claimed, truth, tracks = planted(800, rate)
    scores = noisy_scores(truth, np.random.default_rng(1))
    reference = known_stems_reference(400, 2)
    for estimate in (
        prior_shift(scores, claimed, tracks, chance=CHANCE, draws=0),
        adjusted(scores, claimed, tracks, reference, chance=CHANCE, draws=0),
    ):
        # 800 stems tell a rate to 1.7 points (one standard deviation) at most, and it should come within two of them.
        assert estimate.all_wrong[0] == pytest.approx(rate, abs=0.035)
        assert estimate.all_bleed[0] < 0.02
        for label in range(K):
            own, after = claimed[:, label], (label + 1) % K  # what a swapped stem holds
            # of 200 stems; up to five points are left to `nothing`, which the prior gives 0.3 of the wrong ones
            assert estimate.found[label, after, 0] == pytest.approx(truth[own, after].mean(), abs=0.06)
        assert estimate.nothing[:, 0].max() < 0.1 * rate + 0.01  # 0.3 of the wrong ones, before any evidence


def test_timid_scores_do_not_bias_the_adjusted_rates():
    """A classifier whose log odds are a tenth of what they should be: a constant 30 % of doubt."""
    claimed, truth, tracks = planted(800, 0.1)

    def timid(scores: np.ndarray) -> np.ndarray:
        return expit(0.1 * logit(np.clip(scores, 1e-9, 1 - 1e-9)))

    scores, plain = timid(noisy_scores(truth, np.random.default_rng(1))), known_stems_reference(400, 2)
    reference = Reference(timid(plain.scores), plain.main, plain.bleed, plain.track)
    assert (1 - scores[claimed]).mean() > 0.3  # the mean of calibrated probabilities, had they been calibrated
    estimate = adjusted(scores, claimed, tracks, reference, chance=CHANCE, draws=0)
    assert estimate.all_wrong[0] == pytest.approx(0.1, abs=0.05)  # what little the scores tell is spread over 400 stems


def test_undetected_bleed_is_counted_by_the_known_miss_rate():
    claimed, truth, tracks = planted(800, 0.0, 0.4)
    rng = np.random.default_rng(3)
    unheard = (truth & ~claimed) & (rng.random((800, 1)) < 0.5)
    scores = noisy_scores(truth, rng, faint=unheard)
    # 160 detected of 320, and 100 of 200 in the reference: +-4 points each for one standard deviation, of a rate of 40
    with_reference = adjusted(
        scores, claimed, tracks, known_stems_reference(400, 4, unheard=0.5), chance=CHANCE, draws=0
    )
    assert with_reference.all_bleed[0] == pytest.approx(0.4, abs=0.08)
    assert with_reference.all_wrong[0] < 0.02
    assert prior_shift(scores, claimed, tracks, chance=CHANCE, draws=0).all_bleed[0] < 0.25


def test_a_stem_with_several_classes_may_lose_one():
    rng = np.random.default_rng(5)
    claimed = np.tile([False, True, True, False], (400, 1))
    truth = claimed.copy()
    truth[:120, 2] = False
    estimate = prior_shift(noisy_scores(truth, rng), claimed, np.arange(400), chance=CHANCE, draws=0)
    assert estimate.wrong[1:3, 0] == pytest.approx(
        [0.0, 0.3], abs=0.04
    )  # one stem in fifty is misclassified, both ways
    assert np.isnan(estimate.wrong[[0, 3]]).all() and estimate.claims.tolist() == [0, 400, 400, 0]
    assert np.nanmax(estimate.found[2, [0, 3], 0]) < 0.02  # nothing else is there
    assert estimate.found[2, 1, 0] == 0.0  # and what is claimed is no confusion


def test_counts_agree_with_cleanlab_on_easy_classes():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what cleanlab imports
        count = pytest.importorskip("cleanlab.count", reason="cleanlab comes with the extra dev")
    claimed, truth, tracks = planted(800, 0.2)
    scores = noisy_scores(truth, np.random.default_rng(1))
    joint = count.estimate_joint(claimed.argmax(1), scores / scores.sum(1, keepdims=True))
    # Both hear the same stems; confident learning leaves out those below its thresholds, a few in a hundred.
    assert 1 - np.trace(joint) == pytest.approx(
        prior_shift(scores, claimed, tracks, chance=CHANCE, draws=0).all_wrong[0], abs=0.03
    )


@pytest.mark.parametrize("num_tracks", [8, 100])
def test_few_tracks_without_faults_leave_a_wide_interval(num_tracks):
    claimed = np.tile([True, False], (num_tracks, 1))
    scores = np.tile([0.999, 0.001], (num_tracks, 1))
    sure = Reference(
        np.array([[0.999, 0.001], [0.001, 0.999]] * 50 + [[0.999, 0.999]] * 50),
        np.array([0, 1] * 50 + [0, 1] * 25), np.array([-1] * 100 + [1, 0] * 25), np.arange(150),
    )  # fmt: skip
    estimate = adjusted(scores, claimed, np.arange(num_tracks), sure, chance=CHANCE, draws=500)
    assert estimate.wrong[0, 0] < 0.01 and estimate.wrong[0, 1] < 0.01
    # Jeffreys' upper bound for none of n; one more outcome takes half a track as well. 500 draws know it to a tenth.
    assert estimate.wrong[0, 2] == pytest.approx(beta.ppf(0.975, 0.5, num_tracks + 1), rel=0.2)


def test_stems_of_one_track_are_not_independent():
    """The same stems with the faults in whole songs: as much noise, and less is known of it."""
    claimed, _, _ = planted(240, 0.0)
    tracks = np.arange(240) // 12
    truth = claimed.copy()
    truth[tracks < 5] = np.roll(claimed[tracks < 5], 1, axis=1)
    scores = noisy_scores(truth, np.random.default_rng(6))
    lumped = prior_shift(scores, claimed, tracks, chance=CHANCE, draws=100).all_wrong
    spread = prior_shift(scores, claimed, np.arange(240), chance=CHANCE, draws=100).all_wrong
    assert lumped[0] == pytest.approx(spread[0], abs=1e-9)
    assert np.ptp(lumped[1:]) > 1.5 * np.ptp(spread[1:])  # 12 stems a track: sqrt(12) = 3.5 times, were all else known


def test_a_small_reference_makes_wide_intervals():
    claimed, truth, tracks = planted(1200, 0.2)
    scores = noisy_scores(truth, np.random.default_rng(1))
    small, large = (
        adjusted(
            scores, claimed, tracks, known_stems_reference(size, 2, unheard=0.5), chance=CHANCE, draws=100
        ).all_bleed
        for size in (16, 400)
    )
    assert np.ptp(small[1:]) > np.ptp(large[1:])


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(K)), st.integers(0, 100))
def test_names_and_order_do_not_change_the_estimate(order, seed):
    """Classes in another order give the same rates in that order, and stems in another order the same rates."""
    claimed, truth, tracks = planted(60, 0.3, 0.2, seed=seed)
    scores = noisy_scores(truth, np.random.default_rng(seed))
    reference = known_stems_reference(40, seed)
    shuffled = np.random.default_rng(seed).permutation(60)
    position = np.argsort(order)
    moved = Reference(
        reference.scores[:, order], position[reference.main],
        np.where(reference.bleed >= 0, position[reference.bleed], -1), reference.track,
    )  # fmt: skip
    plain = adjusted(scores, claimed, tracks, reference, chance=CHANCE, draws=20)
    other = adjusted(
        scores[shuffled][:, order], claimed[shuffled][:, order], tracks[shuffled], moved, chance=CHANCE, draws=0
    )
    assert other.wrong[:, 0] == pytest.approx(plain.wrong[order, 0], abs=1e-6)
    assert other.found[:, :, 0] == pytest.approx(plain.found[np.ix_(order, order)][:, :, 0], abs=1e-6)
    for rates in (plain.wrong, plain.bleed, plain.found, plain.nothing, plain.all_wrong, plain.all_bleed):
        assert ((rates >= 0) & (rates <= 1)).all()
        assert (rates[..., 1] <= rates[..., 0]).all() and (rates[..., 0] <= rates[..., 2]).all()
    again = adjusted(scores, claimed, tracks, reference, chance=CHANCE, draws=20)
    assert np.array_equal(again.found, plain.found)


@pytest.mark.parametrize(
    ("scores", "claimed", "tracks", "message"),
    [
        ([[0.5, 0.5]], [[True, False], [True, False]], ["a"], "shape"),
        ([[0.5, 0.5]], [[True, False]], ["a", "b"], "shape"),
        ([[0.5, 0.5]], [[False, False]], ["a"], "at least one"),
        ([[0.5, 1.5]], [[True, False]], ["a"], "outside"),
        ([[0.5, np.nan]], [[True, False]], ["a"], "not numbers"),
    ],
)
def test_invalid_arguments_are_refused(scores, claimed, tracks, message):
    with pytest.raises(ValueError, match=message):
        prior_shift(np.array(scores), np.array(claimed), tracks, chance=CHANCE)


def loud_and_soft(rate: float, loud: float) -> tuple[np.ndarray, ...]:
    """Return claims, truth, tracks and scores; the given share of the bleeds is detectable."""
    claimed, truth, tracks = planted(800, 0.1, rate)
    rng = np.random.default_rng(5)
    faint = truth & ~claimed & np.roll(claimed, 2, axis=1) & (rng.random((800, 1)) >= loud)
    return claimed, truth, tracks, noisy_scores(truth, rng, faint=faint)


def measured_in(claimed: np.ndarray, truth: np.ndarray, has_measurement: np.ndarray) -> Measured:
    claim_present = (truth & claimed).any(1)
    return Measured(has_measurement, truth & ~claimed & (has_measurement & claim_present)[:, None])


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("with_reference", [True, False])
def test_measured_bleed_is_counted_and_not_estimated(rate, with_reference):
    claimed, truth, tracks, scores = loud_and_soft(rate, 0.2)
    measured = measured_in(claimed, truth, np.ones(800, bool))
    if with_reference:
        estimate = adjusted(scores, claimed, tracks, known_stems_reference(400, 2), chance=CHANCE, measured=measured)
    else:
        estimate = prior_shift(scores, claimed, tracks, chance=CHANCE, measured=measured)
    assert estimate.all_bleed[0] == pytest.approx(measured.beside.any(1).mean(), abs=0.005)
    assert estimate.all_wrong[0] == pytest.approx(0.1, abs=0.035)
    low, high = estimate.all_bleed[1:]
    assert low <= measured.beside.any(1).mean() <= high
    assert high - low < 0.12  # what is known of the classifier does not matter
    for label in range(K):
        own, source = claimed[:, label], (label + 2) % K
        assert estimate.found[label, source, 0] == pytest.approx(measured.beside[own, source].mean(), abs=0.02)


def test_measured_stems_calibrate_the_classifier_for_the_others():
    claimed, truth, tracks, scores = loud_and_soft(0.4, 0.9)
    reference = known_stems_reference(400, 2, unheard=0.6)  # made of softer bleed than this dataset has
    some = tracks % 2 == 0
    measured = measured_in(claimed, truth, some)
    bleeds = ((truth & claimed).any(1) & (truth & ~claimed).any(1)).mean()
    alone = adjusted(scores, claimed, tracks, reference, chance=CHANCE, draws=0)
    partly = adjusted(scores, claimed, tracks, reference, chance=CHANCE, draws=0, measured=measured)
    assert alone.all_bleed[0] > bleeds + 0.1
    assert abs(partly.all_bleed[0] - bleeds) < 0.05
    assert partly.all_wrong[0] == pytest.approx(0.1, abs=0.03)


def test_unmeasured_stems_are_estimated_from_themselves():
    """Half of the songs were compared and hold no bleed; the others, which were not, hold it in every stem."""
    claimed, truth, tracks = planted(800, 0.0, 1.0)
    compared = np.arange(800) < 400
    truth[compared] = claimed[compared]
    scores = noisy_scores(truth, np.random.default_rng(7))
    measured = measured_in(claimed, truth, compared)
    estimate = adjusted(
        scores, claimed, tracks, known_stems_reference(400, 2), chance=CHANCE, draws=0, measured=measured
    )
    assert estimate.all_bleed[0] == pytest.approx(0.5, abs=0.04)


def test_measured_claims_outweigh_scores():
    claimed, _, tracks = planted(80, 0.0)
    scores = noisy_scores(np.roll(claimed, 1, axis=1), np.random.default_rng(3))  # every claim sounds wrong
    measured = Measured(np.ones(80, bool), np.roll(claimed, 2, axis=1))
    estimate = adjusted(
        scores, claimed, tracks, known_stems_reference(80, 2), chance=CHANCE, draws=0, measured=measured
    )
    assert (estimate.all_wrong[0], estimate.all_bleed[0]) == (0.0, 1.0)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_measurements_separate_wrong_claims_from_bleed(rate):
    """Bleed that drowns the claimed class is taken for a wrong claim; measured, it is not."""
    claimed, truth, tracks = planted(800, rate, 0.3)
    rng = np.random.default_rng(9)
    lost = claimed & (truth & ~claimed).any(1)[:, None] & (rng.random((800, 1)) < 0.5)  # the bleed drowns the claim
    scores = noisy_scores(truth & ~lost, rng)
    measured = measured_in(claimed, truth, np.ones(800, bool))
    reference = known_stems_reference(400, 2)
    alone = adjusted(scores, claimed, tracks, reference, chance=CHANCE, draws=0)
    knowing = adjusted(scores, claimed, tracks, reference, chance=CHANCE, draws=0, measured=measured)
    assert abs(alone.all_wrong[0] - rate) > 0.1
    assert knowing.all_wrong[0] == pytest.approx(rate, abs=0.03)


def test_measured_stems_with_wrong_claims_are_not_a_reference():
    """Of what was compared a half is swapped and silent about bleed; that must not pass for how right stems sound."""
    claimed, _, tracks = planted(800, 0.0)
    rng, truth = np.random.default_rng(11), claimed.copy()
    compared, swapped = np.arange(800) < 400, np.arange(800) % 8 < 4
    truth[compared & swapped] = np.roll(claimed, 1, axis=1)[compared & swapped]
    truth[~compared & swapped] |= np.roll(claimed, 2, axis=1)[~compared & swapped]
    measured = measured_in(claimed, truth, compared)
    scores = noisy_scores(truth, rng)
    estimate = adjusted(
        scores, claimed, tracks, known_stems_reference(400, 2), chance=CHANCE, draws=0, measured=measured
    )
    assert estimate.all_bleed[0] == pytest.approx(0.25, abs=0.03)
    assert estimate.all_wrong[0] == pytest.approx(0.25, abs=0.03)


def test_a_stem_that_lost_its_claim_and_two_bleeds_at_once_can_be_measured():
    claimed, _, tracks = planted(80, 0.0)
    truth = claimed | np.roll(claimed, 1, axis=1) | np.roll(claimed, 2, axis=1)  # two bleeds each
    scores = noisy_scores(truth, np.random.default_rng(3))
    measured = Measured(np.ones(80, bool), truth & ~claimed)
    for estimate in (
        prior_shift(scores, claimed, tracks, chance=CHANCE, draws=0, measured=measured),
        adjusted(scores, claimed, tracks, known_stems_reference(80, 2), chance=CHANCE, draws=0, measured=measured),
    ):
        assert estimate.all_bleed[0] > 0.9 and estimate.all_wrong[0] < 0.1
    lost = Measured(np.ones(80, bool), np.zeros_like(claimed))
    scores = noisy_scores(np.roll(claimed, 1, axis=1), np.random.default_rng(3))
    assert prior_shift(scores, claimed, tracks, chance=CHANCE, draws=0, measured=lost).all_wrong[0] > 0.9


@pytest.mark.parametrize(
    ("known_stems", "classes", "message"),
    [(3, K, "do not fit"), (4, 2, "do not fit"), (4, K, "several claims")],
)
def test_invalid_measurements_are_refused(known_stems, classes, message):
    claimed = np.tile([False, True, True, False], (4, 1))
    measured = Measured(np.ones(known_stems, bool), np.zeros((known_stems, classes), bool))
    with pytest.raises(ValueError, match=message):
        prior_shift(np.full((4, K), 0.5), claimed, np.arange(4), chance=CHANCE, measured=measured)
