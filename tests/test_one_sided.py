"""Recordings on one channel, or with one channel inverted: every verb treats them like their mono signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import sung
from test_refine_crosstalk import RATE
from test_refine_crosstalk import song as bleeding_song

from stemclean.audio import files
from stemclean.f0 import find_f0
from stemclean.layouts import f0_labels
from stemclean.manifest import Stem
from stemclean.refine import RefineConfig, refine
from stemclean.running import Running

QUIET = Running(quiet=True)

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "noisy_band"
SHAPES = {"left": [1.0, 0.0], "right": [0.0, 1.0], "inverted": [1.0, -1.0], "nearly": [1.0, 1e-4]}
CODES = {"left": "one_sided", "right": "one_sided", "inverted": "polarity_inverted", "nearly": "one_sided"}


def as_mono(folder: Path) -> Path:
    """The example's songs, each stem's channels mixed down."""
    for path in EXAMPLE.rglob("*.ogg"):
        target = folder / path.parent.name / f"{path.stem}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, files.read(path, channels=1)[0], files.probe(path).sample_rate, subtype="PCM_24")
    return folder


def shaped(mono: Path, folder: Path, gains: list[float]) -> Path:
    for path in mono.rglob("*.wav"):
        sound, rate = soundfile.read(path)
        target = folder / path.relative_to(mono)
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, np.outer(sound, gains), rate, subtype="PCM_24")
    return folder


def judged(data: Path, output: Path) -> dict[str, Stem]:
    return {stem.id: stem for stem in refine(data, output, RefineConfig(), running=QUIET).stems}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Stem]]:
    folder = tmp_path_factory.mktemp("one_sided")
    mono = as_mono(folder / "mono")
    return mono, judged(mono, folder / "mono.json")


@pytest.mark.parametrize("shape", SHAPES)
def test_one_sided_stems_are_scored_like_their_mono(
    plain: tuple[Path, dict[str, Stem]], shape: str, tmp_path: Path
) -> None:
    mono, expected = plain
    judged_stem = judged(shaped(mono, tmp_path / shape, SHAPES[shape]), tmp_path / "refined.json")
    assert judged_stem.keys() == expected.keys()
    assert {stem.verdict.action for stem in expected.values() if stem.verdict} == {"keep", "relabel", "mixed", "drop"}
    for name, stem in judged_stem.items():
        expected_stem = expected[name]
        assert (stem.verdict.action, stem.verdict.reason) == (
            expected_stem.verdict.action,
            expected_stem.verdict.reason,
        ), name
        assert (stem.labels, stem.found) == (expected_stem.labels, expected_stem.found)
        assert stem.scores == pytest.approx(expected_stem.scores, abs=0.02)
        assert [bleed.stem for bleed in stem.crosstalk or []] == [bleed.stem for bleed in expected_stem.crosstalk or []]
        codes = [issue.code for issue in stem.issues]
        assert (CODES[shape] in codes) == bool(stem.scores), name  # silence has no side


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("who", ["drums", "vocals"])
def test_bleed_of_one_sided_stems_is_measured(shape: str, who: str, tmp_path: Path, sounds) -> None:
    """One stem of a song is on one side, or inverted; the others are mono."""
    data = bleeding_song(tmp_path / "data", sounds)
    for path in (data / "song").iterdir():
        sound, _ = soundfile.read(path, always_2d=True)
        gains = SHAPES[shape] if path.stem == who else [1.0]
        soundfile.write(path, np.outer(sound[:, 0], gains), RATE, subtype="PCM_24")
    judged_stem = judged(data, tmp_path / "refined.json")
    [bleed] = judged_stem["song/vocals"].crosstalk
    assert (bleed.stem, bleed.level_db) == ("song/drums", pytest.approx(-15.1, abs=1.5))
    assert judged_stem["song/drums"].crosstalk == [] and judged_stem["song/bass"].crosstalk == []


@pytest.mark.parametrize("shape", SHAPES)
def test_a_one_sided_voice_is_tracked_like_its_mono(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sung.register(monkeypatch)
    (tmp_path / "weights").mkdir()
    uri = sung.save_weights(tmp_path / "weights", "pitch")
    mono = sung.put_voice(tmp_path / "mono.wav", sung.melody(4.0))
    sound, rate = soundfile.read(mono)
    soundfile.write(tmp_path / "shaped.wav", np.outer(sound, SHAPES[shape]), rate, subtype="PCM_24")
    for name in ("mono", "shaped"):
        find_f0([tmp_path / f"{name}.wav"], tmp_path / f"{name}.f0.csv", weights_uri=uri, quiet=True)
    expected, actual = (f0_labels.read(tmp_path / f"{name}.f0.csv") for name in ("mono", "shaped"))
    np.testing.assert_array_equal(actual.voiced, expected.voiced)
    np.testing.assert_allclose(actual.f0_hz, expected.f0_hz, rtol=1e-3)
