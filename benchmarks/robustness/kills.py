"""Runs that are killed at random moments and gone on with; in the end they have written what an unkilled one does."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile

from benchmarks.robustness import judging, results, sounds, watching
from benchmarks.robustness.audio import digest_of

__all__ = ["VERBS", "chain", "prepare", "reference", "settings", "tree", "work_through"]

Record = dict[str, Any]
LIMIT_SECONDS = 900.0
KILLS = 5
"""Of one run, before it is let go to its end."""
SONGS, SECONDS = 4, 20.0
"""How much sound a run works on."""
LATE = 0.4
"""Share of a run after which it has long begun to work: a signal is then answered with the next step."""
NEXT_STEP = "run the same command again"

CLASSIFIER = "loop.examples=48 loop.batch_size=8 loop.validations=3 spec.segment=32768".split()
SEPARATOR = "loop.examples=24 loop.batch_size=4 loop.validations=3 spec.segment=32768 options.hidden=16".split()
SEPARATOR.append("validation_examples=4")


def settings(every: Sequence[str]) -> list[str]:
    """As flags."""
    return [word for setting in every for word in ("--set", setting)]


VERBS: dict[str, list[str]] = {
    "refine": ["refine", "stems", "-o", "out/refined.json"],
    "trim": ["trim", "stems", "out/trimmed"],
    "export": ["export", "refined.json", "out/set", "--to", "zfturbo", "--allow-empty", "--sample-rate", "32000"],
    "train-classifier": ["train-classifier", "refined.json", "-o", "out/w.safetensors", *settings(CLASSIFIER)],
    "train-separator": ["train-separator", "refined.json", "-o", "out/w.safetensors", *settings(SEPARATOR)],
    "refine --self": ["refine", "stems", "--self", "-o", "out/refined.json", *settings(CLASSIFIER)],
}
"""What is killed -> the words behind ``stemclean``."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Besides SIGKILL, which comes ten times as often as each."""


def prepare(songs: Path, place: Path) -> None:
    """The stems that runs work on, and what ``refine`` says of them."""
    if (place / "refined.json").exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    folders = sorted(
        {path.parent for path in songs.rglob("*.ogg")}, key=lambda folder: (-len(list(folder.glob("*.ogg"))), folder)
    )
    for folder in folders[:SONGS]:
        for stem in sorted(folder.glob("*.ogg")):
            sound, rate = soundfile.read(stem, stop=int(SECONDS * 44100), always_2d=True)
            path = place / "stems" / folder.name / f"{stem.stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound, rate, subtype="PCM_16")
    watching.run(["refine", "stems", "-o", "refined.json", "--quiet"], place, {}, LIMIT_SECONDS)


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder -> its checksum."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _environment(place: Path) -> dict[str, str]:
    return {"TMPDIR": str(place / "tmp"), "XDG_CACHE_HOME": str(place / "cache"), "OMP_NUM_THREADS": "1"}


def _emptied(place: Path) -> None:
    for name in ("out", "tmp", "cache"):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir()


def reference(verb: str, place: Path) -> Record:
    """What a run that nobody kills writes, and how long it takes."""
    kept = place / f"{verb}.reference.json"
    if kept.exists():
        told: Record = json.loads(kept.read_text(encoding="utf-8"))
        return told
    _emptied(place)
    done = watching.run(VERBS[verb], place, _environment(place), LIMIT_SECONDS)
    if done.exit_code not in {0, 3}:
        sys.exit(f"stemclean {' '.join(VERBS[verb])}\nended with {done.exit_code} in {place}:\n{done.stderr}")
    told = {
        "seconds": done.seconds,
        "tree": tree(place / "out"),
        "cache": sorted(tree(place / "cache")),
        "tmp": sorted(tree(place / "tmp")),
    }
    kept.write_text(json.dumps(told), encoding="utf-8")
    return told


def _signals(rng: random.Random) -> list[signal.Signals]:
    """What the runs of one chain are ended by."""
    many = [signal.SIGKILL] * 10 + list(SIGNALS)
    return [rng.choice(many) for _ in range(KILLS)]


