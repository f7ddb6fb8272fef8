"""Train a small Open-Unmix on a folder of class folders and evaluate it; runs in an environment of its own.

    PYTHON train_openunmix.py DATASET TEST OUT.json --target drums --interferers bass other --steps 800 --seed 0

DATASET is an export of ``--to openunmix --set dataset=sourcefolder``; TEST has ``SONG/CLASS.wav`` of clean songs. Needs
``openunmix==1.3.0`` and ``torchaudio<2.9``, and nothing of stemclean. Model, transform and dataset are those of
Open-Unmix; the loop is that of its training script without early stopping.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

RATE = 44_100
SEGMENT = 3.0
BATCH = 8
EXCERPT = 30.0
"""Seconds from the middle of each test song."""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--target", required=True)
    parser.add_argument("--interferers", nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    from openunmix import data as reading
    from openunmix.data import SourceFolderDataset
    from openunmix.model import OpenUnmix
    from openunmix.transforms import ComplexNorm, make_filterbanks

    reading.load_info, reading.load_audio = _info, _excerpt  # the same sound, without opening a file for each excerpt
    random.seed(given.seed)
    torch.manual_seed(given.seed)
    torch.set_num_threads(1)
    dataset = SourceFolderDataset(
        str(given.dataset), "train", given.target, list(given.interferers), seq_duration=SEGMENT, seed=given.seed,
        nb_samples=given.steps * BATCH,
    )  # fmt: skip
    stft, istft = make_filterbanks(n_fft=4096, n_hop=1024, center=True, sample_rate=float(RATE))
    encoder = torch.nn.Sequential(stft, ComplexNorm(mono=False))
    mixtures = torch.stack([dataset[index][0] for index in range(32)])
    spectra = encoder(mixtures).mean(dim=(0, 1, 3)).numpy()
    scale = np.maximum(encoder(mixtures).permute(0, 1, 3, 2).reshape(-1, len(spectra)).std(0).numpy(), 1e-4)
    model = OpenUnmix(2049, 2, 128, 1, input_mean=spectra, input_scale=scale, max_bin=1487)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    began, losses = time.monotonic(), []
    model.train()
    for step in range(given.steps):
        pairs = [dataset[step * BATCH + index] for index in range(BATCH)]
        mixture, target = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        loss = torch.nn.functional.mse_loss(model(encoder(mixture)), encoder(target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    model.eval()
    scores = {song.name: _sdr(song, given.target, model, stft, istft) for song in sorted(given.test.iterdir())}
    result = {
        "sdr_db": scores,
        "loss": float(np.mean(losses[-100:])),
        "seconds": round(time.monotonic() - began, 1),
        "files": {folder.name: len(list(folder.iterdir())) for folder in sorted((given.dataset / "train").iterdir())},
    }
    given.output.write_text(json.dumps(result, indent=1), encoding="utf-8")


@functools.cache
def _sound(path: str) -> torch.Tensor:
    """Return a file. Shape: (channel, time)."""
    import soundfile

    sound, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(sound.T.copy())


def _info(path: str) -> dict[str, float]:
    """Stand in for Open-Unmix's ``load_info``."""
    return {"samplerate": RATE, "samples": _sound(str(path)).shape[1], "duration": _sound(str(path)).shape[1] / RATE}


def _excerpt(path: str, start: float = 0.0, dur: float | None = None, **_: Any) -> tuple[torch.Tensor, float]:
    """Stand in for Open-Unmix's ``load_audio``."""
    sound, begin = _sound(str(path)), int(start * RATE)
    return sound[:, begin : None if dur is None else begin + int(dur * RATE)], RATE


def _sdr(song: Path, target: str, model: Any, stft: Any, istft: Any) -> dict[str, float]:
    """Return the SDR of the estimate, and of the mixture as an estimate, over an excerpt, in dB."""
    import soundfile

    stems = {}
    for path in sorted(song.iterdir()):
        sound, _ = soundfile.read(path, dtype="float32", always_2d=True)
        begin = max(0, (len(sound) - round(EXCERPT * RATE)) // 2)
        stems[path.stem] = torch.from_numpy(sound[begin : begin + round(EXCERPT * RATE)].T.copy())
    length = min(stem.shape[1] for stem in stems.values())
    mixture = torch.stack([stem[:, :length] for stem in stems.values()]).sum(0)[None]
    reference = stems[target][None, :, :length]
    with torch.no_grad():
        spectrum = stft(mixture)  # (batch, channel, bin, frame, 2)
        magnitude = torch.sqrt(spectrum.square().sum(-1))
        gain = (model(magnitude) / (magnitude + 1e-8)).clamp(0, 1)
        estimate = istft(spectrum * gain[..., None], length=length)

    def sdr(guess: torch.Tensor) -> float:
        error = (reference - guess).square().sum()
        return float(10 * torch.log10((reference.square().sum() + 1e-9) / (error + 1e-9)))

    return {"estimate": round(sdr(estimate), 3), "mixture": round(sdr(mixture), 3)}


if __name__ == "__main__":
    main()
