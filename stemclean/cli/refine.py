"""``stemclean refine``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stemclean.cli._pitch import completed
from stemclean.cli._published import refuse_contradictions
from stemclean.cli._refined import next_steps, tables
from stemclean.cli._shared import (
    FINDINGS,
    Json,
    Quiet,
    data,
    reading,
    remark,
    report_failures,
)
from stemclean.refining import CLAIMED_THRESHOLD

EXAMPLE = "stemclean refine my_stems -o refined.json"

WITH_PITCH = frozenset("stems output pitch resume as_json quiet".split())
"""Parameters that can be combined with ``--pitch``."""

ADAPTIVE = (
    "adaptive thresholds cost recall: in the paper, separators trained on the result reached 3.68 dB, "
    "compared with 4.28 dB with a threshold of 0.9 for all classes"
)


class RetrainOn(StrEnum):
    """The values of ``--retrain-on``."""

    SINGLE = "single"
    ALL = "all"


class FailOn(StrEnum):
    """The values of ``--fail-on``."""

    WRONG = "wrong"
    MIXED = "mixed"
    DROP = "drop"
    ANY = "any"


def command(
    ctx: typer.Context,
    stems: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of stems, a CSV list, or a manifest.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Manifest to write: .json, .jsonl or .jsonl.gz.")
    ] = Path("refined.json"),
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="Weights: bundled:NAME, hub:ORG/REPO or file:PATH (default: the bundled weights)."
        ),
    ] = None,
    by_itself: Annotated[
        bool, typer.Option("--self", help="Train the classifier on DATA itself, faults included; requires no weights.")
    ] = False,
    pitch: Annotated[
        str | None,
        typer.Option(
            "--pitch",
            metavar="URI",
            help="Judge no labels, but complete half-labelled songs with the weights of a cascade or a pitch tracker.",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="With --self: number of rounds of training and judging (default: 2)."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=2,
            help="With --self: divide the tracks into K folds and judge each with a classifier trained without it. "
            "Training takes K times as long.",
        ),
    ] = None,
    retrain_on: Annotated[
        RetrainOn | None,
        typer.Option(
            metavar="WHAT",
            help="With --self: stems to train on from the second round on, single (those with one class) or all, with "
            "the classes found in them (default: single).",
        ),
    ] = None,
    min_single_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="With --self: minimum share of its claims that a class keeps for the next round; it is filled up "
            "with the stems of the best label quality (default: 0.2).",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="With --self: recipe to train with: small, paper, or a TOML file (default: small)."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="With --self: change any key of the recipe, such as loop.examples=20000. Repeatable.",
        ),
    ] = None,
    workdir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --self: folder for the weights of each round (default: FILE.work)."),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="SCORE",
            help="Score above which a class is present. With adaptive, each class has its own threshold, where F1 "
            "against the labels of the dataset is highest. This costs recall: in the paper, the separator dropped "
            "from 4.28 to 3.68 dB.",
        ),
    ] = "0.9",
    claimed_threshold: Annotated[
        float,
        typer.Option(
            metavar="SCORE",
            min=0,
            max=1,
            help="Score above which a claimed class is present; the paper uses 0.9.",
        ),
    ] = CLAIMED_THRESHOLD,
    max_bleed_db: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="Keep a stem that holds what it claims if its other classes, taken together, are below this level "
            "relative to the claimed ones, such as -25. Requires weights that estimate levels; the bundled ones do so "
            "roughly.",
        ),
    ] = None,
    crosstalk: Annotated[
        bool,
        typer.Option(
            "--crosstalk/--no-crosstalk",
            help="Measure the bleed between the stems of a song, if there are several.",
        ),
    ] = True,
    silence_floor_dbfs: Annotated[
        float,
        typer.Option(
            metavar="DBFS", max=0, help="Level below which sound counts as silence, however soft the song is."
        ),
    ] = -130.0,
    windows: Annotated[
        bool, typer.Option("--windows", help="Judge every window separately, as the paper does; far slower.")
    ] = False,
    as_published: Annotated[
        bool,
        typer.Option(
            "--as-published",
            help="Follow the paper exactly: remove silence by peak amplitude, judge whole windows separately and "
            "average them, use 0.9 for every class; with --self, its recipe, two rounds, no class filled up. Needs a "
            "GPU in practice.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of stems to judge in parallel (default: one per core)."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Continue an interrupted run, or start over.")
    ] = True,
    fail_on: Annotated[
        list[FailOn] | None,
        typer.Option(
            metavar="WHAT",
            help="Exit with 1 if a stem is wrong (only classes that it does not claim were found), mixed (several "
            "classes), drop (no class), or any of these. Repeatable.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the stems whose labels are wrong, and say why.

    A classifier judges every stem in overlapping windows; a class is present if its score exceeds the threshold. For
    each stem, the manifest contains labels, scores, regions over time and a verdict (keep, relabel, mixed or drop) with
    its reason. No audio is changed. With --self, a classifier is trained on the claims as they are and relabels the
    stems; a second one, trained on the stems with one class, relabels them again. An interrupted run continues where it
    stopped.
    """
    with reading(stems, quiet=quiet):
        from stemclean.refine import RefineConfig, refine, refine_self
        from stemclean.refining.published import PUBLISHED, published_self
        from stemclean.report import describe_refined
        from stemclean.running import Running

    later = given({"retrain_on": retrain_on and retrain_on.value, "min_single_share": min_single_share})
    self_options = given(
        {"rounds": rounds, "folds": folds, "recipe": recipe, "overrides": settings, "workdir": workdir}
    )
    config = RefineConfig(
        threshold=parsed_threshold(threshold),
        claimed_threshold=claimed_threshold,
        max_bleed_db=max_bleed_db,
        crosstalk=crosstalk,
        silence_floor_dbfs=silence_floor_dbfs,
        plain_windows=windows,
    )
    if as_published:
        refuse_contradictions(ctx)
        config = PUBLISHED
        self_options |= published_self(settings or ()) if by_itself else {}
    if pitch is not None:
        refuse(dict.fromkeys(typed_besides(ctx, WITH_PITCH)), "cannot be combined with --pitch")
        completed(stems, output, pitch, resume=resume, as_json=as_json, quiet=quiet)
        return
    running = Running(workers=workers, resume=resume, quiet=quiet)
    if by_itself:
        refuse(given({"weights": weights}), "trains its own weights with --self")
        refuse(later if rounds == 1 else {}, "applies from the second round on, and --rounds 1 has only one")
        refined = refine_self(stems, output, config, **(self_options | later), running=running)
    else:
        refuse(self_options | later, "requires --self")
        refined = refine(stems, output, config, **given({"weights_uri": weights}), running=running)
    report = describe_refined(refined)
    report["output"] = str(output)
    data(report, tables(report), as_json=as_json)
    if threshold == "adaptive":
        remark(f"note: {ADAPTIVE}", quiet=quiet)
    remark(*next_steps(report), quiet=quiet)
    try:
        report_failures(report["failures"], quiet=quiet)
    finally:
        if any(matches(finding, kind) for finding in report["findings"] for kind in fail_on or ()):
            raise typer.Exit(FINDINGS)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given; the verb has defaults for the others."""
    return {name: value for name, value in options.items() if value is not None}


def typed_besides(ctx: typer.Context, allowed: frozenset[str]) -> list[str]:
    """Parameters given on the command line that are not ``allowed``, named as :func:`refuse` expects."""
    aliases = {"by_itself": "self", "settings": "overrides"}
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params if name not in allowed}
    return [aliases.get(name, name) for name, source in sources.items() if source and source.name == "COMMANDLINE"]


def refuse(options: dict[str, Any], why: str) -> None:
    """Refuse the first of the options, if there are any.

    Args:
        why: the rest of a sentence that begins with "it".

    Raises:
        typer.BadParameter: an option was given.
    """
    for name in options:
        option = "--set" if name == "overrides" else f"--{name.replace('_', '-')}"
        trains = name == "weights" and "weights" in why  # refine trains them, not the option
        raise typer.BadParameter(f"refine {why}" if trains else f"it {why}", param_hint=option)


def parsed_threshold(text: str) -> float | Literal["adaptive"]:
    """The value of ``--threshold``.

    Raises:
        typer.BadParameter: neither a number nor ``adaptive``.
    """
    if text == "adaptive":
        return "adaptive"
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is neither a number nor adaptive", param_hint="--threshold") from None


def matches(finding: dict[str, Any], kind: FailOn) -> bool:
    """Whether a finding is of the given kind."""
    absent = not set(finding["claimed"]) & set(finding["found"])
    if kind is FailOn.WRONG:
        return absent and bool(finding["found"])
    return kind is FailOn.ANY or finding["action"] == kind
