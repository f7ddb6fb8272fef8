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
from stemclean.data.song_levels import song_of
from stemclean.disk import file_sha256, replacing
from stemclean.errors import AudioError, ConfigError
from stemclean.exporting.converting import AudioFormat, Converter, Link
from stemclean.exporting.selection import Item, Selection
from stemclean.exporting.targets import Classes, Targets
from stemclean.layouts import base
from stemclean.manifest import Created, Manifest, Skip
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import Plan, Product, measured, plan_of
from stemclean.settings import Settings

__all__ = ["RECORD", "ClassHours", "ExportReport", "export", "plan_export"]

RECORD = "export.json"
"""File in the destination that records the source and the format; a later run recognises its own output by it."""
LISTED_BYTES = 200
"""Approximate size of a stem in a list."""


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
    request = _Request(
        Path(refined),
        base.writer(to, options) if isinstance(to, str) else to,
        Path(destination),
        sample_rate,
        classes,
        min_quality,
        cut,
        decisions,
        audio_format,
        link,
        layout,
        quiet,
    )
    created = request.checked()
    refined, target, destination = request.refined, request.target, request.destination
    with only_writer(destination, folder=True):
        data, fitting, selection, converter = request.selected(created)
        created = created.of(manifest.input_of(refined, destination / RECORD, data))
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


def plan_export(
    refined: str | Path, to: base.Writer, destination: str | Path, *, sample_rate: int | None = None, **arguments: Any
) -> Plan:
    """Return what :func:`export` would do with the same arguments, after the same checks; nothing is written.

    Stems that are too quiet for the trainer, silent or unreadable are only known when all are read; they count here.
    """
    request = _Request(Path(refined), to, Path(destination), sample_rate, **arguments)
    created = request.checked()
    check_writable(request.destination, folder=True)
    data, _, selection, converter = request.selected(created)
    in_place = request.target.in_place

    def work(item: Item) -> float:
        return converter.trial(item, in_place=in_place)

    speed = measured(selection.items, lambda item: item.seconds, work, quiet=request.quiet)
    seconds = sum(item.seconds for item in selection.items)
    size = (
        None
        if speed is None
        else round(speed.bytes_per_second * (seconds if in_place else seconds + _length(selection)))
    )
    products = [Product(request.destination / RECORD, 1, len(data.stems) * LISTED_BYTES)]
    num_written = sum(not (in_place and request.link is None and _fits(converter, item)) for item in selection.items)
    if num_written:
        products.append(Product(request.destination, num_written, size))
    figures = {"hours": {target: _hours(kept) for target, kept in selection.kept_seconds.items()}}
    return plan_of("export", refined, data, products, speed=speed, seconds=seconds, figures=figures)


def _length(selection: Selection) -> float:
    """Return the duration in seconds of all songs, and so of the mixtures that some formats add."""
    songs: dict[str, float] = {}
    for item in selection.items:
        song = song_of(item.stem)
        songs[song] = max(songs.get(song, 0.0), item.stem.duration)
    return sum(songs.values())


def _fits(converter: Converter, item: Item) -> bool:
    try:
        return converter.fits(item)
    except AudioError:  # the run reports it
        return True


@dataclass(frozen=True)
class _Request:
    """The arguments of an export, see :func:`export`."""

    refined: Path
    target: base.Writer
    destination: Path
    sample_rate: int | None = None
    classes: Classes | None = None
    min_quality: float | None = None
    cut: bool = False
    decisions: str | Path | None = None
    audio_format: AudioFormat | None = None
    link: Link | None = None
    layout: str | None = None
    quiet: bool = False

    @property
    def rate(self) -> int | None:
        """The sample rate of all exported audio in Hz; None: files keep theirs."""
        return self.target.sample_rate if self.sample_rate is None else self.sample_rate

    def checked(self) -> Created:
        """Check the arguments and the destination before the scan, which takes long; return the origin of the output.

        Raises:
            ConfigError: as for :func:`export`.
        """
        target, destination = self.target, self.destination
        if self.min_quality is not None and not 0 <= self.min_quality <= 1:
            raise ConfigError(f"the minimum quality is {self.min_quality:g}; it must be from 0 to 1")
        if self.link and not target.in_place:
            raise ConfigError(f"--link: {target.name} writes all audio anew", "leave it out")
        if self.audio_format and self.audio_format not in target.audio_formats:
            raise ConfigError(f"--format: {target.name} is written as {target.audio_formats[0]} alone", "leave it out")
        if self.decisions is not None:
            decided.read(self.decisions)
        chosen = target.to_dict(given=True) if isinstance(target, Settings) else {}
        chosen |= {name: getattr(target, name) for name in target.shape}
        asked = {
            "classes": self.classes,
            "min_quality": self.min_quality,
            "cut": self.cut or None,
            "decisions": None if self.decisions is None else file_sha256(self.decisions),
            "audio_format": self.audio_format,
            "link": self.link,
        }
        shared = {name: value for name, value in asked.items() if value is not None}
        created = Created(
            by=f"stemclean {__version__}",
            command="export",
            config={"to": target.name, "sample_rate": self.rate, **shared, **chosen},
            inputs=[manifest.input_of(self.refined, destination / RECORD)],
        )
        if self.refined.is_dir():
            _check_destination(destination, self.refined, created, self.refined, target.shape)
        elif not layouts.is_list(self.refined):
            folder = layouts.load(self.refined, layout=self.layout, quiet=self.quiet)[1]
            _check_destination(destination, folder, created, self.refined, target.shape)
        return created

    def selected(self, created: Created) -> tuple[Manifest, dict[str, Any] | None, Selection, Converter]:
        """Load the dataset and select its stems.

        Args:
            created: see :meth:`checked`.

        Returns:
            (the stems with people's decisions, how these fit, the selection, the converter of its audio)
        """
        data, folder = layouts.load(self.refined, layout=self.layout, quiet=self.quiet)
        source = None if layouts.is_list(self.refined) else folder
        _check_destination(self.destination, source, created, self.refined, self.target.shape)
        fitting = None
        if self.decisions is not None:
            data, fitting = decided.applied(data, decided.read(self.decisions))
        selection = Selection(
            data,
            Targets.of(self.classes, data.labels),
            held_out=self.target.held_out,
            min_quality=self.min_quality,
            cut=self.cut,
        )
        converter = Converter(
            folder,
            self.destination,
            self.rate,
            audio_format=self.audio_format or self.target.audio_formats[0],
            link=self.link,
            segments=self.target.segments,
            quiet=self.quiet,
        )
        return data, fitting, selection, converter


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
