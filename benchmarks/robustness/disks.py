"""Commands on disks that are full, read-only or limited; with room again, the same command must end as if nothing was.

Full and read-only disks are file systems in memory that root can mount; elsewhere those ways are left out, and said to
be. The limit of a file's size (``ulimit -f``) works for everybody.
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
"""Folders that a run writes to, beside what it reads."""

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
"""What is run -> the words behind ``stemclean``."""

WAYS = ("full", "full cache", "full tmp", "limit", "read-only", "read-only cache", "read-only tmp", "no tmp",
        "stdout full", "stderr closed", "all closed")  # fmt: skip
OFTEN = {"full": 1, "full cache": 3, "limit": 3}
"""Ways that have a size: of as many cases as asked for, one in so many; of other ways, a job has one."""


NOWHERE = (
    'for one in "$1" /tmp /var/tmp "$0"; do if [ -d "$one" ]; then '
    'mount --rbind "$one" "$one" && mount -o remount,bind,ro "$one" || exit 99; fi; done; '
    'cd "$0" || exit 99; shift; exec "$@"'
)
"""A script that makes all places for temporary files read-only: $0 is the working directory, $1 the usual place."""


NO_TEMPORARY = "no folder for temporary files"


def can_mount() -> bool:
    """Whether disks can be mounted here."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
    return done.returncode == 0


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


