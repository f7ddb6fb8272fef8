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
from pathlib import Path
from typing import Self

import numpy as np
import soundfile

from stemclean.audio import formats
from stemclean.audio.containers import ContainerDecoder
from stemclean.audio.stream import AudioInfo, Decoder
from stemclean.audio.waveform import Waveform
from stemclean.errors import AudioError

__all__ = ["open_decoder"]

CHUNK_SAMPLES = 1 << 17
"""Samples per chunk out of libsndfile: 3 s at 44.1 kHz, a megabyte in stereo."""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 655_350
"""Rates outside are taken for a broken header. FLAC ends there too; a microsecond is exact for every rate inside."""

_CONTENT_FOR_AV = frozenset({"mp4", "matroska", "wma", "wavpack", "ape"})


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
    return ContainerDecoder(path, stream)


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
