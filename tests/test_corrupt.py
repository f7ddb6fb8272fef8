"""The verb `corrupt` on folders of tones: every file contains what the truth says."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.cli import app
from stemclean.corrupt import CorruptConfig, corrupt
from stemclean.data import corrupt as sound
from stemclean.errors import ConfigError
from stemclean.report import describe_planted
from stemclean.units import amplitude_to_db

RATE = 8000
_module = sys.modules[corrupt.__module__]
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


def test_the_truth_describes_every_file(tmp_path: Path) -> None:
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
        audio = files.read(tmp_path / "noisy" / stem.path)
        strengths = {label: strength(audio, hz + song) for label, hz in TONES_HZ.items()}
        fault = stem.extra["fault"]
        if fault in (None, "swapped"):
            assert [label for label, peak in strengths.items() if peak > 0.1] == stem.labels
            assert (stem.labels == stem.claimed) == (fault is None)
        elif fault == "bleed":
            bleed = stem.extra["bleed"]
            assert set(stem.labels) == {*stem.claimed, bleed["label"]}
            # Tones of equal level: the ratio of their peaks is the level. 0.1 dB: 16 bits and leakage between bins.
            ratio_db = amplitude_to_db(strengths[bleed["label"]] / strengths[stem.claimed[0]])
            assert ratio_db == pytest.approx(bleed["level_db"], abs=0.1)
        else:
            assert stem.labels == []
            assert max(strengths.values()) < (0.001 if fault == "silence" else 0.1)


def test_a_bleed_adds_the_donor_at_its_level(tmp_path: Path) -> None:
    """The arithmetic of the first version, written out: what stands in a file for a seed has not moved since."""
    source = write_songs(tmp_path / "clean", 2)
    truth = corrupt(source, tmp_path / "noisy", CorruptConfig(mislabel=0, bleed=0.5, seed=2), quiet=True)
    bleeds = [stem for stem in truth.stems if stem.extra["fault"] == "bleed"]
    for stem in bleeds:
        own, donor = (files.read(source / f"{name}.flac") for name in (stem.id, stem.extra["bleed"]["from"]))
        gain = sound.level(own, RATE).rms / sound.level(donor, RATE).rms * 10 ** (stem.extra["bleed"]["level_db"] / 20)
        files.write(tmp_path / "expected.flac", own + np.float32(gain) * donor, RATE, subtype="PCM_16")
        assert (tmp_path / "noisy" / stem.path).read_bytes() == (tmp_path / "expected.flac").read_bytes()
    assert len(bleeds) == 4
    assert "bleed_share" not in truth.created.config


def test_intermittent_bleed_lies_in_the_spans_of_the_truth(tmp_path: Path) -> None:
    for label, hz in TONES_HZ.items():
        path = tmp_path / "clean" / "song" / f"{label}.flac"
        files.write(path, tone(hz, 60.0, channels=1), RATE, subtype="PCM_16")
    config = CorruptConfig(mislabel=0, bleed=0.5, bleed_share=(0.2, 0.5), seed=4)
    truth = corrupt(tmp_path / "clean", tmp_path / "noisy", config, quiet=True)
    assert truth.created.config["bleed_share"] == [0.2, 0.5]
    bleeds = [stem for stem in truth.stems if stem.extra["fault"] == "bleed"]
    assert len(bleeds) == 2
    for stem in bleeds:
        bleed, audio = stem.extra["bleed"], files.read(tmp_path / "noisy" / stem.path)
        assert 0.2 <= bleed["share"] <= 0.5
        assert (stem.regions[0].start, stem.regions[-1].end) == (0.0, 60.0)  # the stem sounds throughout
        with_it = [region for region in stem.regions if bleed["label"] in region.labels]
        assert sum(region.end - region.start for region in with_it) == pytest.approx(60 * bleed["share"], abs=0.1)
        for region in stem.regions:
            # whole tenths of a second within the fades: whole periods of every tone here
            first, last = np.ceil(region.start * 10 + 1) / 10, np.floor(region.end * 10 - 1) / 10
            piece = audio[:, round(first * RATE) : round(last * RATE)]
            ratio = strength(piece, TONES_HZ[bleed["label"]]) / strength(piece, TONES_HZ[stem.claimed[0]])
            if region in with_it:
                assert set(region.labels) == set(stem.labels)
                # 0.05 dB: 16 bits
                assert amplitude_to_db(ratio) == pytest.approx(bleed["level_db"], abs=0.05)
                told_db = region.levels_db[bleed["label"]] - region.levels_db[stem.claimed[0]]
                # 0.35 dB: two values rounded to 0.1, and fades of 2 x 0.05 s in 3 s at least
                assert told_db == pytest.approx(bleed["level_db"], abs=0.35)
            else:
                assert region.labels == stem.claimed and region.levels_db == {stem.claimed[0]: 0.0}
                assert ratio < 1e-3
        told_db = stem.levels_db[bleed["label"]] - stem.levels_db[stem.claimed[0]]
        whole_db = bleed["level_db"] + 10 * np.log10(bleed["share"])
        assert told_db == pytest.approx(whole_db, abs=0.35)  # rounding and fades as above


def test_the_truth_has_regions_and_levels_of_clean_stems(tmp_path: Path) -> None:
    source = tmp_path / "clean"
    gap = np.zeros((2, 3 * RATE), np.float32)
    for label, hz in TONES_HZ.items():
        sparse = np.concatenate([tone(hz), gap, tone(hz)], axis=1)
        files.write(source / "song" / f"{label}.flac", sparse, RATE, subtype="PCM_16")
    config = CorruptConfig(mislabel=0, bleed=0, silence=0.25, foreign=0.25, seed=1)
    for stem in corrupt(source, tmp_path / "noisy", config, quiet=True).stems:
        if stem.extra["fault"] is None:
            # the gate keeps 0.1 s around what is loud
            assert [(r.start, r.end, r.labels) for r in stem.regions] == [
                (0.0, pytest.approx(4.1), stem.claimed), (pytest.approx(6.9), 11.0, stem.claimed),
            ]  # fmt: skip
            assert stem.levels_db == {stem.claimed[0]: 0.0}
        else:
            (region,) = stem.regions
            assert (region.start, region.end, region.labels, region.levels_db) == (0.0, 11.0, [], {})
            assert stem.levels_db == {}


def test_the_corrupted_folder_scans_like_any_dataset(tmp_path: Path) -> None:
    truth = corrupt(write_songs(tmp_path / "clean"), tmp_path / "noisy", CorruptConfig(seed=1), quiet=True)
    (tmp_path / "noisy" / "truth.json").rename(tmp_path / "truth.json")
    seen = layouts.scan(tmp_path / "noisy", quiet=True)
    assert [(stem.id, stem.path, stem.claimed, stem.sha256) for stem in seen.stems] == [
        (stem.id, stem.path, stem.claimed, stem.sha256) for stem in truth.stems
    ]
    assert manifest.read(tmp_path / "truth.json") == truth
    assert all(path.suffix == ".flac" for path in (tmp_path / "noisy").rglob("*") if path.is_file())


def test_the_seed_determines_the_bytes(tmp_path: Path) -> None:
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
    create, num_written = files.create, 0

    def create_three(path: Path, *args: Any, **kwargs: Any) -> Any:
        nonlocal num_written
        if num_written == 3:
            raise KeyboardInterrupt
        num_written += 1
        return create(path, *args, **kwargs)

    monkeypatch.setattr(files, "create", create_three)
    with pytest.raises(KeyboardInterrupt):
        corrupt(source, tmp_path / "halved", quiet=True)
    assert len(contents(tmp_path / "halved")) == 3 + 1  # three files and the mark of an unfinished run
    num_written = -100
    corrupt(source, tmp_path / "halved", quiet=True)
    assert num_written == -100 + 8 - 3
    assert contents(tmp_path / "halved") == contents(tmp_path / "whole")


def test_a_finished_run_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, config = write_songs(tmp_path / "clean", 2), CorruptConfig(mislabel=1 / 3, seed=9)
    truth = corrupt(source, tmp_path / "noisy", config, quiet=True)
    before = contents(tmp_path / "noisy")
    monkeypatch.setattr(files, "create", None)  # writing anything would fail
    assert corrupt(source, tmp_path / "noisy", config, quiet=True) == truth
    assert contents(tmp_path / "noisy") == before


def test_a_song_that_clips_is_attenuated_as_a_whole(tmp_path: Path) -> None:
    """So that its stems still add up to it; the one that was soft is as much softer as the one that was loud."""
    for song, gain in (("loud", 1.0), ("calm", 0.4)):
        for label, peak in (("vocals", 2.0), ("bass", 0.3)):
            sound_ = tone(TONES_HZ[label], peak=gain * peak)
            files.write(tmp_path / "clean" / song / f"{label}.wav", sound_, RATE, subtype="FLOAT")
    truth = corrupt(tmp_path / "clean", tmp_path / "noisy", CorruptConfig(mislabel=0, bleed=0), quiet=True)
    for stem in truth.stems:
        gain = (1 - 2**-15) / 2 if stem.track == "loud" else 0.4
        expected = gain * tone(TONES_HZ[stem.claimed[0]], peak=2.0 if stem.claimed == ["vocals"] else 0.3)
        assert np.abs(files.read(tmp_path / "noisy" / stem.path) - expected).max() < 2 / 32768
        assert [issue.code for issue in stem.issues] == (["turned_down"] if stem.track == "loud" else [])
        assert stem.extra.get("gain_db") == (-6.021 if stem.track == "loud" else None)
    assert describe_planted(truth)["turned_down"] == {"loud": -6.021}
    words = ["corrupt", tmp_path / "clean", tmp_path / "noisy", "--mislabel", "0", "--bleed", "0"]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert (result.exit_code, "turned down to avoid clipping: loud (-6.021 dB)" in result.stderr) == (0, True)
    assert corrupt(tmp_path / "clean", tmp_path / "noisy", CorruptConfig(mislabel=0, bleed=0), quiet=True) == truth


def test_a_clipping_bleed_attenuates_its_song(tmp_path: Path) -> None:
    for label in ("vocals", "bass"):
        files.write(tmp_path / "clean" / "song" / f"{label}.flac", tone(TONES_HZ[label], peak=0.9), RATE)
    config = CorruptConfig(mislabel=0, bleed=0.5, bleed_db=(0.0, 0.0), seed=2)
    truth = corrupt(tmp_path / "clean", tmp_path / "noisy", config, quiet=True)
    (bleeding,) = (stem for stem in truth.stems if stem.extra["fault"] == "bleed")
    (whole,) = (stem for stem in truth.stems if stem.extra["fault"] is None)
    gain = 10 ** (whole.extra["gain_db"] / 20)
    assert whole.extra["gain_db"] == bleeding.extra["gain_db"] < -4
    assert np.abs(files.read(tmp_path / "noisy" / bleeding.path)).max() == pytest.approx(1 - 2**-15, abs=2 / 32768)
    audio = files.read(tmp_path / "noisy" / whole.path)
    assert strength(audio, TONES_HZ[whole.claimed[0]]) == pytest.approx(0.9 * gain, rel=1e-3)


def test_a_file_that_fails_while_writing_skips_its_stem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the stem that it would have bled into, whose fault could not be planted."""
    source = write_songs(tmp_path / "clean", 2)
    whole = corrupt(source, tmp_path / "whole", CorruptConfig(mislabel=0, bleed=0.25), quiet=True)
    stem = next(stem for stem in whole.stems if stem.extra["fault"] == "bleed")
    lost = {stem.extra["bleed"]["from"], stem.extra["from"]}
    donor = next(iter(lost - {stem.extra["from"]}))
    measured = _module._measure

    def then_gone(*args: Any) -> Any:
        levels = measured(*args)
        (source / f"{donor}.flac").unlink()
        return levels

    monkeypatch.setattr(_module, "_measure", then_gone)
    truth = corrupt(source, tmp_path / "noisy", CorruptConfig(mislabel=0, bleed=0.25), quiet=True)
    reasons = {skip.path.removesuffix(".flac"): (skip.reason, skip.detail) for skip in truth.skipped}
    assert reasons.keys() >= lost
    assert {reason for reason, _ in reasons.values()} == {"not_found"}
    assert reasons[stem.extra["from"]][1].startswith(f"{donor}.flac, its bleed: ")
    assert {stem.extra["from"] for stem in truth.stems} == {stem.extra["from"] for stem in whole.stems} - reasons.keys()
    same = {written.path: written.sha256 for written in whole.stems}
    assert all(written.sha256 == same[written.path] for written in truth.stems)


