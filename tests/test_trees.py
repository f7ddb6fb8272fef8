"""Songs for readers that look one folder deep, and how the export of each format speaks of them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from export_dataset import LABELS, RATE, Dataset, run, tone

from stemclean.audio import files
from stemclean.errors import ConfigError
from stemclean.layouts import demucs

TREES = ["asteroid", "demucs", "musdb", "openunmix"]


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    for song in ("artist/song", "artist - song"):
        for label in LABELS:
            dataset.add(f"{song}/{label}.wav", [label])
    dataset.add("sparse/drums.wav", ["drums"], tone(1600, seconds=1.5))
    dataset.add("checked/bass.wav", ["bass"], split="validation")
    return dataset


@pytest.mark.parametrize("name", TREES)
def test_songs_are_one_folder_deep_and_have_all_classes(name: str, data: Dataset, tmp_path: Path) -> None:
    report = run(data.write(), name, tmp_path / "out")
    assert report.extra["num_songs"] == {"train": 3, "valid": 1}
    assert report.extra["num_silent"] == {"bass": 1, "drums": 1, "other": 2, "vocals": 2}
    songs = {path.parent for path in report.files if path.suffix == ".wav"}
    assert {song.parent.parent for song in songs} == {tmp_path / "out"}
    names = {song.name for song in songs}
    assert len(names) == 4 and names >= {"artist - song", "sparse", "checked"}
    sparse = tmp_path / "out" / "train" / "sparse"
    for label in LABELS:
        sound = files.read(sparse / f"{label}.wav")
        assert sound.shape == (2, round(1.5 * RATE))
        assert bool(sound.any()) == (label == "drums")
    assert json.loads((sparse / "song.json").read_text())["stems"]["vocals"] == []


@pytest.mark.parametrize("name", TREES)
def test_complete_songs_alone(name: str, data: Dataset, tmp_path: Path) -> None:
    report = run(data.write(), name, tmp_path / "out", complete=True)
    assert report.extra["num_songs"] == {"train": 2}
    assert report.extra["num_silent"] == {}
    assert report.classes["drums"].why == {"incomplete_song": pytest.approx(1.5 / 3600, abs=1e-6)}


@pytest.mark.parametrize("name", TREES)
def test_no_song_to_train_on(name: str, data: Dataset, tmp_path: Path) -> None:
    data.stems = [stem.model_copy(update={"split": "test"}) for stem in data.stems]
    with pytest.raises(ConfigError, match="no song is left to train on"):
        run(data.write(), name, tmp_path / "out")


def test_a_silent_song_is_not_listed_for_demucs(data: Dataset, tmp_path: Path) -> None:
    data.add("still/bass.wav", ["bass"], np.zeros((2, RATE), np.float32))
    report = run(data.write(), "demucs", tmp_path / "out")
    assert report.extra["silent_songs"] == ["still"]
    train, valid = json.loads(next((tmp_path / "out" / "metadata").iterdir()).read_text())
    assert "still" not in train and len(train) == 3 and list(valid) == ["checked"]


def test_the_command_for_demucs(data: Dataset, tmp_path: Path) -> None:
    data.add("tested/bass.wav", ["bass"], split="test")
    out = tmp_path / "my set"
    report = run(data.write(), "demucs", out)
    words = shlex.split(report.next_steps[0].partition("dora run ")[2])
    assert words == [
        f'dset.wav="{out}"', f'dset.metadata="{out}/metadata"', "dset.use_musdb=false", f"dset.samplerate={RATE}",
        "dset.sources=[vocals,bass,drums,other]", "weights=[1.0,1.0,1.0,1.0]", f'dset.musdb="{out}"',
    ]  # fmt: skip
    assert len(report.next_steps) == 1
    data.stems = [stem for stem in data.stems if not stem.split]
    steps = run(data.write(), "demucs", tmp_path / "new").next_steps
    assert "warning: Demucs does not start without validation songs" in steps[1]
    assert "MUSDB18-HQ" in steps[2]


@pytest.mark.parametrize(
    ("value", "text"),
    [("a/b.c-d", "a/b.c-d"), (False, "false"), ("a b", '"a b"'), ('a"b', r'"a\"b"'), (r"a\b ", r'"a\b "')],
)
def test_values_in_the_grammar_of_hydra(value: object, text: str) -> None:
    assert demucs._quoted(value) == text


def test_a_backslash_before_a_quote_is_doubled() -> None:
    assert demucs._quoted('a\\"b\\') == '"a' + 3 * "\\" + '"b' + 2 * "\\" + '"'
