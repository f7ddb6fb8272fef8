"""Write a refined dataset in the format that another codebase trains on: the ``export`` verb.

The formats are the layouts that can be written, one file each in :mod:`stemclean.layouts`. This module does not depend
on any of them. What they share (the selection of stems, the target classes, the conversion of audio) is in
:mod:`stemclean.exporting`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stemclean import __version__, layouts, manifest
from stemclean import decisions as decided
from stemclean.data.destination import check_free_or_own, refuse_in_source
from stemclean.disk import file_sha256, replacing
from stemclean.errors import ConfigError
from stemclean.exporting.converting import AudioFormat, Converter, Link
from stemclean.exporting.selection import Selection
from stemclean.exporting.targets import Classes, Targets
from stemclean.layouts import base
from stemclean.manifest import Created, Skip
from stemclean.outputs import only_writer
from stemclean.settings import Settings

__all__ = ["RECORD", "ClassHours", "ExportReport", "export"]

RECORD = "export.json"
"""File in the destination that records the source and the format; a later run recognises its own output by it."""


@dataclass(frozen=True)
class ClassHours:
    """Hours of one target class that were exported and left out.

    Args:
        kept: audio that the other codebase will find under this class.
        lost: audio that has a class of the target as a label, or, without labels, as a claim, and was left out.
        why: reason -> hours of ``lost``.
        won: claim -> hours of ``kept`` whose claims mean another target or none.
    """

    kept: float
    lost: float
    why: dict[str, float]
    won: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportReport:
    """Report of an export.

    Args:
        layout: name of the format.
        classes: target class -> hours, in order. Audio with several labels counts under each target that holds one.
        stems: number of stems in the source.
        decisions: with a file of decisions: how many fit, and those that do not, see
            :func:`stemclean.decisions.applied`; None without one.
        unjudged: number of stems without a verdict; their labels are their claims.
        outside: hours of audio of classes that no target holds.
        output: what the other codebase is given: a list, or the folder.
        files: files in the destination: lists first, then audio, without the record of the export.
        num_audio: how many of them are audio.
        turned_down: song -> gain in dB, below 0, applied to all its stems because one would have been clipped.
        skipped: files that cannot be read, files that were skipped earlier (with ``by``), and mixtures.
        extra: additions of the layout, such as settings for the other codebase.
        next_steps: lines that say how to use the result in the other codebase.
    """

    layout: str
    classes: dict[str, ClassHours]
    stems: int = 0
    decisions: dict[str, Any] | None = None
    unjudged: int = 0
    outside: float = 0.0
    output: Path | None = None
    files: list[Path] = field(default_factory=list)
    num_audio: int = 0
    turned_down: dict[str, float] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    next_steps: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict for JSON."""
        return {
            "layout": self.layout,
            "classes": {label: dataclasses.asdict(hours) for label, hours in self.classes.items()},
            "stems": self.stems,
            "unjudged": self.unjudged,
            **({} if self.decisions is None else {"decisions": self.decisions}),
            "outside": self.outside,
            "output": None if self.output is None else self.output.as_posix(),
            "files": [path.as_posix() for path in self.files],
            "num_audio": self.num_audio,
            "turned_down": self.turned_down,
            "skipped": [skip.model_dump() for skip in self.skipped],
            "extra": self.extra,
        }


