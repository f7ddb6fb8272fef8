"""Runs that are killed at random moments and resumed; in the end they must have written what an undisturbed run writes.

A moment is a share of the processor time of the whole run, over all its processes, so that other load on the machine
does not change the moments. It counts from when the run holds the lock of its output.
"""

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
from contextlib import suppress
from pathlib import Path
from typing import Any

import soundfile

from benchmarks.robustness import judging, results, sounds, watching
from benchmarks.robustness.audio import digest_of
from stemclean.stopping import HINT

__all__ = ["FIFTHS", "VERBS", "chain", "judged", "plan", "prepare", "reference", "settings", "tree", "work_through"]

Record = dict[str, Any]
LIMIT_SECONDS = 1800.0
ENDS_SECONDS = 120.0
"""Longest time from a signal to the end of a run; generous, because the machine may be busy."""
KILLS = 5
"""Largest number of kills of one run, before it may finish."""
SONGS, SECONDS = 4, 20.0
"""Amount of sound that a run processes."""
FIFTHS = 5
"""Number of parts of a run by which kills are counted."""
POLL_SECONDS = 0.01
"""Seconds between two checks of a run."""

CLASSIFIER = "loop.examples=24 loop.batch_size=4 loop.validations=3 validation_examples=32 spec.segment=131072".split()
SEPARATOR = "loop.examples=24 loop.batch_size=4 loop.validations=3 spec.segment=32768 options.hidden=16".split()
SEPARATOR.append("validation_examples=4")


def settings(every: Sequence[str]) -> list[str]:
    """Return settings as flags."""
    return [word for setting in every for word in ("--set", setting)]


VERBS: dict[str, list[str]] = {
    "refine": ["refine", "stems", "-o", "out/refined.json"],
    "trim": ["trim", "stems", "out/trimmed"],
    "export": ["export", "refined.json", "out/set", "--to", "zfturbo", "--allow-empty", "--sample-rate", "32000"],
    "train-classifier": ["train-classifier", "refined.json", "-o", "out/w.safetensors", *settings(CLASSIFIER)],
    "train-separator": ["train-separator", "refined.json", "-o", "out/w.safetensors", *settings(SEPARATOR)],
    "refine --self": ["refine", "stems", "--self", "-o", "out/refined.json", *settings(CLASSIFIER)],
}
"""Verb -> arguments of ``stemclean``."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Besides SIGKILL, which comes ten times as often as each."""


def prepare(songs: Path, work: Path) -> None:
    """Write the stems that runs work on, and their refined manifest."""
    if (work / "refined.json").exists():
        return
    shutil.rmtree(work, ignore_errors=True)
    folders = sorted(
        {path.parent for path in songs.rglob("*.ogg")}, key=lambda folder: (-len(list(folder.glob("*.ogg"))), folder)
    )
    for folder in folders[:SONGS]:
        for stem in sorted(folder.glob("*.ogg")):
            sound, rate = soundfile.read(stem, stop=int(SECONDS * 44100), always_2d=True)
            path = work / "stems" / folder.name / f"{stem.stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound, rate, subtype="PCM_16")
    watching.run(["refine", "stems", "-o", "refined.json", "--quiet"], work, {}, LIMIT_SECONDS)


