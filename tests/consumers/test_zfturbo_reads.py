"""Music-Source-Separation-Training draws from every type of dataset that is exported for it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_dataset import LABELS, RATE, Dataset, run, snapshot, tone

from stemclean.audio import files
from stemclean.errors import ConfigError
from stemclean.export import ExportReport

NEEDED = {"reason": "the extra `consumers` is not installed", "exc_type": ImportError}
reader = pytest.importorskip("msst.utils.dataset", **NEEDED)
config_dict = pytest.importorskip("ml_collections", **NEEDED)
pytestmark = pytest.mark.filterwarnings("ignore")  # of other packages
CHUNK = RATE
STEP = 2 / 32768


def dataset(report: ExportReport, folder: Path) -> Any:
    """The trainer's dataset with the settings that were printed."""
    settings = report.extra["next"]
    config = config_dict.ConfigDict({
        "audio": {"chunk_size": CHUNK, "min_mean_abs": 0.001, "sample_rate": RATE},
        "training": {
            "instruments": settings["training.instruments"], "target_instrument": None, "batch_size": 1,
            "num_steps": 8, "read_metadata_procs": 1,
        },
    })  # fmt: skip
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the trainer draws from it
    return reader.MSSDataset(
        config,
        [settings["--data_path"]],
        metadata_path=str(folder / "metadata.pkl"),
        dataset_type=settings["--dataset_type"],
        batch_size=1,
        verbose=False,
    )


def loud(sounds: Any) -> list[bool]:
    return [float(sound.abs().mean()) >= 0.001 for sound in sounds]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_stems_are_mixed_at_random(songs: Dataset, tmp_path: Path, number: int) -> None:
    songs.add("mono/bass.wav", ["bass"], tone(64, channels=1))
    songs.add("long/other.WAV", ["other"], tone(640, seconds=3.0))
    report = run(songs.write(), "zfturbo", tmp_path / "out", type=number)
    assert report.extra["num_stems"] == {"vocals": 2, "bass": 3, "drums": 4, "other": 3}
    found = dataset(report, tmp_path)
    if number == 1:
        assert {Path(path).name for path, _ in found.metadata} == {
            "artist - first", "artist - second", "sparse", "mono", "long",
        }  # fmt: skip
    else:
        assert {label: len(found.metadata[label]) for label in LABELS} == report.extra["num_stems"]
    for place in range(8):
        sources, mixture = found[place]
        assert sources.shape == (4, 2, CHUNK) and loud(sources) == [True] * 4
        np.testing.assert_allclose(sources.sum(0), mixture, atol=1e-6)


def test_originals_are_linked_into_the_folders_of_type_2(songs: Dataset, tmp_path: Path) -> None:
    songs.add("more/drums.flac", ["drums"], tone(1800))
    songs.add("loud/vocals.wav", ["vocals"], tone(480, peak=1.5, channels=1), subtype="FLOAT")
    report = run(songs.write(), "zfturbo", tmp_path / "out", type=2)
    links = {path.name.split(".")[0] for path in report.files if path.is_symlink()}
    assert {"more - drums", "artist - first - vocals", "sparse - drums_2"} <= links
    assert "loud - vocals" not in links
    assert report.extra["num_written"] == 1
    before = snapshot(tmp_path / "out")
    assert run(songs.write(), "zfturbo", tmp_path / "out", type=2) == report
    assert snapshot(tmp_path / "out").keys() == before.keys()


@pytest.mark.parametrize("number", [4, 5, 6, 7])
def test_songs_are_mixed_as_they_are(songs: Dataset, tmp_path: Path, number: int) -> None:
    for name in ("a", "b", "c", "d", "e"):  # type 7 leaves out classes that are in most songs
        songs.add(f"{name}/vocals.wav", ["vocals"], tone(450 + 5 * ord(name)))
    report = run(songs.write(), "zfturbo", tmp_path / "out", type=number)
    found = dataset(report, tmp_path)
    complete = {"artist - first", "artist - second"}
    assert {Path(path).name for path, _ in found.metadata} == complete | (
        set() if number == 5 else {"sparse", *"abcde"}
    )
    for place in range(min(8, len(found))):
        sources, mixture = found[place][:2]
        np.testing.assert_allclose(sources.sum(0), mixture, atol=2e-4)
        assert sources.shape == (4, 2, CHUNK)
    if number == 7:
        assert found.available_classes == ["bass", "drums", "other"]
        assert not (tmp_path / "out" / "train" / "sparse" / "vocals.flac").exists()
    mixtures = list((tmp_path / "out" / "train").glob("*/mixture.flac"))
    assert len(mixtures) == (8 if number in (6, 7) else 0)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_validation_songs_are_found(songs: Dataset, tmp_path: Path, number: int) -> None:
    validation = pytest.importorskip("msst._validation", **NEEDED)
    report = run(songs.write(), "zfturbo", tmp_path / "out", type=number, validation=True)
    assert report.extra["num_songs"].items() >= {("valid", 1), ("test", 1)}
    assert report.extra["num_stems"] == {"vocals": 2, "bass": 2, "drums": 4, "other": 2}
    settings = report.extra["next"]
    config = config_dict.ConfigDict({"inference": {"extension": settings["inference.extension"]}, "training": {}})
    (mixture,) = validation.get_mixture_paths(
        config_dict.ConfigDict({"valid_path": [settings["--valid_path"]]}), False, config, "flac"
    )
    folder = Path(mixture).parent
    assert folder == tmp_path / "out" / "valid" / "checked"
    total = sum(files.read(folder / f"{label}.flac") for label in LABELS)
    np.testing.assert_allclose(files.read(Path(mixture)), total, atol=4 * STEP)
    assert run(songs.write(), "zfturbo", tmp_path / "out", type=number, validation=True) == report
    again = dataset(report, tmp_path)
    assert "checked" not in str(again.metadata) and "tested" not in str(again.metadata)


def test_a_class_that_is_nowhere_loud_enough_is_refused(songs: Dataset, tmp_path: Path) -> None:
    for place, stem in enumerate(songs.stems):
        if stem.claimed == ["bass"]:
            songs.stems[place] = stem.model_copy(update={"labels": ["other"]})
    songs.add("quiet/bass.wav", ["bass"], tone(60, peak=0.001))
    with pytest.raises(ConfigError, match="no stem is left for: bass") as caught:
        run(songs.write(), "zfturbo", tmp_path / "out", type=1)
    assert "bass: 0:00:02 too_quiet" in caught.value.hint


def test_settings_that_have_no_effect_are_refused(songs: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="complete has no effect on type=2"):
        run(songs.write(), "zfturbo", tmp_path / "out", type=2, complete=True)
    with pytest.raises(ConfigError, match="the trainer cannot search in"):
        run(songs.write(), "zfturbo", tmp_path / "out [1]", type=2)
