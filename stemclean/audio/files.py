"""Read and write audio files of any container, sample rate and number of channels, as float32, channel-first.

Files are read in blocks, so that a file of three hours needs no more memory than one of three minutes. soxr resamples
(as a stream, with the same result as for a whole file). Every fault of a file has a reason code
(:class:`stemclean.errors.SkipReason`) and raises an :class:`stemclean.errors.AudioError`:

* when a file is opened, in :func:`probe`: ``not_found``, ``no_permission``, ``empty``, ``not_audio``,
  ``wrong_extension``, ``no_audio_stream``, ``unreadable``, and ``truncated`` if header and size disagree;
* when a file is decoded, in :func:`read` and :func:`blocks`: ``truncated``, ``non_finite``, ``unreadable``;
* at any time: ``decoder_crashed``, ``changed_while_reading``, ``unexpected_error``.
"""

from __future__ import annotations

import contextlib
import errno
import io
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
    "flac_size",
    "mix_channels",
    "probe",
    "read",
    "resampled",
    "write",
]

DEFAULT_SUBTYPES = {"flac": "PCM_24", "wav": "PCM_24", "aiff": "PCM_24"}
"""Default sample format of each family: 24 bits."""

FIRST_ROOM = 1 << 21
"""Initial capacity of a block in samples per channel: 40 s. Larger blocks grow as they are filled."""

RESAMPLE_MARGIN = 0.05
"""Seconds read beyond the edges of an excerpt before resampling; soxr's filter is about 10 ms long."""


def probe(path: str | Path, stream: int = 0) -> AudioInfo:
    """Read the properties of a file from its header; no audio is decoded.

    Args:
        path: the file.
        stream: index of the audio stream in a container.

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
        sample_rate: sample rate of the result in Hz; None: that of the file.
        channels: channels of the result, see :func:`mix_channels`; None: those of the file.
        start: start of the excerpt in seconds.
        duration: length of the excerpt in seconds; None: to the end. An excerpt ends at the end of the file.
        stream: index of the audio stream in a container.

    Returns:
        The waveform, ``(channel, time)``, of ``round(samples * sample_rate / file's rate)`` samples.

    Raises:
        AudioError: as :func:`probe`, or the excerpt is damaged.
    """
    path = Path(path)
    with steady(path), of_one_file(path), open_decoder(path, stream) as decoder:
        info = decoder.info
        rate = sample_rate or info.sample_rate
        first = min(seconds_to_samples(start, info.sample_rate), info.num_samples)
        count = info.num_samples if duration is None else seconds_to_samples(duration, info.sample_rate)
        last = min(first + count, info.num_samples)
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
        sample_rate: sample rate of the result in Hz; None: that of the file.
        channels: channels of the result, see :func:`mix_channels`; None: those of the file.
        block_duration: length of a block in seconds.
        stream: index of the audio stream in a container.

    Yields:
        Blocks ``(channel, time)``.

    Raises:
        AudioError: as :func:`probe` before the first block; or a block is damaged.
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
    """Return the number of samples after resampling."""
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
        pieces: pieces ``(channel, time)``.
        rate, new_rate: sample rates in Hz.
        channels: number of channels.

    Yields:
        Pieces ``(channel, time)``.
    """
    stream = soxr.ResampleStream(rate, new_rate, channels, dtype="float32")
    for piece in pieces:
        yield stream.resample_chunk(np.ascontiguousarray(piece.T)).T  # soxr wants (time, channel)
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


def _rechunked(pieces: Iterator[Waveform], length: int) -> Iterator[Waveform]:
    """Yield blocks of one length, the last of which may be shorter.

    When a block is yielded, the caller may overwrite the piece that was read last.
    """
    block, num_filled = np.empty((0, 0), np.float32), 0
    for whole_piece in pieces:
        piece, is_ours = whole_piece, False
        while piece.shape[1]:
            if num_filled == block.shape[1]:
                block = _grown(block, len(piece), length)
            count = min(block.shape[1] - num_filled, piece.shape[1])
            block[:, num_filled : num_filled + count] = piece[:, :count]
            piece, num_filled = piece[:, count:], num_filled + count
            if num_filled == length:
                piece, is_ours = piece if is_ours else piece.copy(), True
                yield block
                block, num_filled = np.empty((0, 0), np.float32), 0
    if num_filled:
        yield np.ascontiguousarray(block[:, :num_filled])


def _grown(block: Waveform, channels: int, longest: int) -> Waveform:
    """Return a copy of a block with room for more samples."""
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
        path: the file; its extension determines the format (wav, flac, ogg, aiff …). Missing folders are created.
        sample_rate: sample rate in Hz.
        channels: number of channels, 1 to 8 for FLAC.
        subtype: soundfile's name of the sample format (``"PCM_16"``); None: 24 bits if the format supports them.

    Raises:
        ConfigError: the format cannot be written, or not with this sample rate, number of channels or sample format.
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


def flac_size(sound: Iterable[Waveform], sample_rate: int, channels: int, *, subtype: str = "PCM_16") -> int:
    """Return the size in bytes that a sound would have as FLAC; it is encoded in memory, and nothing is written.

    Args:
        sound: blocks ``(channel, time)``.
        sample_rate: sample rate in Hz.
        channels: number of channels.
        subtype: soundfile's name of the sample format.
    """
    memory = io.BytesIO()
    with soundfile.SoundFile(memory, "w", sample_rate, channels, subtype, format="FLAC") as file:
        writer = AudioWriter(file)
        for block in sound:
            writer.write(block)
    return len(memory.getbuffer())


def _check_end(path: Path, num_samples: int) -> None:
    """Check that the end of a file was written: libsndfile reports no error if the last frames do not fit on the disk.

    Raises:
        OSError: the file is incomplete.
    """
    if not num_samples:
        return
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(num_samples - 1)
            is_complete = len(file.read(1)) == 1
    except soundfile.SoundFileError:
        is_complete = False
    if not is_complete:
        check_room(path)
        raise OSError(errno.EIO, "its end is missing", str(path))


def _undated(path: Path) -> None:
    """Remove the time stamp from a WAV's ``PEAK`` chunk, so that equal audio gives equal bytes."""
    with open(path, "r+b") as file:
        index = file.read(512).find(b"PEAK")
        if index >= 0:
            file.seek(index + 12)  # after name, length and version
            file.write(bytes(4))


def write(path: str | Path, waveform: Waveform, sample_rate: int, *, subtype: str | None = None) -> Path:
    """Write a waveform atomically.

    Args:
        path: as in :func:`create`.
        waveform: the waveform, ``(channel, time)`` or ``(time,)``; full scale is ±1.
        sample_rate: sample rate in Hz.
        subtype: as in :func:`create`.
    """
    waveform = np.atleast_2d(np.asarray(waveform, np.float32))
    with create(path, sample_rate, waveform.shape[0], subtype=subtype) as file:
        file.write(waveform)
    return Path(path)
