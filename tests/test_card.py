"""Cards are untrusted: each key has its type and range, and weights with an invalid key are refused by its name."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from stemclean.errors import WeightsError
from stemclean.models import card as cards
from stemclean.models import weights
from stemclean.models.calibration import Calibration, chance_of_card
from stemclean.models.decoding import threshold_of
from stemclean.models.levels import LevelCalibration
from stemclean.models.model_card import render
from stemclean.models.noise_reference import reference_of_card

PART = {"architecture": "crepe", "options": {}}
PART["spec"] = {"sample_rate": 16000, "channels": 1, "labels": ["vocals"], "segment": 16000}


@pytest.fixture(scope="module", params=weights.bundled())
def bundled(request: pytest.FixtureRequest) -> dict[str, Any]:
    return weights.read_card(weights.resolve(f"bundled:{request.param}")[0])


def test_bundled_cards_are_valid_and_unchanged(bundled: dict[str, Any]) -> None:
    before = copy.deepcopy(bundled)
    assert cards.checked(bundled, "x") is bundled
    assert bundled == before


def test_a_card_may_be_minimal_or_have_extra_keys() -> None:
    card = {"format": cards.FORMAT, "kind": "pitch", **PART, "mood": [float("nan")], "init": {"uri": "a", "b": 1}}
    assert cards.checked(card, "x") is card
    assert threshold_of(card) == chance_of_card(card) == 0.5
    assert LevelCalibration.of_card(card) == LevelCalibration() and Calibration.of_card(card).slope.tolist() == [1.0]
    assert cards.checked({**card, "recipe": None, "calibration": None, "loudness_lufs": None, "reference": {}}, "x")


LINE = {"slope": 1.0, "high_slope": 0, "intercept": -3.5}
WRONG: dict[str, list[Any]] = {
    "kind": ["models", None, 1],
    "architecture": ["", "x" * 201, None, ["crepe"]],
    "spec": [None, [], {}],
    "options": [None, [], "x"],
    "spec.sample_rate": [0, 1.5, "16000", 10**9, True],
    "spec.labels": [["a/b"], [""], ["a", "a"], ["x" * 101], "vocals"],
    "calibration": [[], 1, "x", {"vocals": 1}, {"vocals": {}}, {"vocals": {**LINE, "slope": -1}}],
    "calibration.vocals": [
        {**LINE, "slope": "1"}, {**LINE, "slope": math.nan}, {**LINE, "high_slope": math.inf},
        {**LINE, "intercept": None}, {**LINE, "intercept": 1e9}, {**LINE, "slope": True}, {**LINE, "slope": 10**300},
    ],
    "level_calibration": [None, [], {"slope": -1}, {"slope": "a"}, {"lowest_db": 1}, {"lowest_db": None}, {"a": 1}],
    "recipe": [[], 1, {"mixing": None}, {"mixing": []}, {"calibration": 1}, {"loss": 1}, {"loss": {}}, {"seed": "1"}],
    "recipe.mixing": [{"chance": 0}, {"chance": 1.5}, {"chance": "x"}, {"multi_label_probability": 2}],
    "recipe.calibration": [{"bleed_chance": -1}, {"bleed_chance": [0.4]}],
    "loudness_lufs": ["-14", 1, -71, math.nan, [], True],
    "threshold": ["0.5", -0.1, 1.1, math.inf, None, []],
    "reference": [1, "x", ["a"], {"labels": []}],
    "parameters": [-1, 1.5, "1", 10**300],
    "license": [1, None, ["MIT"]],
    "notes": [1, [1], {"a": 1}],
    "metrics": [[], 1, None],
    "data": [[], {"hours": {"a": "1"}}, {"tracks": {"train": 1.5}}, {"hours": [1]}, {"never_alone": "x"}],
    "training_material": [{"licences": {"MIT": "x"}}, {"hours_by_kind": {"a": None}}, []],
    "joint": [{}, {"sep_weight": 3, "weighting": "dwa"}, {"sep_weight": 1}],
    "init": ["bundled:atto.v1", {}, {"uri": 1}],
    "init_tracker": [None, []],
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_an_invalid_key_is_refused_by_name(key: str, value: object) -> None:
    card: dict[str, Any] = {"format": cards.FORMAT, "kind": "classifiers", **copy.deepcopy(PART)}
    *above, last = key.split(".")
    inner = card
    for name in above:
        inner = inner.setdefault(name, {})
    inner[last] = value
    with pytest.raises(WeightsError, match=rf"^file:w: its card is invalid: {key}") as caught:
        cards.read(json.dumps(card), "file:w")
    assert caught.value.hint == cards.HINT and "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"separator": None}, r"options\.separator: must be"),
        ({"tracker": {**PART, "options": []}}, r"options\.tracker\.options: must be an object"),
        ({"tracker": {**PART, "architecture": 1}}, r"options\.tracker\.architecture: must be text"),
        ({"tracker": {**PART, "spec": {}}}, r"options\.tracker\.spec\.sample_rate is null"),
        ({"third": PART}, r"options\.third: "),
    ],
)
def test_a_cascade_has_two_parts(change: dict[str, Any], message: str) -> None:
    card = {"format": cards.FORMAT, "kind": "cascades", **PART, "options": {"separator": PART, "tracker": PART}}
    assert cards.checked(card, "x") is card
    assert "crepe" in render(card, "hub:org/mine")
    with pytest.raises(WeightsError, match=f"its card is invalid: {message}"):
        cards.checked({**card, "options": {**card["options"], **change}}, "x")


def test_valid_cards_can_be_used_by_every_reader(bundled: dict[str, Any]) -> None:
    """Everything that reads a card, at the ends of the ranges."""
    at_its_ends = {
        **bundled, "calibration": {"vocals": {"slope": 0, "high_slope": 1e6, "intercept": -1e6}},
        "level_calibration": {"slope": 0, "intercept": 1000, "lowest_db": -1000}, "loudness_lufs": -70, "threshold": 1,
        "recipe": {"mixing": {"chance": 1}, "loss": {"kind": "gce"}}, "parameters": 0, "notes": "one",
        "metrics": {"validation": {"loss": float("nan"), "text": "x"}, "more": 1},
    }  # fmt: skip
    cards.checked(at_its_ends, "x")
    pooled = [[[0.0, 0.5, 1.0, 0.2]], [[0.0, 0.5, 1.0, 0.2]]]
    scores = Calibration.of_card(at_its_ends)(pooled)  # type: ignore[arg-type]
    assert ((scores >= 0) & (scores <= 1)).all()
    assert 0 < chance_of_card(at_its_ends) < 1 and threshold_of(at_its_ends) == 1
    assert LevelCalibration.of_card(at_its_ends).lowest_db == -1000
    if "reference" in bundled:
        assert reference_of_card(at_its_ends, bundled["spec"]["labels"]) is not None
    assert "- one" in render(at_its_ends, "hub:org/mine").splitlines()


@pytest.mark.parametrize("sha256", ["0" * 63, "G" * 64, 7, None, ["0" * 64], "0" * 64 + "\n"])
def test_the_checksum_in_the_card_must_be_valid(tmp_path: Path, sha256: object) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(weights.resolve(weights.DEFAULT_CLASSIFIER)[0].read_bytes())
    path.with_suffix(".json").write_text(json.dumps({"format": cards.FORMAT, "sha256": sha256}))
    with pytest.raises(WeightsError, match=r"^file:mine\.safetensors: sha256 in the card beside it is not a checksum"):
        weights.load(path)


def test_a_damaged_card_is_refused_but_a_foreign_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(weights.resolve(weights.DEFAULT_CLASSIFIER)[0].read_bytes())
    path.with_suffix(".json").write_text('{"format": "stemclean.weights/1", "sha256": "12')
    with pytest.raises(WeightsError, match=r"the card beside it cannot be read: line 1, column \d+: not JSON"):
        weights.load(path)
    for theirs in ("[1, 2]", "", "\0", '["stemclean.weights/1"]', '{"sha256": 3}'):
        path.with_suffix(".json").write_text(theirs)
        weights.load(path)
    path.with_suffix(".json").unlink()
    path.with_suffix(".json").mkdir()
    weights.load(path)


def test_only_valid_cards_are_pushed(tmp_path: Path) -> None:
    """The card beside the file may say more; it is checked before anything is sent."""
    path = tmp_path / "mine.safetensors"
    path.write_bytes(weights.resolve(weights.DEFAULT_CLASSIFIER)[0].read_bytes())
    path.with_suffix(".json").write_text(json.dumps({"format": cards.FORMAT, "parameters": "many"}))
    with pytest.raises(WeightsError, match="its card is invalid: parameters: must be a whole number"):
        weights.push(path, "org/mine")
