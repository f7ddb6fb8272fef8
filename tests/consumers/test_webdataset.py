"""WebDataset itself reads the shards."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from export_dataset import HZ, LABELS, RATE, Dataset, run, tone

from stemclean.errors import ConfigError
from stemclean.export import ExportReport
from stemclean.manifest import Region

webdataset = pytest.importorskip("webdataset", reason="the extra `consumers` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of other packages


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    for label in LABELS:
        dataset.add(f"song/{label}.wav", [label])
        dataset.add(f"a.b/c.d/{label}_v1.2.flac", [label])
    dataset.add("song/drums_2.wav", ["bass"], tone(77), verdict=("relabel", "other_class_found"))
    dataset.add("test/drums.wav", ["drums"], split="test")
    return dataset


def samples(report: ExportReport, split: str = "train") -> dict[str, dict]:
    shards = [str(path) for path in report.files if path.name.startswith(split)]
    reader = webdataset.WebDataset(shards, shardshuffle=False).decode(
        webdataset.handle_extension("flac", lambda content: soundfile.read(io.BytesIO(content), always_2d=True))
    )
    return {sample["__key__"]: sample for sample in reader}


def test_every_sample_has_its_sound_and_what_is_known_of_it(data: Dataset, tmp_path: Path) -> None:
    report = run(data.write(), "webdataset", tmp_path / "out")
    found = samples(report)
    assert len(found) == 9 and samples(report, "test").keys() == {"test/drums"}
    sound, rate = found["song/bass"]["flac"]
    assert rate == RATE
    np.testing.assert_allclose(sound.T, tone(HZ["bass"] + 7 * 2), atol=2 / 32768)
    assert found["song/drums_2"]["json"] == {
        "id": "song/drums_2", "track": "song", "split": "train", "label": "bass", "labels": ["bass"],
        "given_label": "drums", "label_quality": 0.5, "is_label_issue": True, "verdict": "relabel",
        "reason": "other_class_found", "sample_rate": RATE, "channels": 2, "num_samples": 2 * RATE,
    }  # fmt: skip
    assert found["a_b/c_d/other_v1_2"]["json"]["id"] == "a.b/c.d/other_v1.2"


def test_shards_have_a_size_and_the_same_bytes_again(data: Dataset, tmp_path: Path) -> None:
    for number in range(30):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, (2, 2 * RATE)).astype(np.float32)
        data.add(f"noise/other_{number}.wav", ["other"], noise)
    first = run(data.write(), "webdataset", tmp_path / "first", shard_mb=1)
    assert len(first.files) == 4  # two of train, one of test, and the record
    assert all(path.stat().st_size < 1.2e6 for path in first.files)
    again = run(data.write(), "webdataset", tmp_path / "again", shard_mb=1)
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in again.files]
    assert sum(first.extra["num_samples"].values()) == len(samples(first)) + 1


def test_other_content_is_refused_and_a_broken_run_is_continued(data: Dataset, tmp_path: Path) -> None:
    first = run(data.write(), "webdataset", tmp_path / "out")
    first.files[0].unlink()
    assert run(data.write(), "webdataset", tmp_path / "out") == first
    assert len(samples(first)) == 9
    data.add("more/other.wav", ["other"])
    with pytest.raises(ConfigError, match="holds shards of an earlier export"):
        run(data.write(), "webdataset", tmp_path / "out")


def test_two_parts_of_a_stem_are_two_samples(data: Dataset, tmp_path: Path) -> None:
    regions = [Region(start=0, end=1.5, labels=["drums"]), Region(start=1.5, end=4, labels=["vocals"])]
    data.add("half/drums.wav", ["vocals", "drums"], tone(220, 4), regions=regions, verdict=("mixed", "bleed"))
    found = samples(run(data.write(), "webdataset", tmp_path / "out", cut=True))
    lengths = {key: len(sample["flac"][0]) / RATE for key, sample in found.items() if "half" in key}
    assert lengths == {"half/drums-drums": 1.5, "half/drums-vocals": 2.5}
    assert json.loads((tmp_path / "out" / "shards.json").read_text())["num_samples"]["train-000000.tar"] == 11


def test_every_region_can_be_a_sample_with_its_own_classes(data: Dataset, tmp_path: Path) -> None:
    regions = [
        Region(start=0, end=1, labels=["drums"]),
        Region(start=1, end=1.5, labels=[]),
        Region(start=1.5, end=2, labels=["vocals"]),
        Region(start=2, end=4, labels=["bass", "drums"]),
    ]
    data.add("half/drums.wav", ["bass", "drums"], tone(220, 4), regions=regions, verdict=("mixed", "bleed"))
    classes = ["vocals", "accompaniment"]
    for cut, expected in (
        (False, {"0000": ["drums"], "0001": ["vocals"], "0002": ["bass", "drums"]}),
        (True, {"0000": ["drums"], "0001": ["bass", "drums"]}),
    ):
        report = run(data.write(), "webdataset", tmp_path / f"out{cut}", regions=True, cut=cut, classes=classes)
        found = samples(report)
        half = {key[-4:]: sample for key, sample in found.items() if key.startswith("half")}
        assert {key: sample["json"]["labels"] for key, sample in half.items()} == expected
        last = half[max(half)]
        assert (last["json"]["start"], last["json"]["end"], last["json"]["label"]) == (2, 4, "accompaniment")
        faded = RATE // 50
        wanted = tone(220, 4)[:, 2 * RATE :]
        np.testing.assert_allclose(last["flac"][0].T[:, faded:-faded], wanted[:, faded:-faded], atol=2 / 32768)
        assert found["song/bass-0000"]["json"]["labels"] == ["bass"]
        assert not list((tmp_path / f"out{cut}").glob(".stemclean-*"))
