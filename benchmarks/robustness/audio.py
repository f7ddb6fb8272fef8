"""Mutated audio files, in folders of a hundred: what ``trim`` and ``refine`` make of each folder, and of which file."""

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
"""Runs that may go into finding the files of a folder that did it."""

SONGS = {
    b"song \x1b[31m": 0.02, b"song\nerror: a forged line": 0.02, b"song \xff": 0.02, "song \u202e".encode(): 0.01,
    b"-o": 0.01, b"song 'a\" $HOME": 0.01,
}  # fmt: skip
"""Names of songs that are no ordinary ones -> how often they come."""

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


def judged(done: watching.Ended, place: Path, wanted: Sequence[str], digest: str) -> Record:
    """What a run over ``place/stems`` did, with its failures, and what became of each file.

    Args:
        done: the run.
        place: with ``stems``, ``out`` and ``tmp``.
        wanted: the files as a manifest names them.
        digest: of ``stems`` before the run.
    """
    told = judging.of_command(done.exit_code, done.stdout, done.stderr, "")
    told |= {"cpu_seconds": round(done.cpu_seconds, 2), "memory_mb": done.memory_mb}
    told["failures"] += ["hang"] * done.hung + ["memory"] * (done.memory_mb > judging.MUCH_MB)
    if done.exit_code not in {0, 3} and not done.hung and not told["failures"]:
        told["failures"].append("exit_code")
    if done.exit_code in {0, 3}:
        told["fates"] = fates = _fates(place / "out", wanted)
        told["failures"] += ["unaccounted"] * any(fate == "unaccounted" for fate in fates.values())
    of_torch = "torchinductor_"  # a folder for caches that importing torch makes
    temporary = [path for path in (place / "tmp").iterdir() if not path.name.startswith(of_torch)]
    left = done.orphans or temporary or judging.of_leftovers(place / "out")
    told["failures"] += ["leftovers"] * bool(left)
    told["failures"] += ["source_changed"] * (digest_of(place / "stems") != digest)
    return told


def _fates(out: Path, wanted: Sequence[str]) -> dict[str, str]:
    """What a manifest says of each file: ``stem``, ``skipped/REASON`` or ``unaccounted``."""
    manifest = json.loads(next(out.glob("*.json")).read_text(encoding="utf-8"))
    fates: dict[str, str] = {}
    for skip in manifest["skipped"]:
        fates[skip["path"]] = fates[skip["path"].rpartition("#")[0]] = f"skipped/{skip['reason']}"
    for stem in manifest["stems"]:
        fates[stem["path"]] = "stem"
        if stem.get("source"):
            fates[stem["source"]["path"]] = "stem"
    return {name: fates.get(name, "unaccounted") for name in wanted}


def digest_of(folder: Path) -> str:
    """Of all files below a folder, with their names."""
    digest = hashlib.sha256()
    for where, folders, names in os.walk(os.fsencode(folder)):
        folders.sort()
        for name in sorted(names):
            path = where + b"/" + name
            digest.update(path + b"\0")
            with open(path, "rb") as file:
                digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def _run(way: str, place: Path, wanted: Sequence[str], limit: float) -> Record:
    """One command over ``place/stems``."""
    for name in ("out", "tmp"):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir()
    digest = digest_of(place / "stems")
    done = watching.run(WAYS[way], place, {"TMPDIR": str(place / "tmp"), "XDG_CACHE_HOME": str(place / "cache")}, limit)
    return judged(done, place, wanted, digest)


