"""Write a refined dataset in the format that another codebase trains on: the ``export`` verb.

The formats are the layouts that can be written, one file each in :mod:`stemclean.layouts`. This module does not depend
on any of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stemclean import __version__, layouts, manifest
from stemclean.data.destination import check_free_or_own, refuse_in_source
from stemclean.disk import replacing
from stemclean.errors import ConfigError
from stemclean.layouts import base
from stemclean.manifest import Created, Input, Skip
from stemclean.outputs import only_writer
from stemclean.settings import Settings

__all__ = ["RECORD", "ClassHours", "ExportReport", "export"]

RECORD = "export.json"
"""File in the destination that records the source and the format; a later run recognises its own output by it."""


@dataclass(frozen=True)
class ClassHours:
    """Hours of one class that were exported and left out.

    Args:
        kept: audio that the other codebase will find under this class.
        lost: audio that has the class as a label, or, without labels, as a claim, and was left out.
        why: reason -> hours of ``lost``.
    """

    kept: float
    lost: float
    why: dict[str, float]


@dataclass(frozen=True)
class ExportReport:
    """Report of an export.

    Args:
        layout: name of the format.
        classes: class -> hours, in the order of the manifest. Audio with several labels counts under each of them.
        stems: number of stems in the source.
        unjudged: number of stems without a verdict; their labels are their claims.
        files: written files: lists first, then audio, without the record of the export.
        turned_down: song -> gain in dB, below 0, applied to all its stems because one would have been clipped.
        skipped: files that cannot be read, files that were skipped earlier (with ``by``), and mixtures.
        extra: additions of the layout, such as settings for the other codebase.
    """

    layout: str
    classes: dict[str, ClassHours]
    stems: int = 0
    unjudged: int = 0
    files: list[Path] = field(default_factory=list)
    turned_down: dict[str, float] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict for JSON."""
        return {
            "layout": self.layout,
            "classes": {label: dataclasses.asdict(hours) for label, hours in self.classes.items()},
            "stems": self.stems,
            "unjudged": self.unjudged,
            "files": [path.as_posix() for path in self.files],
            "turned_down": self.turned_down,
            "skipped": [skip.model_dump() for skip in self.skipped],
            "extra": self.extra,
        }


def export(
    refined: str | Path,
    to: str | base.Writer,
    destination: str | Path,
    *,
    sample_rate: int = 44100,
    quiet: bool = False,
    **options: Any,
) -> ExportReport:
    """Write a dataset for another codebase; the source is never changed.

    Args:
        refined: a manifest, usually the output of ``refine``. For a folder, the claims are used as labels, and the
            report counts its stems as unjudged.
        to: name of a layout that can be written, such as ``"zfturbo"``, or a layout with its settings
            (:func:`stemclean.layouts.base.writer`).
        destination: a folder outside the source that is new, empty, or holds an earlier export of the same source in
            the same format, finished or not.
        sample_rate: sample rate of all exported audio, in Hz.
        quiet: show no progress bars.
        options: settings of the named layout, such as ``allow_empty=True``.

    Returns:
        The report.

    Raises:
        ConfigError: an unknown layout or option, a destination with other files, or a result that the other codebase
            could not use, such as a class without audio.
    """
    layout = base.writer(to, options) if isinstance(to, str) else to
    chosen = layout.to_dict(given=True) if isinstance(layout, Settings) else {}
    refined, destination = Path(refined), Path(destination)
    created = Created(
        by=f"stemclean {__version__}",
        command="export",
        config={"to": layout.name, "sample_rate": sample_rate, **chosen},
        inputs=[_input(refined, destination)],
    )
    if refined.is_dir():  # check before the scan, which takes long
        _check_destination(destination, refined, created, refined)
    elif not layouts.is_list(refined):
        _check_destination(destination, layouts.load(refined, quiet=quiet)[1], created, refined)
    with only_writer(destination, folder=True):
        data, folder = layouts.load(refined, quiet=quiet)
        _check_destination(destination, None if layouts.is_list(refined) else folder, created, refined)
        with _recorded(destination, created):
            done = layout.write(data, folder, destination, sample_rate=sample_rate, quiet=quiet)
    classes = {}
    for label in data.labels:
        why = {reason: _hours(seconds) for reason, seconds in sorted(done.lost_seconds.get(label, {}).items())}
        lost = _hours(sum(done.lost_seconds.get(label, {}).values()))
        classes[label] = ClassHours(_hours(done.kept_seconds.get(label, 0.0)), lost, why)
    unjudged = sum(stem.verdict is None for stem in data.stems)
    skipped = [*data.skipped, *done.skipped]
    return ExportReport(
        layout.name, classes, len(data.stems), unjudged, done.files, done.turned_down, skipped, done.extra
    )


def _check_destination(destination: Path, source: Path | None, created: Created, named_by: Path) -> None:
    if source is not None:
        refuse_in_source(destination, source, named_by)
    check_free_or_own(destination, _earlier(destination), created, same=("to",))


def _earlier(destination: Path) -> Created | None:
    """Return the origin of an earlier export into a folder; None if there is none."""
    path = destination / RECORD
    if not path.is_file():
        return None
    try:
        return Created.model_validate_json(path.read_bytes())
    except ValidationError:
        raise ConfigError(f"{path} is not a valid export record", "choose a new folder") from None


@contextmanager
def _recorded(destination: Path, created: Created) -> Iterator[None]:
    """Write the export record before the first file; remove it again if the export fails without any other file."""
    record = destination / RECORD
    with replacing(record) as temporary:
        temporary.write_text(created.model_dump_json(indent=1) + "\n", encoding="utf-8")
    try:
        yield
    except BaseException:
        if [path for path in destination.iterdir() if path.name[0] != "."] == [record]:
            record.unlink()
        raise


def _input(refined: Path, destination: Path) -> Input:
    sha256 = manifest.file_sha256(refined) if refined.is_file() else None
    return Input(path=manifest.relative_root(refined, destination / RECORD), sha256=sha256)


def _hours(seconds: float) -> float:
    return round(seconds / 3600, 6)
