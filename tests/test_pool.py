"""The pool returns the active parts of files, and skips unreadable ones."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from stemclean import layouts
from stemclean.audio import files
from stemclean.audio.activity import active_regions
from stemclean.data import pool_cache
from stemclean.data.pool import StemPool
from stemclean.errors import ConfigError
from stemclean.manifest import Source

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


def test_the_pool_holds_the_active_parts_unchanged(dataset, tmp_path):
    pool = build(dataset, tmp_path)
    assert {s.id for s in pool.stems} == {f"{t}/{c}" for t in ("one", "two") for c in ("bass", "drums")}
    for stem in pool.stems:
        assert stem.num_samples == pytest.approx(2 * RATE, abs=0.7 * RATE)  # the silence is gone, but for its pads
        source, _ = soundfile.read(dataset / f"{stem.id}.wav", dtype="float32")
        start = pool.segment(stem, 0, 1000)
        assert np.abs(start - source[:1000].T).max() < 2 / 32767  # 16 bits twice
        assert stem.rms == pytest.approx(0.1, rel=0.25)


def test_segments_are_zero_padded_and_random_ones_active(dataset, tmp_path):
    pool = build(dataset, tmp_path)
    stem = pool.stems[0]
    tail = pool.segment(stem, stem.num_samples - 10, 100)
    assert tail.shape == (2, 100) and not tail[:, 10:].any() and tail[:, :10].any()
    piece = pool.random_segment(stem, 4096, np.random.default_rng(0))
    assert np.sqrt(np.mean(piece**2)) > 0.1 * stem.rms


def test_the_cache_is_reused_until_files_change(dataset, tmp_path):
    first = build(dataset, tmp_path)
    before = sorted(path.name for path in (tmp_path / "cache").iterdir())
    again = build(dataset, tmp_path)
    assert again.stems == first.stems and sorted(p.name for p in (tmp_path / "cache").iterdir()) == before
    soundfile.write(dataset / "one" / "bass.wav", np.full((RATE * 3, 2), 0.25), RATE)
    assert build(dataset, tmp_path).stems != first.stems


def test_undecodable_stems_are_reported(dataset, tmp_path):
    manifest, folder = layouts.load(dataset)
    (dataset / "one" / "drums.wav").unlink()
    pool = StemPool.build(manifest, folder, sample_rate=RATE, cache=tmp_path / "cache", quiet=True)
    assert [(skip.path, skip.reason) for skip in pool.skipped] == [("one/drums.wav", "not_found")]
    for path in dataset.rglob("*.wav"):
        path.unlink()
    with pytest.raises(ConfigError, match="could be decoded"):
        StemPool.build(manifest, folder, sample_rate=RATE, cache=tmp_path / "other", quiet=True)


def test_stems_without_checksums_are_distinguished_by_file(dataset, tmp_path):
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


def test_a_cache_without_its_audio_is_rebuilt(dataset, tmp_path):
    first = build(dataset, tmp_path)
    for path in (tmp_path / "cache").glob("*.i16"):
        path.unlink()
    assert build(dataset, tmp_path).stems == first.stems


def test_blocks_give_the_bytes_of_the_whole_file(dataset, tmp_path, monkeypatch):
    """With regions that were found, declared, or cut out before; at the file's rate and at another one."""
    monkeypatch.setattr(pool_cache, "BLOCK", 0.7)
    monkeypatch.setattr(pool_cache, "HELD_IN_MEMORY", 50_000)  # so that stems wait on disk for their turn
    manifest, folder = layouts.load(dataset)
    detected, declared, trimmed, other = manifest.stems[:4]
    declared = declared.model_copy(update={"active": [(0.25, 0.5), (0.9, 2.1), (5.5, 99.0)]})
    source = Source(path="x.wav", sha256="0" * 64, sample_rate=RATE, num_samples=RATE * 9)
    trimmed = trimmed.model_copy(update={"source": source, "active": [(1.0, 7.0)]})
    stems = [detected, declared, trimmed, other]
    for rate in (RATE, 16000):
        pool = StemPool.build(
            manifest.with_stems(stems), folder, sample_rate=rate, cache=tmp_path / str(rate), quiet=True
        )
        for stem, pooled in zip(stems, pool.stems, strict=True):
            whole = files.read(folder / stem.path, sample_rate=rate, channels=2)
            regions = [(0, whole.shape[1])] if stem is trimmed else active_regions(whole, rate)
            if stem is declared:
                regions = [(round(start * rate), round(end * rate)) for start, end in declared.active]
            kept = np.concatenate([whole[:, start:end] for start, end in regions], axis=1)
            expected = np.rint(kept * np.float32(32767 / pooled.scale)).astype(np.int16).T
            stored = pool.audio[pooled.start : pooled.start + pooled.num_samples]
            assert stored.shape == expected.shape and stored.tobytes() == expected.tobytes()
            assert pooled.rms == pytest.approx(
                np.sqrt(np.mean(np.square(expected * (pooled.scale / 32767)))), rel=1e-9
            )  # same numbers


