"""Makes ``examples/noisy_band`` from two CC0 songs of *Everything is free*, with four planted faults.

    python examples/make_noisy_band.py SONGS

SONGS holds ``everythingisfree__Lithium`` and ``everythingisfree__Potassium`` with ``vocals, bass, drums, other`` as
``.ogg``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent / "noisy_band"
EXCERPTS = {"lithium": ("everythingisfree__Lithium", 30.0), "potassium": ("everythingisfree__Potassium", 18.0)}
DURATION = 24.0
BLEED_DB = -8.0


def main() -> None:
    """Cut, plant, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("songs", type=Path)
    songs = parser.parse_args().songs
    stems = {
        (track, label): _excerpt(songs / folder / f"{label}.ogg", start)
        for track, (folder, start) in EXCERPTS.items()
        for label in ("vocals", "bass", "drums", "other")
        if (track, label) != ("lithium", "bass")
    }
    rate = 44100
    drums, vocals = stems["lithium", "drums"], stems["lithium", "vocals"]
    bled = drums + vocals * (_active_rms(drums) / _active_rms(vocals) * 10 ** (BLEED_DB / 20))
    stems["lithium", "drums"] = bled * min(1.0, 0.98 / np.abs(bled).max())
    stems["potassium", "bass"], stems["potassium", "drums"] = stems["potassium", "drums"], stems["potassium", "bass"]
    stems["potassium", "other"] = np.zeros_like(stems["potassium", "other"])
    for (track, label), waveform in stems.items():
        path = HERE / track / f"{label}.ogg"
        path.parent.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(path, "w", rate, 2, format="OGG", subtype="VORBIS", compression_level=0.6) as file:
            for start in range(
                0, len(waveform), rate
            ):  # in pieces: libsndfile's encoder overflows its stack on long writes
                file.write(waveform[start : start + rate])
    whole = HERE / "potassium" / "backing vocals.flac"
    soundfile.write(whole, stems["potassium", "vocals"][: 8 * rate], rate, subtype="PCM_16")
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])


def _excerpt(path: Path, start: float) -> np.ndarray:
    waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return waveform[:, [0, -1]][int(start * rate) : int((start + DURATION) * rate)]


def _active_rms(waveform: np.ndarray) -> float:
    """RMS of the loud half of the seconds."""
    seconds = [np.mean(waveform[at : at + 44100] ** 2) for at in range(0, len(waveform), 44100)]
    return float(np.sqrt(np.mean(sorted(seconds)[len(seconds) // 2 :])))


if __name__ == "__main__":
    main()