def test_a_manifest_with_a_missing_file(tmp_path: Path) -> None:
    source = write_songs(tmp_path / "clean", 2)
    data = layouts.scan(source, quiet=True)
    stems = [stem.model_copy(update={"sha256": None}) for stem in data.stems]
    listed = manifest.write(data.with_stems(stems, root="clean"), tmp_path / "list.json")
    (source / "song1" / "bass.flac").unlink()
    truth = corrupt(listed, tmp_path / "noisy", quiet=True)
    assert [(skip.path, skip.reason) for skip in truth.skipped] == [("song1/bass.flac", "not_found")]
    assert len(truth.stems) == 7


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    source = write_songs(tmp_path / "clean", 2)
    corrupt(source, tmp_path / "noisy", quiet=True)
    with pytest.raises(ConfigError, match="holds other files"):
        corrupt(source, tmp_path / "noisy", CorruptConfig(seed=1), quiet=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="holds other files"):
        corrupt(source, tmp_path / "other", quiet=True)
    with pytest.raises(ConfigError, match="is inside the source"):
        corrupt(source, source / "noisy", quiet=True)


def test_mono_other_rates_broken_and_silent_stems_are_handled(tmp_path: Path) -> None:
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
    ("settings", "message"),
    [
        ({"mislabel": 1.2}, "mislabel is 1.2; it must be a number from 0 to 1"),
        ({"mislabel": 0.7, "bleed": 0.4}, "add up to 1.1"),
        ({"bleed_db": (0.0, -20.0)}, r"bleed_db is \[0.0, -20.0\]; it must be two numbers .*, in ascending order"),
        ({"bleed_share": (0.6, 0.2)}, r"bleed_share is \[0.6, 0.2\]; it must be two numbers above 0 and at most 1"),
        ({"bleed_share": (0.0, 0.2)}, r"bleed_share is \[0.0, 0.2\]; it must be two numbers above 0 and at most 1"),
    ],
)
def test_invalid_shares_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CorruptConfig(**settings)  # type: ignore[arg-type]
