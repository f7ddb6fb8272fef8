"""Mutated audio files, in folders of a hundred: how ``trim`` and ``refine`` handle each folder and each file."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.robustness import audio_faults, judging, results, sounds, watching

__all__ = ["SONGS", "attack", "draw_folder", "judged"]

Record = dict[str, Any]
FOLDER = 100
"""Files of a folder; four make a song."""
LIMIT_SECONDS = 600.0
LIMIT_SEARCH_SECONDS = 120.0
ROUNDS = 5
SEARCHES = 40
"""Largest number of runs for finding the files that cause a failure."""

SONGS = {
    b"song \x1b[31m": 0.02, b"song\nerror: a forged line": 0.02, b"song \xff": 0.02, "song \u202e".encode(): 0.01,
    b"-o": 0.01, b"song 'a\" $HOME": 0.01,
}  # fmt: skip
"""Unusual names of songs -> their frequency."""

WAYS = {
    "trim": ["trim", "stems", "out", "--regions-only", "--json"],
    "refine": ["refine", "stems", "-o", "out/refined.json", "--json"],
}


@cache
def _whole(base: Path, label: str) -> list[Path]:
    return sorted(base.rglob(f"{label} *"))


def draw_folder(seed: int, number: int, base: Path, folder: Path, size: int = FOLDER) -> dict[str, Record]:
    """Write a folder of mutated files.

    Args:
        seed, number: what it is drawn by.
        base: whole files, as :func:`sounds.write_all` has them.
        folder: made anew.
        size: number of files.

    Returns:
        The path of each file as a manifest names it -> format and faults.
    """
    rng = random.Random(f"audio {seed} {number}")
    shutil.rmtree(folder, ignore_errors=True)
    drawn: dict[str, Record] = {}
    song = b""
    for index in range(size):
        label = sounds.CLASSES[index % 4]
        if index % 4 == 0:
            names = [*SONGS, b"song"]
            song = rng.choices(names, [*SONGS.values(), 1 - sum(SONGS.values())])[0] + f" {index // 4}".encode()
        family = rng.choice(list(sounds.FORMATS))
        source = rng.choice(sorted((base / family).glob(f"{label} *")))
        data, faults = audio_faults.damaged(
            rng, source.read_bytes(), lambda label=label: rng.choice(_whole(base, label)).read_bytes()
        )
        ending = source.name.partition(".")[2]
        if rng.random() < 0.03:
            ending = rng.choice(sorted({ending for ending, _, _ in sounds.FORMATS.values()}))
            faults.append("other_ending")
        path = os.fsencode(folder) + b"/" + song + b"/" + f"{label}.{ending}".encode()
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - names that are no text
        with open(path, "wb") as file:
            file.write(data)
        name = os.path.relpath(path, os.fsencode(folder)).decode("utf-8", "backslashreplace")
        drawn[name] = {"kind": family, "faults": faults, "file": os.fsdecode(path)}
    return drawn


def judged(process: watching.Ended, folder: Path, names: Sequence[str], digest: str) -> Record:
    """Return the outcome of a run over ``folder/stems``, with its failures and the fate of each file.

    Args:
        process: the run.
        folder: with ``stems``, ``out`` and ``tmp``.
        names: the files as a manifest names them.
        digest: of ``stems`` before the run.
    """
    outcome = judging.of_command(process.exit_code, process.stdout, process.stderr, "")
    outcome |= {"cpu_seconds": round(process.cpu_seconds, 2), "memory_mb": process.memory_mb}
    outcome["failures"] += ["hang"] * process.hung + ["memory"] * (process.memory_mb > judging.MUCH_MB)
    if process.exit_code not in {0, 3} and not process.hung and not outcome["failures"]:
        outcome["failures"].append("exit_code")
    if process.exit_code in {0, 3}:
        outcome["fates"] = fates = _fates(folder / "out", names)
        outcome["failures"] += ["unaccounted"] * any(fate == "unaccounted" for fate in fates.values())
    of_torch = "torchinductor_"  # a folder for caches that importing torch makes
    temporary = [path for path in (folder / "tmp").iterdir() if not path.name.startswith(of_torch)]
    left = process.orphans or temporary or judging.of_leftovers(folder / "out")
    outcome["failures"] += ["leftovers"] * bool(left)
    outcome["failures"] += ["source_changed"] * (digest_of(folder / "stems") != digest)
    return outcome


def _fates(out: Path, names: Sequence[str]) -> dict[str, str]:
    """Return what a manifest says of each file: ``stem``, ``skipped/REASON`` or ``unaccounted``."""
    manifest = json.loads(next(out.glob("*.json")).read_text(encoding="utf-8"))
    fates: dict[str, str] = {}
    for skip in manifest["skipped"]:
        fates[skip["path"]] = fates[skip["path"].rpartition("#")[0]] = f"skipped/{skip['reason']}"
    for stem in manifest["stems"]:
        fates[stem["path"]] = "stem"
        if stem.get("source"):
            fates[stem["source"]["path"]] = "stem"
    return {name: fates.get(name, "unaccounted") for name in names}


def digest_of(folder: Path) -> str:
    """Return a digest of all files below a folder, with their names."""
    digest = hashlib.sha256()
    for where, folders, names in os.walk(os.fsencode(folder)):
        folders.sort()
        for name in sorted(names):
            path = where + b"/" + name
            digest.update(path + b"\0")
            with open(path, "rb") as file:
                digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def _run(way: str, folder: Path, names: Sequence[str], limit: float) -> Record:
    """Run one command over ``folder/stems``."""
    for name in ("out", "tmp"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    digest = digest_of(folder / "stems")
    process = watching.run(
        WAYS[way], folder, {"TMPDIR": str(folder / "tmp"), "XDG_CACHE_HOME": str(folder / "cache")}, limit
    )
    return judged(process, folder, names, digest)


def _culprits(way: str, failure: str, folder: Path, drawn: dict[str, Record], left: list[int]) -> list[str]:
    """Return the files that cause a failure: a single one, or one of the smallest group that does.

    Args:
        way: the command.
        failure: a name of :data:`judging.FAILURES`.
        folder: a folder to work in.
        drawn: the files.
        left: one number, the remaining runs; counted down.
    """
    if left[0] <= 0:
        return []
    left[0] -= 1
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "stems").mkdir(parents=True)
    for record in drawn.values():
        source = os.fsencode(record["file"])
        to = os.fsencode(folder / "stems") + b"/" + b"/".join(source.split(b"/")[-2:])
        os.makedirs(os.path.dirname(to), exist_ok=True)  # noqa: PTH103, PTH120
        os.link(source, to)
    outcome = _run(way, folder, list(drawn), LIMIT_SEARCH_SECONDS)
    if failure not in outcome["failures"]:
        return []
    if len(drawn) == 1:
        next(iter(drawn.values()))["error"] = outcome.get("error", "")
        return list(drawn)
    names = list(drawn)
    halves = (names[: len(names) // 2], names[len(names) // 2 :])
    culprits = [
        name for half in halves for name in _culprits(way, failure, folder, {key: drawn[key] for key in half}, left)
    ]
    return culprits or ([] if left[0] <= 0 else ["several together"])


def attack(seed: int, number: int, work: Path, ways: Sequence[str] = tuple(WAYS), size: int = FOLDER) -> list[Record]:
    """Run every command over one folder; return the outcome for each file, and every failure with the file that causes
    it.
    """
    folder = work / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    drawn = draw_folder(seed, number, work / "base", folder / "stems", size)
    every: list[Record] = []
    for way in ways:
        left = dict(drawn)
        for _ in range(ROUNDS):  # a file that ends the run is put aside, so that the others are tried
            outcome = _run(way, folder, list(left), LIMIT_SECONDS)
            fates = outcome.pop("fates", {})
            blame = _blamed(way, outcome, fates, left, work)
            ended = [name for name in blame if name and not fates]
            if not ended:
                break
            for name in ended:
                every.append(
                    _failed(
                        way, number, name, left.pop(name), blame[name], outcome, work / "failed" / f"{seed}-{number}"
                    )
                )
                os.unlink(os.fsencode(drawn[name]["file"]))  # noqa: PTH108 - a name that may be no text
        every += [
            _fate(way, number, name, record, fates, blame, outcome, work / "failed" / f"{seed}-{number}")
            for name, record in left.items()
        ]
        if blame.get(""):
            every.append(
                {
                    "kind": "",
                    "outcome": "folder",
                    "failures": blame[""],
                    "error": outcome.get("error", ""),
                    "way": way,
                    "folder": number,
                }
            )
        every[-1]["cpu_seconds"], every[-1]["memory_mb"] = outcome["cpu_seconds"], outcome["memory_mb"]
        if len(left) < len(drawn):
            drawn = draw_folder(seed, number, work / "base", folder / "stems", size)
    return every


def _fate(
    way: str,
    number: int,
    name: str,
    record: Record,
    fates: dict[str, str],
    blame: dict[str, list[str]],
    outcome: Record,
    folder: Path,
) -> Record:
    """Return the outcome for a file."""
    if blame.get(name):
        return _failed(way, number, name, record, blame[name], outcome, folder)
    return {
        "kind": record["kind"],
        "outcome": fates.get(name, "no result"),
        "failures": [],
        "way": way,
        "folder": number,
    }


def _failed(
    way: str, number: int, name: str, record: Record, failures: list[str], outcome: Record, folder: Path
) -> Record:
    """Return the failure of a file, and keep the file."""
    kept = folder / Path(record["file"]).parent.name / Path(record["file"]).name
    results.keep(Path(record["file"]), kept)
    return {
        "kind": record["kind"], "outcome": "failed", "failures": failures, "way": way, "folder": number, "file": name,
        "faults": record["faults"], "exit_code": outcome["exit_code"],
        "error": record.get("error") or outcome.get("error", ""),
    }  # fmt: skip


def _blamed(
    way: str, outcome: Record, fates: dict[str, str], drawn: dict[str, Record], work: Path
) -> dict[str, list[str]]:
    """Return the failures of each file; failures without a single cause are listed under the name ``""``."""
    blame: dict[str, list[str]] = {}
    left = [SEARCHES]
    for failure in outcome["failures"]:
        if failure == "unaccounted":
            names = [name for name, fate in fates.items() if fate == "unaccounted"]
        elif failure in {"memory", "leftovers", "source_changed"}:
            names = []
        else:
            names = _culprits(way, failure, work / "search", drawn, left)
        for name in names or [""]:
            blame.setdefault(name if name in drawn else "", []).append(failure)
    return blame


def work_through(arguments: argparse.Namespace) -> None:
    """Run the part on audio files."""
    sounds.write_all(arguments.songs or sounds.BAND, arguments.work / "base")
    if arguments.case is not None:
        for case in attack(arguments.seed, arguments.case, arguments.work):
            if case["failures"]:
                print(json.dumps(case, indent=1))
        return
    settings = {"seed": arguments.seed, "cases": arguments.cases, "songs": bool(arguments.songs)}
    result = results.Result(arguments.output, arguments.part, settings)
    for number in range(-(-arguments.cases // FOLDER)):
        if number not in result.batches:
            every = attack(arguments.seed, number, arguments.work)
            peak = max([result.record.get("memory_mb", 0), *(case.get("memory_mb", 0) for case in every)])
            result.add(number, every, memory_mb=peak)
            print(result.summary(), file=sys.stderr)
