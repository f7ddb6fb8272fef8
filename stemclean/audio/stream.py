"""Interface of decoders: an open audio stream with its properties and samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

from stemclean.audio.waveform import Waveform

__all__ = ["AudioInfo", "Decoder"]


@dataclass(frozen=True)
class AudioInfo:
    """Properties of an audio file.

    Args:
        sample_rate: sample rate in Hz.
        channels: number of channels of the selected stream.
        num_samples: samples per channel.
        num_streams: number of audio streams in the file; more than one only in containers.
        format: family of the format, such as ``"wav"``, ``"flac"``, ``"mp4"``.
        subtype: sample format or codec, such as ``"PCM_16"``, ``"FLOAT"``, ``"aac"``.
        titles: title of each audio stream; "" if it has none.
        delay_known: False if the encoder adds a delay of 10 to 50 ms that the file does not state.
        plain: False if other programs may decode the file differently, because it is several files in one, begins with
            tags, or does not state its length.
    """

    sample_rate: int
    channels: int
    num_samples: int
    num_streams: int
    format: str
    subtype: str = ""
    titles: tuple[str, ...] = ("",)
    delay_known: bool = True
    plain: bool = True

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


class Decoder(Protocol):
    """An open audio stream."""

    info: AudioInfo

    def chunks(self, start: int, stop: int) -> Iterator[Waveform]:
        """Yield samples ``start`` to ``stop`` in chunks of any length; each may be overwritten by the next.

        Raises:
            AudioError: ``truncated`` or ``unreadable``, at the position of the damage.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
