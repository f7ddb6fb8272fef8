"""Sounds made in the test: four kinds of stem, datasets of them, and files in any container. All of it is seeded."""

from __future__ import annotations

import os

# Before torch is imported, and for the processes that tests start: threads of processes that share busy cores wait for
# each other in a loop, so that a training of seconds takes minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
from synthetic_stems import LIKE, RATE

MakeDataset = Callable[..., Path]


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
