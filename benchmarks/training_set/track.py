"""A track folder: its content, how it is written, and the table of all folders."""

import csv
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, sosfilt

SAMPLE_RATE = 44100
PEAK_LIMIT = 0.98
LOWEST = 20.0  # Hz; sound fonts and drive leave an offset that would tell made stems from recorded ones
SILENCE = 1e-3  # a stem whose loudest sample stays below this (-60 dBFS) holds nothing
COLUMNS = ("path", "label", "track", "source", "licence", "split", "kind", "performer")


@dataclass(frozen=True)
class Job:
    """One track folder to make: which kind of material, its name, its split, its ingredients."""

    kind: str
    track: str
    split: str
    params: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Stem:
    """Audio of shape (samples, 2) at 44.1 kHz, with its true classes and where it came from."""

    label: str
    audio: np.ndarray
    source: str
    licence: str
    performer: str
    kind: str = ""


def generator_for(seed: int, name: str) -> np.random.Generator:
    """Return a random generator that depends on nothing but the seed and the name."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def share(name: str) -> float:
    """Return a number in [0, 1) that stands for this name: the same on every machine."""
    return zlib.crc32(b"split:" + name.encode()) / 2**32


def load_mono(path: Path, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return the file as one float64 channel at `sample_rate`."""
    audio, file_rate = soundfile.read(path, dtype="float64", always_2d=True)
    return resample(audio.mean(axis=1), file_rate, sample_rate)


def load_stereo(path: Path) -> np.ndarray:
    """Return the file as float64 of shape (samples, 2) at 44.1 kHz."""
    audio, file_rate = soundfile.read(path, dtype="float64", always_2d=True)
    audio = resample(audio, file_rate, SAMPLE_RATE)
    return np.repeat(audio, 2, axis=1) if audio.shape[1] == 1 else audio[:, :2]


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Return the audio at `to_rate`; the very array where the rates agree."""
    return audio if from_rate == to_rate else soxr.resample(audio, from_rate, to_rate)


def without_offset(audio: np.ndarray) -> np.ndarray:
    """Return the audio less what lies below 20 Hz, the same filter for every stem."""
    return sosfilt(butter(2, LOWEST, "high", fs=SAMPLE_RATE, output="sos"), audio, axis=0)


def with_peak(audio: np.ndarray, peak: float) -> np.ndarray:
    """Return the audio scaled so that its loudest sample is `peak`; silence stays silence."""
    loudest = np.max(np.abs(audio), initial=0.0)
    return audio * (peak / loudest) if loudest > 0 else audio


def fault(audio: np.ndarray) -> str:
    """Return why this stem cannot be used, or an empty string."""
    if audio.ndim != 2 or audio.shape[1] != 2 or len(audio) < SAMPLE_RATE // 2:
        return "shorter than half a second"
    if not np.all(np.isfinite(audio)):
        return "not finite"
    if np.max(np.abs(audio)) < SILENCE:
        return "silent"
    return ""


def write_track(job: Job, stems: Sequence[Stem], dst: Path) -> int:
    """Write the usable stems and their rows into `dst/<track>`; return how many they are."""
    usable = [stem for stem in stems if not fault(stem.audio)]
    if not usable:
        return 0
    temporary = dst / f".{job.track}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    rows = []
    for stem in usable:
        name = _file_name(stem.label, [Path(row["path"]).name for row in rows])
        _write_flac(temporary / name, without_offset(stem.audio))
        rows.append(_row(job, stem, name))
    (temporary / "stems.json").write_text(json.dumps(rows, indent=1))
    temporary.rename(dst / job.track)
    return len(rows)


def write_table(dst: Path) -> int:
    """Write `dst/stems.csv` over all finished tracks; return the number of rows."""
    rows = []
    for path in sorted(dst.glob("*/stems.json")):
        if not path.parent.name.startswith("."):
            rows.extend(json.loads(path.read_text()))
    temporary = dst / f".stems.csv.{os.getpid()}"
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    temporary.rename(dst / "stems.csv")
    return len(rows)


def _file_name(label: str, taken: list[str]) -> str:
    if f"{label}.flac" not in taken:
        return f"{label}.flac"
    number = 2
    while f"{label}_{number}.flac" in taken:
        number += 1
    return f"{label}_{number}.flac"


def _write_flac(path: Path, audio: np.ndarray) -> None:
    loudest = np.max(np.abs(audio))
    if loudest > PEAK_LIMIT:
        audio = audio * (PEAK_LIMIT / loudest)
    soundfile.write(path, audio, SAMPLE_RATE, subtype="PCM_16", format="FLAC")


def _row(job: Job, stem: Stem, name: str) -> dict[str, str]:
    return {
        "path": f"{job.track}/{name}",
        "label": stem.label,
        "track": job.track,
        "source": stem.source,
        "licence": stem.licence,
        "split": job.split,
        "kind": stem.kind or job.kind,
        "performer": stem.performer,
    }
