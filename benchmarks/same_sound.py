"""How reliably copies of a sound are distinguished from other sounds: ``python -m benchmarks.same_sound FOLDER``.

Every audio file below the folder is read once. *Other sounds*: all pairs of files whose fingerprints are near, and all
pairs of ten-second pieces of one file (loops, repeated choruses, a part played twice), compared sample by sample.
*Copies*: each file after the encodings below, also with another gain, sample rate and leading silence.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from stemclean.audio import copies, files

RATE = 44100
PIECE = 10.0
"""Seconds of a piece of a file that is compared with the others."""


@dataclass(frozen=True)
class Encoding:
    """How a copy is written: ``format`` and ``subtype`` as soundfile names them."""

    format: str
    subtype: str
    rate: int = RATE
    gain_db: float = 0.0
    lead: float = 0.0
    compression: float | None = None


ENCODINGS = {
    "wav 16 bit": Encoding("WAV", "PCM_16"),
    "wav float, +4 dB": Encoding("WAV", "FLOAT", gain_db=4.0),
    "flac 24 bit, -12 dB, 0.5 s later": Encoding("FLAC", "PCM_24", gain_db=-12.0, lead=0.5),
    "wav, 48 kHz": Encoding("WAV", "PCM_24", rate=48000),
    "wav, 22.05 kHz": Encoding("WAV", "PCM_16", rate=22050),
    "wav, 8 bit": Encoding("WAV", "PCM_U8"),
    "mp3": Encoding("MP3", "MPEG_LAYER_III"),
    "mp3, least bits, 27 ms later": Encoding("MP3", "MPEG_LAYER_III", lead=0.027, compression=0.9),
    "vorbis": Encoding("OGG", "VORBIS"),
    "vorbis, few bits, -6 dB": Encoding("OGG", "VORBIS", gain_db=-6.0, compression=0.9),
    "opus, 48 kHz": Encoding("OGG", "OPUS", rate=48000),
}


def copy(sound: np.ndarray, how: Encoding) -> np.ndarray:
    """Write and read a sound ``(channel, time)`` again, at :data:`RATE`."""
    sound = soxr.resample(sound.T, RATE, how.rate) * 10 ** (how.gain_db / 20)
    sound = np.pad(sound, ((round(how.lead * how.rate), 0), (0, 0)))
    peak = np.abs(sound).max()
    if how.subtype != "FLOAT" and peak > 0.99:
        sound = sound * (0.99 / peak)
    file = io.BytesIO()
    more = {} if how.compression is None else {"compression_level": how.compression}
    with soundfile.SoundFile(
        file, "w", how.rate, sound.shape[1], format=how.format, subtype=how.subtype, **more
    ) as opened:
        for start in range(0, len(sound), 1 << 16):  # libvorbis overflows its stack on long writes
            opened.write(sound[start : start + (1 << 16)])
    file.seek(0)
    decoded, rate = soundfile.read(file, dtype="float32", always_2d=True)
    return soxr.resample(decoded, rate, RATE).T.astype(np.float32)


def fingerprint(sound: np.ndarray) -> str | None:
    """Return the fingerprint of a sound at :data:`RATE`, in blocks as ``refine`` computes it."""
    taking = copies.Fingerprinter(RATE)
    for start in range(0, sound.shape[1], 100_000):
        taking.add(sound[:, start : start + 100_000])
    return taking.fingerprint()


def compared(sound: np.ndarray) -> list[np.ndarray]:
    """Return a sound in the form in which copies are compared."""
    return [soxr.resample(sound.T, RATE, copies.SAMPLE_RATE).T.astype(np.float32)]


def of_copies(paths: list[Path], seconds: float) -> dict[str, Any]:
    """Count the copies that are found: near by fingerprint and equal by waveform."""
    report: dict[str, Any] = {name: {"copies": 0, "found": 0, "farthest_db": 0.0} for name in ENCODINGS}
    for path, sound in read(paths, seconds):
        own, resampled = fingerprint(sound), compared(sound)
        for name, how in ENCODINGS.items():
            other = copy(sound, how)
            distance = copies.distance_db(own, fingerprint(other) or "")
            same = copies.same(resampled, compared(other))
            row = report[name]
            row["copies"] += 1
            row["found"] += same and distance <= copies.TOLERANCE_DB
            if not same or distance > copies.TOLERANCE_DB:
                print(f"missed: {path}, {name}: {distance:.2f} dB, {same}", flush=True)
            row["farthest_db"] = round(max(row["farthest_db"], distance), 2)
    return report


def of_pieces(paths: list[Path], seconds: float) -> dict[str, Any]:
    """Count the pairs of pieces of one file that are taken for copies, by fingerprint, waveform and both."""
    report = {"pairs": 0, "same": 0, "near": 0, "both": 0}
    for path, sound in read(paths, seconds):
        length = round(PIECE * RATE)
        parts = [sound[:, start : start + length] for start in range(0, sound.shape[1] - length + 1, length)]
        parts = [part for part in parts if np.abs(part).max() > 1e-3]
        prints, resampled = [fingerprint(part) for part in parts], [compared(part) for part in parts]
        for first, second in combinations(range(len(parts)), 2):
            same = copies.same(resampled[first], resampled[second])
            near = copies.distance_db(prints[first], prints[second]) <= copies.TOLERANCE_DB
            report["pairs"] += 1
            report["near"] += near
            report["same"] += same
            report["both"] += near and same
            if same:
                print(f"pieces {first} and {second} of {path}: near {near}", flush=True)
    return report


def of_files(paths: list[Path], seconds: float) -> dict[str, Any]:
    """Return the pairs of different files that are taken for copies."""
    named, prints = [], []
    for path, sound in read(paths, seconds):
        if (taken := fingerprint(sound)) is not None:
            named.append(path)
            prints.append(taken)
    pairs, same = copies.alike(prints), []
    for first, second in pairs:
        sounds = [compared(sound) for _, sound in read([named[first], named[second]], seconds)]
        if copies.same(*sounds):
            print(f"same: {named[first]} and {named[second]}", flush=True)
            same.append([str(named[first]), str(named[second])])
    return {"files": len(named), "near": len(pairs), "same": same}


def read(paths: list[Path], seconds: float) -> Iterator[tuple[Path, np.ndarray]]:
    """Yield the beginning of each file that is not silent, ``(2, time)`` at :data:`RATE`."""
    for path in paths:
        parts = []
        for block in files.blocks(path, sample_rate=RATE, channels=2):
            parts.append(block)
            if sum(part.shape[1] for part in parts) >= seconds * RATE:
                break
        sound = np.concatenate(parts, axis=1)[:, : round(seconds * RATE)]
        if np.abs(sound).max(initial=0.0) > 1e-3:
            yield path, sound


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=150.0, help="of each file; 150")
    parser.add_argument("--only", choices=["copies", "pieces", "files"], action="append")
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix in {".ogg", ".wav", ".flac", ".mp3"})
    parts = {"copies": of_copies, "pieces": of_pieces, "files": of_files}
    print(json.dumps({part: parts[part](paths, options.seconds) for part in options.only or parts}, indent=1))


if __name__ == "__main__":
    main()
