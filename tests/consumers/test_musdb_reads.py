"""musdb and torchaudio read what is exported for them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from export_dataset import HZ, LABELS, RATE, Dataset, run, tone

from stemclean.audio import files
from stemclean.export import export

musdb = pytest.importorskip("musdb", reason="the extra `consumers` is not installed", exc_type=ImportError)
pytestmark = [
    pytest.mark.skipif(shutil.which("ffprobe") is None, reason="musdb reads with ffmpeg"),
    pytest.mark.filterwarnings("ignore"),  # of other packages
]
STEP = 2 / 32768


def database(folder: Path, subset: str, split: str | None = None) -> musdb.DB:
    return musdb.DB(str(folder), is_wav=True, subsets=subset, split=split, setup_file="setup.yaml")


def test_musdb_reads_all_songs_and_classes(songs: Dataset, tmp_path: Path) -> None:
    songs.add("Größe & Höhe \u2013 it's 1.5/other.wav", ["other"], split="validation")
    run(songs.write(), "musdb", tmp_path / "out")
    train = database(tmp_path / "out", "train")
    assert [track.name for track in train] == ["artist - first", "artist - second", "sparse"]
    assert train.targets_names == ["drums", "bass", "other", "vocals", "accompaniment", "linear_mixture"]
    first = train[0]
    assert (first.artist, first.title, first.rate, first.samples) == ("artist", "first", RATE, 2 * RATE)
    for label in LABELS:
        expected = files.read(tmp_path / "out" / "train" / "artist - first" / f"{label}.wav").T
        np.testing.assert_allclose(first.targets[label].audio, expected, atol=STEP)
    np.testing.assert_allclose(first.targets["linear_mixture"].audio, first.audio, atol=4 * STEP)
    assert first.stems.shape == (5, 2 * RATE, 2)
    sparse = train[2]
    assert not sparse.targets["vocals"].audio.any()
    np.testing.assert_allclose(sparse.targets["drums"].audio, sparse.audio, atol=STEP)
    assert [track.name for track in database(tmp_path / "out", "test")] == ["tested"]
    valid = [track.name for track in database(tmp_path / "out", "valid")]
    assert valid == ["Größe & Höhe _ it's 1.5", "checked"]


def test_validation_songs_lie_in_train_as_in_musdb18(songs: Dataset, tmp_path: Path) -> None:
    songs.add("Größe & Höhe it's 1.5/other.wav", ["other"], split="validation")
    run(songs.write(), "musdb", tmp_path / "out", validation_in_train=True)
    valid = [track.name for track in database(tmp_path / "out", "train", "valid")]
    assert valid == ["Größe & Höhe it's 1.5", "checked"]
    assert [track.name for track in database(tmp_path / "out", "train", "train")] == [
        "artist - first", "artist - second", "sparse",
    ]  # fmt: skip


def test_other_classes(songs: Dataset, tmp_path: Path) -> None:
    run(songs.write(), "musdb", tmp_path / "out", classes=("vocals", "accompaniment"))
    (first, *_) = database(tmp_path / "out", "train")
    assert list(first.targets) == ["vocals", "accompaniment", "linear_mixture"]
    np.testing.assert_allclose(first.targets["linear_mixture"].audio, first.audio, atol=4 * STEP)


@pytest.mark.usefixtures("torchaudio_of_then")
def test_torchaudio_reads_it_under_its_own_name(songs: Dataset, tmp_path: Path) -> None:
    from torchaudio.datasets import MUSDB_HQ

    out = tmp_path / "musdb18hq"
    export(songs.write(), "musdb", out, quiet=True)
    found = MUSDB_HQ(tmp_path, "train", sources=LABELS)
    assert found.names == ["artist - first", "artist - second", "sparse"]
    sound, rate, num_samples, name = found[0]
    assert (sound.shape, rate, num_samples, name) == ((4, 2, 88200), 44100, 88200, "artist - first")
    for label, stem in zip(LABELS, sound.numpy(), strict=True):
        np.testing.assert_allclose(stem, files.read(out / "train" / name / f"{label}.wav"), atol=STEP)


def test_the_stem_mp4_of_musdb18_become_the_same_songs(tmp_path: Path) -> None:
    import stempeg

    root = tmp_path / "MUSDB18"
    (root / "train").mkdir(parents=True)
    names = ["drums", "bass", "other", "vocals"]
    stems = np.stack([tone(HZ[name], seconds=2.0, rate=44100).T for name in names])
    stempeg.write_stems(
        str(root / "train" / "Artist - Song.stem.mp4"),
        np.concatenate([stems.sum(0, keepdims=True), stems]),
        44100,
        writer=stempeg.StreamsWriter(codec="aac", stem_names=["mix", *names]),
    )
    report = export(root, "musdb", tmp_path / "out", quiet=True)
    assert [hours.kept > 0 for hours in report.classes.values()] == [True] * 4
    (before,), (after,) = musdb.DB(str(root), subsets="train"), database(tmp_path / "out", "train")
    assert (after.name, after.samples) == ("Artist - Song", before.samples)
    for name in names:
        padded = before.targets[name].audio  # to whole frames of AAC
        np.testing.assert_allclose(after.targets[name].audio, padded[: after.samples], atol=1e-3)  # two decoders
