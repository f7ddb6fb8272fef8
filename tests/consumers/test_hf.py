"""Hugging Face Datasets itself loads the folder, the Parquet files, and what arrives at the hub."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_hub
import numpy as np
import pytest
import soundfile
from export_dataset import HZ, LABELS, RATE, Dataset, run, tone

from stemclean.errors import WeightsError
from stemclean.export import export

datasets = pytest.importorskip("datasets", reason="the extra `consumers` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of other packages


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    for label in LABELS:
        dataset.add(f"song/{label}.wav", [label])
    dataset.add("song/drums_2.flac", ["bass", "drums"], tone(77), verdict=("mixed", "unclaimed_class_present"))
    dataset.add("song/drums_3.flac", ["bass"], tone(99), verdict=("relabel", "other_class_found"))
    dataset.add("test/drums.wav", ["drums"], tone(200, rate=11025), 11025, split="test")
    dataset.add("torn/bass.wav", ["bass"], tone(66)).write_bytes(b"RIFF")
    return dataset


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def loaded(*names: str, **options: Any) -> Any:
        found = datasets.load_dataset(*names, cache_dir=str(tmp_path / "cache"), **options)
        return found.cast_column("audio", datasets.Audio(decode=False))

    return loaded


@pytest.fixture
def torchcodec() -> None:
    """Datasets needs it for every folder of audio, even if nothing is decoded; it needs the libraries of FFmpeg."""
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"torchcodec cannot be used: {error}")


def sound(row: dict[str, Any]) -> tuple[np.ndarray, int]:
    audio = row["audio"]
    content = audio["bytes"] if audio["bytes"] is not None else Path(audio["path"]).read_bytes()
    wave, rate = soundfile.read(io.BytesIO(content), always_2d=True)
    return wave.T, rate


def check(found: Any, splits: set[str]) -> None:
    assert set(found) == splits
    rows = {row["id"]: row for row in found["train"]}
    assert len(rows) == 6
    wave, rate = sound(rows["song/bass"])
    assert rate == RATE
    np.testing.assert_allclose(wave, tone(HZ["bass"] + 7), atol=2 / 32768)
    assert {key: value for key, value in rows["song/drums_3"].items() if key != "audio"} == {
        "id": "song/drums_3", "track": "song", "label": "accompaniment", "labels": ["bass"], "given_label": "drums",
        "label_quality": 0.5, "verdict": "relabel", "reason": "other_class_found",
    }  # fmt: skip
    assert rows["song/drums_2"]["labels"] == ["bass", "drums"]
    (held,) = found["test"]
    assert (held["label"], sound(held)[1]) == ("accompaniment", 11025)


def test_all_splits_are_loaded_from_the_folder(torchcodec: None, data: Dataset, load: Any, tmp_path: Path) -> None:
    where = tmp_path / "out"
    report = export(data.write(), "hf", where, classes=["vocals", "accompaniment"], quiet=True)
    assert report.output == where and report.num_audio == 7
    check(load(str(where)), {"train", "test"})
    check(load("audiofolder", data_dir=str(where)), {"train", "test"})
    cache = str(tmp_path / "cache")
    rows = datasets.load_dataset("json", data_files=str(where / "train" / "metadata.jsonl"), cache_dir=cache)["train"]
    assert all((where / "train" / name).is_file() for name in rows["file_name"]) and len(rows) == 6
    decoded = datasets.load_dataset(str(where), cache_dir=cache)["test"][0]["audio"].get_all_samples()
    assert (decoded.sample_rate, tuple(decoded.data.shape)) == (11025, (2, 22050))


def test_parquet_files_hold_the_audio(data: Dataset, load: Any, tmp_path: Path) -> None:
    where, options = tmp_path / "out", {"classes": ["vocals", "accompaniment"], "parquet": True, "quiet": True}
    report = export(data.write(), "hf", where, **options)
    assert report.num_audio == 0 and not list(where.rglob("*.flac"))
    check(load(str(where)), {"train", "test"})
    shards = {split: str(where / "data" / f"{split}-*.parquet") for split in ("train", "test")}
    check(load("parquet", data_files=shards), {"train", "test"})
    before = {path: path.read_bytes() for path in report.files}
    assert export(data.write(), "hf", where, **options) == report
    assert {path: path.read_bytes() for path in report.files} == before


def test_splits_without_verdicts_have_the_same_columns(
    torchcodec: None, data: Dataset, load: Any, tmp_path: Path
) -> None:
    data.stems[-2] = data.stems[-2].model_copy(update={"verdict": None})
    run(data.write(), "hf", tmp_path / "out")
    found = load(str(tmp_path / "out"))
    assert found["train"].column_names == found["test"].column_names
    assert "label_quality" not in found["test"].column_names and found["test"][0]["verdict"] == ""


@pytest.mark.parametrize("parquet", [False, True])
def test_a_new_export_is_not_taken_from_the_cache(
    torchcodec: None, parquet: bool, data: Dataset, load: Any, tmp_path: Path
) -> None:
    for folder, first, second in (("a", "bass", "drums"), ("b" if parquet else "a", "drums", "bass")):
        for place, label in ((1, first), (2, second)):
            data.stems[place] = data.stems[place].model_copy(update={"labels": [label]})
        run(data.write(), "hf", tmp_path / folder / "out", parquet=parquet)
        if folder == "b":  # shards are not rewritten; the user moves them
            shutil.rmtree(tmp_path / "a" / "out")
            (tmp_path / "b" / "out").rename(tmp_path / "a" / "out")
        labels = {row["id"]: row["label"] for row in load(str(tmp_path / "a" / "out"))["train"]}
        assert (labels["song/bass"], labels["song/drums"]) == (first, second)


def pushed(words: list[str], server: fake_hub.Server, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stemclean", "export", *words, "--to", "hf", "--push"]
    env = fake_hub.environment(server.endpoint, home, **settings)
    return subprocess.run([*command, "org/stems"], env=env, capture_output=True, text=True, check=False)


def test_what_arrives_at_the_hub_is_loaded(torchcodec: None, data: Dataset, load: Any, tmp_path: Path) -> None:
    words = [str(data.write()), str(tmp_path / "out"), "--classes", "vocals,accompaniment"]
    with fake_hub.serving() as server:
        done = pushed(words, server, tmp_path / "home")
        assert done.returncode == 3, done.stderr  # a stem is torn
        assert "pushed to hub:datasets/org/stems@" in done.stderr
        refused = pushed(words, server, tmp_path / "home", HF_TOKEN="hf_bad")
        assert refused.returncode == 2 and "hub:org/stems: the hub refuses (401)" in refused.stderr
    for name, content in server.repos["org/stems"]["main"].items():
        path = tmp_path / "clone" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    check(load(str(tmp_path / "clone")), {"train", "test"})
    created = server.created["org/stems"]
    assert created["type"] == "dataset"
    assert created.get("private") or created.get("visibility") == "private"  # depends on huggingface_hub


def test_nothing_is_written_without_a_login(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(WeightsError, match="hub:org/stems: you are not logged in"):
        run(data.write(), "hf", tmp_path / "out", push="org/stems")
    assert not list((tmp_path / "out").glob("[!.]*"))
