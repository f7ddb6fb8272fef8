"""``stemclean export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stemclean.cli import _options as options
from stemclean.cli._names import formats, in_words
from stemclean.cli._planned import print_plan
from stemclean.cli._shared import (
    clock,
    data,
    misfits,
    passed_over,
    reading,
    remark,
    report_failures,
    softer,
    table,
    typed,
)

EXAMPLE = "stemclean export refined.json --to zfturbo training_set"


def command(
    refined: options.Refined,
    destination: Annotated[
        Path,
        typer.Argument(
            metavar="DST", help="Folder for the training set: new, or from an earlier run of the same command."
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help=f"Format of the training set: {in_words(formats())}.",
        ),
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES|FILE",
            help="Classes of the training set, such as vocals,accompaniment (accompaniment is every class that is not "
            "named), or a TOML or JSON file that lists the classes that each of them holds (default: the classes of "
            "REFINED).",
        ),
    ] = None,
    min_quality: Annotated[
        float | None,
        typer.Option(
            metavar="QUALITY",
            min=0.0,
            max=1.0,
            help="Leave out training stems whose label quality is lower, relabelled ones included.",
        ),
    ] = None,
    cut: Annotated[
        bool,
        typer.Option(
            "--cut",
            help="Export only the parts of training stems in which nothing but their class was found, so that a "
            "half-clean stem is half kept.",
        ),
    ] = False,
    decisions: options.Decisions = None,
    audio_format: Annotated[
        Literal["flac", "wav"] | None,
        typer.Option(
            "--format",
            metavar="flac|wav",
            help="Format of the audio that is written (default: the one that suits the format of the training set).",
            show_default=False,
        ),
    ] = None,
    link: Annotated[
        Literal["symlink", "hardlink", "copy"] | None,
        typer.Option(
            metavar="symlink|hardlink|copy",
            help="Put files that need no conversion into DST, too (default: use them where they are).",
            show_default=False,
        ),
    ] = None,
    sample_rate: Annotated[
        int | None,
        typer.Option(
            metavar="HZ",
            min=8000,
            max=384_000,
            help="Sample rate that the trainer expects (default: 44100 or that of each file, depending on the format).",
        ),
    ] = None,
    allow_empty: Annotated[
        bool,
        typer.Option(
            "--allow-empty",
            help="Export even if a class has no stems left; that class must then be removed from the trainer's "
            "configuration.",
        ),
    ] = False,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="ORG/REPO",
            help="Format hf: also upload the dataset to the Hugging Face Hub, to a private repository if it is new.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change any other setting of the format, such as chunk_size=352800. Repeatable.",
        ),
    ] = None,
    layout: options.Layout = None,
    dry_run: options.DryRun = False,
    *,
    printing: options.Printing,
) -> None:
    """Export a refined dataset for training a separator.

    Most formats are named after the code that reads them: zfturbo is for Music-Source-Separation-Training (dataset
    type 3), hf for Hugging Face Datasets. track_folders writes a folder per song with one file per class, all of the
    same length; csv lists all stems with their labels and verdicts. A class gets only audio in which nothing but that
    class was found. Files with another sample rate or number of channels are converted and written to DST; formats that
    are lists use all others in place.
    """
    with reading(refined, layout=layout, quiet=printing.quiet):
        from stemclean.export import export, plan_export
        from stemclean.exporting.targets import parse_classes
        from stemclean.layouts.base import writer
        from stemclean.report import describe_exported
        from stemclean.settings import SettingError, assignments, merged

    own = {"--allow-empty": ("allow_empty", allow_empty or None), "--push": ("push", push)}
    given = assignments(options.by_option(own, settings))
    try:
        target = writer(to, merged({}, given))
    except SettingError as error:
        if allow_empty and error.key == "allow_empty":
            hint = f"leave it out: {to} may have classes without stems"
            raise SettingError(error.key, f"--allow-empty: {to} does not need it", hint) from None
        if push is not None and error.key == "push":
            raise SettingError(error.key, f"--push: {to} is no format of the hub", "use --to hf") from None
        raise error.at("--set") from None
    how: dict[str, Any] = {
        "sample_rate": sample_rate,
        "classes": None if classes is None else parse_classes(classes),
        "min_quality": min_quality,
        "cut": cut,
        "decisions": decisions,
        "audio_format": audio_format,
        "link": link,
        "layout": layout,
        "quiet": printing.quiet,
    }
    if dry_run:
        print_plan(plan_export(refined, target, destination, **how), printing)
        return
    exported = export(refined, target, destination, **how)
    report = describe_exported(exported.to_dict())
    won = any(hours["won"] for hours in report["classes"].values())
    columns = ["class", "kept", *["of other claims"] * won, "lost", "why lost"]
    shown = table("Sound per class (h:mm:ss)", *columns, numbers=("kept", "lost"))
    for label, hours in report["classes"].items():
        claims, why = _each(hours["won"]), _each(hours["why"])
        shown.add_row(label, _clock(hours["kept"]), *[claims] * won, _clock(hours["lost"]), why)
    data(report, [shown], as_json=printing.as_json)
    remark(
        *_judged(report, refined),
        *misfits(report.get("decisions")),
        *softer(report["turned_down"]),
        *_wrote(report),
        *exported.next_steps,
        quiet=printing.quiet,
    )
    report_failures(report["failures"], quiet=printing.quiet)


def _judged(report: dict[str, Any], source: Path) -> list[str]:
    """A warning about stems that were not judged, whose labels are only claims."""
    if not report["unjudged"]:
        return []
    all_stems = report["unjudged"] == report["stems"]
    unjudged = "no stem was judged" if all_stems else f"{report['unjudged']} of {report['stems']} stems were not judged"
    return [
        f"{unjudged}: their labels are the claims of {source}, right or wrong",
        f"to judge them first: {typed('refine', source, '-o', 'refined.json')}",
    ]


def _wrote(report: dict[str, Any]) -> list[str]:
    num_audio = report["num_audio"]
    audio = f" and {num_audio} audio file{'s' if num_audio > 1 else ''}" if num_audio > 0 else ""
    lines = [f"wrote {report['output']}{audio}"]
    if report["outside"]:
        lines.append(f"left out {_clock(report['outside'])} of other classes")
    return [*lines, *passed_over(report)]


def _each(hours: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_clock(some)}" for name, some in hours.items())


def _clock(hours: float) -> str:
    return clock(hours * 3600)
