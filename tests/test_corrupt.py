"""The verb `corrupt` on folders of tones: what is in each file is what the truth says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.corrupt import CorruptConfig, corrupt
from stemclean.errors import ConfigError
from stemclean.units import amplitude_to_db

RATE = 8000
TONES_HZ = {"vocals": 440.0, "bass": 60.0, "drums": 1500.0, "other": 900.0}


def tone(hz: float, seconds: float = 4.0, peak: float = 0.2, channels: int = 2) -> np.ndarray:
    wave = peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    return np.tile(wave, (channels, 1)).astype(np.float32)


def strength(waveform: np.ndarray, hz: float) -> float:
    """Peak of a tone in a waveform: projection on it (whole periods fit into the length)."""
    time = np.arange(waveform.shape[1]) / RATE
    return float(2 * np.abs((waveform[0] * np.exp(-2j * np.pi * hz * time)).mean()))


def write_songs(folder: Path, num_songs: int = 5) -> Path:
    for song in range(num_songs):
        for label, hz in TONES_HZ.items():
            files.write(folder / f"song{song}" / f"{label}.flac", tone(hz + song), RATE, subtype="PCM_16")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_truth_says_what_is_in_every_file(tmp_path: Path) -> None:
    source = write_songs(tmp_path / "clean")
    before = contents(source)
    config = CorruptConfig(mislabel=0.2, bleed=0.2, silence=0.1, foreign=0.1, seed=3)
    truth = corrupt(source, tmp_path / "noisy", config, quiet=True)
    assert contents(source) == before
    assert truth.summary == {
        "faults": {"bleed": 4, "foreign": 2, "none": 8, "silence": 2, "swapped": 4}, "num_stems": 20,
    }  # fmt: skip
    for stem in truth.stems:
        song = int(stem.extra["from"][4])
        heard = files.read(tmp_path / "noisy" / stem.path)
        found = {label: strength(heard, hz + song) for label, hz in TONES_HZ.items()}
        fault = stem.extra["fault"]
        if fault in (None, "swapped"):
            assert [label for label, peak in found.items() if peak > 0.1] == stem.labels
            assert (stem.labels == stem.claimed) == (fault is None)
        elif fault == "bleed":
            bleed = stem.extra["bleed"]
            assert set(stem.labels) == {*stem.claimed, bleed["label"]}
            # Tones of equal level: the ratio of their peaks is the level. 0.1 dB: 16 bits and leakage between bins.
            ratio_db = amplitude_to_db(found[bleed["label"]] / found[stem.claimed[0]])
            assert ratio_db == pytest.approx(bleed["level_db"], abs=0.1)
        else:
            assert stem.labels == []
            assert max(found.values()) < (0.001 if fault == "silence" else 0.1)


def test_the_corrupted_folder_looks_like_any_other(tmp_path: Path) -> None:
    truth = corrupt(write_songs(tmp_path / "clean"), tmp_path / "noisy", CorruptConfig(seed=1), quiet=True)
    (tmp_path / "noisy" / "truth.json").rename(tmp_path / "truth.json")
    seen = layouts.scan(tmp_path / "noisy", quiet=True)
    assert [(stem.id, stem.path, stem.claimed, stem.sha256) for stem in seen.stems] == [
        (stem.id, stem.path, stem.claimed, stem.sha256) for stem in truth.stems
    ]
    assert manifest.read(tmp_path / "truth.json") == truth
    assert all(path.suffix == ".flac" for path in (tmp_path / "noisy").rglob("*") if path.is_file())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    source = write_songs(tmp_path / "clean", 3)
    config = CorruptConfig(foreign=0.2, silence=0.1, seed=5)
    for name in ("a", "b"):
        corrupt(source, tmp_path / name, config, quiet=True)
    corrupt(source, tmp_path / "c", CorruptConfig(foreign=0.2, silence=0.1, seed=6), quiet=True)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_an_interrupted_run_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_songs(tmp_path / "clean", 2)
    corrupt(source, tmp_path / "whole", quiet=True)
    write, num_written = files.write, 0

    def write_three(path: Path, *args: object, **kwargs: object) -> None:
        nonlocal num_written
        if num_written == 3:
            raise KeyboardInterrupt
        num_written += 1
        write(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "write", write_three)
    with pytest.raises(KeyboardInterrupt):
        corrupt(source, tmp_path / "halved", quiet=True)
    assert len(contents(tmp_path / "halved")) == 3 + 1  # three files and the mark of an unfinished run
    num_written = -100
    corrupt(source, tmp_path / "halved", quiet=True)
    assert num_written == -100 + 8 - 3
    assert contents(tmp_path / "halved") == contents(tmp_path / "whole")


def test_a_finished_run_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, config = write_songs(tmp_path / "clean", 2), CorruptConfig(mislabel=1 / 3, seed=9)
    truth = corrupt(source, tmp_path / "noisy", config, quiet=True)
    before = contents(tmp_path / "noisy")
    monkeypatch.setattr(files, "write", None)  # writing anything would fail
    assert corrupt(source, tmp_path / "noisy", config, quiet=True) == truth
    assert contents(tmp_path / "noisy") == before


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    source = write_songs(tmp_path / "clean", 2)
    corrupt(source, tmp_path / "noisy", quiet=True)
    with pytest.raises(ConfigError, match="holds something else"):
        corrupt(source, tmp_path / "noisy", CorruptConfig(seed=1), quiet=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="holds something else"):
        corrupt(source, tmp_path / "other", quiet=True)
    with pytest.raises(ConfigError, match="lies in the source"):
        corrupt(source, source / "noisy", quiet=True)


def test_mono_other_rates_broken_files_and_silent_stems_are_taken_as_they_come(tmp_path: Path) -> None:
    song = tmp_path / "clean" / "Odd Song"
    files.write(song / "vocals.wav", tone(440, channels=1), RATE)
    files.write(song / "bass.wav", tone(60, seconds=2.0), 2 * RATE)
    files.write(song / "drums.wav", np.zeros((2, RATE), np.float32), RATE)
    (song / "other.wav").write_text("not a wave")
    truth = corrupt(tmp_path / "clean", tmp_path / "noisy", CorruptConfig(mislabel=0, bleed=0.34), quiet=True)
    assert {stem.id: (stem.sample_rate, stem.channels) for stem in truth.stems} == {
        "Odd Song/bass": (2 * RATE, 2), "Odd Song/drums": (RATE, 2), "Odd Song/vocals": (RATE, 1),
    }  # fmt: skip
    by_id = {stem.id: stem for stem in truth.stems}
    assert by_id["Odd Song/drums"].labels == []
    assert by_id["Odd Song/drums"].extra["fault"] == "silent_in_source"
    assert truth.summary["faults"]["bleed"] == 1
    assert [(skip.path, skip.reason) for skip in truth.skipped] == [("Odd Song/other.wav", "not_audio")]


def test_a_dataset_without_a_usable_stem_is_refused_with_the_reasons(tmp_path: Path) -> None:
    files.write(tmp_path / "clean" / "song" / "bass.wav", tone(60), RATE)
    (tmp_path / "clean" / "song" / "bass.wav").write_text("not a wave")
    with pytest.raises(ConfigError, match="no stem can be used") as caught:
        corrupt(tmp_path / "clean", tmp_path / "noisy", quiet=True)
    assert "song/bass.wav: the content is text" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mislabel": 1.2}, "mislabel 1.2 is no share"),
        ({"mislabel": 0.7, "bleed": 0.4}, "add up to 1.1"),
        ({"bleed_db": (0.0, -20.0)}, "runs backwards"),
    ],
)
def test_shares_that_cannot_be_meant_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CorruptConfig(**settings)  # type: ignore[arg-type]
