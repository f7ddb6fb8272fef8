"""Two channels with one sound are found, processed as mono and restored; other stereo is unchanged."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from stemclean.audio import files, stereo
from stemclean.audio.stereo import ChannelMeter, mended, restored
from stemclean.checks import Sound, of_sound
from stemclean.data.pool import StemPool
from stemclean.layouts import load

RATE = 8000


def noise(seconds, seed=0, level=0.1):
    return level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def measured(*channels):
    meter, sound = ChannelMeter(RATE), np.array(channels, np.float32)
    for part in np.split(sound, [1000, 5555], axis=1):  # blocks of any length
        meter.add(part)
    return meter.faults(), sound


X = noise(8)
OTHER = noise(8, seed=1)


@pytest.mark.parametrize(
    ("soft", "kind"),
    [
        (0.0 * X, "digital silence"),
        (0.05 * X, "a faint copy, 26 dB down"),
        (0.05 * OTHER, "hiss, 26 dB down"),
        (np.full_like(X, 0.3), "an offset that is louder than the sound"),
        (0.3 + 0.01 * OTHER, "hiss on an offset"),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_silent_channel_gets_the_other_one(soft, kind, side):
    faults, sound = measured(*((X, soft) if side == "left" else (soft, X)))
    ((fault,),) = (faults.faults,)
    assert (fault.kind, fault.start, fault.end) == (side, 0.0, 8.0), kind
    (repaired,) = mended([sound], faults, RATE)
    assert np.allclose(repaired, [X, X], atol=1e-6), kind
    assert [issue.code for issue in of_sound(Sound(faults))] == ["one_sided"]


@pytest.mark.parametrize(("left", "right"), [(X, -X), (X, -0.5 * X), (0.9 * X, -0.9 * X + 0.2 * OTHER)])
def test_opposite_channels_are_inverted(left, right):
    faults, sound = measured(left, right)
    assert [(fault.kind, fault.start, fault.end) for fault in faults.faults] == [("inverted", 0.0, 8.0)]
    (repaired,) = mended([sound], faults, RATE)
    assert np.array_equal(repaired[0], sound[0]) and np.allclose(repaired[1], -sound[1], atol=1e-7)
    (back,) = restored([repaired], faults, RATE)
    assert np.allclose(back, sound, atol=1e-7)
    assert [issue.code for issue in of_sound(Sound(faults))] == ["polarity_inverted"]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (X, X),
        (X, OTHER),  # as wide as can be
        (X, 0.2 * X),  # panned, 14 dB
        (X, np.roll(X, 80)),  # one channel comes 10 ms later
        (X + 0.5 * OTHER, -X + 1.5 * OTHER),  # wider than wide: correlation -0.1
        (np.where(np.arange(len(X)) < 2 * RATE, 0, X), X),  # two seconds are no stretch
    ],
)
def test_other_stereo_is_unchanged(left, right):
    faults, sound = measured(left, right)
    assert not faults and of_sound(Sound(faults)) == []
    assert next(mended([sound], faults, RATE)) is sound


def test_only_the_faulty_span_is_changed():
    """Left alone, a pause with hiss in both channels, both, right alone: to half a second, with fades."""
    hiss = 1e-4
    left = np.concatenate([noise(6, 2), hiss * noise(2, 3), noise(6, 4), hiss * noise(6, 5)])
    right = np.concatenate([hiss * noise(6, 6), hiss * noise(2, 7), noise(6, 8), noise(6, 9)])
    faults, sound = measured(left, right)
    first, second = faults.faults
    assert (first.kind, first.start) == ("left", 0.0) and 5.4 <= first.end <= 8.0
    assert (second.kind, second.end) == ("right", 20.0) and 14.0 <= second.start <= 14.6
    parts = list(mended(np.split(sound, [12345, 100_000], axis=1), faults, RATE))
    repaired = np.concatenate(parts, axis=1)
    assert np.array_equal(repaired[:, 8 * RATE : 14 * RATE], sound[:, 8 * RATE : 14 * RATE])
    assert np.allclose(repaired[0, : 5 * RATE], repaired[1, : 5 * RATE], atol=1e-6)
    assert np.allclose(repaired[0, 15 * RATE :], sound[1, 15 * RATE :], atol=1e-6)
    (back,) = restored([repaired], faults, RATE)
    away = np.abs(np.arange(sound.shape[1]) / RATE - second.start) > 2 * stereo.FADE
    assert np.allclose(back[:, away], sound[:, away], atol=1e-3)  # but for hiss, and for a fade amid sound
    assert "s: used as mono" in of_sound(Sound(faults))[0].detail


def test_a_downmix_keeps_opposite_channels(tmp_path):
    for name, sound in (("inverted", [X, -X]), ("left", [X, 0 * X]), ("mono", [X])):
        soundfile.write(tmp_path / f"{name}.wav", np.transpose(sound), RATE, subtype="PCM_24")
    mono = files.read(tmp_path / "mono.wav")
    for name in ("inverted", "left", "mono"):
        (repaired,) = stereo.blocks(tmp_path / f"{name}.wav", sample_rate=RATE, channels=1)
        assert np.allclose(repaired, mono, atol=1e-6), name


@pytest.mark.parametrize("channels", [1, 2])
def test_training_uses_them_as_mono(tmp_path, channels):
    """In a pool, stems of one channel, left-only, inverted, soft and beyond full scale are one sound."""
    for name, gain, sound in (
        ("vocals", 1.0, [X]),
        ("bass", 1.0, [X, 0 * X]),
        ("drums", 1.0, [X, -X]),
        ("other", 0.01, [X]),
        ("piano", 8.0, [X]),
    ):
        path = tmp_path / "in" / "song" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, gain * np.transpose(sound), RATE, subtype="FLOAT")
    manifest, folder = load(tmp_path / "in", quiet=True)
    pool = StemPool.build(manifest, folder, sample_rate=RATE, channels=channels, cache=tmp_path / "cache", quiet=True)
    assert len(pool.stems) == 5
    for stem in pool.stems:
        gain = {"song/other": 0.01, "song/piano": 8.0}.get(stem.id, 1.0)
        segment = pool.segment(stem, 0, stem.num_samples) / gain
        assert segment == pytest.approx(np.tile(X, (channels, 1)), abs=2 * 0.5 / 32767)
        assert stem.rms / gain == pytest.approx(0.1, rel=0.02)
    kept = StemPool.build(
        manifest,
        folder,
        sample_rate=RATE,
        channels=2,
        cache=tmp_path / "cache",
        in_time=[stem.id for stem in manifest.stems],
        quiet=True,
    )
    (drums,) = (stem for stem in kept.stems if stem.id == "song/drums")
    left, right = kept.segment(drums, 0, drums.num_samples)
    assert np.allclose(left, -right)