def chain(seed: int, number: int, verb: str, place: Path, whole: Record) -> list[Record]:
    """One run: killed some times, then let go to its end; a record for each kill and one for the end."""
    rng = random.Random(f"kills {seed} {verb} {number}")
    _emptied(place)
    source = digest_of(place / "stems")
    every: list[Record] = []
    length = whole["seconds"]
    for which in _signals(rng):
        moment = rng.uniform(0.0, 1.0) * length
        told = _killed(verb, place, which, moment)
        if told is None:
            break  # it was done before its time came
        told["failures"] += judging_of(told, moment / length)
        every.append(told | {"kind": verb, "moment": round(moment / length, 3), "chain": number})
    done = watching.run(VERBS[verb], place, _environment(place), LIMIT_SECONDS)
    end: Record = judging.of_command(done.exit_code, "{}", done.stderr, "") | {"stderr": done.stderr[-500:]}
    found = tree(place / "out")
    extra = sorted(set(found) - set(whole["tree"]))
    other = sorted(name for name, digest in whole["tree"].items() if found.get(name) != digest)
    extra += sorted(set(tree(place / "tmp")) - set(whole["tmp"])) + sorted(
        set(tree(place / "cache")) - set(whole["cache"])
    )
    if done.exit_code not in {0, 3}:
        end["failures"].append("never_done")
    elif other:
        end["failures"].append("other_bytes")
    end["failures"] += ["leftovers"] * bool(extra or done.orphans)
    end["failures"] += ["source_changed"] * (digest_of(place / "stems") != source)
    end |= {
        "kind": verb,
        "way": "end",
        "outcome": f"end/{verb}",
        "chain": number,
        "cpu_seconds": round(done.cpu_seconds, 2),
    }
    if end["failures"]:
        end |= {"extra": extra[:10], "other": other[:10], "killed": [[one["way"], one["moment"]] for one in every]}
    else:
        del end["stderr"]
    return [*every, end]


def _killed(verb: str, place: Path, which: signal.Signals, seconds: float) -> Record | None:
    """A run that is ended after so many seconds; None where it had ended before."""
    started = watching.start(VERBS[verb], place, _environment(place))
    while time.monotonic() - started.began < seconds and started.process.returncode is None:
        info = os.waitid(os.P_PID, started.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is not None:
            watching.ended(started, LIMIT_SECONDS)
            return None
        time.sleep(0.01)
    os.kill(started.process.pid, which)
    done = watching.ended(started, time.monotonic() - started.began + 60)
    if done.exit_code in {0, 3}:
        return None  # it ended at this very moment
    told: Record = {"way": which.name, "outcome": f"killed/{verb}", "exit_code": done.exit_code, "failures": []}
    told["failures"] += ["hang"] * done.hung + ["leftovers"] * bool(done.orphans)
    return told | {
        "error": done.stderr.strip()[-300:],
        "cpu_seconds": round(done.cpu_seconds, 2),
        "orphans": done.orphans,
    }


def judging_of(told: Record, share: float) -> list[str]:
    """Whether a run ended by a signal as programs do, and said so if it had the time."""
    if told["way"] == "SIGKILL":
        return []
    number = int(signal.Signals[told["way"]])
    failures = []
    if "Traceback (most recent call last)" in told["error"] or told["exit_code"] == 70:
        failures.append("foreign_exception")
    elif told["exit_code"] not in {128 + number, judging.INTERRUPTED, -number}:
        failures.append("exit_code")
    if share > LATE and NEXT_STEP not in told["error"]:
        failures.append("unsaid")
    return failures


def work_through(given: argparse.Namespace) -> None:
    """The part of kills."""
    result = results.Result(
        given.output, given.part, {"seed": given.seed, "cases": given.cases, "songs": bool(given.songs)}
    )
    verbs = given.only or list(VERBS)
    if unknown := set(verbs) - set(VERBS):
        sys.exit(f"no verb {', '.join(sorted(unknown))}; known: {', '.join(VERBS)}")
    if result.fresh:
        shutil.rmtree(given.work, ignore_errors=True)
    prepare(given.songs or sounds.BAND, given.work)
    seconds = result.record.setdefault("seconds", {})
    for verb in verbs:
        whole = reference(verb, given.work)
        seconds[verb] = round(whole["seconds"], 1)
        number = 0
        while result.record["counts"].get(f"SIGKILL/{verb}", 0) < given.cases and number < 3 * given.cases:
            if f"{verb}/{number}" not in result.done:
                every = chain(given.seed, number, verb, given.work, whole)
                for one in every:
                    one["exit_code"] = one.get("exit_code", 0)
                result.add(f"{verb}/{number}", every)
                for one in every[:-1]:
                    key = f"{one['way']}/{verb}"
                    result.record["counts"][key] = result.record["counts"].get(key, 0) + 1
                result.save()
                print(result.told(), file=sys.stderr)
            number += 1
