"""Random mixing: targets match the mixture, levels match the draw, and a seed determines the sound."""

from __future__ import annotations

import numpy as np
import pytest

from stemclean.data.augment import CHAINS, MILD, PAPER, equalizer_curve
from stemclean.data.mixing import REUSE_AMONG, MixingConfig, RandomMixer, _faster, _Source
from stemclean.data.pool import FULL_SCALE, PooledStem, StemPool
from stemclean.errors import ConfigError

RATE = 8000
SEGMENT = 8192
TONES = {"vocals": 440.0, "bass": 55.0, "drums": 2000.0, "other": 1100.0}
QUIET = {"effects": "none", "noise_chance": 0.0, "empty_chance": 0.0}


@pytest.fixture
def pool() -> StemPool:
    """One stem a class, a tone each, so that a mixture's spectrum tells what is in it; and a stem of two classes."""
    time = np.arange(RATE * 4) / RATE
    sounds = {(label,): np.sin(2 * np.pi * hz * time) for label, hz in TONES.items()}
    sounds[("bass", "drums")] = (sounds[("bass",)] + sounds[("drums",)]) / 2
    stems, pieces, at = [], [], 0
    for labels, sound in sounds.items():
        stems.append(
            PooledStem("+".join(labels), "t", labels, at, len(sound), float(np.sqrt(np.mean(sound**2)) * 0.5), 1.0)
        )
        pieces.append(np.stack([sound, sound], axis=1) * 0.5 * FULL_SCALE)
        at += len(sound)
    return StemPool(stems, np.concatenate(pieces).astype(np.int16), RATE)


def present_classes(waveform: np.ndarray) -> list[bool]:
    spectrum = np.abs(np.fft.rfft(waveform.mean(0) * np.hanning(waveform.shape[1])))
    bins = [round(hz * waveform.shape[1] / RATE) for hz in TONES.values()]
    powers = [spectrum[b - 1 : b + 2].max() for b in bins]
    return [power > 0.01 * max(powers) for power in powers]  # -40 dB: under the quietest source drawn


def test_the_target_is_the_union_of_active_classes(pool):
    mixer = RandomMixer(pool, list(TONES), MixingConfig(**QUIET), SEGMENT, seed=0, level_dbfs=-20)
    targets = []
    for number in range(200):
        waveform, target, *_ = mixer.example(number)
        assert present_classes(waveform) == list(target > 0.5)
        targets.append(target)
    assert np.sum(targets, axis=1).min() >= 1  # the empty draw is rejected
    assert np.mean(targets) == pytest.approx(0.55, abs=0.08)  # 0.533 by chance 0.5, more by the stem of two classes


def test_mixtures_have_the_requested_level(pool):
    mixer = RandomMixer(pool, list(TONES), MixingConfig(**QUIET, peak_db=(-3.0, 3.0)), SEGMENT, seed=1, level_dbfs=-20)
    levels = [20 * np.log10(np.sqrt(np.mean(mixer.example(number)[0] ** 2))) for number in range(50)]
    assert min(levels) > -23.01 and max(levels) < -16.99


def test_the_seed_determines_the_examples(pool):
    def first(seed):
        return RandomMixer(pool, list(TONES), MixingConfig(), SEGMENT, seed=seed).example(0)[0]

    assert np.array_equal(first(3), first(3))
    assert not np.array_equal(first(3), first(4))


@pytest.mark.parametrize("reuse", [1, 4])
def test_an_example_depends_on_its_number_alone(pool, reuse):
    """Whoever asks, in which order and for how many: another process, a run that goes on, in any block of numbers."""
    config = MixingConfig(reuse=reuse, effects="mild", same_song_chance=0.3, speed=(0.9, 1.1))

    def mixer():
        return RandomMixer(pool, list(TONES), config, SEGMENT, seed=(3, 0), level_dbfs=-20)

    numbers = [0, 5, REUSE_AMONG - 1, REUSE_AMONG, 3 * REUSE_AMONG + 7]
    once = {number: mixer().example(number) for number in numbers}
    again = mixer()
    for number in reversed(numbers):
        for first, second in zip(once[number], again.example(number), strict=True):
            assert second is first is None or np.array_equal(first, second, equal_nan=True)
    assert len({example.waveform.tobytes() for example in once.values()}) == len(numbers)


def test_a_processed_segment_is_reused_as_often_as_requested(pool, monkeypatch):
    """Over a block of numbers, on average; more rarely where the draw leaves a place out: 1 / e of them at reuse 1."""
    config = MixingConfig(**QUIET, reuse=4)
    drawn, made = [], []
    plain = RandomMixer._processed, RandomMixer._fresh
    monkeypatch.setattr(RandomMixer, "_processed", lambda *given: drawn.append(given[1]) or plain[0](*given))
    monkeypatch.setattr(RandomMixer, "_fresh", lambda *given: made.append(given[1]) or plain[1](*given))
    mixer = RandomMixer(pool, list(TONES), config, SEGMENT, seed=0)
    for number in range(2 * REUSE_AMONG):
        mixer.example(number)
    assert len(drawn) / len(made) == pytest.approx(4.2, abs=0.4)


