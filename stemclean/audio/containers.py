"""The second decoder: FFmpeg through PyAV, for containers with one or more streams of sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from stemclean.audio import extents, formats, stem_mp4
from stemclean.audio.stream import AudioInfo
from stemclean.audio.waveform import Waveform
from stemclean.errors import AudioError, SkipReason

__all__ = ["ContainerDecoder"]

LENGTH_TOLERANCE = 0.25
"""Seconds by which a container's stated length may differ from what its decoder gives.

Containers state times in milliseconds or whole frames, and codecs prime and pad: up to 0.05 s were seen with AAC,
Opus and WMA. Within the tolerance the samples are cut or filled with zeros to the stated length; beyond, the file is
truncated, or several files in one.
"""

MAX_CHANNELS = 1024

_GUESSED_LENGTH = frozenset("mp3 aac loas flac ac3 eac3 dts dtshd truehd mlp amr amrnb amrwb gsm adx voc".split())
"""FFmpeg's demuxers that take bytes by bit rate for time: their length is counted instead."""

_COUNTED_LENGTH = frozenset({"mpeg", "mpegts", "nut", "spdif", "wtv", "shn", "g722", "sbc", "aptx", "aptx_hd"})
"""FFmpeg's demuxers that know no times, or inexact ones: what is decoded is counted."""

_DELAYED = ("aac", "mp3", "mp2", "mp1", "ac3", "eac3", "dca", "wma", "atrac", "amr", "ra_", "cook", "sipr", "gsm")
"""How FFmpeg's names of codecs begin whose encoders put something before the sound."""

_TITLES = ("title", "name", "handler_name")
_NO_TITLE = frozenset({"SoundHandler", "SoundHandle", "Core Media Audio", ""})


