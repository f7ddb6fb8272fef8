"""The interface of f0 formats, and checks that they share: lines of numbers, regular times, plausible units."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stemclean.audio.f0 import F0Track
from stemclean.errors import LabelError, SkipReason

__all__ = [
    "Beside",
    "Format",
    "broken",
    "check_hz",
    "check_midi",
    "check_seconds",
    "columns",
    "fields",
    "grid",
    "lines",
    "number",
    "plain_table",
    "short",
    "spread",
    "timed",
    "unvoiced_or_number",
]

Numbers = NDArray[np.float64]

LOWEST_HZ, HIGHEST_HZ = 76.0, 8000.0
"""Minimum median and maximum f0 of a voice in Hz. No voice has a median below D#2 (77.8 Hz), but the median of its MIDI
notes is below 76 (E5)."""

HIGHEST_MIDDLE_HZ = 2000.0
"""Maximum median f0 of a voice, about B6 (1976 Hz); cents above 10 Hz exceed 2000 from 32 Hz on."""

LOWEST_MIDI, HIGHEST_MIDI = 24.0, 127.0
"""Range of MIDI notes: C1 (32.7 Hz) is below all voices, 127 is the last note. Frequencies in Hz exceed it."""

MAX_FRAMES = 50_000_000

_GRID_TOLERANCE = 0.25
"""Tolerance of a grid relative to the hop, so that times rounded to milliseconds fit a hop of 2.9 ms."""

LONGEST_HOP = 1.0
"""Maximum hop in seconds; a longer one means that milliseconds were read as seconds."""

MILLISECONDS_FROM = 20.0
"""If a file ends later than the audio by this factor, its times have another unit."""

_SINGLE_HOP = 0.01
"""Hop in seconds of a track with a single frame, for which the file gives none."""


@dataclass(frozen=True)
class Beside:
    """Properties of the audio that an f0 file belongs to.

    Args:
        duration: duration in seconds; None: unknown.
        song: name of the song, for files with several songs.
    """

    duration: float | None = None
    song: str | None = None


@runtime_checkable
class Format(Protocol):
    """A format of f0 files."""

    name: str
    ending: str
    priority: int
    """Formats are tried in the order of their priority, lowest first."""

    def can_read(self, text: str, beside: Beside) -> bool:
        """Return whether a text has this format."""
        ...

    def read(self, text: str, beside: Beside) -> F0Track:
        """Read the track. Raises LabelError if a line is broken or the numbers have another unit."""
        ...

    def write(self, track: F0Track, song: str) -> str:
        """Return the text of a file."""
        ...


def broken(detail: str, hint: str = "", reason: SkipReason = SkipReason.F0_UNREADABLE) -> LabelError:
    """Return an error without the name of the file, which :func:`stemclean.layouts.f0_labels.read` adds."""
    return LabelError("", reason, detail, hint)


def fields(text: str) -> list[str]:
    """Return the fields of the first line that is neither empty nor a comment, separated by commas or white space."""
    line = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    return [part.strip() for part in (line.split(",") if "," in line else line.split())]


def number(text: str) -> float:
    """Parse a number; NaN if it is not valid."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def unvoiced_or_number(text: str) -> bool:
    """Return whether a field is a number, ``nan`` (unvoiced) or empty."""
    return math.isfinite(number(text)) or text.strip().lower() in ("nan", "")


def columns(text: str, num: int, separator: str | None, *, f0: int | None = None) -> Numbers:
    """Parse a table of numbers; empty lines and lines that begin with ``#`` are ignored.

    Args:
        text: the table.
        num: number of columns to read; there may be more.
        separator: separator of columns; None: white space.
        f0: index of the column of frequencies or notes, in which ``nan`` or nothing means 0 (unvoiced), as in librosa.

    Returns:
        Finite numbers. Shape: (line, column)

    Raises:
        LabelError: there are no lines, or a line is broken.
    """
    rows = []
    for line_number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split(separator)[:num]
        if f0 is not None and f0 < len(cells) and cells[f0].strip().lower() in ("nan", ""):
            cells[f0] = "0"
        row = [number(cell) for cell in cells]
        if len(row) < num or not all(map(math.isfinite, row)):
            expected = "a number" if num == 1 else f"{num} numbers"
            raise broken(f'line {line_number}: "{line.strip()[:60]}" is not {expected}', "write one frame a line")
        rows.append(row)
    if not rows:
        raise broken("the file holds no frame")
    return np.array(rows, np.float64)


CONFIDENT = "time,frequency,confidence"
"""Header of a table of seconds, Hz and confidences, as in CREPE."""

