"""Faults as sound and as a plan: they have the requested level and number."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemclean.data import corrupt as sound
from stemclean.data.faults import Fault, plan
from stemclean.errors import ConfigError
from stemclean.manifest import Stem
from stemclean.units import amplitude_to_db

RATE = 8000
LABELS = ["vocals", "bass", "drums", "other"]


def tone(hz: float, seconds: float = 4.0, peak: float = 0.2, channels: int = 2) -> np.ndarray:
    wave = peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    return np.tile(wave, (channels, 1)).astype(np.float32)


# Level and bleed


def test_a_level_is_measured_on_the_active_part() -> None:
    sparse = np.concatenate([tone(440, 4.0), np.zeros((2, 9 * RATE), np.float32)], axis=1)
    assert sound.level(sparse, RATE).rms == pytest.approx(sound.level(tone(440), RATE).rms)
    assert sound.level(sparse, RATE).active == pytest.approx(4.0)
    assert sound.level(sparse, RATE).share_within(8.0) == pytest.approx(0.5)


def test_a_click_does_not_move_the_level() -> None:
    clicked = tone(440, 20.0, peak=0.05)
    clicked[:, 20] = 1.0
    moved_db = amplitude_to_db(sound.level(clicked, RATE).rms / sound.level(tone(440, 20.0, peak=0.05), RATE).rms)
    assert abs(moved_db) < 0.2  # its energy spread over 20 s; a gate relative to the peak would be off by 20 dB


@given(level_db=st.floats(-40.0, 12.0), gap=st.floats(0.0, 3.0), length=st.floats(1.0, 9.0))
@settings(max_examples=30, deadline=None)
def test_a_bleed_has_the_requested_level(level_db: float, gap: float, length: float) -> None:
    stem = np.concatenate([np.zeros((2, round(gap * RATE)), np.float32), tone(440)], axis=1)
    donor = tone(1000, length, peak=0.7)
    added = sound.bleed(stem, donor, RATE, level_db)
    assert added.shape == stem.shape
    measured_db = amplitude_to_db(sound.level(added, RATE).rms / sound.level(stem, RATE).rms)
    # 0.02 dB: float32 at -40 dB; softer bleeds would meet the -70 dBFS gate. The frames of a gap's edge are
    # half silent and are weighed the same on both sides.
    assert measured_db == pytest.approx(level_db, abs=0.02)


def test_a_level_against_silence_is_undefined() -> None:
    silence = np.zeros((2, RATE), np.float32)
    with pytest.raises(ValueError, match="donor is silent"):
        sound.bleed(tone(440), silence, RATE, -3.0)
    with pytest.raises(ValueError, match="stem is silent"):
        sound.bleed(silence, tone(440), RATE, -3.0)


def test_intermittent_bleed_has_its_level_within_its_spans_only() -> None:
    stem, donor, spans = tone(440, 20.0), tone(1000, 20.0, peak=0.7), [(2.0, 5.2), (12.0, 16.0)]
    added = sound.bleed(stem, donor, RATE, -6.0, spans)
    audible = np.zeros(added.shape[1], bool)
    for start, end in spans:
        audible[round(start * RATE) : round(end * RATE)] = True
    assert not added[:, ~audible].any()
    steady = added[:, 3 * RATE : 5 * RATE]
    level_db = amplitude_to_db(float(np.sqrt(np.mean(steady**2)) / np.sqrt(np.mean(stem**2))))
    assert level_db == pytest.approx(-6.0, abs=0.01)  # float32
    assert np.abs(np.diff(added)).max() < 1.05 * np.abs(np.diff(steady)).max()  # no click at the edges


@given(
    cuts=st.lists(st.floats(0.0, 240.0), min_size=2, max_size=12, unique=True),
    share=st.floats(0.01, 1.2),
    seed=st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_spans_lie_on_active_sound_and_have_the_requested_length(cuts: list[float], share: float, seed: int) -> None:
    cuts = sorted(cuts)
    sounding = list(zip(cuts[::2], cuts[1::2], strict=False))
    total = sum(end - start for start, end in sounding)
    spans = sound.bleeding_spans(sounding, share * total, np.random.default_rng(seed))
    assert all(any(a <= start < end <= b + 1e-6 for a, b in sounding) for start, end in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    crumbs = 2 * sound.FADE * len(sounding)  # pieces that are all fade are left out, at most one an edge of a pause
    expected = min(1.0, share) * total
    assert expected - 2 * crumbs - 1e-6 <= sum(end - start for start, end in spans) <= expected + 1e-6


def test_stretches_last_from_a_few_seconds_to_half_a_minute_and_do_not_touch() -> None:
    for seed in range(50):
        spans = sound.bleeding_spans([(0.0, 240.0)], 96.0, np.random.default_rng(seed))
        assert sum(end - start for start, end in spans) == pytest.approx(96.0)
        # what is left for the last stretch may lengthen it by less than the shortest
        assert all(3.0 <= end - start <= 33.0 for start, end in spans)
        assert all(after[0] - before[1] >= 3.0 - 1e-6 for before, after in itertools.pairwise(spans))


def test_levels_of_parts_are_shares_of_the_power() -> None:
    half = np.concatenate([tone(1000, 2.0, peak=0.1), np.zeros((2, 2 * RATE), np.float32)], axis=1)
    levels_db = sound.levels_among({"bass": tone(440, 4.0, peak=0.2), "drums": half, "vocals": np.zeros_like(half)})
    # powers 0.02, and 0.005 half of the time: 8/9 and 1/9
    assert levels_db == {"bass": round(10 * np.log10(8 / 9), 1), "drums": round(10 * np.log10(1 / 9), 1)}
    assert sound.levels_among({}) == {}


@pytest.mark.parametrize("kind", sound.FOREIGN)
@pytest.mark.parametrize("channels", [1, 2])
def test_foreign_sound_has_the_requested_loudness_and_follows_the_seed(kind: str, channels: int) -> None:
    first, second = (
        sound.foreign(kind, (channels, 6 * RATE), RATE, 0.1, np.random.default_rng(seed)) for seed in (1, 2)
    )
    assert first.shape == (channels, 6 * RATE)
    assert first.dtype == np.float32
    assert sound.level(first, RATE).rms == pytest.approx(0.1, rel=1e-4)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, sound.foreign(kind, (channels, 6 * RATE), RATE, 0.1, np.random.default_rng(1)))


def test_near_silence_is_below_the_gate() -> None:
    hiss = sound.near_silence((2, RATE), -75.0, np.random.default_rng(0))
    assert amplitude_to_db(float(np.sqrt(np.mean(hiss**2)))) == pytest.approx(-75.0, abs=0.2)
    assert sound.level(hiss, RATE).rms == 0.0
    assert not sound.near_silence((2, RATE), None, np.random.default_rng(0)).any()


# Which stem gets what


def pool(num_songs: int, classes: list[str]) -> list[Stem]:
    return [
        Stem(
            id=f"{song}/{label}", track=str(song), path=f"{song}/{label}.wav", sample_rate=RATE, channels=2,
            num_samples=4 * RATE, claimed=[label], labels=[label],
        )
        for song in range(num_songs)
        for label in classes
    ]  # fmt: skip


def deal(
    stems: list[Stem],
    seed: int = 0,
    *,
    coincide: bool = False,
    bleed_share: tuple[float, float] | None = None,
    **nums: int,
) -> dict[str, Fault]:
    levels = {stem.id: sound.level(tone(440), RATE) for stem in stems}
    counts = {"mislabel": 0, "bleed": 0, "silence": 0, "foreign": 0} | nums
    random = np.random.default_rng(seed)
    return plan(stems, levels, LABELS, counts, (-20.0, 0.0), coincide, random, bleed_share)


@given(
    num_songs=st.integers(1, 6),
    classes=st.lists(st.sampled_from(LABELS), min_size=1, max_size=4, unique=True),
    share=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_the_requested_number_of_stems_is_mislabelled(
    num_songs: int, classes: list[str], share: float, seed: int
) -> None:
    stems = pool(num_songs, classes)
    expected = round(share * len(stems))
    faults = deal(stems, seed, mislabel=expected)
    wrong = [stem for stem in stems if faults[stem.id].claimed != stem.claimed[0]]
    assert len(wrong) == expected
    assert {stem.id for stem in wrong} == {name for name, fault in faults.items() if fault.kinds == ["swapped"]}


@pytest.mark.parametrize("expected", [2, 3, 4, 5, 7, 12, 13])
def test_claims_are_exchanged_within_the_song(expected: int) -> None:
    stems = pool(5, LABELS)
    faults = deal(stems, mislabel=expected)
    for song in {stem.track for stem in stems}:
        names = [stem.id for stem in stems if stem.track == song]
        assert sorted(faults[name].claimed for name in names) == sorted(LABELS)  # each name still occurs once


def test_a_stem_has_one_fault_and_a_donor_of_its_song() -> None:
    stems = {stem.id: stem for stem in pool(5, LABELS)}
    faults = deal(list(stems.values()), mislabel=5, bleed=6, silence=4, foreign=5)
    kinds = Counter("+".join(fault.kinds) for fault in faults.values())
    assert kinds == {"swapped": 5, "bleed": 6, "silence": 4, "foreign": 5}
    for name, fault in faults.items():
        if fault.donor:
            assert fault.donor.track == stems[name].track
            assert fault.donor.labels != stems[name].labels
            assert -20.0 <= fault.level_db <= 0.0


def test_faults_coincide_only_on_request() -> None:
    faults = deal(pool(5, LABELS), coincide=True, mislabel=20, bleed=20)
    assert {"+".join(fault.kinds) for fault in faults.values()} == {"swapped+bleed"}
    with pytest.raises(ConfigError, match="mislabel: 20 stems requested, but only 0 are suitable"):
        deal(pool(5, LABELS), mislabel=20, bleed=20)


def test_a_bleed_needs_a_second_class_in_the_song() -> None:
    with pytest.raises(ConfigError, match="bleed: 1 stems requested, but only 0 are suitable") as caught:
        deal(pool(5, ["drums"]), bleed=1)
    assert "another stem of a different class" in caught.value.hint


GOLDEN = {
    "0/vocals": ("vocals", "bleed", "0/bass", -2.529),
    "0/bass": ("other", "swapped", None, 0.0),
    "0/other": ("bass", "swapped", None, 0.0),
    "1/vocals": ("vocals", "silence", None, 0.0),
    "1/drums": ("drums", "bleed", "1/vocals", -19.895),
}


def test_seeds_give_the_same_plan_without_bleed_share() -> None:
    """Drawn by the version before the option existed: an optional draw may not move the others."""
    dealt = deal(pool(2, LABELS), 7, mislabel=2, bleed=2, silence=1)
    faults = {
        name: (fault.claimed, *fault.kinds, fault.donor.id if fault.donor else None, fault.level_db)
        for name, fault in dealt.items()
        if fault.kinds
    }
    assert faults == GOLDEN


def test_a_share_is_drawn_from_its_range() -> None:
    dealt = deal(pool(5, LABELS), bleed=8, bleed_share=(0.2, 0.6))
    shares = [fault.share for fault in dealt.values() if fault.donor]
    assert len(shares) == 8 and len(set(shares)) > 4
    assert all(share is not None and 0.2 <= share <= 0.6 for share in shares)
    assert {fault.share for fault in deal(pool(5, LABELS), bleed=8).values()} == {None}
