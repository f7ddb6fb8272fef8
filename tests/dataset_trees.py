"""Small trees with the metadata of public datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stemclean.audio import files

_sounds = iter(range(10**6))


def sound(path: Path) -> Path:
    """Write half a second of noise that no other file has."""
    noise = np.random.default_rng(next(_sounds)).uniform(-0.3, 0.3, (1, 4000))
    return files.write(path, noise.astype(np.float32), 8000, subtype="PCM_16")


def dump(path: Path, document: Any) -> Path:
    """Write a JSON or YAML file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document) if path.suffix == ".json" else yaml.safe_dump(document), encoding="utf-8")
    return path


def write_slakh(folder: Path) -> Path:
    """Write three songs of Slakh2100-redux, one of them omitted; their last stem was not rendered."""
    classes = [("Guitar", False), ("Bass", False), ("Drums", True), ("Chromatic Percussion", False), ("Pipe", False)]
    for split, track in (("train", "Track00001"), ("test", "Track01876"), ("omitted", "Track00010")):
        song = folder / split / track
        stems = {
            f"S{number:02d}": {
                "audio_rendered": number != 4, "inst_class": kind, "integrated_loudness": -13.1, "is_drum": drum,
                "midi_program_name": "Program", "midi_saved": True, "plugin_name": "x.nkm", "program_num": 30,
            }
            for number, (kind, drum) in enumerate(classes)
        }  # fmt: skip
        for number in range(4):
            sound(song / "stems" / f"S{number:02d}.flac")
        sound(song / "mix.flac")
        document = {"UUID": "1a81", "audio_dir": "stems", "normalized": True, "overall_gain": 0.18, "stems": stems}
        dump(song / "metadata.yaml", document)
    return folder
