"""Runs that are killed at random moments and gone on with; in the end they have written what an unkilled one does.

A moment is a share of the processor time that the whole run takes, of all its processes, so that a machine that does
other things as well spreads the kills no otherwise. It counts from when the run has its output for itself.
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
"""From a signal to the end of a run; long, as the machine may do other things."""
KILLS = 5
"""Of one run at most, before it is let go to its end."""
SONGS, SECONDS = 4, 20.0
"""How much sound a run works on."""
FIFTHS = 5
"""Parts of a run that its kills are counted by."""
POLL_SECONDS = 0.01
"""Between two looks at a run."""

CLASSIFIER = "loop.examples=24 loop.batch_size=4 loop.validations=3 validation_examples=32 spec.segment=131072".split()
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


class _Watched:
    """A run under way.

    Args:
        words: behind ``stemclean``.
        place: where it runs; it writes into ``out``.
    """

    def __init__(self, words: Sequence[str], place: Path) -> None:
        self.out = place / "out"
        self.started = watching.start(words, place, _environment(place))
        self.seconds = 0.0
        """Of processor time since it has its output for itself, as of the last look."""
        self._before: float | None = None

    @property
    def works(self) -> bool:
        """Whether it has its output for itself."""
        return self._before is not None

    def runs(self) -> bool:
        """Take a look: whether it is still under way."""
        pid = self.started.process.pid
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False
        if self._before is not None:
            self.seconds = max(self.seconds, watching.cpu_seconds(pid) - self._before)
        elif self._has_its_output(pid):
            self._before = watching.cpu_seconds(pid)
        return time.monotonic() - self.started.began < LIMIT_SECONDS

    def _has_its_output(self, pid: int) -> bool:
        """Whether its lock is there; the locks of runs that were killed lie there as well."""
        for lock in self.out.rglob(".*stemclean.lock"):
            with suppress(OSError):
                if lock.read_text(encoding="utf-8").startswith(f"{pid} "):
                    return True
        return False


def reference(verb: str, place: Path) -> Record:
    """What a run that nobody kills writes, and how long it takes."""
    kept = place / "reference.json"
    if kept.exists():
        told: Record = json.loads(kept.read_text(encoding="utf-8"))
        return told
    _emptied(place)
    watched = _Watched(VERBS[verb], place)
    while watched.runs():
        time.sleep(POLL_SECONDS)
    done = watching.ended(watched.started, LIMIT_SECONDS)
    if done.exit_code not in {0, 3}:
        sys.exit(f"stemclean {' '.join(VERBS[verb])}\nended with {done.exit_code} in {place}:\n{done.stderr}")
    told = {
        "seconds": done.seconds,
        "work": watched.seconds,
        "tree": tree(place / "out"),
        "cache": sorted(tree(place / "cache")),
        "tmp": sorted(tree(place / "tmp")),
    }
    kept.write_text(json.dumps(told), encoding="utf-8")
    return told


def plan(seed: int, number: int, verb: str, kills: int = KILLS) -> list[tuple[signal.Signals, float, float]]:
    """The kills of one chain: by which signal, at which share of the whole run, and how much after the kill before.

    The shares are independent of one another and uniform in [0, 1], in order.
    """
    rng = random.Random(f"kills {seed} {verb} {number}")
    shares = sorted(rng.random() for _ in range(kills))
    many = [signal.SIGKILL] * 10 + list(SIGNALS)
    return [
        (rng.choice(many), share, share - before) for share, before in zip(shares, [0.0, *shares[:-1]], strict=True)
    ]


def chain(verb: str, kills: Sequence[tuple[signal.Signals, float, float]], place: Path, whole: Record) -> list[Record]:
    """One run: killed as planned, then let go to its end; a record for each kill and one for the end."""
    _emptied(place)
    source = digest_of(place / "stems")
    every: list[Record] = []
    for which, share, more in kills:
        told = _killed(verb, place, which, more * whole["work"])
        if told is None:
            break  # it was done before its time came
        every.append(told | {"kind": verb, "share": share})
    end = _ended(verb, place, whole)
    end["failures"] += ["source_changed"] * (digest_of(place / "stems") != source)
    if end["failures"]:
        end["killed"] = [[one["way"], one["share"]] for one in every]
    return [*every, end]


def _killed(verb: str, place: Path, which: signal.Signals, work: float) -> Record | None:
    """A run that is ended after so much work; None where it had ended before."""
    watched = _Watched(VERBS[verb], place)
    while watched.runs() and not (watched.works and watched.seconds >= work):
        time.sleep(POLL_SECONDS)
    there = lying(place)
    with suppress(ProcessLookupError):
        os.kill(watched.started.process.pid, which)
    done = watching.ended(watched.started, time.monotonic() - watched.started.began + ENDS_SECONDS)
    if done.exit_code in {0, 3}:
        return None  # it ended before, or at this very moment
    return {
        "way": which.name,
        "outcome": f"killed/{verb}",
        "exit_code": done.exit_code,
        "failures": judged(which, done, works=watched.works),
        "error": done.stderr.strip()[-300:],
        "cpu_seconds": round(done.cpu_seconds, 2),
        "orphans": done.orphans,
        "there": there,
    }


def lying(place: Path) -> list[str]:
    """What a run has on disk at a moment: kinds of files."""
    names = [path.name for folder in ("out", "cache") for path in (place / folder).rglob("*")]
    kinds = {
        "half a file": any(name.endswith(".tmp") for name in names),
        "a journal": any(".partial." in name for name in names),
        "a checkpoint": any(name.endswith(".checkpoint") for name in names),
        "weights": any(name.endswith(".safetensors") for name in names),
        "audio": any(name.endswith((".flac", ".wav", ".i16")) for name in names),
    }
    return [kind for kind, lies in kinds.items() if lies]


def judged(which: signal.Signals, done: watching.Ended, *, works: bool) -> list[str]:
    """Whether a run ended by a signal as programs do, said how to go on, and left no process behind."""
    failures = ["hang"] * (done.hung or not works) + ["leftovers"] * bool(done.orphans)
    if which == signal.SIGKILL:
        return failures + ["exit_code"] * (done.exit_code != -which and not done.hung)
    if "Traceback (most recent call last)" in done.stderr or done.exit_code == judging.BUG:
        failures.append("foreign_exception")
    elif done.exit_code != 128 + which:
        failures.append("exit_code")
    return failures + ["unsaid"] * (HINT not in done.stderr)


def _ended(verb: str, place: Path, whole: Record) -> Record:
    """The run that nobody kills any more, and what it leaves."""
    done = watching.run(VERBS[verb], place, _environment(place), LIMIT_SECONDS)
    end: Record = judging.of_command(done.exit_code, "{}", done.stderr, "")
    found = tree(place / "out")
    extra = sorted(set(found) - set(whole["tree"]))
    for name in ("tmp", "cache"):
        extra += sorted(set(tree(place / name)) - set(whole[name]))
    other = sorted(name for name, digest in whole["tree"].items() if found.get(name) != digest)
    if done.exit_code not in {0, 3}:
        end["failures"].append("never_done")
    elif other:
        end["failures"].append("other_bytes")
    end["failures"] += ["leftovers"] * bool(extra or done.orphans) + ["hang"] * done.hung
    if end["failures"]:
        end |= {"extra": extra[:10], "other": other[:10], "stderr": done.stderr[-500:]}
    return end | {"kind": verb, "way": "end", "outcome": f"end/{verb}", "cpu_seconds": round(done.cpu_seconds, 2)}


def work_through(given: argparse.Namespace) -> None:
    """The part of kills: a verb after the other, each a piece of its own that may be done at another time."""
    verbs = given.only or list(VERBS)
    if unknown := set(verbs) - set(VERBS):
        sys.exit(f"no verb {', '.join(sorted(unknown))}; known: {', '.join(VERBS)}")
    for verb in verbs:
        _work_through(verb, given)


def _work_through(verb: str, given: argparse.Namespace) -> None:
    asked = {"seed": given.seed, "cases": given.cases, "songs": bool(given.songs)}
    result = results.Result(given.output, given.part, asked, verb)
    place = given.work / verb
    if result.fresh:
        shutil.rmtree(place, ignore_errors=True)
    prepare(given.songs or sounds.BAND, place)
    whole = reference(verb, place)
    result.record["seconds"] = round(whole["seconds"], 1)
    number = 0
    while result.record["counts"].get("SIGKILL", 0) < given.cases and number < 3 * given.cases:
        if number not in result.done:
            kills = plan(given.seed, number, verb, min(KILLS, given.cases))
            every = [one | {"chain": number} for one in chain(verb, kills, place, whole)]
            if every[-1]["failures"]:
                results.keep(place / "out", place / "failed" / f"{given.seed}-{number}")
            _count(result.record, every[:-1])
            result.add(number, every)
            print(result.told(), file=sys.stderr)
        number += 1


def _count(record: Record, killed: Sequence[Record]) -> None:
    """What was killed, in which fifth of the run, and what lay there then."""
    moments = record.setdefault("moments", [0] * FIFTHS)
    there = record.setdefault("there", {})
    for one in killed:
        record["counts"][one["way"]] = record["counts"].get(one["way"], 0) + 1
        moments[int(one["share"] * FIFTHS)] += 1
        for kind in one["there"] or ["nothing"]:
            there[kind] = there.get(kind, 0) + 1
