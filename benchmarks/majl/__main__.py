"""Are separation and pitch better learned together? MAJL (Wei et al. 2025, arXiv 2501.03689) on MIR-1K.

    python -m benchmarks.majl MIR1K OUT.json [--pair unet+rmvpe] [--split singer|clip|djcm] [--seeds N] [--examples N]

Voice and accompaniment of the clips are mixed as recorded, at about 0 dB. All rows see the same number of excerpts in
total; two stages share them. All rows have the same networks, excerpts, schedule and loudness, and choose weights and
threshold on the same validation clips.

    pipeline                (a) a separator, and a tracker trained on clean vocals that runs on its output
    sum                     (b) joint training with the sum of both losses
    dwa                     (c) the same with dynamic weight average
    majl                    (d) the first stage of MAJL: dynamic weights on hard samples, by our definition
    majl_sharp              (d) with weights that differ more (:mod:`benchmarks.majl.sharp`)
    stripped_pipeline       (a) with half of the training clips without f0 and another quarter without vocals
    stripped_majl1          (d) on the quarter with both
    stripped_majl2          (e) both stages: half of the excerpts in each, the second on all clips with pseudo labels
    stripped_majl2_uniform  (e) without dynamic weights in the second stage
    stripped_majl2_plain    (e) without confidences; stripped_majl2_uniform_plain: without either

Splits: ``singer`` (singers of the test are in no other clip), ``clip`` (a fixed random fifth of the clips, whose
singers are in other clips), or the published clips of DJCM (``djcm``), if they are there.

A stopped run resumes: rows in OUT.json are not repeated, and a training that was killed continues.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.majl import material
from benchmarks.majl.measuring import measure
from benchmarks.majl.trials import ROWS, Trial, architectures
from benchmarks.resumable import Runs
from stemclean.errors import StemcleanError
from stemclean.training.recipe import SeparatorRecipe, TrackerRecipe, read_separator, read_tracker

Record = dict[str, Any]


def wanted(arguments: argparse.Namespace) -> list[Record]:
    """Return what identifies each run, seed by seed, so that the first seeds are complete if time runs out."""
    return [
        {"pair": arguments.pair, "split": arguments.split, "seed": seed, "row": row}
        for seed in range(arguments.seeds)
        for row in arguments.rows
    ]


def settings_of(arguments: argparse.Namespace) -> Record:
    """Return the settings shared by all runs of a result, and the recipes of its pairs."""
    names = ("examples", "batch_size", "sep_weight", "set", "test_singers", "validation_singers")
    recipe, tracker_recipe = recipes_of(arguments)
    recipes = {arguments.pair: {"recipe": recipe.to_dict(), "tracker_recipe": tracker_recipe.to_dict()}}
    settings: Record = json.loads(
        json.dumps({**{name: getattr(arguments, name) for name in names}, "recipes": recipes})
    )
    return settings  # as it is read again


def recipes_of(arguments: argparse.Namespace) -> tuple[SeparatorRecipe, TrackerRecipe]:
    """Both recipes; the seed is each trial's own."""
    separator, tracker = architectures(arguments.pair)
    recipe, tracker_recipe = read_separator(separator, arguments.set), read_tracker(tracker)
    loop = recipe.loop.changed(
        examples=arguments.examples, batch_size=arguments.batch_size, validations=3, ema=0.99, clip=3.0
    )
    mixing = recipe.mixing.changed(gain_db=(0.0, 0.0))
    recipe = recipe.changed(loop=loop, mixing=mixing, validation_examples=32)
    tracker_mixing = tracker_recipe.mixing.changed(gain_db=(-6.0, 3.0))
    tracker_recipe = tracker_recipe.changed(loop=loop, mixing=tracker_mixing, validation_examples=32, blur=True)
    return recipe, tracker_recipe


def trial_of(arguments: argparse.Namespace, seed: int) -> Trial:
    """Return the material and recipes of a seed."""
    manifest, root = material.songs(arguments.songs, arguments.work, arguments.split)
    recipe, tracker_recipe = recipes_of(arguments)
    work = arguments.work / f"{arguments.pair}-{arguments.split}-seed{seed}"
    return Trial(manifest, root, work, recipe, tracker_recipe, arguments.sep_weight, seed)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, prog="majl"
    )
    parser.add_argument("songs", type=Path, metavar="MIR1K")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--pair", default="unet+rmvpe", metavar="NAMES", help="recipes, or names of small ones")
    parser.add_argument("--split", default="singer", choices=material.SPLITS)
    parser.add_argument("--rows", nargs="+", default=ROWS, choices=ROWS, metavar="ROW")
    parser.add_argument("--seeds", type=int, default=1, metavar="N")
    parser.add_argument("--examples", type=int, default=4096, metavar="N", help="excerpts that each row sees in all")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N")
    parser.add_argument("--sep-weight", type=float, default=1.0, metavar="W", help="of separation; pitch has 2 - W")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the separator's recipe")
    parser.add_argument("--work", type=Path, metavar="DIR", help="what is made on the way; default: OUT.work")
    args = parser.parse_args(arguments)
    args.work = args.work or args.output.with_suffix(".work")
    args.test_singers, args.validation_singers = list(material.TEST_SINGERS), list(material.VALIDATION_SINGERS)
    return args


def main() -> None:
    """Command line."""
    arguments = parsed()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    runs = Runs(arguments.output, settings_of(arguments))
    trials: dict[int, Trial] = {}
    try:
        for run in runs.missing(wanted(arguments)):
            trial = trials.setdefault(run["seed"], trial_of(arguments, run["seed"]))
            began = time.process_time()
            trained = trial.run(run["row"])
            figures = measure(
                trained.model,
                trial.manifest,
                trial.root,
                loudness_lufs=trained.loudness_lufs,
                threshold=trained.threshold,
            )
            seconds = round(time.process_time() - began, 1)
            runs.add({**run, "threshold": trained.threshold, **figures, "cpu_seconds": seconds})
    except StemcleanError as error:
        sys.exit(f"error: {error}")
    print(f"{len(runs)} runs in {arguments.output}")


if __name__ == "__main__":
    main()
