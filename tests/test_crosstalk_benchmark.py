"""The benchmark of measured bleed: its faults, its counts, and the text of its page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import crosstalk
from benchmarks.pages import crosstalk as page
from stemclean.audio.crosstalk import Crosstalk
from stemclean.manifest import Created, Manifest, Stem, Verdict
from stemclean.manifest import Crosstalk as Told
from stemclean.models import weights

RATE = crosstalk.SAMPLE_RATE
LABELS = ["vocals", "bass", "drums", "other"]
WEIGHTS = {"uri": "file:x.safetensors", "sha256": "0" * 64}


@pytest.fixture(scope="module")
def noises() -> list[np.ndarray]:
    """Four stems of a song, of unlike length and loudness."""
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal((2, RATE * seconds)) * gain).astype(np.float32)
        for seconds, gain in ((8, 0.1), (7, 0.3), (8, 0.02), (9, 0.1))
    ]


class TestPlanting:
    @pytest.mark.parametrize("variant", list(crosstalk.CHANGES))
    def test_planted_levels_are_measured_on_the_added_sound(self, noises, variant):
        song = crosstalk.plant(noises, variant, np.random.default_rng(5))
        assert len(song.levels_db) == len(crosstalk.PAIRS.get(variant, ((1, 0),)))
        hosts = {into for _, into in song.levels_db}
        for number, (stem, before) in enumerate(zip(song.stems, noises, strict=True)):
            assert stem.shape == before.shape and stem.dtype == np.float32
            assert np.array_equal(stem, before) is (number not in hosts)
        if variant != "coded":  # a codec changes the rest as well
            for (_, into), level_db in song.levels_db.items():
                added = crosstalk.rms(song.stems[into] - noises[into]) / crosstalk.rms(song.stems[into])
                # Single precision: a bleed of -35 dB is known to 0.001 dB.
                assert 20 * np.log10(added) == pytest.approx(level_db, abs=1e-2)

    def test_chains_of_bleed_are_not_passed_on(self, noises):
        song = crosstalk.plant(noises, "chain", np.random.default_rng(1))
        (source_index, into), (first, same) = song.levels_db
        assert same == source_index and song.through == (first, into)
        added = song.stems[into] - noises[into]
        source, absent = (crosstalk.fitted(noises[k], added.shape[1]) for k in (source_index, first))
        present, not_present = (abs(np.corrcoef(added.ravel(), sound.ravel())[0, 1]) for sound in (source, absent))
        assert present > 0.9 and not_present < 0.02  # the last is chance: 0.001 for 700 000 samples

    def test_intermittent_bleed_starts_and_stops(self):
        sound = np.ones((2, 20 * RATE), np.float32)
        for seed in range(5):
            share = crosstalk.comes_and_goes(sound, np.random.default_rng(seed)).mean()
            assert 3 / 20 <= share < 1

    def test_mask_leakage_is_known_and_parts_add_up(self, noises):
        sounds = [noises[0], 0.3 * noises[2] / 0.02 * 0.1, np.zeros_like(noises[0])]
        song = crosstalk.cut_out(sounds)
        assert set(song.levels_db) == {(0, 1), (1, 0)}  # silence is in nothing
        mixture = sum(song.stems)
        np.testing.assert_allclose(mixture, sum(sounds), atol=1e-4)
        share = 1 / (1 + 0.3**2)  # of noises as loud everywhere, a mask lets as much of each through
        assert song.levels_db[0, 1] == pytest.approx(10 * np.log10(share), abs=0.5)
        assert song.levels_db[1, 0] == pytest.approx(10 * np.log10(1 - share), abs=0.5)

    def test_delayed_and_coded_bleed_keep_position_and_length(self, noises):
        assert np.array_equal(crosstalk.later(noises[0])[:, 485:], noises[0][:, :-485])
        tone = 1.5 * np.sin(2 * np.pi * 440 * np.arange(RATE + 77) / RATE).astype(np.float32)
        back = crosstalk.coded(np.stack([tone, tone]))
        assert back.shape == (2, RATE + 77)
        assert np.abs(back - tone)[:, 2000:-2000].mean() < 0.05  # a codec of 5 % at most, and no lag

    def test_songs_without_two_active_stems_are_refused(self):
        with pytest.raises(ValueError, match="no two stems sound"):
            crosstalk.plant([np.zeros((2, 1000), np.float32)] * 3, "copy", np.random.default_rng(0))


class TestCounting:
    def test_reported_pairs_are_classified(self):
        song = crosstalk.Song([], {(1, 0): -10.0, (2, 1): -20.0}, (2, 0))
        pairs = {(1, 0): -12.0, (0, 1): -30.0, (2, 0): -25.0, (3, 2): -33.0, (3, 1): -20.0}
        reported = [Crosstalk(source, into, level, 0.0) for (source, into), level in pairs.items()]
        against = crosstalk.compared_with_truth(song, reported, [(3, 1)], LABELS)
        assert against["bleeds"] == [
            {"from": "bass", "into": "vocals", "level_db": -10.0, "told_db": -12.0},
            {"from": "drums", "into": "bass", "level_db": -20.0, "told_db": None},
        ]
        assert [item["kind"] for item in against["more"]] == ["wrong_way", "through", "other"]
        report = crosstalk.tally([against, {"bleeds": [], "more": []}])
        assert (report["songs"], report["wrong_way"], report["through"], report["other"]) == (2, 1, 1, 1)
        assert report["all"] == {"bleeds": 2, "found": 1, "error_db": 2.0, "bias_db": -2.0, "worst_db": 2.0}
        assert report["bands"]["-25..-15"] == crosstalk.counted(against["bleeds"][1:])

    def test_bleed_present_before_planting_has_no_known_level(self):
        bleeds = [
            {"from": a, "into": b, "level_db": -9.0, "told_db": -9.0} for a, b in (("bass", "drums"), ("drums", "bass"))
        ]
        song = {
            "clean": [{"from": "bass", "into": "drums", "level_db": -30.0}],
            "variants": {"copy": {"bleeds": bleeds, "more": []}},
        }
        assert crosstalk.of_known_level(song, "copy") == {"bleeds": bleeds[1:], "more": []}

    def test_shares_count_active_stems_only(self):
        truth = [stem("a", bleed=True), stem("b", bleed=True), stem("c"), stem("d"), stem("e", scores={})]
        loud, soft = (Told(stem="b", label="drums", level_db=level, delay=0.0) for level in (-29.0, -31.0))
        drums = stem("c", crosstalk=[]).model_copy(update={"claimed": ["drums"], "labels": ["drums"]})
        refined = [stem("a", crosstalk=[loud]), stem("b", crosstalk=[soft]), drums]
        refined += [stem("d", crosstalk=[]), stem("e", scores={})]
        judge = weights.load("bundled:atto.v2")
        report = crosstalk.reported_shares(dataset(refined), dataset(truth), judge)
        counts = {
            "stems": 4,
            "planted": {"wrong": 0.0, "bleed": 0.5},
            "bleeds": 2,
            "bleeds_measured": 1,
            "others_measured": 0,
        }
        assert {name: report[name] for name in counts} == counts
        assert report["compared"]["all"]["bleed"]["rate"] == 0.25

    def test_the_benchmark_agrees_with_refine_on_fewer_songs(self):
        judge = weights.load("bundled:atto.v2")
        sure = {"scores": {label: 0.95 if label == "vocals" else 0.05 for label in LABELS}}
        drums = [Told(stem="b", label="drums", level_db=-9.0, delay=0.0)]
        stems = [
            stem(f"{n}", crosstalk=drums if n % 4 == 0 else [], **sure).model_copy(
                update={"track": f"song{n}", "claimed": ["vocals"], "labels": ["vocals"]}
            )
            for n in range(40)
        ]
        answers = crosstalk.reported_shares(dataset(stems), dataset(stems), judge)["compared"]
        answers = {name: answer["bleed"] for name, answer in answers.items()}
        assert answers["all"]["rate"] == 0.25 and answers["all"]["low"] < 0.25 < answers["all"]["high"]
        assert answers["none"]["rate"] < 0.05  # the scores say nothing of drums
        assert 0.05 < answers["half"]["rate"] < 0.2
        other = crosstalk.reported_shares(dataset(stems), dataset(stems), judge, seed=1)["compared"]["half"]
        assert other["bleed"] != answers["half"]

    def test_the_greatest_error_keeps_its_sign(self):
        answers = [{"rate": rate, "low": rate, "high": 0.41} for rate in (0.42, 0.33)]
        draws = [
            {"planted": {"bleed": 0.4}, "compared": {name: {"bleed": answer} for name in crosstalk.COMPARED}}
            for answer in answers
        ]
        report = crosstalk.errors(draws, "bleed")
        assert report["half"] == {"rate": 0.375, "error": -0.025, "worst": -0.07, "inside": 1}
        assert report["draws"] == 2

    def test_faults_are_reported_per_draw(self):
        truth = dataset([stem("a", bleed=True), stem("b")])
        blind = dataset([stem("a"), stem("b")])
        report = crosstalk.found_report([truth, blind], [truth, truth])
        assert [draw["labels/exact_match"] for draw in report["draws"]] == [1.0, 0.5]
        assert report["mean"]["labels/exact_match"] == 0.75
        assert report["pooled"]["fault/bleed/num"] == 2
        assert not [name for name in report["pooled"] if name.startswith(("labels/f1", "regions/"))]


def stem(name: str, *, bleed: bool = False, **changes: Any) -> Stem:
    about: dict[str, Any] = {"scores": dict.fromkeys(LABELS, 0.5)} | changes
    extra = {"fault": "bleed", "bleed": {"label": "drums", "level_db": -10.0}} if bleed else {"fault": None}
    keep = Verdict(action="keep", reason="as_claimed", label_quality=0.9)
    mixed = Verdict(action="mixed", reason="unclaimed_class_present", label_quality=0.1)
    return Stem(
        id=name, track="song", path=f"{name}.flac", sample_rate=100, channels=1, num_samples=6000, claimed=["bass"],
        labels=["bass", "drums"] if bleed else ["bass"], extra=extra,
        verdict=mixed if bleed else keep, **about,
    )  # fmt: skip


def dataset(stems: list[Stem], summary: dict[str, Any] | None = None) -> Manifest:
    created = Created(by="test", command="test")
    return Manifest(created=created, labels=LABELS, stems=stems, summary=summary or {})


def found(f1: tuple[float, float], error_db: float | None, recall: float) -> dict[str, Any]:
    pooled = {
        "fault/none/num": 10, "fault/none/flagged": 0.1, "fault/bleed/num": 4, "fault/bleed/recall": recall,
        "fault/bleed/labels_right": 0.5, "fault/bleed/-30..-20_db/num": 2, "fault/bleed/-30..-20_db/recall": recall,
        "fault/bleed/-10..0_db/num": 2, "fault/bleed/-10..0_db/recall": recall,
        "levels/found": 0 if error_db is None else 3, "levels/bleeds": 4,
        "levels/error_db": error_db, "levels/mean_error_db": 5.0,
    }  # fmt: skip
    draws = [
        {"detection/f1": value, "detection/average_precision": 0.9, "labels/exact_match": None, "levels/error_db": 1.0}
        for value in f1
    ]
    return {"mean": {"detection/f1": sum(f1) / 2}, "sd": {"detection/f1": 0.01}, "pooled": pooled, "draws": draws}


def refined(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    config = {"mislabel": 0.2, "bleed": 0.3, "bleed_db": [-30.0, 0.0], "seeds": 2}
    return {"config": config, "weights": WEIGHTS, "all": {"measured": ours, "heard": theirs}}


def tallied(error_db: float | None, **changes: int) -> dict[str, Any]:
    counts = {"bleeds": 2, "found": 0 if error_db is None else 2, "error_db": error_db, "worst_db": error_db}
    bands = {"-15..0": counts, "-35..-25": counts, "-25..-15": counts}  # as sorted in a result
    return {"songs": 9, "all": counts, "bands": bands, "wrong_way": 0, "through": 0, "other": 0} | changes


def varied(songs: list[dict[str, Any]], **variants: dict[str, Any]) -> dict[str, Any]:
    config = {"levels_db": [-35.0, 0.0], "both_ways_db": [-30.0, -3.0], "lowest_db": -40.0}
    return {"config": config, "clean": {"songs": 9, "pairs": 80, "told": songs}, "variants": variants}


def rate(compared: float, alone: float, planted: float = 0.2) -> dict[str, Any]:
    report: dict[str, Any] = {"draws": 1, "planted": planted}
    for name, value in (("all", compared), ("half", alone), ("none", alone)):
        report[name] = {"rate": value, "error": value - planted, "worst": value - planted, "inside": 1}
    return report


def shared(**rates: dict[str, Any]) -> dict[str, Any]:
    draws = [{"stems": 10, "bleeds": 4, "bleeds_measured": 3, "others_measured": 1}]
    config = {"bleed_db": [-25.0, 0.0], "present_db": -30.0, "seeds": 1}
    both = {"config": {"mislabel": 0.2, "bleed": 0.3, "bleed_db": [-30.0, 0.0]}, "draws": draws}
    both |= {"wrong": rate(0.28, 0.3), "bleed": rate(0.21, 0.3)}
    return {"config": config, "weights": WEIGHTS, "rates": rates, "draws": draws, "both": both}


def timed(ratio: float) -> dict[str, Any]:
    values = {"median": ratio, "min": ratio, "max": ratio, "num": 3}
    ways = dict.fromkeys(("heard", "measured", "alone"), values)
    return {"seconds": ways, "times_real_time": ways, "ratio": values}


MACHINE = {
    "cores": 2, "architecture": "x", "system": "y", "python": "3", "torch": "2", "load_before": [0.1, 0.1, 0.1],
}  # fmt: skip
SPEED = {
    "machine": MACHINE, "weights": WEIGHTS, "songs": 4, "stems": 14, "audio_minutes": 20.0, "workers": 2,
    "config": {"bleed": 0.3}, "cases": {"bleed": timed(1.5), "clean": timed(1.1)},
}  # fmt: skip


def shown(parts: list[str]) -> str:
    """Parts of a page in one line."""
    return " ".join(" ".join(parts).split())


class TestPage:
    def test_the_page_claims_nothing_that_was_not_measured(self):
        text = shown(page.parts(lambda name: {}))
        assert "Not measured yet: `python -m benchmarks.crosstalk`." in text
        only_speed = shown(page.parts({"crosstalk": {"speed": SPEED}}.get))
        assert only_speed.count("Not measured yet") == 3 and "--only variants`" in only_speed

    def test_every_page_part_follows_from_the_results(self):
        variants = {name: tallied(1.0) for name in (*crosstalk.CHANGES, crosstalk.MASKED)}
        result = {
            "refine": refined(found((0.9, 0.8), 1.2, 1.0), found((0.6, 0.8), None, 0.5)),
            "variants": varied([], **variants), "noise": shared(**{"0.2": rate(0.2, 0.3)}), "speed": SPEED,
        }  # fmt: skip
        text = shown(page.parts({"crosstalk": result}.get))
        assert "**Planted bleed is the best case**" in text
        assert "Bleed from sources outside the dataset cannot be measured" in text
        assert "| songs | crosstalk | all | -30 to -20 | -10 to 0 | all classes named |" in text
        assert "| all | with | 4 of 4 (100 %) | 2 of 2 (100 %) | 2 of 2 (100 %) | 2 of 4 (50 %) |" in text
        assert "| all | without | 0 of 4 (0 %) | – | 5.0 |" in text
        assert "F1 rises by 0.15 (1 of 2 draws improve); average precision does not change" in text
        assert "| bleed | -35 to -25 | -25 to -15 | -15 to 0 |" in text
        assert "| 20 % | 1 | 20.0 | +0.0 | +0.0 | 30.0 | +10.0 | +10.0 | 30.0 | +10.0 | +10.0 |" in text
        assert "| wrong claims | 20.0 | 28.0 | +8.0 | +8.0 | 30.0 |" in text
        assert "Goal for wrong claims: **not reached** (largest error of a draw +8.0, largest" in text
        assert (
            "All compared: reached (largest error of a draw +0.0, largest mean error of a row +0.0; "
            "the interval contains the planted share in 1 of 1 (100 %) draws)" in text
        )
        assert "No song compared: **not reached** (largest error of a draw +10.0, largest" in text
        assert "takes 1.1 (1.1 to 1.1) times as long without bleed and 1.5 (1.5 to 1.5) times as long with" in text
        assert not {"nan", "None"} & set(text.replace("|", " ").split())
        assert set(page.VARIANTS) == set(variants)
        assert set(page.SECTIONS) == set(crosstalk.SECTIONS)

    @pytest.mark.parametrize(
        ("error_db", "expected_text"),
        [
            (1.2, "all songs: reached (1.2 dB), better than a constant (5.0 dB); real"),
            (3.1, "all songs: **not reached** (3.1 dB), better than a constant"),
            (5.5, "all songs: **not reached** (5.5 dB), **no better than** a constant"),
            (None, "not measured, as no bleed was found"),
        ],
    )
    def test_the_levels_goal_follows_from_the_figures(self, error_db, expected_text):
        kinds = {kind: {"measured": found((0.9, 0.9), error_db, 1.0)} for kind in ("all", "real")}
        text = page.goal_of_levels(kinds)
        assert expected_text in text
        assert error_db is None or f"real songs: {'' if error_db < 3 else '**not '}reached" in text

    def test_a_falling_figure_is_described_as_falling(self):
        worse = refined(found((0.5, 0.8), 1.0, 1.0), found((0.6, 0.8), None, 0.5))["all"]
        assert "F1 **falls** by 0.05 (0 of 2 draws improve)" in page.compared(worse)

    @pytest.mark.parametrize(
        ("variants", "expected_text"),
        [
            ({"copy": tallied(1.0)}, "is reached for every variant"),
            (
                {"copy": tallied(1.0), "room": tallied(4.2)},
                "for 1 of 2 variants, and **not reached** for: with room reverberation (4.2",
            ),
            ({"room": tallied(None)}, "not measured, as no bleed was found"),
        ],
    )
    def test_the_variants_goal_follows_from_the_figures(self, variants, expected_text):
        assert expected_text in page.goal_of_variants(variants)

    def test_bleed_reported_in_the_original_songs_is_listed(self):
        bleed = {"song": "x", "from": "drums", "into": "bass", "level_db": -31.26, "delay": 0.0021}
        text = shown(page.variant_parts(varied([bleed], chain=tallied(1.0, through=2))))
        assert "with 80 ordered pairs of stems, bleed is reported in 1." in text
        assert "| `x` | drums | bass | -31.3 | 2.1 |" in text
        assert "**reported in 2 of 9 (22 %)** songs" in text
        none = shown(page.variant_parts(varied([], chain=tallied(1.0))))
        assert "no bleed is reported" in none and "reported in none of 9 songs" in none

    @pytest.mark.parametrize(
        ("measured", "expected_text"),
        [(0.25, "reached (largest error of a draw +5.0, "), (0.14, "**not reached** (largest error of a draw -6.0, ")],
    )
    def test_the_shares_goal_follows_from_the_worst_draw(self, measured, expected_text):
        text = shown(page.noise_parts(shared(**{"0.2": rate(measured, 0.2), "0": rate(0.0, 0.0, 0.0)})))
        assert f"Goal: 5 points in every draw. All compared: {expected_text}" in text
        assert (
            "measured in 3 of 4 (75 %) of the stems in which it was planted, and in 1 of 6 (17 %) of the others" in text
        )
