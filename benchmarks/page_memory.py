"""Section of ``docs/benchmarks.md`` on the memory of a training step, and the line that each recipe has of it.

python -m benchmarks.page_memory     # print the table of docs/training.md, and the lines of the recipes
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.page import table, thousands
from benchmarks.step_memory import DEPTHS

RESULT = Path(__file__).resolve().parent / "results" / "step_memory.json"
PRECISIONS = {"no": "float32", "bf16": "bf16"}
CARDS = (8, 12, 16, 24, 32, 40, 48, 80, 141)
"""GB of graphics cards."""
SPARE, CONTEXT_GB = 1.1, 1.0
"""What a step may take more on a card: a tenth for workspace and gaps, and CUDA's own memory."""

ABOUT = """
What a step of the recipes `NAME-paper` takes: weights, gradients, the optimiser's states and the running mean of the
weights are fixed, and each example that is heard at a time adds its activations. `loop.micro_batch_size` says how many
that are; models with batch norms and joint training hear the whole batch. Examples are whole (the recipe's seconds),
classes are four. *Measured* is the highest resident memory of a process on a CPU, less what it had before the model was
made; *by the line* is extrapolated from the numbers of examples in the third table. A GPU takes much the same, and its
workspace besides: a card counts as large enough where a tenth and 1 GB are left.
"""

Record = dict[str, Any]


class Step(NamedTuple):
    """What a step takes: GB, and whether that was measured."""

    gb: float
    measured: bool

    def __str__(self) -> str:
        return f"{self.gb:.1f}"

    @property
    def how(self) -> str:
        """``measured`` or ``by the line``."""
        return "measured" if self.measured else "by the line"

    @property
    def card(self) -> str:
        """The smallest card that is large enough."""
        return next((f"{size} GB" for size in CARDS if size >= self.gb * SPARE + CONTEXT_GB), "none")


def parts(read: Callable[[str], Record]) -> list[str]:
    """The section.

    Args:
        read: name of a result -> what it holds, empty where there is none.
    """
    title, result = "## How much memory does a training step take?", read("step_memory")
    if not result:
        return [title, "Not measured yet: `python -m benchmarks.step_memory`."]
    recipes = result["recipes"]
    return [
        title,
        ABOUT,
        table(
            ["recipe", "parameters", "batch", "at a time", "float32, GB", "bf16, GB", "how", "card: float32", "bf16"],
            [_row(name, about) for name, about in recipes.items()],
        ),
        "Fixed, and what an example adds, in GB:",
        table(
            ["recipe", "activation checkpointing", "float32: fixed", "an example", "bf16: fixed", "an example"],
            [row for name, about in recipes.items() for row in _lines(name, about)],
        ),
        "Measured, in GB, by the number of examples at a time:",
        table(
            ["recipe", "activation checkpointing", "float32", "bf16"],
            [row for name, about in recipes.items() for row in _measured(name, about)],
        ),
        *([_depths(recipes)] if DEPTHS.keys() & recipes.keys() else []),
        "`python -m benchmarks.step_memory benchmarks/results/step_memory.json`",
    ]


def summary(recipes: Record) -> str:
    """The table of ``docs/training.md``."""
    rows = []
    for name, about in recipes.items():
        full, half = step(about, "no"), step(about, "bf16")
        rows.append([f"`{name}`", at_a_time(about), f"{full} GB", f"{half} GB", full.card, full.how])
    return table(["recipe", "examples at a time", "float32", "bf16", "card, float32", ""], rows)


def step(about: Record, precision: str, number: int = 0) -> Step:
    """What a step takes as the recipe has it.

    Args:
        number: of examples at a time; 0: the recipe's.
    """
    number = number or at_a_time(about)
    (one,) = [of for of in about["configurations"] if _is(of, precision, about["checkpoint_activations"])]
    known = one.get("measured", {}).get(str(number))
    if known is not None:
        return Step(known, True)
    return Step(one["fixed_gb"] + number * one["example_gb"], False)


def at_a_time(about: Record) -> int:
    """Examples that are heard at once."""
    return int(about["micro_batch_size"] or about["batch_size"])


def comment(about: Record) -> str:
    """The line of a recipe's file."""
    full, half = step(about, "no"), step(about, "bf16")
    how = "measured on a CPU" if full.measured and half.measured else "extrapolated from fewer on a CPU"
    number = at_a_time(about)
    of = f"{number} examples at a time" if about["divisible"] else f"all {number} examples"
    return f"# A step of {of} takes {full} GB, {half} GB in bf16 ({how})."


def _is(configuration: Record, precision: str, kept: bool | None) -> bool:
    return configuration["precision"] == precision and configuration["checkpoint_activations"] == kept


def _row(name: str, about: Record) -> list[Any]:
    full, half = step(about, "no"), step(about, "bf16")
    how = full.how if full.how == half.how else f"{full.how}; bf16 {half.how}"
    number = about["micro_batch_size"] or ("all" if about["divisible"] else "all, always")
    parameters = f"{about['parameters'] / 1e6:.1f} million"
    return [f"`{name}`", parameters, thousands(about["batch_size"]), number, full, half, how, full.card, half.card]


def _kinds(about: Record) -> list[bool | None]:
    return list(dict.fromkeys(one["checkpoint_activations"] for one in about["configurations"]))


def _told(kept: bool | None, about: Record) -> str:
    if kept is None:
        return "–"
    return ("yes" if kept else "no") + (" (the recipe's)" if kept == about["checkpoint_activations"] else "")


def _lines(name: str, about: Record) -> list[list[Any]]:
    rows = []
    for kept in _kinds(about):
        row = [f"`{name}`", _told(kept, about)]
        for precision in PRECISIONS:
            (one,) = [of for of in about["configurations"] if _is(of, precision, kept)] or [{}]
            row += [f"{one[key]:.2f}" if key in one else "–" for key in ("fixed_gb", "example_gb")]
        rows.append(row)
    return rows


def _measured(name: str, about: Record) -> list[list[Any]]:
    rows = []
    for kept in _kinds(about):
        row = [f"`{name}`", _told(kept, about)]
        for precision in PRECISIONS:
            (one,) = [of for of in about["configurations"] if _is(of, precision, kept)] or [{}]
            row.append(_numbers(one.get("measured", {})) or _by_depth(one.get("depths", {})) or "–")
        rows.append(row)
    return rows


def _numbers(found: Record) -> str:
    return ", ".join(f"{number}: {gb:.2f}" for number, gb in found.items() if gb is not None)


def _by_depth(depths: Record) -> str:
    return "; ".join(f"{depth} deep {_numbers(found)}" for depth, found in depths.items() if _numbers(found))


def _depths(recipes: Record) -> str:
    told = [
        f"`{name}` is too large for the machine: it was measured {' and '.join(map(str, DEPTHS[name]))} deep on "
        "excerpts of a second, without dropout (with it, attention on a CPU takes memory that a GPU does not need); "
        f"the line was taken on to its depth of {about['depth']} and to {about['seconds']:g} s."
        for name, about in recipes.items()
        if name in DEPTHS
    ]
    return " ".join(told)


if __name__ == "__main__":
    found = json.loads(RESULT.read_text(encoding="utf-8"))["recipes"]
    print(summary(found))
    for recipe, of in found.items():
        print(f"{recipe}: {comment(of)}")
