"""The f0 of a trimmed stem is cut like its sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import sung
from hypothesis import given, settings
from hypothesis import strategies as st

from stemclean import layouts, manifest
from stemclean.audio.f0 import F0Track
from stemclean.data.cut_f0 import cut
from stemclean.layouts import f0_labels
from stemclean.metrics import pitch
from stemclean.trim import TrimConfig, trim


@pytest.fixture
def songs(tmp_path: Path) -> tuple[Path, F0Track]:
    """A voice with three seconds of silence in the middle, and its f0."""
    phrases = [sung.melody(3.0, 1), sung.melody(2.0, 2)]
    rest = np.zeros(round(3.17 * 100))
    true = F0Track.of(np.concatenate([phrases[0].f0_hz, rest, phrases[1].f0_hz]), 0.01)
    sound = np.concatenate([sung.voice(phrases[0]), np.zeros(len(rest) * 80), sung.voice(phrases[1])])
    folder = tmp_path / "songs"
    (folder / "one").mkdir(parents=True)
    soundfile.write(folder / "one" / "vocals.wav", sound, sung.RATE)
    soundfile.write(folder / "one" / "drums.wav", sound[::-1], sung.RATE)
    f0_labels.write(true, folder / "one" / "f0.csv")
    return folder, true


@settings(deadline=None, max_examples=60)
@given(
    edges=st.sets(st.integers(0, 600), min_size=2, max_size=8).map(sorted),
    hop=st.sampled_from([0.01, 0.02, 0.0123]),
    start=st.sampled_from([0.0, 0.02]),
)
def test_kept_frames_have_the_f0_of_their_time(edges: list[int], hop: float, start: float) -> None:
    """A glide, so that every time has a frequency of its own; 1e-9 is for the arithmetic."""
    num_frames = round(6.5 / hop)
    times = start + hop * np.arange(num_frames)
    glide = F0Track.of(100 * 2 ** (times / 3), hop, start)
    regions = [(a / 100, b / 100) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    kept = cut(glide, regions)
    lengths = [end - begin for begin, end in regions]
    assert kept.start <= start + hop
    assert kept.start + kept.num_frames * hop == pytest.approx(sum(lengths), abs=1.01 * hop)
    joins = np.concatenate([[0.0], np.cumsum(lengths)])
    for time, f0_hz in zip(kept.times, kept.f0_hz, strict=True):
        at = min(int(np.searchsorted(joins, time + 1e-9, side="right")) - 1, len(regions) - 1)
        source = time - joins[at] + regions[at][0]
        if start <= source <= times[-1] and abs(time - joins).min() > 1e-6:
            assert f0_hz == pytest.approx(100 * 2 ** (source / 3), rel=1e-7)


def test_frames_outside_the_label_are_not_unvoiced() -> None:
    """A label from 2 s to 4 s of a sound of 6 s: the half second kept before and after it has no frame."""
    label = F0Track.of(np.full(200, 220.0), 0.01, 2.0)
    kept = cut(label, [(1.0, 1.5), (2.5, 3.0), (4.5, 5.0)])
    assert (kept.start, kept.num_frames) == (0.5, 50) and kept.voiced.all()
    assert cut(label, [(0.0, 1.0), (5.0, 6.0)]).num_frames == 0
    early = F0Track.of(np.zeros(100), 0.01)  # one second, unvoiced: known
    assert cut(early, [(0.0, 2.0)]).num_frames == 100


def test_a_label_of_removed_sound_is_skipped(tmp_path: Path, songs: tuple[Path, F0Track]) -> None:
    folder = songs[0]
    f0_labels.write(F0Track.of(np.zeros(20), 0.01, 4.5), folder / "one" / "f0.csv")  # of the pause alone
    trimmed = trim(folder, tmp_path / "out", TrimConfig(min_gap=1.0), quiet=True)
    (voice,) = (stem for stem in trimmed.stems if stem.id == "one/vocals")
    assert voice.f0 is None
    assert [issue.code for issue in voice.issues] == ["f0_wrong_length"]


def test_the_f0_fits_the_trimmed_sound(tmp_path: Path, songs: tuple[Path, F0Track]) -> None:
    folder, true = songs
    trimmed = trim(folder, tmp_path / "out", TrimConfig(min_gap=1.0), quiet=True)
    (voice,) = (stem for stem in trimmed.stems if stem.f0)
    assert voice.id == "one/vocals" and voice.duration < 7.0
    assert voice.f0 is not None and voice.f0.annotated
    assert (voice.f0.path, voice.f0.format) == ("one/vocals.f0.csv", "stemclean")
    kept = f0_labels.read(tmp_path / "out" / voice.f0.path)
    assert kept.num_frames * kept.hop == pytest.approx(voice.duration, abs=0.02)
    sound, rate = soundfile.read(tmp_path / "out" / voice.path)
    followed = _followed(sound, rate)
    score = pitch.evaluate(kept, followed)["raw_pitch_accuracy"]
    assert score is not None and score > 0.95  # what the tracker reaches on the untrimmed voice too
    assert kept.voiced.sum() == pytest.approx(true.voiced.sum(), abs=3)
    again = layouts.scan(tmp_path / "out" / "one", quiet=True)
    assert [stem.f0 is not None for stem in again.stems] == [False, True]


def _followed(sound: np.ndarray, rate: int) -> F0Track:
    from stemclean.models.contract import ModelSpec
    from stemclean.models.tracking import follow

    return follow(sung.Ear(ModelSpec(rate, 1, ("vocals",), 4000)), sound[None].astype(np.float32))


def test_regions_only_keeps_the_original_label(tmp_path: Path, songs: tuple[Path, F0Track]) -> None:
    trimmed = trim(songs[0], tmp_path / "out", regions_only=True, quiet=True)
    (voice,) = (stem for stem in trimmed.stems if stem.f0)
    assert voice.f0 is not None
    assert (tmp_path / "out" / trimmed.root / voice.f0.path).samefile(songs[0] / "one" / "f0.csv")


def test_only_changed_labels_are_cut_again(tmp_path: Path, songs: tuple[Path, F0Track]) -> None:
    folder = songs[0]
    out = tmp_path / "out"
    first = trim(folder, out, quiet=True)
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.suffix != ".json"}
    assert trim(folder, out, quiet=True).stems == first.stems
    assert {path: path.stat().st_mtime_ns for path in written} == written
    (folder / "one" / "f0.csv").unlink()
    f0_labels.write(sung.melody(8.0, 5), folder / "one" / "f0.csv")
    second = trim(folder, out, quiet=True)
    before, after = ([stem.f0.sha256 for stem in data.stems if stem.f0] for data in (first, second))
    assert before != after


def test_a_missing_label_is_skipped(tmp_path: Path, songs: tuple[Path, F0Track]) -> None:
    folder = songs[0]
    source = manifest.write(layouts.scan(folder, quiet=True).model_copy(update={"root": "songs"}), tmp_path / "in.json")
    (folder / "one" / "f0.csv").write_text("la la la")
    trimmed = trim(source, tmp_path / "out", quiet=True)
    (voice,) = (stem for stem in trimmed.stems if stem.id == "one/vocals")
    assert voice.f0 is None
    assert [issue.code for issue in voice.issues] == ["f0_unreadable"]
