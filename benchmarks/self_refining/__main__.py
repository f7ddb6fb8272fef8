"""Does a noisy dataset clean itself? Tables 1 and 4 of Koo et al. 2023, repeated with planted faults.

    python -m benchmarks.self_refining SET HELDOUT OUT.json [--part a|b|c|d|e] [--examples N] [--seeds N] [--cache DIR]

Faults are planted in songs of the training set (:mod:`benchmarks.training_set`): swapped labels, and bleed from other
stems of the same song at -10 to 0 dB. Classifiers are trained on the true labels, on the claims, and on the labels
found by earlier classifiers. All are evaluated on songs that none was trained on (``HELDOUT`` and the validation
split).

    a  30 % of the stems are faulty, half of them swapped, half with bleed: true labels, claims, refined once and twice
    b  only swapped labels, then only bleed: 10, 20, 40, 60 %, or --shares; refined once, or --rounds times
    c  as a, rounds 3 to 5
    d  as a, labels found with and without cross-fitting (``--folds``)
    e  as a, with and without measured bleed

A stopped run resumes: runs in OUT.json are not repeated, and a training that was killed continues. Several parts may be
written to one OUT.json. ``--recipe paper`` is for a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.resumable import Runs
from benchmarks.self_refining import material, measuring
from benchmarks.self_refining.planting import BLEED_DB, CLEAN, HALF_AND_HALF, SHARES, Noise
from benchmarks.self_refining.trials import Bench, Trial, recipe_of
from stemclean import manifest as manifests
from stemclean.errors import StemcleanError
from stemclean.layouts import load
from stemclean.training.recipe import ClassifierRecipe

ROUNDS = ("clean", "noisy", "refined1", "refined2")
MORE_ROUNDS = ("refined3", "refined4", "refined5")
FOLDS = ("folds3-1", "folds3-2")
COMPARED = ("crosstalk1", "crosstalk2")

Record = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """Runs that share a planted dataset."""

    noise: Noise
    seed: int
    names: Sequence[str]

    def runs(self) -> list[Record]:
        """Return what identifies each run in a result."""
        return [{"name": name, "seed": self.seed, "noise": self.noise.to_dict()} for name in self.names]


def tasks(part: str, seeds: int, shares: Sequence[float] = SHARES, rounds: int = 1) -> Iterator[Task]:
    """Return the runs of a part, seed by seed, so that early seeds are complete if time runs out."""
    swept = ("noisy", *(f"refined{number}" for number in range(1, rounds + 1)))
    for seed in range(seeds):
        if part == "a":
            yield Task(HALF_AND_HALF, seed, ROUNDS)
        if part == "b":
            yield Task(CLEAN, seed, ("clean",))
            for share in shares:
                yield Task(Noise(share, 0.0), seed, swept)
                yield Task(Noise(0.0, share), seed, swept)
        if part == "c":
            yield Task(HALF_AND_HALF, seed, (*ROUNDS, *MORE_ROUNDS))
        if part == "d":
            yield Task(HALF_AND_HALF, seed, (*ROUNDS, *FOLDS))
        if part == "e":
            yield Task(HALF_AND_HALF, seed, (*ROUNDS, *COMPARED))


def bench_of(arguments: argparse.Namespace, recipe: ClassifierRecipe) -> tuple[Bench, Record]:
    """Prepare the material if it is missing, and describe it in counts."""
    data = manifests.read(arguments.training_set / "manifest.json")
    heldout, heldout_folder = load(arguments.heldout)
    chosen = material.training_songs(data, arguments.training_set, arguments.songs)
    songs = arguments.cache / f"songs-{material.digest(chosen, arguments.duration)}"
    trained = material.excerpts(chosen, songs, arguments.duration)
    others = material.judged_songs(data, arguments.training_set, heldout, heldout_folder)
    if arguments.judged:
        others = dict(list(others.items())[:: max(1, len(others) // arguments.judged)])
    judged_folder = arguments.cache / f"judged-{material.digest(others, arguments.duration)}"
    judged = material.excerpts(others, judged_folder, arguments.duration)
    mixes = measuring.Mixes(judged, judged_folder, arguments.cache, recipe.mixing, arguments.mixes)
    bench = Bench(songs, judged, judged_folder, mixes, data.labels, recipe, arguments.cache)
    return bench, {"trained": material.counts(trained), "judged": material.counts(judged)}


def settings_of(arguments: argparse.Namespace, recipe: ClassifierRecipe) -> Record:
    """Return the settings shared by all runs of a result."""
    return {
        "recipe": {**recipe.to_dict(), "seed": None},
        "songs": arguments.songs,
        "duration": arguments.duration,
        "mixes": arguments.mixes,
        "judged_songs": arguments.judged,
        "bleed_db": list(BLEED_DB),
        "label_rules": {name: list(rule) for name, rule in measuring.LABEL_RULES.items()},
    }


def command_of(arguments: argparse.Namespace) -> str:
    """Return the options shared by all runs of a result, with folders named as in ``benchmarks/README.md``.

    Parts, seeds and shares are those of the runs; the page names them.
    """
    words = ["python -m benchmarks.self_refining SET HELDOUT", f"benchmarks/results/{arguments.output.name}"]
    words += [f"--examples {arguments.examples}"]
    for name, default in (("recipe", "small"), ("songs", 100), ("duration", 15.0), ("mixes", measuring.PAPER_MIXES)):
        value = getattr(arguments, name)
        if value != default:
            words.append(f"--{name} {value:g}" if isinstance(value, float) else f"--{name} {value}")
    return " ".join([*words, *(f"--set {override}" for override in arguments.set)])


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, prog="self_refining"
    )
    parser.add_argument("training_set", type=Path, metavar="SET")
    parser.add_argument("heldout", type=Path, metavar="HELDOUT")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--part", action="append", choices=("a", "b", "c", "d", "e"), help="default: a")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, metavar="SHARE", help="of part b")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="of part b: labels are refined N times")
    parser.add_argument("--examples", type=int, default=16384, metavar="N", help="mixtures that a training sees")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    parser.add_argument("--songs", type=int, default=100, metavar="N", help="songs to train on, of three or four stems")
    parser.add_argument("--duration", type=float, default=15.0, metavar="SECONDS", help="of a stem's excerpt")
    parser.add_argument("--mixes", type=int, default=measuring.PAPER_MIXES, metavar="N", help="mixtures to judge")
    parser.add_argument("--judged", type=int, metavar="N", help="judge about so many songs only")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="what is made on the way; default: OUT.work")
    parser.add_argument("--keep", action="store_true", help="leave the planted audio there")
    args = parser.parse_args(arguments)
    args.cache = args.cache or args.output.with_suffix(".work")
    args.part = args.part or ["a"]
    args.shares = tuple(args.shares)
    return args


def main() -> None:
    """Command line."""
    arguments = parsed()
    torch.set_num_threads(1)
    try:
        recipe = recipe_of(arguments.recipe, arguments.examples, arguments.set)
        runs = Runs(arguments.output, settings_of(arguments, recipe), command=command_of(arguments))
        bench, data = bench_of(arguments, recipe)
        runs.result |= {"data": data, "labels": list(bench.labels)}
        for task in (
            task for part in arguments.part for task in tasks(part, arguments.seeds, arguments.shares, arguments.rounds)
        ):
            trial = Trial(bench, task.noise, task.seed)
            before = len(runs)
            for run in runs.missing(task.runs()):
                runs.add(run | trial.run(run["name"]))
            if len(runs) > before and not arguments.keep:
                trial.clear()
    except StemcleanError as error:
        sys.exit(f"error: {error}")
    print(f"{len(runs)} runs in {arguments.output}")


if __name__ == "__main__":
    main()
