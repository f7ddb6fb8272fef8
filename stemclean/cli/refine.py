"""``stemclean refine``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import typer

from stemclean.audio import SILENCE_FLOOR_DBFS
from stemclean.cli import _options as options
from stemclean.cli._explained import print_explanation
from stemclean.cli._planned import print_plan
from stemclean.cli._published import refuse_contradictions
from stemclean.cli._refined import next_steps, tables
from stemclean.cli._report import check_page, page_of, wrote
from stemclean.cli._shared import data, reading, remark, report_failures, report_findings
from stemclean.refining import CLAIMED_THRESHOLD, MIN_SINGLE_SHARE, RETRAIN_ON, ROUNDS, THRESHOLD
from stemclean.training import CLASSIFIER_RECIPE

EXAMPLE = "stemclean refine my_stems -o refined.json"

ADAPTIVE = (
    "adaptive thresholds cost recall: in the paper, separators trained on the result reached 3.68 dB, "
    "compared with 4.28 dB with a threshold of 0.9 for all classes"
)


class RetrainOn(StrEnum):
    """The values of ``--retrain-on``."""

    SINGLE = "single"
    ALL = "all"


DEFAULT_RETRAIN_ON = RetrainOn(RETRAIN_ON)


@dataclass(frozen=True)
class Judging:
    """How stems are judged."""

    title: ClassVar[str] = "Judging"

    threshold: Annotated[
        str,
        typer.Option(
            metavar="SCORE",
            help="Score above which a class is present. With adaptive, each class has its own threshold, where F1 "
            "against the labels of the dataset is highest. This costs recall: in the paper, the separator dropped "
            "from 4.28 to 3.68 dB.",
        ),
    ] = str(THRESHOLD)
    claimed_threshold: Annotated[
        float,
        typer.Option(
            metavar="SCORE",
            min=0,
            max=1,
            help="Score above which a claimed class is present; the paper uses 0.9.",
        ),
    ] = CLAIMED_THRESHOLD
    silence_floor_dbfs: options.SilenceFloor = SILENCE_FLOOR_DBFS


@dataclass(frozen=True)
class Bleed:
    """What counts as bleed."""

    title: ClassVar[str] = "Bleed"

    crosstalk: Annotated[
        bool,
        typer.Option(
            "--crosstalk/--no-crosstalk",
            help="Measure the bleed between the stems of a song, if there are several.",
        ),
    ] = True
    max_bleed_db: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="Keep a stem that holds what it claims if its other classes, taken together, are below this level "
            "relative to the claimed ones, such as -25. Requires weights that estimate levels; the bundled ones do so "
            "roughly.",
        ),
    ] = None


@dataclass(frozen=True)
class SelfRefining:
    """How a dataset refines itself."""

    title: ClassVar[str] = "Self-refining, with --self"

    rounds: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Number of rounds of training and judging.",
        ),
    ] = ROUNDS
    folds: Annotated[
        int,
        typer.Option(
            metavar="K",
            min=1,
            help="Divide the tracks into K folds and judge each with a classifier trained without it. Training takes "
            "K times as long.",
        ),
    ] = 1
    retrain_on: Annotated[
        RetrainOn,
        typer.Option(
            metavar="WHAT",
            help="Stems to train on from the second round on: single (those with one class) or all, with the classes "
            "found in them.",
        ),
    ] = DEFAULT_RETRAIN_ON
    min_single_share: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Minimum share of its claimed stems that each class keeps for the next round; if there are fewer, "
            "the claimed stems with the highest label quality are added.",
        ),
    ] = MIN_SINGLE_SHARE
    workdir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the weights of each round (default: FILE.work).",
        ),
    ] = None
    recipe: options.ClassifierRecipe = CLASSIFIER_RECIPE
    settings: options.Settings = None
    cache_limit: options.CacheLimit = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of :func:`stemclean.refine.refine_self`."""
        return {
            "rounds": self.rounds,
            "folds": self.folds,
            "retrain_on": self.retrain_on.value,
            "min_single_share": self.min_single_share,
            "recipe": self.recipe,
            "overrides": self.settings or (),
            "workdir": self.workdir,
        }


LATER = ("retrain_on", "min_single_share")
"""Options that apply from the second round on."""


