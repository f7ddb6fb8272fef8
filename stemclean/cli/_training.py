"""What the commands that train have in common: checking the input and the output, and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stemclean.cli._options import Training
from stemclean.cli._shared import clock, data, passed_over, reading, remark, report_failures, table, typed

__all__ = ["checking", "report"]


@contextmanager
def checking(stems: Path, output: Path, options: Training) -> Iterator[None]:
    """Check the data and the file to write, and show that the data are being read while the block imports the verb.

    Raises:
        ConfigError: the dataset does not exist or contains no audio file, or the file has another ending.
    """
    with reading(stems, layout=options.layout, quiet=options.quiet):
        from stemclean.models import addresses

        addresses.check_output(output)
        yield


def report(card: Mapping[str, Any], options: Training, *next_steps: Sequence[str]) -> None:
    """Print the result of a training, and what to do with the weights.

    Args:
        card: what the training function returned.
        options: the options of the command.
        next_steps: words of commands, to which the URI of the weights is added.

    Raises:
        typer.Exit: some inputs failed.
    """
    from stemclean.report import describe_training

    result = describe_training(card)
    shown = table("Trained", "measure", "value")
    for name, value in result["metrics"].items():
        shown.add_row(name.replace("_", " "), f"{value:.0f}" if name == "step" else f"{value:.3f}")
    trained_on = result["data"]
    shown.add_row("classes", ", ".join(result["labels"]))
    shown.add_row(
        "hours of each class",
        ", ".join(f"{label} {trained_on['hours'].get(label, 0.0):.2f}" for label in result["labels"]),
    )
    if "hours_of_several" in trained_on:
        shown.add_row("hours of several classes", f"{trained_on['hours_of_several']:.2f}")
    shown.add_row("time (h:mm:ss)", clock(result["seconds"]))
    if result["wait_share"] is not None:
        shown.add_row("waiting for examples", f"{result['wait_share']:.1%} of the time of the steps")
    data(result, [shown], as_json=options.as_json)
    uri = result["published"] or f"file:{result['output']}"
    commands = [typed(*words, "--weights", uri) for words in next_steps]
    lines = [
        *_classes(trained_on),
        f"{'wrote' if result['seconds'] else 'nothing to do, an earlier run has written'} {result['output']}",
        *passed_over(result),
        *([f"published as {result['published']}"] if result["published"] else []),
        *(f"{'  or' if number else 'next'}: {command}" for number, command in enumerate(commands)),
    ]
    remark(*lines, quiet=options.quiet)
    report_failures(result["failures"], quiet=options.quiet)


def _classes(trained_on: Mapping[str, Any]) -> list[str]:
    """Lines on classes that are not trained like the others, if there are any."""
    lines = []
    if background := trained_on.get("background"):
        lines.append(f"used as background in the mixtures: {', '.join(background)}")
    if never_alone := trained_on.get("never_alone"):
        lines.append(f"no stem contains only one of these classes: {', '.join(never_alone)}")
    return lines
