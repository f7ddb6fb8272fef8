"""Time-aligned excerpts of songs with their known sources and f0."""

from __future__ import annotations

import aligned_songs
import numpy as np
import pytest

from stemclean.data.aligned import AlignedMixer, AlignedMixing, Frames, aligned_tracks, whole_songs
from stemclean.data.pool import StemPool
from stemclean.errors import ConfigError
from stemclean.layouts import load
from stemclean.manifest import Estimated, Source

KINDS = ("full", "only_stems", "only_f0", "pseudo_f0", "pseudo_voice")
RATE, HOP = aligned_songs.RATE, aligned_songs.HOP
SEGMENT, COUNT = 8000, 51


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    manifest, root = load(aligned_songs.write(folder, KINDS), quiet=True)
    pool = StemPool.build(whole_songs(manifest), root, sample_rate=RATE, channels=1, cache=folder / "pool", quiet=True)
    return manifest, root, pool


def tracks_of(songs, labels=("vocals", "other"), **options):
    manifest, root, pool = songs
    return aligned_tracks(manifest, root, pool, labels, "vocals", **options)


def mixer(songs, tracks, labels=("vocals", "other"), config=None):
    config = config or AlignedMixing()
    return AlignedMixer(tracks, songs[2], labels, config, SEGMENT, Frames(HOP, COUNT), seed=(0,))


def place(excerpt, whole):
    """Where an excerpt begins in a sound, and its gain."""
    length = len(excerpt)
    fits = np.correlate(whole, excerpt, "valid") / (
        np.sqrt(np.convolve(whole**2, np.ones(length), "valid")) * np.linalg.norm(excerpt) + 1e-9
    )
    start = int(np.argmax(fits))
    return start, float(
        excerpt @ whole[start : start + length] / (whole[start : start + length] @ whole[start : start + length])
    )


