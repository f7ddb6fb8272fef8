"""Versions of the libraries that decode sound, and whether they work here."""

from __future__ import annotations

import tempfile
from pathlib import Path

import av
import numpy as np
import soundfile

from stemclean.audio import files

__all__ = ["decodes", "versions"]

FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
"""Formats that are written and read back: ending -> sample format."""


def versions() -> dict[str, str]:
    """Return the versions of libsndfile and of FFmpeg's libavcodec."""
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return {"libsndfile": soundfile.__libsndfile_version__.removeprefix("libsndfile-"), "libavcodec": codec}


def decodes() -> dict[str, str]:
    """Write a short tone in the common formats and read it back; return ending -> error, empty if it works.

    Raises:
        OSError: there is no room for temporary files.
    """
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 44_100)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending, subtype in FORMATS.items():
            path = Path(folder) / f"tone.{ending}"
            try:
                soundfile.write(path, tone, 44_100, subtype)
                error = float(np.abs(files.read(path)[0, 4410:17_640] - tone[4410:17_640]).max())
                results[ending] = "" if error < 0.1 else f"the sound differs by {error:.2f}"
            except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
                results[ending] = f"{type(error).__name__}: {error}"
    return results