_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_SECONDS = frozenset(
    {"time", "times", "t", "s", "sec", "seconds", "time_s", "time_sec", "times_s", "timestamp", "onset"}
    | {"zeit", "zeit_s", "sekunden", "temps", "temps_s", "tiempo", "tiempo_s", "tempo", "tempo_s"}
)
_HZ = frozenset(
    {"f0", "f0_hz", "hz", "frequency", "freq", "frequency_hz", "freq_hz", "pitch", "pitch_hz"}
    | {"frequenz", "frequenz_hz", "grundfrequenz", "grundfrequenz_hz", "tonhöhe", "tonhöhe_hz"}
    | {"fréquence", "fréquence_hz"}
    | {"frecuencia", "frecuencia_hz", "frequenza", "frequenza_hz", "frequência", "frequência_hz"}
)
_CONFIDENCE = frozenset({"confidence", "conf", "probability", "konfidenz", "confiance", "confianza"})
_OTHER_UNITS = {
    "time_ms": "milliseconds", "ms": "milliseconds", "t_ms": "milliseconds", "milliseconds": "milliseconds",
    "frame": "frames", "sample": "samples", "midi": "MIDI notes", "note": "MIDI notes", "pitch_midi": "MIDI notes",
    "zeit_ms": "milliseconds", "millisekunden": "milliseconds", "midi_note": "MIDI notes",
    "f0_midi": "MIDI notes", "cents": "cents", "cent": "cents", "semitones": "semitones",
}  # fmt: skip


def plain_table(text: str) -> str:
    r"""Normalise a table to columns separated by commas or white space, decimal points, and a ``#`` as header.

    Semicolons become commas; if columns are separated by semicolons or white space, decimal commas become points.

    Raises:
        LabelError: according to the header, the numbers have other units than seconds and Hz.

    >>> plain_table("time;f0\n0,01;220,5\n"), plain_table("0,01 220,5\n")
    ('#\n0.01,220.5\n', '0.01 220.5\n')
    """
    if text.lstrip()[:1] in ("{", "["):
        return text
    line_indices = [index for index, line in enumerate(text.splitlines()) if line.strip() and not line.startswith("#")]
    if not line_indices:
        return text
    first = text.splitlines()[line_indices[0]]
    cells = re.split(r"[,;\t]", first) if re.search(r"[,;\t]", first) else first.split()
    if ";" in first:
        text = _DECIMAL_COMMA.sub(".", text).replace(";", ",")
    elif any(re.match(r"\s*\d+,\d+\s+-?\d+(,\d+)?", text.splitlines()[index]) for index in line_indices[:2]):
        text = _DECIMAL_COMMA.sub(".", text)
    names = [re.sub(r"[\W_]+", "_", cell.lower()).strip("_") for cell in cells]
    for name in names:
        if name in _OTHER_UNITS:
            hint = "write seconds and Hz, with a comma between, 0 Hz where nothing is sung"
            raise broken(f'the column "{name}" is in {_OTHER_UNITS[name]}', hint, SkipReason.F0_WRONG_UNIT)
    if len(names) in (2, 3) and names[0] in _SECONDS and names[1] in _HZ and set(names[2:]) <= _CONFIDENCE:
        rows = text.splitlines()
        rows[line_indices[0]] = "#" if len(names) == 2 else CONFIDENT
        return lines(rows)  # keeps the line numbers
    return text


