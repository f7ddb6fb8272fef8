"""Small trees with the metadata of MoisesDB, MedleyDB and Slakh2100."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from dataset_trees import dump, sound, write_slakh

from stemclean import layouts
from stemclean.errors import ConfigError
from stemclean.labels import FOUR_STEMS
from stemclean.layouts import base
from stemclean.manifest import Manifest


def claims(found: Manifest) -> dict[str, tuple[Any, ...]]:
    return {stem.id: (stem.track, *stem.claimed, stem.split, stem.extra) for stem in found.stems}


def skips(found: Manifest) -> dict[str, str]:
    return {skip.path: skip.reason for skip in found.skipped}


@pytest.fixture
def moisesdb(tmp_path: Path) -> Path:
    stems = [
        ("vocals", "9d1-a", "lead male singer", False),
        ("vocals", "9d1-b", "background vocals", True),
        ("drums", "9d1-c", "full acoustic drumkit", False),
        ("other_keys", "9d1-d", "synth pad", False),
        ("bass", "9d1-e", "bass guitar", None),
    ]
    listed: dict[str, list[dict[str, Any]]] = {}
    for name, number, kind, bleed in stems:
        track: dict[str, Any] = {"id": number, "trackType": kind, "extension": "wav"}
        listed.setdefault(name, []).append(track if bleed is None else {**track, "has_bleed": bleed})
        sound(tmp_path / "moisesdb_v0.1" / "1c4f-uuid" / name / f"{number}.wav")
    document = {
        "artist": "A", "song": "B", "genre": "rock",
        "stems": [{"id": "x", "stemName": name, "tracks": tracks} for name, tracks in listed.items()],
    }  # fmt: skip
    dump(tmp_path / "moisesdb_v0.1" / "1c4f-uuid" / "data.json", document)
    return tmp_path / "moisesdb_v0.1"


@pytest.fixture
def medleydb(tmp_path: Path) -> Path:
    instruments = ["female singer", "acoustic guitar", "drum set", "electric bass", "Main System"]
    name = "LizNelson_Rainfall"
    folder = tmp_path / "Audio" / name
    stems = {
        f"S{number:02d}": {
            "component": "melody" if number == 1 else "",
            "filename": f"{name}_STEM_{number:02d}.wav",
            "instrument": instrument,
            "raw": {"R01": {"filename": f"{name}_RAW_{number:02d}_01.wav", "instrument": instrument}},
        }
        for number, instrument in enumerate(instruments, 1)
    }
    for number in range(1, 6):
        sound(folder / f"{name}_STEMS" / f"{name}_STEM_{number:02d}.wav")
    sound(folder / f"{name}_RAW" / f"{name}_RAW_01_01.wav")
    sound(folder / f"{name}_MIX.wav")
    document = {
        "artist": "Liz Nelson", "excerpt": "no", "has_bleed": "yes", "instrumental": "no", "origin": "Dolan Studio",
        "mix_filename": f"{name}_MIX.wav", "raw_dir": f"{name}_RAW", "stem_dir": f"{name}_STEMS", "stems": stems,
        "title": "Rainfall", "version": 1.2,
    }  # fmt: skip
    dump(folder / f"{name}_METADATA.yaml", document)
    return tmp_path / "Audio"


@pytest.fixture
def slakh(tmp_path: Path) -> Path:
    return write_slakh(tmp_path / "slakh")


def test_moisesdb_keeps_what_it_says_of_bleed(moisesdb: Path) -> None:
    assert base.reader_for(moisesdb, FOUR_STEMS).name == "moisesdb"
    sound(moisesdb / "1c4f-uuid" / "vocals" / "left_over.wav")
    found = layouts.scan(moisesdb, quiet=True)
    track = "1c4f-uuid"
    assert claims(found) == {
        f"{track}/vocals/9d1-a": (
            track, "vocals", None, {"instrument": "vocals", "track_type": "lead male singer", "has_bleed": False},
        ),
        f"{track}/vocals/9d1-b": (
            track, "vocals", None, {"instrument": "vocals", "track_type": "background vocals", "has_bleed": True},
        ),
        f"{track}/drums/9d1-c": (
            track, "drums", None, {"instrument": "drums", "track_type": "full acoustic drumkit", "has_bleed": False},
        ),
        f"{track}/other_keys/9d1-d": (
            track, "other", None, {"instrument": "other_keys", "track_type": "synth pad", "has_bleed": False},
        ),
        f"{track}/bass/9d1-e": (track, "bass", None, {"instrument": "bass", "track_type": "bass guitar"}),
    }  # fmt: skip
    assert skips(found) == {f"{track}/vocals/left_over.wav": "class_unknown"}
    assert claims(layouts.scan(moisesdb.parent, quiet=True)).keys() == {
        f"moisesdb_v0.1/{name}" for name in claims(found)
    }


def test_medleydb_knows_instruments_and_the_bleed_of_a_song(medleydb: Path) -> None:
    assert base.reader_for(medleydb, FOUR_STEMS).name == "medleydb"
    found = layouts.scan(medleydb, quiet=True)
    name = "LizNelson_Rainfall"
    assert {key.rpartition("_")[2]: value for key, value in claims(found).items()} == {
        "01": (name, "vocals", None, {"instrument": "female singer", "component": "melody", "has_bleed": True}),
        "02": (name, "other", None, {"instrument": "acoustic guitar", "has_bleed": True}),
        "03": (name, "drums", None, {"instrument": "drum set", "has_bleed": True}),
        "04": (name, "bass", None, {"instrument": "electric bass", "has_bleed": True}),
    }
    assert skips(found) == {
        f"{name}/{name}_MIX.wav": "mixture",
        f"{name}/{name}_STEMS/{name}_STEM_05.wav": "class_unknown",
    }
    (metadata,) = medleydb.rglob("*_METADATA.yaml")
    (medleydb.parent / "Metadata").mkdir()
    metadata.rename(medleydb.parent / "Metadata" / metadata.name)  # as in its repository
    assert len(layouts.scan(medleydb.parent, quiet=True).stems) == 4


@pytest.mark.parametrize(
    ("instruments", "label"),
    [(["male singer", "vocalists"], "vocals"), (["male singer", "Unlabeled"], None), (["piano", "tambourine"], None)],
)
def test_a_stem_of_several_instruments_has_a_class_if_all_have_it(
    medleydb: Path, instruments: list[str], label: str | None
) -> None:
    (path,) = medleydb.rglob("*_METADATA.yaml")
    document = yaml.safe_load(path.read_text())
    document["stems"]["S01"]["instrument"] = instruments
    dump(path, document)
    found = layouts.scan(medleydb, quiet=True)
    first = "LizNelson_Rainfall/LizNelson_Rainfall_STEMS/LizNelson_Rainfall_STEM_01"
    assert [stem.claimed for stem in found.stems if stem.id == first] == ([[label]] if label else [])
    assert skips(found).get(f"{first}.wav") == (None if label else "class_unknown")


def test_slakh_has_splits_and_families_of_instruments(slakh: Path) -> None:
    assert base.reader_for(slakh, FOUR_STEMS).name == "slakh"
    found = layouts.scan(slakh, quiet=True)
    extra = {"midi_program_name": "Program"}
    expected = {}
    for split, track in (("train", "Track00001"), ("test", "Track01876")):
        for number, (kind, label) in enumerate(
            [("Guitar", "other"), ("Bass", "bass"), ("Drums", "drums"), ("Chromatic Percussion", "other")]
        ):
            expected[f"{split}/{track}/stems/S{number:02d}"] = (track, label, split, {"instrument": kind, **extra})
    assert claims(found) == expected
    assert skips(found) == {"train/Track00001/mix.flac": "mixture", "test/Track01876/mix.flac": "mixture"}
    (only,) = {stem.track for stem in layouts.scan(slakh / "train" / "Track00001", quiet=True).stems}
    assert only == "Track00001"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("data.json", '{"stems": [{"stemName": "../../x", "tracks": []}]}', "stems.0.stemName: must be the name of a"),
        ("data.json", '{"stems": [', "not JSON"),
        ("data.json", '{"stems": [{"tracks": []}]}', "stems.0.stemName: is missing"),
    ],
)
def test_broken_metadata_is_refused_by_name(moisesdb: Path, name: str, content: str, problem: str) -> None:
    (moisesdb / "zzz").mkdir()
    (moisesdb / "zzz" / name).write_text(content)
    with pytest.raises(ConfigError, match=f"zzz/{name}: .*{problem}"):
        layouts.scan(moisesdb, quiet=True)


def test_broken_yaml_is_refused_with_its_line(slakh: Path) -> None:
    (slakh / "train" / "Track00002").mkdir()
    (slakh / "train" / "Track00002" / "metadata.yaml").write_text("UUID: x\nstems: {S00: [}\n")
    with pytest.raises(ConfigError, match=r"metadata\.yaml: line 2, column 15: not YAML"):
        layouts.scan(slakh, quiet=True)


def test_other_files_of_those_names_are_no_dataset(tmp_path: Path) -> None:
    sound(tmp_path / "song" / "drums.wav")
    dump(tmp_path / "song" / "data.json", {"stems": 3})
    dump(tmp_path / "song" / "metadata.yaml", {"stems": {"a": 1}})
    (tmp_path / "x_METADATA.yaml").write_text("!!python/object/apply:os.system [ls]")
    assert base.reader_for(tmp_path, FOUR_STEMS).name == "track_folders"
