"""Songs written as folders: aligned, of equal length, and with the sum of their parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_dataset import RATE, Dataset, run, snapshot, tone

from stemclean import layouts
from stemclean.audio import files
from stemclean.errors import ConfigError
from stemclean.export import export
from stemclean.exporting import songs
from stemclean.manifest import Source, Stem


def broken_after_listening(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Remove a file between the check of a song and its writing."""
    check = songs._check_earlier

    def then_gone(*args: Any) -> None:
        check(*args)
        path.unlink()

    monkeypatch.setattr(songs, "_check_earlier", then_gone)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    dataset.add("album/song/vocals.wav", ["vocals"], tone(440))
    dataset.add("album/song/drums_1.wav", ["drums"], tone(1500, seconds=1.0))
    dataset.add("album/song/drums_2.wav", ["drums"], tone(1700, seconds=1.5))
    dataset.add("other song/bass.wav", ["bass"], tone(60), split="validation")
    return dataset


def padded(sound: np.ndarray, num_samples: int) -> np.ndarray:
    return np.pad(sound, ((0, 0), (0, num_samples - sound.shape[1])))


def test_files_of_a_song_have_one_length_and_sum_to_the_mixture(data: Dataset, tmp_path: Path) -> None:
    report = run(data.write(), "track_folders", tmp_path / "out")
    song = tmp_path / "out" / "train" / "album" / "song"
    assert sorted(path.name for path in song.iterdir()) == ["drums.wav", "mixture.wav", "song.json", "vocals.wav"]
    valid = tmp_path / "out" / "valid" / "other song"
    assert sorted(path.name for path in valid.iterdir()) == ["bass.wav", "mixture.wav", "song.json"]
    length = 2 * RATE
    drums = padded(tone(1500, 1.0), length) + padded(tone(1700, 1.5), length)
    step = 4 / 32768  # three stems of 16 bits are rounded, and their sum
    np.testing.assert_allclose(files.read(song / "drums.wav"), drums, atol=step)
    np.testing.assert_allclose(files.read(song / "vocals.wav"), tone(440), atol=step)
    np.testing.assert_allclose(files.read(song / "mixture.wav"), drums + tone(440), atol=step)
    assert report.output == tmp_path / "out"
    assert report.extra == {"num_songs": {"train": 1, "valid": 1}}
    assert json.loads((song / "song.json").read_text())["stems"] == {
        "vocals": ["album/song/vocals"], "drums": ["album/song/drums_1", "album/song/drums_2"],
    }  # fmt: skip


def test_a_sum_above_full_scale_turns_the_whole_song_down(tmp_path: Path) -> None:
    data = Dataset(tmp_path / "stems")
    data.add("song/drums_1.wav", ["drums"], tone(1500, peak=0.8))
    data.add("song/drums_2.wav", ["drums"], tone(1500, peak=0.7))
    data.add("song/bass.wav", ["bass"], tone(60, peak=0.1))
    report = run(data.write(), "track_folders", tmp_path / "out", mixture=False)
    song = tmp_path / "out" / "train" / "song"
    assert report.turned_down == {"song": pytest.approx(-3.522, abs=0.002)}  # 1.5 is 3.522 dB above full scale
    gain = 10 ** (report.turned_down["song"] / 20)
    np.testing.assert_allclose(files.read(song / "drums.wav"), gain * tone(1500, peak=1.5), atol=4 / 32768)
    np.testing.assert_allclose(files.read(song / "bass.wav"), gain * tone(60, peak=0.1), atol=4 / 32768)
    assert not (song / "mixture.wav").exists()
    assert run(data.write(), "track_folders", tmp_path / "out", mixture=False).turned_down == report.turned_down


def test_what_was_written_is_read_with_its_tracks_classes_and_splits(data: Dataset, tmp_path: Path) -> None:
    run(data.write(), "track_folders", tmp_path / "out")
    found = layouts.scan(tmp_path / "out", quiet=True)
    assert [(stem.track, stem.claimed, stem.split) for stem in found.stems] == [
        ("album/song", ["drums"], "train"),
        ("album/song", ["vocals"], "train"),
        ("other song", ["bass"], "validation"),
    ]
    assert [skip.reason for skip in found.skipped] == ["mixture", "mixture"]


