"""Plot the reference and the estimated f0 of a song over its spectrogram, with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemclean import plots
from stemclean.audio.f0 import F0Track
from stemclean.audio.semitones import RATE, semitone_levels
from stemclean.metrics import pitch
from stemclean.units import hz_to_midi, midi_to_hz

__all__ = ["draw"]

TOLERANCE = 0.5
"""Maximum error of a correct f0, in semitones."""


def draw(
    path: Path,
    track: str,
    reference: F0Track,
    estimate: F0Track,
    scores: Mapping[str, float | None],
    sound: tuple[Path, int] | None = None,
) -> None:
    """Plot both f0 over the spectrogram; wrong frames of the estimate are red.

    Args:
        path: the image file to write.
        track: name of the song.
        reference: the reference, plotted as a wide line.
        estimate: the estimate, plotted as dots.
        scores: result of :func:`stemclean.metrics.pitch.evaluate`, for the title.
        sound: the audio file and its stream; None: no spectrogram.

    Raises:
        AudioError: the audio cannot be read.
    """
    with plots.plot(path, 12, 5) as figure:
        _draw(figure.add_subplot(), track, reference, estimate, scores, sound)


def _draw(
    axes: Any,
    track: str,
    reference: F0Track,
    estimate: F0Track,
    scores: Mapping[str, float | None],
    sound: tuple[Path, int] | None,
) -> None:
    low, high = _range(reference, estimate)
    end = max(float(f0.times[-1]) + f0.hop for f0 in (reference, estimate))
    if sound:
        levels, seconds = semitone_levels(*sound, low, high)
        axes.imshow(
            levels, origin="lower", aspect="auto", extent=(0, seconds, low, high), cmap="gray_r", vmin=0, vmax=1
        )
        end = max(end, seconds)
    true_notes, estimated_notes = _lines(reference), _lines(estimate)
    axes.plot(reference.times, true_notes, color="#00a0d0", linewidth=7, alpha=0.5, label="reference")
    wrong = _wrong(reference, estimate)
    dots = {"linestyle": "none", "marker": ".", "markersize": 3}
    axes.plot(estimate.times, np.where(wrong, np.nan, estimated_notes), color="#108030", label="estimate", **dots)
    axes.plot(
        estimate.times,
        np.where(wrong, estimated_notes, np.nan),
        color="#d02010",
        label="estimate, wrong or unvoiced",
        **dots,
    )
    axes.set(xlim=(0, end), ylim=(low, high), xlabel="seconds")
    notes = np.arange(12 * np.ceil(low / 12), high, 12 if high - low > 30 else 6)
    axes.set_yticks(notes, [f"{_name(note)}  {float(midi_to_hz(note)):.0f} Hz" for note in notes])
    axes.legend(loc="upper right", ncols=3, fontsize="small")
    shown = "   ".join(f"{short} {_share(scores[key])}" for key, (short, _) in pitch.METRICS.items())
    axes.set_title(f"{track}\n{shown}", fontsize="medium", parse_math=False)


def _range(*tracks: F0Track) -> tuple[float, float]:
    """Return the lowest and highest MIDI note of the plot, which covers the f0 and two harmonics."""
    midi = np.concatenate([hz_to_midi(track.f0_hz[track.f0_hz > 0]) for track in tracks])
    if not len(midi):
        return 36.0, 96.0
    low, high = np.floor(midi.min()) - 5, np.ceil(midi.max()) + 19
    return float(low), float(min(high, hz_to_midi(RATE / 2)))


def _lines(track: F0Track) -> NDArray[np.float64]:
    """Return MIDI notes, with NaN in unvoiced frames so that the line is interrupted. Shape: (frame,)."""
    return np.where(track.voiced, hz_to_midi(track.f0_hz), np.nan)


def _wrong(reference: F0Track, estimate: F0Track) -> NDArray[np.bool_]:
    """Return which frames of the estimate are over 50 cents off, or unvoiced in the reference. Shape: (frame,)."""
    f0_hz, voicing, _ = reference.at(estimate.times)
    voiced = (f0_hz > 0) & (voicing > 0)
    return np.asarray(~voiced | (np.abs(hz_to_midi(f0_hz) - hz_to_midi(estimate.f0_hz)) > TOLERANCE))


def _name(note: float) -> str:
    names = "C C# D D# E F F# G G# A A# B".split()
    return f"{names[round(note) % 12]}{round(note) // 12 - 1}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
