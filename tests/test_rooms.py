"""Random rooms: late, reverberant, as loud as before; and where they are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stemclean.audio import files
from stemclean.corrupt import CorruptConfig, corrupt
from stemclean.data.mixing import MixingConfig, RandomMixer
from stemclean.data.pool import FULL_SCALE, PooledStem, StemPool
from stemclean.data.rooms import Room, draw_room

RATE = 16000
MILLISECOND = RATE // 1000


def rooms(number: int = 40) -> list[Room]:
    return [draw_room(RATE, np.random.default_rng(seed)) for seed in range(number)]


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sound = rng.standard_normal(round(seconds * RATE)) * 0.05
    return np.stack([sound, sound]).astype(np.float32)


def test_the_sound_arrives_after_the_delay_and_decays_in_the_reverberation_time():
    for room in rooms():
        start, response = round(room.delay * RATE), room.response[0]
        assert np.square(response[: start - MILLISECOND]).sum() < 0.02 * np.square(response).sum()
        early, late = (
            np.square(response[start + round(share * room.reverberation * RATE) :][: 20 * MILLISECOND]).sum()
            for share in (0.1, 0.6)
        )
        assert 10 * np.log10(early / late) == pytest.approx(30.0, abs=9.0)  # half of the 60 dB
    assert len({room.response.shape[1] for room in rooms()}) > 30


def test_a_room_keeps_length_and_loudness():
    sound = noise(1.0)
    for room in rooms(10):
        heard = room(sound)
        assert heard.shape == sound.shape
        assert heard.dtype == np.float32
        assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(np.mean(sound**2)), rel=1e-4)


def test_the_tilt_is_the_slope_of_the_spectrum():
    for room in rooms(20):
        power = np.square(np.abs(np.fft.rfft(room.response, 16384))).mean(0)
        octaves = [power[1024 * 2**k // 4 : 1024 * 2**k // 2].mean() for k in range(5)]  # 250 Hz to 8 kHz
        slope = np.polyfit(range(5), 10 * np.log10(octaves), 1)[0]
        assert slope == pytest.approx(room.tilt_db, abs=1.0)


def test_bleed_through_rooms_is_as_loud_as_a_copy_but_is_none(tmp_path: Path):
    for song in range(3):
        for index, label in enumerate(("vocals", "bass", "drums", "other")):
            files.write(tmp_path / "clean" / f"s{song}" / f"{label}.flac", noise(3.0, 10 * song + index), RATE)

    def planted(name: str, share: float) -> dict[str, tuple[dict, np.ndarray]]:
        settings = CorruptConfig(mislabel=0, bleed=0.5, bleed_db=(-6.0, 0.0), bleed_rooms=share, seed=3)
        truth = corrupt(tmp_path / "clean", tmp_path / name, settings, quiet=True)
        return {
            stem.path: (stem.extra["bleed"], files.read(tmp_path / name / stem.path))
            for stem in truth.stems
            if stem.extra["fault"] == "bleed"
        }

    dry, wet, half = planted("dry", 0.0), planted("wet", 1.0), planted("half", 0.5)
    assert dry.keys() == wet.keys() == half.keys()
    assert all("room" not in bleed for bleed, _ in dry.values())
    assert 0 < sum("room" in bleed for bleed, _ in half.values()) < len(half)
    for path, (bleed, audio) in wet.items():
        assert bleed["level_db"] == dry[path][0]["level_db"]
        assert 0.002 <= bleed["room"]["delay"] <= 0.015
        own = files.read(tmp_path / "clean" / path)
        added, copied = audio - own, dry[path][1] - own
        assert np.sqrt(np.mean(added**2)) == pytest.approx(np.sqrt(np.mean(copied**2)), rel=0.15)
        assert abs(np.corrcoef(added[0], copied[0])[0, 1]) < 0.3
    again = planted("again", 1.0)
    assert all(np.array_equal(audio, wet[path][1]) for path, (_, audio) in again.items())


def test_only_sources_after_the_first_come_through_a_room():
    pieces = [noise(4.0, seed) for seed in range(2)]
    stems = [
        PooledStem(label, label, (label,), index * 4 * RATE, 4 * RATE, 0.05, 1.0)
        for index, label in enumerate(("bass", "drums"))
    ]
    pool = StemPool(stems, (np.concatenate(pieces, 1).T * FULL_SCALE).astype(np.int16), RATE)
    settings = {"effects": "none", "noise_chance": 0, "empty_chance": 0, "quiet_chance": 1, "quiet_db": (-3, -3)}

    def examples(room_chance: float) -> list:
        mixing = MixingConfig(**settings, room_chance=room_chance)
        mixer = RandomMixer(pool, ["bass", "drums"], mixing, 8192, seed=0, level_dbfs=-20.0)
        return [mixer.example(number) for number in range(30)]

    for dry, wet in zip(examples(0.0), examples(1.0), strict=True):
        np.testing.assert_array_equal(dry.target, wet.target)
        if dry.target.sum() == 2:
            np.testing.assert_allclose(dry.levels_db, wet.levels_db, atol=0.1)
        assert (dry.target.sum() == 1) == (np.abs(dry.waveform - wet.waveform).max() < 1e-3)
