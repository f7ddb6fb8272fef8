"""What the ``.pv`` formats share: one MIDI note a line, fractions allowed, 0 where nothing is sung, at a fixed hop."""

from __future__ import annotations

from dataclasses import dataclass

from stemclean.audio.f0 import F0Track
from stemclean.layouts.f0_labels.base import Beside, check_midi, columns, fields, lines, short, unvoiced_or_number
from stemclean.units import hz_to_midi, midi_to_hz

__all__ = ["Semitones"]


@dataclass(frozen=True)
class Semitones:
    """A number a line.

    Args:
        name: of the format.
        hop: seconds.
        start: seconds; centre of the first frame.
        clip: seconds; how long every clip of the dataset is, which tells the format where the sound's length is not
            known; None: they differ, and any number of lines will do.
        priority: of the format.
    """

    name: str
    hop: float
    start: float
    clip: float | None
    priority: int
    ending: str = ".pv"

    def can_read(self, text: str, beside: Beside) -> bool:
        """One number on the first line, and as many lines as fit the sound's length, or the clips of the dataset."""
        first = fields(text)
        if len(first) != 1 or not unvoiced_or_number(first[0]):
            return False
        if self.clip is None:
            return True
        duration = beside.duration or self.clip
        return abs(len(text.split()) * self.hop - duration) <= _SLACK * duration

    def read(self, text: str, beside: Beside) -> F0Track:
        """The track."""
        midi = columns(text, 1, None, f0=0)[:, 0]
        check_midi(midi)
        return F0Track.of(midi_to_hz(midi), self.hop, self.start)

    def write(self, track: F0Track, song: str) -> str:
        """The track on the format's grid, notes with four decimals: 0.01 cent."""
        at = track.resampled(self.hop, self.start)
        midi = hz_to_midi(at.f0_hz * at.voiced)
        return lines([short(note, 4) for note in midi])


_SLACK = 0.2
"""Of the sound's length: 20 and 32 ms lie further apart, and a label may end before its sound does."""
