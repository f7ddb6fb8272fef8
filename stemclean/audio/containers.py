"""Decode with FFmpeg through PyAV, for containers with one or more audio streams."""

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
"""Maximum difference in seconds between the length in a container's header and the decoded length.

Containers store times in milliseconds or whole frames, and codecs add priming and padding: differences of up to 0.05 s
occur with AAC, Opus and WMA. Within the tolerance, the decoded sound is cut or zero-padded to the length in the header.
A file with a larger difference is truncated, or is several files in one.
"""

MAX_CHANNELS = 1024

_GUESSED_LENGTH = frozenset("mp3 aac loas flac ac3 eac3 dts dtshd truehd mlp amr amrnb amrwb gsm adx voc".split())
"""FFmpeg's demuxers that estimate the length from the bit rate: the lengths of the packets are added up instead."""

_COUNTED_LENGTH = frozenset({"mpeg", "mpegts", "nut", "spdif", "wtv", "shn", "g722", "sbc", "aptx", "aptx_hd"})
"""FFmpeg's demuxers without exact times: the file is decoded to find its length."""

_DELAYED = ("aac", "mp3", "mp2", "mp1", "ac3", "eac3", "dca", "wma", "atrac", "amr", "ra_", "cook", "sipr", "gsm")
"""Prefixes of FFmpeg's names of codecs whose encoders add a delay before the sound."""

_TITLES = ("title", "name", "handler_name")
_NO_TITLE = frozenset({"SoundHandler", "SoundHandle", "Core Media Audio", ""})


class ContainerDecoder:
    """A :class:`stemclean.audio.stream.Decoder`; raises AudioError if FFmpeg cannot read the file.

    Args:
        path: the file.
        stream: index of the audio stream.
        source: file object to read instead of ``path``; it is closed together with the decoder.
    """

    def __init__(self, path: Path, stream: int, source: BinaryIO | None = None) -> None:
        import av  # imported late, because a folder of WAV files does not need it

        self.path = path
        self._source = source
        self._av: Any = av
        try:
            # Tags that are not UTF-8 must not prevent decoding.
            self._container: Any = av.open(source or os.fspath(path), metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            raise AudioError(
                path, SkipReason.UNREADABLE, getattr(error, "strerror", None) or "no known format"
            ) from None
        try:
            self.info = self._read_info(stream)
        except BaseException:
            self._container.close()
            raise

    def _read_info(self, stream: int) -> AudioInfo:
        family = formats.family_of(self._container.format.name)
        streams = self._container.streams.audio
        if not streams:
            raise AudioError(self.path, SkipReason.NO_AUDIO_STREAM, "the file holds no sound")
        if stream >= len(streams):
            raise AudioError(self.path, SkipReason.NO_AUDIO_STREAM, f"stream {stream} of {len(streams)} does not exist")
        self._stream = streams[stream]
        context: Any = self._stream.codec_context  # None if FFmpeg does not have the codec
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
        stem_titles = stem_mp4.stream_titles(self.path, len(streams)) if family == "mp4" and not self._source else None
        stream_titles = tuple(_title(item.metadata) for item in streams)
        return (
            tuple(
                stem_title or stream_title for stem_title, stream_title in zip(stem_titles, stream_titles, strict=True)
            )
            if stem_titles
            else stream_titles
        )

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
        """Return the length in the stream's header, else in the container's, else the sum of the packets' lengths.

        Only formats without any of these are decoded.
        """
        sample_rate: int = context.sample_rate
        base = self._stream.time_base or Fraction(1, sample_rate)
        name = self._container.format.name
        if name in _COUNTED_LENGTH:
            return self._counted_samples()
        is_estimate = name in _GUESSED_LENGTH or (name == "wav" and not context.name.startswith(("pcm_", "adpcm_")))
        if not is_estimate and self._stream.duration:
            delay = _opus_delay(context) if name == "ogg" and context.name == "opus" else 0
            return round(Fraction(self._stream.duration) * base * sample_rate) - delay
        if not is_estimate and self._container.duration:
            return round(Fraction(self._container.duration, self._av.time_base) * sample_rate)
        try:
            ticks = sum(packet.duration or 0 for packet in self._container.demux(self._stream))
        except self._av.FFmpegError as error:
            raise AudioError(self.path, SkipReason.UNREADABLE, error.strerror or "decoding failed") from None
        return round(Fraction(ticks) * base * sample_rate) if ticks > 0 else self._counted_samples()

    def _counted_samples(self) -> int:
        """Decode the stream to find its length."""
        count = 0
        try:
            self._rewind()
            for frame in self._container.decode(self._stream):
                count += frame.samples
        except self._av.FFmpegError as error:
            raise AudioError(self.path, SkipReason.UNREADABLE, error.strerror or "decoding failed") from None
        return count

    def _rewind(self) -> None:
        """Seek to the first packet. In MP4, it lies before time 0: the encoder's delay, which the next one adds to."""
        try:
            self._container.seek(-self._av.time_base)
        except self._av.FFmpegError:  # a format without times before 0
            self._container.seek(0)

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        """Yield samples ``start`` to ``stop``; the file is decoded from its start."""
        position = at = 0
        tolerance = LENGTH_TOLERANCE * self.info.sample_rate
        last = self.info.num_samples + tolerance if stop >= self.info.num_samples else 0
        for samples in self._frames():
            requested = samples[:, max(0, start - position) : max(0, stop - position)]
            position += samples.shape[1]
            at = min(position, stop)
            if requested.shape[1]:
                yield requested
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
        """Yield the decoded frames from the start of the file.

        Seeking is not used. It is inexact because of time stamps in milliseconds and the state of codecs (the error is
        a third of full scale in AAC, up to a millisecond in Matroska), and an excerpt must equal that part of the whole
        file.
        """
        packed = self._av.AudioResampler(format="flt")  # planar frames of more than 8 channels crash PyAV
        channels, position = self.info.channels, 0
        try:
            self._rewind()
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

    def _damaged(self, reason: SkipReason, problem: str, at: int) -> AudioError:
        seconds = at / self.info.sample_rate
        return AudioError(self.path, reason, f"{problem} after {seconds:.2f} s of {self.info.duration:.2f} s")

    def _is_at_the_end(self) -> bool:
        """Return whether no data follows the packet that failed."""
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
    """Return the number of channels of a codec context that is not open yet.

    PyAV frees a layout with a list of channels (as in QuickTime with more than six) on each access, and crashes on the
    second one. So the layout is accessed once, and replaced by one without a list.
    """
    layout = context.layout
    channels: int = layout.nb_channels
    if channels > 0:
        listed = " (" in layout.name or "+" in layout.name
        context.layout = f"{channels} channels" if listed else layout.name
    return channels


def _opus_delay(context: Any) -> int:
    """Return the number of samples that an Opus decoder drops at the start; Ogg counts them as sound."""
    head = context.extradata or b""
    return int.from_bytes(head[10:12], "little") if head[:8] == b"OpusHead" else 0


def _title(metadata: dict[str, str]) -> str:
    candidates = (metadata.get(key, "") for key in _TITLES)
    return next((candidate for candidate in candidates if candidate not in _NO_TITLE), "")