def _culprits(way: str, failure: str, place: Path, drawn: dict[str, Record], left: list[int]) -> list[str]:
    """The files of which one alone, or one among the fewest, brings a failure about.

    Args:
        way: the command.
        failure: a name of :data:`judging.FAILURES`.
        place: a folder to work in.
        drawn: the files.
        left: one number, how many runs more there may be; counted down.
    """
    if left[0] <= 0:
        return []
    left[0] -= 1
    shutil.rmtree(place, ignore_errors=True)
    (place / "stems").mkdir(parents=True)
    for record in drawn.values():
        source = os.fsencode(record["file"])
        to = os.fsencode(place / "stems") + b"/" + b"/".join(source.split(b"/")[-2:])
        os.makedirs(os.path.dirname(to), exist_ok=True)  # noqa: PTH103, PTH120
        os.link(source, to)
    told = _run(way, place, list(drawn), LIMIT_SEARCH_SECONDS)
    if failure not in told["failures"]:
        return []
    if len(drawn) == 1:
        next(iter(drawn.values()))["error"] = told.get("error", "")
        return list(drawn)
    names = list(drawn)
    halves = (names[: len(names) // 2], names[len(names) // 2 :])
    found = [
        name for half in halves for name in _culprits(way, failure, place, {key: drawn[key] for key in half}, left)
    ]
    return found or ([] if left[0] <= 0 else ["several together"])


def attack(seed: int, number: int, work: Path, ways: Sequence[str] = tuple(WAYS), size: int = FOLDER) -> list[Record]:
    """One folder by every way: of each file what became of it, and every failure with the file that it is of."""
    place = work / "folder"
    shutil.rmtree(place, ignore_errors=True)
    drawn = draw_folder(seed, number, work / "base", place / "stems", size)
    every: list[Record] = []
    for way in ways:
        left = dict(drawn)
        for _ in range(ROUNDS):  # a file that ends the run is put aside, so that the others are tried
            told = _run(way, place, list(left), LIMIT_SECONDS)
            fates = told.pop("fates", {})
            blame = _blamed(way, told, fates, left, work)
            ended = [name for name in blame if name and not fates]
            if not ended:
                break
            for name in ended:
                every.append(
                    _failed(way, number, name, left.pop(name), blame[name], told, work / "failed" / f"{seed}-{number}")
                )
                os.unlink(os.fsencode(drawn[name]["file"]))  # noqa: PTH108 - a name that may be no text
        every += [
            _fate(way, number, name, record, fates, blame, told, work / "failed" / f"{seed}-{number}")
            for name, record in left.items()
        ]
        if blame.get(""):
            every.append(
                {
                    "kind": "",
                    "outcome": "folder",
                    "failures": blame[""],
                    "error": told.get("error", ""),
                    "way": way,
                    "folder": number,
                }
            )
        every[-1]["cpu_seconds"], every[-1]["memory_mb"] = told["cpu_seconds"], told["memory_mb"]
        if len(left) < len(drawn):
            drawn = draw_folder(seed, number, work / "base", place / "stems", size)
    return every


def _fate(
    way: str,
    number: int,
    name: str,
    record: Record,
    fates: dict[str, str],
    blame: dict[str, list[str]],
    told: Record,
    place: Path,
) -> Record:
    """What became of a file."""
    if blame.get(name):
        return _failed(way, number, name, record, blame[name], told, place)
    return {
        "kind": record["kind"],
        "outcome": fates.get(name, "no result"),
        "failures": [],
        "way": way,
        "folder": number,
    }


def _failed(way: str, number: int, name: str, record: Record, failures: list[str], told: Record, place: Path) -> Record:
    """What a file did, which is kept."""
    kept = place / Path(record["file"]).parent.name / Path(record["file"]).name
    results.keep(Path(record["file"]), kept)
    return {
        "kind": record["kind"], "outcome": "failed", "failures": failures, "way": way, "folder": number, "file": name,
        "faults": record["faults"], "exit_code": told["exit_code"],
        "error": record.get("error") or told.get("error", ""),
    }  # fmt: skip


def _blamed(
    way: str, told: Record, fates: dict[str, str], drawn: dict[str, Record], work: Path
) -> dict[str, list[str]]:
    """File -> its failures; what no single file is to blame for stands under the folder's name, ``""``."""
    blame: dict[str, list[str]] = {}
    left = [SEARCHES]
    for failure in told["failures"]:
        if failure == "unaccounted":
            names = [name for name, fate in fates.items() if fate == "unaccounted"]
        elif failure in {"memory", "leftovers", "source_changed"}:
            names = []
        else:
            names = _culprits(way, failure, work / "search", drawn, left)
        for name in names or [""]:
            blame.setdefault(name if name in drawn else "", []).append(failure)
    return blame


def work_through(given: argparse.Namespace) -> None:
    """The part of audio files."""
    sounds.write_all(given.songs or sounds.BAND, given.work / "base")
    if given.case is not None:
        for one in attack(given.seed, given.case, given.work):
            if one["failures"]:
                print(json.dumps(one, indent=1))
        return
    settings = {"seed": given.seed, "cases": given.cases, "songs": bool(given.songs)}
    result = results.Result(given.output, given.part, settings)
    for number in range(-(-given.cases // FOLDER)):
        if number not in result.done:
            every = attack(given.seed, number, given.work)
            peak = max([result.record.get("memory_mb", 0), *(one.get("memory_mb", 0) for one in every)])
            result.add(number, every, memory_mb=peak)
            print(result.told(), file=sys.stderr)
