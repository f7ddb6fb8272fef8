"""Lists follow the manifest: no list of an earlier export is left beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from export_dataset import LABELS, Dataset, run

from stemclean.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "list_name"),
    [
        ("lhotse", "stemclean_cuts_test.jsonl.gz"),
        ("nemo", "test_manifest.json"),
        ("audiocraft", "test/data.jsonl.gz"),
        ("hf", "test/metadata.jsonl"),
    ],
)
def test_a_split_that_is_gone_leaves_no_list(name: str, list_name: str, tmp_path: Path) -> None:
    data = Dataset(tmp_path / "stems")
    for label in LABELS:
        data.add(f"song/{label}.wav", [label])
    data.add("held/drums.wav", ["drums"], split="test")
    run(data.write(), name, tmp_path / "out")
    assert (tmp_path / "out" / list_name).is_file()
    data.stems[-1] = data.stems[-1].model_copy(update={"split": "train"})
    report = run(data.write(), name, tmp_path / "out")
    assert not (tmp_path / "out" / list_name).exists()
    assert (tmp_path / "out" / list_name.replace("test", "train")) in report.files


@pytest.mark.parametrize("name", ["csv", "hf"])
def test_parquet_without_pyarrow_is_refused_before_the_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Dataset(tmp_path / "stems")
    data.add("song/drums.wav", ["drums"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="Parquet needs pyarrow") as caught:
        run(data.write(), name, tmp_path / "out", parquet=True)
    assert "stemclean[parquet]" in caught.value.hint
    assert not list((tmp_path / "out").glob("[!.]*"))
