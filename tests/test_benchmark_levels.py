"""The benchmarks of levels and regions: their counts, on constructed bleeds and manifests."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from benchmarks import levels, regions
from benchmarks.levels import Bleed
from benchmarks.pages import levels as page
from stemclean.manifest import Created, Manifest, Region, Stem, Verdict

LABELS = ["vocals", "bass", "drums", "other"]
WEIGHTS = {"uri": "file:x.safetensors", "sha256": "0" * 64}


def bleed(true_db: float, told_db: float | None, head_db: float, flagged: bool = True) -> Bleed:
    return Bleed("real__song", "drums", "bass", true_db, told_db, head_db, flagged)


FOUND = [bleed(-4.0, -6.0, -5.0), bleed(-12.0, -11.0, -12.0), bleed(-20.0, None, -14.0, flagged=False)]


def test_errors_are_counted_over_found_bleeds_and_over_all() -> None:
    assert levels.errors(FOUND) == {
        "bleeds": 3, "found": 2,
        "error_db": 1.5, "bias_db": -0.5, "mean_error_db": 4.0,  # the mean of those found is -8 dB
        "head_error_db": round(7 / 3, 3), "head_bias_db": round(5 / 3, 3), "head_mean_error_db": round(16 / 3, 3),
    }  # fmt: skip
    assert levels.errors([])["error_db"] is None


def test_a_limit_keeps_soft_and_undetected_bleed() -> None:
    assert levels.limited(FOUND, -10.0) == {"softer": 2, "softer_kept": 2, "louder": 1, "louder_flagged": 1}
    assert levels.limited(FOUND, -5.0) == {"softer": 2, "softer_kept": 2, "louder": 1, "louder_flagged": 0}


@pytest.mark.parametrize(("low", "high"), [(-25, -20), (-20, -15), (-5, 0)])
def test_bands_cover_the_range_and_include_their_upper_end(low: int, high: int) -> None:
    assert levels.band(float(high)) == levels.band(low + 0.01) == f"{low}..{high}"
    assert levels.band(-25.0) == "-25..-20"


def stem(name: str, claimed: str, *placed: tuple[float, float, list[str]], **changes: Any) -> Stem:
    held = [label for label in LABELS if any(label in labels for _, _, labels in placed)]
    return Stem(
        id=name, track="song", path=f"{name}.flac", sample_rate=100, channels=1, num_samples=6000, claimed=[claimed],
        labels=held, regions=[Region(start=a, end=b, labels=labels) for a, b, labels in placed],
        verdict=Verdict(action="keep", reason="as_claimed", label_quality=0.5),
        active=[(0.0, 60.0)], **changes,
    )  # fmt: skip


def dataset(*stems: Stem) -> Manifest:
    return Manifest(created=Created(by="test", command="test"), labels=LABELS, stems=list(stems))


PLANTED = {"fault": "bleed", "bleed": {"label": "drums", "level_db": -6.0, "share": 0.3}}
ALONE, BOTH = ["bass"], ["bass", "drums"]
TRUTH = dataset(
    stem("a", "bass", (0, 10, ALONE), (10, 20, BOTH), (20, 40, ALONE), (40, 44, BOTH), (44, 60, ALONE), extra=PLANTED),
    stem("b", "bass", (0, 60, ALONE), extra={"fault": None}),
)
REFINED = dataset(
    stem("a", "bass", (0, 9, ALONE), (9, 14, BOTH), (14, 16, ALONE), (16, 22, BOTH), (22, 60, ALONE)),
    stem("b", "bass", (0, 54, ALONE), (54, 60, BOTH), scores=dict.fromkeys(LABELS, 0.5)),
)


def test_spans_are_matched_with_short_pauses_filled() -> None:
    pairs = [pair for pair in regions.matched(REFINED, TRUTH) if pair[1].extra["fault"]]
    report = regions.stretches(pairs)
    assert (report["stretches"], report["found"]) == (2, 1)
    assert (report["start"], report["end"], report["border"]) == (-1.0, 2.0, 1.5)
    assert (report["within_1"], report["within_2"]) == (0.5, 1.0)
    assert regions.stretches(pairs, (0.0, 5.0))["stretches"] == 1
    assert regions.stretches([])["border"] is None


def test_false_regions_are_counted() -> None:
    pairs = [pair for pair in regions.matched(REFINED, TRUTH) if not pair[1].extra["fault"]]
    assert regions.absent(pairs) == {"stems": 1, "stems_with": 1, "share": round(6 / (3 * 60), 4)}


def test_a_verdict_without_regions_covers_the_whole_stem() -> None:
    report = regions.scores(regions.everywhere(REFINED), TRUTH)
    assert report["recall/unclaimed"] == 1.0
    assert report["precision/unclaimed"] == pytest.approx(14 / 120)


class StandIn:
    """Draws that were drawn before."""

    def draw(self, config: object) -> tuple[Manifest, Manifest, None]:
        return REFINED, TRUTH, None


def test_both_page_sections_follow_from_the_results() -> None:
    every = levels.errors(FOUND)
    results = {
        "all": every, "real": every, "bands": levels.by(FOUND, lambda b: levels.band(b.true_db)),
        "label": {"drums": every}, "limits": {"-10": levels.limited(FOUND, -10.0)}, "weights": WEIGHTS,
        "config": {"bleed": 0.6, "bleed_db": [-25.0, 0.0], "seeds": 5}, "bleeds": [asdict(bleed) for bleed in FOUND],
    }  # fmt: skip
    timed = regions.measure(StandIn(), [None, None]) | {  # type: ignore[arg-type, list-item]
        "weights": WEIGHTS,
        "config": {"bleed": 0.6, "bleed_db": [-25.0, 0.0], "bleed_share": [0.1, 0.6], "seeds": 2},
    }
    text = "\n\n".join(page.parts({"levels": results, "regions": timed}.get))  # type: ignore[arg-type]
    assert "Goal: 3 dB from -25 to 0 dB: reached (1.5 dB; level head on all bleed: 2.3 dB)." in " ".join(text.split())
    assert "| -25 to -20 | 1 | 0 of 1 (0 %) | – | – | – | 6.0 | +6.0 | 0.0 |" in text
    assert "| -10 | 2 of 2 (100 %) | 1 of 1 (100 %) |" in text
    assert "| all | 2 of 4 (50 %) | -1.00 | +2.00 | 1.50 | 50 % | 100 % |" in text
    assert "| unclaimed | 0.52 ± 0.00 |" in text  # 8 s of 14 were found, 17 s were said
    assert "nan" not in text.lower()
    nothing = "\n".join(page.parts(lambda name: {}))
    assert nothing.count("Not measured yet") == 2


def test_means_skip_missing_values_of_a_draw() -> None:
    reports = [{"a": 1.0, "b": None}, {"a": 2.0, "b": None}]
    assert regions.mean(reports) == {"a": 1.5, "b": None}
    assert regions.spread(reports) == {"a": round(np.std([1, 2], ddof=1), 4), "b": None}


@pytest.mark.parametrize(
    ("off", "expected_text"),
    [((1.0, 1.0), "clearly beats"), ((9.0, 9.0), "is worse than"), ((1.0, 8.0), "**does not clearly beat**")],
)
def test_levels_are_compared_with_the_mean_per_song(off, expected_text):
    """Levels from -20 to 0 dB, 5 dB from their mean on average; predicted with a given error in each song."""
    bleeds = []
    for n in range(80):
        song, true = n % 8, -n / 4
        error = off[song % 2] * (1 if n % 16 < 8 else -1)
        bleeds.append({"track": f"song{song}", "true_db": true, "head_db": true + error})
    text = page.against_a_constant(bleeds)
    assert expected_text in text
    assert f"The median of its absolute errors is {sum(off) / 2:.1f} dB." in text