class ContainerDecoder:
    """A :class:`stemclean.audio.stream.Decoder`; raises AudioError where FFmpeg cannot make sense of a file.

    Args:
        path: the file.
        stream: which audio stream of it.
        source: what is read in place of the file, closed with this.
    """

    def __init__(self, path: Path, stream: int, source: BinaryIO | None = None) -> None:
        import av  # late: a folder of wav files does without

        self.path = path
        self._source = source
        self._av: Any = av
        try:
            # Tags in another encoding than UTF-8 hide no sound.
            self._container: Any = av.open(source or os.fspath(path), metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            raise AudioError(
                path, SkipReason.UNREADABLE, getattr(error, "strerror", None) or "no known format"
            ) from None
        try:
            self.info = self._look(stream)
        except BaseException:
            self._container.close()
            raise

    def _look(self, stream: int) -> AudioInfo:
        family = formats.family_of(self._container.format.name)
        streams = self._container.streams.audio
        if not streams:
            raise AudioError(self.path, SkipReason.NO_AUDIO_STREAM, "the file holds no sound")
        if stream >= len(streams):
            raise AudioError(self.path, SkipReason.NO_AUDIO_STREAM, f"stream {stream} of {len(streams)} does not exist")
        self._stream = streams[stream]
        context: Any = self._stream.codec_context  # None where FFmpeg knows no such codec
        if context is None:
            raise AudioError(self.path, SkipReason.UNREADABLE, "no decoder for its codec")
        channels = _channels(context)
        if not context.sample_rate or not 0 < channels <= MAX_CHANNELS:
            raise AudioError(self.path, SkipReason.UNREADABLE, "no sample rate or channels")
        return AudioInfo(
            sample_rate=context.sample_rate,
            channels=channels,
            num_samples=self._stated_samples(context),
            num_streams=len(streams),
            format=family,
            subtype=context.name,
            titles=self._titles(family),
            delay_known=not str(context.name).startswith(_DELAYED) or self._says_delay(family, stream),
        )

    def _titles(self, family: str) -> tuple[str, ...]:
        streams = self._container.streams.audio
        of_stems = stem_mp4.stream_titles(self.path, len(streams)) if family == "mp4" and not self._source else None
        own = tuple(_title(item.metadata) for item in streams)
        return tuple(theirs or ours for theirs, ours in zip(of_stems, own, strict=True)) if of_stems else own

    def _says_delay(self, family: str, stream: int) -> bool:
        if any(key.lower() == "itunsmpb" for key in self._container.metadata):
            return True
        if self._source is not None:
            return False
        if family == "mp4":
            return stem_mp4.says_delay(self.path, stream)
        if family == "mp3":
            with open(self.path, "rb") as file:
                return extents.mp3_says_delay(file)
        return False

    def _stated_samples(self, context: Any) -> int:
        """Length by the stream's header, else by the container's, else by adding up packets (nothing is decoded)."""
        sample_rate: int = context.sample_rate
        base = self._stream.time_base or Fraction(1, sample_rate)
        name = self._container.format.name
        if name in _COUNTED_LENGTH:
            return self._counted_samples()
        guesses = name in _GUESSED_LENGTH or (name == "wav" and not context.name.startswith(("pcm_", "adpcm_")))
        if not guesses and self._stream.duration:
            before = _opus_delay(context) if name == "ogg" and context.name == "opus" else 0
            return round(Fraction(self._stream.duration) * base * sample_rate) - before
        if not guesses and self._container.duration:
            return round(Fraction(self._container.duration, self._av.time_base) * sample_rate)
        try:
            ticks = sum(packet.duration or 0 for packet in self._container.demux(self._stream))
        except self._av.FFmpegError as error:
            raise AudioError(self.path, SkipReason.UNREADABLE, error.strerror or "decoding failed") from None
        return round(Fraction(ticks) * base * sample_rate) if ticks > 0 else self._counted_samples()

    def _counted_samples(self) -> int:
        """Length of a format that says none: what is decoded is counted."""
        count = 0
        try:
            self._container.seek(0)
            for frame in self._container.decode(self._stream):
                count += frame.samples
        except self._av.FFmpegError as error:
            raise AudioError(self.path, SkipReason.UNREADABLE, error.strerror or "decoding failed") from None
        return count

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        """Samples ``start`` to ``stop``, decoded from the start of the file on."""
        position = at = 0
        tolerance = LENGTH_TOLERANCE * self.info.sample_rate
        last = self.info.num_samples + tolerance if stop >= self.info.num_samples else 0
        for samples in self._frames():
            asked = samples[:, max(0, start - position) : max(0, stop - position)]
            position += samples.shape[1]
            at = min(position, stop)
            if asked.shape[1]:
                yield asked
            if position >= max(stop, last):
                break
        if stop - at > tolerance:
            raise self._damaged(SkipReason.TRUNCATED, "the sound ends", at)
        if last and position >= last:
            raise self._damaged(
                SkipReason.UNREADABLE, "more sound than the header says, as of files put together, begins", at
            )
        if at < stop:
            yield np.zeros((self.info.channels, stop - max(at, start)), np.float32)

    def _frames(self) -> Iterator[Waveform]:
        """Decoded frames from the start of the file on.

        There is no seeking: time stamps in milliseconds and the state of a codec make it inexact (AAC differs by a
        third of full scale, Matroska by up to a millisecond), and an excerpt shall be what the whole file holds there.
        """
        packed = self._av.AudioResampler(format="flt")  # planar frames of more than 8 channels crash PyAV
        channels, position = self.info.channels, 0
        try:
            self._container.seek(0)
            for frame in self._container.decode(self._stream):
                for part in packed.resample(frame):
                    if part.layout.nb_channels != channels or part.sample_rate != self.info.sample_rate:
                        raise self._damaged(
                            SkipReason.UNREADABLE, "the rate or the number of channels changes", position
                        )
                    samples = part.to_ndarray().reshape(-1, channels).T  # (1, time * channel) -> (channel, time)
                    yield samples
                    position += samples.shape[1]
        except ValueError as error:
            if isinstance(error, self._av.FFmpegError):
                raise self._failed(position) from None
            raise self._damaged(SkipReason.UNREADABLE, "the rate or the number of channels changes", position) from None
        except self._av.FFmpegError:
            raise self._failed(position) from None

    def _failed(self, position: int) -> AudioError:
        reason = SkipReason.TRUNCATED if self._is_at_the_end() else SkipReason.UNREADABLE
        return self._damaged(reason, "decoding failed", position)

    def _damaged(self, reason: SkipReason, what: str, at: int) -> AudioError:
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
        if self._source is not None:
            self._source.close()


def _channels(context: Any) -> int:
    """Number of channels of a codec context that is not open yet.

    PyAV frees a layout that lists its channels (QuickTime's of more than six) each time that it is looked at, and dies
    at the second time. Here it is looked at once, and replaced by one without a list.
    """
    layout = context.layout
    channels: int = layout.nb_channels
    if channels > 0:
        listed = " (" in layout.name or "+" in layout.name
        context.layout = f"{channels} channels" if listed else layout.name
    return channels


def _opus_delay(context: Any) -> int:
    """Samples that an Opus decoder drops at the start, out of its header; Ogg counts them as sound."""
    head = context.extradata or b""
    return int.from_bytes(head[10:12], "little") if head[:8] == b"OpusHead" else 0


def _title(metadata: dict[str, str]) -> str:
    words = (metadata.get(key, "") for key in _TITLES)
    return next((word for word in words if word not in _NO_TITLE), "")
