"""Level gating: loud parts stay, silent parts are cut, single clicks do not count, and gating twice changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemclean.audio.activity import FRAME_LENGTH, MIN_GAP, PAD, active_regions, frame_samples, levels, regions_of
from stemclean.audio.splicing import splice, subregions
from stemclean.errors import ConfigError
from stemclean.units import db_to_amplitude

RATE = 8000
FRAME = frame_samples(RATE)


def tone(seconds: float, peak: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (peak * np.sin(2 * np.pi * 440 * time))[None].astype(np.float32)


def pieces(*parts: tuple[float, float]) -> np.ndarray:
    """Tones one after the other, each with seconds and peak."""
    return np.concatenate([tone(*part) for part in parts], axis=1)


def seconds(regions: list[tuple[int, int]]) -> list[tuple[float, float]]:
    return [(start / RATE, end / RATE) for start, end in regions]


def test_silence_is_cut_except_for_the_pads() -> None:
    regions = seconds(active_regions(pieces((2, 0.5), (3, 0), (2, 0.5), (2, 0)), RATE))
    assert regions == [(0.0, 2 + PAD), (5 - PAD, 7 + PAD)]


def test_a_pause_shorter_than_the_gap_stays() -> None:
    short = pieces((1, 0.5), (MIN_GAP - 2 * FRAME_LENGTH, 0), (1, 0.5))
    assert active_regions(short, RATE) == [(0, short.shape[1])]
    assert len(active_regions(pieces((1, 0.5), (MIN_GAP + FRAME_LENGTH, 0), (1, 0.5)), RATE)) == 2


@pytest.mark.parametrize(("below_db", "stays"), [(29.0, True), (31.0, False)])
def test_the_first_pass_is_relative(below_db: float, stays: bool) -> None:
    for peak in (0.9, 0.1):
        sound = pieces((2, peak), (2, peak * db_to_amplitude(-below_db)))
        expected = sound.shape[1] / RATE if stays else 2 + PAD
        assert seconds(active_regions(sound, RATE)) == [(0.0, pytest.approx(expected))]


@pytest.mark.parametrize(("level_dbfs", "stays"), [(-59.0, True), (-61.0, False)])
def test_the_second_pass_is_absolute(level_dbfs: float, stays: bool) -> None:
    """Hiss alone lies within 30 dB of itself: only the level tells that the stem is almost silent."""
    noise = np.random.default_rng(0).standard_normal((2, 4 * RATE)).astype(np.float32) * db_to_amplitude(level_dbfs)
    assert bool(active_regions(noise, RATE)) is stays
    assert active_regions(noise, RATE, second_db=90.0) == [(0, 4 * RATE)]


def test_one_click_does_not_silence_a_quiet_stem() -> None:
    quiet = tone(4.0, peak=0.01)
    clicked = quiet.copy()
    clicked[0, 20] = 1.0
    assert active_regions(clicked, RATE) == [(0, 4 * RATE)]
    by_the_letter = active_regions(clicked, RATE, detector="peak")
    assert by_the_letter[-1][1] < RATE  # the paper's own rule keeps the click and nothing else
    assert active_regions(quiet, RATE, detector="peak") == [(0, 4 * RATE)]


def test_a_click_in_silence_is_not_active() -> None:
    """RMS over 400 samples puts a lone sample 26 dB down; at half of the tone's peak it falls below the gate."""
    sound = pieces((2, 0.5), (4, 0), (2, 0.5))
    sound[0, 4 * RATE] = 0.2
    assert len(active_regions(sound, RATE)) == 2


def test_digital_silence_and_nothing_have_no_regions() -> None:
    for length in (0, 1, FRAME, 5 * RATE):
        assert active_regions(np.zeros((2, length), np.float32), RATE) == []
        assert active_regions(np.zeros((2, length), np.float32), RATE, detector="peak") == []


def test_a_sound_shorter_than_a_frame_is_kept() -> None:
    assert active_regions(tone(0.01), RATE) == [(0, 80)]


def test_sound_in_one_channel_is_active() -> None:
    sound = np.concatenate([tone(2.0), 0 * tone(2.0)])
    assert active_regions(sound, RATE) == active_regions(sound[::-1], RATE) == [(0, 2 * RATE)]


