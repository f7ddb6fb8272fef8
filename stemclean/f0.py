"""Estimate the f0 of vocals in recordings: the ``f0`` verb."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tqdm import tqdm

import stemclean
from stemclean.audio import files, stereo
from stemclean.audio.loudness import LoudnessMeter
from stemclean.audio.stereo import ChannelFaults
from stemclean.audio.unchanged import Unchanged
from stemclean.audio.waveform import Waveform
from stemclean.data.destination import refuse_in_source
from stemclean.data.record import Record
from stemclean.errors import AudioError, ConfigError, LabelError, SkipReason, of_one_file
from stemclean.labels import FOUR_STEMS, MIXTURE
from stemclean.layouts import f0_labels
from stemclean.layouts.f0_files import SUNG
from stemclean.layouts.walk import audio_files
from stemclean.manifest import Skip
from stemclean.models import addresses, devices
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import Plan, Product, download_of, lengths_of, measured, not_downloaded, plan_of_files
from stemclean.progress import waiting
from stemclean.settings import Chance, OneOf, Settings

if TYPE_CHECKING:
    from stemclean.audio.f0 import F0Track
    from stemclean.models.weights import Weights

__all__ = ["F0Config", "find_f0", "plan_f0"]

RECORD_NAME = "followed.json"
BLOCK = 10.0
"""Length of the blocks that are read, in seconds."""
MEASURED_BLOCKS = 4
"""Number of blocks of a recording that are used to measure the speed: a whole number of the tracker's windows."""
LINE_BYTES = 30
"""Approximate size of a frame in a file."""


class F0Config(Settings):
    """Settings of f0 estimation.

    Args:
        format: file format, see :mod:`stemclean.layouts.f0_labels`.
        threshold: minimum posterior in [0, 1] of a voiced frame; None: the best one on the weights' validation data.
        vocals: the recordings are vocals without accompaniment, so only the tracker of a cascade is used.
    """

    format: Annotated[str, OneOf(f0_labels.formats)] = "stemclean"
    threshold: Chance | None = None
    vocals: bool = False


