"""Demucs draws its batches from what is exported for it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from export_dataset import LABELS, RATE, Dataset, run, snapshot

from stemclean.audio import files

wav = pytest.importorskip("demucs.wav", reason="the extra `consumers` is not installed", exc_type=ImportError)
pytestmark = [pytest.mark.usefixtures("torchaudio_of_then"), pytest.mark.filterwarnings("ignore::UserWarning")]
STEP = 4 / 32768


def options(settings: dict[str, Any], **changed: Any) -> SimpleNamespace:
    """``args.dset`` as ``demucs/train.py`` has it with the printed settings and the defaults of Demucs."""
    printed = {key.removeprefix("dset."): value for key, value in settings.items() if key.startswith("dset.")}
    return SimpleNamespace(**{"segment": 1, "shift": 0.5, "full_cv": True, "channels": 2, "normalize": True} | printed)


def test_demucs_draws_every_song_and_writes_nothing(songs: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = run(songs.write(), "demucs", out)
    assert report.extra["num_songs"] == {"test": 1, "train": 3, "valid": 1}
    assert report.extra["num_silent"] == {"bass": 2, "drums": 1, "other": 2, "vocals": 1}
    before = snapshot(out)
    train, valid = wav.get_wav_datasets(options(report.extra["next"]))
    assert snapshot(out) == before
    assert (len(train), len(valid)) == (3 * 3, 1)  # a song of 2 s has three segments of 1 s
    assert list(train.metadata) == ["artist - first", "artist - second", "sparse"]
    for place, song in enumerate(train.metadata):
        meta = train.metadata[song]
        segment = train[3 * place + 1].numpy()
        assert segment.shape == (4, 2, RATE)
        for label, sound in zip(LABELS, segment * meta["std"] + meta["mean"], strict=True):
            expected = files.read(out / "train" / song / f"{label}.wav", start=0.5, duration=1.0)
            np.testing.assert_allclose(sound, expected, atol=STEP)
    mixture, *sources = valid[0].numpy() * valid.metadata["checked"]["std"] + valid.metadata["checked"]["mean"]
    np.testing.assert_allclose(mixture, sum(sources), atol=STEP)


def test_what_is_stored_is_what_demucs_would_measure(songs: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = run(songs.write(), "demucs", out)
    (path,) = (out / "metadata").iterdir()
    stored = json.loads(path.read_text())
    for split, found in zip(("train", "valid"), stored, strict=True):
        measured = wav.build_metadata(out / split, LABELS)
        assert found.keys() == measured.keys()
        for song, meta in measured.items():
            assert found[song] == pytest.approx(meta, rel=1e-3, abs=1e-6)
    path.unlink()
    wav.get_wav_datasets(options(report.extra["next"]))
    assert path.is_file()  # Demucs looks for it under the same name


def test_complete_songs_alone(songs: Dataset, tmp_path: Path) -> None:
    report = run(songs.write(), "demucs", tmp_path / "out", complete=True)
    assert report.extra["num_songs"] == {"train": 2, "valid": 1}
    assert set(report.classes["drums"].why) == {"incomplete_song", "several_classes"}
    train, _ = wav.get_wav_datasets(options(report.extra["next"]))
    assert list(train.metadata) == ["artist - first", "artist - second"]
