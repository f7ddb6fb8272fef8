"""How people keep stems: every shape is found, nothing is guessed, nothing hangs, and the order is fixed."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import soundfile

from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.errors import ConfigError, ManifestError, SkipReason
from stemclean.layouts import base, looking, naming
from stemclean.layouts.walk import audio_files
from stemclean.manifest import Manifest


def put(folder: Path, *names: str) -> Path:
    """Short sounds of these names, each a different one."""
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = {".wave": "WAV"}.get(path.suffix.lower(), path.suffix[1:].upper())
        soundfile.write(path, np.full((800, 2), 0.01 * (index + 1)), 8000, format=kind)
    return folder


def claims(found: Manifest) -> dict[str, str]:
    return {stem.path: stem.claimed[0] for stem in found.stems}


def track_of(found: Manifest) -> dict[str, str]:
    return {stem.path: stem.track for stem in found.stems}


def skips(found: Manifest) -> dict[str, str]:
    assert all(skip.reason in {*SkipReason} for skip in found.skipped)
    return {skip.path: skip.reason for skip in found.skipped}


class TestTrackFolders:
    def test_names_tell_the_class(self, tmp_path: Path) -> None:
        put(tmp_path, "a song/Drums 2.flac", "a song/01 Lead Vox.wav", "a song/Bass DI.wav", "a song/EGtr L.aiff")
        found = layouts.scan(tmp_path)
        assert claims(found) == {
            "a song/01 Lead Vox.wav": "vocals",
            "a song/Bass DI.wav": "bass",
            "a song/Drums 2.flac": "drums",
            "a song/EGtr L.aiff": "other",
        }
        assert {stem.track for stem in found.stems} == {"a song"}
        assert found.skipped == []

    def test_a_stem_holds_what_the_file_says(self, tmp_path: Path) -> None:
        put(tmp_path, "song/Drums 2.flac")
        (stem,) = layouts.scan(tmp_path).stems
        assert (stem.id, stem.path, stem.track) == ("song/Drums 2", "song/Drums 2.flac", "song")
        assert (stem.sample_rate, stem.channels, stem.num_samples) == (8000, 2, 800)
        assert stem.sha256 == manifest.file_sha256(tmp_path / stem.path)
        assert (stem.claimed, stem.labels, stem.verdict, stem.split) == (["drums"], ["drums"], None, None)
        assert (stem.active, stem.loudness_lufs, stem.peak_dbfs) == (None, None, None)

    def test_songs_may_lie_deep(self, tmp_path: Path) -> None:
        put(tmp_path, "artist/album/one/drums.wav", "artist/album/two/drums.wav", "artist/three/vox.wav")
        assert sorted({stem.track for stem in layouts.scan(tmp_path).stems}) == [
            "artist/album/one",
            "artist/album/two",
            "artist/three",
        ]

    def test_a_folder_in_a_song_may_tell_the_class(self, tmp_path: Path) -> None:
        put(tmp_path, "one/drums/0017.wav", "one/vocals/a8f3.wav", "two/drums/0018.wav", "two/mystery/0001.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {
            "one/drums/0017.wav": "drums",
            "one/vocals/a8f3.wav": "vocals",
            "two/drums/0018.wav": "drums",
        }
        assert track_of(found)["one/vocals/a8f3.wav"] == "one"
        assert skips(found) == {"two/mystery/0001.wav": "class_unknown"}

    def test_a_song_called_like_a_class_is_a_song(self, tmp_path: Path) -> None:
        put(tmp_path, "Bass/drums.wav", "Bass/vocals.wav", "Bass/take 3.wav", "Hello/drums.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {"Bass/drums.wav": "drums", "Bass/vocals.wav": "vocals", "Hello/drums.wav": "drums"}
        assert skips(found) == {"Bass/take 3.wav": "class_unknown"}

    def test_folders_of_classes_in_a_song_speak_for_their_files(self, tmp_path: Path) -> None:
        put(tmp_path, "one/vocals/lead.wav", "one/vocals/backing.wav", "one/other/bass-like pad.wav", "two/drums.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {
            "one/other/bass-like pad.wav": "other",
            "one/vocals/backing.wav": "vocals",
            "one/vocals/lead.wav": "vocals",
            "two/drums.wav": "drums",
        }
        assert set(track_of(found).values()) == {"one", "two"}

    def test_one_song_alone(self, tmp_path: Path) -> None:
        put(tmp_path / "My Song", "drums.wav", "bass.wav")
        assert {stem.track for stem in layouts.scan(tmp_path / "My Song").stems} == {"My Song"}

    def test_songs_side_by_side(self, tmp_path: Path) -> None:
        put(tmp_path, "Sun Rise_drums.wav", "Sun Rise_bass.wav", "Moon_drums.wav", "Moon_vocals 2.wav")
        assert track_of(layouts.scan(tmp_path)) == {
            "Moon_drums.wav": "Moon",
            "Moon_vocals 2.wav": "Moon",
            "Sun Rise_bass.wav": "Sun Rise",
            "Sun Rise_drums.wav": "Sun Rise",
        }

    def test_words_of_the_title_tell_nothing(self, tmp_path: Path) -> None:
        album = "Bass Nation - Piano Man"
        put(tmp_path, *(f"{album}/{album} - {part}.wav" for part in ("drums", "bass", "vocals", "mix", "03")))
        put(tmp_path, "Organ Music/Organ Music_STEM_01.wav", "Organ Music/Organ Music_STEM_02.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {
            f"{album}/{album} - bass.wav": "bass",
            f"{album}/{album} - drums.wav": "drums",
            f"{album}/{album} - vocals.wav": "vocals",
        }
        assert skips(found) == {
            f"{album}/{album} - 03.wav": "class_unknown",
            f"{album}/{album} - mix.wav": "mixture",
            "Organ Music/Organ Music_STEM_01.wav": "class_unknown",
            "Organ Music/Organ Music_STEM_02.wav": "class_unknown",
        }

    def test_titles_in_one_folder(self, tmp_path: Path) -> None:
        songs = ("Piano Man", "Guitar", "Sun")
        put(tmp_path, *(f"{song}_{part}.wav" for song in songs for part in ("drums", "bass", "mixture")))
        found = layouts.scan(tmp_path)
        assert claims(found) == {f"{song}_{part}.wav": part for song in sorted(songs) for part in ("bass", "drums")}
        assert set(track_of(found).values()) == set(songs)
        assert set(skips(found).values()) == {"mixture"}

    def test_words_that_are_a_class_are_no_title(self, tmp_path: Path) -> None:
        put(tmp_path, "a/Drums kick.wav", "a/Drums snare.wav", "b/Bass 1.wav", "b/Bass 2.wav", "c/Wobble Bass.wav")
        put(tmp_path, "d/drums/Big Drum 1.wav", "d/drums/Big Drum 2.wav", "d/vocals/x.wav")
        assert sorted(claims(layouts.scan(tmp_path)).values()) == ["bass"] * 3 + ["drums"] * 4 + ["vocals"]

    def test_words_that_all_share_are_the_class_where_only_takes_differ(self, tmp_path: Path) -> None:
        put(tmp_path, "pack/Wobble Bass 1.wav", "pack/Wobble Bass 2.wav", "takes/Dusty Vox take 1.wav")
        put(tmp_path, "takes/Dusty Vox take 2 L.wav", "Piano Man/Piano Man 1.wav")
        put(tmp_path, "Piano Man/Piano Man 2.wav", "song/Piano Man drums.wav", "song/Piano Man 2.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {
            "pack/Wobble Bass 1.wav": "bass",
            "pack/Wobble Bass 2.wav": "bass",
            "takes/Dusty Vox take 1.wav": "vocals",
            "takes/Dusty Vox take 2 L.wav": "vocals",
            "song/Piano Man drums.wav": "drums",
        }
        titled = ("Piano Man/Piano Man 1.wav", "Piano Man/Piano Man 2.wav", "song/Piano Man 2.wav")
        assert {path: skips(found).get(path) for path in titled} == dict.fromkeys(titled, "class_unknown")

    def test_a_song_of_one_file(self, tmp_path: Path) -> None:
        put(tmp_path, "Bass Nation/Bass Nation_drums.wav", "Piano Man/Piano Man.wav", "Piano Man/vocals.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {"Bass Nation/Bass Nation_drums.wav": "drums", "Piano Man/vocals.wav": "vocals"}
        assert skips(found) == {"Piano Man/Piano Man.wav": "class_unknown"}

    def test_big_and_small_snare_are_one_song(self, tmp_path: Path) -> None:
        put(tmp_path / "s", "big snare.wav", "small snare.wav", "01 kick.wav", "02 bass.wav", "dirty bass.wav")
        assert {stem.track for stem in layouts.scan(tmp_path / "s").stems} == {"s"}


class TestClassFolders:
    def test_files_of_one_name_are_one_song(self, tmp_path: Path) -> None:
        put(tmp_path, "Drums/song1.wav", "bass/song1.flac", "bass/song2.wav", "lead vox/deep/song2.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {
            "Drums/song1.wav": "drums",
            "bass/song1.flac": "bass",
            "bass/song2.wav": "bass",
            "lead vox/deep/song2.wav": "vocals",
        }
        assert track_of(found)["Drums/song1.wav"] == track_of(found)["bass/song1.flac"] == "song1"
        assert track_of(found)["lead vox/deep/song2.wav"] == "deep/song2"

    def test_the_class_in_the_name_is_no_part_of_the_song(self, tmp_path: Path) -> None:
        put(tmp_path, "drums/song1_drums.wav", "bass/song1_bass.wav")
        assert set(track_of(layouts.scan(tmp_path)).values()) == {"song1"}

    def test_the_folder_speaks_for_names_that_say_little(self, tmp_path: Path) -> None:
        put(tmp_path, "other/Piano Man.wav", "other/x.wav", "drums/y.wav", "unsorted/z.wav", "unsorted/kick.wav")
        found = layouts.scan(tmp_path)
        assert claims(found)["other/x.wav"] == "other"
        assert claims(found)["unsorted/kick.wav"] == "drums"
        assert skips(found) == {"unsorted/z.wav": "class_unknown"}

    def test_a_folder_without_a_class_speaks_too(self, tmp_path: Path) -> None:
        put(tmp_path, "vocals/Piano Man.wav", "instrumental/Piano Man.wav", "no_drums/Bass Song.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {"vocals/Piano Man.wav": "vocals"}
        detail = {skip.path: (skip.reason, skip.detail) for skip in found.skipped}
        assert detail == {
            "instrumental/Piano Man.wav": (
                "mixture",
                'its folder "instrumental" says that it is a mixture of some of the classes',
            ),
            "no_drums/Bass Song.wav": ("mixture", 'its folder "no_drums" says that it is without drums'),
        }

    @pytest.mark.parametrize(
        "path",
        [
            "vocals/songA_no_vocals.wav", "vocals/songB_(Instrumental)_UVR.wav", "vocals/no vocals - songA.wav",
            "vocals/songA instrumental.wav", "bass/songA_without bass.wav", "drums/songB drumless.wav",
            "drums/songA_mix.wav", "drums/no_vocals.wav", "vocals/instrumental/songA.wav",
            "drums/songs minus drums.wav",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("song", ["", "song/"])
    def test_a_name_that_lacks_the_class_is_believed(self, tmp_path: Path, path: str, song: str) -> None:
        put(tmp_path, *(f"{song}{label}/songA_{label}.wav" for label in ("vocals", "drums", "bass")), song + path)
        found = layouts.scan(tmp_path)
        assert skips(found) == {song + path: "mixture"}
        assert len(found.stems) == 3

    @pytest.mark.parametrize("song", ["", "song/"])
    def test_a_name_of_another_class_is_not_settled(self, tmp_path: Path, song: str) -> None:
        paths = [song + path for path in ("drums/bass.wav", "vocals/kick.wav", "bass/songA_drums.wav")]
        put(tmp_path, *paths, *(f"{song}{label}/songA.wav" for label in ("vocals", "drums", "bass")))
        found = layouts.scan(tmp_path)
        assert sorted(claims(found).values()) == ["bass", "drums", "vocals"]
        assert skips(found) == dict.fromkeys(paths, "class_unknown")
        detail = {skip.path: skip.detail for skip in found.skipped}[song + "vocals/kick.wav"]
        assert detail == '"kick" says drums, and its folder says vocals: correct one of the two'

    @pytest.mark.parametrize("song", ["", "song/"])
    def test_a_kind_of_the_class_and_a_title_contradict_nothing(self, tmp_path: Path, song: str) -> None:
        kinds = ("drums/kick.wav", "vocals/lead.wav", "bass/synth bass.wav", "bass/synth.wav", "drums/fx.wav")
        titles = ("vocals/Drums of War.wav", "drums/Piano Man_03.wav", "vocals/Life Without Drums.wav",
                  *(f"{label}/Guitar_{at}.wav" for at, label in enumerate(("drums", "bass", "vocals"))),
                  *(f"{label}/Song (Original Mix).wav" for label in ("drums", "bass")))  # fmt: skip
        put(tmp_path, *(song + path for path in (*kinds, *titles)))
        found = layouts.scan(tmp_path)
        assert claims(found) == {path: path.removeprefix("song/").partition("/")[0] for path in claims(found)}
        assert (len(found.stems), skips(found)) == (len(kinds) + len(titles), {})

    def test_a_song_called_like_a_class_beside_classes(self, tmp_path: Path) -> None:
        put(tmp_path, "vocals/x.wav", "drums/x.wav", "Guitar/01_vocals.wav", "Guitar/02_bass.wav", "Guitar/03_x.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {
            "Guitar/01_vocals.wav": "vocals",
            "Guitar/02_bass.wav": "bass",
            "drums/x.wav": "drums",
            "vocals/x.wav": "vocals",
        }
        assert track_of(found)["Guitar/01_vocals.wav"] == "Guitar"
        assert skips(found) == {"Guitar/03_x.wav": "class_unknown"}

    def test_a_title_that_is_a_class(self, tmp_path: Path) -> None:
        put(tmp_path, "drums/Piano Man_drums.wav", "bass/Piano Man_bass.wav")
        assert set(track_of(layouts.scan(tmp_path)).values()) == {"Piano Man"}


class TestWhatIsPassedOver:
    def test_what_lacks_a_class_is_a_mixture(self, tmp_path: Path) -> None:
        put(tmp_path, "song/vocals.wav", "song/no_vocals.wav", "song/accompaniment.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {"song/vocals.wav": "vocals"}
        assert {skip.path: (skip.reason, skip.detail) for skip in found.skipped} == {
            "song/accompaniment.wav": ("mixture", '"accompaniment" says that it is a mixture of some of the classes'),
            "song/no_vocals.wav": ("mixture", '"no_vocals" says that it is without vocals'),
        }

    def test_mixtures_are_kept_apart(self, tmp_path: Path) -> None:
        put(tmp_path, "song/mixture.wav", "song/Full Mix.wav", "song/drums.wav", "song/drum mix.wav")
        found = layouts.scan(tmp_path)
        assert skips(found) == {"song/mixture.wav": "mixture", "song/Full Mix.wav": "mixture"}
        assert claims(found) == {"song/drums.wav": "drums", "song/drum mix.wav": "drums"}

    def test_a_folder_of_mixtures(self, tmp_path: Path) -> None:
        put(tmp_path, "drums/song1.wav", "bass/song1.wav", "mixture/song1.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {"bass/song1.wav": "bass", "drums/song1.wav": "drums"}
        assert skips(found) == {"mixture/song1.wav": "mixture"}

    def test_two_classes_or_none_are_not_guessed(self, tmp_path: Path) -> None:
        put(tmp_path, "song/drums and bass.wav", "song/stem 4.wav", "song/vocals.wav")
        found = layouts.scan(tmp_path)
        assert skips(found) == {"song/drums and bass.wav": "class_unknown", "song/stem 4.wav": "class_unknown"}
        assert all(skip.detail for skip in found.skipped)

    def test_which_name_was_looked_at_is_told(self, tmp_path: Path) -> None:
        put(tmp_path, "a/drums and bass.wav", "a/stem 4.wav", "a/vocals.wav", "a/odds/0001.wav", "loose.wav")
        detail = {skip.path: skip.detail for skip in layouts.scan(tmp_path).skipped}
        assert detail == {
            "a/drums and bass.wav": '"drums and bass" names 2 classes: bass, drums, and its folder "a" is none',
            "a/odds/0001.wav": '"0001" names no class, and its folder "odds" is none',
            "a/stem 4.wav": '"stem 4" names no class, and its folder "a" is none',
            "loose.wav": '"loose" names no class',
        }

    def test_other_files_are_no_business_of_ours(self, tmp_path: Path) -> None:
        put(tmp_path, "song/drums.wav", "__MACOSX/song/drums.wav", ".hidden/song/drums.wav")
        for name in ("notes.txt", "cover.jpg", "._drums.wav", ".DS_Store", "project.als", "drums.wav.asd"):
            (tmp_path / "song" / name).write_bytes(b"\0\1\2")
        found = layouts.scan(tmp_path)
        assert [stem.path for stem in found.stems] == ["song/drums.wav"]
        assert found.skipped == []

    def test_one_id_is_one_stem(self, tmp_path: Path) -> None:
        put(tmp_path, "song/drums.flac", "song/drums.wav")
        found = layouts.scan(tmp_path)
        assert [stem.path for stem in found.stems] == ["song/drums.flac"]
        assert skips(found) == {"song/drums.wav": "duplicate_id"}

    def test_every_broken_file_has_its_reason_and_the_rest_is_there(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "song", "drums.wav", "bass.wav", "vox.flac", "keys.wav", "pad.wav", "hat.wav")
        (folder / "bass.wav").write_bytes(b"")
        (folder / "vox.flac").write_bytes(b"this is text")
        (folder / "keys.wav").write_bytes((folder / "drums.wav").read_bytes()[:700])
        soundfile.write(folder / "x.flac", np.zeros((100, 1)), 8000)
        (folder / "x.flac").replace(folder / "pad.wav")
        (folder / "hat.wav").unlink()
        (folder / "hat.wav").symlink_to(folder / "nowhere.wav")
        found = layouts.scan(tmp_path)
        assert claims(found) == {"song/drums.wav": "drums"}
        assert skips(found) == {
            "song/bass.wav": "empty",
            "song/hat.wav": "not_found",
            "song/keys.wav": "truncated",
            "song/pad.wav": "wrong_extension",
            "song/vox.flac": "not_audio",
        }

    def test_a_folder_that_may_not_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path, "song/drums.wav", "locked/drums.wav")
        scandir = os.scandir

        def refuse(path: Path) -> object:
            if Path(path).name == "locked":
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        found = layouts.scan(tmp_path)
        assert claims(found) == {"song/drums.wav": "drums"}
        assert skips(found) == {"locked": "no_permission"}

    def test_a_name_that_is_no_utf8(self, tmp_path: Path) -> None:
        put(tmp_path, "song/drums.wav")
        os.rename(os.fsencode(tmp_path / "song/drums.wav"), os.fsencode(tmp_path) + b"/song/drums\xff.wav")  # noqa: PTH104
        found = layouts.scan(tmp_path)
        assert skips(found) == {"song/drums\\xff.wav": "unreadable"}
        assert manifest.write(found, tmp_path / "m.json").exists()


def test_unicode_spaces_and_brackets(tmp_path: Path) -> None:
    names = ["Ärger & Söhne/Schlagzeug (drums) [final].wav", "音楽/ボーカル vocals.wav", "a#b%20c/bass 'DI'.wav"]
    put(tmp_path, *names)
    found = layouts.scan(tmp_path)
    assert sorted(claims(found)) == sorted(names)
    assert manifest.read(manifest.write(found, tmp_path / "m.json")).stems == found.stems


def test_loops_of_links_end(tmp_path: Path) -> None:
    put(tmp_path / "data", "song/drums.wav")
    (tmp_path / "data" / "a loop").symlink_to(tmp_path / "data", target_is_directory=True)
    (tmp_path / "data" / "song" / "up").symlink_to(tmp_path / "data" / "song", target_is_directory=True)
    put(tmp_path / "elsewhere", "other song/bass.wav")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    paths = [path.relative_to(tmp_path / "data").as_posix() for path in audio_files(tmp_path / "data")]
    assert paths == ["linked/other song/bass.wav", "song/drums.wav"]
    assert track_of(layouts.scan(tmp_path / "data"))["linked/other song/bass.wav"] == "linked/other song"


def test_the_same_files_give_the_same_bytes(tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    for name in ("one", "two"):
        make_dataset(tmp_path / name / "stems", seconds=0.5)
        found = layouts.scan(tmp_path / name / "stems")
        root = manifest.relative_root(found.root, tmp_path / name / "m.json")
        manifest.write(found.model_copy(update={"root": root}), tmp_path / name / "m.json")
    assert (tmp_path / "one" / "m.json").read_bytes() == (tmp_path / "two" / "m.json").read_bytes()


def test_nothing_is_decoded(tmp_path: Path, make_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(tmp_path, seconds=0.5)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("scan read samples"))
    assert len(layouts.scan(tmp_path).stems) == 8


class TestStreams:
    titles = ("Master", "Drums", "Bass", "Synth", "Vox")

    def parts(self) -> list[np.ndarray]:
        return [np.full((2, 9000), 0.01 * (index + 1), np.float32) for index in range(5)]

    def expect(self, found: Manifest, path: str, track: str) -> None:
        identity = path.rsplit(".", 1)[0]
        assert {stem.id: (stem.claimed[0], stem.stream) for stem in found.stems} == {
            f"{identity}#1": ("drums", 1),
            f"{identity}#2": ("bass", 2),
            f"{identity}#3": ("other", 3),
            f"{identity}#4": ("vocals", 4),
        }
        assert {stem.track for stem in found.stems} == {track}
        assert skips(found) == {f"{path}#0": "mixture"}

    def test_titles_of_streams(self, tmp_path: Path, encode: Callable[..., Path]) -> None:
        encode(tmp_path / "album/My Song.mka", self.parts(), 44100, "flac", self.titles)
        self.expect(layouts.scan(tmp_path), "album/My Song.mka", "album/My Song")

    def test_a_stem_mp4_tells_by_its_own_box(
        self, tmp_path: Path, encode: Callable[..., Path], add_stem_names: Callable[..., None]
    ) -> None:
        path = encode(tmp_path / "My Song.stem.mp4", self.parts(), 44100, "alac")
        unnamed = layouts.scan(tmp_path)
        assert unnamed.stems == []  # the order of the streams is no name
        assert sorted(skips(unnamed).values()) == ["class_unknown"] * 4 + ["mixture"]
        add_stem_names(path, self.titles[1:])
        self.expect(layouts.scan(tmp_path), "My Song.stem.mp4", "My Song")
        assert files.read(path, stream=3)[0, 4000] == pytest.approx(0.04, abs=1e-4)


class TestCsv:
    def write(self, path: Path, text: str) -> Path:
        path.write_text(text, encoding="utf-8-sig")
        return path

    def test_files_anywhere(self, tmp_path: Path) -> None:
        put(tmp_path, "a/one/x1.wav", "b/two/x2.wav", "b/two/x3.wav", "lists/near.wav")
        rows = ["instrum,path", f"Lead Vox,{tmp_path}/a/one/x1.wav", f"drumset,{tmp_path}/b/two/x2.wav",
                "bass,../b/two/x3.wav", "keys,near.wav"]  # fmt: skip
        found = layouts.scan(self.write(tmp_path / "lists" / "list.csv", "\n".join(rows)))
        assert Path(found.root) == tmp_path
        assert claims(found) == {
            "a/one/x1.wav": "vocals",
            "b/two/x2.wav": "drums",
            "b/two/x3.wav": "bass",
            "lists/near.wav": "other",
        }
        assert track_of(found)["b/two/x2.wav"] == "b/two"
        assert [item.path for item in found.created.inputs] == [(tmp_path / "lists" / "list.csv").as_posix()]

    def test_what_cannot_be_used_is_listed(self, tmp_path: Path) -> None:
        put(tmp_path, "s/x1.wav", "s/x2.wav", "s/x3.wav")
        text = "instrum,path\ndrums,s/x1.wav\nspectrum?,s/x2.wav\nbass,s/gone.wav\nmixture,s/x3.wav\nbass,s/x1.wav\n\n"
        found = layouts.scan(self.write(tmp_path / "list.csv", text))
        assert claims(found) == {}
        assert [(skip.path, skip.reason) for skip in found.skipped] == [
            ("gone.wav", "not_found"),
            ("x1.wav", "conflicting_rows"),
            ("x2.wav", "class_unknown"),
            ("x3.wav", "mixture"),
        ]
        detail = {skip.path: skip.detail for skip in found.skipped}
        assert detail["x2.wav"] == 'line 3 says "spectrum?", which names no class'

    def test_files_without_a_folder_in_common_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, "one/x1.wav", "two/x2.wav")
        path = self.write(tmp_path / "list.csv", f"instrum,path\ndrums,{tmp_path}/one/x1.wav\nbass,two/x2.wav\n")
        monkeypatch.setattr(looking, "common_folder", lambda paths: Path(paths[0].parent if len(paths) == 1 else "/"))
        with pytest.raises(ConfigError, match="have no folder in common") as caught:
            layouts.scan(path)
        assert "ln -s" in caught.value.hint

    def test_two_disks_have_nothing_in_common(self) -> None:
        paths = [Path("/mnt/one/a.wav"), Path("/media/two/b.wav")]
        assert naming.common_folder(paths) == Path("/")
        assert naming.common_folder([PureWindowsPath("C:/a/x.wav"), PureWindowsPath("D:/b/y.wav")]) == PureWindowsPath(
            "C:/"
        )  # and it ends

    def test_a_file_that_is_nowhere_moves_no_root(self, tmp_path: Path) -> None:
        put(tmp_path, "s/x1.wav", "s/x2.wav")
        text = "instrum,path\ndrums,s/x1.wav\nbass,s/x2.wav\nbass,/nowhere/x3.wav\n"
        found = layouts.scan(self.write(tmp_path / "list.csv", text))
        assert Path(found.root) == tmp_path / "s"
        assert skips(found) == {"/nowhere/x3.wav": "not_found"}
        text = "instrum,path\nbass,/nowhere/x3.wav\n"
        none = layouts.scan(self.write(tmp_path / "list.csv", text))
        assert (none.stems, skips(none)) == ([], {"/nowhere/x3.wav": "not_found"})

    def test_paths_of_windows(self, tmp_path: Path) -> None:
        put(tmp_path, "a b/x1.wav", "a b/x\\2.wav")
        text = "instrum,path\ndrums,a b\\x1.wav\nbass,a b/x\\2.wav\nvox,C:\\songs\\x.wav\n"
        found = layouts.scan(self.write(tmp_path / "list.csv", text))
        assert claims(found) == {"x1.wav": "drums", "x\\2.wav": "bass"}
        (skip,) = found.skipped
        assert skip.reason == "not_found"
        assert skip.detail == r"line 4 has the Windows path C:\songs\x.wav; write the path that this machine uses"

    def test_a_split_that_is_none_is_refused(self, tmp_path: Path) -> None:
        put(tmp_path, "x1.wav")
        path = self.write(tmp_path / "list.csv", "instrum,path,split\ndrums,x1.wav,tset\n")
        with pytest.raises(ConfigError, match='line 2: no split named "tset"'):
            layouts.scan(path)

    @pytest.mark.parametrize(
        ("lines", "told"),
        [
            ('bass,"x1.wav\nvocals,x2.wav\ndrums,x3.wav\n', "line 2: a quote is not closed"),
            ('bass,"x1.wav\nvocals,"x2.wav"\n', "line 2: a quote is not closed"),
            ("vocals,x1.wav\nbass\n", "line 3: the path is empty"),
            ("vocals,x1.wav\nbass,\n", "line 3: the path is empty"),
            ("vocals,take 1, loud.wav\n", "line 2: 3 cells, but the header has 2"),
            ("vocals,x1.wav\n\nbass," + "x" * 140_000 + "\n", "line 4: a cell is longer than any path"),
            (
                "vocals,x1.wav\nbass," + "x" * 300 + ".wav\n",
                "line 3: the path, of 304 characters, or a name in it is too long",
            ),
            ("vocals,x1.wav\nbass," + "x/" * 9000 + "x.wav\n", "line 3: the path, of 18005 characters, or a name"),
            ("vocals,x\0.wav\n", "line 2: "),
            ('vocals,"x1.wav" b\n', "line 2: "),
            ("".join(f"bass{number}\n" for number in range(9)), "line 6: the path is empty; and 4 more"),
        ],
    )
    def test_broken_lines_are_refused_by_number(self, tmp_path: Path, lines: str, told: str) -> None:
        put(tmp_path, "x1.wav", "x2.wav", "x3.wav")
        with pytest.raises(ConfigError) as caught:
            layouts.scan(self.write(tmp_path / "list.csv", "instrum,path\n" + lines))
        assert told in caught.value.message

    @pytest.mark.parametrize(
        ("header", "told"),
        [
            ("instrum,path,path", 'line 1: 2 columns are called "path"'),
            ('"instrum,path', "line 1: a quote is not closed"),
        ],
    )
    def test_a_broken_header_is_refused_by_number(self, tmp_path: Path, header: str, told: str) -> None:
        put(tmp_path, "x1.wav")
        with pytest.raises(ConfigError) as caught:
            layouts.scan(self.write(tmp_path / "list.csv", f"{header}\nbass,x1.wav,x1.wav\n"))
        assert told in caught.value.message

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_accents_in_either_form(self, tmp_path: Path, form: str) -> None:
        other = {"NFC": "NFD", "NFD": "NFC"}[form]
        put(tmp_path, unicodedata.normalize(other, "Café/Bähn/x1.wav"))
        text = unicodedata.normalize(form, "instrum,path\nbass,Café/Bähn/x1.wav")
        found = layouts.scan(self.write(tmp_path / "list.csv", text))
        assert list(claims(found).values()) == ["bass"]
        assert found.skipped == []

    def test_two_rows_of_one_file(self, tmp_path: Path) -> None:
        put(tmp_path, "x1.wav", "x2.wav", "x3.wav", "x4.wav")
        (tmp_path / "link.wav").symlink_to(tmp_path / "x4.wav")
        rows = ["vocals,x1.wav,", "bass,./x1.wav,", "drums,x2.wav,train", "drums,x2.wav,test", "vox,x3.wav,",
                "Vocals,x3.wav,", "bass,x4.wav,", "drums,link.wav,"]  # fmt: skip
        found = layouts.scan(self.write(tmp_path / "list.csv", "\n".join(["instrum,path,split", *rows])))
        assert claims(found) == {"x3.wav": "vocals"}
        assert [(skip.path, skip.reason, skip.detail) for skip in found.skipped] == [
            ("x1.wav", "conflicting_rows", "line 2 says vocals and line 3 says bass"),
            ("x2.wav", "conflicting_rows", "line 4 says drums, train and line 5 says drums, test"),
            ("x3.wav", "duplicate_id", "line 7 repeats line 6"),
            ("x4.wav", "conflicting_rows", "line 8 says bass and line 9 says drums"),
        ]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_encodings_and_line_ends(self, tmp_path: Path, encoding: str, end: str) -> None:
        put(tmp_path, "Ä.wav", "x\u2028y.wav")
        text = end.join(["sep=;", "instrum;path", "bass;Ä.wav", "drums;x\u2028y.wav", ""])
        (tmp_path / "list.csv").write_bytes(text.encode(encoding))
        if encoding == "utf-16-le":  # nothing says so
            with pytest.raises(ConfigError, match="UTF-16 without a byte order mark"):
                layouts.scan(tmp_path / "list.csv")
        else:
            assert sorted(claims(layouts.scan(tmp_path / "list.csv")).values()) == ["bass", "drums"]

    def test_a_folder_in_a_list_is_listed_as_one(self, tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
        """Also where it is the deepest folder that holds all the others."""
        make_dataset(tmp_path / "data", tracks=1, seconds=1.0, labels=["drums"])
        listed = tmp_path / "data" / "list.csv"
        listed.write_text("instrum,path\ndrums,song 1/drums.wav\nother,../data\n", encoding="utf-8")
        found, _ = layouts.load(listed, quiet=True)
        assert [stem.claimed for stem in found.stems] == [["drums"]]
        assert [(skip.reason, skip.detail) for skip in found.skipped] == [
            ("not_audio", "it is a folder; list the files in it")
        ]

    def test_a_list_without_a_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="names no file"):
            layouts.scan(self.write(tmp_path / "list.csv", "instrum,path\n"))

    def test_other_columns_and_delimiters(self, tmp_path: Path) -> None:
        put(tmp_path, "x1.wav", "x2.wav")
        text = "File;Class;Song;Split\nx1.wav;drums;Song A;test\nx2.wav;vox;Song A;val\n"
        found = layouts.scan(self.write(tmp_path / "list.csv", text))
        assert [(s.path, s.claimed, s.track, s.split) for s in found.stems] == [
            ("x1.wav", ["drums"], "Song A", "test"),
            ("x2.wav", ["vocals"], "Song A", "validation"),
        ]

    def test_a_root_keeps_what_is_outside_out(self, tmp_path: Path) -> None:
        put(tmp_path, "in/x1.wav", "out/x2.wav")
        path = self.write(tmp_path / "list.csv", "instrum,path\ndrums,in/x1.wav\nbass,out/x2.wav\n")
        found = layouts.scan(path, root=tmp_path / "in")
        assert claims(found) == {"x1.wav": "drums"}
        assert [skip.reason for skip in found.skipped] == ["outside_root"]

    @pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "instrum\ndrums\n", "path\nx.wav\n"])
    def test_a_list_of_something_else_is_refused(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(ConfigError, match="no column for the"):
            layouts.scan(self.write(tmp_path / "list.csv", text))

    def test_bytes_that_are_no_text_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "list.csv").write_bytes(b"instrum,path\ndrums,\xff\xfe.wav\n")
        with pytest.raises(ConfigError, match="UTF-8"):
            layouts.scan(tmp_path / "list.csv")


class TestManifests:
    def stored(self, folder: Path, make_dataset: Callable[..., Path], name: str = "m.json") -> Path:
        make_dataset(folder / "stems", seconds=0.5)
        found = layouts.scan(folder / "stems")
        path = folder / name
        return manifest.write(found.model_copy(update={"root": manifest.relative_root(found.root, path)}), path)

    @pytest.mark.parametrize("name", ["m.json", "m.jsonl", "m.jsonl.gz"])
    def test_a_manifest_is_itself(self, tmp_path: Path, make_dataset: Callable[..., Path], name: str) -> None:
        path = self.stored(tmp_path, make_dataset, name)
        scanned = layouts.scan(tmp_path / "stems")
        found, folder = layouts.load(path)
        assert found.stems == scanned.stems
        assert folder.resolve() == (tmp_path / "stems").resolve()
        assert all((folder / stem.path).is_file() for stem in found.stems)

    @pytest.mark.parametrize("name", ["m.json", "m.jsonl"])
    def test_a_mark_of_the_byte_order_is_no_fault(
        self, tmp_path: Path, make_dataset: Callable[..., Path], name: str
    ) -> None:
        path = self.stored(tmp_path, make_dataset, name)
        plain = layouts.load(path)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert layouts.load(path) == plain

    def test_a_declared_split_stays(self, tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
        path = self.stored(tmp_path, make_dataset)
        document = json.loads(path.read_text())
        document["stems"][0]["split"] = "test"
        path.write_text(json.dumps(document))
        assert [stem.split for stem in layouts.scan(path).stems] == ["test"] + [None] * 7

    def test_a_folder_with_a_manifest_is_read_through_it(
        self, tmp_path: Path, make_dataset: Callable[..., Path]
    ) -> None:
        make_dataset(tmp_path, seconds=0.5)
        found = layouts.scan(tmp_path)
        first = found.stems[0].model_copy(update={"claimed": ["other"], "labels": ["other"]})
        kept = found.with_stems([first, *found.stems[1:-1]], root=".")
        manifest.write(kept, tmp_path / "manifest.json")
        loaded, folder = layouts.load(tmp_path)
        assert folder == tmp_path
        assert loaded.stems == kept.stems
        assert skips(loaded) == {found.stems[-1].path: "not_in_manifest"}
        assert layouts.scan(tmp_path).stems == found.stems  # scan looks at the files, whatever a manifest says

    def test_a_number_sign_in_a_name_is_no_stream(self, tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
        make_dataset(tmp_path, tracks=1, seconds=0.5)
        (tmp_path / "F# minor").mkdir()
        (tmp_path / "F# minor" / "bass.wav").write_text("no sound")
        manifest.write(layouts.scan(tmp_path).model_copy(update={"root": "."}), tmp_path / "manifest.json")
        assert skips(layouts.load(tmp_path)[0]) == {"F# minor/bass.wav": "not_audio"}

    def test_a_broken_manifest_is_refused_with_its_address(
        self, tmp_path: Path, make_dataset: Callable[..., Path]
    ) -> None:
        path = self.stored(tmp_path, make_dataset)
        path.write_text(path.read_text().replace('"num_samples": 11025', '"num_samples": -1', 1))
        with pytest.raises(ManifestError, match=r"stems\[0\]\.num_samples"):
            layouts.load(path)


class TestRefusals:
    def test_no_such_place(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no such file or folder"):
            layouts.load(tmp_path / "nowhere")

    @pytest.mark.parametrize("look", [layouts.load, layouts.check])
    def test_no_audio(self, tmp_path: Path, look: Callable[[Path], object]) -> None:
        (tmp_path / "readme.txt").write_text("x")
        with pytest.raises(ConfigError, match="no audio files") as caught:
            look(tmp_path)
        assert ".flac" in caught.value.hint

    @pytest.mark.parametrize("name", ["nowhere", "nowhere.json", "song.txt"])
    def test_the_quick_look_refuses_what_loading_would(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "song.txt").write_text("x")
        with pytest.raises(ConfigError) as loading:
            layouts.load(tmp_path / name)
        with pytest.raises(ConfigError) as looking:
            layouts.check(tmp_path / name)
        assert str(looking.value) == str(loading.value)

    def test_the_quick_look_lets_pass_what_can_be_loaded(self, tmp_path: Path) -> None:
        put(tmp_path / "real", "song/drums.wav")
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "song").symlink_to(tmp_path / "real" / "song", target_is_directory=True)
        (tmp_path / "list.csv").write_text("instrum,path\ndrums,real/song/drums.wav\n")
        manifest.write(layouts.scan(tmp_path / "real"), tmp_path / "m.json")
        for name in ("real", "linked", "list.csv", "m.json"):
            layouts.check(tmp_path / name)
            assert len(layouts.load(tmp_path / name)[0].stems) == 1

    def test_no_shape_that_is_known(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no known layout"):
            layouts.scan(put(tmp_path, "song.wav") / "song.wav")


class TestContract:
    """What every layout promises; a new file is tested the moment it exists."""

    @pytest.mark.parametrize("name", list(base.layouts()))
    def test_its_name_is_its_file(self, name: str) -> None:
        layout = base.layouts()[name]
        assert layout.name == name
        assert isinstance(layout, base.Reader | base.Writer)

    @pytest.mark.parametrize("name", [key for key, item in base.layouts().items() if isinstance(item, base.Reader)])
    def test_reading_says_what_it_cannot_read(self, name: str, tmp_path: Path) -> None:
        layout = base.layouts()[name]
        assert isinstance(layout, base.Reader)
        assert layout.can_read(tmp_path / "nothing here", layouts.FOUR_STEMS) is False

    def test_priorities_are_settled(self) -> None:
        priorities = [item.priority for item in base.layouts().values() if isinstance(item, base.Reader)]
        assert len(set(priorities)) == len(priorities)

    def test_an_unknown_writer_names_the_known(self) -> None:
        with pytest.raises(ConfigError, match='no layout named "nope" can be written') as caught:
            base.writer("nope")
        assert "zfturbo" in caught.value.hint
