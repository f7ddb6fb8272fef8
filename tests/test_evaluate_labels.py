"""A refined manifest against the truth: every figure is known beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stemclean import manifest
from stemclean.errors import ConfigError
from stemclean.evaluate import evaluate_labels, level_band
from stemclean.manifest import Created, Manifest, Stem, Verdict

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


def test_every_figure_of_a_known_case() -> None:
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


def test_labels_that_equal_the_truth_are_perfect() -> None:
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


def test_what_is_undefined_is_null() -> None:
    good = dataset(stem("right", "vocals", ["vocals"], judged(KEEP, 0.9)))
    report = evaluate_labels(good, good)
    assert report["detection/recall"] is None
    assert report["labels/recall/bass"] is None
    assert report["labels/recall/average"] == 1.0


def test_two_faults_count_in_both_kinds_and_old_faults_in_their_own() -> None:
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
def test_a_band_holds_its_upper_end(level_db: float, band: str) -> None:
    assert level_band(level_db) == band


def test_paths_do_as_well(tmp_path: Path) -> None:
    refined = manifest.write(REFINED, tmp_path / "refined.json")
    truth = manifest.write(TRUTH, tmp_path / "truth.jsonl")
    assert evaluate_labels(refined, truth) == evaluate_labels(REFINED, TRUTH)


@pytest.mark.parametrize(
    ("refined", "said", "next_step"),
    [
        (dataset(stem("x/right", "bass", ["bass"], judged(KEEP, 1.0))), "no stem of the refined", "refine the folder"),
        (dataset(), "no stem of the refined", "no stem at all"),
        (dataset(stem("right", "bass", ["bass"])), "never judged: 1, right", "stemclean refine"),
        (dataset(labels=["vocals"]), "the classes differ", "same classes"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_next_step(refined: Manifest, said: str, next_step: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        evaluate_labels(refined, TRUTH)
    assert next_step in caught.value.hint
