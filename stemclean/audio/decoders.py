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
"""Samples of all channels per chunk out of libsndfile: 3 s in stereo at 44.1 kHz, a megabyte."""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 655_350
"""Rates outside are taken for a broken header. FLAC ends there too; a microsecond is exact for every rate inside."""

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
    promised = formats.ending_family(path)
    family = content.family
    if family is None and promised and not formats.has_signature(promised):
        family, content = promised, Content(promised, (Part(0, path.stat().st_size),), 0, whole=True)
    if promised in formats.UNREADABLE and family not in (promised, "text"):
        family = promised
    if family in formats.UNREADABLE:
        raise AudioError(path, SkipReason.UNREADABLE, f"no decoder for {family} files; convert it to FLAC")
    if family in (None, "text"):
        raise AudioError(path, SkipReason.NOT_AUDIO, "the content is text" if family else "no known audio format")
    if promised and family not in (promised, "frames"):
        raise AudioError(path, SkipReason.WRONG_EXTENSION, f"the content is {family}, the ending says {promised}")
    if content.missing:
        raise AudioError(path, SkipReason.TRUNCATED, f"at least {content.missing} bytes are missing at the end")
    decoder = _open(path, content, stream)
    decoder.info = replace(decoder.info, plain=content.whole)
    try:
        _check(path, decoder.info, promised)
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
        return _of_part(path, None, content.family, stream)
    if len(content.parts) == 1:
        return _of_part(path, content.parts[0], content.family, stream)
    return _Joined(path, content, stream)


def _of_part(path: Path, part: Part | None, family: str | None, stream: int) -> Decoder:
    """The decoder of a whole file, or of a part of it."""

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


def _check(path: Path, info: AudioInfo, promised: str | None) -> None:
    if promised and info.format != promised:
        raise AudioError(path, SkipReason.WRONG_EXTENSION, f"the content is {info.format}, the ending says {promised}")
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
                # Of MPEG within a WAV file libsndfile guesses the length.
                says_length = self._file.frames < 1 << 48 and not self._file.subtype.startswith("MPEG")
            # Opus of many channels it may give up in the middle.
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
        """Whether an MP3 file says its encoder's delay, and its length."""
        source = stack.enter_context(self._open() or self.path.open("rb"))
        return extents.mp3_says_delay(source), extents.mp3_says_length(source)

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        at = start
        longest = max(1, CHUNK_VALUES // self.info.channels)
        try:
            self._file.seek(start)
            while at < stop:
                wanted = min(longest, stop - at)
                samples = self._file.read(wanted, dtype="float32", always_2d=True)
                if len(samples):
                    yield samples.T
                at += len(samples)
                if len(samples) < wanted:
                    raise self._damaged(at)
        except (soundfile.LibsndfileError, ValueError):
            raise self._damaged(at) from None

    def _damaged(self, at: int) -> AudioError:
        reason, what = (
            (SkipReason.UNREADABLE, "decoding failed")
            if self._end_is_there()
            else (SkipReason.TRUNCATED, "the sound ends")
        )
        seconds = at / self.info.sample_rate
        return AudioError(self.path, reason, f"{what} after {seconds:.2f} s of {self.info.duration:.2f} s")

    def _end_is_there(self) -> bool:
        """Whether the last sample can be read: the seek is a binary search, so this is cheap.

        The file is opened anew, since a decoder that failed may fail for ever.
        """
        try:
            with ExitStack() as stack:
                file = self._opened(stack)
                file.seek(file.frames - 1)
                return len(file.read(1)) == 1
        except (soundfile.LibsndfileError, ValueError):  # ValueError: after an error it may count less than nothing
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class _Joined:
    """Files that were put together into one, read as one sound. Only one of them is open at a time."""

    def __init__(self, path: Path, content: Content, stream: int) -> None:
        self.path = path
        self._content = content
        self._stream = stream
        infos = [self._look(part) for part in content.parts]
        first = infos[0]
        at = 0
        for number, info in enumerate(infos, 1):
            if (info.sample_rate, info.channels) != (first.sample_rate, first.channels):
                raise AudioError(
                    path,
                    SkipReason.UNREADABLE,
                    f"several files in one, and number {number}, at {at / first.sample_rate:.2f} s, has "
                    f"{info.sample_rate} Hz and {info.channels} channels, not {first.sample_rate} and "
                    f"{first.channels}; convert it into one",
                )
            at += info.num_samples
        self._lengths = [info.num_samples for info in infos]
        self.info = AudioInfo(
            first.sample_rate,
            first.channels,
            at,
            first.num_streams,
            first.format,
            first.subtype,
            first.titles,
            delay_known=all(info.delay_known for info in infos),
        )

    def _look(self, part: Part) -> AudioInfo:
        with _of_part(self.path, part, self._content.family, self._stream) as decoder:
            return decoder.info

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        begin = 0
        for part, length in zip(self._content.parts, self._lengths, strict=True):
            first, last = max(start - begin, 0), min(stop - begin, length)
            if first < last:
                with _of_part(self.path, part, self._content.family, self._stream) as decoder:
                    yield from decoder.chunks(first, last)
            begin += length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing stays open."""
