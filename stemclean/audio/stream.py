"""An open audio stream: what its header says, and its samples in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

from stemclean.audio.waveform import Waveform

__all__ = ["AudioInfo", "Decoder"]


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
        delay_known: False where an encoder puts some 10 to 50 ms before the sound, and the file does not say how much.
        plain: False where other programs may hear something else in the file, since it is several files in one, has
            tags in front, or does not say how long it is.
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
        """Samples ``start`` to ``stop`` in chunks of any length, each of which the next may overwrite.

        Raises:
            AudioError: ``truncated`` or ``unreadable``, when the damage is met.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
