"""Take songs apart into one file per class: the ``separate`` verb."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import stemclean
from stemclean import manifest
from stemclean.audio import files
from stemclean.audio.loudness import LoudnessMeter
from stemclean.audio.waveform import Waveform
from stemclean.claims import claimed
from stemclean.data.destination import refuse_in_source
from stemclean.data.record import Record
from stemclean.data.sources import loudness_gain
from stemclean.errors import AudioError, ConfigError, of_one_file
from stemclean.labels import FOUR_STEMS, MIXTURE
from stemclean.layouts.walk import audio_files
from stemclean.manifest import Skip
from stemclean.models import weights
from stemclean.models.overlap_add import overlap_add

__all__ = ["RECORD_NAME", "SeparateConfig", "separate"]

RECORD_NAME = "separated.json"
FORMATS = ("wav", "flac")
BLOCK = 10.0
"""Seconds that are read at once."""


@dataclass(frozen=True)
class SeparateConfig:
    """How songs are taken apart.

    Args:
        overlap: of the segments, as a share of one.
        format: ``wav`` or ``flac``, of 24 bits.
    """

    overlap: float = 0.25
    format: str = "wav"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError(f'no format "{self.format}" to write', f"known: {', '.join(FORMATS)}")
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"an overlap of {self.overlap:g}", "give a share of a segment, from 0 to below 1")


def separate(
    source: str | Path,
    output: str | Path,
    *,
    weights_uri: str | Path,
    config: SeparateConfig = SeparateConfig(),
    device: str | None = None,
    batch_size: int = 1,
    resume: bool = True,
    quiet: bool = False,
) -> dict[str, Any]:
    """Estimate every class of one song or of many.

    The estimates of a song are ``output/song/CLASS.wav``, with the rate, the channels and the length of the song; more
    than two channels are down-mixed to stereo. Memory is bounded, whatever the length. The song is brought to the
    loudness that the model was trained at, by one gain, which is undone on the estimates.

    Args:
        source: an audio file, or a folder of them. In a folder, a file called ``mixture`` (or the like) is the song of
            its folder, and the other files beside it are passed over as its stems.
        output: a folder; beside the songs, ``separated.json`` says what was done.
        weights_uri: of a separator: ``hub:``, ``file:`` or a path.
        config: how.
        device: of torch; None: a GPU where there is one.
        batch_size: segments that go through the model at once.
        resume: keep what an earlier run with the same song, weights and settings has written.

    Returns:
        What ``separated.json`` holds (``songs``, ``skipped``, ``weights``, ``config``), with ``output`` and
        ``seconds``.

    Raises:
        ConfigError: nothing to separate, or files that would be overwritten and are not an earlier run's.
        WeightsError: weights that cannot be had, or no separator's.
    """
    began = time.monotonic()
    source, output = Path(source), Path(output)
    if source.is_dir():
        refuse_in_source(output, source)
    with claimed(output, folder=True):
        loaded = weights.load(weights_uri, kind="separators")
        record = _record(output, loaded, config, resume=resume)
        songs = _songs(source)
        record.check(songs)
        model = _Model(loaded, device, batch_size)
        bar = tqdm(songs.items(), "separate", unit="song", disable=True if quiet else None)
        for name, path in bar:
            try:
                sha256 = manifest.file_sha256(path)
                if not record.holds(name, sha256):
                    with of_one_file(path):
                        told = _separate(path, output / name, model, config)
                    record.add(name, {"sha256": sha256, **told})
            except AudioError as error:
                record.skip(Skip(path=_shown(path, source), reason=error.reason, detail=error.detail))
            except OSError as error:
                record.skip(Skip(path=_shown(path, source), reason="unreadable", detail=error.strerror or str(error)))
        return {**record.written(), "output": str(output), "seconds": time.monotonic() - began}


def _songs(source: Path) -> dict[str, Path]:
    """Songs by the folder that their estimates go to, in order."""
    if not source.exists():
        raise ConfigError(f"{source}: no such file or folder")
    if source.is_file():
        called_mixture = FOUR_STEMS.find(source.stem) == MIXTURE
        return {source.resolve().parent.name if called_mixture else source.stem: source}
    found = audio_files(source)
    whole = {path.parent for path in found if FOUR_STEMS.find(path.stem) == MIXTURE}
    songs: dict[str, Path] = {}
    for path in found:
        if path.parent in whole and FOUR_STEMS.find(path.stem) != MIXTURE:
            continue
        name = _name(path, source)
        if name in songs:
            raise ConfigError(f"{path} and {songs[name]} would both be written to {name}", "rename one of them")
        songs[name] = path
    if not songs:
        raise ConfigError(f"{source} holds no audio file")
    return songs


def _name(path: Path, root: Path) -> str:
    """Where a song's estimates go: under its folder's name if it is called "mixture", else its own."""
    inside = path.parent.relative_to(root)
    if FOUR_STEMS.find(path.stem) != MIXTURE:
        return (inside / path.stem).as_posix()
    return inside.as_posix() if inside.parts else root.resolve().name


def _shown(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix() if source.is_dir() else path.name


class _Model:
    """A separator on NumPy arrays."""

    def __init__(self, loaded: weights.Weights, device: str | None, batch_size: int) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.net = loaded.model.to(self.device).eval()
        self.spec = loaded.model.spec
        self.loudness_lufs: float | None = loaded.card.get("loudness_lufs")
        self.batch_size = batch_size

    def channels(self, have: int) -> int:
        """How many channels are read of a file: a mono model takes each channel alone."""
        return int(self.spec.channels) if self.spec.channels > 1 else min(have, 2)

    def __call__(self, sounds: np.ndarray) -> np.ndarray:
        """``(batch, channel, segment)`` -> ``(batch, stem, channel, segment)``."""
        mixtures = torch.from_numpy(np.ascontiguousarray(sounds)).to(self.device)
        batch, channels = mixtures.shape[:2]
        alone = self.spec.channels == 1
        with torch.inference_mode():
            estimates = self.net(mixtures.flatten(0, 1)[:, None] if alone else mixtures).float()
        if alone:  # (batch * channel, stem, 1, segment)
            estimates = estimates.squeeze(2).unflatten(0, (batch, channels)).transpose(1, 2)
        return np.asarray(estimates.cpu().numpy(), np.float32)


def _separate(path: Path, folder: Path, model: _Model, config: SeparateConfig) -> dict[str, Any]:
    """Write one song's estimates; says what they are like."""
    info = files.probe(path)
    channels = model.channels(info.channels)
    loudness_lufs, num_samples = _measured(path, info.sample_rate, channels)
    gain = loudness_gain(loudness_lufs, model.loudness_lufs)
    labels = model.spec.labels
    written = min(info.channels, 2)
    clipped = dict.fromkeys(labels, 0)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(files.create(folder / f"{label}.{config.format}", info.sample_rate, written))
            for label in labels
        ]
        for estimates in _estimates(path, info.sample_rate, channels, num_samples, gain, model, config):
            for label, writer, estimate in zip(labels, writers, estimates, strict=True):
                sound = files.mix_channels(estimate, written)
                clipped[label] += int((np.abs(sound) > 1.0).sum())
                writer.write(sound)
    return {
        "num_samples": num_samples,
        "sample_rate": info.sample_rate,
        "channels": written,
        "loudness_lufs": None if loudness_lufs is None else round(loudness_lufs, 2),
        "clipped": {label: count for label, count in clipped.items() if count},
    }


