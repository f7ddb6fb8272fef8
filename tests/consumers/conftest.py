"""What the readers of other projects need."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def torchaudio_of_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give torchaudio 2.9 and later the functions back that it lost, by soundfile, which was their backend."""
    torchaudio = pytest.importorskip("torchaudio", exc_type=ImportError)
    if hasattr(torchaudio, "info"):
        return
    import soundfile
    import torch

    def load(path: str, frame_offset: int = 0, num_frames: int = -1) -> tuple[torch.Tensor, int]:
        sound, rate = soundfile.read(path, num_frames, frame_offset, dtype="float32", always_2d=True)
        return torch.from_numpy(sound.T.copy()), rate

    def info(path: str) -> Any:
        found = soundfile.info(path)
        return SimpleNamespace(sample_rate=found.samplerate, num_frames=found.frames, num_channels=found.channels)

    if importlib.util.find_spec("torchcodec") is None:  # it loads with torchcodec now
        monkeypatch.setattr(torchaudio, "load", load)
    monkeypatch.setattr(torchaudio, "info", info, raising=False)
    monkeypatch.setattr(torchaudio, "get_audio_backend", lambda: "soundfile", raising=False)


@pytest.fixture
def songs(tmp_path: Any) -> Any:
    """Songs as they come: in folders, some without every class, one for validation, one for testing."""
    from export_dataset import LABELS, Dataset, tone

    data = Dataset(tmp_path / "stems")
    for song, split in (("artist/first", "train"), ("artist/second", None), ("checked", "validation")):
        for label in LABELS:
            data.add(f"{song}/{label}.wav", [label], split=split)
    data.add("tested/vocals.wav", ["vocals"], split="test")
    data.add("sparse/drums_1.wav", ["drums"], tone(1500, seconds=1.0))
    data.add("sparse/drums_2.wav", ["drums"], tone(1700))
    data.add("sparse/vocals.wav", ["vocals", "drums"], verdict=("mixed", "unclaimed_class_present"))
    return data


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the readers that ran, and those that are not installed."""
    modules: dict[str, set[str]] = {"passed": set(), "skipped": set()}
    for outcome, names in modules.items():
        for report in terminalreporter.stats.get(outcome, []):
            path = Path(report.nodeid.partition("::")[0])
            if path.parent.name == "consumers" and getattr(report, "when", "call") in ("call", "setup", "collect"):
                names.add(path.stem.removeprefix("test_").removesuffix("_reads"))
    ran, missing = modules["passed"], modules["skipped"] - modules["passed"]
    terminalreporter.write_line(f"readers that ran: {', '.join(sorted(ran)) or 'none'}")
    terminalreporter.write_line(f"readers that are not installed: {', '.join(sorted(missing)) or 'none'}")
