"""``stems.csv`` of the built set -> a stemclean manifest, with sampling weights and splits."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile

from stemclean.manifest import Created, Manifest, Stem, file_sha256, write

LABELS = ["vocals", "bass", "drums", "other"]
WEIGHTS = {"songs": 8.0, "band": 2.0, "singing": 5.0, "speech": 0.3}
"""Real recordings are drawn more often than rendered ones, plain speech less."""
PJS = 0.1
"""Factor for PJS, whose songs are by one singer (some transformed) and would otherwise be half of all singing."""


def build(folder: Path) -> Manifest:
    """Write ``manifest.json`` into the set's folder; files that are missing are left out."""
    with open(folder / "stems.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (folder / row["path"]).exists()]
    with ThreadPoolExecutor(2) as threads:
        stems = list(threads.map(lambda row: _stem(folder, row), rows))
    created = Created(by="benchmarks.training_set", command="manifest")
    manifest = Manifest(created=created, labels=LABELS, root=".", stems=sorted(stems, key=lambda stem: stem.id))
    write(manifest, folder / "manifest.json")
    return manifest


def _stem(folder: Path, row: dict[str, str]) -> Stem:
    info = soundfile.info(str(folder / row["path"]))
    labels = [label for label in LABELS if label in row["label"].split("+")]
    extra = {key: row[key] for key in ("source", "licence", "kind", "performer")}
    return Stem(
        id=row["path"].rsplit(".", 1)[0],
        track=row["track"],
        path=row["path"],
        sha256=file_sha256(folder / row["path"]),
        sample_rate=info.samplerate,
        channels=info.channels,
        num_samples=info.frames,
        split=row["split"],
        claimed=labels,
        labels=labels,
        sampling_weight=WEIGHTS.get(row["kind"], 1.0) * (PJS if row["source"] == "PJS" else 1.0),
        extra=extra,
    )
