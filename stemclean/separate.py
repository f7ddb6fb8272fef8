"""Separate songs into one file per class: the ``separate`` verb."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

import stemclean
from stemclean import checks
from stemclean.audio import files, stereo
from stemclean.audio.headroom import SpooledSound, gain_below_full_scale
from stemclean.audio.loudness import LoudnessMeter
from stemclean.audio.stereo import ChannelFaults
from stemclean.audio.unchanged import Unchanged
from stemclean.audio.waveform import Waveform
from stemclean.checks import Sound
from stemclean.data.destination import refuse_in_source
from stemclean.data.record import Record
from stemclean.data.sources import loudness_gain
from stemclean.errors import AudioError, ConfigError, SkipReason, of_one_file
from stemclean.labels import FOUR_STEMS, MIXTURE
from stemclean.layouts.walk import audio_files
from stemclean.manifest import Skip
from stemclean.models import addresses, devices, weights
from stemclean.models.overlap_add import overlap_add
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import Plan, Product, download_of, lengths_of, measured, not_downloaded, plan_of_files
from stemclean.progress import waiting
from stemclean.settings import OneOf, Settings
from stemclean.units import amplitude_to_db

__all__ = ["RECORD_NAME", "SeparateConfig", "plan_separate", "separate"]

RECORD_NAME = "separated.json"
FORMATS = ("wav", "flac")
BLOCK = 10.0
"""Length of the blocks that are read, in seconds."""
MEASURED_BLOCKS = 2
"""Number of blocks of a song that are separated to measure the speed."""
ENTRY_BYTES = 400
"""Approximate size of a song in the record."""


class SeparateConfig(Settings):
    """Settings of separation.

    Args:
        overlap: overlap of neighbouring segments, as a share of their length.
        format: ``wav`` or ``flac``, with 24 bits; a WAV file that would clip is written as 32-bit float.
    """

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    format: Annotated[str, OneOf(lambda: FORMATS)] = "wav"


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
    """Separate one or more songs into estimates of every class.

    The estimates of a song are written to ``output/song/CLASS.wav``, with the song's sample rate, channels and length;
    more than two channels are mixed down to stereo. Memory use does not grow with the length of a song. The song is
    brought to the loudness that the model was trained at, and the estimates back to the original level. A mono model
    separates each channel on its own, at that loudness. If both channels hold the same sound
    (:mod:`stemclean.audio.stereo`), it is separated once. Estimates above full scale are written as float in WAV; in
    FLAC, all estimates of the song are attenuated by the same gain.

    Args:
        source: an audio file, or a folder of audio files. In a folder, a file named ``mixture`` (or a synonym) is the
            song of its folder, and the files beside it are skipped as its stems.
        output: a folder; ``separated.json`` in it records the run.
        weights_uri: weights of a separator: ``hub:``, ``file:`` or a path.
        config: settings of separation.
        device: torch device; None: a GPU if available.
        batch_size: number of segments in a batch.
        resume: keep the estimates that an earlier run with the same song, weights and settings has written.
        quiet: show no progress bar.

    Returns:
        The content of ``separated.json`` (``songs``, ``skipped``, ``weights``, ``config``), with ``output`` and
        ``seconds``.

    Raises:
        ConfigError: nothing to separate, or files would be overwritten that do not come from an earlier run.
        WeightsError: the weights cannot be loaded, or are not those of a separator.
    """
    began = time.monotonic()
    source, output = Path(source), Path(output)
    devices.check(device)
    if source.is_dir():
        refuse_in_source(output, source)
    with only_writer(output, folder=True):
        loaded = weights.load(weights_uri, kind="separators")
        record = _record(output, loaded, config, resume=resume)
        songs = _songs(source)
        record.check(songs)
        model = _Model(loaded, device, batch_size)
        sounds = Unchanged()
        bar = tqdm(songs.items(), "separate", unit="song", disable=True if quiet else None)
        for name, path in bar:
            try:
                sha256 = sounds.sha256(path)
                if not record.holds(name, sha256):
                    with sounds.reading(path, sha256), of_one_file(path):
                        facts = _separate(path, output / name, model, config)
                    record.add(name, {"sha256": sha256, **facts})
            except AudioError as error:
                record.skip(Skip(path=_shown(path, source), reason=error.reason, detail=error.detail))
            except OSError as error:
                record.skip(
                    Skip(path=_shown(path, source), reason=SkipReason.UNREADABLE, detail=error.strerror or str(error))
                )
        return {**record.written(), "output": str(output), "seconds": time.monotonic() - began}


def plan_separate(
    source: str | Path,
    output: str | Path,
    *,
    weights_uri: str | Path,
    config: SeparateConfig = SeparateConfig(),
    device: str | None = None,
    batch_size: int = 1,
    resume: bool = True,
    quiet: bool = False,
) -> Plan:
    """Return what :func:`separate` would do with the same arguments, after the same checks; nothing is written.

    Weights of the hub that are not cached are not downloaded, so that the time is unknown.
    """
    source, output = Path(source), Path(output)
    devices.check(device)
    if source.is_dir():
        refuse_in_source(output, source)
    check_writable(output, folder=True)
    found = addresses.look(weights_uri)
    songs = _songs(source)
    lengths, skipped = lengths_of(songs, lambda path: _shown(path, source))
    record_file = Product(output / RECORD_NAME, 1, len(songs) * ENTRY_BYTES)
    if not isinstance(found, Path):
        products = [record_file, Product(output, None), download_of(found.folder, found.num_bytes)]
        return plan_of_files(
            "separate", source, lengths, products, skipped=skipped, unknown_because=not_downloaded(found.uri)
        )
    with waiting(f"loading {weights_uri} …", quiet=quiet):
        loaded = weights.load(found, kind="separators")
    record = _record(output, loaded.named(weights_uri), config, resume=resume)
    record.check(songs)
    model, sounds = _Model(loaded, device, batch_size), Unchanged()
    finished = {name for name in lengths if record.has(name) and record.holds(name, sounds.sha256(songs[name]))}
    labels = model.spec.labels

    def work(name: str) -> float:
        path = songs[name]
        with of_one_file(path):
            return _trial(path, model, config)

    speed = measured(
        list(lengths), lambda name: min(lengths[name], MEASURED_BLOCKS * BLOCK), work, least=1, quiet=quiet
    )
    size = None if speed is None else round(sum(lengths.values()) * speed.bytes_per_second)
    products = [record_file, Product(output, len(lengths) * len(labels), size)]
    done = sum(lengths[name] for name in finished)
    return plan_of_files("separate", source, lengths, products, speed=speed, finished_seconds=done, skipped=skipped)


def _trial(path: Path, model: _Model, config: SeparateConfig) -> float:
    """Separate the beginning of a song without writing, and return the size of the estimates in bytes."""
    info = files.probe(path)
    song = _Song(path, info.sample_rate, model.channels(info.channels), ChannelFaults(), MEASURED_BLOCKS)
    gains, _, num_samples = _measured(song, model)
    written = min(info.channels, 2)
    parts = list(_estimates(song, num_samples, gains, model, config))
    if config.format == "wav":
        return 3 * num_samples * written * len(model.spec.labels)  # 24 bits
    return sum(
        files.flac_size(
            [np.clip(files.mix_channels(part[row], written), -1, 1) for part in parts],
            info.sample_rate,
            written,
            subtype="PCM_24",
        )
        for row in range(len(model.spec.labels))
    )


def _songs(source: Path) -> dict[str, Path]:
    """Return the songs in order, by the folder that their estimates go to."""
    if not source.exists():
        raise ConfigError(f"{source}: no such file or folder")
    if source.is_file():
        named_mixture = FOUR_STEMS.find(source.stem) == MIXTURE
        return {source.resolve().parent.name if named_mixture else source.stem: source}
    paths = audio_files(source)
    with_mixture = {path.parent for path in paths if FOUR_STEMS.find(path.stem) == MIXTURE}
    songs: dict[str, Path] = {}
    for path in paths:
        if path.parent in with_mixture and FOUR_STEMS.find(path.stem) != MIXTURE:
            continue
        name = _name(path, source)
        if name in songs:
            raise ConfigError(f"{path} and {songs[name]} would both be written to {name}", "rename one of them")
        songs[name] = path
    if not songs:
        raise ConfigError(f"{source} contains no audio files")
    return songs


def _name(path: Path, root: Path) -> str:
    """Return the output folder of a song: the name of its folder if the file is named "mixture", else of the file."""
    inside = path.parent.relative_to(root)
    if FOUR_STEMS.find(path.stem) != MIXTURE:
        return (inside / path.stem).as_posix()
    return inside.as_posix() if inside.parts else root.resolve().name


def _shown(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix() if source.is_dir() else path.name


class _Model:
    """A separator that takes and returns NumPy arrays."""

    def __init__(self, loaded: weights.Weights, device: str | None, batch_size: int) -> None:
        self.device = devices.chosen(device)
        self.net = loaded.model.to(self.device).eval()
        self.spec = loaded.model.spec
        self.loudness_lufs: float | None = loaded.card.get("loudness_lufs")
        self.batch_size = batch_size

    def channels(self, have: int) -> int:
        """Return how many channels to read from a file; a mono model takes each channel on its own."""
        return int(self.spec.channels) if self.spec.channels > 1 else min(have, 2)

    def __call__(self, sounds: np.ndarray) -> np.ndarray:
        """Separate a batch. Shape: (batch, channel, segment) -> (batch, stem, channel, segment)."""
        mixtures = torch.from_numpy(np.ascontiguousarray(sounds)).to(self.device)
        batch, channels = mixtures.shape[:2]
        alone = self.spec.channels == 1
        with torch.inference_mode():
            estimates = self.net(mixtures.flatten(0, 1)[:, None] if alone else mixtures).float()
        if alone:  # (batch * channel, stem, 1, segment)
            estimates = estimates.squeeze(2).unflatten(0, (batch, channels)).transpose(1, 2)
        return np.asarray(estimates.cpu().numpy(), np.float32)


def _separate(path: Path, folder: Path, model: _Model, config: SeparateConfig) -> dict[str, Any]:
    """Write the estimates of one song, and return its entry for the record."""
    info = files.probe(path)
    song = _Song(path, info.sample_rate, model.channels(info.channels), stereo.faults_of(path))
    gains, loudness_lufs, num_samples = _measured(song, model)
    labels = model.spec.labels
    written = min(info.channels, 2)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        spools = [SpooledSound(folder, written) for _ in labels]
        for spool in spools:
            stack.callback(spool.close)
        for estimates in _estimates(song, num_samples, gains, model, config):
            for spool, estimate in zip(spools, estimates, strict=True):
                spool.write(files.mix_channels(estimate, written))
        peak = max(spool.peak for spool in spools)
        gain = gain_below_full_scale(peak) if config.format != "wav" else 1.0
        in_float = [
            label
            for label, spool in zip(labels, spools, strict=True)
            if spool.pour(folder / f"{label}.{config.format}", info.sample_rate, gain)
        ]
    return {
        "num_samples": num_samples,
        "sample_rate": info.sample_rate,
        "channels": written,
        "loudness_lufs": None if loudness_lufs is None else round(loudness_lufs, 2),
        "gain_db": round(amplitude_to_db(gain), 3) + 0.0,
        "in_float": in_float,
        "issues": [issue.code for issue in checks.of_sound(Sound(song.faults))],
    }


@dataclass(frozen=True)
class _Song:
    """A song to separate.

    Args:
        path: the file.
        sample_rate: sample rate of the file in Hz.
        channels: number of channels to read.
        faults: faults of its channels.
        num_blocks: number of blocks to read; None: the whole file.
    """

    path: Path
    sample_rate: int
    channels: int
    faults: ChannelFaults
    num_blocks: int | None = None

    def blocks(self, sample_rate: int) -> Iterator[Waveform]:
        """Yield the song at a sample rate, with faults of its channels repaired."""
        blocks = stereo.blocks(
            self.path, sample_rate=sample_rate, channels=self.channels, block_duration=BLOCK, faults=self.faults
        )
        return islice(blocks, self.num_blocks)


def _measured(song: _Song, model: _Model) -> tuple[Waveform, float | None, int]:
    """Measure the loudness of a song.

    Returns:
        (gain that brings each channel to the loudness of the model, ``(channel, 1)``; loudness of the song in LUFS;
        length in samples)
    """
    alone = model.spec.channels == 1  # each channel is separated on its own
    song_meter, num_samples = LoudnessMeter(song.sample_rate), 0
    channel_meters = [LoudnessMeter(song.sample_rate) for _ in range(song.channels if alone else 0)]
    for block in song.blocks(song.sample_rate):
        song_meter.add(block)
        for channel, meter in enumerate(channel_meters):
            meter.add(block[channel : channel + 1])
        num_samples += block.shape[1]
    if not num_samples:
        raise AudioError(song.path, SkipReason.EMPTY, "the file has no samples")
    loudness = [meter.relative_lufs() for meter in channel_meters or [song_meter] * song.channels]
    gains = np.array([[loudness_gain(lufs, model.loudness_lufs)] for lufs in loudness], np.float32)
    return gains, song_meter.integrated_lufs(), num_samples


def _estimates(
    song: _Song, num_samples: int, gains: Waveform, model: _Model, config: SeparateConfig
) -> Iterator[np.ndarray]:
    """Yield estimates at the song's sample rate, ``num_samples`` in total. Shape: (stem, channel, time)."""
    num_stems, channels = len(model.spec.labels), song.channels
    louder = (block * gains for block in song.blocks(model.spec.sample_rate))
    flat: Iterator[Waveform] = (
        np.asarray(estimates / gains, np.float32).reshape(num_stems * channels, -1)  # rows: (stem, channel)
        for estimates in overlap_add(
            louder, model, model.spec.segment, overlap=config.overlap, batch_size=model.batch_size
        )
    )
    if model.spec.sample_rate != song.sample_rate:
        flat = files.resampled(flat, model.spec.sample_rate, song.sample_rate, num_stems * channels)
    parts = (part.reshape(num_stems, channels, -1) for part in _fit_length(flat, num_samples, num_stems * channels))
    yield from stereo.restored(parts, song.faults, song.sample_rate) if channels == 2 else parts


def _fit_length(sound: Iterator[Waveform], num_samples: int, channels: int) -> Iterator[Waveform]:
    """Cut or zero-pad a sound to a length, because resampling twice may add or lose a sample."""
    remaining = num_samples
    for rows in sound:
        part = rows[:, :remaining]
        remaining -= part.shape[1]
        if part.shape[1]:
            yield part
    if remaining:
        yield np.zeros((channels, remaining), np.float32)


def _record(folder: Path, loaded: weights.Weights, config: SeparateConfig, *, resume: bool) -> Record:
    settings = {
        "by": f"stemclean {stemclean.__version__}",
        "weights": {"uri": loaded.uri, "sha256": loaded.sha256},
        "config": config.to_dict(),
    }
    endings = [f"{label}.{config.format}" for label in loaded.model.spec.labels]
    return Record(
        folder / RECORD_NAME, settings, lambda name: [folder / name / ending for ending in endings], resume=resume
    )