def command(
    ctx: typer.Context,
    stems: options.Data,
    output: options.Manifest = Path("refined.json"),
    weights: options.WeightsOrBundled = None,
    layout: options.Layout = None,
    by_itself: Annotated[
        bool,
        typer.Option(
            "--self", help="Train the classifier on DATA itself, including its wrong labels; no weights are needed."
        ),
    ] = False,
    as_published: Annotated[
        bool,
        typer.Option(
            "--as-published",
            help="Follow the paper exactly: remove silence by peak amplitude, judge whole windows separately and "
            "average them, and use 0.9 for every class. With --self: use the paper's recipe and two rounds, and add no "
            "stems to small classes. In practice this needs a GPU.",
        ),
    ] = False,
    decisions: options.Decisions = None,
    workers: options.Threads = None,
    device: options.Device = None,
    resume: options.Resume = True,
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="STEM",
            help="Explain the verdict on one stem, named by its id or path, and draw it: the strongest windows, the "
            "measured bleed and the rule that decided. Only its song is judged, and no manifest is written: --output "
            "names the picture (default: STEM.png). If DATA is a refined manifest, its settings and weights are used.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    report_page: options.ReportPage = None,
    fail_on: options.FailOn = None,
    dry_run: options.DryRun = False,
    *,
    judging: Judging,
    bleed: Bleed,
    method: SelfRefining,
    printing: options.Printing,
) -> None:
    """Find the stems whose labels are wrong, and say why.

    A classifier judges every stem in overlapping windows; a class is present if its score exceeds the threshold. For
    each stem, the manifest contains labels, scores, regions over time and a verdict (keep, relabel, mixed or drop) with
    its reason. No audio is changed. With --self, a classifier is trained on the claims as they are and relabels the
    stems; a second one, trained on the stems with one class, relabels them again. An interrupted run continues where it
    stopped.
    """
    with reading(stems, layout=layout, quiet=printing.quiet):
        from stemclean import gate
        from stemclean.refine import RefineConfig, plan_refine, plan_refine_self, refine, refine_self
        from stemclean.refining.published import PUBLISHED, published_self
        from stemclean.report import describe_refined
        from stemclean.running import Running

    check_page(report_page)
    gate.check(fail_on or ())
    if as_published:
        refuse_contradictions(ctx)
        config = PUBLISHED
    else:
        config = RefineConfig(
            threshold=parsed_threshold(judging.threshold),
            claimed_threshold=judging.claimed_threshold,
            silence_floor_dbfs=judging.silence_floor_dbfs,
            crosstalk=bleed.crosstalk,
            max_bleed_db=bleed.max_bleed_db,
        )
    running = Running(
        cache_limit_gb=method.cache_limit, device=device, workers=workers, resume=resume, quiet=printing.quiet
    )
    if explain is not None:
        refuse(
            ctx,
            ["by_itself", "dry_run", "fail_on", "report_page", "decisions"],
            "--explain explains one stem and writes no manifest",
        )
        settings = [*(field.name for field in (*fields(Judging), *fields(Bleed))), "as_published"]
        asked = config if any(was_given(ctx, name) for name in settings) else None
        picture = output if was_given(ctx, "output") else None
        print_explanation(stems, explain, asked, weights, picture, running, layout=layout, as_json=printing.as_json)
        return
    if by_itself:
        refuse(ctx, ["weights"], "refine trains its own weights with --self")
        refuse(ctx, LATER if method.rounds == 1 else (), "it applies from the second round on, and --rounds 1 has one")
        chosen = method.arguments() | (published_self(method.settings or ()) if as_published else {})
        if dry_run:
            plan = plan_refine_self(
                stems, output, config, **chosen, decisions=decisions, layout=layout, running=running
            )
            print_plan(plan, printing)
            return
        refined = refine_self(stems, output, config, **chosen, decisions=decisions, layout=layout, running=running)
    else:
        refuse(ctx, [field.name for field in fields(method)], "it requires --self")
        given = {"weights_uri": weights} if weights else {}
        if dry_run:
            plan = plan_refine(stems, output, config, **given, decisions=decisions, layout=layout, running=running)
            print_plan(plan, printing)
            return
        refined = refine(stems, output, config, **given, decisions=decisions, layout=layout, running=running)
    failed_on = gate.failing(refined.stems, fail_on or ())
    report = {
        **describe_refined(refined),
        "output": str(output),
        "failed_on": failed_on,
        **page_of(output, report_page, running),
    }
    data(report, tables(report), as_json=printing.as_json)
    remark(
        *([f"note: {ADAPTIVE}"] if judging.threshold == "adaptive" else []),
        *next_steps(report),
        *wrote(report.get("report")),
        quiet=printing.quiet,
    )
    try:
        report_failures(report["failures"], quiet=printing.quiet)
    finally:
        report_findings(failed_on, quiet=printing.quiet)


def refuse(ctx: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse the first of some parameters that was given on the command line.

    Raises:
        typer.BadParameter: there is one.
    """
    for name in names:
        if was_given(ctx, name):
            option = next(parameter.opts[0] for parameter in ctx.command.params if parameter.name == name)
            raise typer.BadParameter(why, param_hint=option)


def was_given(ctx: typer.Context, name: str) -> bool:
    """Whether a parameter was given on the command line or in a file of options."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")


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