class TestKinds:
    def test_songs_are_sorted_by_what_is_known_of_them(self, songs):
        tracks = tracks_of(songs)
        assert [track.kind for track in tracks] == ["full", "only_stems", "only_f0", "pseudo", "pseudo"]
        assert [track.trust for track in tracks] == [1.0, 1.0, 0.0, 1.0, 0.5]
        assert [track.f0 is not None for track in tracks] == [True, False, True, True, True]

    def test_estimates_are_trusted_without_confidences(self, songs):
        tracks = tracks_of(songs, confidences=False)
        assert [track.kind for track in tracks][3:] == ["full", "full"] and tracks[4].trust == 1.0

    def test_a_tracker_alone_trains_on_voices_only(self, songs):
        tracks = tracks_of(songs, ["vocals"])
        assert [track.name for track in tracks] == ["song0", "song1", "song3", "song4"]
        assert all(len(track.stems) == 1 and track.whole is None for track in tracks)

    def test_a_mixture_with_all_of_its_stems_is_skipped(self, songs):
        """A master is louder than its stems' sum: what it has more belongs to no class."""
        manifest, root, pool = songs
        mixture = next(stem for stem in manifest.stems if stem.id == "song2/mixture")
        moved = mixture.model_copy(update={"track": "song0", "f0": None})
        kept = [stem for stem in manifest.stems if stem.track == "song0"]
        (track,) = aligned_tracks(manifest.with_stems([*kept, moved]), root, pool, ["vocals", "other"], "vocals")
        assert track.whole is None and len(track.stems) == 2 and track.kind == "full"

    def test_annotated_and_estimated_f0_are_both_used(self, songs):
        """A second voice with an estimated f0 does not change the kind of the song; two annotated ones do."""
        manifest, root, pool = songs
        kept = [stem for stem in manifest.stems if stem.track == "song0"]
        other = next(stem for stem in manifest.stems if stem.id == "song3/vocals").model_copy(update={"track": "song0"})
        (track,) = aligned_tracks(manifest.with_stems([*kept, other]), root, pool, ["vocals", "other"], "vocals")
        assert track.kind == "full" and np.array_equal(track.f0.f0_hz, aligned_songs.song(0)[0])
        twice = other.model_copy(update={"f0": kept[-1].f0 or kept[0].f0})
        (track,) = aligned_tracks(manifest.with_stems([*kept, twice]), root, pool, ["vocals", "other"], "vocals")
        assert track.f0 is None

    def test_a_stem_with_bleed_is_not_a_mixture(self, songs):
        """Vocals in which the band was found, beside the band: their sum is the song, and neither source is known."""
        manifest, root, pool = songs
        stems = [
            s.model_copy(update={"labels": ["vocals", "other"]}) if s.id == "song0/vocals" else s
            for s in manifest.stems
            if s.track == "song0"
        ]
        data = whole_songs(manifest.with_stems(stems))
        pool = StemPool.build(data, root, sample_rate=RATE, channels=1, cache=root / "bleeding", quiet=True)
        (track,) = aligned_tracks(data, root, pool, ["vocals", "other"], "vocals")
        assert track.whole is None and len(track.stems) == 2 and track.kind == "only_f0"
        drawn = AlignedMixer(
            [track], pool, ("vocals", "other"), AlignedMixing(), SEGMENT, Frames(HOP, COUNT), seed=(0,)
        )
        example = drawn.example(1)
        assert example.rows.tolist() == [0, 0]
        _, voice, band = aligned_songs.song(0)
        mixture = voice + band
        start, gain = place(example.targets[0, 0], mixture)
        np.testing.assert_allclose(
            example.targets[0, 0], gain * mixture[start : start + SEGMENT], atol=abs(gain) * 2 / 32767
        )
        band_alone = [stem for stem in stems if stem.id == "song0/other"]
        silent = [s.model_copy(update={"f0": None}) for s in stems if s.id == "song0/vocals"]
        held = manifest.with_stems([*band_alone, *silent])
        assert aligned_tracks(held, root, pool, ["vocals", "other"], "vocals") == []

    def test_trimmed_stems_are_refused(self, songs):
        manifest, _, _ = songs
        first = manifest.stems[0]
        source = Source(path="x.wav", sha256="0" * 64, sample_rate=RATE, num_samples=first.num_samples)
        cut = first.model_copy(update={"source": source})
        with pytest.raises(ConfigError, match=f"{first.id} was trimmed"):
            whole_songs(manifest.with_stems([cut, *manifest.stems[1:]]))
        assert whole_songs(manifest.with_stems([cut]), alone=True).stems[0].active == [(0.0, cut.duration)]


