"""The pool gives back what the files hold, only their loud parts, and passes over what cannot be read."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from stemclean import layouts
from stemclean.data.pool import StemPool
from stemclean.errors import ConfigError

RATE = 22050


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    for track in ("one", "two"):
        (tmp_path / "stems" / track).mkdir(parents=True)
        for label in ("bass", "drums"):
            sound = rng.standard_normal((RATE * 6, 2)) * 0.1
            sound[RATE : 5 * RATE] = 0  # four seconds of silence in the middle
            soundfile.write(tmp_path / "stems" / track / f"{label}.wav", sound, RATE, subtype="PCM_16")
    (tmp_path / "stems" / "two" / "vocals.wav").write_text("this is no sound")
    return tmp_path / "stems"


def build(dataset, tmp_path, **options):
    manifest, folder = layouts.load(dataset)
    return StemPool.build(manifest, folder, sample_rate=RATE, cache=tmp_path / "cache", quiet=True, **options)


def test_it_holds_the_loud_parts_as_they_are(dataset, tmp_path):
    pool = build(dataset, tmp_path)
    assert {s.id for s in pool.stems} == {f"{t}/{c}" for t in ("one", "two") for c in ("bass", "drums")}
    for stem in pool.stems:
        assert stem.num_samples == pytest.approx(2 * RATE, abs=0.7 * RATE)  # the silence is gone, but for its pads
        source, _ = soundfile.read(dataset / f"{stem.id}.wav", dtype="float32")
        start = pool.segment(stem, 0, 1000)
        assert np.abs(start - source[:1000].T).max() < 2 / 32767  # 16 bits twice
        assert stem.rms == pytest.approx(0.1, rel=0.25)


def test_segments_end_in_zeros_and_random_ones_are_loud(dataset, tmp_path):
    pool = build(dataset, tmp_path)
    stem = pool.stems[0]
    tail = pool.segment(stem, stem.num_samples - 10, 100)
    assert tail.shape == (2, 100) and not tail[:, 10:].any() and tail[:, :10].any()
    piece = pool.random_segment(stem, 4096, np.random.default_rng(0))
    assert np.sqrt(np.mean(piece**2)) > 0.1 * stem.rms


def test_the_cache_is_used_again_and_renewed_when_the_files_change(dataset, tmp_path):
    first = build(dataset, tmp_path)
    before = sorted(path.name for path in (tmp_path / "cache").iterdir())
    again = build(dataset, tmp_path)
    assert again.stems == first.stems and sorted(p.name for p in (tmp_path / "cache").iterdir()) == before
    soundfile.write(dataset / "one" / "bass.wav", np.full((RATE * 3, 2), 0.25), RATE)
    assert build(dataset, tmp_path).stems != first.stems


def test_what_cannot_be_decoded_is_told(dataset, tmp_path):
    manifest, folder = layouts.load(dataset)
    (dataset / "one" / "drums.wav").unlink()
    pool = StemPool.build(manifest, folder, sample_rate=RATE, cache=tmp_path / "cache", quiet=True)
    assert [(skip.path, skip.reason) for skip in pool.skipped] == [("one/drums.wav", "not_found")]
    for path in dataset.rglob("*.wav"):
        path.unlink()
    with pytest.raises(ConfigError, match="could be decoded"):
        StemPool.build(manifest, folder, sample_rate=RATE, cache=tmp_path / "other", quiet=True)


def test_stems_without_checksums_are_told_apart_by_their_files(dataset, tmp_path):
    manifest, folder = layouts.load(dataset)
    unsigned = manifest.with_stems([stem.model_copy(update={"sha256": None}) for stem in manifest.stems])

    def levels(where):
        pool = StemPool.build(unsigned, where, sample_rate=RATE, cache=tmp_path / "cache", quiet=True)
        return [stem.rms for stem in pool.stems]

    first = levels(folder)
    assert levels(folder) == first and len(list((tmp_path / "cache").iterdir())) == 2
    for path in dataset.rglob("*.wav"):  # the same names elsewhere, with other sound
        if path.stem != "vocals":
            (tmp_path / "louder" / path.parent.name).mkdir(parents=True, exist_ok=True)
            sound, rate = soundfile.read(path)
            soundfile.write(tmp_path / "louder" / path.parent.name / path.name, sound * 2, rate, subtype="PCM_16")
    assert levels(tmp_path / "louder") == pytest.approx([2 * rms for rms in first], rel=0.01)  # 16 bits


def test_a_cache_without_its_audio_is_made_anew(dataset, tmp_path):
    first = build(dataset, tmp_path)
    for path in (tmp_path / "cache").glob("*.i16"):
        path.unlink()
    assert build(dataset, tmp_path).stems == first.stems