def find_f0(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    weights_uri: str | Path,
    config: F0Config = F0Config(),
    device: str | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> dict[str, Any]:
    """Estimate the f0 of the vocals in recordings of any length, sample rate and number of channels.

    Weights of a tracker expect vocals without accompaniment; those of a cascade expect mixtures, and separate the
    vocals first. A recording is brought to the loudness that the model was trained at. Memory use does not grow with
    the length of a recording.

    Args:
        sources: audio files, and folders of them. In a folder, a file named after the input of the weights (``vocals``
            for a tracker, ``mixture`` for a cascade, or a synonym) is the song of its folder, and the files beside it
            are skipped.
        output: for one recording: the file to write; an estimate in our own format is replaced, any other file is
            refused. Otherwise, or if it is a folder or has no file extension: a folder outside the sources, which gets
            ``SONG.f0.csv`` for each song (with the extension of the format), and ``followed.json``.
        weights_uri: weights of a tracker or a cascade: ``hub:``, ``file:`` or a path.
        config: settings of f0 estimation.
        device: torch device; None: a GPU if available.
        resume: keep the files that an earlier run with the same sound, weights and settings has written to the folder.
        quiet: show no progress bar.

    Returns:
        ``songs``: name -> ``file`` (relative to the output folder), ``sha256`` (of the recording), ``num_frames``,
        ``num_voiced``, ``hop``, ``confidence`` (mean over frames); ``skipped``, ``weights``, ``config``, ``output``,
        ``seconds``.

    Raises:
        ConfigError: no recordings, an output inside a source, or files would be overwritten that do not come from an
            earlier run.
        WeightsError: the weights cannot be loaded, or belong to neither a tracker nor a cascade.
    """
    began = time.monotonic()
    output = Path(output)
    addresses.resolve(weights_uri)  # report a wrong name now, before loading torch
    _check_sources(sources)
    _check_output(output, sources)
    devices.check(device)
    with only_writer(output, folder=not _is_file(output, sources)):
        with waiting(f"loading {weights_uri} …", quiet=quiet):  # torch takes seconds
            loaded, config = _loaded(weights_uri, config)
        songs = _songs(sources, SUNG if loaded.card["kind"] == "pitch" else MIXTURE)
        alone = next(iter(songs.values())) if len(songs) == 1 and _is_file(output, sources) else None
        record = _record(output, loaded, config, resume=resume) if alone is None else None
        if record:
            record.check(songs)
        entries: dict[str, Any] = {}
        skipped: list[Skip] = []
        sounds = Unchanged()
        for name, path in tqdm(songs.items(), "follow", unit="song", disable=True if quiet else None):
            try:
                sha256 = sounds.sha256(path)
                if record and record.holds(name, sha256):
                    continue
                with sounds.reading(path, sha256), of_one_file(path):
                    track = _estimate(path, loaded, config, device)
                target = output / _file(name, config.format) if record else output
                f0_labels.write(track, target, config.format)
                file = target.relative_to(output if record else output.parent)
                entries[name] = {"sha256": sha256, **_describe(track, file)}
                if record:
                    record.add(name, entries[name])
            except AudioError as error:
                skipped.append(Skip(path=path.as_posix(), reason=error.reason, detail=error.detail))
            except OSError as error:
                skipped.append(
                    Skip(path=path.as_posix(), reason=SkipReason.UNREADABLE, detail=error.strerror or str(error))
                )
        if record:
            for skip in skipped:
                record.skip(skip)
        report = record.written() if record else {"songs": entries, **_settings(loaded, config)}
        skips = [skip.model_dump(exclude_none=True) for skip in skipped]
        return {**report, "skipped": skips, "output": str(output), "seconds": time.monotonic() - began}


def plan_f0(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    weights_uri: str | Path,
    config: F0Config = F0Config(),
    device: str | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> Plan:
    """Return what :func:`find_f0` would do with the same arguments, after the same checks; nothing is written.

    Weights of the hub that are not cached are not downloaded, so that the time and the recordings of a folder, which
    depend on the input of the weights, are unknown; all its audio files are counted.
    """
    output = Path(output)
    found = addresses.look(weights_uri)
    _check_sources(sources)
    _check_output(output, sources)
    devices.check(device)
    check_writable(output, folder=not _is_file(output, sources))
    shown = ", ".join(map(str, sources))
    if not isinstance(found, Path):
        lengths, skipped = lengths_of(_songs(sources, ""), Path.as_posix)
        products = [Product(output, len(lengths)), download_of(found.folder, found.num_bytes)]
        unknown = not_downloaded(found.uri)
        return plan_of_files("f0", shown, lengths, products, skipped=skipped, unknown_because=unknown)
    with waiting(f"loading {weights_uri} …", quiet=quiet):
        loaded, config = _loaded(found, config)
    songs = _songs(sources, SUNG if loaded.card["kind"] == "pitch" else MIXTURE)
    lengths, skipped = lengths_of(songs, Path.as_posix)
    finished = set[str]()
    if not (len(songs) == 1 and _is_file(output, sources)):
        record, sounds = _record(output, loaded.named(weights_uri), config, resume=resume), Unchanged()
        record.check(songs)
        finished = {name for name in lengths if record.has(name) and record.holds(name, sounds.sha256(songs[name]))}

    def work(name: str) -> float:
        with of_one_file(songs[name]):
            return LINE_BYTES * _estimate(songs[name], loaded, config, device, MEASURED_BLOCKS).num_frames

    speed = measured(
        list(lengths), lambda name: min(lengths[name], MEASURED_BLOCKS * BLOCK), work, least=1, quiet=quiet
    )
    size = None if speed is None else round(sum(lengths.values()) * speed.bytes_per_second)
    done = sum(lengths[name] for name in finished)
    products = [Product(output, len(lengths), size)]
    return plan_of_files("f0", shown, lengths, products, speed=speed, finished_seconds=done, skipped=skipped)


def _loaded(uri: str | Path, config: F0Config) -> tuple[Weights, F0Config]:
    """Load the weights of a tracker or a cascade, and set the threshold to theirs if none is given."""
    from stemclean.models import weights
    from stemclean.models.decoding import threshold_of

    cascade = weights.read_card(addresses.resolve(uri)[0])["kind"] == "cascades"
    loaded = weights.load(uri, kind="cascades" if cascade and not config.vocals else "pitch")
    return loaded, config if config.threshold is not None else config.changed(threshold=threshold_of(loaded.card))


def _check_sources(sources: Sequence[str | Path]) -> None:
    for source in sources:
        if not Path(source).exists():
            raise ConfigError(f"{source}: no such file or folder", "give audio files, or folders of them")


def _check_output(output: Path, sources: Sequence[str | Path]) -> None:
    """Refuse to write into the sources, or over a file that is not an estimate in our own format.

    A file in our own format is an estimate if it has a confidence, which annotations do not have.
    """
    for source in map(Path, sources):
        if source.is_dir():
            refuse_in_source(output, source)
    if len(sources) > 1 or not _is_file(output, sources):
        return
    if output.suffix.lower() in files.ENDINGS or output.resolve() in {Path(source).resolve() for source in sources}:
        raise ConfigError(f"{output} has the name of an audio file", "name a file like song.f0.csv with --output")
    if output.exists() and not _is_estimate(output):
        raise ConfigError(f"{output} already exists and is not an estimate by stemclean", "choose a new file")


def _is_estimate(path: Path) -> bool:
    try:
        return f0_labels.read(path, "stemclean").confidence is not None
    except LabelError:
        return False


def _is_file(output: Path, sources: Sequence[str | Path]) -> bool:
    """Return whether the output is a single file rather than a folder."""
    return not output.is_dir() and bool(output.suffix) and all(Path(source).is_file() for source in sources)


def _songs(sources: Sequence[str | Path], expected: str) -> dict[str, Path]:
    """Return the recordings in order, by the name of their song.

    Args:
        sources: files and folders.
        expected: the class that the weights expect: vocals or the mixture.
    """
    songs: dict[str, Path] = {}
    for source in map(Path, sources):
        for name, path in _in_folder(source, expected) if source.is_dir() else [(_song_name(source, expected), source)]:
            if name in songs:
                raise ConfigError(f"{path} and {songs[name]} would both be written as {name}", "rename one of them")
            songs[name] = path
    if not songs:
        raise ConfigError(f"{', '.join(map(str, sources))}: no audio file", "give audio files, or folders of them")
    return songs


def _song_name(path: Path, expected: str) -> str:
    """Return the name of a file's song: that of its folder if the file is named after the expected class."""
    return path.resolve().parent.name if FOUR_STEMS.exact(path.stem) == expected else path.stem


def _in_folder(folder: Path, expected: str) -> Iterator[tuple[str, Path]]:
    """Yield the name and the file of each song in a folder."""
    paths = audio_files(folder)
    matching = {path for path in paths if FOUR_STEMS.exact(path.stem) == expected}
    songs = {path.parent for path in matching}
    for path in paths:
        inside = path.parent.relative_to(folder)
        if path in matching:
            several = sum(match.parent == path.parent for match in matching) > 1
            name = inside.as_posix() if inside.parts else folder.resolve().name
            yield (inside / path.stem).as_posix() if several else name, path
        elif path.parent not in songs:
            yield (inside / path.stem).as_posix(), path


def _file(name: str, format_: str) -> str:
    """Return the file name for a song's f0."""
    ending = f0_labels.named(format_).ending
    return f"{name}{ending}" if ending == ".pv" else f"{name}.f0{ending}"


def _estimate(
    path: Path, loaded: Weights, config: F0Config, device: str | None, num_blocks: int | None = None
) -> F0Track:
    """Estimate the f0 of one recording; it is read several times, to measure its channels and its loudness first.

    ``num_blocks`` is the number of blocks to use; None: all.
    """
    from stemclean.data.sources import loudness_gain
    from stemclean.models.decoding import THRESHOLD
    from stemclean.models.tracking import follow

    spec = loaded.model.spec
    meter, num_samples = LoudnessMeter(spec.sample_rate), 0
    faults = stereo.faults_of(path)
    for block in islice(_blocks(path, spec.sample_rate, spec.channels, faults), num_blocks):
        meter.add(block)
        num_samples += block.shape[1]
    if not num_samples:
        raise AudioError(path, SkipReason.EMPTY, "the file has no samples")
    gain = loudness_gain(meter.relative_lufs(), loaded.card.get("loudness_lufs"))
    blocks = islice(_blocks(path, spec.sample_rate, spec.channels, faults), num_blocks)
    louder = (block * gain for block in blocks)
    threshold = THRESHOLD if config.threshold is None else config.threshold
    return follow(loaded.model, louder, threshold=threshold, device=device)


def _blocks(path: Path, sample_rate: int, channels: int, faults: ChannelFaults) -> Iterator[Waveform]:
    return stereo.blocks(path, sample_rate=sample_rate, channels=channels, block_duration=BLOCK, faults=faults)


def _describe(track: F0Track, file: Path) -> dict[str, Any]:
    confidence = track.confidence
    return {
        "file": file.as_posix(),
        "num_frames": track.num_frames,
        "num_voiced": int(track.voiced.sum()),
        "hop": round(track.hop, 9),
        "confidence": None if confidence is None else round(float(confidence.mean()), 4),
    }


def _settings(loaded: Weights, config: F0Config) -> dict[str, Any]:
    return {
        "by": f"stemclean {stemclean.__version__}",
        "weights": {"uri": loaded.uri, "sha256": loaded.sha256},
        "config": config.to_dict(),
    }


def _record(folder: Path, loaded: Weights, config: F0Config, *, resume: bool) -> Record:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, but there are several recordings", "name a folder with --output")
    return Record(
        folder / RECORD_NAME,
        _settings(loaded, config),
        lambda name: [folder / _file(name, config.format)],
        resume=resume,
    )