def test_a_full_cache_evicts_the_least_recently_used(dataset, tmp_path):
    manifest, folder = layouts.load(dataset)
    cache = tmp_path / "cache"

    def build(rate, **limit):
        return StemPool.build(manifest, folder, sample_rate=rate, cache=cache, quiet=True, **limit)

    def sizes():
        return sorted(path.stat().st_size for path in cache.glob("*.i16"))

    first, second = build(8000), build(9000)
    small, middle = sizes()
    for age, path in enumerate(sorted(cache.glob("*.i16"), key=lambda p: p.stat().st_size)):  # the small one is older
        os.utime(path.with_suffix(".json"), (time.time() - 1000 + 100 * age,) * 2)
    assert pool_cache.prune(cache, 0) == []  # both are mapped
    piece = first.segment(first.stems[0], 0, 100)
    view = first.where([True] * len(first.stems))  # the same mapping
    del first
    gc.collect()
    assert pool_cache.prune(cache, 0) == [] and np.array_equal(view.segment(view.stems[0], 0, 100), piece)
    del view, second
    gc.collect()
    third = build(10000, limit_gb=(middle + 1.6 * middle) / 1e9)  # room for two
    assert len(sizes()) == 2 and small not in sizes() and middle in sizes()
    assert sorted(path.suffix for path in cache.iterdir()) == [".i16", ".i16", ".json", ".json"]
    again = build(9000)  # used now: the third one is older, though it was made later
    os.utime(next(p for p in cache.glob("*.json") if p.with_suffix(".i16").stat().st_size > middle), (1, 1))
    del third, again
    gc.collect()
    assert len(pool_cache.prune(cache, middle / 1e9)) == 1 and sizes() == [middle]


def test_only_the_default_cache_folder_is_pruned(dataset, tmp_path, monkeypatch):
    limits = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(pool_cache, "prune", lambda folder, limit_gb: limits.append((folder, limit_gb)))
    manifest, folder = layouts.load(dataset)
    for options in ({"cache": tmp_path / "mine"}, {}, {"limit_gb": 0.0}):
        StemPool.build(manifest, folder, sample_rate=8000, quiet=True, **options)
    usual = tmp_path / "stemclean" / "pools"
    assert limits == [(usual, 50.0), (usual, 0.0)]


def test_leftovers_of_a_killed_decoding_are_removed(dataset, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    killed = "import os, sys; from stemclean.disk import replacing\nwith replacing(sys.argv[1]) as half:\n"
    killed += "    half.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", killed, str(cache / "key.i16")], check=False)
    assert len(list(cache.iterdir())) == 1
    build(dataset, tmp_path)
    assert sorted(path.suffix for path in cache.iterdir()) == [".i16", ".json"]


def test_a_truncated_cache_is_rebuilt(dataset, tmp_path):
    first = build(dataset, tmp_path).stems
    gc.collect()
    for path in (tmp_path / "cache").glob("*.i16"):
        os.truncate(path, 1000)
    assert build(dataset, tmp_path).stems == first


def test_a_full_disk_is_reported_and_leaves_no_files(dataset, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pool_cache._Decoded, "pour", full)
    with pytest.raises(ConfigError, match=r"the disk is full after 0\.0 GB") as caught:
        build(dataset, tmp_path)
    assert "XDG_CACHE_HOME" in caught.value.hint and not list((tmp_path / "cache").iterdir())
