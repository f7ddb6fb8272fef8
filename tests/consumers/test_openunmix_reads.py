"""Open-Unmix draws from every kind of dataset that is exported for it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_dataset import LABELS, RATE, Dataset, run, tone

from stemclean.audio import files
from stemclean.errors import ConfigError
from stemclean.export import ExportReport

data = pytest.importorskip("openunmix.data", reason="the extra `consumers` is not installed", exc_type=ImportError)
pytestmark = [pytest.mark.usefixtures("torchaudio_of_then"), pytest.mark.filterwarnings("ignore")]  # of other packages
SECONDS = 0.5


def datasets(report: ExportReport, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Give Open-Unmix the options that were printed, as its ``scripts/train.py`` does."""
    words = [word for name, value in report.extra["next"].items() for word in (name, *np.atleast_1d(value))]
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, words)])
    parser = argparse.ArgumentParser()
    for option in ("--dataset", "--root", "--target"):
        parser.add_argument(option)
    parser.add_argument("--seq-dur", type=float, default=SECONDS)
    train, valid, _ = data.load_datasets(parser, parser.parse_known_args()[0])
    return train, valid


def test_trackfolder_fix(songs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(songs.write(), "openunmix", tmp_path / "out")
    assert report.extra["num_songs"] == {"test": 1, "train": 3, "valid": 1}
    train, valid = datasets(report, monkeypatch)
    assert {track["path"].name for track in train.tracks} == {"artist - first", "artist - second", "sparse"}
    for place in range(len(train)):
        mixture, target = train[place]
        assert mixture.shape == target.shape == (2, SECONDS * RATE)
        assert bool(target.any()) == (train.tracks[place]["path"].name != "sparse")
    mixture, target = valid[0]
    folder = tmp_path / "out" / "valid" / "checked"
    np.testing.assert_allclose(target, files.read(folder / "vocals.wav"), atol=2 / 32768)
    np.testing.assert_allclose(mixture, sum(files.read(folder / f"{label}.wav") for label in LABELS), atol=8 / 32768)


def test_trackfolder_var(songs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(songs.write(), "openunmix", tmp_path / "out", dataset="trackfolder_var", audio_format="flac")
    train, valid = datasets(report, monkeypatch)
    assert {track["path"].name for track in train.tracks} == {"artist - first", "artist - second"}
    assert train[0][0].shape == (2, SECONDS * RATE)
    assert len(valid) == 1 and valid[0][1].any()


def test_aligned(songs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(songs.write(), "openunmix", tmp_path / "out", dataset="aligned")
    train, valid = datasets(report, monkeypatch)
    assert (len(train), len(valid)) == (2, 1)
    mixture, target = valid[0]
    folder = tmp_path / "out" / "valid" / "checked"
    for sound, name in ((mixture, "mixture"), (target, "vocals")):
        np.testing.assert_allclose(sound, files.read(folder / f"{name}.wav", duration=SECONDS), atol=2 / 32768)


@pytest.mark.parametrize("link", [None, "copy"])
def test_sourcefolder(songs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str | None) -> None:
    songs.add("more/drums.flac", ["drums"], tone(1800))
    songs.add("rates/bass.wav", ["bass"], tone(64, rate=3 * RATE), 3 * RATE)
    report = run(songs.write(), "openunmix", tmp_path / "out", dataset="sourcefolder", link=link)
    train, valid = datasets(report, monkeypatch)
    counts = {label: len(train.source_tracks[label]) for label in LABELS}
    assert counts == report.extra["num_stems"]["train"] == {"vocals": 2, "bass": 3, "drums": 5, "other": 2}
    (bass,) = (path for path in train.source_tracks["bass"] if "rates" in path.name)
    (drums,) = (path for path in train.source_tracks["drums"] if "more" in path.name)
    assert not bass.is_symlink() and drums.suffix == ".wav"
    linked = [path for label in LABELS for path in train.source_tracks[label] if path.is_symlink()]
    assert len(linked) == (0 if link else 10)
    for mixture, target in (train[0], valid[0]):
        assert mixture.shape == target.shape == (2, SECONDS * RATE)
        assert target.any()


def test_stems_of_an_earlier_export_are_refused(songs: Dataset, tmp_path: Path) -> None:
    run(songs.write(), "openunmix", tmp_path / "out", dataset="sourcefolder")
    run(songs.write(), "openunmix", tmp_path / "out", dataset="sourcefolder")
    songs.stems[0] = songs.stems[0].model_copy(update={"labels": ["other"]})
    with pytest.raises(ConfigError, match=r"is a file of an earlier export, which is left out now") as caught:
        run(songs.write(), "openunmix", tmp_path / "out", dataset="sourcefolder")
    assert "first - vocals" in str(caught.value)


def test_songs_are_not_linked_and_stems_are_never_complete(songs: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--link: openunmix writes all audio anew"):
        run(songs.write(), "openunmix", tmp_path / "out", link="copy")
    with pytest.raises(ConfigError, match="complete has no effect on dataset=sourcefolder"):
        run(songs.write(), "openunmix", tmp_path / "out", dataset="sourcefolder", complete=True)