def tree(folder: Path) -> dict[str, str]:
    """Return the checksum of every file below a folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _environment(folder: Path) -> dict[str, str]:
    return {"TMPDIR": str(folder / "tmp"), "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}


def _emptied(folder: Path) -> None:
    for name in ("out", "tmp", "cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()


class _Watched:
    """A running command.

    Args:
        words: the arguments of ``stemclean``.
        folder: where it runs; it writes into ``out``.
    """

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self.out = folder / "out"
        self.started = watching.start(words, folder, _environment(folder))
        self.seconds = 0.0
        """Of processor time since it has its output for itself, as of the last look."""
        self._before: float | None = None

    @property
    def works(self) -> bool:
        """Whether it has its output for itself."""
        return self._before is not None

    def runs(self) -> bool:
        """Return whether the run is under way, and read its processor time."""
        pid = self.started.process.pid
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False
        if self._before is not None:
            self.seconds = max(self.seconds, watching.cpu_seconds(pid) - self._before)
        elif self._has_its_output(pid):
            self._before = watching.cpu_seconds(pid)
        return time.monotonic() - self.started.began < LIMIT_SECONDS

    def _has_its_output(self, pid: int) -> bool:
        """Return whether the run holds its lock; locks of killed runs may exist as well."""
        for lock in self.out.rglob(".*stemclean.lock"):
            with suppress(OSError):
                if lock.read_text(encoding="utf-8").startswith(f"{pid} "):
                    return True
        return False


def reference(verb: str, folder: Path) -> Record:
    """Return what an undisturbed run writes, and how long it takes."""
    kept = folder / "reference.json"
    if kept.exists():
        document: Record = json.loads(kept.read_text(encoding="utf-8"))
        return document
    _emptied(folder)
    watched = _Watched(VERBS[verb], folder)
    while watched.runs():
        time.sleep(POLL_SECONDS)
    process = watching.ended(watched.started, LIMIT_SECONDS)
    if process.exit_code not in {0, 3}:
        sys.exit(f"stemclean {' '.join(VERBS[verb])}\nended with {process.exit_code} in {folder}:\n{process.stderr}")
    document = {
        "seconds": process.seconds,
        "work": watched.seconds,
        "tree": tree(folder / "out"),
        "cache": sorted(tree(folder / "cache")),
        "tmp": sorted(tree(folder / "tmp")),
    }
    kept.write_text(json.dumps(document), encoding="utf-8")
    return document


def plan(seed: int, number: int, verb: str, kills: int = KILLS) -> list[tuple[signal.Signals, float, float]]:
    """Return the kills of one chain: signal, share of the whole run, and work after the previous kill.

    The shares are independent of one another and uniform in [0, 1], in order.
    """
    rng = random.Random(f"kills {seed} {verb} {number}")
    shares = sorted(rng.random() for _ in range(kills))
    many = [signal.SIGKILL] * 10 + list(SIGNALS)
    return [
        (rng.choice(many), share, share - before) for share, before in zip(shares, [0.0, *shares[:-1]], strict=True)
    ]


def chain(verb: str, kills: Sequence[tuple[signal.Signals, float, float]], folder: Path, whole: Record) -> list[Record]:
    """Kill a run as planned, then let it finish; return a record for each kill and one for the end."""
    _emptied(folder)
    source = digest_of(folder / "stems")
    every: list[Record] = []
    for which, share, more in kills:
        outcome = _killed(verb, folder, which, more * whole["work"])
        if outcome is None:
            break  # it was done before its time came
        every.append(outcome | {"kind": verb, "share": share})
    end = _ended(verb, folder, whole)
    end["failures"] += ["source_changed"] * (digest_of(folder / "stems") != source)
    if end["failures"]:
        end["killed"] = [[killed["way"], killed["share"]] for killed in every]
    return [*every, end]


def _killed(verb: str, folder: Path, which: signal.Signals, work: float) -> Record | None:
    """Kill a run after a given amount of work; return None if it ends before."""
    watched = _Watched(VERBS[verb], folder)
    while watched.runs() and not (watched.works and watched.seconds >= work):
        time.sleep(POLL_SECONDS)
    there = lying(folder)
    with suppress(ProcessLookupError):
        os.kill(watched.started.process.pid, which)
    process = watching.ended(watched.started, time.monotonic() - watched.started.began + ENDS_SECONDS)
    if process.exit_code in {0, 3}:
        return None  # it ended before, or at this very moment
    return {
        "way": which.name,
        "outcome": f"killed/{verb}",
        "exit_code": process.exit_code,
        "failures": judged(which, process, works=watched.works),
        "error": process.stderr.strip()[-300:],
        "cpu_seconds": round(process.cpu_seconds, 2),
        "orphans": process.orphans,
        "there": there,
    }


def lying(work: Path) -> list[str]:
    """Return the kinds of files on disk at a moment."""
    names = [path.name for folder in ("out", "cache") for path in (work / folder).rglob("*")]
    kinds = {
        "half a file": any(name.endswith(".tmp") for name in names),
        "a journal": any(".partial." in name for name in names),
        "a checkpoint": any(name.endswith(".checkpoint") for name in names),
        "weights": any(name.endswith(".safetensors") for name in names),
        "audio": any(name.endswith((".flac", ".wav", ".i16")) for name in names),
    }
    return [kind for kind, lies in kinds.items() if lies]


def judged(which: signal.Signals, process: watching.Ended, *, works: bool) -> list[str]:
    """Return the failures of a run ended by a signal: how it ends, its hint, and its processes."""
    failures = ["hang"] * (process.hung or not works) + ["leftovers"] * bool(process.orphans)
    if which == signal.SIGKILL:
        return failures + ["exit_code"] * (process.exit_code != -which and not process.hung)
    if "Traceback (most recent call last)" in process.stderr or process.exit_code == judging.BUG:
        failures.append("foreign_exception")
    elif process.exit_code != 128 + which:
        failures.append("exit_code")
    return failures + ["unsaid"] * (HINT not in process.stderr)


def _ended(verb: str, folder: Path, whole: Record) -> Record:
    """Let the last run finish, and return its result."""
    process = watching.run(VERBS[verb], folder, _environment(folder), LIMIT_SECONDS)
    end: Record = judging.of_command(process.exit_code, "{}", process.stderr, "")
    files = tree(folder / "out")
    extra = sorted(set(files) - set(whole["tree"]))
    for name in ("tmp", "cache"):
        extra += sorted(set(tree(folder / name)) - set(whole[name]))
    other = sorted(name for name, digest in whole["tree"].items() if files.get(name) != digest)
    if process.exit_code not in {0, 3}:
        end["failures"].append("never_done")
    elif other:
        end["failures"].append("other_bytes")
    end["failures"] += ["leftovers"] * bool(extra or process.orphans) + ["hang"] * process.hung
    if end["failures"]:
        end |= {"extra": extra[:10], "other": other[:10], "stderr": process.stderr[-500:]}
    return end | {"kind": verb, "way": "end", "outcome": f"end/{verb}", "cpu_seconds": round(process.cpu_seconds, 2)}


def work_through(arguments: argparse.Namespace) -> None:
    """Run the part on kills, a verb at a time; verbs are independent pieces."""
    verbs = arguments.only or list(VERBS)
    if unknown := set(verbs) - set(VERBS):
        sys.exit(f"no verb {', '.join(sorted(unknown))}; known: {', '.join(VERBS)}")
    for verb in verbs:
        _work_through(verb, arguments)


def _work_through(verb: str, arguments: argparse.Namespace) -> None:
    settings_ = {"seed": arguments.seed, "cases": arguments.cases, "songs": bool(arguments.songs)}
    result = results.Result(arguments.output, arguments.part, settings_, verb)
    folder = arguments.work / verb
    if result.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    prepare(arguments.songs or sounds.BAND, folder)
    whole = reference(verb, folder)
    result.record["seconds"] = round(whole["seconds"], 1)
    number = 0
    while result.record["counts"].get("SIGKILL", 0) < arguments.cases and number < 3 * arguments.cases:
        if number not in result.batches:
            kills = plan(arguments.seed, number, verb, min(KILLS, arguments.cases))
            every = [record | {"chain": number} for record in chain(verb, kills, folder, whole)]
            if every[-1]["failures"]:
                results.keep(folder / "out", folder / "failed" / f"{arguments.seed}-{number}")
            _count(result.record, every[:-1])
            result.add(number, every)
            print(result.summary(), file=sys.stderr)
        number += 1


def _count(record: Record, killed: Sequence[Record]) -> None:
    """Count the kills by signal, by fifth of the run, and by the files on disk."""
    moments = record.setdefault("moments", [0] * FIFTHS)
    there = record.setdefault("there", {})
    for case in killed:
        record["counts"][case["way"]] = record["counts"].get(case["way"], 0) + 1
        moments[int(case["share"] * FIFTHS)] += 1
        for kind in case["there"] or ["nothing"]:
            there[kind] = there.get(kind, 0) + 1
