"""How much memory a training step of each `-paper` recipe takes.

    python -m benchmarks.step_memory benchmarks/results/step_memory.json [--recipe NAME] [--limit-gb 9]

Every figure is from a separate process, which trains the recipe's model on noise of the recipe's length (forward, loss,
backward, optimiser) through the same loop as the commands. A first step of one example creates the optimiser's states;
the second step is measured, when these and the running mean of the weights exist. The figure is the peak resident
memory of the process minus its memory after all imports. A model without batch norms processes the second step in two
parts, so that gradients exist during the last part, as with ``loop.micro_batch_size``; a model with batch norms
processes its batch at once.

A line through the memory of 1, 2 and 4 examples gives the fixed part (weights, gradients, states, mean) and the part of
each example. The recipe's own number of examples is measured as well if it fits under ``--limit-gb``.
``band-split-paper`` is too large for that: it is measured with one and with three of its twelve pairs of transformers,
on excerpts of a second, and without dropout, because with dropout a CPU keeps the whole attention, which a GPU does
not. Memory is linear in the number of pairs, which are identical, and proportional to the seconds.

Freed memory is returned to the system here, so that the figures show what is needed; training on a CPU keeps it
(:mod:`stemclean.training.memory`) and takes somewhat more.

Resumable: results in OUT.json are not measured again; delete the file to start again.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

import stemclean
from benchmarks import resumable
from benchmarks.resumable import write_json
from stemclean.errors import ConfigError
from stemclean.models import cascade, registry
from stemclean.models.contract import ModelSpec
from stemclean.training import joint, loop, norms, recipe, separate, track, weighting
from stemclean.training.classify import ClassifyTask

LABELS = ("vocals", "bass", "drums", "other")
JOINT = ("unet-vocals-paper", "rmvpe-paper")
"""DJCM's: the separator whose loop trains both, and the tracker."""
AT_A_TIME = (1, 2, 4)
PRECISIONS = ("no", "bf16")
DEPTHS = {"band-split-paper": (1, 3)}
"""Depths for models that are too large for the machine; memory is linear in the depth."""
REDUCED = ("spec.segment=44100", "options.dropout=0.0")
"""Settings for these: one second, and attention as on a GPU."""
GB = 1e9
FAILED = 77
"""Exit code of a process that reached its limit."""

Record = dict[str, Any]


def names() -> list[str]:
    """Return the paper's recipes in the package, and those of two models that are trained as one."""
    recipes = [name for kind in ("classifiers", "separators", "pitch") for name in recipe.names(kind)]
    return [*(name for name in recipes if name == "paper" or name.endswith("-paper")), "+".join(JOINT)]


def read(name: str, overrides: Sequence[str] = ()) -> Any:
    """Read a recipe of any kind; for two models trained as one, that of the separator."""
    for reader in (recipe.read, recipe.read_separator, recipe.read_tracker):
        try:
            return reader(name.partition("+")[0], overrides)
        except ConfigError as error:
            if "kind is" not in str(error):
                raise
    raise ConfigError(f"no recipe named {name}")


def configurations(name: str) -> list[Record]:
    """Return the configurations of a recipe: each precision, with and without activation checkpointing."""
    with torch.device("meta"):
        checkpointing = hasattr(_task(name, read(name))[1], "checkpoint_activations")
    kept = (False, True) if checkpointing else (None,)
    return [{"precision": precision, "checkpoint_activations": is_on} for precision in PRECISIONS for is_on in kept]


def settings_of(configuration: Record) -> list[str]:
    """Return settings as a recipe takes them."""
    kept = configuration["checkpoint_activations"]
    return [] if kept is None else [f"options.checkpoint_activations={str(kept).lower()}"]


def peak(name: str, at_a_time: int, precision: str, settings: Sequence[str] = ()) -> int:
    """Bytes that the second step of a recipe takes at most, over what this process held when it was called.

    Args:
        settings: over the recipe's.
    """
    before = _status("VmRSS")
    recipe_ = read(name, settings)
    task, model = _task(name, recipe_)
    parts = 2 if _divisible(task, model) else 1
    config = recipe_.loop.changed(
        examples=2 * at_a_time * parts,
        batch_size=at_a_time * parts,
        micro_batch_size=at_a_time if parts > 1 else 0,
        validations=1,
        precision=precision,
    )
    sizes = min(at_a_time, 3 - parts), at_a_time * parts  # batch norms need two examples, where there are so many
    steps = _TwoSteps(task, [_batch(task, size, recipe_.spec["segment"]) for size in sizes])
    with (
        mock.patch.object(loop, "keep_freed_memory", return_value=False),  # what is freed is no longer needed
        mock.patch.object(loop.checkpoints, "save"),
        contextlib.suppress(_Done),
    ):
        loop.fit(steps, model, config, Path("unwritten"), resume=False, quiet=True)
    return steps.peak - before


def _divisible(task: Any, model: Any) -> bool:
    """Return whether a step's examples may be processed in micro-batches."""
    return not norms.batch_norms(model) and getattr(task, "indivisible", None) is None


class _Done(Exception):  # noqa: N818 - nothing went wrong
    """Raised when the steps are finished."""


