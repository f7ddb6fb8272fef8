"""A refined manifest compared with the truth: every figure is known beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stemclean import manifest
from stemclean.cli import app
from stemclean.errors import ConfigError
from stemclean.evaluate import evaluate_labels, level_band
from stemclean.manifest import Created, Manifest, Region, Stem, Verdict

LABELS = ["vocals", "bass", "drums", "other"]
KEEP, RELABEL, MIXED, DROP = "keep", "relabel", "mixed", "drop"


def stem(name: str, claimed: str, labels: list[str], verdict: Verdict | None = None, **extra: Any) -> Stem:
    return Stem(
        id=name, track="song", path=f"{name}.flac", sample_rate=44100, channels=2, num_samples=44100,
        claimed=[claimed], labels=labels, verdict=verdict, extra=extra,
    )  # fmt: skip


def judged(action: Any, quality: float | None) -> Verdict:
    return Verdict(action=action, reason="as_claimed", label_quality=quality)


def dataset(*stems: Stem, labels: list[str] | None = None) -> Manifest:
    return Manifest(created=Created(by="test", command="test"), labels=labels or LABELS, stems=list(stems))


def bleed(level_db: float) -> dict[str, Any]:
    return {"fault": "bleed", "bleed": {"label": "drums", "level_db": level_db, "from": "song/drums"}}


TRUTH = dataset(
    stem("right", "vocals", ["vocals"], fault=None),
    stem("swapped", "drums", ["bass"], fault="swapped"),
    stem("loud", "bass", ["bass", "drums"], **bleed(-4.0)),
    stem("soft", "other", ["other", "drums"], **bleed(-14.0)),
    stem("empty", "other", [], fault="silence", silence={"level_dbfs": None}),
    stem("unread", "bass", ["bass"], fault=None),
)
REFINED = dataset(
    stem("right", "vocals", ["vocals"], judged(KEEP, 0.9)),
    stem("swapped", "drums", ["bass"], judged(RELABEL, 0.1)),
    stem("loud", "bass", ["bass", "drums"], judged(MIXED, 0.2)),
    stem("soft", "other", ["other"], judged(KEEP, 0.95)),  # the one that is missed
    stem("empty", "other", [], judged(DROP, None)),
    stem("new", "other", ["other"], judged(KEEP, 0.9)),
)


def test_every_figure_matches_a_hand_computed_case() -> None:
    report = evaluate_labels(REFINED, TRUTH)
    assert report["stems/matched"] == 5
    assert (report["stems/wrong"], report["stems/flagged"]) == (4, 3)
    assert report["stems/unmatched_refined"] == ["new"]
    assert report["stems/unmatched_truth"] == ["unread"]
    assert report["labels/exact_match"] == 4 / 5
    assert report["labels/accuracy/drums"] == 4 / 5  # the soft bleed
    assert report["labels/recall/drums"] == 1 / 2
    assert report["labels/precision/drums"] == 1.0
    assert report["labels/f1/average"] == pytest.approx((1 + 1 + 2 / 3 + 1) / 4)
    assert report["claims/recall/bass"] == 1 / 2
    assert (report["detection/precision"], report["detection/recall"]) == (1.0, 3 / 4)
    # ranked: empty, swapped, loud, right (wrong: no), soft: AP = (1 + 1 + 1 + 4/5) / 4; one pair of four is inverted
    assert report["detection/average_precision"] == pytest.approx((3 + 4 / 5) / 4)
    assert report["detection/roc_auc"] == 3 / 4
    assert {key: value for key, value in report.items() if key.startswith("fault/")} == {
        "fault/none/num": 1, "fault/none/flagged": 0.0, "fault/none/labels_right": 1.0,
        "fault/swapped/num": 1, "fault/swapped/recall": 1.0, "fault/swapped/labels_right": 1.0,
        "fault/silence/num": 1, "fault/silence/recall": 1.0, "fault/silence/labels_right": 1.0,
        "fault/bleed/num": 2, "fault/bleed/recall": 0.5, "fault/bleed/labels_right": 0.5,
        "fault/bleed/-10..0_db/num": 1, "fault/bleed/-10..0_db/recall": 1.0, "fault/bleed/-10..0_db/labels_right": 1.0,
        "fault/bleed/-20..-10_db/num": 1, "fault/bleed/-20..-10_db/recall": 0.0,
        "fault/bleed/-20..-10_db/labels_right": 0.0,
    }  # fmt: skip


def test_the_report_is_flat_json_without_nan() -> None:
    report = evaluate_labels(REFINED, TRUTH)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert not any(isinstance(value, dict) for value in report.values())


def test_labels_equal_to_the_truth_score_one() -> None:
    perfect = [
        item.model_copy(update={"verdict": judged(KEEP if item.labels == item.claimed else DROP, None)})
        for item in TRUTH.stems
    ]
    report = evaluate_labels(dataset(*perfect), TRUTH)
    names = ("exact_match", "accuracy/average", "precision/average", "recall/average", "f1/average")
    assert {report[f"labels/{name}"] for name in names} == {1.0}
    assert {report[f"detection/{name}"] for name in ("precision", "recall", "f1", "average_precision", "roc_auc")} == {
        1
    }


def test_undefined_figures_are_null() -> None:
    good = dataset(stem("right", "vocals", ["vocals"], judged(KEEP, 0.9)))
    report = evaluate_labels(good, good)
    assert report["detection/recall"] is None
    assert report["labels/recall/bass"] is None
    assert report["labels/recall/average"] == 1.0


def test_stems_with_two_faults_count_for_both() -> None:
    truth = dataset(
        stem("both", "bass", ["drums", "other"], **{**bleed(-1.0), "fault": "swapped+bleed"}),
        stem("old", "other", ["bass", "other"]),
    )
    refined = dataset(*(item.model_copy(update={"verdict": judged(MIXED, 0.1)}) for item in truth.stems))
    report = evaluate_labels(refined, truth)
    assert (report["fault/swapped/num"], report["fault/bleed/num"], report["fault/unplanted/num"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("level_db", "band"), [(0.0, "-10..0_db"), (-9.99, "-10..0_db"), (-10.0, "-20..-10_db"), (3.0, "0..10_db")]
)
def test_a_band_includes_its_upper_end(level_db: float, band: str) -> None:
    assert level_band(level_db) == band


def test_paths_are_accepted(tmp_path: Path) -> None:
    refined = manifest.write(REFINED, tmp_path / "refined.json")
    truth = manifest.write(TRUTH, tmp_path / "truth.jsonl")
    assert evaluate_labels(refined, truth) == evaluate_labels(REFINED, TRUTH)


@pytest.mark.parametrize(
    ("refined", "message", "next_step"),
    [
        (dataset(stem("x/right", "bass", ["bass"], judged(KEEP, 1.0))), "no stem in common", "refine the folder"),
        (dataset(), "no stem in common", "no stems"),
        (dataset(stem("right", "bass", ["bass"])), "without a verdict: 1, for example right", "stemclean refine"),
        (dataset(labels=["vocals"]), "the classes differ", "same classes"),
    ],
)
def test_incomparable_manifests_are_refused_with_the_next_step(refined: Manifest, message: str, next_step: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        evaluate_labels(refined, TRUTH)
    assert next_step in caught.value.hint


# Regions and levels


def timed(name: str, claimed: str, *regions: tuple[float, float, list[str]], **changes: Any) -> Stem:
    labels = [label for label in LABELS if any(label in held for _, _, held in regions)]
    placed = [Region(start=start, end=end, labels=held) for start, end, held in regions]
    return stem(name, claimed, labels).model_copy(update={"regions": placed, "num_samples": 441000, **changes})


def test_regions_are_scored_per_second_and_unclaimed_classes_apart() -> None:
    truth = dataset(
        timed("a", "drums", (0.0, 4.0, ["drums"]), (4.0, 7.0, ["drums", "vocals"]), (7.0, 10.0, ["drums"])),
        timed("b", "bass", (0.0, 10.0, [])),  # a stem of silence
        stem("c", "bass", ["bass"]),  # nobody knows when
    )
    refined = dataset(
        timed("a", "drums", (0.0, 5.2, ["drums"]), (5.2, 9.0, ["drums", "vocals"]), verdict=judged(MIXED, 0.1)),
        stem("b", "bass", [], Verdict(action="drop", reason="silent", label_quality=0.0)),
        timed("c", "bass", (0.0, 1.0, ["drums"]), verdict=judged(KEEP, 0.9)),
    )
    report = evaluate_labels(refined, truth)
    assert report["regions/stems"] == 2
    assert (report["regions/recall/drums"], report["regions/precision/drums"]) == (0.9, 1.0)
    # vocals: seconds 4, 5, 6 are true; 5, 6, 7, 8 were found
    assert (report["regions/precision/unclaimed"], report["regions/recall/unclaimed"]) == (2 / 4, 2 / 3)
    assert report["regions/f1/unclaimed"] == report["regions/f1/vocals"] == pytest.approx(4 / 7)
    assert report["regions/f1/bass"] is None


def test_regions_and_levels_need_both_sides() -> None:
    timed_truth = dataset(timed("right", "vocals", (0.0, 1.0, ["vocals"]), levels_db={"vocals": 0.0}))
    for refined, truth in ((REFINED, TRUTH), (REFINED, timed_truth)):
        report = evaluate_labels(refined, truth)
        assert not [name for name in report if name.startswith(("regions/", "levels/"))]


def leveled(name: str, labels: list[str], levels_db: dict[str, float], **changes: Any) -> Stem:
    return stem(name, "bass", labels, **bleed(-1.0)).model_copy(update={"levels_db": levels_db, **changes})


def test_levels_are_compared_relative_to_the_class_that_is_bled_into() -> None:
    truth = dataset(
        leveled("near", ["bass", "drums"], {"bass": -1.0, "drums": -7.0}),  # -6 dB
        leveled("far", ["bass", "drums"], {"bass": -0.1, "drums": -16.1}),  # -16 dB
        leveled("missed", ["bass", "drums"], {"bass": 0.0, "drums": -20.0}),  # -20 dB
        leveled("unknown", ["bass", "drums"], {}),
        stem("clean", "bass", ["bass"]),
    )
    verdict = judged(MIXED, 0.1)
    refined = dataset(
        leveled("near", ["bass", "drums"], {"bass": -2.0, "drums": -6.0}, verdict=verdict),  # -4: 2 too loud
        leveled("far", ["bass", "drums"], {"bass": -0.1, "drums": -17.1}, verdict=verdict),  # -17: 1 too soft
        leveled("missed", ["bass"], {"bass": 0.0}, verdict=verdict),
        leveled("unknown", ["bass", "drums"], {"bass": 0.0, "drums": -3.0}, verdict=verdict),
        stem("clean", "bass", ["bass"], judged(KEEP, 0.9)),
    )
    report = evaluate_labels(refined, truth)
    assert {name: value for name, value in report.items() if name.startswith("levels/")} == {
        "levels/bleeds": 3,
        "levels/found": 2,
        "levels/error_db": pytest.approx(1.5),
        "levels/bias_db": pytest.approx(0.5),
        "levels/mean_error_db": pytest.approx((8 + 2) / 2),  # the mean of all is -14 dB
        "levels/error_all_db": pytest.approx((2 + 1 + 6) / 3),
        "levels/mean_error_all_db": pytest.approx((8 + 2 + 6) / 3),
    }
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_the_command_shows_tables(tmp_path: Path) -> None:
    held = {"bass": -1.0, "drums": -7.0}
    right = timed("a", "bass", (0.0, 6.0, ["bass"]), (6.0, 9.0, ["bass", "drums"]), verdict=judged(MIXED, 0.1))
    truth = dataset(right.model_copy(update={"levels_db": held, "extra": bleed(-6.0)}))
    refined_dataset = dataset(right.model_copy(update={"levels_db": held | {"drums": -9.0}}))
    paths = [
        str(manifest.write(data, tmp_path / name)) for name, data in (("r.json", refined_dataset), ("t.json", truth))
    ]
    command = ["eval", "labels", paths[0], "--truth", paths[1]]
    result = CliRunner().invoke(app, command, prog_name="stemclean", env={"NO_COLOR": "1"})
    lines = {" ".join(line.split()) for line in result.stdout.splitlines()}
    assert {"Regions, by second", "drums 1.000 1.000 1.000", "unclaimed 1.000 1.000 1.000"} <= lines
    assert {"Level of the bleed, dB", "found 1 2.0 0.0", "all 1 2.0 0.0"} <= lines


def test_the_truth_as_its_own_estimate_has_no_error() -> None:
    held = {"bass": -1.0, "drums": -7.0}
    right = timed("a", "bass", (0.0, 6.0, ["bass"]), (6.0, 9.5, ["bass", "drums"]), verdict=judged(MIXED, 0.1))
    both = right.model_copy(update={"levels_db": held, "extra": bleed(-6.0)})
    report = evaluate_labels(dataset(both), dataset(both))
    assert (report["regions/f1/unclaimed"], report["regions/f1/bass"]) == (1.0, 1.0)
    assert (report["levels/error_db"], report["levels/error_all_db"]) == (0.0, 0.0)
