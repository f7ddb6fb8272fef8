"""Inputs of the runs on small disks: stems, songs with known f0, estimates, and weights of small models."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks.robustness import watching
from stemclean.audio.f0 import F0Track
from stemclean.layouts import f0_labels
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec

__all__ = ["LIMIT_SECONDS", "RATE", "prepare"]

LIMIT_SECONDS = 600.0
RATE, HOP = 8000, 0.02
SECONDS, LONG_SECONDS = 8.0, 50.0
"""Seconds of a stem, and of one that is longer than the buffers in memory."""
SONGS = 4
SEPARATOR = {"n_fft": 128, "hop_length": 32, "fold": 2, "channels": 8, "depth": 2, "growth": 1.0}
TRACKER = {"hop": 80, "capacity": 1}


def prepare(songs: Path, work: Path) -> None:
    """Write all inputs that do not exist yet.

    Args:
        songs: folders of stems.
        work: ``stems/``, ``planted/``, ``loud/``, ``refined.json``, ``sung/``, ``found/``, ``long.wav``,
            ``separator.safetensors`` and ``tracker.safetensors`` are written into it.
    """
    if (work / "done").exists():
        return
    shutil.rmtree(work, ignore_errors=True)
    folders = sorted({path.parent for path in songs.rglob("*.ogg")}, key=lambda one: (-len(list(one.iterdir())), one))
    for folder in folders[:2]:
        for stem in sorted(folder.glob("*.ogg")):
            sound, rate = soundfile.read(stem, stop=int(SECONDS * 44100), always_2d=True, dtype="float32")
            _write(work / "stems" / folder.name / f"{stem.stem}.wav", sound, rate)
            _write(work / "loud" / folder.name / f"{stem.stem}.wav", 4 * sound, rate, "FLOAT")
    _sung(work)
    rng = np.random.default_rng(0)
    _write(work / "long.wav", 0.1 * rng.standard_normal((int(LONG_SECONDS * 44100), 2)), 44100)
    _models(work)
    for words in (["corrupt", "stems", "planted", "-q"], ["refine", "planted", "-o", "refined.json", "-q"]):
        process = watching.run(words, work, {}, LIMIT_SECONDS)
        if process.exit_code not in {0, 3}:
            raise RuntimeError(f"stemclean {' '.join(words)} in {work}: {process.stderr}")
    (work / "done").touch()


def _write(path: Path, sound: np.ndarray, rate: int, subtype: str = "PCM_16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype)


def _sung(work: Path) -> None:
    """Songs of a voice and a band; what is sung stands beside them, and, a little wrong, in ``found/``."""
    for number in range(SONGS):
        rng = np.random.default_rng(number)
        f0_hz = np.repeat(rng.choice([0.0, 180.0, 250.0, 400.0], 20), 10)
        held = np.repeat(f0_hz, round(HOP * RATE))
        phase = 2 * np.pi * np.cumsum(held) / RATE
        voice = sum(np.sin(k * phase) / k for k in range(1, 5)) * 0.1 * (held > 0)
        folder = work / "sung" / f"song {number}"
        _write(folder / "vocals.wav", voice, RATE)
        _write(folder / "other.wav", 0.05 * rng.standard_normal(len(voice)), RATE)
        f0_labels.write(F0Track.of(f0_hz, HOP), folder / "vocals.f0.csv")
        f0_labels.write(F0Track.of(1.02 * f0_hz, HOP), work / "found" / f"song {number}.f0.csv")


def _models(folder: Path) -> None:
    torch.manual_seed(0)
    made = {
        "separator": ("separators", "unet", ModelSpec(RATE, 1, ("vocals", "other"), 4000), SEPARATOR),
        "tracker": ("pitch", "crepe", ModelSpec(RATE, 1, ("vocals",), 4000), TRACKER),
    }
    for name, (kind, architecture, spec, options) in made.items():
        card = {"kind": kind, "architecture": architecture, "spec": spec.to_dict(), "options": dict(options)}
        model = registry.build(kind, architecture, spec, dict(options))
        weights.save(folder / f"{name}.safetensors", model, card, dtype=torch.float32)
