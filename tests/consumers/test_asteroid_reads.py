"""Asteroid draws from what is exported for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from export_dataset import LABELS, RATE, Dataset, run

from stemclean.audio import files
from stemclean.errors import ConfigError

asteroid = pytest.importorskip("asteroid.data", reason="the extra `consumers` is not installed", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings("ignore")  # of other packages


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
def test_asteroid_draws_every_song(songs: Dataset, tmp_path: Path, audio_format: str) -> None:
    report = run(songs.write(), "asteroid", tmp_path / "out", audio_format=audio_format)
    assert report.extra["num_songs"] == {"test": 1, "train": 3, "valid": 1}
    arguments = report.extra["next"]
    train = asteroid.MUSDB18Dataset(**arguments, targets=LABELS, segment=1.0, random_segments=True)
    assert {track["path"].name for track in train.tracks} == {"artist - first", "artist - second", "sparse"}
    for mixture, sources in (train[place] for place in range(3)):
        assert (mixture.shape, sources.shape) == ((2, RATE), (4, 2, RATE))
        np.testing.assert_allclose(sources.sum(0), mixture, atol=1e-6)
    valid = asteroid.MUSDB18Dataset(**arguments, split="valid")
    mixture, sources = valid[0]
    for label in LABELS:
        expected = files.read(tmp_path / "out" / "valid" / "checked" / f"{label}.{audio_format}")
        np.testing.assert_allclose(sources[label], expected, atol=2 / 32768)


def test_a_class_with_a_point_is_refused(songs: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'cannot read the class "e\.guitar"'):
        run(songs.write(), "asteroid", tmp_path / "out", classes={"e.guitar": ["other"], "drums": ["drums"]})
