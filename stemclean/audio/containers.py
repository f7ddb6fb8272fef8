"""The second decoder: FFmpeg through PyAV, for containers with one or more streams of sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np

from stemclean.audio import formats, stem_mp4
from stemclean.audio.stream import AudioInfo
from stemclean.audio.waveform import Waveform
from stemclean.errors import AudioError

__all__ = ["ContainerDecoder"]

LENGTH_TOLERANCE = 0.25
"""Seconds by which a container's stated length may differ from what its decoder gives.

Containers state times in milliseconds or whole frames, and codecs prime and pad: up to 0.05 s were seen with AAC,
Opus and WMA. Within the tolerance the samples are cut or filled with zeros to the stated length; beyond, the file is
truncated.
"""

_GUESSED_LENGTH = frozenset({"mp3", "aac", "flac"})
"""FFmpeg's demuxers that take bytes by bit rate for time: their length is counted instead."""

_TITLES = ("title", "name", "handler_name")
_NO_TITLE = frozenset({"SoundHandler", "SoundHandle", "Core Media Audio", ""})


class ContainerDecoder:
    """A :class:`stemclean.audio.stream.Decoder`; raises AudioError where FFmpeg cannot make sense of a file."""

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
        context: Any = self._stream.codec_context  # None where FFmpeg knows no such codec
        if context is None or not context.sample_rate or not context.channels:
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
        return round(ticks * base * sample_rate)

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        """Samples ``start`` to ``stop``, decoded from the start of the file on."""
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
        position = 0
        try:
            self._container.seek(0)
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
