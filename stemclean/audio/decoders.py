"""The two decoders behind :mod:`stemclean.audio.files`: libsndfile first, then FFmpeg through PyAV.

Both give the same thing: an :class:`AudioInfo`, and :meth:`Decoder.chunks`, which yields exactly the samples
asked for, at the file's own rate, or raises :class:`stemclean.errors.AudioError`.

libsndfile reads wav, flac, ogg, mp3, aiff, caf, au, w64. PyAV reads m4a, mp4, webm, mkv, stem.mp4 (any stream), aac,
wma, wavpack, and what libsndfile cannot: FLAC in Ogg, FLAC of unknown length, MP3 without a Xing header (whose length
libsndfile guesses, and then cuts off the rest).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import soundfile

from stemclean.audio import formats, stem_mp4
from stemclean.audio.waveform import Waveform
from stemclean.errors import AudioError

__all__ = ["AudioInfo", "Decoder", "open_decoder"]

CHUNK_SAMPLES = 1 << 17
"""Samples per chunk out of libsndfile: 3 s at 44.1 kHz, a megabyte in stereo."""

LENGTH_TOLERANCE = 0.25
"""Seconds by which a container's stated length may differ from what its decoder gives.

Containers state times in milliseconds or whole frames, and codecs prime and pad: up to 0.05 s were seen with AAC,
Opus and WMA. Within the tolerance the samples are cut or filled with zeros to the stated length; beyond, the file is
truncated.
"""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 1_000_000
"""Rates outside are taken for a broken header; a microsecond in a manifest is exact for every rate inside."""

_CONTENT_FOR_AV = frozenset({"mp4", "matroska", "wma", "wavpack", "ape"})
_GUESSED_LENGTH = frozenset({"mp3", "aac", "flac"})
"""FFmpeg's demuxers that take bytes by bit rate for time: their length is counted instead."""

_TITLES = ("title", "name", "handler_name")
_NO_TITLE = frozenset({"SoundHandler", "SoundHandle", "Core Media Audio", ""})


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    Args:
        sample_rate: per second.
        channels: of the stream that was asked for.
        num_samples: samples per channel.
        num_streams: audio streams in the file; more than one only in containers.
        format: family of the format, as in ``"wav"``, ``"flac"``, ``"mp4"``.
        subtype: sample format or codec, as in ``"PCM_16"``, ``"FLOAT"``, ``"aac"``.
        titles: what each audio stream calls itself, "" where it does not.
    """

    sample_rate: int
    channels: int
    num_samples: int
    num_streams: int
    format: str
    subtype: str = ""
    titles: tuple[str, ...] = ("",)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


class Decoder(Protocol):
    """An open audio stream."""

    info: AudioInfo

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        """Samples ``start`` to ``stop`` in chunks of any length.

        Raises:
            AudioError: ``truncated`` or ``unreadable``, when the damage is met.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_decoder(path: Path, stream: int = 0) -> Decoder:
    """The decoder that reads a file, after the checks that cost no decoding.

    Raises:
        AudioError: ``not_found``, ``no_permission``, ``empty``, ``not_audio``, ``wrong_extension``,
            ``truncated``, ``no_audio_stream`` or ``unreadable``.
    """
    head = _head(path)
    content = formats.content_family(head)
    if content in (None, "text"):
        raise AudioError(path, "not_audio", "the content is text" if content else "no known audio format")
    promised = formats.ending_family(path)
    if promised and content not in (promised, "frames"):
        raise AudioError(path, "wrong_extension", f"the content is {content}, the ending says {promised}")
    lacking = formats.missing_bytes(path, "mp3" if content == "frames" else content)
    if lacking:
        raise AudioError(path, "truncated", f"at least {lacking} bytes are missing at the end")
    decoder = _open(path, content, stream)
    try:
        _check(path, decoder.info, promised)
    except AudioError:
        decoder.__exit__()
        raise
    return decoder


