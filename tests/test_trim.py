"""The verb ``trim``: kept samples equal the source, trimming twice equals trimming once, and runs resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.data import cutting
from stemclean.data.journal import sealed
from stemclean.errors import ConfigError, SkipReason
from stemclean.manifest import Manifest, Stem
from stemclean.trim import TrimConfig, trim
from stemclean.units import seconds_to_samples

RATE = 22050
HALF_FADE = 0.005
MakeDataset = Callable[..., Path]


@pytest.fixture
def songs(tmp_path: Path, make_dataset: MakeDataset) -> Path:
    """Two songs of four stems, 4 s each, with 3 s of silence in the middle."""
    return make_dataset(tmp_path / "songs", silence=3.0)


def sources(stem: Stem) -> np.ndarray:
    """The source sample of each sample of a trimmed file."""
    assert stem.source is not None
    assert stem.active is not None
    rate = stem.source.sample_rate
    spans = [(seconds_to_samples(start, rate), seconds_to_samples(end, rate)) for start, end in stem.active]
    return np.concatenate([np.arange(start, end) for start, end in spans])


def away_from_fades(places: np.ndarray) -> np.ndarray:
    """Which samples of a trimmed file lie beyond any cross-fade."""
    joins = np.flatnonzero(np.diff(places) != 1) + 1
    clear = np.ones(len(places), bool)
    half = round(HALF_FADE * RATE) + 1
    for join in (0, *joins, len(places)):
        clear[max(0, join - half) : join + half] = False
    return clear


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_kept_sample_equals_its_source(tmp_path: Path, songs: Path) -> None:
    before = content(songs)
    trimmed = trim(songs, tmp_path / "trimmed", quiet=True)
    assert content(songs) == before
    assert [stem.id for stem in trimmed.stems] == [stem.id for stem in layouts.scan(songs).stems]
    for stem in trimmed.stems:
        assert stem.path == f"{stem.id}.flac"
        places = sources(stem)
        audio = files.read(tmp_path / "trimmed" / stem.path)
        assert audio.shape == (2, stem.num_samples) == (2, len(places))
        assert stem.source is not None
        assert (tmp_path / "trimmed" / stem.source.path).resolve() == (songs / f"{stem.id}.wav").resolve()
        assert stem.source.num_samples == 7 * RATE
        assert len(places) < 5 * RATE  # the pause is gone
        clear = away_from_fades(places)
        assert np.array_equal(audio[:, clear], files.read(songs / f"{stem.id}.wav")[:, places[clear]])
        assert stem.sha256 == manifest.file_sha256(tmp_path / "trimmed" / stem.path)
        assert stem.loudness_lufs is not None
        assert stem.peak_dbfs == pytest.approx(-6.02, abs=0.02)


def test_stems_that_are_decoded_twice_give_the_same_bytes(
    tmp_path: Path, songs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    blocks = cutting.files.blocks

    def counted(path: Path, **options: Any) -> Iterator[np.ndarray]:
        reads.append(path)
        return blocks(path, **options)

    monkeypatch.setattr(cutting.files, "blocks", counted)
    count = len(trim(songs, tmp_path / "once").stems)
    assert len(reads) == count
    monkeypatch.setattr(cutting, "HELD_BYTES", 0)
    trim(songs, tmp_path / "twice")
    assert len(reads) == 3 * count
    assert content(tmp_path / "once") == content(tmp_path / "twice")


def test_trimming_twice_equals_trimming_once(tmp_path: Path, songs: Path) -> None:
    once = trim(songs, tmp_path / "once", quiet=True)
    twice = trim(tmp_path / "once", tmp_path / "twice", quiet=True)
    assert [stem.num_samples for stem in twice.stems] == [stem.num_samples for stem in once.stems]
    # Traceable to the first source, not to the file in between.
    assert [stem.active for stem in twice.stems] == [stem.active for stem in once.stems]
    for first, second in zip(once.stems, twice.stems, strict=True):
        assert first.source is not None
        assert second.source is not None
        assert second.source.sha256 == first.source.sha256
        assert (tmp_path / "twice" / second.source.path).is_file()
        once_heard = files.read(tmp_path / "once" / first.path)
        assert np.array_equal(files.read(tmp_path / "twice" / second.path), once_heard)


def test_trimming_again_keeps_the_original_times(tmp_path: Path, songs: Path) -> None:
    path = songs / "song 1" / "drums.wav"
    sound, _ = soundfile.read(path, always_2d=True)
    quiet = 0.02 * sound[: 2 * RATE]  # 34 dB below: loud enough at 50 dB, not at 30
    pause = np.zeros((2 * RATE, 2))
    soundfile.write(path, np.concatenate([quiet, pause, sound]), RATE, subtype="PCM_16")
    trim(songs, tmp_path / "once", TrimConfig(first_db=50.0), quiet=True)
    twice = trim(tmp_path / "once", tmp_path / "elsewhere" / "twice", TrimConfig(first_db=25.0), quiet=True)
    stem = next(stem for stem in twice.stems if stem.id == "song 1/drums")
    assert stem.source is not None and (tmp_path / "elsewhere" / "twice" / stem.source.path).resolve() == path.resolve()
    places = sources(stem)
    assert places[0] >= 3.5 * RATE
    audio, clear = files.read(tmp_path / "elsewhere" / "twice" / stem.path), away_from_fades(places)
    assert np.array_equal(audio[:, clear], files.read(path)[:, places[clear]])


def test_the_bit_depth_of_the_source_is_kept(tmp_path: Path, sounds) -> None:  # type: ignore[no-untyped-def]
    sound = sounds.drums(2.0, np.random.default_rng(0)).T
    (tmp_path / "in" / "song").mkdir(parents=True)
    for name, kind, subtype in [
        ("drums 1.wav", "WAV", "PCM_16"),
        ("drums 2.wav", "WAV", "PCM_24"),
        ("drums 3.wav", "WAV", "FLOAT"),
        ("drums 4.ogg", "OGG", "VORBIS"),
        ("drums 5.flac", "FLAC", "PCM_16"),
    ]:
        soundfile.write(tmp_path / "in" / "song" / name, sound, RATE, format=kind, subtype=subtype)
    soundfile.write(tmp_path / "in" / "song" / "drums 6.wav", sound[:, 0], 48000, subtype="PCM_16")
    trimmed = trim(tmp_path / "in", tmp_path / "out", quiet=True)
    written = [soundfile.info(tmp_path / "out" / stem.path) for stem in trimmed.stems]
    assert [info.subtype for info in written] == ["PCM_16", "PCM_24", "PCM_24", "PCM_24", "PCM_16", "PCM_16"]
    assert [(info.samplerate, info.channels) for info in written] == [(RATE, 2)] * 5 + [(48000, 1)]


def test_silent_stems_and_broken_ones_are_listed_and_the_rest_is_done(tmp_path: Path, songs: Path) -> None:
    soundfile.write(songs / "song 1" / "bass.wav", np.zeros((RATE, 2)), RATE)
    hiss = 3e-4 * np.random.default_rng(0).standard_normal((RATE, 2))  # -70 dBFS
    soundfile.write(songs / "song 1" / "drums.wav", hiss, RATE, subtype="PCM_24")
    (songs / "song 2" / "bass.wav").write_text("no sound")
    broken = np.full((RATE, 2), np.nan)
    soundfile.write(songs / "song 2" / "drums.wav", broken, RATE, subtype="FLOAT")
    soundfile.write(songs / "song 2" / "mixture.wav", np.full((RATE, 2), 0.1), RATE)
    trimmed = trim(songs, tmp_path / "out", quiet=True)
    assert {skip.path: skip.reason for skip in trimmed.skipped} == {
        "song 1/bass.wav": "silent",
        "song 1/drums.wav": "silent",
        "song 2/bass.wav": "not_audio",
        "song 2/drums.wav": "non_finite",
        "song 2/mixture.wav": "mixture",
    }
    assert all(skip.reason in {*SkipReason} for skip in trimmed.skipped)
    assert len(trimmed.stems) == 4
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert written == {"manifest.json", *(stem.path for stem in trimmed.stems)}


def test_a_file_removed_after_the_scan_is_listed(tmp_path: Path, songs: Path) -> None:
    listed = manifest.write(layouts.scan(songs).model_copy(update={"root": "songs"}), tmp_path / "list.json")
    (songs / "song 1" / "bass.wav").unlink()
    trimmed = trim(listed, tmp_path / "out", quiet=True)
    assert [(skip.path, skip.reason) for skip in trimmed.skipped] == [("song 1/bass.wav", "not_found")]
    assert len(trimmed.stems) == 7


def test_regions_only_writes_just_the_manifest(tmp_path: Path, songs: Path) -> None:
    whole = trim(songs, tmp_path / "whole", quiet=True)
    trimmed = trim(songs, tmp_path / "regions", regions_only=True, quiet=True)
    assert [path.name for path in (tmp_path / "regions").iterdir()] == ["manifest.json"]
    assert [stem.active for stem in trimmed.stems] == [stem.active for stem in whole.stems]
    loaded, folder = layouts.load(tmp_path / "regions" / "manifest.json")
    assert loaded == trimmed.model_copy(update={"root": loaded.root})
    for stem in loaded.stems:
        assert (folder / stem.path).resolve() == (songs / f"{stem.id}.wav").resolve()
        assert (stem.source, stem.num_samples) == (None, 7 * RATE)


def test_labels_of_a_stem_are_kept(tmp_path: Path, songs: Path) -> None:
    data = layouts.scan(songs)
    first = data.stems[0].model_copy(
        update={"split": "test", "labels": ["bass", "vocals"], "extra": {"fault": "bleed"}, "track": "A"}
    )
    listed = data.with_stems([first, *data.stems[1:]], root="songs")
    manifest.write(listed, tmp_path / "list.json")
    for _ in range(2):  # the second run takes it over from the first
        stem = trim(tmp_path / "list.json", tmp_path / "out", quiet=True).stems[0]
        assert (stem.id, stem.split, stem.track) == (first.id, "test", "A")
        assert (stem.claimed, stem.labels, stem.extra) == (["bass"], ["bass", "vocals"], {"fault": "bleed"})


class TestResume:
    @pytest.fixture
    def written(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Names of the files that a run wrote."""
        names: list[str] = []
        create = files.create

        def noted(path: Path, *rest: object, **more: object) -> object:
            names.append("/".join(Path(path).parts[-2:]))
            return create(path, *rest, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(files, "create", noted)
        return names

    def test_finished_files_are_skipped(self, tmp_path: Path, songs: Path, written: list[str]) -> None:
        first = trim(songs, tmp_path / "out", quiet=True)
        before = content(tmp_path / "out")
        written.clear()
        assert trim(songs, tmp_path / "out", quiet=True) == first
        assert written == []
        assert content(tmp_path / "out") == before

    def test_changed_files_are_trimmed_again(self, tmp_path: Path, songs: Path, written: list[str]) -> None:
        trim(songs, tmp_path / "out", quiet=True)
        sound, _ = soundfile.read(songs / "song 1" / "bass.wav")
        soundfile.write(songs / "song 1" / "bass.wav", sound[::-1], RATE)  # another content
        (tmp_path / "out" / "song 1" / "drums.flac").write_bytes(b"spoilt")
        (tmp_path / "out" / "song 2" / "drums.flac").unlink()
        written.clear()
        again = trim(songs, tmp_path / "out", quiet=True)
        assert written == ["song 1/bass.flac", "song 1/drums.flac", "song 2/drums.flac"]
        assert again == trim(songs, tmp_path / "fresh", quiet=True)

    def test_other_settings_trim_everything_again(self, tmp_path: Path, songs: Path, written: list[str]) -> None:
        trim(songs, tmp_path / "out", quiet=True)
        written.clear()
        trim(songs, tmp_path / "out", TrimConfig(pad=0.2), quiet=True)
        assert len(written) == 8

    def test_an_interrupted_run_resumes(
        self, tmp_path: Path, songs: Path, written: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = trim(songs, tmp_path / "whole", quiet=True)
        probe, count = files.probe, 0

        def killed(*args: object, **more: object) -> object:
            nonlocal count
            count += 1
            if count > 8 + 5:  # the scan reads eight, then the second song's second stem is read
                raise KeyboardInterrupt
            return probe(*args, **more)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(files, "probe", killed)
            with pytest.raises(KeyboardInterrupt):
                trim(songs, tmp_path / "out", quiet=True)
        assert not (tmp_path / "out" / "manifest.json").exists()
        partial = tmp_path / "out" / "manifest.json.partial.jsonl"
        with open(partial, "a", encoding="utf-8") as file:
            file.write('{"id": "half a li')
        written.clear()
        assert trim(songs, tmp_path / "out", quiet=True) == expected
        assert len(written) == 4
        assert not partial.exists()
        assert content(tmp_path / "out") == content(tmp_path / "whole")


class TestRefusals:
    @pytest.mark.parametrize("destination", [".", "trimmed"])
    def test_a_destination_in_the_source_is_refused(self, songs: Path, destination: str) -> None:
        with pytest.raises(ConfigError, match="is inside the source"):
            trim(songs, songs / destination, quiet=True)

    def test_a_foreign_destination_is_refused(self, tmp_path: Path, songs: Path) -> None:
        (tmp_path / "out").mkdir()
        manifest.write(layouts.scan(songs), tmp_path / "out" / "manifest.json")
        with pytest.raises(ConfigError, match='was written by "scan"'):
            trim(songs, tmp_path / "out", quiet=True)

    def test_a_non_empty_folder_is_refused(self, tmp_path: Path, songs: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "letter.txt").write_text("dear")
        with pytest.raises(ConfigError, match=r"is not empty: it holds letter\.txt\n"):
            trim(songs, tmp_path / "out", quiet=True)
        assert content(tmp_path / "out") == {"letter.txt": b"dear"}

    def test_a_destination_among_the_stems_is_refused(self, tmp_path: Path, songs: Path) -> None:
        listed = manifest.write(layouts.scan(songs).model_copy(update={"root": "songs"}), tmp_path / "list.json")
        with pytest.raises(ConfigError, match=r"trimmed is inside the source .*songs, the root of .*list\.json\n"):
            trim(listed, songs / "trimmed", quiet=True)

    def test_a_destination_beside_listed_files_is_accepted(self, tmp_path: Path, make_dataset: MakeDataset) -> None:
        make_dataset(tmp_path / "a", tracks=1, seconds=0.5, labels=["bass"])
        make_dataset(tmp_path / "b", tracks=1, seconds=0.5, labels=["drums"])
        path = tmp_path / "list.csv"
        path.write_text("instrum,path\nbass,a/song 1/bass.wav\ndrums,b/song 1/drums.wav\n")
        trimmed = trim(path, tmp_path / "out", quiet=True)
        assert [stem.id for stem in trimmed.stems] == ["a/song 1/bass", "b/song 1/drums"]

    def test_a_destination_of_another_source_is_refused(self, tmp_path: Path, make_dataset: MakeDataset) -> None:
        for name in ("his", "hers"):
            make_dataset(tmp_path / name, tracks=1, seconds=0.5, labels=["bass"])
        trim(tmp_path / "his", tmp_path / "out", quiet=True)
        before = content(tmp_path / "out")
        with pytest.raises(ConfigError, match=r"out holds the output of trim for .*his, not for .*hers\n"):
            trim(tmp_path / "hers", tmp_path / "out", quiet=True)
        (tmp_path / "out" / "manifest.json").rename(tmp_path / "kept.json")  # as if the run had been killed
        created = manifest.read(tmp_path / "kept.json").created
        (tmp_path / "out" / "manifest.json.partial.jsonl").write_text(sealed(created.model_dump(mode="json")))
        with pytest.raises(ConfigError, match=r"not for .*hers\n"):
            trim(tmp_path / "hers", tmp_path / "out", quiet=True)
        trim(tmp_path / "his", tmp_path / "out", quiet=True)
        assert content(tmp_path / "out") == before

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"first_db": -1.0}, "first_db is -1"),
            ({"second_db": float("nan")}, "second_db is nan"),
            ({"fade": 0.2}, r"fade is 0\.2; it must be a number from 0 to 0\.05"),
            ({"pad": 1.0}, "needs a min_gap of more than 2 s"),
        ],
    )
    def test_invalid_settings_are_refused(self, wrong: dict[str, float], says: str) -> None:
        with pytest.raises(ConfigError, match=says):
            TrimConfig(**wrong)