def export(
    refined: str | Path,
    to: str | base.Writer,
    destination: str | Path,
    *,
    sample_rate: int | None = None,
    classes: Classes | None = None,
    min_quality: float | None = None,
    cut: bool = False,
    decisions: str | Path | None = None,
    audio_format: AudioFormat | None = None,
    link: Link | None = None,
    layout: str | None = None,
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
        sample_rate: sample rate of all exported audio, in Hz; None: that of the layout.
        classes: target classes: names of classes (``accompaniment`` is all that are not named), or target -> classes
            that it holds, see :mod:`stemclean.exporting.targets`; None: the classes of the manifest.
        min_quality: label quality below which a training stem is left out, in [0, 1]; None: any will do.
        cut: export only the parts of training stems that fit their class, with short fades, so that a half-clean stem
            is half kept; see :mod:`stemclean.exporting.cutting`.
        decisions: a file of people's decisions, see :mod:`stemclean.decisions`, which overrule the labels and verdicts
            of the manifest.
        audio_format: format of the audio that is written, ``"flac"`` or ``"wav"``; None: that of the layout.
        link: ``"symlink"``, ``"hardlink"`` or ``"copy"``: put files that need no conversion into the destination, too,
            so that it is complete; None: use them where they are.
        layout: layout of a folder or a list, such as ``class_folders``; None: detect it.
        quiet: show no progress bars.
        options: settings of the named layout, such as ``allow_empty=True``.

    Returns:
        The report.

    Raises:
        ConfigError: an unknown layout or option, a destination with other files, or a result that the other codebase
            could not use, such as a class without audio.
    """
    target = base.writer(to, options) if isinstance(to, str) else to
    chosen = target.to_dict(given=True) if isinstance(target, Settings) else {}
    chosen |= {name: getattr(target, name) for name in target.shape}
    sample_rate = target.sample_rate if sample_rate is None else sample_rate
    if min_quality is not None and not 0 <= min_quality <= 1:
        raise ConfigError(f"the minimum quality is {min_quality:g}; it must be from 0 to 1")
    if link and not target.in_place:
        raise ConfigError(f"--link: {target.name} writes all audio anew", "leave it out")
    if audio_format and audio_format not in target.audio_formats:
        raise ConfigError(f"--format: {target.name} is written as {target.audio_formats[0]} alone", "leave it out")
    filed = None if decisions is None else decided.read(decisions)
    asked = {
        "classes": classes,
        "min_quality": min_quality,
        "cut": cut or None,
        "decisions": None if decisions is None else file_sha256(decisions),
        "audio_format": audio_format,
        "link": link,
    }
    shared = {name: value for name, value in asked.items() if value is not None}
    refined, destination = Path(refined), Path(destination)
    created = Created(
        by=f"stemclean {__version__}",
        command="export",
        config={"to": target.name, "sample_rate": sample_rate, **shared, **chosen},
        inputs=[manifest.input_of(refined, destination / RECORD)],
    )
    if refined.is_dir():  # check before the scan, which takes long
        _check_destination(destination, refined, created, refined, target.shape)
    elif not layouts.is_list(refined):
        _check_destination(
            destination, layouts.load(refined, layout=layout, quiet=quiet)[1], created, refined, target.shape
        )
    with only_writer(destination, folder=True):
        data, folder = layouts.load(refined, layout=layout, quiet=quiet)
        _check_destination(destination, None if layouts.is_list(refined) else folder, created, refined, target.shape)
        created = created.of(manifest.input_of(refined, destination / RECORD, data))
        fitting = None
        if filed is not None:
            data, fitting = decided.applied(data, filed)
        selection = Selection(
            data,
            Targets.of(classes, data.labels),
            held_out=target.held_out,
            min_quality=min_quality,
            cut=cut,
        )
        converter = Converter(
            folder,
            destination,
            sample_rate,
            audio_format=audio_format or target.audio_formats[0],
            link=link,
            segments=target.segments,
            quiet=quiet,
        )
        with _recorded(destination, created):
            written = target.write(selection, converter)
    return ExportReport(
        layout=target.name,
        classes=_hours_of_classes(selection),
        stems=len(data.stems),
        decisions=fitting,
        unjudged=sum(stem.verdict is None for stem in data.stems),
        outside=_hours(selection.outside_seconds),
        output=written.lists[0] if written.lists else destination,
        files=[*written.lists, *written.beside, *converter.files],
        num_audio=len(converter.files),
        turned_down=converter.turned_down,
        skipped=[*data.skipped, *selection.skipped],
        extra=written.extra,
        next_steps=written.next_steps,
    )


def _hours_of_classes(selection: Selection) -> dict[str, ClassHours]:
    kept, won = selection.kept_seconds, selection.won_seconds
    return {
        target: ClassHours(
            _hours(kept[target]),
            _hours(sum(lost.values())),
            {reason: _hours(seconds) for reason, seconds in sorted(lost.items())},
            {claim: _hours(seconds) for claim, seconds in sorted(won[target].items())},
        )
        for target, lost in selection.lost_seconds.items()
    }


def _check_destination(
    destination: Path, source: Path | None, created: Created, named_by: Path, shape: Sequence[str]
) -> None:
    if source is not None:
        refuse_in_source(destination, source, named_by)
    check_free_or_own(destination, _earlier(destination), created, same=("to", *shape))


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


def _hours(seconds: float) -> float:
    return round(seconds / 3600, 6)
