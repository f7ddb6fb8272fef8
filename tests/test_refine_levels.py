"""How refine uses levels: in the manifest, in verdicts, and with weights that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from stemclean import manifest
from stemclean.cli import app
from stemclean.errors import ConfigError
from stemclean.manifest import Created, Manifest, Stem
from stemclean.models import registry
from stemclean.models import weights as store
from stemclean.models.calibration import Calibration
from stemclean.models.contract import ModelSpec
from stemclean.models.judge import Judgement
from stemclean.models.weights import Weights
from stemclean.refine import refine_self
from stemclean.refining.config import RefineConfig
from stemclean.refining.jury import Jury
from stemclean.refining.listening import _with_verdict

LABELS = ("vocals", "bass", "drums", "other")
RATE, HOP = 1000, 1000
PLAIN = Calibration(slope=np.ones(4), high_slope=np.zeros(4), intercept=np.zeros(4))


def stem(claimed: str, **changes: Any) -> Stem:
    return Stem(
        id="a", track="song", path="a.flac", sample_rate=RATE, channels=1, num_samples=20 * RATE, claimed=[claimed],
        labels=[claimed], **changes,
    )  # fmt: skip


def judgement_of(scores: np.ndarray, levels_db: np.ndarray) -> Judgement:
    """A recording of 20 s, a window of four seconds at each second, all as loud."""
    windows = np.broadcast_to(scores, (17, 4)).astype(np.float64)
    levels = np.broadcast_to(levels_db, (17, 4)).astype(np.float64)
    return Judgement(
        windows, levels, np.full(17, 0.01), np.full(17, 4.0), [(0, 20 * RATE)], RATE, HOP, 4 * HOP, 20 * RATE, -20.0,
        -1.0,
    )  # fmt: skip


def judged(stem_: Stem, judgement: Judgement, **config: Any) -> Stem:
    settings = RefineConfig(**config)
    scores = dict(zip(LABELS, PLAIN(judgement.pooled()).tolist(), strict=True))
    return _with_verdict(stem_, judgement, scores, PLAIN, settings, settings.policy(0.5))


BLEEDING = judgement_of(np.array([0.99, 0.01, 0.999, 0.01]), np.array([-22.0, -40.0, -0.03, -40.0]))


def test_levels_of_found_classes_are_in_the_manifest() -> None:
    judged_stem = judged(stem("drums"), BLEEDING)
    assert judged_stem.labels == ["vocals", "drums"]
    assert judged_stem.levels_db == {"vocals": -22.0, "drums": 0.0}
    (region,) = judged_stem.regions
    assert (region.labels, region.levels_db) == (["vocals", "drums"], {"vocals": -22.0, "drums": 0.0})
    assert judged_stem.verdict is not None and judged_stem.verdict.action == "mixed"


@pytest.mark.parametrize(("limit", "reason"), [(-20.0, "bleed_tolerated"), (-25.0, "unclaimed_class_present")])
def test_soft_bleed_is_kept_and_stays_visible(limit: float, reason: str) -> None:
    judged_stem = judged(stem("drums"), BLEEDING, max_bleed_db=limit)
    assert judged_stem.verdict is not None and judged_stem.verdict.reason == reason
    assert judged_stem.verdict.action == ("keep" if reason == "bleed_tolerated" else "mixed")
    assert judged_stem.labels == (["drums"] if reason == "bleed_tolerated" else ["vocals", "drums"])
    assert judged_stem.scores["vocals"] > 0.9 and judged_stem.levels_db["vocals"] == -22.0
    assert judged_stem.regions[0].labels == ["vocals", "drums"]


def test_a_limit_does_not_relabel_held_out_stems() -> None:
    judged_stem = judged(stem("drums", split="test"), BLEEDING, max_bleed_db=-20.0)
    assert judged_stem.verdict is not None and judged_stem.verdict.reason == "held_out"
    assert (judged_stem.labels, judged_stem.levels_db["vocals"]) == (["drums"], -22.0)


def test_temporary_sound_gets_a_region_in_a_clean_stem() -> None:
    scores = np.tile([0.01, 0.01, 0.999, 0.01], (17, 1))
    scores[8:11, 0] = 0.99
    judged_stem = judged(stem("drums"), judgement_of(scores, np.full(4, np.nan)))
    assert judged_stem.labels == ["drums"] and judged_stem.levels_db == {}
    assert [(r.start, r.end, r.labels) for r in judged_stem.regions] == [
        (0.0, 9.0, ["drums"]),
        # three windows of 4 s at 8, 9 and 10 s: the seconds in the middle of them, and half of those beside
        (9.0, 13.0, ["vocals", "drums"]),
        (13.0, 20.0, ["drums"]),
    ]
    assert all(region.levels_db == {} for region in judged_stem.regions)


def test_missing_claims_get_no_lower_region_threshold() -> None:
    scores = np.tile([0.01, 0.999, 0.05, 0.01], (17, 1))
    scores[8:11, 2] = 0.6  # above the threshold of a claimed class, below that of any other
    judged_stem = judged(stem("drums"), judgement_of(scores, np.full(4, np.nan)))
    assert [(r.start, r.end, r.labels) for r in judged_stem.regions] == [(0.0, 20.0, ["bass"])]


def weights(level_head: bool) -> Weights:
    torch.manual_seed(0)
    options = {"backbone": "convnext_atto", "hop_length": 1024, "n_mels": 32, "level_head": level_head}
    spec = ModelSpec(44100, 2, LABELS, 131072)
    model = registry.build("classifiers", "convnext", spec, options).eval()
    card = {"spec": spec.to_dict(), "options": options, "architecture": "convnext", "kind": "classifiers"}
    return Weights(model, card, "file:tiny.safetensors", "0" * 64)


def test_a_limit_needs_weights_with_a_level_head() -> None:
    dataset = Manifest(created=Created(by="test", command="test"), labels=list(LABELS), stems=[stem("drums")])
    Jury([weights(True)]).check(dataset, levels=True)
    without = Jury([weights(False)])
    without.check(dataset)
    with pytest.raises(ConfigError, match=r"file:tiny\.safetensors does not estimate the level") as caught:
        without.check(dataset, levels=True)
    assert "bundled weights that do: " in caught.value.hint
    assert "--set options.level_head=true" in caught.value.hint


def test_self_refining_reports_missing_levels_before_training(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="the recipe small trains no level head") as caught:
        refine_self(tmp_path, tmp_path / "refined.json", RefineConfig(max_bleed_db=-25.0), recipe="small")
    assert "--set options.level_head=true" in caught.value.hint


def test_the_command_accepts_a_limit_and_reports_what_is_missing(tmp_path: Path, make_dataset: Any) -> None:
    data = make_dataset(tmp_path / "data", tracks=1, seconds=1.0, labels=["drums"])
    answers = {}
    for level_head in (True, False):
        made = weights(level_head)
        path = store.save(tmp_path / f"{level_head}.safetensors", made.model, made.card)
        command = ["refine", str(data), "-o", str(tmp_path / f"refined {level_head}.json"), "--weights", str(path)]
        command += ["--max-bleed-db", "-25", "-q"]
        answers[level_head] = CliRunner().invoke(app, command, prog_name="stemclean", env={"NO_COLOR": "1"})
    assert answers[True].exit_code == 0
    assert manifest.read(tmp_path / "refined True.json").created.config["max_bleed_db"] == -25.0
    assert answers[False].exit_code == 2
    assert "error: file:False.safetensors does not estimate the level of each class" in answers[False].stderr
