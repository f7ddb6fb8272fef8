"""Read and write audio files of any container, sample rate and number of channels, as float32, channel-first.

Files are read in blocks, so that a file of three hours needs no more memory than one of three minutes. soxr resamples
(as a stream, with the same result as for a whole file). Every fault of a file has a reason code
(:class:`stemclean.errors.SkipReason`) and raises an :class:`stemclean.errors.AudioError`:

* at once, in :func:`probe`: ``not_found``, ``no_permission``, ``empty``, ``not_audio``, ``wrong_extension``,
  ``no_audio_stream``, ``unreadable``, and ``truncated`` where header and size disagree;
* when met, in :func:`read` and :func:`blocks`: ``truncated``, ``non_finite``, ``unreadable``;
* at any time: ``decoder_crashed``, ``changed_while_reading``, ``unexpected_error``.
"""

from __future__ import annotations

import contextlib
import errno
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr  # type: ignore[import-untyped]

from stemclean.audio.formats import ENDINGS, ending_family
from stemclean.audio.isolation import open_decoder
from stemclean.audio.stream import AudioInfo, Decoder
from stemclean.audio.unchanged import steady
from stemclean.audio.waveform import Waveform, mix_channels
from stemclean.disk import check_room, replacing
from stemclean.errors import AudioError, ConfigError, SkipReason, of_one_file
from stemclean.units import seconds_to_samples

__all__ = [
    "ENDINGS",
    "AudioInfo",
    "AudioWriter",
    "blocks",
    "create",
    "mix_channels",
    "probe",
    "read",
    "resampled",
    "write",
]

DEFAULT_SUBTYPES = {"flac": "PCM_24", "wav": "PCM_24", "aiff": "PCM_24"}
"""Sample format by family where the caller names none: 24 bits."""

FIRST_ROOM = 1 << 21
"""Samples per channel that a block has room for at first: 40 s. Longer ones grow with what is there."""

RESAMPLE_MARGIN = 0.05
"""Seconds read beyond an excerpt's edges before its rate is changed; soxr's filter is some 10 ms long."""


def probe(path: str | Path, stream: int = 0) -> AudioInfo:
    """Read the properties of a file from its header; no audio is decoded.

    Args:
        path: the file.
        stream: which audio stream of a container.

    Raises:
        AudioError: the file cannot be used; ``reason`` says why.
    """
    path = Path(path)
    with of_one_file(path), open_decoder(path, stream) as decoder:
        return decoder.info