class _TwoSteps:
    """A task with two batches that ends the run at validation.

    Args:
        task: what is learned.
        batches: the two batches.
    """

    def __init__(self, task: Any, batches: list[tuple[Tensor, ...]]) -> None:
        self.two_batches = batches
        self.totals, self.losses = task.totals, task.losses
        self.indivisible = getattr(task, "indivisible", None)
        self.peak = 0

    def batches(self, _rank: int, _start_step: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield the two batches."""
        yield from self.two_batches

    def validate(self, _model: torch.nn.Module) -> dict[str, float]:
        """Note the memory there was."""
        self.peak = _status("VmHWM")
        raise _Done


def _model(recipe_: Any, labels: Sequence[str] = LABELS) -> Any:
    labels = ("vocals",) if recipe_.kind == "pitch" else tuple(labels)
    spec = ModelSpec(recipe_.spec["sample_rate"], recipe_.spec["channels"], labels, recipe_.spec["segment"])
    return registry.build(recipe_.kind, recipe_.architecture, spec, dict(recipe_.options))


def _task(name: str, recipe_: Any) -> tuple[Any, Any]:
    """Return the task, and the model that the loop trains; it needs no stems, as no examples are drawn."""
    stems: Any = None
    size = recipe_.loop.batch_size
    if "+" in name:
        tracker = recipe.read_tracker(name.partition("+")[2])
        parts = {
            part: {
                "architecture": of.architecture,
                "spec": {**of.spec, "labels": list(labels)},
                "options": dict(of.options),
            }
            for part, of, labels in (("separator", recipe_, LABELS), ("tracker", tracker, ("vocals",)))
        }
        model = cascade.build(parts)
        pitch = track.PitchLoss(tracker.positive_weight, tracker.blur)
        config = joint.JointConfig()
        weights = weighting.build(config.weighting, 1)
        return joint.JointTask(model, stems, stems, recipe_.loss, pitch, config, weights, size), model
    model = _model(recipe_)
    if recipe_.kind == "classifiers":
        return ClassifyTask(model, stems, stems, recipe_.mixing, recipe_.loss, size), model.net
    if recipe_.kind == "separators":
        return separate.SeparateTask(model, stems, stems, recipe_.loss, size, recipe_.loop.examples), model
    return track.TrackTask(model, stems, stems, track.PitchLoss(recipe_.positive_weight, recipe_.blur), size), model


def _batch(task: Any, size: int, segment: int) -> tuple[Tensor, ...]:
    """Return a batch of noise: all classes present, each a separate source, the f0 known everywhere."""
    model, numbers = task.model, torch.arange(size)
    spec = model.spec
    if isinstance(task, ClassifyTask):
        with torch.no_grad():
            features = model.features(torch.randn(size, spec.channels, segment))
        target = torch.ones(size, len(spec.labels))
        return (
            features.contiguous(memory_format=torch.channels_last),
            target,
            torch.full_like(target, torch.nan),
            numbers,
        )
    rows = torch.arange(len(spec.labels)).repeat(size, 1)
    sources = 0.1 * torch.randn(size, len(spec.labels), spec.channels, segment)
    if isinstance(task, separate.SeparateTask):
        return sources, rows, numbers
    frames = model.num_frames(segment) if isinstance(task, joint.JointTask) else segment // model.hop + 1
    return sources, rows, torch.ones(size), torch.full((size, frames), 220.0), torch.ones(size, frames), numbers


def _status(key: str) -> int:
    """Bytes of a line of this process's status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith(f"{key}:")]
    return int(line.split()[1]) * 1024


def line_through(measured: Mapping[int, float]) -> tuple[float, float]:
    """Fit the fixed cost and the cost per example to the measured values.

    >>> line_through({1: 3.0, 2: 3.5, 4: 4.5})
    (2.5, 0.5)
    """
    each, fixed = np.polyfit(list(measured), list(measured.values()), 1)
    return round(float(fixed), 3), round(float(each), 3)


def measure(name: str, at_a_time: int, precision: str, settings: Sequence[str], limit_gb: float) -> float | None:
    """Return the GB of a step in a separate process; None if it reaches the limit."""
    step = json.dumps([name, at_a_time, precision, list(settings)])
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.step_memory", "--step", step, "--limit-gb", f"{limit_gb:g}"],
        stdout=subprocess.PIPE,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"},
        check=False,
    )
    if process.returncode not in (0, FAILED):
        raise SystemExit(f"{step}: exit code {process.returncode}")
    gigabytes = None if process.returncode else round(json.loads(process.stdout) / GB, 3)
    print(f"{step}: {gigabytes} GB", file=sys.stderr, flush=True)
    return gigabytes


