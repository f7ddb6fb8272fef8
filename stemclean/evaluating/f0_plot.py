"""Plot the reference and the estimated f0 of a song over its spectrogram, with matplotlib."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemclean.audio import files
from stemclean.audio.f0 import F0Track
from stemclean.disk import replacing
from stemclean.errors import ConfigError
from stemclean.metrics import pitch
from stemclean.outputs import refuse_foreign
from stemclean.units import hz_to_midi, midi_to_hz

__all__ = ["check", "draw"]

ENDINGS = (".png", ".svg", ".pdf")

RATE = 16000
N_FFT = 2048
"""128 ms: long enough to separate the harmonics of a low voice, short enough to show a vibrato."""

MAX_COLUMNS = 1600
"""Maximum number of spectrogram columns: about the width of the plot in pixels."""

ROWS_PER_SEMITONE = 4
RANGE_DB = 70.0
"""Dynamic range of the colour scale, below the loudest point."""

TOLERANCE = 0.5
"""Maximum error of a correct f0, in semitones."""


def check(path: Path) -> None:
    """Check that a plot can be written, before any input is read.

    Raises:
        ConfigError: matplotlib is not installed, the file extension is not supported, or the file exists and is not a
            plot by stemclean.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(
            f"{path}: the name of a plot must end in {', '.join(ENDINGS)}", f"name it {path.with_suffix('.png')}"
        )
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError:
        hint = 'python -m pip install "stemclean[plots]"'
        raise ConfigError("plots need matplotlib, which is not installed", hint) from None
    refuse_foreign(path, lambda path: b"stemclean" in path.read_bytes(), "picture that stemclean drew")


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
    figure_class = importlib.import_module("matplotlib.figure").Figure
    figure = figure_class(figsize=(12, 5), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    low, high = _range(reference, estimate)
    end = max(float(f0.times[-1]) + f0.hop for f0 in (reference, estimate))
    if sound:
        levels, seconds = _spectrogram(*sound, low, high)
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
    with replacing(path) as temporary:
        kind = path.suffix.lower().lstrip(".")
        undated: dict[str, Any] = {
            "png": {"Software": "stemclean"},
            "svg": {"Date": None, "Creator": "stemclean"},
            "pdf": {"CreationDate": None, "Creator": "stemclean"},
        }
        figure.savefig(temporary, format=kind, metadata=undated[kind])


def _range(*tracks: F0Track) -> tuple[float, float]:
    """Return the lowest and highest MIDI note of the plot, which covers the f0 and two harmonics."""
    midi = np.concatenate([hz_to_midi(track.f0_hz[track.f0_hz > 0]) for track in tracks])
    if not len(midi):
        return 36.0, 96.0
    low, high = np.floor(midi.min()) - 5, np.ceil(midi.max()) + 19
    return float(low), float(min(high, hz_to_midi(RATE / 2)))


def _spectrogram(path: Path, stream: int, low: float, high: float) -> tuple[NDArray[np.float64], float]:
    """Compute a spectrogram on a semitone scale, with levels in [0, 1]; the audio is read in blocks.

    Returns:
        (levels, seconds). Shape: (row, column)
    """
    duration = files.probe(path, stream).duration
    hop = max(RATE // 100, round(duration * RATE / MAX_COLUMNS))
    per_block = max(1, 30 * RATE // hop)
    window = np.hanning(N_FFT)
    bins = midi_to_hz(np.arange(low, high, 1 / ROWS_PER_SEMITONE)) * N_FFT / RATE
    columns = []
    blocks = files.blocks(path, sample_rate=RATE, channels=1, block_duration=per_block * hop / RATE, stream=stream)
    for block in blocks:
        padded = np.pad(block[0], (N_FFT // 2, N_FFT))
        for start in range(0, block.shape[1], hop):
            power = np.abs(np.fft.rfft(padded[start : start + N_FFT] * window)) ** 2
            columns.append(np.interp(bins, np.arange(len(power)), power))
    power = np.stack(columns, axis=1)  # (row, column)
    levels = 10 * np.log10(np.maximum(power, 1e-12) / max(1e-12, power.max()))
    return np.clip(1 + levels / RANGE_DB, 0, 1), duration


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
