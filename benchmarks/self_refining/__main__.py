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
        """What identifies each run in a result."""
        return [{"name": name, "seed": self.seed, "noise": self.noise.to_dict()} for name in self.names]


def tasks(part: str, seeds: int, shares: Sequence[float] = SHARES, rounds: int = 1) -> Iterator[Task]:
    """What a part consists of, one seed after the other, so that early seeds are whole when time runs out."""
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


def bench_of(given: argparse.Namespace, recipe: ClassifierRecipe) -> tuple[Bench, Record]:
    """The material, made where it is not there, and what it is in counts."""
    data = manifests.read(given.training_set / "manifest.json")
    heldout, heldout_folder = load(given.heldout)
    chosen = material.training_songs(data, given.training_set, given.songs)
    songs = given.cache / f"songs-{material.digest(chosen, given.duration)}"
    trained = material.excerpts(chosen, songs, given.duration)
    others = material.judged_songs(data, given.training_set, heldout, heldout_folder)
    if given.judged:
        others = dict(list(others.items())[:: max(1, len(others) // given.judged)])
    judged_folder = given.cache / f"judged-{material.digest(others, given.duration)}"
    judged = material.excerpts(others, judged_folder, given.duration)
    mixes = measuring.Mixes(judged, judged_folder, given.cache, recipe.mixing, given.mixes)
    bench = Bench(songs, judged, judged_folder, mixes, data.labels, recipe, given.cache)
    return bench, {"trained": material.counts(trained), "judged": material.counts(judged)}


def settings_of(given: argparse.Namespace, recipe: ClassifierRecipe) -> Record:
    """What all runs of one result have in common."""
    return {
        "recipe": {**recipe.to_dict(), "seed": None},
        "songs": given.songs,
        "duration": given.duration,
        "mixes": given.mixes,
        "judged_songs": given.judged,
        "bleed_db": list(BLEED_DB),
        "label_rules": {name: list(rule) for name, rule in measuring.LABEL_RULES.items()},
    }


def command_of(given: argparse.Namespace) -> str:
    """What all runs of a result have in common, with folders named as in ``benchmarks/README.md``.

    Parts, seeds and shares are those of the runs; the page names them.
    """
    words = ["python -m benchmarks.self_refining SET HELDOUT", f"benchmarks/results/{given.output.name}"]
    words += [f"--examples {given.examples}"]
    for name, default in (("recipe", "small"), ("songs", 100), ("duration", 15.0), ("mixes", measuring.PAPER_MIXES)):
        value = getattr(given, name)
        if value != default:
            words.append(f"--{name} {value:g}" if isinstance(value, float) else f"--{name} {value}")
    return " ".join([*words, *(f"--set {override}" for override in given.set)])


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
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
    given = parser.parse_args(arguments)
    given.cache = given.cache or given.output.with_suffix(".work")
    given.part = given.part or ["a"]
    given.shares = tuple(given.shares)
    return given


def main() -> None:
    """Command line."""
    given = parsed()
    torch.set_num_threads(1)
    try:
        recipe = recipe_of(given.recipe, given.examples, given.set)
        runs = Runs(given.output, settings_of(given, recipe), command=command_of(given))
        bench, data = bench_of(given, recipe)
        runs.result |= {"data": data, "labels": list(bench.labels)}
        for task in (task for part in given.part for task in tasks(part, given.seeds, given.shares, given.rounds)):
            trial = Trial(bench, task.noise, task.seed)
            before = len(runs)
            for run in runs.missing(task.runs()):
                runs.add(run | trial.run(run["name"]))
            if len(runs) > before and not given.keep:
                trial.clear()
    except StemcleanError as error:
        sys.exit(f"error: {error}")
    print(f"{len(runs)} runs in {given.output}")


if __name__ == "__main__":
    main()
