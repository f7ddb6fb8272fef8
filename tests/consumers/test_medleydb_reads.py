"""Our reader and `medleydb-instruments`, which comes with the metadata of MedleyDB, say the same of its songs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stemclean.labels import FOUR_STEMS, MIXTURE
from stemclean.layouts.medleydb import ENDING, LAYOUT

medleydb = pytest.importorskip(
    "medleydb_instruments", reason="the extra `consumers` is not installed", exc_type=ImportError
)
METADATA = Path(medleydb.__file__).parent / "resources" / "metadata"
SONGS = [path.name.removesuffix(ENDING) for path in sorted(METADATA.glob(f"*{ENDING}"))][::8]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Songs without sound: a reader only finds files."""
    for song in SONGS:
        (tmp_path / song / f"{song}_STEMS").mkdir(parents=True)
        shutil.copyfile(METADATA / f"{song}{ENDING}", tmp_path / song / f"{song}{ENDING}")
    return tmp_path


def test_the_instruments_and_the_bleed_of_real_songs_are_read(dataset: Path) -> None:
    assert len(SONGS) > 30
    assert LAYOUT.can_read(dataset, FOUR_STEMS)
    found = list(LAYOUT.read(dataset, FOUR_STEMS))
    compared = 0
    for song in SONGS:
        stems = [item for item in found if item.track == song and item.label != MIXTURE]
        mixes = [item.path.name for item in found if item.track == song and item.label == MIXTURE]
        try:
            theirs = medleydb.MultiTrack(song)
        except AttributeError:  # it does not know lists of instruments
            assert any(", " in item.extra["instrument"] for item in stems)
            continue
        assert [item.extra["instrument"].lower() for item in stems] == theirs.instruments
        assert {item.extra["has_bleed"] for item in stems} == {theirs.has_bleed}
        assert mixes == [theirs.mix_filename]
        compared += 1
    assert compared > 20
    of = {item.extra["instrument"]: item.label for item in found if item.label != MIXTURE}
    known = {
        "electric bass": "bass",
        "drum set": "drums",
        "male singer": "vocals",
        "violin": "other",
        "Unlabeled": None,
    }
    assert {name: of[name] for name in known} == known