def read(
    path: str | Path,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    stream: int = 0,
) -> Waveform:
    """Read a file or an excerpt of it.

    Args:
        path: the file.
        sample_rate: rate of the result; None: the file's.
        channels: channels of the result, as in :func:`mix_channels`; None: the file's.
        start: seconds.
        duration: seconds; None: to the end. What lies beyond the file's end is left out.
        stream: which audio stream of a container.

    Returns:
        Shape: (channel, time), ``round(samples * sample_rate / file's rate)`` long.

    Raises:
        AudioError: as :func:`probe`, or damage met in the excerpt.
    """
    path = Path(path)
    with steady(path), of_one_file(path), open_decoder(path, stream) as decoder:
        info = decoder.info
        rate = sample_rate or info.sample_rate
        first = min(seconds_to_samples(start, info.sample_rate), info.num_samples)
        wanted = info.num_samples if duration is None else seconds_to_samples(duration, info.sample_rate)
        last = min(first + wanted, info.num_samples)
        unit = info.sample_rate // math.gcd(info.sample_rate, rate)  # samples that are whole samples at both rates
        margin = 0 if rate == info.sample_rate else math.ceil(RESAMPLE_MARGIN * info.sample_rate / unit) * unit
        before, after = min(margin, first // unit * unit), min(margin, info.num_samples - last)
        parts = [chunk.copy() for chunk in _finite_chunks(path, decoder, first - before, last + after, channels)]
    if not parts:
        return np.zeros((channels or info.channels, 0), np.float32)
    waveform = np.concatenate(parts, axis=1)
    if rate != info.sample_rate:
        waveform = soxr.resample(waveform.T, info.sample_rate, rate).T
        cut = before * rate // info.sample_rate
        waveform = waveform[:, cut : cut + resampled_length(last - first, info.sample_rate, rate)]
    return np.ascontiguousarray(waveform)


def blocks(
    path: str | Path,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    block_duration: float = 30.0,
    stream: int = 0,
) -> Iterator[Waveform]:
    """Yield a whole file in blocks; concatenated, they are the result of :func:`read`.

    Memory use depends only on the size of a block. All blocks but the last have
    ``round(block_duration * sample_rate)`` samples.

    Args:
        path: the file.
        sample_rate: rate of the result; None: the file's.
        channels: channels of the result, as in :func:`mix_channels`; None: the file's.
        block_duration: seconds.
        stream: which audio stream of a container.

    Yields:
        Shape: (channel, time).

    Raises:
        AudioError: as :func:`probe` before the first block; damage when it is met.
    """
    path = Path(path)
    with steady(path), of_one_file(path), open_decoder(path, stream) as decoder:
        info = decoder.info
        rate = sample_rate or info.sample_rate
        pieces = _finite_chunks(path, decoder, 0, info.num_samples, channels)
        if rate != info.sample_rate:
            pieces = resampled(pieces, info.sample_rate, rate, channels or info.channels)
        yield from _rechunked(pieces, max(1, seconds_to_samples(block_duration, rate)))


def resampled_length(num_samples: int, rate: int, new_rate: int) -> int:
    """Return the number of samples of a stretch after resampling."""
    return round(num_samples * new_rate / rate)


def _finite_chunks(path: Path, decoder: Decoder, start: int, stop: int, channels: int | None) -> Iterator[Waveform]:
    at = start
    for chunk in decoder.chunks(start, stop):
        if not np.isfinite(chunk).all():
            broken = at + int(np.argmin(np.isfinite(chunk).all(axis=0)))
            seconds = broken / decoder.info.sample_rate
            raise AudioError(path, SkipReason.NON_FINITE, f"NaN or infinite samples at {seconds:.3f} s")
        at += chunk.shape[1]
        yield chunk if channels is None else mix_channels(chunk, channels)


def resampled(pieces: Iterable[Waveform], rate: int, new_rate: int, channels: int) -> Iterator[Waveform]:
    """Resample a sound piece by piece; the resulting pieces have other lengths, and some are empty.

    Args:
        pieces: Shape: (channel, time) each.
        rate, new_rate: per second.
        channels: of the pieces, any number.

    Yields:
        Shape: (channel, time).
    """
    stream = soxr.ResampleStream(rate, new_rate, channels, dtype="float32")
    for piece in pieces:
        yield stream.resample_chunk(np.ascontiguousarray(piece.T)).T  # soxr wants (time, channel)
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


def _rechunked(pieces: Iterator[Waveform], length: int) -> Iterator[Waveform]:
    """Blocks of one length, and a last one that may be shorter; nothing of a piece is needed when one is yielded."""
    block, num_filled = np.empty((0, 0), np.float32), 0
    for whole_piece in pieces:
        piece, is_ours = whole_piece, False
        while piece.shape[1]:
            if num_filled == block.shape[1]:
                block = _grown(block, len(piece), length)
            taken = min(block.shape[1] - num_filled, piece.shape[1])
            block[:, num_filled : num_filled + taken] = piece[:, :taken]
            piece, num_filled = piece[:, taken:], num_filled + taken
            if num_filled == length:
                piece, is_ours = piece if is_ours else piece.copy(), True
                yield block
                block, num_filled = np.empty((0, 0), np.float32), 0
    if num_filled:
        yield np.ascontiguousarray(block[:, :num_filled])


def _grown(block: Waveform, channels: int, longest: int) -> Waveform:
    """A block with room for more samples."""
    length = block.shape[1]
    grown = np.empty((channels, min(longest, 2 * length or FIRST_ROOM)), np.float32)
    if length:
        grown[:, :length] = block
    return grown


class AudioWriter:
    """An audio file that is being written; see :func:`create`."""

    def __init__(self, file: soundfile.SoundFile) -> None:
        self._file = file
        self.num_samples = 0

    def write(self, waveform: Waveform) -> None:
        """Append samples, ``(channel, time)``; integer formats clip them (:mod:`stemclean.audio.headroom`)."""
        self._file.write(np.ascontiguousarray(waveform.T))  # soundfile wants (time, channel)
        self.num_samples += waveform.shape[1]


@contextlib.contextmanager
def create(path: str | Path, sample_rate: int, channels: int, *, subtype: str | None = None) -> Iterator[AudioWriter]:
    """Write a file incrementally and atomically: it appears when the ``with`` block ends, and not if the block fails.

    Args:
        path: the ending says the format: wav, flac, ogg, aiff …; missing folders are made.
        sample_rate: per second.
        channels: 1 to 8 for FLAC.
        subtype: soundfile's name of the sample format (``"PCM_16"``); None: 24 bits where the format has them.

    Raises:
        ConfigError: the format cannot be written, or not like that.
    """
    path = Path(path)
    family = ending_family(path) or ""
    subtype = subtype or DEFAULT_SUBTYPES.get(family)
    if not soundfile.check_format(family.upper(), subtype):
        raise ConfigError(f'{path}: cannot write "{path.suffix}" {subtype or ""}'.rstrip(), "write .flac or .wav")
    with replacing(path) as temporary:
        try:
            file = soundfile.SoundFile(temporary, "w", sample_rate, channels, subtype, format=family.upper())
        except soundfile.LibsndfileError as error:
            check_room(temporary)
            message = f"{path}: cannot write {channels} channels at {sample_rate} Hz: {error.error_string}"
            raise ConfigError(message, "write .wav, or fewer channels") from None
        with file:
            writer = AudioWriter(file)
            yield writer
        _check_end(temporary, writer.num_samples)
        if family == "wav" and subtype in ("FLOAT", "DOUBLE"):
            _undated(temporary)


def _check_end(path: Path, num_samples: int) -> None:
    """Refuse a file whose end is not there: libsndfile keeps silent where the last frames do not fit on a disk.

    Raises:
        OSError: it is not whole.
    """
    if not num_samples:
        return
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(num_samples - 1)
            whole = len(file.read(1)) == 1
    except soundfile.SoundFileError:
        whole = False
    if not whole:
        check_room(path)
        raise OSError(errno.EIO, "its end is missing", str(path))


def _undated(path: Path) -> None:
    """Remove the time stamp from a WAV's ``PEAK`` chunk, so that equal audio gives equal bytes."""
    with open(path, "r+b") as file:
        place = file.read(512).find(b"PEAK")
        if place >= 0:
            file.seek(place + 12)  # after name, length and version
            file.write(bytes(4))


def write(path: str | Path, waveform: Waveform, sample_rate: int, *, subtype: str | None = None) -> Path:
    """Write a waveform atomically.

    Args:
        path: as in :func:`create`.
        waveform: Shape: (channel, time) or (time,), full scale ±1.
        sample_rate: per second.
        subtype: as in :func:`create`.
    """
    waveform = np.atleast_2d(np.asarray(waveform, np.float32))
    with create(path, sample_rate, waveform.shape[0], subtype=subtype) as file:
        file.write(waveform)
    return Path(path)
