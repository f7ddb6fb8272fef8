"""What our own readers find in the kinds of dataset that formats write besides their default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from export_dataset import LABELS, Dataset, run, tone

from stemclean import layouts
from stemclean.audio import files


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "stems")
    for song, split in (("artist/first", None), ("second", "train"), ("checked", "validation"), ("tested", "test")):
        for label in LABELS:
            dataset.add(f"{song}/{label}.wav", [label], split=split)
    dataset.add("sparse/drums.wav", ["drums"], tone(1700))
    return dataset


def found(folder: Path) -> set[tuple[str, str | None]]:
    """Class and split of all stems that are not silence."""
    scanned = layouts.scan(folder, quiet=True)
    sounding = [stem for stem in scanned.stems if files.read(Path(scanned.root) / stem.path).any()]
    return {(stem.claimed[0], stem.split) for stem in sounding}


KINDS: list[tuple[str, dict[str, Any]]] = [
    *(("zfturbo", {"type": number, "validation": True}) for number in (1, 2, 4, 5, 6, 7)),
    *(("openunmix", {"dataset": kind}) for kind in ("aligned", "sourcefolder", "trackfolder_var")),
    ("musdb", {}),
]


@pytest.mark.parametrize(("name", "settings"), KINDS)
def test_the_classes_and_splits(name: str, settings: dict[str, Any], data: Dataset, tmp_path: Path) -> None:
    report = run(data.write(), name, tmp_path / "out", **settings)
    assert found(tmp_path / "out") == {(label, split) for label in LABELS for split in ("train", "validation", "test")}
    again = run(data.write(), name, tmp_path / "out", **settings)
    assert again == report
    seconds = sum(hours.kept for hours in report.classes.values()) * 3600
    assert seconds == pytest.approx(32 if settings.get("type") == 5 else 34, abs=0.01)
