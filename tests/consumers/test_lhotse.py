"""Lhotse itself loads and validates what is exported for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_dataset import HZ, LABELS, RATE, Dataset, tone

from stemclean.audio import files
from stemclean.export import ExportReport, export
from stemclean.manifest import Region, Stem

lhotse = pytest.importorskip("lhotse", reason="the extra `consumers` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of other packages

BOTH = [Region(start=0, end=1.2, labels=["bass"]), Region(start=1.2, end=2, labels=["bass", "drums"])]


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    for label in LABELS:
        dataset.add(f"song/{label}.wav", [label], extra={"take": 3}, issues=[])
    dataset.add("song/drums_2.wav", ["bass", "drums"], tone(210), regions=BOTH, verdict=("mixed", "bleed"))
    dataset.add("mono/other.wav", ["other"], tone(700, channels=1, rate=11025), 11025)
    dataset.add("loud/vocals.wav", ["vocals"], tone(300, peak=1.5), subtype="FLOAT", stream=0)
    dataset.add("test/drums.wav", ["drums"], split="test", regions=BOTH, found=["bass", "drums"])
    return dataset


def load(report: ExportReport, split: str = "train") -> tuple[Any, Any, Any]:
    from lhotse.recipes.utils import read_manifests_if_cached

    assert report.output is not None
    kinds = ("recordings", "supervisions", "cuts")
    found = read_manifests_if_cached([split], report.output.parent, prefix="stemclean", types=kinds)[split]
    return found["recordings"], found["supervisions"], found["cuts"]


def test_all_manifests_are_valid_down_to_the_audio(data: Dataset, tmp_path: Path) -> None:
    report = export(data.write(), "lhotse", tmp_path / "out", classes=["vocals", "accompaniment"], quiet=True)
    for split in ("train", "test"):
        recordings, supervisions, cuts = load(report, split)
        lhotse.validate(recordings, read_data=True)
        lhotse.validate(supervisions)
        lhotse.validate(cuts, read_data=True)
        lhotse.qa.validate_recordings_and_supervisions(recordings, supervisions)
    assert [cut.id for cut in cuts] == ["test/drums"]
    first = lhotse.load_manifest(report.files[0])
    assert isinstance(first, lhotse.CutSet) and len(first) == 7


def test_the_cuts_from_recordings_and_supervisions_know_labels_and_sound(data: Dataset, tmp_path: Path) -> None:
    report = export(data.write(), "lhotse", tmp_path / "out", classes=["vocals", "accompaniment"], quiet=True)
    recordings, supervisions, cuts = load(report)
    made = lhotse.CutSet.from_manifests(recordings, supervisions)
    assert [cut.recording_id for cut in made] == [cut.id for cut in cuts]
    (mixed,) = (cut for cut in made if cut.recording_id == "song/drums_2")
    assert [(s.start, s.duration, s.labels, s.label, s.given_label) for s in mixed.supervisions] == [
        (0.0, 1.2, ["bass"], "accompaniment", "drums"),
        (1.2, pytest.approx(0.8), ["bass", "drums"], "accompaniment", "drums"),
    ]
    np.testing.assert_allclose(mixed.load_audio(), files.read(data.folder / "song/drums_2.wav"), atol=1 / 32768)
    (drums,) = (cut for cut in made if cut.recording_id == "song/drums")
    assert [s.labels for s in drums.supervisions] == [["drums"]]
    np.testing.assert_allclose(drums.load_audio(), tone(HZ["drums"] + 14), atol=1 / 32768)
    (mono,) = (cut for cut in made if cut.recording_id == "mono/other")
    assert mono.resample(RATE).load_audio().shape == (1, 2 * RATE)


def test_a_cut_holds_all_that_the_manifest_knows(data: Dataset, tmp_path: Path) -> None:
    report = export(data.write(), "lhotse", tmp_path / "out", quiet=True)
    found = {
        cut.id: Stem.model_validate(cut.custom["stem"]) for split in ("train", "test") for cut in load(report, split)[2]
    }
    assert list(found.values()) == [stem for stem in data.stems if stem.id != "song/drums_2"]
    (held,) = load(report, "test")[1]
    assert (held.labels, held.duration, held.verdict) == (["drums"], 2.0, "keep")


def test_parts_of_a_stem_are_cuts_of_one_recording(data: Dataset, tmp_path: Path) -> None:
    regions = [
        Region(start=0, end=0.5, labels=["drums"]),
        Region(start=0.5, end=1, labels=["drums", "vocals"]),
        Region(start=1, end=2.5, labels=["drums"]),
        Region(start=2.5, end=4, labels=["vocals"]),
    ]
    data.add("half/drums.wav", ["vocals", "drums"], tone(220, 4), regions=regions, verdict=("mixed", "bleed"))
    report = export(data.write(), "lhotse", tmp_path / "out", cut=True, quiet=True)
    assert report.num_audio == 0
    recordings, supervisions, cuts = load(report)
    lhotse.validate(cuts, read_data=True)
    lhotse.qa.validate_recordings_and_supervisions(recordings, supervisions)
    half = [cut for cut in cuts if cut.recording_id == "half/drums"]
    assert [(cut.start, cut.duration, cut.custom["label"]) for cut in half] == [(2.5, 1.5, "vocals"), (1, 1.5, "drums")]
    assert [[(s.start, s.duration, s.labels) for s in cut.supervisions] for cut in half] == [
        [(0, 1.5, ["vocals"])],
        [(0, 1.5, ["drums"])],
    ]
    np.testing.assert_allclose(half[0].load_audio(), tone(220, 4)[:, 2 * RATE + RATE // 2 :], atol=1 / 32768)
    made = lhotse.CutSet.from_manifests(recordings, supervisions).trim_to_supervisions()
    same = [(cut.start, cut.duration) for cut in made if cut.recording_id == "half/drums"]
    assert sorted(same) == [(1, 1.5), (2.5, 1.5)]
