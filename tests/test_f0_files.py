"""F0 files next to the stems: the right ones are found, and a broken one does not affect its stem."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemclean import layouts, manifest
from stemclean.audio.f0 import F0Track
from stemclean.errors import SkipReason
from stemclean.labels import KARAOKE
from stemclean.layouts import f0_labels
from stemclean.layouts.f0_labels import Beside
from stemclean.manifest import Manifest
from stemclean.units import midi_to_hz

SECONDS = 2.0


def put(folder: Path, *files: str) -> Path:
    """Sounds of two seconds, and labels of them in the format that their endings have."""
    for index, name in enumerate(files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in {".wav", ".flac"}:
            soundfile.write(path, np.full(round(8000 * SECONDS), 0.01 * (index + 1)), 8000)
        else:
            formats = {".pv": "mir1k", ".csv": "stemclean", ".txt": "mir_eval", ".json": "mir_st500"}
            f0_labels.write(voice(), path, formats[path.suffix])
    return folder


def voice(seconds: float = SECONDS) -> F0Track:
    time = np.arange(0, seconds, 0.01)
    return F0Track.of(midi_to_hz(60 + 4 * np.sin(time)) * (time % 0.7 < 0.5), 0.01)


def f0_of(data: Manifest) -> dict[str, str]:
    return {stem.path: stem.f0.path for stem in data.stems if stem.f0}


def skips(data: Manifest) -> dict[str, str]:
    assert all(skip.reason in {*SkipReason} for skip in data.skipped)
    return {skip.path: skip.reason for skip in data.skipped}


class TestFinding:
    @pytest.mark.parametrize(
        "name",
        ["f0.pv", "pitch.csv", "vocals.pv", "vocals.f0.csv", "Vocals_F0.csv", "vox f0.txt", "a.f0.txt", "notes.json"],
    )
    def test_a_label_beside_the_vocals_belongs_to_them(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, "a/vocals.wav", "a/accompaniment.wav", "b/vocals.wav", "b/accompaniment.wav", f"a/{name}")
        data = layouts.scan(tmp_path, profile=KARAOKE)
        assert f0_of(data) == {"a/vocals.wav": f"a/{name}"}
        assert data.skipped == []
        (stem,) = (stem for stem in data.stems if stem.f0)
        assert stem.f0 is not None and stem.f0.annotated and stem.f0.confidence is None
        assert stem.f0.sha256 == manifest.file_sha256(tmp_path / stem.f0.path)
        track = f0_labels.read(tmp_path / stem.f0.path, stem.f0.format, beside=Beside(stem.duration))
        assert track.voiced.sum() == pytest.approx(voice().voiced.sum() * 0.01 / track.hop, abs=3)  # edges of phrases

    def test_songs_in_one_folder_have_separate_labels(self, tmp_path: Path) -> None:
        put(tmp_path, "one_vocals.wav", "one_bass.wav", "two_vocals.wav", "two_bass.wav", "one.pv", "two_vocals.f0.csv")
        assert f0_of(layouts.scan(tmp_path)) == {"one_vocals.wav": "one.pv", "two_vocals.wav": "two_vocals.f0.csv"}

    def test_class_folders_have_labels_beside_the_sounds(self, tmp_path: Path) -> None:
        put(tmp_path, "vocals/one.wav", "vocals/two.wav", "drums/one.wav", "drums/two.wav", "vocals/two.pv")
        data = layouts.scan(tmp_path)
        assert data.created.config["layout"] == "class_folders"
        assert f0_of(data) == {"vocals/two.wav": "vocals/two.pv"}

    def test_a_list_finds_labels(self, tmp_path: Path) -> None:
        put(tmp_path, "x/take 7.wav", "x/take 8.wav", "x/take 7.f0.csv")
        (tmp_path / "list.csv").write_text("instrum,path\nvocals,x/take 7.wav\nbass,x/take 8.wav\n")
        assert f0_of(layouts.scan(tmp_path / "list.csv", root=tmp_path)) == {"x/take 7.wav": "x/take 7.f0.csv"}

    def test_a_hop_of_32_ms_is_recognised_by_the_length(self, tmp_path: Path) -> None:
        put(tmp_path, "a/vocals.wav", "a/other.wav")
        f0_labels.write(voice(), tmp_path / "a/f0.pv", "ikala")
        (stem,) = (stem for stem in layouts.scan(tmp_path).stems if stem.f0)
        assert stem.f0 is not None and stem.f0.format == "ikala"

    def test_a_song_among_many_is_found_by_name(self, tmp_path: Path) -> None:
        put(tmp_path, "17/vocals.wav", "18/vocals.wav")
        both = json.dumps({"17": [[0.5, 1.0, 60]], "18": [[0.0, 0.2, 64]]})
        for song in ("17", "18"):
            (tmp_path / song / "notes.json").write_text(both)
        data = layouts.scan(tmp_path)
        assert len(f0_of(data)) == 2 and not data.skipped

    def test_only_vocals_have_labels(self, tmp_path: Path) -> None:
        put(tmp_path, "a/vocals.wav", "a/bass.wav", "a/bass.f0.csv", "a/bass.pv")
        data = layouts.scan(tmp_path)
        assert f0_of(data) == {} and data.skipped == []

    def test_labels_with_confidences_are_estimates(self, tmp_path: Path) -> None:
        put(tmp_path, "a/vocals.wav", "b/vocals.wav", "b/f0.csv")
        annotation = voice()
        sure = np.where(annotation.voiced, 0.9, 0.7)
        f0_labels.write(F0Track(annotation.f0_hz, sure, annotation.hop, 0.0, sure), tmp_path / "a/vocals.f0.csv")
        guessed, annotated = (stem.f0 for stem in layouts.scan(tmp_path).stems)
        assert guessed is not None and annotated is not None
        assert (guessed.by, guessed.confidence) == ("estimate", pytest.approx(sure.mean(), abs=1e-4))
        assert not guessed.annotated and annotated.annotated


class TestMixtures:
    @pytest.mark.parametrize("name", ["f0.pv", "mixture.f0.csv", "a.pv"])
    def test_a_mixture_with_f0_but_no_vocals_counts_as_every_class(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, "a/mixture.wav", f"a/{name}", "b/mixture.wav")
        data = layouts.scan(tmp_path, profile=KARAOKE)
        (stem,) = data.stems
        assert (stem.id, stem.track) == ("a/mixture", "a")
        assert stem.claimed == stem.labels == ["vocals", "accompaniment"]
        assert stem.f0 is not None and stem.f0.path == f"a/{name}"
        assert skips(data) == {"b/mixture.wav": "mixture"}
        assert manifest.read(manifest.write(data, tmp_path / "m.json")).stems == [stem]

    def test_f0_belongs_to_the_vocals_if_present(self, tmp_path: Path) -> None:
        put(tmp_path, "a/mixture.wav", "a/vocals.wav", "a/mixture.pv")
        data = layouts.scan(tmp_path, profile=KARAOKE)
        assert f0_of(data) == {"a/vocals.wav": "a/mixture.pv"}
        assert skips(data) == {"a/mixture.wav": "mixture"}

    def test_a_mixture_with_a_broken_label_stays_a_mixture(self, tmp_path: Path) -> None:
        put(tmp_path, "a/mixture.wav", "b/vocals.wav")
        (tmp_path / "a/f0.pv").write_text("la la la\n")
        assert skips(layouts.scan(tmp_path)) == {"a/mixture.wav": "mixture", "a/f0.pv": "f0_unreadable"}


class TestBroken:
    @pytest.mark.parametrize(
        ("text", "reason", "says"),
        [
            ("60\nsixty\n", "f0_unreadable", "line 2"),
            ("220.5\n230.1\n", "f0_wrong_unit", "these look like frequencies in Hz"),
            ("60\n" * 300, "f0_wrong_length", "its last voiced frame is at 6.00 s, but the audio ends at 2.00 s"),
            ("", "f0_unreadable", "the file is empty"),
        ],
    )
    def test_a_broken_label_does_not_affect_its_stem(self, tmp_path: Path, text: str, reason: str, says: str) -> None:
        put(tmp_path, "a/vocals.wav", "a/drums.wav", "b/vocals.wav", "b/f0.pv")
        (tmp_path / "a/f0.pv").write_text(text)
        data = layouts.scan(tmp_path)
        assert len(data.stems) == 3
        assert f0_of(data) == {"b/vocals.wav": "b/f0.pv"}
        (skip,) = data.skipped
        assert (skip.path, skip.reason) == ("a/f0.pv", reason)
        assert says in skip.detail

    def test_unmatched_labels_are_reported(self, tmp_path: Path) -> None:
        put(tmp_path, "a/lead vox.wav", "a/backing vox.wav", "a/f0.pv", "b/vocals.wav", "b/f0.csv", "b/vocals.pv")
        data = layouts.scan(tmp_path)
        assert skips(data) == {"a/f0.pv": "f0_without_stem", "b/vocals.pv": "f0_ambiguous"}
        assert f0_of(data) == {"b/vocals.wav": "b/f0.csv"}

    def test_other_text_files_are_ignored(self, tmp_path: Path) -> None:
        put(tmp_path, "a/vocals.wav", "a/drums.wav")
        for name in ("vocals.csv", "lyrics.txt", "a.json", "info.json", "pitchfork.txt", ".f0.csv", "notes.txt"):
            (tmp_path / "a" / name).write_text("nothing to read here")
        data = layouts.scan(tmp_path)
        assert len(data.stems) == 2 and f0_of(data) == {} and data.skipped == []


def test_real_clips_have_f0(tmp_path: Path, mir1k: Path) -> None:
    for clip in sorted(mir1k.iterdir())[::50]:
        (tmp_path / clip.name).symlink_to(clip)
    data = layouts.scan(tmp_path, profile=KARAOKE, quiet=True)
    assert data.skipped == []
    assert {stem.claimed[0]: stem.f0 is not None for stem in data.stems} == {"vocals": True, "accompaniment": False}
    assert {stem.f0.format for stem in data.stems if stem.f0} == {"mir1k"}
