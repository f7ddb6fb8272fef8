"""``refine --explain``: the evidence for a verdict, printed and drawn."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from stemclean import manifest
from stemclean.cli import app
from stemclean.errors import ConfigError
from stemclean.explain import explain
from stemclean.manifest import Crosstalk, Span, Stem, Verdict
from stemclean.models.calibration import Calibration
from stemclean.models.judge import Judgement
from stemclean.refine import RefineConfig, refine
from stemclean.refining.explaining import explain as explained
from stemclean.refining.explaining import stem_named
from stemclean.running import Running

QUIET = Running(quiet=True)
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "noisy_band"
LABELS = ("vocals", "drums")
RATE = 1000


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["refine", *arguments], prog_name="stemclean", env={"NO_COLOR": "1"})


def judged(**changes: Any) -> Stem:
    fields: dict[str, Any] = {
        "claimed": ["drums"],
        "labels": ["vocals", "drums"],
        "found": ["vocals", "drums"],
        "scores": {"vocals": 0.95, "drums": 0.99},
        "verdict": Verdict(action="mixed", reason="unclaimed_class_present", label_quality=0.04),
    }
    return Stem(
        id="song/drums", track="song", path="song/drums.wav", sample_rate=RATE, channels=2, num_samples=20 * RATE,
        **(fields | changes),
    )  # fmt: skip


@pytest.fixture
def judgement() -> Judgement:
    """Twenty windows of four seconds, one each second; the voice is there from the eighth second on."""
    scores = np.full((20, 2), 0.9)
    scores[:, 0] = np.where(np.arange(20) < 8, 0.1, 0.5 + np.arange(20) / 100)
    levels = np.stack([np.full(20, -12.0), np.full(20, -0.3)], 1)
    return Judgement(
        scores, levels, np.ones(20), np.ones(20), [(0, 20 * RATE)], RATE, RATE, 4 * RATE, 20 * RATE, -20.0, -1.0
    )


CALIBRATION = Calibration(np.array([1.0, 1.0]), np.zeros(2), np.zeros(2))
LIMITS = {"vocals": 0.9, "drums": 0.3}


def test_the_strongest_windows_of_the_unclaimed_class_are_named(judgement: Judgement) -> None:
    result = explained(judged(), [], judgement, CALIBRATION, LIMITS)
    assert [(window.start, window.end, window.label) for window in result.windows] == [
        (19.0, 20.0, "vocals"), (15.0, 19.0, "vocals"), (11.0, 15.0, "vocals"),
    ]  # fmt: skip
    assert [window.score for window in result.windows] == [0.69, 0.65, 0.61]
    assert {window.level_db for window in result.windows} == {-12.0}
    assert result.rule == "mixed, since the claimed classes and others were found"
    assert result.reasons == [
        "vocals (not claimed): score 0.950, above 0.9",
        "drums (claimed): score 0.990, above 0.3",
    ]


def test_a_class_that_was_only_measured_has_windows_where_it_bleeds(judgement: Judgement) -> None:
    spans = [Span(start=2.0, end=6.0, level_db=-18.0), Span(start=6.0, end=10.0, level_db=-12.5)]
    bleed = Crosstalk(stem="song/vocals", label="vocals", level_db=-17.0, delay=0.004, spans=spans)
    stem = judged(scores={"vocals": 0.2, "drums": 0.99}, crosstalk=[bleed])
    source = judged().model_copy(update={"id": "song/vocals", "path": "song/voice.wav"})
    result = explained(stem, [stem, source], judgement, CALIBRATION, LIMITS)
    assert [(window.level_db, window.measured) for window in result.windows] == [(-12.5, True), (-18.0, True)]
    assert 6.0 <= (result.windows[0].start + result.windows[0].end) / 2 < 10.0
    assert result.reasons[0] == (
        "vocals (not claimed): score 0.200, not above 0.9; bleed measured at -17 dB from song/vocals, which counts"
    )
    assert result.source_paths == {"song/vocals": "song/voice.wav"}


def test_soft_bleed_that_does_not_count_is_explained(judgement: Judgement) -> None:
    bleed = Crosstalk(stem="song/vocals", label="vocals", level_db=-34.0, delay=0.0)
    stem = judged(
        scores={"vocals": 0.2, "drums": 0.99}, found=["drums"], labels=["drums"], crosstalk=[bleed],
        verdict=Verdict(action="keep", reason="as_claimed", label_quality=0.8),
    )  # fmt: skip
    result = explained(stem, [stem], judgement, CALIBRATION, LIMITS)
    assert result.reasons[0].endswith("bleed measured at -34 dB from song/vocals, which counts from -30 dB on")
    assert {window.label for window in result.windows} == {"drums"}
    assert json.loads(json.dumps(result.to_dict()))["bleed"][0]["level_db"] == -34.0


def test_a_stem_is_named_by_its_id_or_path() -> None:
    stems = [judged(), judged().model_copy(update={"id": "song/bass", "path": "song/low.wav"})]
    assert stem_named(stems, "song/low.wav") is stem_named(stems, "song/bass") is stems[1]
    with pytest.raises(ConfigError, match=r"no stem drum\b") as error:
        stem_named(stems, "drum")
    assert error.value.hint == "its stems: song/drums"


def test_a_swapped_stem_of_the_example_is_explained_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "why.png"
    result = run(str(EXAMPLE), "--explain", "potassium/bass", "-o", str(plot), "--json", "--quiet")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["stem"], report["found"], report["verdict"]["action"]) == ("potassium/bass", ["drums"], "relabel")
    assert [window["label"] for window in report["windows"]] == ["drums"] * len(report["windows"]) != []
    assert report["plot"] == str(plot) and plot.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [plot]  # no manifest


def test_a_refined_manifest_is_explained_with_its_settings_and_weights(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "lithium", tmp_path / "data" / "lithium")
    config = RefineConfig(threshold=0.99, claimed_threshold=0.2, crosstalk=False)
    refined = refine(tmp_path / "data", tmp_path / "refined.json", config, running=QUIET)
    result = explain(tmp_path / "refined.json", "lithium/drums", running=QUIET)
    assert result.limits["vocals"] == 0.99 and result.limits["drums"] == 0.2 and result.bleed == []
    [stem] = [stem for stem in refined.stems if stem.id == "lithium/drums"]
    assert (result.scores, result.verdict) == (stem.scores, stem.verdict)
    folds = refined.created.model_copy(update={"models": [refined.created.model] * 2, "model": None})
    manifest.write(refined.model_copy(update={"created": folds}), tmp_path / "folds.json")
    with pytest.raises(ConfigError, match="each fold") as error:
        explain(tmp_path / "folds.json", "lithium/drums", running=QUIET)
    assert "--weights" in error.value.hint


def test_a_plot_without_matplotlib_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run(str(EXAMPLE), "--explain", "potassium/bass", "-o", str(tmp_path / "a.png"))
    assert result.exit_code == 2 and "plots need matplotlib" in result.stderr and "stemclean[plots]" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--explain", "x", "-o", "r.json"], "name of a plot must end in .png"),
        (["--explain", "x", "--self"], "writes no manifest"),
        (["--explain", "potassium/bass", "--threshold", "adaptive"], "whole dataset"),
        (["--explain", "x"], "no stem x"),
    ],
)
def test_contradictions_are_refused(arguments: list[str], message: str) -> None:
    result = run(str(EXAMPLE), *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_the_published_method_has_no_windows_on_the_time_line(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "drums.wav", np.zeros((RATE, 1)), RATE)
    with pytest.raises(ConfigError, match="without their pauses"):
        explain(tmp_path, "drums", RefineConfig(joined=True), running=QUIET)
