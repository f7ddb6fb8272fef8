"""Commands on disks that are full, read-only or limited; with enough space again, the same command must succeed.

Full and read-only disks are file systems in memory that only root can mount; without root they are left out, with a
message. The limit on the size of a file (``ulimit -f``) works for every user.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.robustness import disk_sounds, judging, kills, results, sounds, watching
from benchmarks.robustness.audio import digest_of

__all__ = ["JOBS", "WAYS", "can_mount", "case", "reference", "work_through"]

Record = dict[str, Any]
LIMIT_SECONDS = disk_sounds.LIMIT_SECONDS
AMPLE = 1 << 30
PAGE = 4096
FINE = frozenset({0, 3})
PLACES = ("out", "cache", "tmp")
"""Folders that a run writes to, next to its inputs."""

_CLASSIFIER = ["loop.examples=16", "loop.batch_size=4", "loop.validations=2", "options.n_mels=32"]
_CLASSIFIER = kills.settings([*_CLASSIFIER, "spec.sample_rate=16000", "loop.precision=no"])
_PITCH = ["spec.sample_rate=8000", "spec.segment=4000", "loop.batch_size=4", "loop.examples=8", "loop.validations=2"]
_PITCH += ["validation_share=0.25", "validation_examples=2", "loop.precision=no"]
_TRACKER = [*_PITCH, "options.hop=80", "options.capacity=1"]
_JOINT = [*_PITCH, "tracker.spec.sample_rate=8000", "tracker.spec.segment=4000", "tracker.options.hop=80"]
_JOINT += [f"options.{key}={json.dumps(value)}" for key, value in disk_sounds.SEPARATOR.items()]
_JOINT += ["options.hop_length=80", "options.n_fft=256", "tracker.options.capacity=1"]

JOBS: dict[str, list[str]] = {
    **{verb: words for verb, words in kills.VERBS.items() if "-" not in verb},
    "train-classifier": ["train-classifier", "refined.json", "-o", "out/w.safetensors", *_CLASSIFIER],
    "train-separator": [*kills.VERBS["train-separator"], "--workers", "0"],
    "refine --self": ["refine", "stems", "--self", "-o", "out/refined.json", "--rounds", "1", *_CLASSIFIER],
    "trim loud": ["trim", "loud", "out/trimmed"],
    "corrupt": ["corrupt", "stems", "out/planted", "--foreign", "0.2"],
    "separate": ["separate", "long.wav", "-o", "out/separated", "--weights", "file:separator.safetensors"],
    "f0": ["f0", "sung", "-o", "out/f0", "--weights", "file:tracker.safetensors"],
    "train-tracker": ["train-tracker", "sung", "-o", "out/w.safetensors", "--recipe", "crepe-small",
                      *kills.settings(_TRACKER), "--workers", "0"],
    "train-joint": ["train-joint", "sung", "-o", "out/w.safetensors", "--tracker", "crepe-small",
                    "--recipe", "unet-vocals-small", *kills.settings(_JOINT), "--workers", "0"],
    "eval separation": ["eval", "separation", "sung", "sung", "-o", "out/evaluation", "--csv", "out/songs.csv",
                        "--classes", "vocals,other", "--metrics", "sdr,si-sdr"],
    "eval pitch": ["eval", "pitch", "sung", "found", "--csv", "out/songs.csv", "--plot", "out/worst.png"],
    "eval labels": ["eval", "labels", "refined.json", "--truth", "planted/truth.json"],
}  # fmt: skip
"""Job -> arguments of ``stemclean``."""

WAYS = ("full", "full cache", "full tmp", "limit", "read-only", "read-only cache", "read-only tmp", "no tmp",
        "stdout full", "stderr closed", "all closed")  # fmt: skip
OFTEN = {"full": 1, "full cache": 3, "limit": 3}
"""Constraints with a size -> one in so many of the requested cases; other constraints have one case per job."""


NOWHERE = (
    'for one in "$1" /tmp /var/tmp "$0"; do if [ -d "$one" ]; then '
    'mount --rbind "$one" "$one" && mount -o remount,bind,ro "$one" || exit 99; fi; done; '
    'cd "$0" || exit 99; shift; exec "$@"'
)
"""A script that makes all places for temporary files read-only: $0 is the working directory, $1 the usual place."""


NO_TEMPORARY = "no folder for temporary files"


def can_mount() -> bool:
    """Return whether disks can be mounted."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
        if process.returncode == 0:
            subprocess.run(["umount", folder], check=True)
    return process.returncode == 0


