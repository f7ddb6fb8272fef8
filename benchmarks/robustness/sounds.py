"""Intact audio files to be damaged: a second of real stems in every format that can be written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

__all__ = ["BAND", "CLASSES", "FORMATS", "write_all"]

BAND = Path(__file__).resolve().parents[2] / "examples" / "noisy_band"
"""Two songs, the default."""

CLASSES = ("drums", "bass", "vocals", "other")
SECONDS, RATE = 1.2, 44100
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1", 16: "hexadecagonal"}

Encode = Callable[[Path, np.ndarray], None]


def _libsndfile(container: str, subtype: str) -> Encode:
    def write(path: Path, sound: np.ndarray) -> None:
        soundfile.write(path, sound, RATE, subtype, format=container)

    return write


def _ffmpeg(codec: str, container: str | None = None, streams: int = 1) -> Encode:
    def write(path: Path, sound: np.ndarray) -> None:
        layout = LAYOUTS[sound.shape[1]]
        rate = 48000 if codec == "libopus" else RATE
        with av.open(str(path), "w", format=container) as file:
            made = [file.add_stream(codec, rate=rate, layout=layout) for _ in range(streams)]
            for stream in made if codec == "wmav2" else ():
                stream.bit_rate = 128_000  # it has no default that it takes
            for stream, title in zip(made, ("mixture", *CLASSES), strict=False):
                if streams > 1:
                    stream.metadata["title"] = title
            resampler = av.AudioResampler(
                made[0].codec_context.format or "fltp", layout, rate, made[0].codec_context.frame_size or 1024
            )
            whole = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sound, np.float32).reshape(1, -1), format="flt", layout=layout
            )
            whole.sample_rate, whole.pts, whole.time_base = RATE, 0, Fraction(1, RATE)
            frames = [*resampler.resample(whole), *resampler.resample(None)]
            for stream, frame in itertools.product(made, frames):
                file.mux(stream.encode(frame))
            for stream in made:
                file.mux(stream.encode(None))

    return write


FORMATS: dict[str, tuple[str, tuple[int, ...], Encode]] = {
    "wav 16": ("wav", (1, 2, 8), _libsndfile("WAV", "PCM_16")),
    "wav 24": ("wav", (2, 6), _libsndfile("WAVEX", "PCM_24")),
    "wav float": ("wav", (2, 16), _libsndfile("WAV", "FLOAT")),
    "aiff": ("aiff", (1, 2, 8), _libsndfile("AIFF", "PCM_24")),
    "flac": ("flac", (1, 2, 8), _libsndfile("FLAC", "PCM_16")),
    "ogg vorbis": ("ogg", (1, 2, 6), _libsndfile("OGG", "VORBIS")),
    "opus": ("opus", (1, 2), _ffmpeg("libopus", "ogg")),
    "mp3": ("mp3", (1, 2), _libsndfile("MP3", "MPEG_LAYER_III")),
    "mp3 of ffmpeg": ("mp3", (2,), _ffmpeg("libmp3lame", "mp3")),
    "w64": ("w64", (2, 8), _libsndfile("W64", "PCM_16")),
    "rf64": ("wav", (2,), _libsndfile("RF64", "PCM_16")),
    "au": ("au", (2, 8), _libsndfile("AU", "FLOAT")),
    "caf": ("caf", (2, 8), _libsndfile("CAF", "PCM_16")),
    "m4a": ("m4a", (1, 2, 6, 8), _ffmpeg("aac", "ipod")),
    "alac": ("m4a", (2,), _ffmpeg("alac", "ipod")),
    "aac": ("aac", (2,), _ffmpeg("aac", "adts")),
    "stem.mp4": ("stem.mp4", (2,), _ffmpeg("aac", "mp4", streams=5)),
    "webm": ("webm", (2,), _ffmpeg("libopus", "webm")),
    "mka": ("mka", (2, 8), _ffmpeg("flac", "matroska")),
    "flac in ogg": ("ogg", (2,), _ffmpeg("flac", "ogg")),
    "wma": ("wma", (2,), _ffmpeg("wmav2", "asf")),
    "wavpack": ("wv", (2, 8), _ffmpeg("wavpack", "wv")),
    "tta": ("tta", (2,), _ffmpeg("tta", "tta")),
    "ac3": ("ac3", (2, 6), _ffmpeg("ac3", "ac3")),
    "mp2": ("mp2", (2,), _ffmpeg("mp2", "mp2")),
}
"""Name -> ending, numbers of channels, and how it is written."""


def _stems(songs: Path, label: str) -> Iterator[Path]:
    paths = sorted(songs.rglob(f"*{label}*.ogg"))
    yield from paths or sorted(songs.rglob("*.ogg")) or sorted(BAND.rglob("*.ogg"))


def _excerpt(path: Path) -> np.ndarray:
    """Return the loudest part of a file's first half minute. Shape: (time, 2)."""
    sound, rate = soundfile.read(path, stop=30 * 48000, always_2d=True, dtype="float32")
    step, length = rate // 2, int(SECONDS * RATE)
    energy = [float((sound[at : at + length] ** 2).sum()) for at in range(0, max(1, len(sound) - length), step)]
    at = int(np.argmax(energy)) * step
    part = sound[at : at + length, : min(2, sound.shape[1])]
    return np.pad(np.broadcast_to(part, (len(part), 2)), ((0, length - len(part)), (0, 0)))


def write_all(songs: Path, folder: Path, formats: Sequence[str] = tuple(FORMATS)) -> None:
    """Write every class in every format, as ``FOLDER/FORMAT/CLASS CHANNELS.ENDING``."""
    if (folder / "done").exists():
        return
    sounds = {label: _excerpt(next(_stems(songs, label))) for label in CLASSES}
    for name in formats:
        ending, channels, encode = FORMATS[name]
        for label, number in itertools.product(CLASSES, channels):
            stereo = sounds[label]
            sound = stereo[:, :1] if number == 1 else np.tile(stereo, (1, number // 2))
            path = folder / name / f"{label} {number}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            encode(path, np.ascontiguousarray(sound))
    (folder / "done").touch()
