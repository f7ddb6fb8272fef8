"""What do refined labels bring a separator? Tables 2 and 3 of Koo et al. 2023, repeated with planted faults.

    python -m benchmarks.separation SET HELDOUT OUT.json [--part a|b|c|d|e] [--seeds N] [--examples N] [--cache DIR]

Faults are planted in songs of the training set as by :mod:`benchmarks.self_refining`: 15 % of the stems get the label
of another, and 15 % get bleed from another stem of the song. Separators are trained on these stems and tested on the
songs of ``HELDOUT``, which are in no training set.

    a  a small X-UMX: true labels, claims, refined twice, the masked loss on the claims
    b  the same: truncated loss on the claims, refined once, labelled by a classifier trained on true labels
    c  small Hybrid Demucs and band-split transformer: true labels, claims, refined twice
    d  X-UMX on labels refined twice: thresholds 0.9, 0.5, adaptive; multi-label stems whole, left out, left out first
    e  X-UMX on true labels: multi-label stems whole, left out, left out first (``clean`` of part a cuts them)

All rows of a model see the same number of mixtures. The seed determines the initial weights and the mixtures; the
faults have a seed of their own (``--faults``).

A stopped run resumes: runs in OUT.json are not repeated, and a training that was killed continues. Several parts may be
written to one OUT.json. Labels are refined with classifiers trained on ``--classifier-examples`` mixtures, or taken
from the work folder of ``stemclean refine --self`` on a planted dataset, which ``--plant-only`` writes:

    python -m benchmarks.separation SET HELDOUT OUT.json --plant-only      # prints FOLDER
    stemclean refine FOLDER --self -o REFINED.json
    python -m benchmarks.separation SET HELDOUT OUT.json --refined 0=REFINED.work
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.resumable import Runs
from benchmarks.self_refining import material
from benchmarks.self_refining.planting import BLEED_DB, HALF_AND_HALF, Planted
from benchmarks.self_refining.trials import recipe_of as classifier_recipe
from benchmarks.separation import songs
from benchmarks.separation.labelling import Labelling
from benchmarks.separation.rows import ALIKE, PARTS, QUICK, ROWS, Row, recipe_of, tasks
from benchmarks.separation.running import Bench
from benchmarks.training_set import manifest as training_set
from stemclean import manifest as manifests
from stemclean.errors import StemcleanError

EXAMPLES = {"xumx": 8192, "hdemucs": 1024, "band-split": 1024}
CLASSIFIER_EXAMPLES = 10240
CLAIMS = "claimed.json"

Record = dict[str, Any]


def planted_of(arguments: argparse.Namespace) -> list[Planted]:
    """Return the planted datasets, one for each seed of faults; missing songs are cut."""
    path = arguments.training_set / "manifest.json"
    data = manifests.read(path) if path.exists() else training_set.build(arguments.training_set)
    chosen = material.training_songs(data, arguments.training_set, arguments.songs)
    digest = material.digest(chosen, arguments.duration)
    folder = arguments.cache / f"songs-{digest}"
    material.excerpts(chosen, folder, arguments.duration)
    return [Planted(folder, arguments.cache / f"planted-{digest}", HALF_AND_HALF, seed) for seed in arguments.faults]


def plant(planted: Sequence[Planted]) -> None:
    """Write the datasets with their claims, and print where they are."""
    for dataset in planted:
        claims = dataset.believing("claimed").model_copy(update={"root": dataset.audio.name})
        manifests.write(claims, dataset.work / CLAIMS)
        print(dataset.audio)


def settings_of(arguments: argparse.Namespace) -> Record:
    """Return the settings shared by the runs of a result; ``recipes``: those shared by the runs of a model."""
    models = {row.model for part in arguments.part for row in ROWS[part]}
    return {
        "noise": HALF_AND_HALF.to_dict(),
        "bleed_db": list(BLEED_DB),
        "songs": arguments.songs,
        "duration": arguments.duration,
        "test_duration": arguments.test_duration,
        "recipes": {
            model: {
                **recipe_of(model, arguments.examples[model], arguments.set).to_dict(),
                "overrides": [*QUICK[model], *ALIKE, *arguments.set],
            }
            for model in sorted(models)
        },
    }


def described(row: Row, labelling: Labelling, seed: int) -> Record:
    """Return what identifies a run in a result; equal classifiers give equal labels."""
    return {
        "model": row.model,
        "name": row.name,
        "faults": labelling.planted.seed,
        "seed": seed,
        "classifier": labelling.classifier(row.labels),
    }


def command_of(arguments: argparse.Namespace) -> str:
    """Return the command that repeats this, with folders named as in ``benchmarks/README.md``."""
    words = ["python -m benchmarks.separation SET HELDOUT", f"benchmarks/results/{arguments.output.name}"]
    words += [
        f"--seeds {arguments.seeds}",
        *(f"--faults {seed}" for seed in arguments.faults if arguments.faults != [0]),
    ]
    if len(set(arguments.examples.values())) == 1:
        words += [f"--examples {next(iter(arguments.examples.values()))}"]
    for name, default in (("songs", 100), ("duration", 15.0), ("test_duration", 30.0)):
        value = getattr(arguments, name)
        if value != default:
            words.append(f"--{name.replace('_', '-')} {value:g}")
    words += [f"--refined {seed}=REFINED.work" for seed in sorted(arguments.refined)]
    words += [f"--row {name}" for name in arguments.row or ()]
    return " ".join([*words, *(f"--set {override}" for override in arguments.set)])


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, prog="separation"
    )
    parser.add_argument("training_set", type=Path, metavar="SET")
    parser.add_argument("heldout", type=Path, metavar="HELDOUT")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--part", action="append", choices=PARTS, help="default: a")
    parser.add_argument("--row", action="append", metavar="NAME", help="of the parts; default: all")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="of the training")
    parser.add_argument("--faults", action="append", type=int, metavar="SEED", help="of the planted faults; default: 0")
    parser.add_argument(
        "--examples", type=int, metavar="N", help=f"mixtures that a separator sees; default by model: {EXAMPLES}"
    )
    parser.add_argument("--classifier-examples", type=int, default=CLASSIFIER_EXAMPLES, metavar="N")
    parser.add_argument(
        "--refined",
        action="append",
        default=[],
        type=_refined,
        metavar="SEED=DIR",
        help="of faults, and a work folder of refine",
    )
    parser.add_argument("--plant-only", action="store_true", help="write the noisy datasets and do nothing else")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the separators' recipe")
    parser.add_argument("--songs", type=int, default=100, metavar="N", help="songs to train on, of three or four stems")
    parser.add_argument("--duration", type=float, default=15.0, metavar="SECONDS", help="of a training stem's excerpt")
    parser.add_argument("--test-duration", type=float, default=30.0, metavar="SECONDS", help="of a test song's excerpt")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that mix ahead of the model")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="what is made on the way; default: OUT.work")
    args = parser.parse_args(arguments)
    args.cache = args.cache or args.output.with_suffix(".work")
    args.part, args.faults = args.part or ["a"], args.faults or [0]
    args.examples = {model: args.examples or number for model, number in EXAMPLES.items()}
    args.refined = dict(args.refined)
    known = {row.name for part in args.part for row in ROWS[part]}
    if unknown := set(args.row or ()) - known:
        parser.error(f"no row named {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    return args


def main() -> None:
    """Command line."""
    arguments = parsed()
    torch.set_num_threads(1)
    try:
        planted = planted_of(arguments)
        if arguments.plant_only:
            plant(planted)
            return
        work(arguments, planted)
    except StemcleanError as error:
        sys.exit(f"error: {error}")


def work(arguments: argparse.Namespace, planted: Sequence[Planted]) -> None:
    """Do what is missing of the parts."""
    runs = Runs(arguments.output, settings_of(arguments), command=command_of(arguments))
    test = songs.cut(arguments.heldout, arguments.cache, arguments.test_duration)
    counts = material.counts(planted[0].believing("claimed"))
    runs.result |= {"data": {"trained": counts, "test": test.counts}, "labels": planted[0].truth.labels}
    bench = Bench(test, arguments.examples, arguments.set, arguments.workers)
    recipe = classifier_recipe("small", arguments.classifier_examples)
    labellings = {dataset.seed: Labelling(dataset, recipe, arguments.refined.get(dataset.seed)) for dataset in planted}
    for faults, seed, row in tasks(arguments.part, arguments.faults, arguments.seeds):
        if not arguments.row or row.name in arguments.row:
            for run in runs.missing([described(row, labellings[faults], seed)]):
                runs.add(run | bench.run(row, labellings[faults], seed))
    print(f"{len(runs)} runs in {arguments.output}")


def _refined(text: str) -> tuple[int, Path]:
    """``0=REFINED.work``."""
    seed, _, folder = text.partition("=")
    if not seed.isdigit() or not (Path(folder) / "round2.manifest.json").exists():
        raise argparse.ArgumentTypeError(f"{text}: give SEED=DIR with the work folder of refine --self --rounds 2")
    return int(seed), Path(folder)


if __name__ == "__main__":
    main()
