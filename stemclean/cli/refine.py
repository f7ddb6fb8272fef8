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
"""Parameters that ``--pitch`` goes with."""

ADAPTIVE = (
    "adaptive thresholds cost recall: in the paper, separators trained on the outcome reached 3.68 dB, "
    "with 0.9 for all classes 4.28 dB"
)


class RetrainOn(StrEnum):
    """What ``--retrain-on`` may name."""

    SINGLE = "single"
    ALL = "all"


class FailOn(StrEnum):
    """What ``--fail-on`` may name."""

    WRONG = "wrong"
    MIXED = "mixed"
    DROP = "drop"
    ANY = "any"


def command(
    ctx: typer.Context,
    stems: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of stems, a CSV, or a manifest.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The manifest to write: .json, .jsonl or .jsonl.gz.")
    ] = Path("refined.json"),
    weights: Annotated[
        str | None,
        typer.Option(metavar="URI", help="bundled:NAME, hub:ORG/REPO or file:PATH. Without it, the bundled weights."),
    ] = None,
    by_itself: Annotated[
        bool, typer.Option("--self", help="Train the classifier on DATA itself, faults and all; needs no weights.")
    ] = False,
    pitch: Annotated[
        str | None,
        typer.Option(
            "--pitch",
            metavar="URI",
            help="Complete half-labelled songs with the weights of a cascade or a pitch tracker, and judge no labels.",
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With --self: how often to train and judge; 2.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=2,
            help="With --self: deal the tracks into K parts and judge each by a classifier that never heard it; "
            "K times the training.",
        ),
    ] = None,
    retrain_on: Annotated[
        RetrainOn | None,
        typer.Option(
            metavar="WHAT",
            help="With --self: train from the second round on the stems with a single class, or on all with the "
            "classes found in them; single.",
        ),
    ] = None,
    min_single_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="With --self: a class that keeps a smaller share of its claims for the next round is filled up with "
            "those of the best label quality; 0.2.",
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --self: small, paper, or a TOML file; small.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="With --self: any key of the recipe, as loop.examples=20000. Repeatable.",
        ),
    ] = None,
    workdir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="With --self: for each round's weights; beside FILE.")
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="SCORE",
            help="A class is present above this score. adaptive: each class above its own, where F1 against the "
            "dataset's own labels is highest; that costs recall, and in the paper a separator fell from 4.28 to "
            "3.68 dB.",
        ),
    ] = "0.9",
    claimed_threshold: Annotated[
        float,
        typer.Option(
            metavar="SCORE",
            min=0,
            max=1,
            help="The same for the class that the dataset claims; the paper's is 0.9 too.",
        ),
    ] = CLAIMED_THRESHOLD,
    max_bleed_db: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="Keep a stem that holds what it claims if the other classes in it, together, are softer than that by "
            "so many dB, as -25. Needs weights that tell levels; the bundled ones tell them roughly.",
        ),
    ] = None,
    crosstalk: Annotated[
        bool,
        typer.Option(
            "--crosstalk/--no-crosstalk",
            help="Measure what is heard of a song's stems in one another, where they lie side by side.",
        ),
    ] = True,
    silence_floor_dbfs: Annotated[
        float, typer.Option(metavar="DBFS", max=0, help="What is softer is silence, however soft the song.")
    ] = -130.0,
    windows: Annotated[
        bool, typer.Option("--windows", help="Judge every window by itself, as the paper does: far slower.")
    ] = False,
    as_published: Annotated[
        bool,
        typer.Option(
            "--as-published",
            help="The paper to the letter: silence cut out by peak amplitude, whole windows judged one by one and "
            "averaged, 0.9 for every class; with --self its recipe, two rounds, no class filled up. Wants a GPU.",
        ),
    ] = False,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Stems judged at once; one a core.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on where a killed run was, or start afresh.")
    ] = True,
    fail_on: Annotated[
        list[FailOn] | None,
        typer.Option(
            metavar="WHAT",
            help="Exit with 1 if a stem is wrong (another class than claimed), mixed (more classes than claimed), "
            "to drop (none), or any of these. May be repeated.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the stems whose labels are wrong, and say why.

    Every stem is listened to in overlapping windows; a class is present where its score passes the threshold. The
    manifest holds labels, scores, regions over time and a verdict with its reason for each stem: keep, relabel, mixed
    or drop. No audio is changed. With --self a classifier is trained on the claims as they are and relabels the stems;
    a second one, trained on the stems with one class, relabels them again. A stopped run goes on where it was.
    """
    with reading(stems, quiet=quiet):
        from stemclean.refine import RefineConfig, refine, refine_self
        from stemclean.refining.published import PUBLISHED, published_self
        from stemclean.report import describe_refined

    again = given({"retrain_on": retrain_on and retrain_on.value, "min_single_share": min_single_share})
    alone = given({"rounds": rounds, "folds": folds, "recipe": recipe, "overrides": settings, "workdir": workdir})
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
        alone |= published_self(settings or ()) if by_itself else {}
    if pitch is not None:
        refuse(dict.fromkeys(typed_besides(ctx, WITH_PITCH)), "has no meaning with --pitch")
        completed(stems, output, pitch, resume=resume, as_json=as_json, quiet=quiet)
        return
    ways: dict[str, Any] = {"workers": workers, "resume": resume, "quiet": quiet}
    if by_itself:
        refuse(given({"weights": weights}), "makes its own weights with --self")
        refuse(again if rounds == 1 else {}, "is for the second round, and --rounds 1 has none")
        refined = refine_self(stems, output, config, **(alone | again), **ways)
    else:
        refuse(alone | again, "is for --self")
        refined = refine(stems, output, config, **given({"weights_uri": weights}), **ways)
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
    """The options that were typed; the verb has defaults for the others."""
    return {name: value for name, value in options.items() if value is not None}


def typed_besides(ctx: typer.Context, allowed: frozenset[str]) -> list[str]:
    """Parameters that were typed and are not among some, as :func:`refuse` names them."""
    called = {"by_itself": "self", "settings": "overrides"}
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params if name not in allowed}
    return [called.get(name, name) for name, source in sources.items() if source and source.name == "COMMANDLINE"]


def refuse(options: dict[str, Any], why: str) -> None:
    """Refuse the first of some options that contradict the others.

    Raises:
        typer.BadParameter: there is one.
    """
    for name in options:
        option = "--set" if name == "overrides" else f"--{name.replace('_', '-')}"
        makes = name == "weights" and "weights" in why  # refine makes them, not the option
        raise typer.BadParameter(f"refine {why}" if makes else f"it {why}", param_hint=option)


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
        raise typer.BadParameter(f"'{text}' is neither a score nor adaptive", param_hint="--threshold") from None


def matches(finding: dict[str, Any], kind: FailOn) -> bool:
    """Whether a finding is of the kind that ``--fail-on`` names."""
    absent = not set(finding["claimed"]) & set(finding["found"])
    if kind is FailOn.WRONG:
        return absent and bool(finding["found"])
    return kind is FailOn.ANY or finding["action"] == kind
