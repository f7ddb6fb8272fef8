"""Datasets of every kind of stem, and exports of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stemclean import manifest
from stemclean.audio import files
from stemclean.export import ExportReport, export
from stemclean.manifest import Created, Manifest, Stem, Verdict

RATE = 8000
SECONDS = 2.0
LABELS = ["vocals", "bass", "drums", "other"]
HZ = {"vocals": 440.0, "bass": 60.0, "drums": 1500.0, "other": 900.0}
SETTINGS: dict[str, dict[str, Any]] = {"zfturbo": {"chunk_size": RATE}}
"""Settings that a format needs for sounds of two seconds."""


def tone(hz: float, seconds: float = SECONDS, rate: int = RATE, peak: float = 0.2, channels: int = 2) -> np.ndarray:
    wave = peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave, (channels, 1)).astype(np.float32)


@dataclass
class Dataset:
    """Stems of every kind of case, and the refined manifest that lists them."""

    folder: Path
    stems: list[Stem] = field(default_factory=list)

    def add(
        self, path: str, labels: list[str], sound: np.ndarray | None = None, rate: int = RATE, **fields: Any
    ) -> Path:
        claimed = [Path(path).stem.split("_")[0]]
        sound = tone(HZ[claimed[0]] + 7 * len(self.stems)) if sound is None else sound  # none sounds like another
        where = files.write(self.folder / path, sound, rate, subtype=fields.pop("subtype", "PCM_16"))
        action, reason = fields.pop("verdict", ("keep", "as_claimed"))
        self.stems.append(
            Stem(
                id=path.rpartition(".")[0], track=path.rpartition("/")[0], path=path,
                sha256=manifest.file_sha256(where), sample_rate=rate, channels=len(sound), num_samples=sound.shape[1],
                claimed=claimed, labels=labels, verdict=Verdict(action=action, reason=reason, label_quality=0.5),
                **fields,
            )
        )  # fmt: skip
        return where

    def write(self) -> Path:
        data = Manifest(created=Created(by="test", command="refine"), labels=LABELS, root="stems", stems=self.stems)
        return manifest.write(data, self.folder.parent / "refined.json")


def run(source: Path, name: str, folder: Path, **options: Any) -> ExportReport:
    return export(source, name, folder, sample_rate=RATE, quiet=True, **SETTINGS.get(name, {}), **options)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Path -> content and when it was written."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name[0] != ".")
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}