def _measured(path: Path, sample_rate: int, channels: int) -> tuple[float | None, int]:
    """Loudness in LUFS as the model hears the song, and its length in samples."""
    meter, num_samples = LoudnessMeter(sample_rate), 0
    for block in files.blocks(path, channels=channels, block_duration=BLOCK):
        meter.add(block)
        num_samples += block.shape[1]
    if not num_samples:
        raise AudioError(path, "empty", "it holds no samples")
    return meter.integrated_lufs(), num_samples


def _estimates(
    path: Path,
    sample_rate: int,
    channels: int,
    num_samples: int,
    gain: float,
    model: _Model,
    config: SeparateConfig,
) -> Iterator[np.ndarray]:
    """Estimates at the song's own rate, ``(stem, channel, time)`` each, ``num_samples`` in all."""
    num_stems = len(model.spec.labels)
    heard = files.blocks(path, sample_rate=model.spec.sample_rate, channels=channels, block_duration=BLOCK)
    louder = (block * np.float32(gain) for block in heard)
    flat: Iterator[Waveform] = (
        (estimates * np.float32(1 / gain)).reshape(num_stems * channels, -1)  # rows: (stem, channel)
        for estimates in overlap_add(
            louder, model, model.spec.segment, overlap=config.overlap, batch_size=model.batch_size
        )
    )
    if model.spec.sample_rate != sample_rate:
        flat = files.resampled(flat, model.spec.sample_rate, sample_rate, num_stems * channels)
    left = num_samples
    for rows in flat:
        part = rows[:, :left]
        left -= part.shape[1]
        if part.shape[1]:
            yield part.reshape(num_stems, channels, -1)
    if left:  # two changes of rate may lose a sample
        yield np.zeros((num_stems, channels, left), np.float32)


def _record(folder: Path, loaded: weights.Weights, config: SeparateConfig, *, resume: bool) -> Record:
    settings = {
        "by": f"stemclean {stemclean.__version__}",
        "weights": {"uri": loaded.uri, "sha256": loaded.sha256},
        "config": asdict(config),
    }
    endings = [f"{label}.{config.format}" for label in loaded.model.spec.labels]
    return Record(
        folder / RECORD_NAME, settings, lambda name: [folder / name / ending for ending in endings], resume=resume
    )
