"""Sources of mixtures: regions cut stems, mixtures are sums, shared sources are known only together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemclean.audio.loudness import integrated_lufs
from stemclean.data.pool import PooledStem, StemPool
from stemclean.data.pool_cache import FULL_SCALE
from stemclean.data.sources import SourceMixer, SourceMixing, cut_to_regions, pieces, trusted
from stemclean.errors import ConfigError
from stemclean.manifest import Created, Manifest, Region, Source, Stem, Verdict

RATE = 1000
LOUDNESS_RATE = 4000  # loudness has a shelf at 1.7 kHz, which must lie below half the rate
LABELS = ("vocals", "bass", "drums", "other")


def stem(name, labels, seconds=10.0, **fields):
    return Stem(
        id=name,
        track=fields.pop("track", name),
        path=f"{name}.wav",
        sample_rate=RATE,
        channels=2,
        num_samples=round(seconds * RATE),
        claimed=fields.pop("claimed", labels),
        labels=labels,
        **fields,
    )


def manifest(*stems):
    return Manifest(created=Created(by="test", command="test"), labels=list(LABELS), stems=list(stems))


def pool(*entries, rate=RATE):
    """``(id, labels, int16 samples)`` each; both channels alike."""
    at, stems, sounds = 0, [], []
    for name, labels, sound in entries:
        rms = float(np.sqrt(np.mean((sound / 32767) ** 2)))
        stems.append(PooledStem(name, name, tuple(labels), at, len(sound), rms, 1.0))
        sounds.append(np.stack([sound, sound], 1).astype(np.int16))
        at += len(sound)
    return StemPool(stems, np.concatenate(sounds), rate)


def regions(*spans):
    return [Region(start=start, end=end, labels=labels) for start, end, labels in spans]


class TestTrusted:
    def test_trusted_labels_are_used(self):
        drop = Verdict(action="drop", reason="no_class", label_quality=0.0)
        data = manifest(
            stem("good", ["drums"]),
            stem("relabelled", ["bass"], claimed=["drums"]),
            stem("dropped", [], claimed=["drums"], verdict=drop),
            stem("test", ["drums"], split="test"),
        )
        assert [s.id for s in trusted(data).stems] == ["good", "relabelled"]
        claimed = trusted(data, use_claimed=True)
        assert {s.id: s.labels for s in claimed.stems} == {
            "good": ["drums"],
            "relabelled": ["drums"],
            "dropped": ["drums"],
        }

    def test_a_stem_with_only_regions_is_active_in_them(self):
        spans = regions((1, 3, ["drums"]), (3, 4, ["drums", "bass"]), (6, 7, ["bass"]))
        (trusted_stem,) = trusted(manifest(stem("a", ["drums", "bass"], regions=spans))).stems
        assert trusted_stem.active == [(1, 4), (6, 7)]


class TestRegions:
    def test_a_stem_with_temporary_bleed_is_single_elsewhere(self):
        spans = regions((0, 4, ["drums"]), (4, 6, ["drums", "vocals"]), (6, 10, ["drums"]))
        bleeding = stem("a", ["drums", "vocals"], regions=spans, active=[(0.0, 10.0)])
        sound = np.repeat(np.arange(10) * 100, RATE)  # its value tells the second
        pieces = cut_to_regions(pool(("a", bleeding.labels, sound)), manifest(bleeding)).stems
        assert [(p.labels, p.start, p.num_samples) for p in pieces] == [
            (("drums",), 0, 4000),
            (("drums", "vocals"), 4000, 2000),
            (("drums",), 6000, 4000),
        ]
        assert pieces[1].rms == pytest.approx(np.sqrt((400**2 + 500**2) / 2) / 32767, rel=1e-6)

    def test_file_times_become_pool_positions(self):
        """Silence from 2 to 5 s is not in the pool; what stands at 6 s in the file stands at 3 s there."""
        spans = regions((0, 2, ["drums"]), (5, 6, ["drums"]), (6, 9, ["bass"]))
        mixed = stem("a", ["drums", "bass"], regions=spans, active=[(0.0, 2.0), (5.0, 9.0)])
        pieces = cut_to_regions(pool(("a", mixed.labels, np.arange(6000))), manifest(mixed)).stems
        assert [(p.labels, p.start, p.num_samples) for p in pieces] == [
            (("drums",), 0, 3000),  # across the gap
            (("bass",), 3000, 3000),
        ]

    def test_a_trimmed_file_is_cut_at_its_own_times(self):
        origin = Source(path="long.wav", sample_rate=RATE, num_samples=60 * RATE)
        spans = regions((0, 4, ["drums"]), (4, 10, ["bass", "drums"]))
        trimmed = stem("a", ["drums", "bass"], regions=spans, source=origin, active=[(20.0, 30.0)])
        pieces = cut_to_regions(pool(("a", trimmed.labels, np.arange(10000))), manifest(trimmed)).stems
        assert [(p.labels, p.start, p.num_samples) for p in pieces] == [
            (("drums",), 0, 4000),
            (("drums", "bass"), 4000, 6000),
        ]

    def test_unknown_and_short_pieces_are_left_out(self):
        spans = regions((0, 4, ["drums"]), (4, 6, []), (6, 6.5, ["bass"]), (6.5, 10, ["drums", "bass"]))
        mixed = stem("a", ["drums", "bass"], regions=spans, active=[(0.0, 10.0)])
        single = stem("b", ["bass"], regions=regions((0, 1, ["bass"]), (1, 10, [])), active=[(0.0, 10.0)])
        both = pool(("a", mixed.labels, np.arange(10000)), ("b", single.labels, np.arange(10000)))
        pieces = cut_to_regions(both, manifest(mixed, single)).stems
        assert [(p.id, p.labels, p.num_samples) for p in pieces] == [
            ("a", ("drums",), 4000),
            ("a", ("drums", "bass"), 3500),
            ("b", ("bass",), 10000),
        ]

    def test_pieces_of_a_stem_of_several_classes(self):
        """Cut it gives its stretches, whole itself; where only single classes train, not even its clean stretches."""
        spans = regions((0, 4, ["drums"]), (4, 10, ["drums", "bass"]))
        mixed, single = stem("a", ["bass", "drums"], regions=spans, active=[(0.0, 10.0)]), stem("b", ["bass"])
        both = pool(("a", mixed.labels, np.arange(10000)), ("b", single.labels, np.arange(10000)))
        pieces_by_setting = {
            mixing: [(p.id, p.labels, p.num_samples) for p in pieces(both, manifest(mixed, single), mixing).stems]
            for mixing in (
                SourceMixing(),
                SourceMixing(whole_stems=True),
                SourceMixing(multi_label_probability=0.0),
                SourceMixing(multi_label_probability=0.0, whole_stems=True),
            )
        }
        cut, whole, alone, alone_of_whole = pieces_by_setting.values()
        assert cut == [("a", ("drums",), 4000), ("a", ("bass", "drums"), 6000), ("b", ("bass",), 10000)]
        assert whole == [("a", ("bass", "drums"), 10000), ("b", ("bass",), 10000)]
        assert alone == alone_of_whole == [("b", ("bass",), 10000)]

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(1, 4000), st.sampled_from([(), ("a",), ("b",), ("a", "b")])), max_size=12))
    def test_pieces_do_not_overlap_and_match_their_regions(self, runs):
        spans, at = [], 0
        for length, labels in runs:
            spans.append((at / RATE, (at + length) / RATE, list(labels)))
            at += length
        mixed = Stem(
            id="x", track="x", path="x.wav", sample_rate=RATE, channels=2, num_samples=max(at, 1), claimed=["a"],
            labels=["a", "b"], regions=regions(*spans), active=[(0.0, max(at, 1) / RATE)],
        )  # fmt: skip
        whole = Manifest(created=Created(by="test", command="test"), labels=["a", "b"], stems=[mixed])
        pieces = cut_to_regions(pool(("x", mixed.labels, np.ones(max(at, 1)))), whole, min_piece=0.0).stems
        if not spans:
            assert [p.num_samples for p in pieces] == [1]
            return
        truth = np.concatenate([[LABEL_SETS.index(labels)] * length for length, labels in runs])
        seen = np.zeros(at, int)
        for piece in pieces:
            assert not seen[piece.start : piece.start + piece.num_samples].any()
            seen[piece.start : piece.start + piece.num_samples] = LABEL_SETS.index(piece.labels)
        np.testing.assert_array_equal(seen, truth)


LABEL_SETS = [(), ("a",), ("b",), ("a", "b")]


@pytest.fixture(scope="module")
def four():
    """One stem per class and one of bass and drums, each a noise of its own."""
    rng = np.random.default_rng(0)
    entries = [(label, [label], rng.integers(-3000, 3000, 32000)) for label in LABELS]
    return pool(*entries, ("both", ["drums", "bass"], rng.integers(-3000, 3000, 32000)), rate=LOUDNESS_RATE)


def mixer(sounds, segment=8000, labels=LABELS, **config):
    return SourceMixer(sounds, labels, SourceMixing(**config), segment, seed=(1,))


class TestMixtures:
    def test_one_gain_brings_the_mixture_to_its_loudness(self, four):
        for number in range(5):
            sources = mixer(four, gain_db=(-12.0, 6.0)).example(number)
            assert integrated_lufs(sources.targets.sum(0), LOUDNESS_RATE) == pytest.approx(
                -14.0, abs=0.01
            )  # float32 sums
        loud = mixer(four, loudness_lufs=-20.0, multi_label_probability=0.0).example(0).targets
        plain = mixer(four, loudness_lufs=-14.0, multi_label_probability=0.0).example(0).targets
        np.testing.assert_allclose(loud * 10 ** (6 / 20), plain, rtol=1e-5)  # the ratio of sources is kept

    def test_a_mixture_too_short_for_a_loudness_is_left_alone(self, four):
        sources = mixer(four, segment=1200, multi_label_probability=0.0).example(0)  # 0.3 s
        assert np.abs(sources.targets).max() == pytest.approx(3000 / 32767, rel=0.02)

    def test_shared_sources_have_the_requested_frequency(self, four):
        shared = [mixer(four).example(number) for number in range(400)]
        often = [s for s in shared if len(set(s.rows)) < 4]
        assert pytest.approx(len(often) / 400, abs=0.075) == 0.4  # three standard deviations of 400 coin flips
        for sources in often:
            assert list(sources.rows) == [0, 1, 1, 3]  # bass and drums stand in the row of the first
            assert [bool(row.any()) for row in sources.targets] == [True, True, False, True]
        for sources in (s for s in shared if len(set(s.rows)) == 4):
            assert list(sources.rows) == [0, 1, 2, 3] and all(row.any() for row in sources.targets)
        assert not any(len(set(mixer(four, multi_label_probability=0.0).example(n).rows)) < 4 for n in range(50))

    def test_the_example_number_fixes_the_mixture(self, four):
        first, second = mixer(four), mixer(four)
        second.example(3), second.example(9)
        np.testing.assert_array_equal(first.example(7).targets, second.example(7).targets)
        assert (first.example(7).targets != first.example(8).targets).any()

    def test_a_short_piece_is_faded_and_surrounded_by_silence(self):
        sounds = pool(
            ("a", ["vocals"], np.full(2000, 10000)), ("b", ["bass"], np.full(9000, 10000)), rate=LOUDNESS_RATE
        )
        sources = mixer(sounds, labels=("vocals", "bass"), multi_label_probability=0.0).example(1)
        vocals = sources.targets[0, 0] / sources.targets[1, 0].max()
        audible = np.flatnonzero(vocals)
        assert len(audible) == 2000 and audible[-1] - audible[0] == 1999
        assert vocals[audible[0]] == pytest.approx(0.5 / 40, rel=0.01) and vocals[audible].max() == pytest.approx(
            1.0, rel=0.01
        )

    def test_random_effects_match_their_names(self, four):
        plain = mixer(four, multi_label_probability=0.0).example(0).targets
        inverted = mixer(four, multi_label_probability=0.0, invert_chance=1.0).example(0).targets
        np.testing.assert_allclose(inverted, -plain, rtol=1e-6)
        silent = [mixer(four, multi_label_probability=0.0, absent_chance=0.5).example(n).targets for n in range(100)]
        counts = [sum(bool(row.any()) for row in targets) for targets in silent]
        assert min(counts) >= 1 and 0.4 < np.mean(counts) / 4 < 0.65  # a half, raised a little: none at all is redrawn

    @pytest.mark.parametrize("whole", [False, True], ids=["cut", "whole"])
    def test_single_classes_only_excludes_stems_of_several(self, whole):
        """Stems of several classes are ten times as loud as others, so that none could hide in a mixture."""
        rng = np.random.default_rng(0)
        alone = [stem(label, [label]) for label in LABELS]
        spans = regions((0, 4, ["drums"]), (4, 10, ["drums", "bass"]))
        several = [
            stem("cut", ["bass", "drums"], regions=spans, active=[(0.0, 10.0)]),  # four seconds of drums alone
            stem("whole", ["vocals", "other"]),
            stem("with_background", ["vocals", "strings"]),
        ]
        entries = [(item.id, item.labels, rng.integers(-1000, 1000, 10000)) for item in alone]
        entries += [(item.id, item.labels, rng.choice([-10000, 10000], 10000)) for item in several]
        labels, made = [*LABELS, "strings"], Created(by="test", command="test")
        data = Manifest(created=made, labels=labels, stems=[*alone, *several])
        config = SourceMixing(multi_label_probability=0.0, whole_stems=whole, loudness_lufs=None)
        every = pool(*entries, rate=LOUDNESS_RATE)
        drawn = pieces(every, data, config)
        for mixing in (config, config.plain()):
            mixtures = SourceMixer(drawn, LABELS, mixing, 2000, seed=(1,))
            targets = np.stack([mixtures.example(number).targets for number in range(100)])
            assert 0.02 < np.abs(targets).max() < 0.2
            assert targets.shape[1] == len(LABELS)  # no background either
        cautious = SourceMixer(every, LABELS, config, 2000, seed=(1,))  # given the whole pool nevertheless
        assert max(np.abs(cautious.example(number).targets).max() for number in range(100)) < 0.2

    def test_stereo_channels_are_swapped(self):
        sounds = pool(("a", ["vocals"], np.full(9000, 8000)), rate=LOUDNESS_RATE)
        sounds.audio[:, 1] //= 2
        targets = mixer(sounds, labels=("vocals",), swap_chance=1.0).example(0).targets[0]
        assert targets[0, 0] / targets[1, 0] == pytest.approx(0.5, rel=1e-3)

    def test_a_class_without_stems_is_silent(self, four):
        drawn = mixer(four, labels=("vocals", "kazoo", "bass", "drums", "other"), multi_label_probability=0.0)
        assert drawn.alone == ["vocals", "bass", "drums", "other"] and drawn.background == ()
        assert [bool(row.any()) for row in drawn.example(0).targets] == [True, False, True, True, True]

    def test_invalid_arguments_are_refused(self, four):
        with pytest.raises(ConfigError, match="no stem contains only these classes: vocals"):
            mixer(pool(("a", ["vocals", "bass"], np.ones(9000)), ("b", ["bass"], np.ones(9000))), labels=("vocals",))
        with pytest.raises(ConfigError, match="no stem contains only these classes: kazoo"):
            mixer(four, labels=("kazoo",))
        for wrong in (
            {"multi_label_probability": 1.5},
            {"absent_chance": 1},
            {"effects": "x"},
            {"gain_db": (1.0, 0.0)},
        ):
            with pytest.raises(ConfigError):
                SourceMixing(**wrong)


LEVELS = {"vocals": 1000, "bass": 2000, "drums": 4000, "other": 8000}


def steady(*several):
    """One stem a class and one for each group of classes, of a constant value that tells what is in it."""
    groups = [*([label] for label in LEVELS), *several]
    return pool(
        *(("+".join(g), g, np.full(9000, sum(LEVELS[label] for label in g))) for g in groups), rate=LOUDNESS_RATE
    )


def present(drawn, number=0):
    """What each row of a mixture too short for a loudness comes to, in the pool's integers, and the rows."""
    sources = drawn.example(number)
    levels = sources.targets[:, 0, 600] * FULL_SCALE
    assert (sources.targets == sources.targets[:, :1, 600:601]).all()  # constant, both channels alike
    return [round(float(level)) for level in levels], list(sources.rows)


