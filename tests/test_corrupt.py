"""Planted faults: the level that was asked for is the level that is there, and the truth says where."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.corrupt import CorruptConfig, corrupt
from stemclean.data import corrupt as sound
from stemclean.data.faults import Fault, plan
from stemclean.errors import ConfigError
from stemclean.manifest import Stem
from stemclean.units import amplitude_to_db

RATE = 8000
LABELS = ["vocals", "bass", "drums", "other"]
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


# Level and bleed


def test_a_level_is_that_of_the_part_that_plays() -> None:
    sparse = np.concatenate([tone(440, 4.0), np.zeros((2, 9 * RATE), np.float32)], axis=1)
    assert sound.level(sparse, RATE).rms == pytest.approx(sound.level(tone(440), RATE).rms)
    assert sound.level(sparse, RATE).active == pytest.approx(4.0)
    assert sound.level(sparse, RATE).share_within(8.0) == pytest.approx(0.5)


def test_a_click_does_not_move_the_level() -> None:
    clicked = tone(440, 20.0, peak=0.05)
    clicked[:, 20] = 1.0
    moved_db = amplitude_to_db(sound.level(clicked, RATE).rms / sound.level(tone(440, 20.0, peak=0.05), RATE).rms)
    assert abs(moved_db) < 0.2  # its energy spread over 20 s; a gate relative to the peak would be off by 20 dB


@given(level_db=st.floats(-40.0, 12.0), gap=st.floats(0.0, 3.0), length=st.floats(1.0, 9.0))
@settings(max_examples=30, deadline=None)
def test_a_bleed_has_the_level_that_was_asked_for(level_db: float, gap: float, length: float) -> None:
    stem = np.concatenate([np.zeros((2, round(gap * RATE)), np.float32), tone(440)], axis=1)
    donor = tone(1000, length, peak=0.7)
    mixed = sound.add_bleed(stem, donor, RATE, level_db)
    added = mixed - stem
    assert mixed.shape == stem.shape
    measured_db = amplitude_to_db(sound.level(added, RATE).rms / sound.level(stem, RATE).rms)
    # 0.02 dB: float32 at -40 dB; softer bleeds would meet the -70 dBFS gate. The frames of a gap's edge are
    # half silent and are weighed the same on both sides.
    assert measured_db == pytest.approx(level_db, abs=0.02)


def test_no_level_is_defined_against_silence() -> None:
    silence = np.zeros((2, RATE), np.float32)
    with pytest.raises(ValueError, match="donor is silent"):
        sound.add_bleed(tone(440), silence, RATE, -3.0)
    with pytest.raises(ValueError, match="stem is silent"):
        sound.add_bleed(silence, tone(440), RATE, -3.0)


def test_clipping_is_prevented_by_one_gain() -> None:
    loud = tone(440, peak=1.0) + tone(900, peak=0.9)
    quiet, gain_db = sound.without_clipping(loud)
    assert np.abs(quiet).max() == pytest.approx(sound.HIGHEST)
    np.testing.assert_allclose(quiet, loud * 10 ** (gain_db / 20), atol=1e-6)
    assert sound.without_clipping(tone(440, peak=1.0))[1] == 0.0


@pytest.mark.parametrize("kind", sound.FOREIGN)
@pytest.mark.parametrize("channels", [1, 2])
def test_foreign_sound_has_the_asked_loudness_and_changes_with_the_seed(kind: str, channels: int) -> None:
    first, second = (
        sound.foreign(kind, (channels, 6 * RATE), RATE, 0.1, np.random.default_rng(seed)) for seed in (1, 2)
    )
    assert first.shape == (channels, 6 * RATE)
    assert first.dtype == np.float32
    assert sound.level(first, RATE).rms == pytest.approx(0.1, rel=1e-4)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, sound.foreign(kind, (channels, 6 * RATE), RATE, 0.1, np.random.default_rng(1)))


def test_near_silence_is_below_the_gate() -> None:
    hiss = sound.near_silence((2, RATE), -75.0, np.random.default_rng(0))
    assert amplitude_to_db(float(np.sqrt(np.mean(hiss**2)))) == pytest.approx(-75.0, abs=0.2)
    assert sound.level(hiss, RATE).rms == 0.0
    assert not sound.near_silence((2, RATE), None, np.random.default_rng(0)).any()


# Which stem gets what


def pool(num_songs: int, classes: list[str]) -> list[Stem]:
    return [
        Stem(
            id=f"{song}/{label}", track=str(song), path=f"{song}/{label}.wav", sample_rate=RATE, channels=2,
            num_samples=4 * RATE, claimed=[label], labels=[label],
        )
        for song in range(num_songs)
        for label in classes
    ]  # fmt: skip


def deal(stems: list[Stem], seed: int = 0, *, coincide: bool = False, **nums: int) -> dict[str, Fault]:
    levels = {stem.id: sound.level(tone(440), RATE) for stem in stems}
    counts = {"mislabel": 0, "bleed": 0, "silence": 0, "foreign": 0} | nums
    return plan(stems, levels, LABELS, counts, (-20.0, 0.0), coincide, np.random.default_rng(seed))


@given(
    num_songs=st.integers(1, 6),
    classes=st.lists(st.sampled_from(LABELS), min_size=1, max_size=4, unique=True),
    share=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_exactly_as_many_stems_are_mislabelled_as_were_asked_for(
    num_songs: int, classes: list[str], share: float, seed: int
) -> None:
    stems = pool(num_songs, classes)
    wanted = round(share * len(stems))
    faults = deal(stems, seed, mislabel=wanted)
    wrong = [stem for stem in stems if faults[stem.id].claimed != stem.claimed[0]]
    assert len(wrong) == wanted
    assert {stem.id for stem in wrong} == {name for name, fault in faults.items() if fault.kinds == ["swapped"]}


@pytest.mark.parametrize("wanted", [2, 3, 4, 5, 7, 12, 13])
def test_claims_are_exchanged_within_the_song(wanted: int) -> None:
    stems = pool(5, LABELS)
    faults = deal(stems, mislabel=wanted)
    for song in {stem.track for stem in stems}:
        names = [stem.id for stem in stems if stem.track == song]
        assert sorted(faults[name].claimed for name in names) == sorted(LABELS)  # each name still occurs once


def test_one_fault_a_stem_and_every_donor_of_the_same_song_and_another_class() -> None:
    stems = {stem.id: stem for stem in pool(5, LABELS)}
    faults = deal(list(stems.values()), mislabel=5, bleed=6, silence=4, foreign=5)
    kinds = Counter("+".join(fault.kinds) for fault in faults.values())
    assert kinds == {"swapped": 5, "bleed": 6, "silence": 4, "foreign": 5}
    for name, fault in faults.items():
        if fault.donor:
            assert fault.donor.track == stems[name].track
            assert fault.donor.labels != stems[name].labels
            assert -20.0 <= fault.level_db <= 0.0


def test_faults_coincide_only_when_asked() -> None:
    faults = deal(pool(5, LABELS), coincide=True, mislabel=20, bleed=20)
    assert {"+".join(fault.kinds) for fault in faults.values()} == {"swapped+bleed"}
    with pytest.raises(ConfigError, match="mislabel: 20 stems are wanted, 0 can take it"):
        deal(pool(5, LABELS), mislabel=20, bleed=20)


def test_a_bleed_needs_a_second_class_in_the_song() -> None:
    with pytest.raises(ConfigError, match="bleed: 1 stems are wanted, 0 can take it") as caught:
        deal(pool(5, ["drums"]), bleed=1)
    assert "second sounding stem" in caught.value.hint


# The verb


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
