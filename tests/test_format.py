"""A format of one's own: a class with one method, handed to export as it is."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import soundfile
from export_dataset import RATE, Dataset, tone

from stemclean.audio import files
from stemclean.export import export
from stemclean.exporting.converting import Converter
from stemclean.exporting.lists import write_csv
from stemclean.exporting.selection import Selection
from stemclean.layouts.base import Format, Writer, Written
from stemclean.manifest import Region


class Segments(Format):
    """Lists parts of files; writes audio only where the file cannot be read as it is."""

    name: ClassVar[str] = "segments"
    reader: ClassVar[str] = "this test"
    segments: ClassVar[bool] = True

    rows: ClassVar[list[tuple[str, Path, object]]] = []

    def write(self, selection: Selection, converter: Converter) -> Written:
        converter.listen(selection)
        self.rows[:] = [(file.item.target, file.path, file.item.spans) for file in converter.place(selection)]
        return Written([write_csv(converter.destination / "list.csv", ["class", "path", "spans"], self.rows)])


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    half = [Region(start=0, end=1, labels=["drums"]), Region(start=1, end=2, labels=["bass"])]
    dataset.add("song/drums_1.wav", ["bass", "drums"], regions=half, verdict=("mixed", "bleed"))
    dataset.add("song/drums_2.wav", ["bass", "drums"], tone(1600, channels=1), regions=half, verdict=("mixed", "bleed"))
    dataset.add("song/vocals.wav", ["vocals"])
    return dataset


def test_segments_are_listed_and_no_audio_is_cut(data: Dataset, tmp_path: Path) -> None:
    assert isinstance(Segments(), Writer)
    report = export(data.write(), Segments(), tmp_path / "out", sample_rate=RATE, cut=True, quiet=True)
    (written,) = report.files[1:]  # the mono file alone, once for both of its parts
    assert (soundfile.info(written).frames, soundfile.info(written).channels) == (2 * RATE, 2)
    original = data.folder / "song"
    assert Segments.rows == [
        ("bass", original / "drums_1.wav", ((1.0, 2.0),)),
        ("drums", original / "drums_1.wav", ((0.0, 1.0),)),
        ("bass", written, ((1.0, 2.0),)),
        ("drums", written, ((0.0, 1.0),)),
        ("vocals", original / "vocals.wav", None),
    ]
    assert {label: hours.kept * 3600 for label, hours in report.classes.items()} == {
        "vocals": pytest.approx(2, abs=0.01), "bass": pytest.approx(2, abs=0.01),
        "drums": pytest.approx(2, abs=0.01), "other": 0,
    }  # fmt: skip
    assert report.num_audio == 1


def test_without_cut_there_are_no_segments(data: Dataset, tmp_path: Path) -> None:
    export(data.write(), Segments(), tmp_path / "out", sample_rate=RATE, quiet=True)
    assert Segments.rows == [("vocals", data.folder / "song" / "vocals.wav", None)]


class NoAudio(Format):
    """Lists originals and reads none of them."""

    name: ClassVar[str] = "no_audio"
    reader: ClassVar[str] = "this test"

    def write(self, selection: Selection, converter: Converter) -> Written:
        selection.drop_copies()
        rows = ((item.target, converter.folder / item.stem.path) for item in selection.items)
        return Written([write_csv(converter.destination / "list.csv", ["class", "path"], rows)])


def test_a_format_without_audio_leaves_out_copies_too(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.add("song/vocals_2.wav", ["vocals"], tone(440 + 7 * 2))  # as the first
    refined = data.write()
    monkeypatch.setattr(files, "blocks", None)  # no audio is read
    report = export(refined, NoAudio(), tmp_path / "out", quiet=True)
    assert report.files[0].read_text().splitlines() == ["class,path", f"vocals,{data.folder}/song/vocals.wav"]
    assert report.classes["vocals"].why == {"duplicate_in_song": pytest.approx(2 / 3600, abs=1e-6)}
