"""Sounds made in the test: four kinds of stem, datasets of them, and files in any container. All of it is seeded."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile

RATE = 22050
MakeDataset = Callable[..., Path]


def _time(seconds: float, rate: int) -> np.ndarray:
    return np.arange(round(seconds * rate)) / rate


def _stereo(sound: np.ndarray, rng: np.random.Generator, peak: float) -> np.ndarray:
    """Two channels that differ a little, at a given peak. Shape: (time,) -> (channel, time)."""
    pan = rng.uniform(0.35, 0.65)
    both = np.stack([sound * (1 - pan), sound * pan])
    return (both * peak / max(1e-9, np.abs(both).max())).astype(np.float32)


def drum_like(seconds: float, rng: np.random.Generator, rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    """Kick and snare on the beat, hats in between."""
    time = _time(seconds, rate)
    beat = 60 / rng.uniform(90, 140)
    since_kick, since_snare, since_hat = time % (2 * beat), (time - beat) % (2 * beat), time % (beat / 2)
    kick = np.sin(2 * np.pi * (50 * since_kick + 4 * (1 - np.exp(-30 * since_kick)))) * np.exp(-18 * since_kick)
    noise = rng.standard_normal(len(time))
    snare = noise * np.exp(-22 * since_snare) * (time >= beat)
    hat = np.diff(noise, prepend=0.0) * np.exp(-60 * since_hat)
    return _stereo(kick + 0.4 * snare + 0.1 * hat, rng, peak)


def bass_like(seconds: float, rng: np.random.Generator, rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    """A line of decaying low notes with a few harmonics."""
    time = _time(seconds, rate)
    step = np.minimum((time * 4).astype(int), round(seconds * 4) - 1)
    notes = 41.2 * 2 ** (rng.integers(0, 12, round(seconds * 4) or 1) / 12)
    phase = 2 * np.pi * np.cumsum(notes[step]) / rate
    sound = sum(np.sin(k * phase) / k**1.5 for k in range(1, 6)) * np.exp(-3 * (time * 4 % 1))
    return _stereo(np.asarray(sound), rng, peak)


def voice_like(seconds: float, rng: np.random.Generator, rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    """A harmonic tone with vibrato and two formants, in phrases with breaths between."""
    time = _time(seconds, rate)
    f0_hz = rng.uniform(160, 330) * 2 ** (0.5 * np.sin(2 * np.pi * 5.5 * time) / 12)
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate
    formants_hz = rng.uniform(400, 800), rng.uniform(1200, 2400)
    sound = np.zeros_like(time)
    for k in range(1, 20):
        gain = sum(np.exp(-(((k * f0_hz.mean() - formant) / 200) ** 2)) for formant in formants_hz) + 0.05
        sound += gain * np.sin(k * phase)
    return _stereo(sound * (time % 1.5 < 1.2), rng, peak)


def chord_like(seconds: float, rng: np.random.Generator, rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    """Held triads, a new one every second."""
    time = _time(seconds, rate)
    roots = 196 * 2 ** (rng.integers(0, 12, int(np.ceil(seconds)) or 1) / 12)
    root = roots[time.astype(int)]
    phase = 2 * np.pi * np.cumsum(root) / rate
    sound = sum(np.sin(ratio * phase) + 0.3 * np.sin(2 * ratio * phase) for ratio in (1, 2 ** (4 / 12), 2 ** (7 / 12)))
    return _stereo(np.asarray(sound) * np.exp(-(time % 1)), rng, peak)


LIKE = {"drums": drum_like, "bass": bass_like, "vocals": voice_like, "other": chord_like}


@pytest.fixture(scope="session")
def sounds() -> SimpleNamespace:
    """``sounds.drums(seconds, rng)`` and the like. Shape: (channel, time)."""
    return SimpleNamespace(**LIKE)


@pytest.fixture
def make_dataset() -> MakeDataset:
    """``make_dataset(folder, tracks=2)`` writes ``folder/song 1/drums.wav`` … and gives the folder back."""

    def make(
        folder: Path,
        *,
        tracks: int = 2,
        seconds: float = 4.0,
        rate: int = RATE,
        labels: Sequence[str] = tuple(LIKE),
        silence: float = 0.0,
        ending: str = ".wav",
        seed: int = 0,
    ) -> Path:
        rng = np.random.default_rng(seed)
        for track in range(1, tracks + 1):
            for label in labels:
                sound = LIKE[label](seconds, rng, rate)
                if silence:
                    half = sound.shape[1] // 2
                    pause = np.zeros((2, round(silence * rate)), np.float32)
                    sound = np.concatenate([sound[:, :half], pause, sound[:, half:]], axis=1)
                path = folder / f"song {track}" / f"{label}{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, sound.T, rate, subtype="PCM_16")
        return folder

    return make


@pytest.fixture
def mir1k() -> Path:
    """Clips of MIR-1K, where the variable MIR1K names a folder: ``CLIP/{vocals,accompaniment}.ogg, CLIP/f0.pv``."""
    if not os.environ.get("MIR1K"):
        pytest.skip("MIR1K names no folder of clips")
    return Path(os.environ["MIR1K"])


Encode = Callable[..., Path]


@pytest.fixture
def encode() -> Encode:
    """``encode(path, waveforms, rate, codec)``: a container with one audio stream per waveform, with titles."""

    def write(path: Path, waveforms: Sequence[np.ndarray], rate: int, codec: str, titles: Sequence[str] = ()) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            streams = [container.add_stream(codec, rate=rate, layout="stereo") for _ in waveforms]
            for stream, title in zip(streams, titles, strict=False):
                stream.metadata["title"] = title
            for stream, waveform in zip(streams, waveforms, strict=True):
                for start in range(0, waveform.shape[1], 1024):
                    part = np.ascontiguousarray(waveform[:, start : start + 1024], np.float32)
                    frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                    frame.sample_rate, frame.pts = rate, start
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def add_stem_names() -> Callable[[Path, Sequence[str]], None]:
    """Put the box ``moov/udta/stem`` into an MP4 whose index stands at its end, as Native Instruments have it."""

    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), name) + content

    def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
        found, at = [], 0
        while at < len(data):
            length, name = struct.unpack(">I4s", data[at : at + 8])
            found.append((name, data[at + 8 : at + length]))
            at += length
        return found

    def add(path: Path, names: Sequence[str]) -> None:
        text = json.dumps({"version": 1, "stems": [{"name": name, "color": "#FF0000"} for name in names]}).encode()
        *media, (last, index) = boxes(path.read_bytes())
        assert last == b"moov"
        parts = [item for item in boxes(index) if item[0] != b"udta"]
        old = next((content for name, content in boxes(index) if name == b"udta"), b"")
        parts.append((b"udta", old + box(b"stem", text)))
        moov = box(b"moov", b"".join(box(*part) for part in parts))
        path.write_bytes(b"".join(box(*item) for item in media) + moov)

    return add