def test_earlier_skips_keep_their_origin(tmp_path: Path, make_dataset: MakeDataset) -> None:
    songs = make_dataset(tmp_path / "songs", tracks=1, seconds=0.5, labels=["bass", "drums"])
    (songs / "song 1" / "vox.wav").write_text("no sound")
    for _ in range(2):  # repeated, it fails again: the folder is scanned anew
        once = trim(songs, tmp_path / "once", quiet=True)
        assert [(skip.path, skip.by) for skip in once.skipped] == [("song 1/vox.wav", None)]
    (tmp_path / "once" / "song 1" / "drums.flac").write_text("no sound")
    for source in (tmp_path / "once", tmp_path / "once" / "manifest.json"):
        twice = trim(source, tmp_path / f"of {source.name}", quiet=True)
        assert [(skip.path, skip.by) for skip in twice.skipped] == [
            ("song 1/vox.wav", "trim"),  # by an earlier run of the same verb
            ("song 1/drums.flac", None),
        ]
    again = trim(tmp_path / "of once", tmp_path / "thrice", quiet=True)
    assert [(skip.path, skip.by) for skip in again.skipped] == [
        ("song 1/vox.wav", "trim"),
        ("song 1/drums.flac", "trim"),
    ]


def test_streams_of_one_file_become_separate_files(tmp_path: Path, encode: Callable[..., Path], sounds) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    parts = [make(2.0, rng, rate=44100) for make in (sounds.drums, sounds.bass)]
    encode(tmp_path / "in" / "Song.mka", parts, 44100, "flac", ["Drums", "Bass"])
    trimmed = trim(tmp_path / "in", tmp_path / "out", quiet=True)
    assert [(stem.id, stem.path, stem.stream) for stem in trimmed.stems] == [
        ("Song", "Song.flac", 0),
        ("Song#1", "Song#1.flac", 0),
    ]
    assert [stem.source.stream for stem in trimmed.stems if stem.source] == [0, 1]
    for stem, part in zip(trimmed.stems, parts, strict=True):
        audio = files.read(tmp_path / "out" / stem.path)
        places = sources(stem)
        clear = away_from_fades(places)
        assert np.abs(audio[:, clear] - part[:, places[clear]]).max() < 2 / 32768  # the encoder's 16 bits


