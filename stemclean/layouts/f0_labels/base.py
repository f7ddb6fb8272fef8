"""What a format of f0 labels is, and what all of them check: lines of numbers, regular times, plausible units."""

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
    "unvoiced_or_number",
]

Numbers = NDArray[np.float64]

LOWEST_HZ, HIGHEST_HZ = 76.0, 8000.0
"""No voice sings half of the time below D#2 (77.8 Hz), and MIDI notes of a voice lie half of the time below 76 (E5)."""

HIGHEST_MIDDLE_HZ = 2000.0
"""No voice sings half of the time above B6 (1976 Hz); cents above 10 Hz reach 2000 at 32 Hz."""

LOWEST_MIDI, HIGHEST_MIDI = 24.0, 127.0
"""C1 (32.7 Hz) is below every voice; 127 is the last MIDI note. Frequencies in Hz reach beyond."""

MAX_FRAMES = 50_000_000

_GRID_TOLERANCE = 0.25
"""Of the hop; times that a program rounded to milliseconds still lie on a grid of 2.9 ms."""

LONGEST_HOP = 1.0
"""Seconds; no f0 is followed in longer steps, and milliseconds read as seconds are."""

MILLISECONDS_FROM = 20.0
"""Times the sound's length: a label that ends as late has its times in another unit."""

_SINGLE_HOP = 0.01
"""Seconds; the hop of a track of one frame, which no file tells."""


@dataclass(frozen=True)
class Beside:
    """What is known of the sound that a label speaks of.

    Args:
        duration: seconds; None: not known.
        song: what the song is called, where a file speaks of many.
    """

    duration: float | None = None
    song: str | None = None


@runtime_checkable
class Format(Protocol):
    """A shape of files of f0."""

    name: str
    ending: str
    priority: int
    """Whose ``can_read`` is asked first; lowest first."""

    def can_read(self, text: str, beside: Beside) -> bool:
        """Whether a file looks like this; looks at its first lines."""
        ...

    def read(self, text: str, beside: Beside) -> F0Track:
        """The track. Raises LabelError where a line is broken or the numbers are in another unit."""
        ...

    def write(self, track: F0Track, song: str) -> str:
        """The file's text."""
        ...


def broken(detail: str, hint: str = "", reason: SkipReason = SkipReason.F0_UNREADABLE) -> LabelError:
    """An error without the file's name, which :func:`stemclean.layouts.f0_labels.read` adds."""
    return LabelError("", reason, detail, hint)


def fields(text: str) -> list[str]:
    """The fields of the first line that says something, cut at a comma or at white space."""
    line = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    return [part.strip() for part in (line.split(",") if "," in line else line.split())]


