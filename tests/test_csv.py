"""The CSV of all stems: every row has the labels, the claim, and the reason."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import soundfile
from export_dataset import RATE, Dataset, tone

from stemclean import layouts
from stemclean.export import ExportReport, export


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    dataset.add("song/vocals.wav", ["vocals"])
    dataset.add("song/bass.wav", ["drums"], verdict=("relabel", "other_class_found"))
    dataset.add("song/drums.wav", ["bass", "drums"], verdict=("mixed", "unclaimed_class_present"))
    dataset.add("song/other.wav", [], verdict=("drop", "no_class"))
    dataset.add("next/other_1.wav", ["other"], tone(650, channels=1))
    dataset.add("next/other_2.wav", ["other"], tone(650, channels=1))
    dataset.add("last/bass.wav", ["bass"], split="test", found=["drums"], verdict=("keep", "held_out"))
    dataset.add("last/drums.wav", ["drums"], tone(1500, rate=3 * RATE), 3 * RATE, split="test", found=["drums"])
    return dataset


def rows(report: ExportReport) -> dict[str, dict[str, str]]:
    with open(report.files[0], encoding="utf-8", newline="") as file:
        return {"/".join(Path(row["path"]).parts[-2:]): row for row in csv.DictReader(file)}


def test_every_stem_has_a_row_that_says_why(data: Dataset, tmp_path: Path) -> None:
    report = export(data.write(), "csv", tmp_path / "out", quiet=True)
    assert report.files == [tmp_path / "out" / "stems.csv"]
    found = {
        name: (row["labels"], row["given_label"], row["is_label_issue"], row["verdict"], row["reason"])
        for name, row in rows(report).items()
    }
    assert found == {
        "song/vocals.wav": ("vocals", "vocals", "False", "keep", "as_claimed"),
        "song/bass.wav": ("drums", "bass", "True", "relabel", "other_class_found"),
        "song/drums.wav": ("bass+drums", "drums", "True", "mixed", "unclaimed_class_present"),
        "song/other.wav": ("", "other", "True", "drop", "no_class"),
        "next/other_1.wav": ("other", "other", "False", "keep", "as_claimed"),
        "next/other_2.wav": ("", "other", "False", "drop", "duplicate_in_song"),
        "last/bass.wav": ("bass", "bass", "True", "keep", "held_out"),
        "last/drums.wav": ("drums", "drums", "False", "keep", "as_claimed"),
    }
    assert {row["label_quality"] for row in rows(report).values()} == {"0.5"}
    assert all(Path(row["path"]).is_relative_to(data.folder) for row in rows(report).values())


def test_a_rate_converts_what_is_to_be_used(data: Dataset, tmp_path: Path) -> None:
    report = export(data.write(), "csv", tmp_path / "out", sample_rate=RATE, quiet=True)
    used = [row for row in rows(report).values() if row["labels"] and row["verdict"] != "mixed"]
    assert len(used) == 5
    assert {(soundfile.info(row["path"]).samplerate, soundfile.info(row["path"]).channels) for row in used} == {
        (RATE, 2)
    }
    assert len(report.files) == 3  # the list, a mono file and one of another rate


def test_coarser_classes_are_named_in_the_column_of_labels(data: Dataset, tmp_path: Path) -> None:
    report = export(data.write(), "csv", tmp_path / "out", classes=["vocals", "accompaniment"], quiet=True)
    labels = {name: row["labels"] for name, row in rows(report).items()}
    assert labels["song/drums.wav"] == labels["song/bass.wav"] == "accompaniment"
    apart = export(data.write(), "csv", tmp_path / "drums", classes=["drums"], quiet=True)
    assert [rows(apart)["song/vocals.wav"][key] for key in ("labels", "verdict", "reason")] == ["", "drop", "outside"]


def test_names_alone_have_no_verdict(data: Dataset, tmp_path: Path) -> None:
    found = rows(export(data.folder, "csv", tmp_path / "out", quiet=True))
    row = found["song/drums.wav"]
    assert [row[key] for key in ("labels", "given_label", "label_quality", "is_label_issue", "verdict", "reason")] == [
        "drums", "drums", "", "", "", "",
    ]  # fmt: skip


def test_the_list_is_read_with_its_tracks_classes_and_splits(data: Dataset, tmp_path: Path) -> None:
    report = export(data.write(), "csv", tmp_path / "out", quiet=True)
    found = layouts.scan(report.files[0], quiet=True)
    assert {(stem.track, *stem.claimed, stem.split) for stem in found.stems} == {
        ("song", "vocals", None),
        ("song", "drums", None),
        ("next", "other", None),
        ("last", "bass", "test"),
        ("last", "drums", "test"),
    }
    assert {(Path(skip.path).name, skip.reason) for skip in found.skipped} == {
        ("drums.wav", "class_unknown"), ("other.wav", "class_unknown"), ("other_2.wav", "class_unknown"),
    }  # fmt: skip


def test_parquet_has_the_same_rows_with_types(data: Dataset, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    verdict = data.stems[0].verdict
    assert verdict is not None
    data.stems[0] = data.stems[0].model_copy(update={"verdict": None})
    report = export(data.write(), "csv", tmp_path / "out", parquet=True, quiet=True)
    table = parquet.read_table(report.files[1])
    found = {row["path"]: row for row in table.to_pylist()}
    for path, row in ((row["path"], row) for row in rows(report).values()):
        text = {key: "" if value is None else str(value) for key, value in found[path].items()}
        assert text == row
    first = found[str(data.folder / "song" / "vocals.wav")]
    assert (first["label_quality"], first["is_label_issue"], first["split"]) == (None, None, None)
    types = {name: str(table.schema.field(name).type) for name in ("label_quality", "is_label_issue", "labels")}
    assert types == {"label_quality": "double", "is_label_issue": "bool", "labels": "string"}
