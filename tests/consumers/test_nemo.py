"""NeMo's own collection reads the manifests."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare_modules import bare
from export_dataset import LABELS, Dataset, tone

from stemclean.export import export
from stemclean.manifest import Region

collections = bare("nemo.collections.common.parts.preprocessing.collections", "nemo_toolkit")
pytestmark = pytest.mark.filterwarnings("ignore")  # of other packages


def test_every_part_of_a_stem_is_an_entry_with_its_label(tmp_path: Path) -> None:
    data = Dataset(tmp_path / "stems")
    for label in LABELS:
        data.add(f"song/{label}.wav", [label])
    regions = [Region(start=0, end=1.5, labels=["drums"]), Region(start=1.5, end=4, labels=["vocals"])]
    data.add("half/drums.wav", ["vocals", "drums"], tone(220, 4), regions=regions, verdict=("mixed", "bleed"))
    data.add("test/drums.wav", ["drums"], split="test")
    report = export(data.write(), "nemo", tmp_path / "out", cut=True, quiet=True)
    assert report.num_audio == 0 and report.extra["num_segments"] == {"train": 6, "test": 1}
    read = collections.ASRSpeechLabel(str(tmp_path / "out" / "train_manifest.json"), min_duration=0.1)
    assert read.uniq_labels == sorted(LABELS)
    half = {(entry.label, entry.offset, entry.duration) for entry in read if "half" in entry.audio_file}
    assert half == {("drums", 0.0, 1.5), ("vocals", 1.5, 2.5)}
    assert {(e.label, e.offset, e.duration) for e in read if "song" in e.audio_file} == {(x, 0.0, 2.0) for x in LABELS}
    assert all(Path(entry.audio_file).is_file() for entry in read)
    (held,) = collections.ASRSpeechLabel(report.extra["next"]["model.test_ds.manifest_filepath"])
    assert held.label == "drums"
