"""Plot why a stem has its verdict: its spectrogram, and the classes and the bleed in it over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemclean import plots
from stemclean.audio.semitones import semitone_levels
from stemclean.manifest import Crosstalk, Stem
from stemclean.refining.explaining import Curves, Explanation
from stemclean.units import midi_to_hz

__all__ = ["draw"]

LOWEST_NOTE, HIGHEST_NOTE = 24.0, 119.0
"""MIDI notes of the spectrogram: 33 Hz to 7.9 kHz."""
LOWEST_DB = -40.0
"""Lowest level of the third panel."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of the classes, in their order; they can be told apart by people who see few colours (Okabe and Ito 2008)."""


def draw(path: Path, explanation: Explanation, stem: Stem, sound: Path, over_time: Curves) -> None:
    """Draw three panels over the same time: spectrogram, scores of the classes, and their levels.

    The strongest windows are shaded. Levels that were measured between stems are thick lines, those that the
    classifier estimates thin ones.

    Args:
        path: the image file to write, see :func:`stemclean.plots.check`.
        explanation: of the verdict.
        stem: the stem.
        sound: its file.
        over_time: its scores and levels.

    Raises:
        AudioError: the audio cannot be read.
    """
    levels, seconds = semitone_levels(sound, stem.stream, LOWEST_NOTE, HIGHEST_NOTE)
    with plots.plot(path, 12, 8) as figure:
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[2, 1, 1])
        extent = (0, seconds, LOWEST_NOTE, HIGHEST_NOTE)
        top.imshow(levels, origin="lower", aspect="auto", extent=extent, cmap="gray_r", vmin=0, vmax=1)
        octaves = np.arange(LOWEST_NOTE, HIGHEST_NOTE, 12)
        top.set_yticks(octaves, [f"{float(midi_to_hz(note)):.0f}" for note in octaves])
        top.set(ylabel="frequency, Hz", xlim=(0, seconds))
        _draw_scores(middle, explanation, over_time)
        _draw_levels(bottom, explanation, over_time)
        for axes in (top, middle, bottom):
            for window in explanation.windows:
                colour = _colour(over_time.labels, window.label)
                axes.axvspan(window.start, window.end, color=colour, alpha=0.12, linewidth=0)
        figure.suptitle(f"{explanation.path}: {explanation.rule}", fontsize="medium", parse_math=False)


def _draw_scores(axes: Any, explanation: Explanation, over_time: Curves) -> None:
    for column, label in enumerate(over_time.labels):
        colour = _colour(over_time.labels, label)
        axes.step(*_steps(over_time, over_time.scores[:, column]), where="post", color=colour, label=label)
        if label in explanation.found or label in explanation.claimed:
            axes.axhline(explanation.limits[label], color=colour, linestyle=":", linewidth=1)
    axes.set(ylim=(-0.03, 1.03), ylabel="score")
    _legend(axes)


def _draw_levels(axes: Any, explanation: Explanation, over_time: Curves) -> None:
    for column, label in enumerate(over_time.labels):
        if label in explanation.found:
            level = np.maximum(over_time.levels_db[:, column], LOWEST_DB)
            colour = _colour(over_time.labels, label)
            axes.step(*_steps(over_time, level), where="post", color=colour, linewidth=1, label=f"{label}, estimated")
    for bleed in explanation.bleed:
        times, level = _bleed_curve(bleed)
        colour = _colour(over_time.labels, bleed.label)
        axes.plot(times, level, color=colour, linewidth=3, label=f"{bleed.stem.split('/')[-1]}, measured")
    axes.set(ylim=(LOWEST_DB - 1, 1), ylabel="level in the stem, dB", xlabel="seconds")
    _legend(axes)


def _legend(axes: Any) -> None:
    """Put the legend beside the curves, if there are any."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small", frameon=False)


def _steps(over_time: Curves, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the starts of the steps, and their values; the last value is held to its end."""
    return np.arange(len(values) + 1, dtype=np.float64) * over_time.hop, np.append(values, values[-1:])


def _bleed_curve(bleed: Crosstalk) -> tuple[list[float], list[float]]:
    """Return times and levels of a bleed, interrupted by NaN where its source pauses."""
    times = [time for span in bleed.spans for time in (span.start, span.end, span.end)]
    values = [value for span in bleed.spans for value in (span.level_db, span.level_db, float("nan"))]
    return times, [max(value, LOWEST_DB) for value in values]


def _colour(labels: Sequence[str], label: str | None) -> str:
    return COLOURS[labels.index(label) % len(COLOURS)] if label in labels else "#666666"
