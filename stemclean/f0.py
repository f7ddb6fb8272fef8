"""Find out what is sung in recordings: the ``f0`` verb."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
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
from stemclean.errors import AudioError, ConfigError, LabelError, of_one_file
from stemclean.labels import FOUR_STEMS, MIXTURE
from stemclean.layouts import f0_labels
from stemclean.layouts.f0_files import SUNG
from stemclean.layouts.walk import audio_files
from stemclean.manifest import Skip
from stemclean.models import addresses
from stemclean.outputs import only_writer
from stemclean.progress import waiting
from stemclean.settings import Chance, OneOf, Settings

if TYPE_CHECKING:
    from stemclean.audio.f0 import F0Track
    from stemclean.models.weights import Weights

__all__ = ["F0Config", "find_f0"]

RECORD_NAME = "followed.json"
BLOCK = 10.0
"""Seconds that are read at once."""


class F0Config(Settings):
    """How f0 is found and written.

    Args:
        format: of the files, see :mod:`stemclean.layouts.f0_labels`.
        threshold: posterior in [0, 1] from which on a frame is voiced; None: what the weights' validation found best.
        vocals: what is heard is a voice alone, so that of a cascade the tracker alone is used.
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
    """Follow the voice in recordings of any length, rate and number of channels, in bounded memory.

    Weights of a tracker hear voices alone; those of a cascade hear mixtures, and separate the voice first. A sound is
    brought to the loudness that the model was trained at.

    Args:
        sources: audio files and folders of them. In a folder, where a file is called what the weights hear (``vocals``,
            or ``mixture`` or the like), it is the song of its folder, and the files beside it are passed over.
        output: of one file: a file to write; an estimate in our own format is replaced, any other file refused.
            Otherwise, and where it is or is called like a folder: a folder outside of the sources, which gets
            ``SONG.f0.csv`` for each (in the ending of the format), and ``followed.json``.
        weights_uri: of a tracker or a cascade: ``hub:``, ``file:`` or a path.
        config: how.
        device: of torch; None: a GPU where there is one.
        resume: keep what an earlier run with the same sound, weights and settings has written to the folder.
        quiet: no progress bar.

    Returns:
        ``songs``: name -> ``file`` (relative to the output's folder), ``sha256`` (of the sound), ``num_frames``,
        ``num_voiced``, ``hop``, ``confidence`` (mean of the frames'); ``skipped``, ``weights``, ``config``,
        ``output``, ``seconds``.

    Raises:
        ConfigError: nothing to hear, an output in a source, or files that would be overwritten and are not an earlier
            run's.
        WeightsError: weights that cannot be had, or neither a tracker's nor a cascade's.
    """
    began = time.monotonic()
    output = Path(output)
    addresses.resolve(weights_uri)  # a wrong name is told now, not after torch
    _there(sources)
    _check_output(output, sources)
    with only_writer(output, folder=not _is_file(output, sources)):
        with waiting(f"loading {weights_uri} …", quiet=quiet):  # torch takes seconds
            loaded, config = _loaded(weights_uri, config)
        songs = _songs(sources, SUNG if loaded.card["kind"] == "pitch" else MIXTURE)
        alone = next(iter(songs.values())) if len(songs) == 1 and _is_file(output, sources) else None
        record = _record(output, loaded, config, resume=resume) if alone is None else None
        if record:
            record.check(songs)
        done: dict[str, Any] = {}
        skipped: list[Skip] = []
        sounds = Unchanged()
        for name, path in tqdm(songs.items(), "follow", unit="song", disable=True if quiet else None):
            try:
                sha256 = sounds.sha256(path)
                if record and record.holds(name, sha256):
                    continue
                with sounds.reading(path, sha256), of_one_file(path):
                    track = _followed(path, loaded, config, device)
                target = output / _file(name, config.format) if record else output
                f0_labels.write(track, target, config.format)
                done[name] = {"sha256": sha256, **_told(track, target.relative_to(output if record else output.parent))}
                if record:
                    record.add(name, done[name])
            except AudioError as error:
                skipped.append(Skip(path=path.as_posix(), reason=error.reason, detail=error.detail))
            except OSError as error:
                skipped.append(Skip(path=path.as_posix(), reason="unreadable", detail=error.strerror or str(error)))
        if record:
            for skip in skipped:
                record.skip(skip)
        report = record.written() if record else {"songs": done, **_settings(loaded, config)}
        skips = [skip.model_dump(exclude_none=True) for skip in skipped]
        return {**report, "skipped": skips, "output": str(output), "seconds": time.monotonic() - began}


