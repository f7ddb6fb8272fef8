"""What ``--dry-run`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemclean.cli._options import Printing, Training
from stemclean.cli._shared import clock, data, passed_over, remark, report_failures, table
from stemclean.progress import warn

if TYPE_CHECKING:
    from stemclean.plans import Plan

__all__ = ["about_bytes", "about_time", "print_plan"]


def print_plan(plan: Plan, printing: Printing | Training) -> None:
    """Print what a command would do.

    Raises:
        typer.Exit: with the code of the command itself, if files of the dataset cannot be used.
    """
    from stemclean.report import skips

    report = {**plan.to_dict(), **skips(plan.skipped)}
    shown = table(f"Dry run of {plan.command}", "", "")
    shown.show_header = False
    tracks = f", {_many(plan.num_tracks, 'track')}" if plan.noun == "stem" else ""
    shown.add_row("reads", f"{plan.source}: {_many(plan.num_stems, plan.noun)}{tracks}")
    shown.add_row("audio", f"{clock(plan.seconds)} (hours: {plan.seconds / 3600:.2f})")
    if plan.finished_seconds:
        shown.add_row("finished", f"{clock(plan.finished_seconds)}, by an earlier run")
    for product in plan.products:
        number = "files" if product.num_files is None else _many(product.num_files, "file")
        size = "" if product.num_bytes is None else f", {about_bytes(product.num_bytes)}"
        shown.add_row("writes", f"{product.path}: {number}{size}")
    for name, value in plan.figures.items():
        text = ", ".join(f"{key} {part:g}" for key, part in value.items()) if isinstance(value, dict) else str(value)
        shown.add_row(name.replace("_", " "), text)
    needed = "unknown" if plan.num_bytes is None else about_bytes(plan.num_bytes)
    shown.add_row("disk", f"{needed}; {about_bytes(plan.free_bytes).removeprefix('about ')} free")
    if plan.run_seconds is not None and plan.speed is not None:
        basis = f"{plan.speed.times_real_time:.0f} times real time, measured on {plan.speed.num_measured} of the files"
        shown.add_row("time", f"{about_time(plan.run_seconds)} ({basis})")
    elif plan.unknown_because:
        shown.add_row("time", f"unknown: {plan.unknown_because}")
    data(report, [shown], as_json=printing.as_json)
    if plan.num_bytes is not None and plan.num_bytes > plan.free_bytes and not printing.quiet:
        warn("the disk has less free space than the run is likely to need")
    remark(*passed_over(report), "dry run: nothing was written", quiet=printing.quiet)
    report_failures(report["failures"], quiet=printing.quiet)


def about_bytes(size: float) -> str:
    """A size in decimal units.

    >>> about_bytes(1_234_567_890), about_bytes(45_678), about_bytes(12)
    ('about 1.2 GB', 'about 46 kB', 'about 1 kB')
    """
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            number = size / factor
            return f"about {number:.1f} {unit}" if number < 10 else f"about {number:.0f} {unit}"
    return f"about {max(size / 1e3, 1):.0f} kB"


def about_time(seconds: float) -> str:
    """A duration that is only estimated.

    >>> about_time(12), about_time(754), about_time(12_000), about_time(400_000)
    ('less than a minute', 'about 13 min', 'about 3 h 20 min', 'about 4 d 15 h')
    """
    minutes = round(seconds / 60)
    if seconds < 60:
        return "less than a minute"
    if minutes < 60:
        return f"about {minutes} min"
    if minutes < 48 * 60:
        return f"about {minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"about {hours // 24} d {hours % 24} h"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