class TestExcerpts:
    def test_sound_and_f0_are_aligned(self, songs):
        """The voice has its f0 in voiced frames and is silent elsewhere; 32 excerpts."""
        drawn = mixer(songs, tracks_of(songs)[:1])
        for number in range(32):
            example = drawn.example(number)
            sung = example.targets[0, 0]
            for frame in range(3, COUNT - 3):
                near = sung[frame * 160 - 200 : frame * 160 + 200]
                around = example.f0_hz[frame - 2 : frame + 3]
                if (around == 0).all():
                    assert np.abs(near).max() < 1e-3  # 16 bits of the pool
                elif (around == around[0]).all():
                    spectrum = np.abs(np.fft.rfft(near * np.hanning(400), 8000))  # 1 Hz a bin
                    assert np.argmax(spectrum[:1000]) == pytest.approx(example.f0_hz[frame], abs=4)

    def test_the_mixture_is_the_sum_of_aligned_parts(self, songs):
        _, voice, band = aligned_songs.song(0)
        drawn = mixer(songs, tracks_of(songs)[:1])
        example = drawn.example(7)
        start, gain = place(example.targets[1, 0], band)
        assert start % 160 == 0
        expected = gain * np.stack([voice, band])[:, start : start + SEGMENT]
        np.testing.assert_allclose(example.targets[:, 0], expected, atol=gain * 2 / 32767)  # 16 bits of the pool
        assert example.rows.tolist() == [0, 1] and example.trust == 1

    def test_a_mixture_alone_has_one_row_and_unknown_sources(self, songs):
        _, voice, band = aligned_songs.song(2)
        example = mixer(songs, tracks_of(songs)[2:3]).example(1)
        assert example.rows.tolist() == [0, 0] and example.trust == 0 and not example.targets[1].any()
        assert place(example.targets[0, 0], voice + band)[0] % 160 == 0
        assert (example.f0_trust == 1).sum() >= COUNT - 1 and example.f0_hz.any()

    def test_the_residual_of_a_mixture_is_the_other_source(self, songs):
        _, voice, band = aligned_songs.song(4)
        example = mixer(songs, tracks_of(songs)[4:]).example(1)
        start, gain = place(example.targets[:, 0].sum(0), voice + band)
        cut = slice(start, start + SEGMENT)
        expected = gain * np.stack([0.9 * voice[cut], band[cut] + 0.1 * voice[cut]])
        np.testing.assert_allclose(example.targets[:, 0], expected, atol=gain * 3 / 32767)  # 16 bits of the pool
        assert example.trust == 0.5

    def test_confidences_reach_their_frames(self, songs):
        example = mixer(songs, tracks_of(songs)[3:4]).example(0)
        assert set(example.f0_trust.round(3)) == {0.5, 1.0}
        assert abs((example.f0_trust > 0.99).mean() - 0.5) < 0.02
        nothing = mixer(songs, tracks_of(songs)[1:2]).example(0)
        assert not nothing.f0_hz.any() and not nothing.f0_trust.any()

    def test_the_example_number_fixes_the_excerpt(self, songs):
        mixer_a, mixer_b = mixer(songs, tracks_of(songs)), mixer(songs, tracks_of(songs))
        first = [mixer_a.example(number) for number in range(6)]
        for number in (5, 2, 0):
            again = mixer_b.example(number)
            assert np.array_equal(again.targets, first[number].targets)
            assert np.array_equal(again.f0_hz, first[number].f0_hz)

    def test_augmentation_changes_levels_and_signs_but_not_the_f0(self, songs):
        config = AlignedMixing(gain_db=(-12.0, 12.0), invert_chance=0.5)
        tracks = tracks_of(songs)[:1]
        plain, changed = (mixer(songs, tracks, config=c).example(3) for c in (AlignedMixing(), config))
        assert np.array_equal(plain.f0_hz, changed.f0_hz)
        ratios = [changed.targets[row, 0] @ plain.targets[row, 0] for row in range(2)]
        norms = [np.linalg.norm(changed.targets[r, 0]) * np.linalg.norm(plain.targets[r, 0]) for r in range(2)]
        assert np.abs(ratios) == pytest.approx(norms, rel=1e-4)  # the same sound at another level, perhaps inverted

    def test_a_voice_alone_keeps_its_gain(self, songs):
        """Over 24 excerpts the loudness spreads like the gain; in validation it is constant."""
        config = AlignedMixing(gain_db=(-9.0, 3.0))
        tracks = tracks_of(songs, ["vocals"])[:1]
        varied, plain = (mixer(songs, tracks, ["vocals"], c) for c in (config, config.plain()))
        gains = []
        for number in range(24):
            loud, level = (m.example(number).targets[0, 0] for m in (varied, plain))
            gains.append(20 * np.log10(np.linalg.norm(loud) / np.linalg.norm(level)))
        assert -9.01 < min(gains) < -6 and 0 < max(gains) < 3.01

    def test_estimates_are_not_used_for_validation(self, songs):
        """Validation judges where trust is 1."""
        assert mixer(songs, tracks_of(songs)[3:4]).example(0).f0_trust.max() < 1
        manifest, root, pool = songs
        stems = [stem for stem in manifest.stems if stem.track == "song4"]
        sure = [s.estimated and s.model_copy(update={"estimated": Estimated(by="x", confidence=1.0)}) for s in stems]
        held = manifest.with_stems([new or stem for new, stem in zip(sure, stems, strict=True)])
        (track,) = aligned_tracks(held, root, pool, ["vocals", "other"], "vocals")
        assert 0.99 < track.trust < 1 and track.kind == "pseudo"

    def test_invalid_arguments_are_refused(self, songs):
        with pytest.raises(ConfigError, match="no song has vocals"):
            mixer(songs, [])
        for wrong in ({"swap_chance": 1.5}, {"gain_db": (3.0, -3.0)}):
            with pytest.raises(ConfigError):
                AlignedMixing(**wrong)