@given(cuts=st.lists(st.integers(1, 4 * RATE - 1), max_size=8))
def test_block_length_does_not_change_the_regions(cuts: list[int]) -> None:
    sound = np.random.default_rng(1).standard_normal((2, 4 * RATE - 123)).astype(np.float32)
    parts = np.split(sound, sorted(set(cuts)), axis=1)
    whole, in_parts = levels(sound, RATE), levels(iter(parts), RATE)
    assert np.array_equal(whole.peak, in_parts.peak)
    np.testing.assert_allclose(whole.rms, in_parts.rms, rtol=1e-12)  # sums in another order
    assert whole.num_samples == in_parts.num_samples


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.floats(0.02, 2.5), st.sampled_from([0.0, 1e-4, 0.003, 0.02, 0.3, 0.9])), min_size=1, max_size=7
    ),
    seed=st.integers(0, 5),
)
def test_gating_twice_removes_nothing_more(parts: list[tuple[float, float]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sound = np.concatenate(
        [peak * rng.standard_normal((2, round(length * RATE))) for length, peak in parts], axis=1
    ).astype(np.float32)
    regions = active_regions(sound, RATE)
    if not regions:
        return
    joined = np.concatenate(list(splice(sound, regions, sound.shape[1], round(0.01 * RATE))), axis=1)
    assert joined.shape[1] == sum(end - start for start, end in regions)
    assert active_regions(joined, RATE) == [(0, joined.shape[1])]


def test_pads_that_would_meet_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"a pad of 0\.5 s needs a min_gap of more than 1 s"):
        regions_of(levels(tone(1.0), RATE), min_gap=1.0, pad=0.5)


class TestSplice:
    """Joins cost no sample and make no click."""

    sound = np.arange(1000, dtype=np.float32)[None].repeat(2, axis=0)

    def joined(self, regions: list[tuple[int, int]], fade: int, block: int = 64) -> np.ndarray:
        parts = np.split(self.sound, range(block, 1000, block), axis=1)
        return np.concatenate(list(splice(iter(parts), regions, 1000, fade)), axis=1)

    def test_splicing_the_whole_file_changes_nothing(self) -> None:
        assert np.array_equal(self.joined([(0, 1000)], 20), self.sound)

    @pytest.mark.parametrize("block", [1, 7, 64, 1000])
    def test_samples_keep_their_place_outside_the_fades(self, block: int) -> None:
        regions = [(0, 200), (400, 450), (600, 1000)]
        joined = self.joined(regions, 20, block)
        expected = np.concatenate([self.sound[:, start:end] for start, end in regions], axis=1)
        assert joined.shape == expected.shape
        near = np.zeros(joined.shape[1], bool)
        for join in (200, 250):
            near[join - 10 : join + 10] = True
        assert np.array_equal(joined[:, ~near], expected[:, ~near])

    def test_fades_have_equal_power_and_use_dropped_sound(self) -> None:
        noise = np.random.default_rng(0).standard_normal((1, 200_000)).astype(np.float32)
        joined = np.concatenate(list(splice(noise, [(0, 50_000), (100_000, 200_000)], 200_000, 20_000)), axis=1)
        # 20 000 samples of noise: the RMS is known to half a percent.
        assert np.sqrt(np.mean(joined[0, 40_000:60_000] ** 2)) == pytest.approx(1.0, abs=0.02)

    def test_a_join_peaks_no_higher_than_its_parts(self) -> None:
        """In equal power, the middle would be 1.41; a softer one has equal power."""
        for level, middle in ((1.0, 1.0), (0.5, 0.5 * np.sqrt(2)), (1.2, 1.2)):
            sound = np.full((1, 2000), level, np.float32)
            joined = np.concatenate(list(splice(sound, [(0, 800), (1200, 2000)], 2000, 200)), axis=1)[0]
            assert joined[800] == pytest.approx(middle, abs=1e-3)
            assert np.abs(joined).max() == pytest.approx(middle, abs=1e-3)

    def test_only_cut_ends_are_faded(self) -> None:
        ones = np.ones((1, 1000), np.float32)
        joined = np.concatenate(list(splice(ones, [(300, 700)], 1000, 20)), axis=1)[0]
        assert joined[0] < 0.1 > joined[-1]
        assert (joined[10:-10] == 1.0).all()
        assert (np.concatenate(list(splice(ones, [(0, 1000)], 1000, 20)), axis=1) == 1.0).all()

    def test_a_tone_has_no_click_at_a_join(self) -> None:
        sound = pieces((3, 0.5), (3, 0.01), (3, 0.5))
        joined = np.concatenate(list(splice(sound, [(0, 12345), (50000, 72000)], 72000, 80)), axis=1)[0]
        steepest = np.abs(np.diff(sound[0])).max()
        # Two tones of unknown phase may add: twice the steepest step, no more.
        assert np.abs(np.diff(joined[12345 - 50 : 12345 + 50])).max() < 2 * steepest

    @given(st.data())
    def test_subregions_name_the_samples(self, data: st.DataObject) -> None:
        def regions(length: int) -> list[tuple[int, int]]:
            edges = sorted(data.draw(st.sets(st.integers(0, length), max_size=8)))
            return list(zip(edges[::2], edges[1::2], strict=False))

        line = np.arange(1000)
        outer = regions(1000)
        once = np.concatenate([line[:0], *(line[start:end] for start, end in outer)])
        inner = regions(len(once))
        twice = np.concatenate([line[:0], *(once[start:end] for start, end in inner)])
        direct = np.concatenate([line[:0], *(line[start:end] for start, end in subregions(outer, inner))])
        assert np.array_equal(direct, twice)
