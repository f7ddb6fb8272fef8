"""How much memory does a training step take? Also the table of ``docs/training.md`` and the lines of the recipes.

python -m benchmarks.pages.training_memory     # print the table of docs/training.md, and the lines of the recipes
"""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.pages.results import read as read_result
from benchmarks.pages.tables import Read, Record, number, table, thousands, unmeasured
from benchmarks.step_memory import DEPTHS

PATH = "docs/benchmarks/training-memory.md"
QUESTION = "How much memory does a training step take?"
RESULT = "step_memory"
PRECISIONS = {"no": "float32", "bf16": "bf16"}
CARDS = (8, 12, 16, 24, 32, 40, 48, 80, 141)
"""GB of graphics cards."""
SPARE, CONTEXT_GB = 1.1, 1.0
"""Additional memory of a step on a card: a tenth for workspace and fragmentation, and CUDA's own memory."""

ABOUT = """
Memory of one training step of the recipes `NAME-paper`. Weights, gradients, the states of the optimiser and the moving
average of the weights have a fixed size; the activations grow with the number of examples processed at a time.
`loop.micro_batch_size` sets that number; models with batch norms and joint training process the whole batch at once.
Examples have the full length of the recipe, and there are four classes. *Measured* is the peak resident memory of a
process on a CPU minus its memory before the model was built; *extrapolated* values follow from the measurements with
fewer examples in the third table. A GPU takes about the same plus workspace: a card counts as large enough if a tenth
and 1 GB are left.
"""


class Step(NamedTuple):
    """Memory of a step in GB, and whether it was measured."""

    gb: float
    measured: bool

    def __str__(self) -> str:
        return f"{self.gb:.1f}"

    @property
    def how(self) -> str:
        """``measured`` or ``extrapolated``."""
        return "measured" if self.measured else "extrapolated"

    @property
    def card(self) -> str:
        """The smallest card that is large enough."""
        return next((f"{size} GB" for size in CARDS if size >= self.gb * SPARE + CONTEXT_GB), "none")


def parts(read: Read) -> list[str]:
    """Return the page."""
    title, result = f"# {QUESTION}", read(RESULT)
    if not result:
        return [title, unmeasured(RESULT)]
    recipes = result["recipes"]
    return [
        title,
        ABOUT,
        table(
            ["recipe", "parameters", "batch", "at a time", "float32, GB", "bf16, GB", "how", "card: float32", "bf16"],
            [_row(name, about) for name, about in recipes.items()],
        ),
        "Fixed size, and memory per example, in GB:",
        table(
            ["recipe", "activation checkpointing", "float32: fixed", "per example", "bf16: fixed", "per example"],
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
    """Return the table of ``docs/training.md``."""
    rows = []
    for name, about in recipes.items():
        full, half = step(about, "no"), step(about, "bf16")
        rows.append([f"`{name}`", at_a_time(about), f"{full} GB", f"{half} GB", full.card, full.how])
    return table(["recipe", "examples at a time", "float32", "bf16", "card, float32", ""], rows)


def step(about: Record, precision: str, examples: int = 0) -> Step:
    """Memory of a step with the settings of the recipe.

    Args:
        examples: at a time; 0: the recipe's.
    """
    examples = examples or at_a_time(about)
    configuration = _configuration(about, precision, about["checkpoint_activations"])
    measured = configuration.get("measured", {}).get(str(examples))
    if measured is not None:
        return Step(measured, True)
    return Step(configuration["fixed_gb"] + examples * configuration["example_gb"], False)


def at_a_time(about: Record) -> int:
    """Examples processed at once."""
    return int(about["micro_batch_size"] or about["batch_size"])


def comment(about: Record) -> str:
    """Return the line of a recipe's file."""
    full, half = step(about, "no"), step(about, "bf16")
    how = "measured on a CPU" if full.measured and half.measured else "extrapolated from fewer on a CPU"
    number = at_a_time(about)
    of = f"{number} examples at a time" if about["divisible"] else f"all {number} examples"
    return f"# A step of {of} needs {full} GB, {half} GB in bf16 ({how})."


def _configuration(about: Record, precision: str, checkpointing: bool | None) -> Record:
    """Return the result for a precision, with or without activation checkpointing; empty if not measured."""
    conditions = {"precision": precision, "checkpoint_activations": checkpointing}
    return next(
        (configuration for configuration in about["configurations"] if conditions.items() <= configuration.items()), {}
    )


def _row(name: str, about: Record) -> list[Any]:
    full, half = step(about, "no"), step(about, "bf16")
    how = full.how if full.how == half.how else f"{full.how}; bf16 {half.how}"
    examples = about["micro_batch_size"] or ("all" if about["divisible"] else "all, always")
    parameters = f"{about['parameters'] / 1e6:.1f} million"
    return [f"`{name}`", parameters, thousands(about["batch_size"]), examples, full, half, how, full.card, half.card]


def _kinds(about: Record) -> list[bool | None]:
    return list(dict.fromkeys(configuration["checkpoint_activations"] for configuration in about["configurations"]))


def _checkpointing(kind: bool | None, about: Record) -> str | None:
    if kind is None:
        return None
    return ("yes" if kind else "no") + (" (the recipe)" if kind == about["checkpoint_activations"] else "")


def _lines(name: str, about: Record) -> list[list[Any]]:
    rows = []
    for kind in _kinds(about):
        configurations = [_configuration(about, precision, kind) for precision in PRECISIONS]
        sizes = [
            number(configuration.get(key), 2) for configuration in configurations for key in ("fixed_gb", "example_gb")
        ]
        rows.append([f"`{name}`", _checkpointing(kind, about), *sizes])
    return rows


def _measured(name: str, about: Record) -> list[list[Any]]:
    rows = []
    for kind in _kinds(about):
        configurations = [_configuration(about, precision, kind) for precision in PRECISIONS]
        sizes = [
            _numbers(configuration.get("measured", {})) or _by_depth(configuration.get("depths", {})) or None
            for configuration in configurations
        ]
        rows.append([f"`{name}`", _checkpointing(kind, about), *sizes])
    return rows


def _numbers(sizes: Record) -> str:
    return ", ".join(f"{examples}: {gb:.2f}" for examples, gb in sizes.items() if gb is not None)


def _by_depth(depths: Record) -> str:
    return "; ".join(f"depth {depth}: {_numbers(sizes)}" for depth, sizes in depths.items() if _numbers(sizes))


def _depths(recipes: Record) -> str:
    return " ".join(
        f"`{name}` is too large for the machine. It was measured with a depth of "
        f"{' and '.join(map(str, DEPTHS[name]))} on excerpts of one second and extrapolated to its depth of "
        f"{about['depth']} and its {about['seconds']:g} s. Dropout was off, as attention with dropout takes memory "
        "on a CPU that a GPU does not need."
        for name, about in recipes.items()
        if name in DEPTHS
    )


if __name__ == "__main__":
    found = read_result(RESULT)["recipes"]
    print(summary(found))
    for recipe, of in found.items():
        print(f"{recipe}: {comment(of)}")
