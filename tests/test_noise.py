"""The noise estimate that ``refine`` writes and prints."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from stemclean.cli._noise import noise_tables
from stemclean.manifest import Crosstalk, Skip, Stem
from stemclean.metrics.label_reference import Reference
from stemclean.models.calibration import chance_of_card
from stemclean.models.noise_reference import reference_of_card, reference_to_card
from stemclean.refining import noise as module
from stemclean.refining.noise import noise
from stemclean.refining.summary import KEYS, summary

LABELS = ["vocals", "bass", "drums", "other"]
CARD: dict[str, Any] = {"spec": {"labels": LABELS}}


def stem(number: int, claimed: str, held: list[str], **changes: Any) -> Stem:
    scores = {label: 0.98 if label in held else 0.02 for label in LABELS}
    fields: dict[str, Any] = {
        "id": f"{number}", "track": f"song{number // 4}", "path": f"{number}.flac", "sample_rate": 100, "channels": 1,
        "num_samples": 3000, "claimed": [claimed], "labels": held, "found": held, "scores": scores,
    }  # fmt: skip
    return Stem(**{**fields, **changes})


def dataset(num_stems: int, swapped: int) -> list[Stem]:
    """Bass and drums in turn; the first few of each claim the other."""
    names = ["bass", "drums"]
    return [stem(n, names[(n + (n < swapped)) % 2], [names[n % 2]]) for n in range(num_stems)]


def printed(shown: list[Any]) -> str:
    console = Console(file=io.StringIO(), width=120)
    for part in shown:
        console.print(getattr(part, "title", None) or "", part)
    return console.file.getvalue()


def test_the_summary_has_every_documented_key():
    report = summary(dataset(40, 8), [Skip(path="x", reason="empty")], LABELS, [CARD])
    documented = " ".join(f"`{key}` {meaning}" for key, meaning in (*KEYS.items(), *module.KEYS.items()))
    keys = {*report, *report["noise"], *report["noise"]["classes"]["bass"], *report["noise"]["wrong"]}
    assert {key for key in keys if f"`{key}`" not in documented} == set()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert set(report["noise"]["classes"]) == {"bass", "drums"}  # what nobody claims has no rate


def test_swaps_show_as_wrong_claims_and_as_a_confusion():
    estimate = noise(dataset(40, 8), LABELS, [CARD])
    assert estimate["method"] == "prior_shift" and (estimate["stems"], estimate["tracks"]) == (40, 10)
    # Scores of 0.98 and 0.02 leave no doubt about any of the 8 stems in 40.
    assert abs(estimate["wrong"]["rate"] - 0.2) < 0.02 and estimate["bleed"]["rate"] < 0.02
    assert estimate["wrong"]["low"] < 0.2 < estimate["wrong"]["high"]
    assert abs(estimate["classes"]["bass"]["found"]["drums"]["rate"] - 0.2) < 0.03
    assert (
        estimate["confusion"]["claimed"] != estimate["confusion"]["found"]
        and abs(estimate["confusion"]["stems"] - 4) < 1
    )


def test_silent_stems_are_not_counted():
    silent = stem(99, "bass", [], scores={})
    assert noise([silent], LABELS, [CARD]) is None
    assert summary([silent], [], LABELS, [CARD])["noise"] is None
    assert noise([*dataset(20, 4), silent], LABELS, [CARD]) == noise(dataset(20, 4), LABELS, [CARD])
    assert noise_tables(None) == []


def test_clean_data_have_no_confusion_and_few_tracks_are_noted():
    estimate = noise(dataset(20, 0), LABELS, [CARD])
    assert estimate["confusion"] is None and estimate["wrong"]["rate"] < 0.02
    assert estimate["wrong"]["high"] > 0.1  # five tracks
    text = printed(noise_tables(estimate))
    assert "fewer than 30 tracks of bass, drums: rely on the intervals" in text
    assert "most common" not in text and "95 % intervals" in text


def test_the_table_has_a_row_per_class_in_whole_percent():
    rate = {"rate": 0.123, "low": 0.034, "high": 0.251}
    report = {
        "method": "adjusted", "level": 0.95, "stems": 90, "tracks": 60, "wrong": rate, "bleed": rate,
        "classes": {"bass": {"claims": 50, "tracks": 40, "wrong": rate, "bleed": {**rate, "rate": 0.06}},
                    "drums": {"claims": 40, "tracks": 40, "wrong": rate, "bleed": rate}},
        "confusion": {"claimed": "bass", "found": "other", "stems": 5.2},
    }  # fmt: skip
    text = printed(noise_tables(report))
    lines = [line.split() for line in text.splitlines() if "12 (3–25)" in line]
    assert [line[:2] for line in lines] == [["bass", "50"], ["drums", "40"], ["all", "90"]]
    assert "6 (3–25)" in text and "most common: other in about 5 of the 50 stems that claim bass" in text
    assert "fewer than" not in text and "no reference" not in text
    assert "no reference" in printed(noise_tables({**report, "method": "prior_shift"}))


def test_measured_stems_are_counted_and_their_number_reported():
    vocals = [Crosstalk(stem="x", label="vocals", level_db=-9.0, delay=0.0)]
    stems = [stem(n, "bass", ["bass"], crosstalk=vocals if n % 4 == 0 else []) for n in range(80)]
    estimate = noise(stems, LABELS, [CARD])
    assert (
        estimate is not None and estimate["bleed"]["rate"] == estimate["measured"]["bleed"]["rate"] == 0.25
    )  # scores say nothing
    assert estimate["classes"]["bass"]["found"]["vocals"]["rate"] == 0.25
    text = printed(noise_tables(estimate))
    assert "80 stems were compared with others of their song; bleed was measured in 25 (" in text
    assert "do not detect is not included" not in text

    half = [item if n < 40 else item.model_copy(update={"crosstalk": None}) for n, item in enumerate(stems)]
    estimate = noise(half, LABELS, [CARD])
    assert estimate is not None and 0.1 < estimate["bleed"]["rate"] < 0.2
    text = printed(noise_tables(estimate))
    assert "40 stems were compared with others of their song; bleed was measured in 25 (" in text
    assert "do not detect is not included" in text

    swapped = [stem(n, "bass", ["drums"], crosstalk=vocals) for n in range(8)]
    estimate = noise([*stems, *swapped], LABELS, [CARD])
    assert (
        estimate is not None and estimate["bleed"]["rate"] == 0.227
    )  # 20 of 88: what is all wrong holds no bleed beside it


def test_bleed_of_a_class_without_a_stem_is_unknown():
    """Every other stem holds vocals, of which the song has no stem; that nothing was measured proves nothing."""
    both = [stem(n, ["bass", "drums"][n % 2], [["bass"], ["drums", "vocals"]][n % 2], crosstalk=[]) for n in range(80)]
    estimate = noise(both, LABELS, [CARD])
    assert estimate is not None and estimate["classes"]["drums"]["bleed"]["rate"] > 0.8
    assert estimate["classes"]["bass"]["bleed"]["rate"] < 0.05
    with_vocals = [
        one.model_copy(update={"claimed": ["vocals"], "labels": ["vocals"]}) if n % 4 == 0 else one
        for n, one in enumerate(both)
    ]
    estimate = noise(with_vocals, LABELS, [CARD])
    assert estimate is not None and estimate["classes"]["drums"]["bleed"]["rate"] < 0.05  # it would have been measured

    two = [stem(n, "bass", ["bass"], crosstalk=[]) for n in range(40)]
    two = [one.model_copy(update={"claimed": ["bass", "drums"]}) for one in two]
    estimate = noise(two, LABELS, [CARD])
    assert estimate is not None and estimate["classes"]["drums"]["wrong"]["rate"] > 0.8

    nameless = [Crosstalk(stem="x", label=None, level_db=-9.0, delay=0.0)]
    for bleed, is_known in ((nameless, False), ([], True)):
        stems = [stem(n, "bass", ["bass"], crosstalk=bleed) for n in range(40)]
        doubtful = [one.model_copy(update={"scores": {**one.scores, "vocals": 0.85}}) for one in stems]
        estimate = noise(doubtful, LABELS, [CARD])
        assert estimate is not None and (estimate["bleed"]["rate"] == 0.0) is is_known


def test_a_reference_round_trips_through_a_card():
    rng = np.random.default_rng(0)
    main, bleed = np.arange(80) % 4, np.where(np.arange(80) % 3 == 0, (np.arange(80) + 1) % 4, -1)
    held = (np.arange(4) == main[:, None]) | (np.arange(4) == bleed[:, None])
    scores = np.where(held, rng.uniform(0.8, 0.99, held.shape), rng.uniform(0.01, 0.2, held.shape)).round(4)
    reference = Reference(scores, main, bleed, np.arange(80) // 3)
    card = {**CARD, "reference": json.loads(json.dumps(reference_to_card(reference, LABELS)))}
    back = reference_of_card(card, LABELS)
    assert back is not None
    assert np.array_equal(back.scores, scores) and np.array_equal(back.main, main) and np.array_equal(back.bleed, bleed)
    assert len(np.unique(back.track)) == len(np.unique(reference.track))
    estimate = noise(dataset(40, 8), LABELS, [card])
    assert estimate["method"] == "adjusted" and abs(estimate["wrong"]["rate"] - 0.2) < 0.05  # 80 known stems
    assert reference_of_card(card, LABELS[::-1]) is None


def test_class_names_may_contain_spaces_and_plus():
    labels = ["lead vocals", "drums+bass", "drums", "bass"]
    reference = Reference(np.eye(4)[:3] * 0.5, np.array([0, 1, 1]), np.array([-1, 2, -1]), np.array([0, 1, 1]))
    back = reference_of_card({"reference": reference_to_card(reference, labels)}, labels)
    assert back is not None
    assert back.main.tolist() == [0, 1, 1] and back.bleed.tolist() == [-1, 2, -1]


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        (7, "reference must be an object"),
        ({"labels": list(LABELS), "stems": [["vocals 1 .5"]]}, r"reference\.stems must be a list of texts"),
        ({"labels": list(LABELS), "stems": 7}, r"reference\.stems must be"),
        ({"labels": list(LABELS), "stems": []}, r"reference\.stems must be"),
        ({"labels": "vocals", "stems": ["vocals 1 .5"]}, r"reference\.labels must be"),
        ({"stems": ["vocals 1 .5"]}, r"reference\.labels must be"),
        *(
            ({"labels": list(LABELS), "stems": ["vocals 1 .5 .5 .5 .5", line]}, rf"reference\.stems\[1\] must {what}")
            for line, what in (
                ("vocals", "be CLASS TRACK and a score"),
                ("", "be CLASS TRACK and a score"),
                ("vocals 1 .5 .5 .5", "be CLASS TRACK and a score"),
                ("horn 1 .5 .5 .5 .5", "begin with one or two"),
                ("vocals+vocals 1 .5 .5 .5 .5", "begin with one or two"),
                ("vocals+bass+drums 1 .5 .5 .5 .5", "begin with one or two"),
                ("vocals 1 nan .5 .5 .5", "have scores from 0 to 1"),
                ("vocals 1 inf .5 .5 .5", "have scores from 0 to 1"),
                ("vocals 1 1.5 .5 .5 .5", "have scores from 0 to 1"),
                ("vocals 1 a .5 .5 .5", "have scores from 0 to 1"),
            )
        ),
    ],
)
def test_a_broken_reference_is_refused(message: object, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        reference_of_card({"reference": message}, LABELS)


def test_class_priors_come_from_the_calibration_or_the_mixtures():
    recipe = {"mixing": {"chance": 0.4}, "calibration": {"bleed_chance": 0.4}}
    assert chance_of_card({"spec": {"labels": LABELS}, "recipe": recipe}) == 0.4
    # One class in four, and in four of ten excerpts another draw of one in four, which may be the same class.
    calibrated = {"spec": {"labels": LABELS}, "recipe": recipe, "calibration": {"bass": {}}}
    assert chance_of_card(calibrated) == 0.25 + 0.4 * 0.25 * 0.75
    assert chance_of_card(CARD) == 0.5
    assert chance_of_card({"spec": {"labels": LABELS}, "recipe": {"mixing": {"chance": 1}}}) == 0.999
    assert chance_of_card({"spec": {"labels": ["a"]}, "calibration": {"a": {}}}) == 0.999  # one class, always there
