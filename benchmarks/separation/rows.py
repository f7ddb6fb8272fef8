"""The trainings of the tables' rows, and their settings: equal in all rows of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stemclean.training.recipe import SeparatorRecipe, read_separator

PARTS = ("a", "b", "c", "d", "e")
QUICK: dict[str, list[str]] = {
    "xumx": [
        "spec.sample_rate=22050",
        "spec.channels=1",
        "spec.segment=32768",
        "options.n_fft=2048",
        "options.hop_length=1024",
        "options.hidden=128",
        "loop.batch_size=16",
        "loop.learning_rate=4e-3",
    ],
    "hdemucs": [],
    "band-split": [],
}
"""Settings over the recipes ``MODEL-small``, chosen on validation tracks with clean labels."""
ALIKE = ["loop.validations=1", "validation_examples=16"]
"""The last weights count: choosing among several by noisy validation tracks would be another experiment."""
SINGLE = ("mixing.multi_label_probability=0.0",)
"""Stems of several classes are left out, with all that is in them."""
WHOLE = ("mixing.whole_stems=true",)
"""They are one source of all their classes, as in the paper; without it they are cut where their classes change."""


@dataclass(frozen=True)
class Row:
    """One separator.

    Args:
        name: in a result.
        labels: see :class:`benchmarks.separation.labelling.Labelling`.
        model: the recipe ``MODEL-small``.
        overrides: what is different in this row.
        then: of a row in two halves, what is different in the second, which starts from the first.
    """

    name: str
    labels: str
    model: str = "xumx"
    overrides: tuple[str, ...] = ()
    then: tuple[str, ...] | None = None

    def recipes(self, examples: int, seed: int, overrides: Sequence[str] = ()) -> list[SeparatorRecipe]:
        """One recipe, or two that see half of the examples each."""
        stages = [self.overrides] if self.then is None else [self.overrides, self.then]
        share = examples // len(stages)
        return [
            recipe_of(self.model, share, [*overrides, *stage]).changed(seed=seed, name=f"{self.model}-small")
            for stage in stages
        ]


ROWS: dict[str, tuple[Row, ...]] = {
    "a": (
        Row("clean", "true"),
        Row("noisy", "claimed"),
        Row("refined2", "refined2"),
        Row("masked", "claimed", overrides=("loss.robust=masked",)),
    ),
    "b": (
        Row("truncated", "claimed", overrides=("loss.robust=truncated",)),
        Row("refined1", "refined1"),
        Row("by_clean", "by_clean"),
    ),
    "c": tuple(
        Row(name, labels, model)
        for model in ("hdemucs", "band-split")
        for name, labels in (("clean", "true"), ("noisy", "claimed"), ("refined2", "refined2"))
    ),
    "d": (
        Row("threshold-paper", "refined2-paper"),
        Row("threshold-0.5", "refined2-0.5"),
        Row("threshold-adaptive", "refined2-adaptive"),
        Row("whole", "refined2", overrides=WHOLE),
        Row("single", "refined2", overrides=SINGLE),
        Row("single-then-multi", "refined2", overrides=SINGLE, then=WHOLE),
    ),
    "e": (
        Row("true-whole", "true", overrides=WHOLE),
        Row("true-single", "true", overrides=SINGLE),
        Row("true-single-then-multi", "true", overrides=SINGLE, then=WHOLE),
    ),
}
"""Koo et al. 2023: Table 2 in the parts a to c, Table 3 in d; e is its stems of several classes with true labels."""


def recipe_of(model: str, examples: int, overrides: Sequence[str] = ()) -> SeparatorRecipe:
    """Return the recipe of a model with the settings shared by all its rows."""
    return read_separator(f"{model}-small", [*QUICK[model], *ALIKE, f"loop.examples={examples}", *overrides])


def tasks(parts: Sequence[str], faults: Sequence[int], seeds: int) -> Iterator[tuple[int, int, Row]]:
    """Return seed of the faults, seed of the training and row; early seeds are complete if time runs out."""
    for part in parts:
        for planted in faults:
            for seed in range(seeds):
                for row in ROWS[part]:
                    yield planted, seed, row
