"""What the runs on small disks work on: stems, songs whose f0 is known, estimates, and weights of small models."""

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
"""Of a stem; and of one that is longer than what waits in memory."""
SONGS = 4
SEPARATOR = {"n_fft": 128, "hop_length": 32, "fold": 2, "channels": 8, "depth": 2, "growth": 1.0}
TRACKER = {"hop": 80, "capacity": 1}


def prepare(songs: Path, place: Path) -> None:
    """Write everything that is not there yet.

    Args:
        songs: folders of stems.
        place: ``stems/``, ``planted/``, ``loud/``, ``refined.json``, ``sung/``, ``found/``, ``long.wav``,
            ``separator.safetensors`` and ``tracker.safetensors`` are written into it.
    """
    if (place / "done").exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    folders = sorted({path.parent for path in songs.rglob("*.ogg")}, key=lambda one: (-len(list(one.iterdir())), one))
    for folder in folders[:2]:
        for stem in sorted(folder.glob("*.ogg")):
            sound, rate = soundfile.read(stem, stop=int(SECONDS * 44100), always_2d=True, dtype="float32")
            _write(place / "stems" / folder.name / f"{stem.stem}.wav", sound, rate)
            _write(place / "loud" / folder.name / f"{stem.stem}.wav", 4 * sound, rate, "FLOAT")
    _sung(place)
    rng = np.random.default_rng(0)
    _write(place / "long.wav", 0.1 * rng.standard_normal((int(LONG_SECONDS * 44100), 2)), 44100)
    _models(place)
    for words in (["corrupt", "stems", "planted", "-q"], ["refine", "planted", "-o", "refined.json", "-q"]):
        done = watching.run(words, place, {}, LIMIT_SECONDS)
        if done.exit_code not in {0, 3}:
            raise RuntimeError(f"stemclean {' '.join(words)} in {place}: {done.stderr}")
    (place / "done").touch()


def _write(path: Path, sound: np.ndarray, rate: int, subtype: str = "PCM_16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype)


def _sung(place: Path) -> None:
    """Songs of a voice and a band; what is sung stands beside them, and, a little wrong, in ``found/``."""
    for number in range(SONGS):
        rng = np.random.default_rng(number)
        f0_hz = np.repeat(rng.choice([0.0, 180.0, 250.0, 400.0], 20), 10)
        held = np.repeat(f0_hz, round(HOP * RATE))
        phase = 2 * np.pi * np.cumsum(held) / RATE
        voice = sum(np.sin(k * phase) / k for k in range(1, 5)) * 0.1 * (held > 0)
        folder = place / "sung" / f"song {number}"
        _write(folder / "vocals.wav", voice, RATE)
        _write(folder / "other.wav", 0.05 * rng.standard_normal(len(voice)), RATE)
        f0_labels.write(F0Track.of(f0_hz, HOP), folder / "vocals.f0.csv")
        f0_labels.write(F0Track.of(1.02 * f0_hz, HOP), place / "found" / f"song {number}.f0.csv")


def _models(place: Path) -> None:
    torch.manual_seed(0)
    made = {
        "separator": ("separators", "unet", ModelSpec(RATE, 1, ("vocals", "other"), 4000), SEPARATOR),
        "tracker": ("pitch", "crepe", ModelSpec(RATE, 1, ("vocals",), 4000), TRACKER),
    }
    for name, (kind, architecture, spec, options) in made.items():
        card = {"kind": kind, "architecture": architecture, "spec": spec.to_dict(), "options": dict(options)}
        model = registry.build(kind, architecture, spec, dict(options))
        weights.save(place / f"{name}.safetensors", model, card, dtype=torch.float32)