def test_empty_examples_have_no_class(pool):
    waveform, target, *_ = RandomMixer(
        pool, list(TONES), MixingConfig(empty_chance=1.0), SEGMENT, seed=0, level_dbfs=-20
    ).example(0)
    assert target.sum() == 0 and np.isfinite(waveform).all() and np.abs(waveform).max() > 0.01


def test_reused_segments_get_new_partners_and_positions(pool):
    mixer = RandomMixer(pool, list(TONES), MixingConfig(**QUIET, reuse=8), SEGMENT, seed=0)
    examples = [mixer.example(number)[0] for number in range(40)]
    assert len({waveform.tobytes() for waveform in examples}) == 40


def test_levels_are_those_of_the_sources_in_the_mixture(pool):
    """Tones of different frequencies do not overlap: their level in the mixture can be read from its spectrum."""
    pool = pool.where([len(stem.labels) == 1 for stem in pool.stems])
    mixer = RandomMixer(pool, list(TONES), MixingConfig(**QUIET, reuse=1), SEGMENT, seed=2, level_dbfs=-20)
    compared = 0
    for number in range(60):
        waveform, target, levels_db, _ = mixer.example(number)
        assert np.isnan(levels_db[target == 0]).all()
        powers = np.abs(np.fft.rfft(waveform.mean(0) * np.hanning(waveform.shape[1]))) ** 2
        bins = [round(hz * waveform.shape[1] / RATE) for hz in TONES.values()]
        shares = np.array([powers[b - 3 : b + 4].sum() for b in bins]) / powers.sum()
        known = np.isfinite(levels_db)
        compared += int(known.sum())
        # panning and the window's sidelobes move a level by less than this
        assert np.allclose(10 * np.log10(shares[known]), levels_db[known], atol=0.5)
    assert compared > 60


def test_a_stem_of_two_classes_has_no_levels_of_its_own(pool):
    mixer = RandomMixer(pool, list(TONES), MixingConfig(**QUIET), SEGMENT, seed=0)
    sources = [_Source(("bass", "drums"), 0.5, None), _Source(("drums",), 0.5, None), _Source(("other",), 1.0, None)]
    example = mixer._example(np.ones((2, SEGMENT), np.float32), sources, mixer.rng(0))
    held = dict(zip(TONES, example.levels_db, strict=True))
    assert np.isnan([held["bass"], held["drums"], held["vocals"]]).all()
    assert held["other"] == pytest.approx(-3.01, abs=0.01)


def test_shares_of_cells_are_those_of_the_sources(pool):
    """Tones of different frequencies: nearly all power of a cell around a tone is its class's."""

    def thirds_of_time(waveform):  # (freq band around each tone, third of the time)
        pieces = np.array_split(waveform.mean(0), 3)
        spectra = [np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 8192)) ** 2 for piece in pieces]
        bins = [round(hz * 8192 / RATE) for hz in TONES.values()]
        return np.array([[s[b - 40 : b + 41].sum() for s in spectra] for b in bins], np.float32)

    single = pool.where([len(stem.labels) == 1 for stem in pool.stems])
    mixer = RandomMixer(
        single, list(TONES), MixingConfig(**QUIET, reuse=1, quiet_chance=0.0), SEGMENT, seed=2, cells=thirds_of_time
    )
    seen = 0
    for number in range(30):
        example = mixer.example(number)
        assert example.shares.shape == (len(TONES) + 1, len(TONES), 3) and example.shares.dtype == np.float32
        assert np.allclose(example.shares.sum(0), 1, atol=1e-5)
        for row in np.flatnonzero(example.target):
            seen += 1
            assert (example.shares[row, row] > 0.9).all()
    assert seen > 30
    mixed = mixer._example(
        np.ones((2, SEGMENT), np.float32),
        [_Source(("bass", "drums"), 0.5, np.ones((2, 2))), _Source(("other",), 1.0, np.ones((2, 2)))],
        mixer.rng(0),
    )
    assert np.isnan(mixed.shares).all()
    assert RandomMixer(single, list(TONES), MixingConfig(**QUIET), SEGMENT, seed=0).example(0).shares is None


