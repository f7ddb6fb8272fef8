"""Options that several commands share, each declared once.

A command takes an option by its alias, as in ``device: options.Device = None``, or several at once by a dataclass of
options, :class:`Printing` or :class:`Training`; see :mod:`stemclean.cli._command`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemclean import training
from stemclean.cli._names import in_words, layouts, models
from stemclean.data import CACHE_LIMIT_GB
from stemclean.running import Running

if TYPE_CHECKING:
    from stemclean.settings import Assignment

__all__ = [
    "OUTPUT",
    "RUNNING",
    "AnyManifest",
    "CacheLimit",
    "ClassifierRecipe",
    "Data",
    "Decisions",
    "Device",
    "DryRun",
    "Examples",
    "FailOn",
    "Init",
    "JointTrackerRecipe",
    "Json",
    "KeepCheckpoint",
    "Labels",
    "Layout",
    "License",
    "Logs",
    "Manifest",
    "Printing",
    "PushToHub",
    "Quiet",
    "Refined",
    "ReportPage",
    "Resume",
    "ResumeSongs",
    "Seed",
    "SeparatorRecipe",
    "Settings",
    "SilenceFloor",
    "Songs",
    "Source",
    "Threads",
    "TrackerRecipe",
    "Training",
    "VoicingThreshold",
    "Weights",
    "WeightsFile",
    "WeightsOrBundled",
    "Workers",
    "by_option",
    "listed",
]

MOST_WORKERS = 256
"""Maximum number of processes; more would only exhaust the machine."""
_SIZES = "each with -small (for two CPU cores) or -paper; or a TOML file."
RUNNING = "Running"
OUTPUT = "Output"
"""Groups of options in the help."""

Data = Annotated[Path, typer.Argument(metavar="DATA", help="A folder of stems, a CSV list, or a manifest.")]
Source = Annotated[Path, typer.Argument(metavar="SRC", help="A folder of stems, a CSV list, or a manifest.")]
Refined = Annotated[Path, typer.Argument(metavar="REFINED", help="A manifest written by refine.")]
AnyManifest = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest: .json, .jsonl or .jsonl.gz.")]
Decisions = Annotated[
    Path | None,
    typer.Option(
        "--decisions",
        metavar="FILE",
        help="Decisions of people who listened (decisions.json, from the page of stemclean report), which overrule the "
        "measurements.",
    ),
]
ReportPage = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Also write a web page to look through the result, listen, and decide; see stemclean report.",
        rich_help_panel=OUTPUT,
    ),
]
Songs = Annotated[
    Path,
    typer.Argument(metavar="MANIFEST", help="A manifest, or a folder of songs with an f0 file next to the vocals."),
]
Manifest = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Manifest to write: .json, .jsonl or .jsonl.gz.",
        rich_help_panel=OUTPUT,
    ),
]
WeightsFile = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Weights file to write (.safetensors).", rich_help_panel=OUTPUT
    ),
]
Weights = Annotated[
    str, typer.Option("--weights", metavar="URI", help="Weights: hub:ORG/REPO, file:PATH or bundled:NAME.")
]
WeightsOrBundled = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="URI",
        help="Weights: hub:ORG/REPO, file:PATH or bundled:NAME (default: the bundled weights).",
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="NAME",
        help=f"Layout of the folder or list: {in_words(layouts())} (default: detected).",
    ),
]

ClassifierRecipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="Recipe: small (for two CPU cores), atto (that of the bundled weights), paper (Koo et al. 2023), or a "
        "TOML file.",
    ),
]
SeparatorRecipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help=f"Recipe of the separator: {in_words(models('separators'))}, {_SIZES}",
    ),
]
_TRACKERS = f"{in_words(models('pitch'))}, {_SIZES}"
TrackerRecipe = Annotated[str, typer.Option("--recipe", metavar="NAME", help=f"Recipe of the tracker: {_TRACKERS}")]
JointTrackerRecipe = Annotated[
    str, typer.Option("--tracker", metavar="NAME", help=f"Recipe of the tracker: {_TRACKERS}")
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels", metavar="NAMES", help="Classes to separate, comma-separated (default: all that have stems)."
    ),
]
Examples = Annotated[
    int | None,
    typer.Option("--examples", metavar="N", min=1, help="Number of examples to train on (default: the recipe's)."),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Random seed (default: the recipe's).")]
Init = Annotated[
    str | None,
    typer.Option(
        "--init",
        metavar="URI",
        help="Weights to start from, for fine-tuning: hub:ORG/REPO, file:PATH or bundled:NAME. Use the recipe that "
        "they were trained with.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change any other key of the recipe, such as loop.batch_size=8. Repeatable.",
    ),
]
VoicingThreshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="SHARE",
        min=0,
        max=1,
        help="Probability at which a frame counts as voiced (default: the best one in the validation of the weights).",
    ),
]
SilenceFloor = Annotated[
    float,
    typer.Option(
        "--silence-floor-dbfs",
        metavar="DBFS",
        max=0,
        help="Level below which sound counts as silence, however soft the song is.",
    ),
]

Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Device: cpu, cuda, cuda:1, … (default: a GPU if there is one).",
        rich_help_panel=RUNNING,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=0,
        max=MOST_WORKERS,
        help=f"Number of processes that prepare examples (default: {training.WORKERS}; for a classifier "
        f"{training.CLASSIFIER_WORKERS}).",
        rich_help_panel=RUNNING,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Number of stems or songs to work on in parallel (default: one per core).",
        rich_help_panel=RUNNING,
    ),
]
Logs = Annotated[
    Path | None,
    typer.Option("--logs", metavar="DIR", help="Write TensorBoard logs to this folder.", rich_help_panel=RUNNING),
]
Resume = Annotated[
    bool,
    typer.Option("--resume/--no-resume", help="Continue an interrupted run, or start over.", rich_help_panel=RUNNING),
]
ResumeSongs = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume",
        help="Skip songs that an earlier run has finished, or start over.",
        rich_help_panel=RUNNING,
    ),
]
KeepCheckpoint = Annotated[
    bool,
    typer.Option(
        "--keep-checkpoint",
        help="Keep the checkpoint next to the weights, so that the training can be extended later; it is large.",
        rich_help_panel=RUNNING,
    ),
]
CacheLimit = Annotated[
    float | None,
    typer.Option(
        "--cache-limit",
        metavar="GB",
        min=0,
        help="Maximum size of the cache of decoded audio; the least recently used files are removed first "
        f"(default: {CACHE_LIMIT_GB:g}).",
        rich_help_panel=RUNNING,
    ),
]

PushToHub = Annotated[
    str | None,
    typer.Option(
        "--push-to-hub",
        metavar="ORG/REPO",
        help="Publish the weights, their card and a model page on the Hugging Face Hub.",
        rich_help_panel=OUTPUT,
    ),
]
License = Annotated[
    str | None,
    typer.Option(
        "--license",
        metavar="NAME",
        help="Licence of the weights for their card, such as CC-BY-4.0.",
        rich_help_panel=OUTPUT,
    ),
]
FailOn = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="WHAT",
        help="Exit with 1 if a stem has this verdict: wrong (only classes that it does not claim were found), relabel, "
        "mixed (several classes), drop (no class) or any of these; an issue of this severity or a higher one (note, "
        "warning, error); or an issue with this code, such as clipped. Repeatable.",
        rich_help_panel=OUTPUT,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show what would be done, and write nothing.", rich_help_panel=OUTPUT),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.", rich_help_panel=OUTPUT)]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print errors only, no progress and no remarks.", rich_help_panel=OUTPUT),
]


@dataclass(frozen=True)
class Printing:
    """What a command prints."""

    as_json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True)
class Training:
    """The options of every training."""

    examples: Examples = None
    seed: Seed = None
    init: Init = None
    layout: Layout = None
    settings: Settings = None
    device: Device = None
    workers: Workers = None
    cache_limit: CacheLimit = None
    logs: Logs = None
    resume: Resume = True
    keep_checkpoint: KeepCheckpoint = False
    push_to_hub: PushToHub = None
    license_name: License = None
    dry_run: DryRun = False
    as_json: Json = False
    quiet: Quiet = False

    def arguments(self, given: Mapping[str, tuple[str, Any]] | None = None) -> dict[str, Any]:
        """Return the arguments of a training function, but for ``init``.

        Args:
            given: the command's own options: option -> name and value of its setting, None if it was not given.
        """
        lengths = {"--examples": ("loop.examples", self.examples), "--seed": ("seed", self.seed)}
        return {
            "overrides": by_option({**(given or {}), **lengths}, self.settings),
            "card": {"license": self.license_name} if self.license_name else None,
            "push_to_hub": self.push_to_hub,
            "layout": self.layout,
            "running": Running(
                cache_limit_gb=self.cache_limit,
                device=self.device,
                workers=self.workers,
                resume=self.resume,
                keep_checkpoint=self.keep_checkpoint,
                logs=self.logs,
                quiet=self.quiet,
            ),
        }


def by_option(given: Mapping[str, tuple[str, Any]], settings: list[str] | None) -> list[str | Assignment]:
    """Settings from options, followed by those from ``--set``.

    Args:
        given: option -> name and value of its setting; the value is None if the option was not given.
    """
    from stemclean.settings import Assignment  # with pydantic

    from_options = [Assignment(key, value, option) for option, (key, value) in given.items() if value is not None]
    return [*from_options, *(settings or [])]


def listed(names: str | None) -> list[str] | None:
    """The names of a comma-separated list; None if there is none."""
    return None if names is None else [name.strip() for name in names.split(",")]