def _environment(place: Path) -> dict[str, str]:
    return {
        "TMPDIR": str(place / "tmp"), "XDG_CACHE_HOME": str(place / "cache"), "HOME": str(place / "cache"),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def _emptied(place: Path) -> None:
    for name in PLACES:
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir()


@contextmanager
def _measuring(folders: Sequence[Path]) -> Iterator[dict[str, int]]:
    """The most bytes that lay on each disk."""
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


def reference(job: str, place: Path, *, mounting: bool) -> Record:
    """What an undisturbed run writes, and how much room it takes."""
    kept = place / f"{job}.reference.json"
    if kept.exists():
        told: Record = json.loads(kept.read_text(encoding="utf-8"))
        return told
    _emptied(place)
    folders = [place / name for name in PLACES] if mounting else []
    with _mounted(folders), _measuring(folders) as most:
        done = watching.run([*JOBS[job], "--json"], place, _environment(place), LIMIT_SECONDS)
        trees = {name: kills.tree(place / name) for name in PLACES}
        largest = max((path.stat().st_size for path in (place / "out").rglob("*") if path.is_file()), default=0)
    if done.exit_code not in FINE:
        sys.exit(f"stemclean {' '.join(JOBS[job])}\nended with {done.exit_code} in {place}:\n{done.stderr}")
    told = {"seconds": done.seconds, "trees": trees, "most": most, "largest": largest, "exit_code": done.exit_code}
    kept.write_text(json.dumps(told), encoding="utf-8")
    return told


def cases(seed: int, job: str, whole: Record, number: int, *, mounting: bool) -> list[tuple[str, int]]:
    """Ways and sizes that a job is tried with; those that would not be noticed are left out."""
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


def case(job: str, way: str, size: int, place: Path, whole: Record) -> Record:
    """One run with a disk as the way says, and one with room again.

    Args:
        size: bytes of the disk, or of a file at most.
    """
    _emptied(place)
    source = _sources(place)
    folders = [place / name for name in PLACES] if way.startswith(("full", "read-only", "no")) else []
    with _mounted(folders):
        first = _constrained(job, way, size, place)
        told = _judged(job, way, first, place, whole)
        for folder in folders:
            _remounted(folder, f"rw,size={AMPLE}")
        again = watching.run([*JOBS[job], "--json"], place, _environment(place), LIMIT_SECONDS)
        failures = judging.of_command(again.exit_code, again.stdout, again.stderr, "")["failures"]
        failures += ["never_done"] * (again.exit_code not in FINE) + ["leftovers"] * bool(again.orphans)
        found = {name: kills.tree(place / name) for name in PLACES}
    if again.exit_code in FINE:
        differs = any(found["out"].get(name) != digest for name, digest in whole["trees"]["out"].items())
        extra = {name: sorted(set(found[name]) - set(whole["trees"][name])) for name in PLACES}
        failures += ["other_bytes"] * differs + ["leftovers"] * any(extra.values())
        told["extra"] = [name for names in extra.values() for name in names][:10]
    if failures:
        told["again"] = [again.exit_code, again.stderr[-500:]]
    told["failures"] += failures + ["source_changed"] * (_sources(place) != source)
    told["cpu_seconds"] = round(first.cpu_seconds + again.cpu_seconds, 2)
    return told


def _sources(place: Path) -> str:
    """Of all that is read."""
    every = [digest_of(place / name) for name in ("stems", "planted", "loud", "sung", "found")]
    every += [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(place.glob("*.*"))]
    return " ".join(every)


def _constrained(job: str, way: str, size: int, place: Path) -> watching.Ended:
    """The first run."""
    what, _, where = way.partition(" ")
    wrapped: list[str] = []
    if what == "full":
        _remounted(place / (where or "out"), f"size={max(PAGE, size // PAGE * PAGE)}")
    elif what == "read-only":
        _remounted(place / (where or "out"), "ro")
    elif what == "no":
        wrapped = ["unshare", "--mount", "/bin/sh", "-c", NOWHERE, str(place), str(place / where)]
    elif what == "limit":
        program = "import os,resource,sys; n=int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE,(n,n)); "
        wrapped = [sys.executable, "-c", f"{program}os.execv(sys.argv[2],sys.argv[2:])", str(max(PAGE, size))]
    elif what in {"stdout", "stderr", "all"}:
        words = {"stdout": ">/dev/full", "stderr": "2>&-", "all": "<&- >&- 2>&-"}[what]
        wrapped = ["/bin/sh", "-c", f'exec "$@" {words}', "sh"]
    return watching.run([*JOBS[job], "--json"], place, _environment(place), LIMIT_SECONDS, wrapped)


def _judged(job: str, way: str, done: watching.Ended, place: Path, whole: Record) -> Record:
    """What the first run did."""
    what, _, where = way.partition(" ")
    name = {"stdout": "stdout"}.get(what, where if where in PLACES else "out")
    if done.exit_code in FINE and not what.startswith(("stderr", "all", "stdout")):
        name = ""
    told: Record = judging.of_command(done.exit_code, done.stdout, done.stderr, "")
    told["failures"] = [one for one in told["failures"] if one != "not_json" or what not in {"stdout", "all"}]
    if done.exit_code == 2:
        lines = done.stderr.splitlines()
        at = next((at for at, line in enumerate(lines) if line.startswith("error: ")), None)
        names = PLACES if what == "limit" else (name,)  # any file may be the one that grew too large
        known = [words for one in names for words in (f"error: {one}", f"{place}/{one}")]
        known += [NO_TEMPORARY] * (what == "no")
        if at is None or not any(words in lines[at] for words in known):
            told["failures"].append("unnamed")
        elif not any(line.startswith("  ") for line in lines[at + 1 :]):
            told["failures"].append("no_step")
    if what in {"stderr", "all"} and done.exit_code != whole["exit_code"]:
        told["failures"].append("exit_code")
    told["failures"] += ["hang"] * done.hung + ["leftovers"] * bool(done.orphans)
    for folder in PLACES:
        told["failures"] += judging.of_leftovers(place / folder)
    told["failures"] += ["half_written"] * bool(half := _half_written(place / "out", whole["trees"]["out"]))
    if told["failures"]:
        told |= {"stderr": done.stderr[-800:], "half": half}
    return told | {"kind": job, "way": way, "outcome": f"{way}/exit {done.exit_code}"}


def _half_written(folder: Path, whole: dict[str, str]) -> list[str]:
    """Files under their own names that are not what they will be; a document that says what is done so far may be."""
    half = []
    for name, digest in kills.tree(folder).items():
        if name in whole and digest != whole[name]:
            try:
                json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError:
                half.append(name)
    return half


def work_through(given: argparse.Namespace) -> None:
    """The part of disks."""
    mounting = can_mount()
    settings = {"seed": given.seed, "cases": given.cases, "songs": bool(given.songs), "mounting": mounting}
    result = results.Result(given.output, given.part, settings)
    if not mounting:
        print("no disk can be mounted here: only limits and closed streams are tried", file=sys.stderr)
    jobs = given.only or list(JOBS)
    if unknown := set(jobs) - set(JOBS):
        sys.exit(f"no job {', '.join(sorted(unknown))}; known: {', '.join(JOBS)}")
    if result.fresh:
        shutil.rmtree(given.work, ignore_errors=True)
    disk_sounds.prepare(given.songs or sounds.BAND, given.work)
    for job in jobs:
        whole = reference(job, given.work, mounting=mounting)
        for way, size in cases(given.seed, job, whole, given.cases, mounting=mounting):
            if f"{job}/{way}/{size}" not in result.done:
                told = case(job, way, size, given.work, whole) | {"size": size}
                result.add(f"{job}/{way}/{size}", [told])
                if told["failures"]:
                    print(json.dumps(told, indent=1), file=sys.stderr)
        print(result.told(), file=sys.stderr)