@contextmanager
def _mounted(folders: Sequence[Path]) -> Iterator[None]:
    """Disks in memory with ample room."""
    for folder in folders:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={AMPLE}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        for folder in folders:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def _remounted(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def _environment(folder: Path) -> dict[str, str]:
    return {
        "TMPDIR": str(folder / "tmp"), "XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def _emptied(folder: Path) -> None:
    for name in PLACES:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()


@contextmanager
def _measuring(folders: Sequence[Path]) -> Iterator[dict[str, int]]:
    """Record the largest number of bytes on each disk."""
    most = dict.fromkeys((folder.name for folder in folders), 0)
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.003):
            for folder in folders:
                disk = os.statvfs(folder)
                most[folder.name] = max(most[folder.name], (disk.f_blocks - disk.f_bfree) * disk.f_frsize)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def reference(job: str, work: Path, *, mounting: bool) -> Record:
    """Return what an undisturbed run writes, and how much space it takes."""
    kept = work / f"{job}.reference.json"
    if kept.exists():
        document: Record = json.loads(kept.read_text(encoding="utf-8"))
        return document
    _emptied(work)
    folders = [work / name for name in PLACES] if mounting else []
    with _mounted(folders), _measuring(folders) as most:
        process = watching.run([*JOBS[job], "--json"], work, _environment(work), LIMIT_SECONDS)
        trees = {name: kills.tree(work / name) for name in PLACES}
        largest = max((path.stat().st_size for path in (work / "out").rglob("*") if path.is_file()), default=0)
    if process.exit_code not in FINE:
        sys.exit(f"stemclean {' '.join(JOBS[job])}\nended with {process.exit_code} in {work}:\n{process.stderr}")
    document = {
        "seconds": process.seconds,
        "trees": trees,
        "most": most,
        "largest": largest,
        "exit_code": process.exit_code,
    }
    kept.write_text(json.dumps(document), encoding="utf-8")
    return document


def cases(seed: int, job: str, whole: Record, number: int, *, mounting: bool) -> list[tuple[str, int]]:
    """Return the constraints and sizes to try for a job, without those that would have no effect."""
    rng = random.Random(f"disks {seed} {job}")
    drawn: list[tuple[str, int]] = []
    for way in WAYS:
        if not mounting and way.startswith(("full", "read-only", "no")):
            continue
        folder = way.partition(" ")[2] or "out"
        most = whole["largest"] if way == "limit" else whole["most"].get(folder, 0)
        if not most and folder in {"out", "cache"} and not way.startswith(("limit", "stdout", "stderr", "all")):
            continue
        if way in OFTEN and most:
            count = -(-number // OFTEN[way])
            drawn += [(way, max(1, int(most * (at + rng.random()) / count))) for at in range(count)]
        elif way not in OFTEN:
            drawn.append((way, 0))
    return drawn


def case(job: str, way: str, size: int, work: Path, whole: Record) -> Record:
    """Run a command with a constrained disk, and again with enough space.

    Args:
        size: bytes of the disk, or of a file at most.
    """
    _emptied(work)
    source = _sources(work)
    folders = [work / name for name in PLACES] if way.startswith(("full", "read-only", "no")) else []
    with _mounted(folders):
        first = _constrained(job, way, size, work)
        outcome = _judged(job, way, first, work, whole)
        for folder in folders:
            _remounted(folder, f"rw,size={AMPLE}")
        again = watching.run([*JOBS[job], "--json"], work, _environment(work), LIMIT_SECONDS)
        failures = judging.of_command(again.exit_code, again.stdout, again.stderr, "")["failures"]
        failures += ["never_done"] * (again.exit_code not in FINE) + ["leftovers"] * bool(again.orphans)
        trees = {name: kills.tree(work / name) for name in PLACES}
    if again.exit_code in FINE:
        differs = any(trees["out"].get(name) != digest for name, digest in whole["trees"]["out"].items())
        extra = {name: sorted(set(trees[name]) - set(whole["trees"][name])) for name in PLACES}
        failures += ["other_bytes"] * differs + ["leftovers"] * any(extra.values())
        outcome["extra"] = [name for names in extra.values() for name in names][:10]
    if failures:
        outcome["again"] = [again.exit_code, again.stderr[-500:]]
    outcome["failures"] += failures + ["source_changed"] * (_sources(work) != source)
    outcome["cpu_seconds"] = round(first.cpu_seconds + again.cpu_seconds, 2)
    return outcome


def _sources(folder: Path) -> str:
    """Return a digest of all inputs."""
    every = [digest_of(folder / name) for name in ("stems", "planted", "loud", "sung", "found")]
    every += [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.*"))]
    return " ".join(every)


def _constrained(job: str, way: str, size: int, folder: Path) -> watching.Ended:
    """Run the command under the constraint."""
    limit, _, where = way.partition(" ")
    wrapped: list[str] = []
    if limit == "full":
        _remounted(folder / (where or "out"), f"size={max(PAGE, size // PAGE * PAGE)}")
    elif limit == "read-only":
        _remounted(folder / (where or "out"), "ro")
    elif limit == "no":
        wrapped = ["unshare", "--mount", "/bin/sh", "-c", NOWHERE, str(folder), str(folder / where)]
    elif limit == "limit":
        program = "import os,resource,sys; n=int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE,(n,n)); "
        wrapped = [sys.executable, "-c", f"{program}os.execv(sys.argv[2],sys.argv[2:])", str(max(PAGE, size))]
    elif limit in {"stdout", "stderr", "all"}:
        words = {"stdout": ">/dev/full", "stderr": "2>&-", "all": "<&- >&- 2>&-"}[limit]
        wrapped = ["/bin/sh", "-c", f'exec "$@" {words}', "sh"]
    return watching.run([*JOBS[job], "--json"], folder, _environment(folder), LIMIT_SECONDS, wrapped)


def _judged(job: str, way: str, process: watching.Ended, work: Path, whole: Record) -> Record:
    """Return the outcome of the constrained run."""
    limit, _, where = way.partition(" ")
    name = {"stdout": "stdout"}.get(limit, where if where in PLACES else "out")
    if process.exit_code in FINE and not limit.startswith(("stderr", "all", "stdout")):
        name = ""
    outcome: Record = judging.of_command(process.exit_code, process.stdout, process.stderr, "")
    outcome["failures"] = [item for item in outcome["failures"] if item != "not_json" or limit not in {"stdout", "all"}]
    if process.exit_code == 2:
        lines = process.stderr.splitlines()
        at = next((at for at, line in enumerate(lines) if line.startswith("error: ")), None)
        names = PLACES if limit == "limit" else (name,)  # any file may be the one that grew too large
        known = [words for item in names for words in (f"error: {item}", f"{work}/{item}")]
        known += [NO_TEMPORARY] * (limit == "no")
        if at is None or not any(words in lines[at] for words in known):
            outcome["failures"].append("unnamed")
        elif not any(line.startswith("  ") for line in lines[at + 1 :]):
            outcome["failures"].append("no_step")
    if limit in {"stderr", "all"} and process.exit_code != whole["exit_code"]:
        outcome["failures"].append("exit_code")
    outcome["failures"] += ["hang"] * process.hung + ["leftovers"] * bool(process.orphans)
    for folder in PLACES:
        outcome["failures"] += judging.of_leftovers(work / folder)
    outcome["failures"] += ["half_written"] * bool(half := _half_written(work / "out", whole["trees"]["out"]))
    if outcome["failures"]:
        outcome |= {"stderr": process.stderr[-800:], "half": half}
    return outcome | {"kind": job, "way": way, "outcome": f"{way}/exit {process.exit_code}"}


def _half_written(folder: Path, whole: dict[str, str]) -> list[str]:
    """Return files that are incomplete under their final names; a valid JSON document of the progress is no fault."""
    half = []
    for name, digest in kills.tree(folder).items():
        if name in whole and digest != whole[name]:
            try:
                json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError:
                half.append(name)
    return half


def work_through(arguments: argparse.Namespace) -> None:
    """Run the part on disks."""
    mounting = can_mount()
    settings = {"seed": arguments.seed, "cases": arguments.cases, "songs": bool(arguments.songs), "mounting": mounting}
    result = results.Result(arguments.output, arguments.part, settings)
    if not mounting:
        print("no disk can be mounted here: only limits and closed streams are tried", file=sys.stderr)
    jobs = arguments.only or list(JOBS)
    if unknown := set(jobs) - set(JOBS):
        sys.exit(f"no job {', '.join(sorted(unknown))}; known: {', '.join(JOBS)}")
    if result.fresh:
        shutil.rmtree(arguments.work, ignore_errors=True)
    disk_sounds.prepare(arguments.songs or sounds.BAND, arguments.work)
    for job in jobs:
        whole = reference(job, arguments.work, mounting=mounting)
        for way, size in cases(arguments.seed, job, whole, arguments.cases, mounting=mounting):
            if f"{job}/{way}/{size}" not in result.batches:
                outcome = case(job, way, size, arguments.work, whole) | {"size": size}
                result.add(f"{job}/{way}/{size}", [outcome])
                if outcome["failures"]:
                    print(json.dumps(outcome, indent=1), file=sys.stderr)
        print(result.summary(), file=sys.stderr)
