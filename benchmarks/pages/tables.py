"""Tables and numbers of the benchmark pages: one way to write each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]
Read = Callable[[str], Record]
"""Name of a result -> what it holds, empty where there is none."""

NONE = "–"
"""Stands for what was not measured or does not exist."""
KIND_NAMES = {"all": "all", "real": "real songs", "sung": "rendered songs with unseen singers"}
SPREAD = "median (minimum to maximum)"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; ``None`` is a dash.

    >>> print(table(["songs", "F1"], [["all", 0.9], ["real", None]]))
    | songs | F1 |
    | --- | --- |
    | all | 0.9 |
    | real | – |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(NONE if cell is None else str(cell) for cell in line)} |" for line in lines)


def unmeasured(command: str) -> str:
    """Return the text that stands for a missing result."""
    return f"Not measured yet: `python -m benchmarks.{command}`."


def number(value: float | None, decimals: int = 1, *, sign: bool = False) -> str:
    """``7.9``, or ``+7.9`` with its sign.

    >>> number(7.94), number(7.94, sign=True), number(None)
    ('7.9', '+7.9', '–')
    """
    return NONE if value is None else f"{value:{'+' if sign else ''}.{decimals}f}"


def percent(value: float | None, decimals: int = 0) -> str:
    """``93 %`` of a share.

    >>> percent(0.934), percent(0.028, 1), percent(None)
    ('93 %', '2.8 %', '–')
    """
    return NONE if value is None else f"{value:.{decimals}%}".replace("%", " %")


def share(value: float | None) -> str:
    """``93 %``; with a decimal where it would be rounded to 100 %.

    >>> share(0.93), share(0.996), share(1.0)
    ('93 %', '99.6 %', '100 %')
    """
    return percent(value, 1 if value is not None and 0.99 <= value < 1 else 0)


def of(part: int, whole: int) -> str:
    """``3 of 4 (75 %)``; a dash where there are none.

    >>> of(3, 4), of(0, 0)
    ('3 of 4 (75 %)', '–')
    """
    return f"{part} of {whole} ({percent(part / whole)})" if whole else NONE


def counted(pooled: Record, group: str, metric: str) -> str:
    """Format a share of the stems of a group, with the counts."""
    num, value = pooled.get(f"{group}/num", 0), pooled.get(f"{group}/{metric}")
    return NONE if value is None else of(round(value * num), num)


def thousands(value: float) -> str:
    """``12 000``."""
    return f"{value:,.0f}".replace(",", " ")


def plural(count: int, word: str) -> str:
    """``1 time``, ``2 times``."""
    return f"{count} {word}" + ("" if count == 1 else "s")


def deviation(mean: float | None, sd: float | None, decimals: int = 2, *, sign: bool = False) -> str:
    """``0.93 ± 0.02``; without the deviation where there is none.

    >>> deviation(0.93, 0.02), deviation(0.93, None), deviation(None, None)
    ('0.93 ± 0.02', '0.93', '–')
    """
    if mean is None:
        return NONE
    return number(mean, decimals, sign=sign) + ("" if sd is None else f" ± {number(sd, decimals)}")


def mean_sd(report: Record, key: str) -> str:
    """Format mean and standard deviation of a report that holds both."""
    return deviation(report["mean"].get(key), report["sd"].get(key))


def over_seeds(values: Sequence[float], decimals: int = 3) -> str:
    """Format mean and standard deviation of values per seed; a single value has no deviation.

    >>> over_seeds([0.5, 0.7]), over_seeds([0.5]), over_seeds([])
    ('0.600 ± 0.141', '0.500', '–')
    """
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return deviation(float(np.mean(values)) if len(values) else None, sd, decimals)


def spread(values: Record) -> str:
    """``3.9 (3.6 to 4.2)``: median, minimum and maximum."""
    return f"{values['median']:.3g} ({values['min']:.3g} to {values['max']:.3g})"


def verdict(reached: bool) -> str:
    """Say whether a goal is reached."""
    return "reached" if reached else "**not reached**"


def name_of(weights: Record) -> str:
    """Weights by URI and hash."""
    return f"`{weights['uri']}` (SHA-256 `{weights['sha256'][:12]}…`)"


def machine(result: Record) -> str:
    """Describe the machine and the software of a section."""
    where = result["machine"]
    parts = [f"{where['cores']} cores ({where['architecture']}, {where['system']})"]
    parts += [f"{name} {where[key]}" for key, name in VERSIONS.items() if key in where]
    load = f"load average before: {where['load_before'][0]:g}"
    weights = f"; weights {name_of(result['weights'])}" if "weights" in result else ""
    return f"*{', '.join(parts)}; {load}{weights}.*"


VERSIONS = {"python": "Python", "torch": "torch", "museval": "museval"}