class TestBackground:
    """Classes that are not separated sound in the mixture and in no target."""

    def test_the_accompaniment_is_kept(self):
        drawn = mixer(steady(), segment=1200, labels=("vocals", "drums"))
        assert drawn.background == ("bass", "other") and drawn.alone == ["vocals", "drums"]
        assert present(drawn) == ([1000, 4000, 2000 + 8000], [0, 1])
        assert present(mixer(steady(), segment=1200)) == ([1000, 2000, 4000, 8000], [0, 1, 2, 3])  # no row for none

    @pytest.mark.parametrize(
        ("several", "levels", "rows"),
        [
            (["bass", "other"], [1000, 4000, 10000], [0, 1]),  # nothing of it is separated: one source of the band
            (["vocals", "drums"], [5000, 0, 10000], [0, 0]),  # all of it is: known together
            (["vocals", "other"], [0, 4000, 1000 + 8000 + 2000], [2, 1]),  # how much is the voice is not known
            (["vocals", "bass", "other"], [0, 4000, 11000], [2, 1]),
        ],
    )
    def test_stems_of_several_classes_are_mixed(self, several, levels, rows):
        drawn = mixer(steady(several), segment=1200, labels=("vocals", "drums"), multi_label_probability=1.0)
        assert [present(drawn, number) for number in range(5)] == [(levels, rows)] * 5
        assert sum(levels) == sum(LEVELS.values())  # the mixture is always the whole band, each class once

    def test_a_stem_that_leaves_no_target_is_skipped(self):
        sounds = steady(["vocals", "drums", "bass"])
        drawn = mixer(sounds, segment=1200, labels=("vocals", "drums"), multi_label_probability=1.0)
        assert present(drawn) == ([1000, 4000, 10000], [0, 1])
        drawn = mixer(sounds, segment=1200, labels=("vocals",), multi_label_probability=1.0)
        assert present(drawn) == ([1000, 14000], [0])

    def test_validation_has_the_accompaniment(self):
        plain = SourceMixing(gain_db=(-6.0, 6.0), absent_chance=0.5).plain()
        drawn = SourceMixer(steady(["vocals", "other"]), ("vocals", "drums"), plain, 1200, seed=(1,))
        assert [present(drawn, number) for number in range(5)] == [([1000, 4000, 10000], [0, 1])] * 5

    def test_the_loudness_is_that_of_the_whole_mixture(self, four):
        targets = mixer(four, labels=("vocals", "drums")).example(0).targets
        assert len(targets) == 3 and targets[2].any()
        assert integrated_lufs(targets.sum(0), LOUDNESS_RATE) == pytest.approx(-14.0, abs=0.01)
