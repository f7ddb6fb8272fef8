"""Common parts of ``.pv`` formats: one MIDI note per line, with fractions, at a fixed hop; 0 is unvoiced."""

from __future__ import annotations

from dataclasses import dataclass

from stemclean.audio.f0 import F0Track
from stemclean.layouts.f0_labels.base import Beside, check_midi, columns, fields, lines, short, unvoiced_or_number
from stemclean.units import hz_to_midi, midi_to_hz

__all__ = ["Semitones"]


@dataclass(frozen=True)
class Semitones:
    """A format with one number per line.

    Args:
        name: name of the format.
        hop: hop in seconds.
        start: time of the centre of the first frame in seconds.
        clip: length of all clips of the dataset in seconds, used to detect the format if the length of the audio is
            unknown; None: lengths differ, and any number of lines is accepted.
        priority: priority of the format.
        ending: extension of its files.
    """

    name: str
    hop: float
    start: float
    clip: float | None
    priority: int
    ending: str = ".pv"

    def can_read(self, text: str, beside: Beside) -> bool:
        """Return whether the first line is one number, and the number of lines matches the length of the audio."""
        first = fields(text)
        if len(first) != 1 or not unvoiced_or_number(first[0]):
            return False
        if self.clip is None:
            return True
        duration = beside.duration or self.clip
        return abs(len(text.split()) * self.hop - duration) <= _SLACK * duration

    def read(self, text: str, beside: Beside) -> F0Track:
        """Read the track."""
        midi = columns(text, 1, None, f0=0)[:, 0]
        check_midi(midi)
        return F0Track.of(midi_to_hz(midi), self.hop, self.start)

    def write(self, track: F0Track, song: str) -> str:
        """Write the track on the grid of the format; notes have four decimals, 0.01 cents."""
        resampled = track.resampled(self.hop, self.start)
        midi = hz_to_midi(resampled.f0_hz * resampled.voiced)
        return lines([short(note, 4) for note in midi])


_SLACK = 0.2
"""Maximum relative difference of lengths: hops of 20 and 32 ms differ by more, and an f0 file may end before its audio
does."""
