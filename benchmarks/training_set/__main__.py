"""Build the training set: python -m benchmarks.training_set MATERIAL DST."""

import argparse
import importlib
import multiprocessing
import os
import sys
from pathlib import Path

from tqdm import tqdm

from .fewer import fewer
from .track import Job, generator_for, write_table, write_track

KINDS = ("songs", "voices", "singing", "midi", "samples", "synth", "sung_speech")


def main() -> int:
    """Make what is missing, kind by kind, and return 0 where every track could be made."""
    arguments = _arguments()
    arguments.dst.mkdir(parents=True, exist_ok=True)
    failures = []
    for kind in arguments.only:
        failures += build(kind, arguments.material, arguments.dst, arguments.workers, arguments.seed, arguments.few)
        rows = write_table(arguments.dst)
        print(f"{kind}: {rows} stems in {arguments.dst / 'stems.csv'}", file=sys.stderr)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def build(kind: str, material: Path, dst: Path, workers: int, seed: int, few: int = 0) -> list[str]:
    """Make the missing tracks of one kind, a few of them or all; return a line for each that could not be made."""
    jobs = importlib.import_module(f".{kind}", __package__).jobs(material)
    jobs = fewer(jobs, few) if few else jobs
    missing = [(job, material, dst, seed) for job in jobs if not (dst / job.track).exists()]
    context = multiprocessing.get_context("fork")
    with context.Pool(workers, maxtasksperchild=50) as pool:
        results = pool.imap_unordered(_make, missing)
        return [line for line in tqdm(results, kind, len(missing)) if line]


def _make(task: tuple[Job, Path, Path, int]) -> str:
    job, material, dst, seed = task
    try:
        module = importlib.import_module(f".{job.kind}", __package__)
        stems = module.render(job, material, generator_for(seed, job.track))
        return "" if write_track(job, stems, dst) else f"{job.track}: no usable stem"
    except Exception as error:  # noqa: BLE001 one bad file never stops the build
        return f"{job.track}: {type(error).__name__}: {error}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_set", description=__doc__)
    parser.add_argument("material", type=Path, help="folder with songs/, singing/, voices/, midi/, samples/")
    parser.add_argument("dst", type=Path, help="folder the tracks are written to")
    parser.add_argument("--only", type=_kinds, default=KINDS, help=f"some of {','.join(KINDS)}")
    parser.add_argument(
        "--few",
        type=int,
        default=0,
        metavar="N",
        help="a small set: N tracks of each kind to train on, and what is held out; default: the whole set",
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _kinds(text: str) -> tuple[str, ...]:
    unknown = set(text.split(",")) - set(KINDS)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in text.split(","))


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    sys.exit(main())
