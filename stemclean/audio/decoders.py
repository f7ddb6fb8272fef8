"""The two decoders behind :mod:`stemclean.audio.files`: libsndfile first, then FFmpeg through PyAV.

Both provide an :class:`AudioInfo`, and :meth:`Decoder.chunks`, which yields exactly the requested samples at the file's
sample rate, or raises :class:`stemclean.errors.AudioError`.

libsndfile reads wav, flac, ogg, mp3, aiff, caf, au, w64. PyAV reads m4a, mp4, webm, mkv, stem.mp4 (any stream), aac,
wma, wavpack, and what libsndfile cannot: FLAC in Ogg, FLAC of unknown length, MP3 without a Xing header (whose length
libsndfile guesses, and then cuts off the rest), Opus of more than two channels. Several files joined into one
(:mod:`stemclean.audio.parts`) are read as one sound.

This module runs in worker processes: :mod:`stemclean.audio.isolation` provides the same decoders, safe from crashes.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Self, cast

import soundfile

from stemclean.audio import extents, formats, parts
from stemclean.audio.containers import ContainerDecoder
from stemclean.audio.parts import Content, Part, Slice
from stemclean.audio.stream import AudioInfo, Decoder
from stemclean.audio.waveform import Waveform
from stemclean.errors import AudioError, SkipReason

__all__ = ["decoder_of"]

CHUNK_VALUES = 1 << 18
"""Samples of all channels per chunk read by libsndfile: 3 s in stereo at 44.1 kHz, one megabyte."""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 655_350
"""Other sample rates are treated as a broken header. The maximum is that of FLAC; for all rates in this range,
microseconds are exact enough."""

_BY_LIBSNDFILE = frozenset(
    {"wav", "aiff", "flac", "ogg", "frames", "au", "caf", "iff", "ircam", "sds", "avr", "paf", "pvf", "wve"}
)


def decoder_of(path: Path, stream: int = 0) -> Decoder:
    """Return the decoder for a file, after the checks that need no decoding.

    Raises:
        AudioError: ``not_found``, ``no_permission``, ``empty``, ``not_audio``, ``wrong_extension``,
            ``truncated``, ``no_audio_stream`` or ``unreadable``.
    """
    content = _content(path)
    ending_family = formats.ending_family(path)
    family = content.family
    if family is None and ending_family and not formats.has_signature(ending_family):
        family, content = ending_family, Content(ending_family, (Part(0, path.stat().st_size),), 0, whole=True)
    if ending_family in formats.UNREADABLE and family not in (ending_family, "text"):
        family = ending_family
    if family in formats.UNREADABLE:
        raise AudioError(path, SkipReason.UNREADABLE, f"no decoder for {family} files; convert it to FLAC")
    if family in (None, "text"):
        raise AudioError(path, SkipReason.NOT_AUDIO, "the content is text" if family else "no known audio format")
    if ending_family and family not in (ending_family, "frames"):
        raise AudioError(path, SkipReason.WRONG_EXTENSION, f"the content is {family}, the ending says {ending_family}")
    if content.missing:
        raise AudioError(path, SkipReason.TRUNCATED, f"at least {content.missing} bytes are missing at the end")
    decoder = _open(path, content, stream)
    decoder.info = replace(decoder.info, plain=content.whole)
    try:
        _check(path, decoder.info, ending_family)
    except AudioError:
        decoder.__exit__()
        raise
    return decoder


def _content(path: Path) -> Content:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(path, SkipReason.UNREADABLE, "not a regular file")
        if status.st_size == 0:
            raise AudioError(path, SkipReason.EMPTY, "the file has no bytes")
        return parts.look(path)
    except FileNotFoundError:
        raise AudioError(path, SkipReason.NOT_FOUND, "no such file") from None
    except PermissionError:
        raise AudioError(path, SkipReason.NO_PERMISSION, "the file may not be read") from None
    except OSError as error:
        raise AudioError(path, SkipReason.UNREADABLE, error.strerror or str(error)) from None


def _open(path: Path, content: Content, stream: int) -> Decoder:
    if content.whole:
        return _part_decoder(path, None, content.family, stream)
    if len(content.parts) == 1:
        return _part_decoder(path, content.parts[0], content.family, stream)
    return _Joined(path, content, stream)


def _part_decoder(path: Path, part: Part | None, family: str | None, stream: int) -> Decoder:
    """Return the decoder of a whole file, or of a part of it."""

    def source() -> BinaryIO | None:
        return None if part is None else cast("BinaryIO", io.BufferedReader(Slice(path, part)))

    if family in _BY_LIBSNDFILE:
        with contextlib.suppress(soundfile.LibsndfileError):
            decoder = _SoundFileDecoder(path, source)
            if decoder.is_right and stream == 0:
                return decoder
            decoder.__exit__()
    opened = source()
    try:
        return ContainerDecoder(path, stream, opened)
    except BaseException:
        if opened is not None:
            opened.close()
        raise


def _check(path: Path, info: AudioInfo, ending_family: str | None) -> None:
    if ending_family and info.format != ending_family:
        raise AudioError(
            path, SkipReason.WRONG_EXTENSION, f"the content is {info.format}, the ending says {ending_family}"
        )
    if info.num_samples <= 0:
        raise AudioError(path, SkipReason.EMPTY, "the file has no samples")
    if not MIN_SAMPLE_RATE <= info.sample_rate <= MAX_SAMPLE_RATE:
        raise AudioError(path, SkipReason.UNREADABLE, f"a sample rate of {info.sample_rate} Hz")


class _SoundFileDecoder:
    def __init__(self, path: Path, source: Callable[[], BinaryIO | None]) -> None:
        self.path = path
        self._open = source
        with ExitStack() as stack:
            self._file = self._opened(stack)
            family = formats.family_of(self._file.format)
            delay_known = True
            if family == "mp3":
                delay_known, says_length = self._mp3(stack)
            else:
                # libsndfile guesses the length of MPEG in a WAV file.
                says_length = self._file.frames < 1 << 48 and not self._file.subtype.startswith("MPEG")
            # libsndfile may stop in the middle of Opus with many channels.
            self.is_right = says_length and not (self._file.subtype == "OPUS" and self._file.channels > 2)
            self.info = AudioInfo(
                self._file.samplerate,
                self._file.channels,
                self._file.frames,
                1,
                family,
                self._file.subtype,
                delay_known=delay_known,
            )
            if family == "flac" and self.is_right and self._file.frames and not self._end_is_there():
                raise AudioError(
                    path, SkipReason.TRUNCATED, "the last of the samples that the header announces is not there"
                )
            self._stack = stack.pop_all()

    def _opened(self, stack: ExitStack) -> soundfile.SoundFile:
        source = self._open()
        if source is not None:
            stack.enter_context(source)
        return stack.enter_context(soundfile.SoundFile(source or os.fspath(self.path)))

    def _mp3(self, stack: ExitStack) -> tuple[bool, bool]:
        """Return whether an MP3 file states the delay of its encoder, and its length."""
        source = stack.enter_context(self._open() or self.path.open("rb"))
        return extents.mp3_says_delay(source), extents.mp3_says_length(source)

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        at = start
        longest = max(1, CHUNK_VALUES // self.info.channels)
        try:
            self._file.seek(start)
            while at < stop:
                count = min(longest, stop - at)
                samples = self._file.read(count, dtype="float32", always_2d=True)
                if len(samples):
                    yield samples.T
                at += len(samples)
                if len(samples) < count:
                    raise self._damaged(at)
        except (soundfile.LibsndfileError, ValueError):
            raise self._damaged(at) from None

    def _damaged(self, at: int) -> AudioError:
        reason, problem = (
            (SkipReason.UNREADABLE, "decoding failed")
            if self._end_is_there()
            else (SkipReason.TRUNCATED, "the sound ends")
        )
        seconds = at / self.info.sample_rate
        return AudioError(self.path, reason, f"{problem} after {seconds:.2f} s of {self.info.duration:.2f} s")

    def _end_is_there(self) -> bool:
        """Return whether the last sample can be read. This is cheap, because seeking is a binary search.

        The file is opened again, because a decoder may not recover from an error.
        """
        try:
            with ExitStack() as stack:
                file = self._opened(stack)
                file.seek(file.frames - 1)
                return len(file.read(1)) == 1
        except (
            soundfile.LibsndfileError,
            ValueError,
        ):  # ValueError: after an error, the number of frames may be negative
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class _Joined:
    """Several files concatenated into one, read as one sound. Only one of them is open at a time."""

    def __init__(self, path: Path, content: Content, stream: int) -> None:
        self.path = path
        self._content = content
        self._stream = stream
        infos = [self._part_info(part) for part in content.parts]
        first = infos[0]
        num_samples = 0
        for number, info in enumerate(infos, 1):
            if (info.sample_rate, info.channels) != (first.sample_rate, first.channels):
                raise AudioError(
                    path,
                    SkipReason.UNREADABLE,
                    f"several files in one, and number {number}, at {num_samples / first.sample_rate:.2f} s, has "
                    f"{info.sample_rate} Hz and {info.channels} channels, not {first.sample_rate} and "
                    f"{first.channels}; convert it into one",
                )
            num_samples += info.num_samples
        self._lengths = [info.num_samples for info in infos]
        self.info = AudioInfo(
            first.sample_rate,
            first.channels,
            num_samples,
            first.num_streams,
            first.format,
            first.subtype,
            first.titles,
            delay_known=all(info.delay_known for info in infos),
        )

    def _part_info(self, part: Part) -> AudioInfo:
        with _part_decoder(self.path, part, self._content.family, self._stream) as decoder:
            return decoder.info

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        begin = 0
        for part, length in zip(self._content.parts, self._lengths, strict=True):
            first, last = max(start - begin, 0), min(stop - begin, length)
            if first < last:
                with _part_decoder(self.path, part, self._content.family, self._stream) as decoder:
                    yield from decoder.chunks(first, last)
            begin += length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no file stays open."""