def check_seconds(times: Numbers, beside: Beside) -> None:
    """Check that times are seconds: frames are less than a second apart, and not far beyond the end of the audio.

    Raises:
        LabelError: ``f0_wrong_unit``.
    """
    if len(times) < 2:
        return
    step, end = float(np.sort(np.diff(times))[(len(times) - 2) // 2]), float(times[-1])
    far = beside.duration is not None and end > MILLISECONDS_FROM * max(beside.duration, step)
    if step >= LONGEST_HOP or far:
        detail = f"read as seconds, the frames lie {step:g} s apart and end at {end:g} s: these look like milliseconds"
        raise broken(detail, "divide the times by 1000", SkipReason.F0_WRONG_UNIT)


def timed(
    text: str, num: int, separator: str | None, beside: Beside
) -> tuple[Numbers, tuple[float, float, NDArray[np.int64]]]:
    """Parse a table with times in seconds in its first column and frequencies in its second.

    Args:
        text: the table.
        num: number of columns to read.
        separator: separator of columns; None: white space.
        beside: the audio that the file belongs to.

    Returns:
        The table, and its regular grid as from :func:`grid`.

    Raises:
        LabelError: a line is broken, or the times are not in seconds or on no grid.
    """
    table = columns(text, num, separator, f0=1)
    check_seconds(table[:, 0], beside)
    return table, grid(table[:, 0])


def grid(times: Numbers) -> tuple[float, float, NDArray[np.int64]]:
    """Find the regular grid of times; frames may be missing, for example unvoiced ones.

    Returns:
        Time of the first frame in seconds, hop in seconds, and the frame index of each time.

    Raises:
        LabelError: the times do not increase, or do not fit a grid.
    """
    if times[0] < 0:
        raise broken(f"a frame at {times[0]:g} s, before the sound begins")
    if len(times) == 1:
        return float(times[0]), _SINGLE_HOP, np.zeros(1, np.int64)
    steps = np.diff(times)
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0))
        raise broken(f"times must rise: {times[at + 1]:g} s comes after {times[at]:g} s")
    typical = float(np.sort(steps)[(len(steps) - 1) // 2])
    frames = np.concatenate([[0], np.cumsum(np.maximum(1, np.round(steps / typical)))]).astype(np.int64)
    if frames[-1] >= MAX_FRAMES:
        raise broken(f"from {times[0]:g} s to {times[-1]:g} s there are too many frames")
    hop = float(np.polyfit(frames.astype(np.float64), times, 1)[0])
    hop = _shortest(hop, times, frames)
    start = float(times[0])
    off = np.abs(times - (start + hop * frames))
    if off.max() > _GRID_TOLERANCE * hop:
        at = int(np.argmax(off))
        raise broken(
            f"times are not regular: {times[at]:g} s does not fit a hop of {hop:g} s",
            "write a line for each frame, with 0 Hz where nothing is sung",
        )
    return start, hop, frames


def _shortest(hop: float, times: Numbers, frames: NDArray[np.int64]) -> float:
    """Round a hop to the fewest decimals that fit the times equally well: 0.01, not 0.009999999999."""
    worst = max(1e-9, float(np.abs(times - (times[0] + hop * frames)).max()))
    for decimals in range(3, 10):
        rounded = round(hop, decimals)
        if rounded > 0 and np.abs(times - (times[0] + rounded * frames)).max() <= worst:
            return rounded
    return hop


def check_midi(values: Numbers) -> None:
    """Check that numbers are MIDI notes of a voice; 0 is unvoiced.

    Raises:
        LabelError: ``f0_wrong_unit``.
    """
    sung = values[values != 0]
    if not len(sung):
        return
    if sung.max() > HIGHEST_MIDI:
        detail = (
            f"read as MIDI notes, which end at 127, the highest is {sung.max():g}: these look like frequencies in Hz"
        )
        hint = "write two columns, seconds and Hz, or turn the numbers into MIDI: 69 + 12 log2(Hz / 440)"
        raise broken(detail, hint, SkipReason.F0_WRONG_UNIT)
    if sung.min() < 0 or sung.max() < LOWEST_MIDI:
        extreme = sung.min() if sung.min() < 0 else sung.max()
        detail = f"read as MIDI notes, {extreme:g} is none that a voice sings"
        raise broken(detail, "MIDI notes of voices lie between 24 and 108; 0 is unvoiced", SkipReason.F0_WRONG_UNIT)


def check_hz(f0_hz: Numbers) -> None:
    """Check that numbers are frequencies of a voice in Hz; 0 is unvoiced.

    Raises:
        LabelError: ``f0_wrong_unit``.
    """
    sung = f0_hz[f0_hz > 0]
    if not len(sung):
        return
    middle = float(np.median(sung))
    if middle < LOWEST_HZ and sung.max() <= HIGHEST_MIDI:
        detail = f"read as Hz, half of it lies below {middle:g}, and no voice is as low: these look like MIDI notes"
        hint = "turn the numbers into Hz: 440 * 2 ** ((MIDI - 69) / 12)"
        raise broken(detail, hint, SkipReason.F0_WRONG_UNIT)
    if middle > HIGHEST_MIDDLE_HZ:
        detail = f"read as Hz, half of it lies above {middle:g}, and no voice is as high: these look like cents"
        raise broken(detail, "turn the numbers into Hz: reference * 2 ** (cents / 1200)", SkipReason.F0_WRONG_UNIT)
    if sung.max() > HIGHEST_HZ:
        detail = f"read as Hz, {sung.max():g} is none that a voice sings"
        raise broken(detail, "write fundamental frequencies in Hz, 0 where nothing is sung", SkipReason.F0_WRONG_UNIT)


def spread(values: Numbers, frames: NDArray[np.int64]) -> Numbers:
    """Spread values over all frames of the grid, with 0 in gaps. Shape: (line,) -> (frame,)."""
    on_grid = np.zeros(int(frames[-1]) + 1)
    on_grid[frames] = values
    return on_grid


def lines(rows: Sequence[str]) -> str:
    """Join rows to the text of a file."""
    return "".join(f"{row}\n" for row in rows)


def short(value: float, decimals: int) -> str:
    """Format a number with at most this many decimals and no trailing zeros.

    >>> short(440.0, 4), short(0.1 + 0.2, 9)
    ('440', '0.3')
    """
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
