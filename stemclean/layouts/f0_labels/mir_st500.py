"""MIR-ST500 notes: JSON, song -> ``[[onset, offset, MIDI note], …]`` in seconds, with one or more songs per file.

Source: Wang and Jang, "On the preparation and validation of a large-scale dataset of singing transcription", ICASSP
2021. Notes are converted to frames every 10 ms with the frequency of the note, without vibrato (ours). Frames are
converted to notes with hysteresis (ours): a note ends when the pitch differs from it by more than 0.8 semitones.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from stemclean.audio.f0 import F0Track
from stemclean.documents import FlawError, json_of
from stemclean.layouts.f0_labels.base import MAX_FRAMES, Beside, broken, check_midi
from stemclean.units import hz_to_midi, midi_to_hz

HOP = 0.01
"""Hop in seconds."""

LEAVES = 0.8
"""Distance in semitones at which a note ends: more than most vibrato, less than the next semitone."""

_HINT = "write song -> [[onset in s, offset in s, MIDI note], …]"


class MirSt500:
    """See the module."""

    name = "mir_st500"
    ending = ".json"
    priority = 10

    def can_read(self, text: str, beside: Beside) -> bool:
        """Return whether the text is a JSON object or list."""
        return text.lstrip()[:1] in ("{", "[")

    def read(self, text: str, beside: Beside) -> F0Track:
        """Read the track, from 0 s to the end of the last note."""
        notes = _notes(_song(_parsed(text), beside.song))
        check_midi(notes[:, 2])
        end = float(notes[:, 1].max(initial=0.0))
        if end > MAX_FRAMES * HOP:
            raise broken(f"a note that ends at {end:g} s")
        midi = np.zeros(math.ceil(end / HOP - 1e-6))
        for onset, offset, note in notes:
            midi[math.ceil(onset / HOP - 1e-6) : math.ceil(offset / HOP - 1e-6)] = note
        return F0Track.of(midi_to_hz(midi), HOP)

    def write(self, track: F0Track, song: str) -> str:
        """Write one song with the name of the file, in whole MIDI notes as in the dataset."""
        midi = hz_to_midi(track.f0_hz * track.voiced)
        times = track.times
        notes: list[list[float]] = []
        at = 0
        while at < len(midi):
            end = _end_of_note(midi, at)
            if midi[at] > 0:
                note = float(round(np.median(midi[at:end])))
                notes.append([round(float(times[at]), 6), round(float(times[end - 1]) + track.hop, 6), note])
            at = end
        return json.dumps({song: notes}, ensure_ascii=False) + "\n"


def _end_of_note(midi: np.ndarray, start: int) -> int:
    """Return the first frame after the note or pause that begins at ``start``."""
    if midi[start] <= 0:
        away = midi[start:] > 0
    else:
        away = (midi[start:] <= 0) | (np.abs(midi[start:] - np.round(midi[start])) > LEAVES)
    return start + int(np.argmax(away)) if away.any() else len(midi)


def _parsed(text: str) -> Any:
    try:
        return json_of(text)
    except FlawError as error:
        raise broken(str(error), _HINT) from None


def _song(document: Any, name: str | None) -> Any:
    if not isinstance(document, dict):
        return document
    if len(document) == 1:
        return next(iter(document.values()))
    if name in document:
        return document[name]
    raise broken(f"notes of {len(document)} songs, and none is called {name or 'as the file to read for'}", _HINT)


def _notes(listed: Any) -> np.ndarray:
    """Return onset, offset and MIDI note of each note. Shape: (note, 3)."""
    if not isinstance(listed, list):
        raise broken("the notes of a song are no list", _HINT)
    for at, note in enumerate(listed):
        right = isinstance(note, list) and len(note) == 3 and all(_is_number(value) for value in note)
        if not right or not 0 <= note[0] < note[1]:
            raise broken(f"note {at}: {json.dumps(note)[:60]} is no onset, later offset and MIDI note", _HINT)
    return np.array(listed, np.float64).reshape(-1, 3)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


FORMAT = MirSt500()