def test_more_channels_than_flac_allows_are_downmixed(tmp_path: Path) -> None:
    (tmp_path / "in" / "song").mkdir(parents=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal((RATE, 10))
    soundfile.write(tmp_path / "in" / "song" / "drums.wav", noise, RATE)
    (stem,) = trim(tmp_path / "in", tmp_path / "out", quiet=True).stems
    assert stem.channels == soundfile.info(tmp_path / "out" / stem.path).channels == 2
    assert [issue.code for issue in stem.issues] == ["downmixed"]


def test_a_song_beyond_full_scale_is_attenuated_as_a_whole(tmp_path: Path) -> None:
    """By one gain, so that its stems still add up to it; said in the manifest; and once only, if repeated."""
    time = np.arange(6 * RATE) / RATE
    stems = {"bass": 2.0 * np.sin(2 * np.pi * 220 * time), "drums": 0.5 * np.sin(2 * np.pi * 330 * time)}
    for song in ("loud", "calm"):
        (tmp_path / "in" / song).mkdir(parents=True)
        for name, sound in stems.items():
            gain = 1.0 if song == "loud" else 0.4
            soundfile.write(tmp_path / "in" / song / f"{name}.wav", gain * sound, RATE, subtype="FLOAT")
    trimmed = trim(tmp_path / "in", tmp_path / "out", quiet=True)
    for stem in trimmed.stems:
        audio, _ = soundfile.read(tmp_path / "out" / stem.path)
        gain = (1 - 2**-15) / 2 if stem.track == "loud" else 0.4
        assert np.abs(audio - gain * stems[stem.claimed[0]]).max() < 2**-21  # 24 bits
        assert [issue.code for issue in stem.issues] == (["turned_down"] if stem.track == "loud" else [])
        assert stem.extra.get("gain_db") == (-6.021 if stem.track == "loud" else None)
    assert trim(tmp_path / "in", tmp_path / "out", quiet=True) == trimmed
    again = trim(tmp_path / "out", tmp_path / "again", quiet=True)
    assert [stem.extra.get("gain_db") for stem in again.stems] == [None, None, -6.021, -6.021]


@pytest.mark.parametrize("ending", [".ogg", ".mp3"])
def test_a_lossy_file_that_overshoots_is_not_clipped(ending: str, tmp_path: Path) -> None:
    loud = np.clip(4 * np.random.default_rng(0).standard_normal((6 * RATE, 1)), -1, 1)
    (tmp_path / "in" / "song").mkdir(parents=True)
    soundfile.write(tmp_path / "in" / "song" / f"drums{ending}", loud, RATE)
    soundfile.write(tmp_path / "in" / "song" / "bass.flac", 0.5 * loud, RATE)
    sources = {path.stem: files.read(path) for path in (tmp_path / "in" / "song").iterdir()}
    peak = np.abs(sources["drums"]).max()
    assert peak > 1.05
    trimmed = trim(tmp_path / "in", tmp_path / "out", quiet=True)
    assert len(trimmed.stems) == 2
    for stem in trimmed.stems:
        audio = files.read(tmp_path / "out" / stem.path)
        assert stem.extra["gain_db"] == pytest.approx(20 * np.log10((1 - 2**-15) / peak), abs=1e-3)
        assert stem.active == [(0.0, stem.duration)]
        np.testing.assert_allclose(audio, (1 - 2**-15) / peak * sources[stem.claimed[0]], atol=2**-14)


def test_a_soft_song_is_kept_and_a_silent_stem_is_not(tmp_path: Path) -> None:
    """Silence is 60 dB below the song, not below full scale; dither alone is silence, whatever the song."""
    rng = np.random.default_rng(0)
    for gain_db in (0, -20, -45, -60):
        folder = tmp_path / "in" / f"song at {gain_db}"
        folder.mkdir(parents=True)
        gain = 10 ** (gain_db / 20)
        loud = 0.2 * np.sin(2 * np.pi * 220 * np.arange(6 * RATE) / RATE)
        loud[2 * RATE : 5 * RATE] = 0.0
        for name, sound in (("bass", loud), ("vocals", 0.03 * loud), ("other", 1e-4 * rng.standard_normal(6 * RATE))):
            soundfile.write(folder / f"{name}.wav", gain * sound, RATE, subtype="PCM_24")
        soundfile.write(folder / "drums.wav", rng.integers(-1, 2, 6 * RATE).astype(np.int16), RATE, subtype="PCM_16")
    trimmed = trim(tmp_path / "in", tmp_path / "out", quiet=True)
    assert {stem.claimed[0] for stem in trimmed.stems} == {"bass", "vocals"}
    assert {stem.num_samples for stem in trimmed.stems} == {trimmed.stems[0].num_samples} and len(trimmed.stems) == 8
    floor = trim(tmp_path / "in", tmp_path / "floor", TrimConfig(silence_floor_dbfs=-60.0), quiet=True)
    assert {stem.track for stem in floor.stems} == {"song at 0", "song at -20"}


def test_a_silent_channel_is_reported(tmp_path: Path) -> None:
    (tmp_path / "in" / "song").mkdir(parents=True)
    sound = 0.1 * np.random.default_rng(0).standard_normal((6 * RATE, 1))
    soundfile.write(tmp_path / "in" / "song" / "bass.wav", sound * [1, 0], RATE)
    soundfile.write(tmp_path / "in" / "song" / "drums.wav", sound * [1, -1], RATE)
    stems = trim(tmp_path / "in", tmp_path / "out", quiet=True).stems
    assert [[issue.code for issue in stem.issues] for stem in stems] == [["one_sided"], ["polarity_inverted"]]
    audio, _ = soundfile.read(tmp_path / "out" / "song" / "bass.flac")
    assert not audio[:, 1].any()  # what is written is what was there


def test_the_manifest_records_its_settings(tmp_path: Path, songs: Path) -> None:
    trim(songs, tmp_path / "out", TrimConfig(first_db=40.0), quiet=True)
    document = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert document["created"]["command"] == "trim"
    assert document["created"]["config"]["first_db"] == 40.0
    assert document["created"]["config"]["regions_only"] is False
    assert document["created"]["inputs"] == [{"layout": "track_folders", "path": "../songs", "sha256": None}]
    assert document["root"] == "."
    assert Manifest.model_validate(document)