def _loaded(uri: str | Path, config: F0Config) -> tuple[Weights, F0Config]:
    """Weights of a tracker, or of a cascade; and the threshold that they want where none is given."""
    from stemclean.models import weights
    from stemclean.models.decoding import threshold_of

    cascade = weights.read_card(addresses.resolve(uri)[0])["kind"] == "cascades"
    loaded = weights.load(uri, kind="cascades" if cascade and not config.vocals else "pitch")
    return loaded, config if config.threshold is not None else config.changed(threshold=threshold_of(loaded.card))


def _there(sources: Sequence[str | Path]) -> None:
    for source in sources:
        if not Path(source).exists():
            raise ConfigError(f"{source}: no such file or folder", "give audio files, or folders of them")


def _check_output(output: Path, sources: Sequence[str | Path]) -> None:
    """Refuse to write among sounds that are read, or over a file that is not an estimate of ours.

    Only our own format says that it holds an estimate: by its confidence, which no annotation has.
    """
    for source in map(Path, sources):
        if source.is_dir():
            refuse_in_source(output, source)
    if len(sources) > 1 or not _is_file(output, sources):
        return
    if output.suffix.lower() in files.ENDINGS or output.resolve() in {Path(source).resolve() for source in sources}:
        raise ConfigError(f"{output} is called like a sound", "give a file like song.f0.csv with --output")
    if output.exists() and not _estimated(output):
        raise ConfigError(f"{output} is there already, and no estimate in our own format", "give a new file")


def _estimated(path: Path) -> bool:
    try:
        return f0_labels.read(path, "stemclean").confidence is not None
    except LabelError:
        return False


def _is_file(output: Path, sources: Sequence[str | Path]) -> bool:
    """Whether the output of one sound is a file."""
    return not output.is_dir() and bool(output.suffix) and all(Path(source).is_file() for source in sources)


def _songs(sources: Sequence[str | Path], heard: str) -> dict[str, Path]:
    """Sounds by the name of their song, in order."""
    songs: dict[str, Path] = {}
    for source in map(Path, sources):
        for name, path in _of_folder(source, heard) if source.is_dir() else [(_of_file(source, heard), source)]:
            if name in songs:
                raise ConfigError(f"{path} and {songs[name]} would both be written as {name}", "rename one of them")
            songs[name] = path
    if not songs:
        raise ConfigError(f"{', '.join(map(str, sources))}: no audio file", "give audio files, or folders of them")
    return songs


def _of_file(path: Path, heard: str) -> str:
    """A file that is called what is heard has the name of its folder."""
    return path.resolve().parent.name if FOUR_STEMS.exact(path.stem) == heard else path.stem


def _of_folder(folder: Path, heard: str) -> Iterator[tuple[str, Path]]:
    found = audio_files(folder)
    called = {path for path in found if FOUR_STEMS.exact(path.stem) == heard}
    songs = {path.parent for path in called}
    for path in found:
        inside = path.parent.relative_to(folder)
        if path in called:
            several = sum(other.parent == path.parent for other in called) > 1
            whole = inside.as_posix() if inside.parts else folder.resolve().name
            yield (inside / path.stem).as_posix() if several else whole, path
        elif path.parent not in songs:
            yield (inside / path.stem).as_posix(), path


def _file(name: str, format_: str) -> str:
    """Where a song's f0 goes: a name that says what it is."""
    ending = f0_labels.named(format_).ending
    return f"{name}{ending}" if ending == ".pv" else f"{name}.f0{ending}"


def _followed(path: Path, loaded: Weights, config: F0Config, device: str | None) -> F0Track:
    """The f0 of one sound; it is read more than once, as its channels and its loudness must be known first."""
    from stemclean.data.sources import loudness_gain
    from stemclean.models.decoding import THRESHOLD
    from stemclean.models.tracking import follow

    spec = loaded.model.spec
    meter, num_samples = LoudnessMeter(spec.sample_rate), 0
    faults = stereo.faults_of(path)
    for block in _blocks(path, spec.sample_rate, spec.channels, faults):
        meter.add(block)
        num_samples += block.shape[1]
    if not num_samples:
        raise AudioError(path, "empty", "it holds no samples")
    gain = loudness_gain(meter.relative_lufs(), loaded.card.get("loudness_lufs"))
    louder = (block * gain for block in _blocks(path, spec.sample_rate, spec.channels, faults))
    threshold = THRESHOLD if config.threshold is None else config.threshold
    return follow(loaded.model, louder, threshold=threshold, device=device)


def _blocks(path: Path, sample_rate: int, channels: int, faults: ChannelFaults) -> Iterator[Waveform]:
    return stereo.blocks(path, sample_rate=sample_rate, channels=channels, block_duration=BLOCK, faults=faults)


def _told(track: F0Track, file: Path) -> dict[str, Any]:
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
        raise ConfigError(f"{folder} is a file, and there are several sounds", "name a folder with --output")
    return Record(
        folder / RECORD_NAME,
        _settings(loaded, config),
        lambda name: [folder / _file(name, config.format)],
        resume=resume,
    )