def number(text: str) -> float:
    """A number; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def unvoiced_or_number(text: str) -> bool:
    """Whether a field is a number, or says that nothing is sung: ``nan``."""
    return math.isfinite(number(text)) or text.strip().lower() in ("nan", "")


def columns(text: str, num: int, separator: str | None, *, f0: int | None = None) -> Numbers:
    """Numbers of a table; lines without any and those that begin with ``#`` are passed over.

    Args:
        text: the table.
        num: how many columns to take; there may be more.
        separator: between them; None: white space.
        f0: the column of frequencies or notes, in which ``nan`` or nothing is 0: unvoiced, as librosa has it.

    Returns:
        Shape: (line, column), finite.

    Raises:
        LabelError: no line, or one that is broken.
    """
    rows = []
    for at, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split(separator)[:num]
        if f0 is not None and f0 < len(cells) and cells[f0].strip().lower() in ("nan", ""):
            cells[f0] = "0"
        row = [number(cell) for cell in cells]
        if len(row) < num or not all(map(math.isfinite, row)):
            what = "a number" if num == 1 else f"{num} numbers"
            raise broken(f'line {at}: "{line.strip()[:60]}" is not {what}', "write one frame a line")
        rows.append(row)
    if not rows:
        raise broken("the file holds no frame")
    return np.array(rows, np.float64)


CONFIDENT = "time,frequency,confidence"
"""The header of a table of seconds, Hz and confidences, as CREPE writes it."""

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
    r"""A table with commas or white space between its columns, points in its numbers, and a ``#`` for its header.

    Semicolons become commas; where they or white space stand between the columns, decimal commas become points.

    Raises:
        LabelError: a header that says that the numbers are in another unit than seconds and Hz.

    >>> plain_table("time;f0\n0,01;220,5\n"), plain_table("0,01 220,5\n")
    ('#\n0.01,220.5\n', '0.01 220.5\n')
    """
    if text.lstrip()[:1] in ("{", "["):
        return text
    said = [at for at, line in enumerate(text.splitlines()) if line.strip() and not line.startswith("#")]
    if not said:
        return text
    first = text.splitlines()[said[0]]
    cells = re.split(r"[,;\t]", first) if re.search(r"[,;\t]", first) else first.split()
    if ";" in first:
        text = _DECIMAL_COMMA.sub(".", text).replace(";", ",")
    elif any(re.match(r"\s*\d+,\d+\s+-?\d+(,\d+)?", text.splitlines()[at]) for at in said[:2]):
        text = _DECIMAL_COMMA.sub(".", text)
    names = [re.sub(r"[\W_]+", "_", cell.lower()).strip("_") for cell in cells]
    for name in names:
        if name in _OTHER_UNITS:
            hint = "write seconds and Hz, with a comma between, 0 Hz where nothing is sung"
            raise broken(f'the column "{name}" is in {_OTHER_UNITS[name]}', hint, SkipReason.F0_WRONG_UNIT)
    if len(names) in (2, 3) and names[0] in _SECONDS and names[1] in _HZ and set(names[2:]) <= _CONFIDENCE:
        rows = text.splitlines()
        rows[said[0]] = "#" if len(names) == 2 else CONFIDENT
        return lines(rows)  # which keeps the numbers of the lines
    return text


def check_seconds(times: Numbers, beside: Beside) -> None:
    """Refuse times that are no seconds: frames a second and more apart, or times far beyond the sound's end.

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


def grid(times: Numbers) -> tuple[float, float, NDArray[np.int64]]:
    """The regular grid that times lie on; frames that were left out, as where nothing is sung, leave gaps in it.

    Returns:
        Seconds of the first frame, seconds from frame to frame, and the frame of each time.

    Raises:
        LabelError: times that do not rise, or lie on no grid.
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
    """The number of fewest decimals that explains the times as well: 0.01, not 0.009999999999."""
    worst = max(1e-9, float(np.abs(times - (times[0] + hop * frames)).max()))
    for decimals in range(3, 10):
        rounded = round(hop, decimals)
        if rounded > 0 and np.abs(times - (times[0] + rounded * frames)).max() <= worst:
            return rounded
    return hop


def check_midi(values: Numbers) -> None:
    """Refuse numbers that are no MIDI notes of a voice; 0 is unvoiced.

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
        which = sung.min() if sung.min() < 0 else sung.max()
        detail = f"read as MIDI notes, {which:g} is none that a voice sings"
        raise broken(detail, "MIDI notes of voices lie between 24 and 108; 0 is unvoiced", SkipReason.F0_WRONG_UNIT)


def check_hz(f0_hz: Numbers) -> None:
    """Refuse numbers that are no frequencies of a voice; 0 is unvoiced.

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
    """Values on every frame of the grid; 0 in the gaps. Shape: (line,) -> (frame,)."""
    whole = np.zeros(int(frames[-1]) + 1)
    whole[frames] = values
    return whole


def lines(rows: Sequence[str]) -> str:
    """Lines of a file."""
    return "".join(f"{row}\n" for row in rows)


def short(value: float, decimals: int) -> str:
    """A number with at most so many decimals and no zeros behind.

    >>> short(440.0, 4), short(0.1 + 0.2, 9)
    ('440', '0.3')
    """
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
