"""A restatement of the reader of BandSplitRNN-PyTorch, which is no package, reads songs and segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from export_dataset import LABELS, RATE, Dataset, run, tone

from stemclean.manifest import Region


class Reader:
    """What ``SourceSeparationDataset`` does, see stemclean/layouts/bsrnn.py."""

    def __init__(self, folder: str, lists: str, target: str, mode: str) -> None:
        self.lines = (Path(lists) / f"{target}_{mode}.txt").read_text(encoding="utf-8").splitlines()
        self.folder, self.target = Path(folder), target

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        name, start, end = self.lines[index].split("\t")
        template = str(self.folder / "train" / name / "{}.wav")
        return self.read(template.format("mixture"), int(start), int(end)), self.read(
            template.format(self.target), int(start), int(end)
        )

    def read(self, path: str, start: int, end: int) -> np.ndarray:
        sound, rate = soundfile.read(path, start=start, frames=end - start, always_2d=True)
        assert rate == RATE and len(sound) == end - start
        return sound.T


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    for label in LABELS[:3]:
        dataset.add(f"artist/so{{}}ng/{label}.wav", [label], tone(100 + 20 * len(label), seconds=8))
    found = [Region(start=0, end=3, labels=["other"]), Region(start=3, end=8, labels=[])]
    dataset.add("artist/so{}ng/other.wav", ["other"], tone(300, seconds=8), regions=found)
    dataset.add("short/drums.wav", ["drums"], tone(310, seconds=1.5))
    dataset.add("checked/vocals.wav", ["vocals"], tone(330, seconds=4), split="validation")
    dataset.add("tested/vocals.wav", ["vocals"], tone(350, seconds=4), split="test")
    return dataset


def test_segments_of_equal_length_are_read(data: Dataset, tmp_path: Path) -> None:
    report = run(data.write(), "bsrnn", tmp_path / "out", window=2.0)
    folder, lists = report.extra["next"]["MUSDB_DIR"], report.extra["next"]["txt_dir"]
    assert report.extra["num_segments"] == {
        "bass_train": 7, "drums_train": 7, "other_train": 3, "vocals_train": 7, "vocals_valid": 3,
    }  # fmt: skip
    train = Reader(folder, lists, "drums", "train")
    mixture, drums = train[3]
    assert mixture.shape == drums.shape == (2, 2 * RATE)
    np.testing.assert_allclose(drums, tone(200, seconds=8)[:, 3 * RATE : 5 * RATE], atol=1e-3)
    total = sum(tone(hz, seconds=8) for hz in (220, 180, 200, 300))
    np.testing.assert_allclose(mixture, total[:, 3 * RATE : 5 * RATE], atol=1e-3)
    assert Reader(folder, lists, "vocals", "valid")[0][1].shape == (2, 2 * RATE)
    assert [path.name for path in (tmp_path / "out" / "test").glob("*")] == ["tested"]


def test_segments_lie_in_the_parts_that_are_kept(data: Dataset, tmp_path: Path) -> None:
    half = [Region(start=0, end=4, labels=["drums"]), Region(start=4, end=8, labels=["drums", "vocals"])]
    data.add("half/drums.wav", ["drums", "vocals"], tone(400, seconds=8), regions=half, verdict=("mixed", "bleed"))
    report = run(data.write(), "bsrnn", tmp_path / "out", window=2.0, cut=True)
    lines = Path(report.extra["next"]["txt_dir"], "drums_train.txt").read_text().splitlines()
    starts = [int(line.split("\t")[1]) / RATE for line in lines if line.startswith("half")]
    assert starts == [0, 1, 2, 3]
