"""Songs that the bundled weights never saw, as a clean dataset to plant faults in.

    python -m benchmarks.heldout TRAINING_SET MATERIAL DST

Two kinds of songs, written to ``DST/<kind>__<song>/<class>.flac``:

- ``real``: the test songs of the training set, whole, as they were recorded;
- ``sung``: test MIDI files rendered to stems, each with a singer who is in no training set: MIR-1K's amateurs (16 kHz, which makes
  them harder), the held-out singers of ``voices``.

Singers repeat their phrases until the song ends.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from stemclean.audio import files

SAMPLE_RATE = 44100
MAX_DURATION = 60.0


def build(training_set: Path, material: Path, destination: Path) -> int:
    """Write the songs; returns how many."""
    with open(training_set / "stems.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    songs: dict[str, dict[str, Path]] = defaultdict(dict)
    for row in rows:
        if row["kind"] in ("songs", "midi") and "+" not in row["label"]:
            songs[f"{'real' if row['kind'] == 'songs' else 'sung'}__{row['track']}"].setdefault(row["label"], training_set / row["path"])
    singers = _singers(rows, training_set, material)
    for number, (name, stems) in enumerate(sorted(songs.items())):
        duration = MAX_DURATION if name.startswith("sung") else 150.0
        for label, path in stems.items():
            _copy(files.read(path, sample_rate=SAMPLE_RATE, channels=2, duration=duration), destination / name / f"{label}.flac")
        if name.startswith("sung"):
            phrases = singers[sorted(singers)[number % len(singers)]]
            _copy(_repeated([files.read(p, sample_rate=SAMPLE_RATE, channels=2) for p in phrases]), destination / name / "vocals.flac")
    return len(songs)


def _singers(rows: list[dict[str, str]], training_set: Path, material: Path) -> dict[str, list[Path]]:
    """Singer -> recordings, for singers with at least ten seconds of them."""
    singers: dict[str, list[Path]] = defaultdict(list)
    for clip in sorted((material / "mir1k").iterdir()):
        if (clip / "vocals.ogg").exists():
            singers["mir1k " + clip.name.split("_")[0]].append(clip / "vocals.ogg")
    for row in rows:
        if row["kind"] == "singing":
            singers[row["performer"]].append(training_set / row["path"])
    return {name: paths for name, paths in singers.items() if sum(files.probe(p).num_samples / files.probe(p).sample_rate for p in paths) >= 10}


def _repeated(phrases: list[np.ndarray]) -> np.ndarray:
    """Phrases one after the other with a breath between, until :data:`MAX_DURATION`."""
    breath = np.zeros((2, SAMPLE_RATE // 2), np.float32)
    parts: list[np.ndarray] = []
    while sum(part.shape[1] for part in parts) < MAX_DURATION * SAMPLE_RATE:
        for phrase in phrases:
            parts += [phrase, breath]
    return np.concatenate(parts, axis=1)[:, : int(MAX_DURATION * SAMPLE_RATE)]


def _copy(waveform: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    peak = float(np.abs(waveform).max())
    files.write(path, waveform * np.float32(min(1.0, 0.98 / max(peak, 1e-9))), SAMPLE_RATE, subtype="PCM_16")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training_set", type=Path)
    parser.add_argument("material", type=Path)
    parser.add_argument("destination", type=Path)
    arguments = parser.parse_args()
    print(f"{build(arguments.training_set, arguments.material, arguments.destination)} songs in {arguments.destination}")


if __name__ == "__main__":
    main()
