"""mirdata's loader of Slakh finds the same stems, instruments and splits as our reader in the same tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from dataset_trees import write_slakh

from stemclean import layouts

NEEDED = {"reason": "mirdata is not installed: pip install --no-deps mirdata", "exc_type": ImportError}
slakh = pytest.importorskip("mirdata.datasets.slakh", **NEEDED)
pytestmark = pytest.mark.filterwarnings("ignore")  # of other packages


def index(folder: Path) -> dict[str, Any]:
    """List the tree as mirdata's index of Slakh2100-redux lists the dataset; that one is downloaded."""
    tracks: dict[str, Any] = {}
    songs: dict[str, Any] = {}
    for metadata in sorted(folder.glob("*/*/metadata.yaml")):
        song = metadata.parent

        def entry(path: Path) -> list[str | None]:
            return [path.relative_to(folder.parent).as_posix() if path.is_file() else None, None]

        names = [f"{song.name}-S{number:02d}" for number in range(5)]
        for name in names:
            stem = song / "stems" / f"{name.partition('-')[2]}.flac"
            tracks[name] = {"audio": entry(stem), "midi": [None, None], "metadata": entry(metadata)}
        songs[song.name] = {
            "tracks": names, "mix": entry(song / "mix.flac"), "midi": [None, None], "metadata": entry(metadata),
        }  # fmt: skip
    return {"version": "2100-redux", "tracks": tracks, "multitracks": songs}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_slakh(tmp_path / "slakh2100_flac_redux")


def test_mirdata_finds_the_same_stems_and_splits(tree: Path) -> None:
    found = layouts.scan(tree, quiet=True)
    listed = index(tree)
    theirs = {}
    for name in listed["tracks"]:
        track = slakh.Track(name, str(tree.parent), "slakh", listed, lambda: None)
        if track.audio_path is not None and track.split != "omitted":
            theirs[Path(track.audio_path).relative_to(tree).with_suffix("").as_posix()] = track
    assert theirs.keys() == {stem.id for stem in found.stems}
    for stem in found.stems:
        track = theirs[stem.id]
        assert (track.mtrack_id, track.split) == (stem.track, stem.split)
        assert track.instrument == stem.extra["instrument"]
        assert track.midi_program_name == stem.extra["midi_program_name"]
        assert track.is_drum == (stem.claimed == ["drums"])
        assert track.audio[0].size == stem.num_samples


def test_mirdata_mixes_the_stems_of_a_song(tree: Path) -> None:
    listed = index(tree)
    for name in ("Track00001", "Track01876"):
        song = slakh.MultiTrack(name, str(tree.parent), "slakh", listed, slakh.Track, lambda: None)
        rendered = [key for key, track in song.tracks.items() if track.audio_path]
        stems = sorted((tree / song.split / name / "stems").iterdir())
        assert len(rendered) == len(stems)
        mixed = song.get_target(rendered, average=False, enforce_length=False)
        total = np.sum([soundfile.read(path, always_2d=True)[0].T for path in stems], axis=0)
        np.testing.assert_allclose(mixed, total, atol=1e-4)