def test_mixtures_of_one_song_and_of_many(pool):
    """Two songs of the same classes at other pitches: with same_song_chance = 1 none of them ever meets the other.

    A third one has a single class, and is no song to draw all sources from.
    """
    time = np.arange(RATE * 4) / RATE
    stems, pieces = [], []
    for song, shift in (("low", 1.0), ("high", 1.2)):
        for label, hz in TONES.items():
            sound = np.sin(2 * np.pi * hz * shift * time) * 0.5
            stems.append(PooledStem(f"{song}/{label}", song, (label,), len(pieces) * len(time), len(time), 0.35, 1.0))
            pieces.append(np.stack([sound, sound], axis=1) * FULL_SCALE)
    hum = np.sin(2 * np.pi * TONES["bass"] * 1.4 * time) * 0.5
    stems.append(PooledStem("lone/bass", "lone", ("bass",), len(pieces) * len(time), len(time), 0.35, 1.0))
    pieces.append(np.stack([hum, hum], axis=1) * FULL_SCALE)
    stems.append(PooledStem("low/noise", "low", ("unknown",), 0, len(time), 0.35, 1.0))  # of no class that is asked for
    songs = StemPool(stems, np.concatenate(pieces).astype(np.int16), RATE)

    def heard_songs(chance):
        config = MixingConfig(**QUIET, same_song_chance=chance, quiet_chance=0.0, reuse=1)
        mixer = RandomMixer(songs, list(TONES), config, SEGMENT, seed=3)
        present = []
        for number in range(40):
            spectrum = np.abs(np.fft.rfft(mixer.example(number).waveform.mean(0) * np.hanning(SEGMENT)))

            def sounds(hz, spectrum=spectrum):
                bin_ = round(hz * SEGMENT / RATE)
                return spectrum[bin_ - 1 : bin_ + 2].max() > 0.05 * spectrum.max()

            present.append([any(sounds(hz * shift) for hz in TONES.values()) for shift in (1.0, 1.2)])
        return np.array(present)

    together = heard_songs(1.0)
    assert (together.sum(1) == 1).all() and together.any(0).all()
    assert heard_songs(0.0).all(1).any()


def test_faster_is_higher_and_normal_speed_changes_nothing():
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE + 2) / RATE)[None].astype(np.float32)
    assert np.array_equal(_faster(tone, 1.0, 1000), tone[:, :1000])
    spectrum = np.abs(np.fft.rfft(_faster(tone, 1.1, int(RATE / 1.2))[0]))
    assert np.argmax(spectrum) * 1.2 == pytest.approx(550, abs=2)


@pytest.mark.parametrize("name", sorted(CHAINS))
def test_chains_keep_shape_and_stay_finite(name):
    rng = np.random.default_rng(0)
    sound = (rng.standard_normal((2, 44100)) * 0.1).astype(np.float32)
    chain = CHAINS[name]
    for _ in range(8):
        out = sound if chain is None else chain(sound, 44100, rng)
        assert out.shape == sound.shape and out.dtype == np.float32 and np.isfinite(out).all()
    silent = np.zeros((2, 1000), np.float32)
    assert chain is None or np.isfinite(chain(silent, 44100, rng)).all()


def test_effects_match_their_names():
    """Physics of each effect alone: a compressor lowers the crest, a low-pass removes highs, imaging the side."""
    rng = np.random.default_rng(0)
    burst = (rng.standard_normal((2, 44100)) * np.repeat([0.02, 0.5], 22050)).astype(np.float32)
    squashed = PAPER._compress(burst, 44100, np.random.default_rng(1))
    ratio = lambda x: np.std(x[:, 30000:]) / np.std(x[:, :20000])  # noqa: E731
    assert ratio(squashed) < 0.7 * ratio(burst)
    dull = MILD._band_limit(burst, 44100, np.random.default_rng(1))
    highs = lambda x: np.sum(np.abs(np.fft.rfft(x[0]))[18000:] ** 2)  # noqa: E731
    assert highs(dull) < 0.5 * highs(burst)
    mono = np.repeat(burst[:1], 2, axis=0)
    assert np.allclose(MILD._image(mono, 44100, rng)[0], MILD._image(mono, 44100, rng)[1], atol=1e-6)


def test_equalizer_curve_is_smooth_and_cuts_above_a_limit():
    frequencies = np.linspace(20, 22050, 512)
    rng = np.random.default_rng(0)
    plain = equalizer_curve(frequencies, rng, lowpass_chance=0.0)
    assert np.abs(np.diff(plain)).max() < 2 and np.abs(plain).max() < 20
    limited = equalizer_curve(frequencies, rng, lowpass_chance=1.0)
    assert limited[-1] < -40


def test_unknown_effects_and_missing_classes_are_refused(pool):
    with pytest.raises(ConfigError, match=r'mixing\.effects is "loud"; it must be "paper", "mild" or "none"'):
        MixingConfig(effects="loud")
    with pytest.raises(ConfigError, match="no stem holds"):
        RandomMixer(pool, ["kazoo"], MixingConfig(), SEGMENT, seed=0)
