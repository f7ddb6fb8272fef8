"""The verb ``export``: a refined manifest in the shape that another codebase trains on.

The shapes are the layouts that can be written, one file each in :mod:`stemclean.layouts`; this module knows none of
them by name.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemclean import layouts
from stemclean.errors import ConfigError
from stemclean.layouts import base
from stemclean.manifest import Skip

__all__ = ["ClassHours", "ExportReport", "export"]


@dataclass(frozen=True)
class ClassHours:
    """What became of one class, in hours.

    Args:
        kept: audio that the other codebase will find under this class.
        lost: audio that is believed to hold the class (or claims it, where nothing is believed) and was left out.
        why: reason -> hours of ``lost``.
    """

    kept: float
    lost: float
    why: dict[str, float]


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote and what it left out.

    Args:
        layout: name of the shape.
        classes: class -> hours, in the order of the manifest. Audio with several labels counts under each.
        files: what was written: lists first, then audio.
        skipped: stems whose audio could not be read.
        extra: what the layout adds, such as the other codebase's settings.
    """

    layout: str
    classes: dict[str, ClassHours]
    files: list[Path] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The report, ready for JSON."""
        return {
            "layout": self.layout,
            "classes": {label: dataclasses.asdict(hours) for label, hours in self.classes.items()},
            "files": [path.as_posix() for path in self.files],
            "skipped": [skip.model_dump() for skip in self.skipped],
            "extra": self.extra,
        }


def export(
    refined: str | Path,
    to: str,
    destination: str | Path,
    *,
    sample_rate: int = 44100,
    quiet: bool = False,
    **options: Any,
) -> ExportReport:
    """Write a dataset for another codebase; the source is only read.

    Args:
        refined: a manifest, usually what ``refine`` gave. A folder is taken at its word: its claims are the labels.
        to: name of a layout that can be written, such as ``"zfturbo"``.
        destination: a folder outside of the source.
        sample_rate: the one rate that all audio has afterwards, in Hz.
        quiet: no progress bars.
        options: fields of the layout, such as ``allow_empty=True``.

    Raises:
        ConfigError: no such layout or option, or the other codebase could not work with the result: a class
            without audio is refused by name.
    """
    layout = _configured(base.writer(to), options)
    data, folder = layouts.load(refined, quiet=quiet)
    done = layout.write(data, folder, Path(destination), sample_rate=sample_rate, quiet=quiet)
    classes = {}
    for label in data.labels:
        why = {reason: _hours(seconds) for reason, seconds in sorted(done.lost_seconds.get(label, {}).items())}
        lost = _hours(sum(done.lost_seconds.get(label, {}).values()))
        classes[label] = ClassHours(_hours(done.kept_seconds.get(label, 0.0)), lost, why)
    return ExportReport(to, classes, done.files, done.skipped, done.extra)


def _configured(layout: base.Writer, options: dict[str, Any]) -> base.Writer:
    """A copy of a layout with other options: the fields of its dataclass."""
    known = [name for name, item in getattr(layout, "__dataclass_fields__", {}).items() if item.init]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f'layout "{layout.name}" has no option "{unknown[0]}"', f"known: {', '.join(known) or 'none'}"
        )
    configured = copy.copy(layout)
    for name, value in options.items():
        setattr(configured, name, value)
    return configured


def _hours(seconds: float) -> float:
    return round(seconds / 3600, 6)