def test_songs_of_the_same_name_in_two_splits_stay_two_songs(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("vocals", "drums"):
            files.write(tmp_path / split / "song" / f"{label}.wav", tone(440), RATE)
    files.write(tmp_path / "train" / "second" / "drums.wav", tone(440), RATE)
    found = layouts.scan(tmp_path, quiet=True)
    assert {(stem.track, stem.split) for stem in found.stems} == {
        ("train/song", "train"), ("test/song", "test"), ("second", "train"),
    }  # fmt: skip


def test_a_folder_that_is_called_test_alone_declares_no_split(tmp_path: Path) -> None:
    files.write(tmp_path / "test" / "song" / "drums.wav", tone(1500), RATE)
    assert [stem.split for stem in layouts.scan(tmp_path, quiet=True).stems] == [None]


def test_a_song_that_would_be_written_differently_is_refused_and_left_alone(data: Dataset, tmp_path: Path) -> None:
    run(data.write(), "track_folders", tmp_path / "out")
    before = snapshot(tmp_path / "out")
    data.stems[0] = data.stems[0].model_copy(update={"labels": ["bass"]})
    with pytest.raises(ConfigError, match=r"song holds a song of an earlier export") as caught:
        run(data.write(), "track_folders", tmp_path / "out")
    assert caught.value.hint == "export to a new folder"
    after = snapshot(tmp_path / "out")
    assert {path: after[path] for path in before if path != "export.json"} == {
        path: before[path] for path in before if path != "export.json"
    }


def test_a_killed_run_is_continued(data: Dataset, tmp_path: Path) -> None:
    run(data.write(), "track_folders", tmp_path / "out")
    before = snapshot(tmp_path / "out")
    (tmp_path / "out" / "train" / "album" / "song" / "mixture.wav").unlink()
    run(data.write(), "track_folders", tmp_path / "out")
    after = snapshot(tmp_path / "out")
    assert {path: content for path, (content, _) in after.items()} == {
        path: content for path, (content, _) in before.items()
    }
    kept = "train/album/song/drums.wav"
    assert after[kept] == before[kept]


def test_names_that_differ_only_in_strange_characters_stay_apart(tmp_path: Path) -> None:
    data = Dataset(tmp_path / "stems")
    data.add("a:b/drums.wav", ["drums"], tone(1500))
    data.add("a?b/drums.wav", ["drums"], tone(1600))
    report = run(data.write(), "track_folders", tmp_path / "out", mixture=False)
    assert len({path.parent for path in report.files}) == 2
    assert all("?" not in str(path) and ":" not in str(path) for path in report.files)


def test_trimmed_stems_are_refused_because_they_are_not_aligned(data: Dataset, tmp_path: Path) -> None:
    source = Source(path="x.wav", sample_rate=RATE, num_samples=4 * RATE)
    trimmed = data.stems[0].model_dump() | {"source": source.model_dump(), "active": [(0.0, 2.0)]}
    data.stems[0] = Stem.model_validate(trimmed)
    with pytest.raises(ConfigError, match="album/song/vocals was trimmed") as caught:
        run(data.write(), "track_folders", tmp_path / "out")
    assert "untrimmed" in caught.value.hint


def test_a_class_called_mixture_needs_the_setting(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='a class is named "mixture"'):
        run(data.write(), "track_folders", tmp_path / "out", classes={"mixture": ["drums", "vocals"]})
    report = export(
        data.write(), "track_folders", tmp_path / "new", sample_rate=RATE, quiet=True, mixture=False,
        classes={"mixture": ["drums", "vocals"]},
    )  # fmt: skip
    assert [path.name for path in report.files] == ["mixture.wav"]


def test_a_stem_that_breaks_after_it_was_heard_costs_itself_alone(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_after_listening(monkeypatch, data.folder / "album" / "song" / "drums_2.wav")
    report = run(data.write(), "track_folders", tmp_path / "out")
    assert [(skip.path, skip.reason) for skip in report.skipped] == [("album/song/drums_2.wav", "not_found")]
    drums = files.read(tmp_path / "out" / "train" / "album" / "song" / "drums.wav")
    np.testing.assert_allclose(drums, padded(tone(1500, 1.0), 2 * RATE), atol=2 / 32768)
    assert report.classes["drums"].why == {"not_found": pytest.approx(1.5 / 3600, abs=1e-6)}


def test_only_complete_songs_are_written_if_asked(data: Dataset, tmp_path: Path) -> None:
    classes = ["vocals", "drums"]
    data.add("third/vocals.wav", ["vocals"], tone(500))
    report = run(data.write(), "track_folders", tmp_path / "out", complete=True, classes=classes)
    assert {path.parent.name for path in report.files} == {"song"}
    assert report.classes["vocals"].why == {"incomplete_song": pytest.approx(2 / 3600, abs=1e-6)}
    assert report.classes["vocals"].kept == pytest.approx(2 / 3600, abs=1e-6)
    assert report.extra == {"num_songs": {"train": 1}}


def test_a_song_that_becomes_incomplete_is_left_out(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.add("second/vocals.wav", ["vocals"], tone(500))
    data.add("second/drums.wav", ["drums"], tone(1800))
    broken_after_listening(monkeypatch, data.folder / "second" / "drums.wav")
    report = run(data.write(), "track_folders", tmp_path / "out", complete=True, classes=["vocals", "drums"])
    assert {path.parent.name for path in report.files} == {"song"}
    assert not (tmp_path / "out" / "train" / "second").exists()
    two = pytest.approx(2 / 3600, abs=1e-6)
    assert (report.classes["drums"].why, report.classes["vocals"].why) == ({"not_found": two}, {"incomplete_song": two})
