"""The benchmark of bleed by ear: its clips hold what their fields state, and its figures are those of known scores."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import bleed_by_ear
from benchmarks.bleed_by_ear import Clip, clips, figures
from stemclean.data.pool import StemPool
from stemclean.manifest import Created, Manifest, Stem

LABELS = ("bass", "drums")


def sound(level_db: float = 0.0) -> np.ndarray:
    return np.full((2, 8), 10 ** (level_db / 20), np.float32)


def test_perfect_and_inverted_scores() -> None:
    made = [
        Clip(sound(), "a", "bass", None, None),
        Clip(sound(), "b", "drums", None, None),
        *(Clip(sound(), "a", "bass", "drums", level_db) for level_db in bleed_by_ear.LEVELS_DB),
    ]
    scores = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.8], [0.9, 0.5], [0.9, 0.05]])
    rows = figures(scores, made, LABELS)
    assert rows["single"]["mean"] == {"auc": 1.0, "found": 1.0}
    assert rows["0 dB"]["drums"] == {"auc": 1.0, "found": 1.0}
    assert rows["-20 dB"]["drums"] == {"auc": 0.0, "found": 0.0}  # below the score of the clean bass
    assert rows["0 dB"]["bass"] == {}  # bass never bleeds here


def test_bleed_has_its_level_and_comes_from_the_same_song(tmp_path) -> None:
    rng = np.random.default_rng(0)
    stems, audio = [], {}
    for track in ("one", "two"):
        for label in LABELS:
            name = f"{track}/{label}.wav"
            audio[name] = rng.standard_normal((44100 * 4, 2)) * 0.1
            stems.append(written(tmp_path, name, track, label, audio[name]))
    manifest = Manifest(created=Created(by="test", command="scan"), labels=list(LABELS), root=".", stems=stems)
    pool = StemPool.build(manifest, tmp_path, sample_rate=44100, cache=tmp_path / "cache", quiet=True)
    drawn = list(clips(pool, LABELS, 44100, 4))
    assert len(drawn) == 2 * 4 * (1 + len(bleed_by_ear.LEVELS_DB))
    clean = None
    for clip in drawn:
        if clip.bleed is None:
            clean = clip
            continue
        assert clean is not None
        assert clip.bleed != clip.label and clip.track == clean.track
        added = clip.waveform - clean.waveform
        level_db = 10 * np.log10(np.mean(added**2) / np.mean(clean.waveform**2))
        assert level_db == pytest.approx(clip.level_db, abs=0.1)


def written(folder, name: str, track: str, label: str, audio: np.ndarray) -> Stem:
    import soundfile

    path = folder / name
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, audio, 44100, subtype="FLOAT")
    return Stem(
        id=name.rsplit(".", 1)[0],
        track=track,
        path=name,
        sample_rate=44100,
        channels=2,
        num_samples=len(audio),
        claimed=[label],
        labels=[label],
    )
