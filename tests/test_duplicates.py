"""Duplicate audio is reported, exported once or not at all, and not measured as bleed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemclean import checks, duplicates, layouts
from stemclean import manifest as manifests
from stemclean.checks import copies
from stemclean.data.sources import trusted
from stemclean.evaluating.pairing import pair
from stemclean.export import export
from stemclean.manifest import Stem

RATE = 44100
ISSUES = {"duplicate_in_song", "duplicate_across_songs", "duplicate_across_splits"}


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, (RATE, 2))


def put(path: Path, sound: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, RATE)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Drums twice in a song, a voice in train and test, a bass that another song calls other, a loop in two songs."""
    for name, seed in {
        "a/drums": 1, "a/drums 2": 1, "a/vocals": 2, "b/vocals take 7": 2, "a/bass": 3, "b/pad": 3, "b/snare": 4,
        "c/kit": 4,
    }.items():  # fmt: skip
        put(tmp_path / f"{name}.wav", noise(seed))
    put(tmp_path / "a/hat.wav", np.zeros((RATE, 2)))
    put(tmp_path / "a/keys.wav", np.zeros((RATE, 2)))
    rows = [
        ("drums", "a/drums.wav", "A", "train"), ("drums", "a/drums 2.wav", "A", "train"),
        ("vocals", "a/vocals.wav", "A", "train"), ("vocals", "b/vocals take 7.wav", "B", "test"),
        ("bass", "a/bass.wav", "A", "train"), ("other", "b/pad.wav", "B", "train"),
        ("drums", "b/snare.wav", "B", "train"), ("drums", "c/kit.wav", "C", "train"),
        ("drums", "a/hat.wav", "A", "train"), ("other", "a/keys.wav", "A", "train"),
    ]  # fmt: skip
    path = tmp_path / "list.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("instrum", "path", "track", "split"), *rows])
    return path


def remarks(stem: Stem) -> dict[str, str]:
    return {issue.code: issue.detail for issue in stem.issues if issue.code in ISSUES}


def test_every_remark_names_the_other_file(listed: Path) -> None:
    manifest = {stem.id: remarks(stem) for stem in layouts.scan(listed).stems}
    assert manifest["a/drums"] == {"duplicate_in_song": "the same audio as a/drums 2 (drums, train)"}
    detail = "the same audio as b/vocals take 7 (vocals, test)"
    assert manifest["a/vocals"] == {"duplicate_across_songs": detail, "duplicate_across_splits": detail}
    assert manifest["b/pad"] == {"duplicate_across_songs": "the same audio as a/bass (bass, train)"}
    assert {code.name for code in copies.CHECK.codes} == ISSUES


def test_duplicates_of_a_manifest_are_found_again(listed: Path, tmp_path: Path) -> None:
    scanned = layouts.scan(listed)
    alone = scanned.with_stems([stem for stem in scanned.stems if stem.id != "a/drums 2"], root=".")
    manifests.write(alone, tmp_path / "m.json")
    manifest = {stem.id: remarks(stem) for stem in layouts.load(tmp_path / "m.json")[0].stems}
    assert manifest["a/drums"] == {}
    assert set(manifest["a/vocals"]) == {"duplicate_across_songs", "duplicate_across_splits"}


def test_silent_stems_are_not_duplicates(listed: Path) -> None:
    stems = [
        stem.model_copy(update={"active": []}) if stem.id in ("a/hat", "a/keys") else stem
        for stem in layouts.scan(listed).stems
    ]
    assert [remarks(stem) for stem in checks.among(stems) if stem.active == []] == [{}, {}]
    assert not {"a/hat", "a/keys"} & set(duplicates.left_out(stems))


def test_one_of_several_duplicates_is_used(listed: Path) -> None:
    stems = [stem for stem in layouts.scan(listed).stems if stem.id not in ("a/hat", "a/keys")]
    assert duplicates.left_out(stems) == {
        "a/drums 2": "duplicate_in_song",
        "a/vocals": "duplicate_across_splits",
        "a/bass": "duplicate_of_another_class",
        "b/pad": "duplicate_of_another_class",
    }


def test_an_export_has_each_sound_once(listed: Path, tmp_path: Path) -> None:
    report = export(listed, "zfturbo", tmp_path / "out", quiet=True, allow_empty=True)
    rows = (tmp_path / "out" / "zfturbo.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == ["drums"] * 3
    assert {Path(row.partition(",")[2]).stem for row in rows} == {"drums", "snare", "kit"}
    assert report.classes["drums"].why == {
        "duplicate_in_song": pytest.approx(1 / 3600, abs=1e-6),
        "too_quiet": 0.000278,
    }
    assert set(report.classes["vocals"].why) == {"duplicate_across_splits", "held_out"}
    assert set(report.classes["bass"].why) == {"duplicate_of_another_class"}


def test_training_uses_each_sound_once(listed: Path) -> None:
    silent = {"a/hat", "a/keys"}
    kept = {stem.id for stem in trusted(layouts.scan(listed), use_claimed=True).stems} - silent
    assert kept == {"a/drums", "b/snare", "c/kit"}


def test_a_reference_is_not_added_to_itself(tmp_path: Path) -> None:
    for name in ("Kick", "Kick copy", "Snare"):
        put(tmp_path / "ref/song" / f"{name}.wav", noise(1 if "Kick" in name else 2))
    put(tmp_path / "est/song/drums.wav", noise(3))
    (song,), failures = pair(layouts.load(tmp_path / "ref"), layouts.load(tmp_path / "est"))
    assert [path.name for path, _ in song.references["drums"].files] == ["Kick.wav", "Snare.wav"]
    assert failures == []
