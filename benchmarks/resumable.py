"""Results that grow in OUT.json: existing results are not measured again, so that a stopped benchmark can resume.

:class:`Runs` is a list of runs, each measured once; :func:`sections` measures some parts of a result again and leaves
the others as they are.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

import stemclean
from stemclean.disk import replacing

Record = dict[str, Any]


def read(path: Path) -> Record:
    """Return the result so far, empty if there is none."""
    result: Record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return result


def write_json(path: Path, value: Any) -> None:
    """Write a document, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


class Runs:
    """The runs of a result, each measured once.

    Args:
        path: OUT.json.
        settings: shared by all runs of the result. Calls may add to ``recipes`` (by name).
        about: further entries of the result.

    Raises:
        SystemExit: the result has runs with other settings.
    """

    def __init__(self, path: Path, settings: Record, **about: Any) -> None:
        self.path = path
        settings = json.loads(json.dumps(settings))  # as they are read again
        self.result: Record = {"settings": settings, "runs": [], **read(path)}
        before = self.result["settings"]
        if differing := differences(before, settings):
            sys.exit(f"{path} holds runs with other settings ({', '.join(differing)}); give another OUT.json")
        if "recipes" in settings:
            before["recipes"] = settings["recipes"] | before["recipes"]
        self.result |= {"by": f"stemclean {stemclean.__version__}", "torch": torch.__version__, "cores": os.cpu_count()}
        self.result |= about

    def __len__(self) -> int:
        return len(self.result["runs"])

    def missing(self, candidates: Iterable[Record]) -> Iterator[Record]:
        """Yield the runs that are not in the result yet, and print each on stderr.

        Args:
            candidates: the fields that identify each run.
        """
        for run in candidates:
            if not any(
                all(finished.get(key) == value for key, value in run.items()) for finished in self.result["runs"]
            ):
                print(json.dumps(run), file=sys.stderr)
                yield run

    def add(self, run: Record) -> None:
        """Write a run that was measured into the result."""
        self.result["runs"].append(run)
        write_json(self.path, self.result)


def differences(before: Record, now: Record) -> list[str]:
    """Return the names of the settings that differ from those of a result, except recipes that it does not have yet."""
    names = [key for key in now if key != "recipes" and not (key in before and same(before[key], now[key]))]
    recipes, known = now.get("recipes", {}), before.get("recipes", {})
    return names + [f"recipe of {name}" for name in recipes if name in known and not same(known[name], recipes[name])]


def same(before: Any, now: Any) -> bool:
    """Return whether settings equal the earlier ones; keys added since count only if they are not at their defaults.

    >>> same({"ema": 0.9}, {"ema": 0.9, "clip": 3.0}), same({"ema": 0.9}, {"ema": 0.8}), same({"ema": 0.9}, {})
    (True, False, False)
    """
    if isinstance(before, dict) and isinstance(now, dict):
        return all(key in now and same(value, now[key]) for key, value in before.items())
    return bool(before == now)


def chosen(parser: ArgumentParser, only: str, known: Collection[str]) -> list[str]:
    """Sections from ``--only``, which has commas between them.

    Raises:
        SystemExit: one of them does not exist.
    """
    names = only.split(",")
    if set(names) - set(known):
        parser.error(f"--only takes {', '.join(known)}, with commas between")
    return names


def sections(path: Path, names: Iterable[str], measure: Callable[[str], Record]) -> None:
    """Measure some sections of a result, and write each as soon as it is done; others stay as they are."""
    for name in names:
        section = measure(name)
        write_json(path, {**read(path), name: section})
        print(f"{name}: wrote {path}", flush=True)
