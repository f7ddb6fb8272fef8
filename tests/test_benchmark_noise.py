"""The benchmarks of noise and ranking: their faults and counts, on constructed stems and scores."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import noise_estimate, noise_reference, ranking
from benchmarks.noise_estimate import Draw
from benchmarks.noise_reference import Known
from benchmarks.pages import noise as noise_page
from benchmarks.pages import ranking as ranking_page
from stemclean.manifest import Created, Manifest, Stem
from stemclean.metrics.label_reference import Reference
from stemclean.models.noise_reference import reference_to_card
from stemclean.refining.noise import noise

LABELS = ["vocals", "bass", "drums", "other"]
CARD: dict[str, Any] = {"spec": {"labels": LABELS}, "calibration": {"vocals": {}}, "recipe": {"calibration": {}}}


def scores_of(held: list[str], seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {
        label: round(float(rng.uniform(0.97, 0.99) if label in held else rng.uniform(0.002, 0.02)), 4)
        for label in LABELS
    }


def stem(number: int, claimed: str, held: list[str]) -> Stem:
    return Stem(
        id=f"{number}", track=f"song{number // 4}", path=f"{number}.flac", sha256=f"{number}", sample_rate=100,
        channels=1, num_samples=3000, claimed=[claimed], labels=held, scores=scores_of(held, number),
    )  # fmt: skip


CLEAN = [stem(number, LABELS[number % 4], [LABELS[number % 4]]) for number in range(80)]
DATA = Manifest(created=Created(by="test", command="test"), labels=LABELS, stems=CLEAN)
SCORES: Any = SimpleNamespace(known={str(each.sha256): each.scores for each in CLEAN})


def draw(rate: float) -> Draw:
    stems, truth = noise_estimate.swapped(DATA, SCORES, rate, seed=3)
    return Draw(stems, truth, CARD)


def test_swaps_are_planted_exactly_and_recorded() -> None:
    planted = draw(0.4)
    rates = planted.rates()
    assert rates["wrong"] == 0.4 and rates["bleed"] == 0.0
    assert sum(s.claimed != held for s, held in zip(planted.stems, planted.truth, strict=True)) == 32
    both = Draw([stem(0, "bass", ["bass", "drums"]), stem(1, "bass", ["drums"])], [["bass", "drums"], ["drums"]], CARD)
    assert both.rates() == {"wrong": 0.5, "bleed": 0.5, "classes": {"bass": {"wrong": 0.5, "bleed": 0.5}}}


@pytest.mark.parametrize("name", list(noise_estimate.ESTIMATORS))
def test_every_estimator_finds_obvious_swaps(name: str) -> None:
    if name == "confident_learning":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip("cleanlab", reason="cleanlab comes with the extra dev")
    for rate in (0.0, 0.4):
        wrong = noise_estimate.ESTIMATORS[name](draw(rate))["wrong"]
        # Scores of 0.97 to 0.99 and 0.002 to 0.02: even their plain mean is off by 0.03 at most.
        assert (wrong["rate"] if isinstance(wrong, dict) else wrong) == pytest.approx(rate, abs=0.03)


def test_the_refine_estimate_equals_the_summary_of_refine() -> None:
    planted = draw(0.2)
    assert noise_estimate.by_refine(planted)["wrong"] == noise(planted.stems, LABELS, [CARD])["wrong"]


def test_errors_and_coverage_are_counted() -> None:
    rates = {"wrong": {"rate": 0.3, "low": 0.25, "high": 0.5}, "bleed": {"rate": 0.0, "low": 0.0, "high": 0.1}}
    true = {"wrong": 0.2, "bleed": 0.1, "classes": {"bass": {"wrong": 0.25, "bleed": 0.2}}}
    compared = noise_estimate.compared({**rates, "classes": {"bass": rates}}, true)
    report = noise_estimate.pooled([compared, compared])
    assert report["wrong"] == {
        "true": 0.2, "mean_error": 0.1, "sd": 0.0, "absolute_error": 0.1, "class_absolute_error": 0.05,
        "within_aim": 0.0, "coverage": 0.0, "class_coverage": 1.0, "width": 0.25, "class_width": 0.25,
    }  # fmt: skip
    assert (report["bleed"]["coverage"], report["bleed"]["class_coverage"]) == (1.0, 0.0)
    plain = noise_estimate.compared(
        {"wrong": 0.2, "bleed": float("nan"), "classes": {"bass": true["classes"]["bass"]}}, true
    )
    assert "coverage" not in noise_estimate.pooled([plain])["wrong"] and "bleed" not in noise_estimate.pooled([plain])


def test_halves_share_no_track_with_each_other_or_the_reference() -> None:
    reference = Reference(
        np.array([list(each.scores.values()) for each in CLEAN]), np.array([n % 4 for n in range(80)]),
        np.full(80, -1), np.array([each.track for each in CLEAN]),
    )  # fmt: skip
    donors = [f"song{(number // 4 + 1) % 20}" for number in range(80)]  # of each the next song's
    known_stems = Known(reference, donors)
    planted = draw(0.2)
    first, second = noise_estimate.halves(planted.stems, planted.truth, known_stems, CARD, seed=0)
    tracks = [{each.track for each in half.stems} for half in (first, second)]
    assert not tracks[0] & tracks[1] and len(tracks[0] | tracks[1]) == 20
    remaining = known_stems.without(tracks[0])
    assert len(remaining) and not set(remaining.track) & tracks[0]
    kept = {donors[index] for index, each in enumerate(CLEAN) if each.track in set(remaining.track)}
    assert not kept & tracks[0]


def test_reference_bleed_is_another_class_of_equal_length(tmp_path: Any) -> None:
    import soundfile

    rng = np.random.default_rng(0)
    stems = []
    for number, label in enumerate(["bass", "drums", "drums"]):
        soundfile.write(tmp_path / f"{number}.flac", 0.1 * rng.standard_normal(4000 + 2000 * number), 2000)
        changes = {"sample_rate": 2000, "num_samples": 4000 + 2000 * number}
        stems.append(stem(number, label, [label]).model_copy(update=changes))
    copies, donors = noise_reference.bled(stems, tmp_path, tmp_path / "bleeds", LABELS)
    assert len(copies) == 3 * noise_reference.BLEEDS
    for copy, donor in zip(copies, donors, strict=True):
        assert donor.labels != copy.labels
        mixed = soundfile.read(tmp_path / "bleeds" / copy.path)[0]
        assert len(mixed) == copy.num_samples
        alone = soundfile.read(tmp_path / f"{copy.path[0]}.flac")[0]
        level_db = 10 * np.log10(np.mean((mixed - alone) ** 2) / np.mean(alone**2))
        assert -26.5 < level_db < 0.5  # -20 to 0 dB where it sounds; as short as a quarter of the stem is 6 dB less


def test_rankings_match_constructed_cases() -> None:
    planted = draw(0.2)
    stems = [each.model_copy(update={"labels": held}) for each, held in zip(planted.stems, planted.truth, strict=True)]
    stems[0] = stem(500, stems[0].labels[0], [stems[0].labels[0], "bass" if stems[0].labels != ["bass"] else "drums"])
    values = np.array([[each.scores[label] for label in LABELS] for each in stems])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("cleanlab", reason="cleanlab comes with the extra dev")
    energies = {str(each.sha256): float(each.labels == each.claimed) for each in stems}
    ranked = ranking.compared(stems, values, LABELS, 0.325, energies)
    for name in ("label_quality", "minimum", "cleanlab_self_confidence", "separator_energy"):
        assert ranked[name] == {"swapped": 1.0, "bleed": 1.0, "both": 1.0}
    # The claimed class is there in a stem with bleed, and ACMID's 0.995 is above every score: all stems tie.
    assert ranked["claimed_score"]["bleed"] < 1.0
    assert ranked["acmid_0.995"]["both"] == pytest.approx(17 / 80, abs=0.02)


def test_the_pages_show_every_case_and_missing_results() -> None:
    for page in (noise_page, ranking_page):
        assert "Not measured yet" in page.parts(lambda name: {})[-1]
    planted = draw(0.2)
    scores = {
        name: noise_estimate.pooled([noise_estimate.compared(estimator(planted), planted.rates())])
        for name, estimator in noise_estimate.ESTIMATORS.items()
        if name != "confident_learning"
    }
    weights = {"uri": "file:x", "sha256": "0" * 64}
    result = {"weights": weights, "reference": False, "config": {"aim": 0.05}, "cases": {"swapped/0.2": scores}}
    ranks = {group: {"mean": 0.5, "sd": 0.1} for group in ("swapped", "bleed", "both")}
    config = {"seeds": 5, "mislabel": 0.2, "bleed": 0.2, "bleed_db": [-20, 0]}
    ranked = {"weights": weights, "config": config, "ranked": {"label_quality": ranks, "minimum": ranks}}
    results = {"noise_estimate": result, "ranking": ranked, "ranking_validation": ranked}
    text = "\n".join(
        page for pages in (noise_page, ranking_page) for page in pages.parts(lambda name: results.get(name, {}))
    )
    assert "| 20 % swapped |" in text and "0.500 ± 0.100" in text and "has no reference" in text


def test_a_reference_is_stored_in_a_model_card() -> None:
    reference = Reference(
        np.array([list(each.scores.values()) for each in CLEAN[:4]]), np.array([0, 1, 2, 3]), np.array([-1, 2, -1, 0]),
        np.array(["b", "b", "a", "c"]),
    )  # fmt: skip
    card = {**CARD, "reference": reference_to_card(reference, LABELS)}
    assert card["reference"]["stems"][1].split()[:2] == ["bass+drums", "1"]
    assert noise(CLEAN, LABELS, [card])["method"] == "adjusted"
    assert noise(CLEAN, LABELS, [card, card])["method"] == "prior_shift"  # folds: the reference knows one classifier
    assert (
        noise(CLEAN, LABELS, [{**card, "reference": {**card["reference"], "labels": LABELS[::-1]}}])["method"]
        == "prior_shift"
    )