def stepped(step: str, limit_gb: float) -> None:
    """Print the bytes of a step, in the child process; exit with :data:`FAILED` if memory runs out."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    importlib.import_module("torch._dynamo")  # which building a model may do: imports fail in odd ways without memory
    resource.setrlimit(resource.RLIMIT_DATA, (_status("VmData") + int(limit_gb * GB),) * 2)
    try:
        print(peak(*json.loads(step)))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        sys.exit(FAILED)


def described(name: str) -> Record:
    """Describe a recipe's settings."""
    recipe_ = read(name)
    with torch.device("meta"):
        task, model = _task(name, recipe_)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": round(recipe_.spec["segment"] / recipe_.spec["sample_rate"], 2),
        "batch_size": recipe_.loop.batch_size,
        "micro_batch_size": recipe_.loop.micro_batch_size,
        "divisible": _divisible(task, model),
        "checkpoint_activations": dict(recipe_.options).get("checkpoint_activations"),
        "depth": dict(recipe_.options).get("depth") if name in DEPTHS else None,
    }


class Measured:
    """The figures of a recipe in one configuration.

    Args:
        name: the recipe.
        about: what it asks for (:func:`described`).
        configuration: precision and activation checkpointing.
        before: what is known already.
        limit_gb: that a process may take.
        numbers: of examples at a time.
    """

    def __init__(
        self,
        name: str,
        about: Record,
        configuration: Record,
        before: Record,
        limit_gb: float,
        numbers: Sequence[int] = AT_A_TIME,
    ) -> None:
        self.name, self.about, self.configuration = name, about, configuration
        self.limit_gb, self.numbers = limit_gb, numbers
        self.found = {int(number): value for number, value in before.get("measured", {}).items()}
        self.depths = {
            int(depth): {int(n): value for n, value in of.items()} for depth, of in before.get("depths", {}).items()
        }

    def run(self) -> Record:
        """Measure what is missing."""
        if self.about["depth"]:
            for depth in DEPTHS[self.name]:
                self._measure((1, 2), self.depths.setdefault(depth, {}), [*REDUCED, f"options.depth={depth}"])
            return {**self.configuration, "depths": self.depths, **self._from_depths()}
        own = self.about["micro_batch_size"] or self.about["batch_size"]
        usual = self.configuration["checkpoint_activations"] == self.about["checkpoint_activations"]
        self._measure((*self.numbers, own) if usual else self.numbers, self.found, [])
        return {**self.configuration, "measured": self.found, **_line(self.found)}

    def _measure(self, numbers: Sequence[int], measured: dict[int, float | None], settings: Sequence[str]) -> None:
        """Those numbers of examples at a time that may fit."""
        for number in sorted(set(numbers) - measured.keys()):
            if any(value is None for smaller, value in measured.items() if smaller < number):
                return
            known = _line(measured)
            if known and known["fixed_gb"] + number * known["example_gb"] > self.limit_gb:
                return
            all_settings = [*settings_of(self.configuration), *settings]
            measured[number] = measure(self.name, number, self.configuration["precision"], all_settings, self.limit_gb)

    def _from_depths(self) -> Record:
        """Return the line of examples at the recipe's depth: both its ends are linear in the depth."""
        lines = {depth: line for depth, of in self.depths.items() if (line := _line(of))}
        if len(lines) < 2:
            return {}
        line_at_depth = {}
        for key, factor in (("fixed_gb", 1.0), ("example_gb", self.about["seconds"])):
            first, each = line_through({depth: line[key] for depth, line in lines.items()})
            line_at_depth[key] = round((first + self.about["depth"] * each) * factor, 3)
        return line_at_depth


def _line(measured: Mapping[int, float | None]) -> Record:
    """Return the line through the measured values; empty for fewer than two numbers of examples."""
    known = {number: value for number, value in measured.items() if value is not None}
    return dict(zip(("fixed_gb", "example_gb"), line_through(known), strict=True)) if len(known) > 1 else {}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, prog="step_memory"
    )
    parser.add_argument("output", type=Path, nargs="?", metavar="OUT.json")
    parser.add_argument("--recipe", action="append", choices=names(), metavar="NAME", help="default: all")
    parser.add_argument("--limit-gb", type=float, default=9.0, metavar="GB", help="that a process may take")
    parser.add_argument(
        "--numbers", type=int, nargs="+", default=AT_A_TIME, metavar="N", help="of examples at a time; default: 1 2 4"
    )
    parser.add_argument("--step", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.step:
        stepped(args.step, args.limit_gb)
        return
    if args.output is None:
        parser.error("OUT.json is missing")
    result = resumable.read(args.output)
    result |= {"by": f"stemclean {stemclean.__version__}", "torch": torch.__version__, "labels": list(LABELS)}
    recipes = result.setdefault("recipes", {})
    for name in args.recipe or names():
        before = {
            key_of(configuration_): configuration_ for configuration_ in recipes.get(name, {}).get("configurations", [])
        }
        recipes[name] = {**described(name), "configurations": list(before.values())}
        for configuration in configurations(name):
            known = before.get(key_of(configuration), {})
            measured = Measured(name, recipes[name], configuration, known, args.limit_gb, args.numbers)
            before[key_of(configuration)] = measured.run()
            recipes[name]["configurations"] = list(before.values())
            write_json(args.output, result)
    print(f"{len(recipes)} recipes in {args.output}")


def key_of(configuration: Record) -> tuple[str, bool | None]:
    """Return what identifies a configuration."""
    return configuration["precision"], configuration["checkpoint_activations"]


if __name__ == "__main__":
    main()