def _head(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(path, "unreadable", "not a regular file")
        if status.st_size == 0:
            raise AudioError(path, "empty", "the file has no bytes")
        with open(path, "rb") as file:
            return file.read(4096)
    except FileNotFoundError:
        raise AudioError(path, "not_found", "no such file") from None
    except PermissionError:
        raise AudioError(path, "no_permission", "the file may not be read") from None
    except OSError as error:
        raise AudioError(path, "unreadable", error.strerror or str(error)) from None


def _open(path: Path, content: str, stream: int) -> Decoder:
    if content not in _CONTENT_FOR_AV:
        with contextlib.suppress(soundfile.LibsndfileError):
            decoder = _SoundFileDecoder(path)
            if decoder.knows_its_length:
                return decoder
            decoder.__exit__()
    return _ContainerDecoder(path, stream)


def _check(path: Path, info: AudioInfo, promised: str | None) -> None:
    if promised and info.format != promised:
        raise AudioError(path, "wrong_extension", f"the content is {info.format}, the ending says {promised}")
    if info.num_samples == 0:
        raise AudioError(path, "empty", "the file has no samples")
    if not MIN_SAMPLE_RATE <= info.sample_rate <= MAX_SAMPLE_RATE:
        raise AudioError(path, "unreadable", f"a sample rate of {info.sample_rate} Hz")


class _SoundFileDecoder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = soundfile.SoundFile(os.fspath(path))
        family = formats.family_of(self._file.format)
        self.knows_its_length = self._file.frames < 1 << 48 and (family != "mp3" or formats.mp3_says_length(path))
        self.info = AudioInfo(
            self._file.samplerate, self._file.channels, self._file.frames, 1, family, self._file.subtype
        )
        if family == "flac" and self.knows_its_length and self._file.frames and not self._end_is_there():
            self.__exit__()
            raise AudioError(path, "truncated", "the last of the samples that the header announces is not there")

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        at = start
        try:
            self._file.seek(start)
            while at < stop:
                wanted = min(CHUNK_SAMPLES, stop - at)
                samples = self._file.read(wanted, dtype="float32", always_2d=True)
                if len(samples):
                    yield np.ascontiguousarray(samples.T)
                at += len(samples)
                if len(samples) < wanted:
                    raise self._damaged(at)
        except soundfile.LibsndfileError:
            raise self._damaged(at) from None

    def _damaged(self, at: int) -> AudioError:
        reason, what = ("unreadable", "decoding failed") if self._end_is_there() else ("truncated", "the sound ends")
        seconds = at / self.info.sample_rate
        return AudioError(self.path, reason, f"{what} after {seconds:.2f} s of {self.info.duration:.2f} s")

    def _end_is_there(self) -> bool:
        """Whether the last sample can be read: the seek is a binary search, so this is cheap.

        The file is opened anew, since a decoder that failed may fail for ever.
        """
        try:
            with soundfile.SoundFile(os.fspath(self.path)) as file:
                file.seek(file.frames - 1)
                return len(file.read(1)) == 1
        except soundfile.LibsndfileError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _ContainerDecoder:
    def __init__(self, path: Path, stream: int) -> None:
        import av  # late: a folder of wav files does without

        self.path = path
        self._av: Any = av
        try:
            self._container = av.open(os.fspath(path))
        except (av.FFmpegError, ValueError) as error:
            raise AudioError(path, "unreadable", getattr(error, "strerror", None) or "no known format") from None
        try:
            self.info = self._look(stream)
        except BaseException:
            self._container.close()
            raise

    def _look(self, stream: int) -> AudioInfo:
        family = formats.family_of(self._container.format.name)
        streams = self._container.streams.audio
        if not streams:
            raise AudioError(self.path, "no_audio_stream", "the file holds no sound")
        if stream >= len(streams):
            raise AudioError(self.path, "no_audio_stream", f"stream {stream} of {len(streams)} does not exist")
        self._stream = streams[stream]
        context = self._stream.codec_context
        if not context.sample_rate or not context.channels:
            raise AudioError(self.path, "unreadable", "no sample rate or channels")
        return AudioInfo(
            sample_rate=context.sample_rate,
            channels=context.channels,
            num_samples=self._stated_samples(context.sample_rate),
            num_streams=len(streams),
            format=family,
            subtype=context.name,
            titles=self._titles(family),
        )

    def _titles(self, family: str) -> tuple[str, ...]:
        streams = self._container.streams.audio
        of_stems = stem_mp4.stream_titles(self.path, len(streams)) if family == "mp4" else None
        own = tuple(_title(item.metadata) for item in streams)
        return tuple(theirs or ours for theirs, ours in zip(of_stems, own, strict=True)) if of_stems else own

    def _stated_samples(self, sample_rate: int) -> int:
        """Length by the stream's header, else by the container's, else by adding up packets (nothing is decoded)."""
        base = self._stream.time_base or Fraction(1, sample_rate)
        guesses = self._container.format.name in _GUESSED_LENGTH
        if not guesses and self._stream.duration:
            return round(self._stream.duration * base * sample_rate)
        if not guesses and self._container.duration:
            return round(Fraction(self._container.duration, self._av.time_base) * sample_rate)
        try:
            ticks = sum(packet.duration or 0 for packet in self._container.demux(self._stream))
        except self._av.FFmpegError as error:
            raise AudioError(self.path, "unreadable", error.strerror) from None
        self._container.seek(0)
        return round(ticks * base * sample_rate)

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        position = at = 0
        for samples in self._frames():
            asked = samples[:, max(0, start - position) : max(0, stop - position)]
            position += samples.shape[1]
            at = min(position, stop)
            if asked.shape[1]:
                yield asked
            if position >= stop:
                return
        if stop - at > LENGTH_TOLERANCE * self.info.sample_rate:
            raise self._damaged("truncated", "the sound ends", at)
        yield np.zeros((self.info.channels, stop - max(at, start)), np.float32)

    def _frames(self) -> Iterator[Waveform]:
        """Decoded frames from the start of the file on.

        There is no seeking: time stamps in milliseconds and the state of a codec make it inexact (AAC differs by a
        third of full scale, Matroska by up to a millisecond), and an excerpt shall be what the whole file holds there.
        """
        planar = self._av.AudioResampler(format="fltp")
        self._container.seek(0)
        position = 0
        try:
            for frame in self._container.decode(self._stream):
                for part in planar.resample(frame):
                    samples = part.to_ndarray()
                    if samples.shape[0] != self.info.channels or part.sample_rate != self.info.sample_rate:
                        raise self._damaged("unreadable", "the rate or the number of channels changes", position)
                    yield samples
                    position += samples.shape[1]
        except self._av.FFmpegError:
            reason = "truncated" if self._is_at_the_end() else "unreadable"
            raise self._damaged(reason, "decoding failed", position) from None

    def _damaged(self, reason: str, what: str, at: int) -> AudioError:
        seconds = at / self.info.sample_rate
        return AudioError(self.path, reason, f"{what} after {seconds:.2f} s of {self.info.duration:.2f} s")

    def _is_at_the_end(self) -> bool:
        """Whether nothing follows the packet that failed."""
        try:
            return not any(packet.size for packet in self._container.demux(self._stream))
        except self._av.FFmpegError:
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()


def _title(metadata: dict[str, str]) -> str:
    words = (metadata.get(key, "") for key in _TITLES)
    return next((word for word in words if word not in _NO_TITLE), "")
